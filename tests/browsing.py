"""What the tests of the pages share: a real service with pages, a real browser, screenshots, and axe's findings.

The browser is the system's own Chromium (``VESTIARY_CHROMIUM`` names another place); where there is none, the tests
skip, saying so. Screenshots land in ``work/screenshots``, or where ``VESTIARY_SCREENSHOTS`` says.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

ROOT = Path(__file__).parents[1]
DESKTOP = (1280, 800)
PHONE = (390, 844)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


class Pages:
    """``vestiary serve`` with pages as a process of its own on a free port, with a small bundle and an own ledger."""

    def __init__(self, folder: Path, bundle: Path, *arguments: str, **variables: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.bundle = folder, bundle
        self.ledger = folder / "ledger.db"
        self.jobs = folder / "jobs"
        self._arguments, self._variables = arguments, variables
        self.start()

    def start(self) -> None:
        """Start the process; again after ``stop``, on another port and the same ledger."""
        from conftest import wait_until

        self.log = self.folder / "log"
        own = {"VESTIARY_LEDGER_URL": str(self.ledger), "VESTIARY_JOBS": str(self.jobs), "OMP_NUM_THREADS": "1"}
        settings = {name: value for name, value in os.environ.items() if not name.startswith("VESTIARY_")}
        command = [sys.executable, "-m", "vestiary", "serve", "--port", "0", "--bundle", str(self.bundle)]
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [*command, *self._arguments], stderr=file, stdout=file, env=settings | own | self._variables
            )
        # Long, since a busy machine may take more than a minute to load what a service needs.
        wait_until(lambda: "answers at" in self.log.read_text() or self.process.poll() is not None, 240)
        found = re.search(r"http://[\d.:]+", self.log.read_text())
        assert found, self.log.read_text()
        self.url = found[0]

    def stop(self) -> int:
        """Ask it to stop as systemd and Docker do; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


@pytest.fixture(scope="session")
def start_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Pages]]:
    """``start_pages("--option", bundle=…, VESTIARY_X="…")``: a service of one's own, stopped after all tests."""
    for module in ("fastapi", "streamlit", "onnx"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the pages need {module}, which is not installed")
    from conftest import build_bundle

    started: list[Pages] = []

    def start(*arguments: str, bundle: Path | None = None, **variables: str) -> Pages:
        folder = tmp_path_factory.mktemp("pages")
        if bundle is None:
            bundle = folder / "bundle"
            build_bundle().write(bundle)
        started.append(Pages(folder, bundle, *arguments, **variables))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="session")
def pages_server(start_pages: Callable[..., Pages]) -> Pages:
    """A service with pages that the tests share: the tiny bundle of ``make_bundle``, and a ledger that starts empty."""
    return start_pages()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, driven by Playwright; of one file only, since its event loop would be in others' way."""
    api = pytest.importorskip("playwright.sync_api", reason="no browser tests: playwright is not installed")
    place = os.environ.get("VESTIARY_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if place is None:
        pytest.skip("no browser tests: there is no Chromium on this machine (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=place, args=[*FLAGS])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """``open_page(url, size=PHONE, scheme="dark")``: a new visitor's page; no other host may be asked."""
    outside: list[str] = []
    contexts = []

    def open_it(url: str, *, size: tuple[int, int] = DESKTOP, scheme: str = "light", **options: object) -> Page:
        host = re.match(r"https?://[^/]+", url)
        assert host is not None
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )
        contexts.append(context)

        def look(route: Route) -> None:
            if route.request.url.startswith((host[0], "data:", "blob:")):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        context.route("**/*", look)
        context.on(
            "console", lambda said: outside.append(said.text) if "Content Security Policy" in said.text else None
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not outside, f"asked other hosts, or was kept from it: {outside}"


def take_screenshot(page: Page, name: str) -> Path:
    """Keep what the page looks like as ``name``.png."""
    folder = Path(os.environ.get("VESTIARY_SCREENSHOTS", ROOT / "work" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    return path


def assert_no_axe_findings(page: Page) -> None:
    """Axe, the checker for screen readers and keyboards, finds nothing serious on the page once it has come to rest.

    While a script runs Streamlit fades what it is about to replace, and what fades has too little contrast on the way.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    if page.get_by_test_id("stApp").count():  # the entrance has none
        wait_until_idle(page)
    page.wait_for_function(
        """() => !document.querySelector('[data-stale="true"]') && document.getAnimations().every(
          it => it.playState !== 'running' || it.effect.getComputedTiming().iterations === Infinity)"""
    )
    found = axe.Axe().run(page).response["violations"]
    serious = [
        f"{entry['id']}: {entry['help']}: {[node['html'][:200] for node in entry['nodes']][:3]}"
        for entry in found
        if entry["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)


def wait_until_idle(page: Page) -> None:
    """Until the page's script has run to its end, and no answer to what was just clicked sets it off again."""
    page.evaluate("window.idleSince = undefined")
    page.wait_for_function(
        """() => {
          const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
          window.idleSince = state === 'notRunning' ? (window.idleSince ?? performance.now()) : undefined;
          return performance.now() - window.idleSince > 500;
        }"""
    )


def hand_over(page: Page, *files: tuple[str, bytes]) -> None:
    """Give (name, bytes) files to the field that takes photos, as if they had been chosen.

    While the page is made anew, the field that it had and the one that it gets are both there.
    """
    wait_until_idle(page)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]
    )
