"""The documentation as a site: every page is in it, no link is dead, what is made from the program is new."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    pytest.importorskip("pydantic_settings", reason="the extra 'serve' is not installed")
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of MkDocs (a dead link or anchor, a page outside the navigation) is an error."""
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    return place


class Page(HTMLParser):
    """What a built page loads, where it leads, and which places it has."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places.add(given.get("id", ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
        self.loads.append(given.get("src", ""))
        if tag == "link" and given.get("rel") != "canonical":
            self.loads.append(given.get("href", ""))


def list_pages(entry: Any) -> list[str]:
    """The files that a navigation names, at any depth."""
    if isinstance(entry, str):
        return [entry]
    return [page for inner in (entry.values() if isinstance(entry, dict) else entry) for page in list_pages(inner)]


def test_every_page_is_in_the_navigation_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = list_pages(config["nav"])
    left_out = set(config["exclude_docs"].split())
    there = {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")} - left_out
    assert sorted(named) == sorted(there)


def test_no_link_is_dead_and_nothing_is_loaded_from_another_host(site: Path) -> None:
    pages = {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}
    assert len(pages) > 20
    outside = [target for page in pages.values() for target in page.loads if "//" in target]
    assert not outside
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?(https?:)?//|@import", styles)
    dead = []
    for file, page in pages.items():
        for target in (*page.loads, *page.links):
            path, _, place = target.partition("#")
            if ":" in path:
                continue
            to = (file.parent / path).resolve() if path else file
            if not to.exists() or (place and to in pages and place not in pages[to].places):
                dead.append(f"{file.relative_to(site)}: {target}")
    assert not dead


def test_pages_that_are_made_from_the_program_are_as_it_would_write_them(reference: ModuleType) -> None:
    settings = (DOCS / "settings.md").read_text(encoding="utf-8")
    advice = "run: python docs/reference.py"
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == reference.render_cli(), advice
    assert settings == reference.render_settings(settings), advice


def test_every_setting_stands_in_one_table(reference: ModuleType) -> None:
    from vestiary.web.settings import Settings

    assert sorted(reference.list_settings((DOCS / "settings.md").read_text(encoding="utf-8"))) == sorted(
        Settings.model_fields
    )
    assert all(field.description for field in Settings.model_fields.values())


def test_a_page_that_is_old_is_told(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    (tmp_path / "settings.md").write_text(page.replace("| 8000 |", "| 9000 |"), encoding="utf-8")
    monkeypatch.setattr(reference, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["reference.py", "--check"])
    assert reference.main() == 1
    assert capsys.readouterr().out.count("run: python docs/reference.py") == 2
    monkeypatch.setattr(sys, "argv", ["reference.py"])
    assert reference.main() == 0
    assert (tmp_path / "settings.md").read_text(encoding="utf-8") == page
    assert (tmp_path / "cli.md").read_text(encoding="utf-8") == (DOCS / "cli.md").read_text(encoding="utf-8")


def test_every_command_is_in_the_reference() -> None:
    import typer.main

    from vestiary.cli.main import app

    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"## `vestiary {name}`" in text
        for parameter in command.params:
            assert parameter.name in text or any(option in text for option in parameter.opts), (
                f"{name} {parameter.name}"
            )
