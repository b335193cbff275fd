"""The frame of the pages: where they are, what they hide of the API (nothing), who gets in, what they ask of others."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from browsing import DESKTOP, PHONE, Pages, assert_no_axe_findings, hand_over, take_screenshot
from conftest import Vestiary, paint_picture, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

HTML = {"accept": "text/html"}


def connect(url: str, **headers: str) -> Any:
    """A connection to the pages as a browser's script makes it."""
    client = pytest.importorskip("websockets.sync.client", reason="no WebSocket client: websockets is not installed")
    return client.connect(
        url.replace("http", "ws") + "/_stcore/stream", subprotocols=["streamlit"], additional_headers=headers
    )


def read_log(server: Pages, event: str) -> Iterator[dict[str, Any]]:
    for line in server.log.read_text().splitlines():
        if line.startswith("{") and json.loads(line)["event"] == event:
            yield json.loads(line)


def test_the_front_is_the_pages_for_a_browser_and_the_summary_for_any_other(pages_server: Pages) -> None:
    page = httpx.get(pages_server.url, headers=HTML)
    assert page.status_code == 200
    assert "static/" in page.text
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert httpx.get(pages_server.url).json()["service"] == "vestiary"


def test_photos_of_batches_go_when_their_days_are_over(start_pages: Callable[..., Pages], tmp_path: Path) -> None:
    for name, at in (("old", "2026-01-01T00:00:00+00:00"), ("new", "2999-01-01T00:00:00+00:00")):
        folder = tmp_path / "batches" / name
        folder.mkdir(parents=True)
        (folder / "ask.json").write_text(json.dumps({"source": "photos", "title": "photos", "at": at}))
    server = start_pages(VESTIARY_JOBS=str(tmp_path), VESTIARY_JOBS_KEEP_DAYS="30")
    wait_until(lambda: not (tmp_path / "batches" / "old").exists())
    wait_until(lambda: [own["removed"] for own in read_log(server, "batches")] == [1])
    assert (tmp_path / "batches" / "new").is_dir()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 405), ("GET", "/nonsense", 404), ("GET", "/batch", 404), ("GET", "/_stcore/metrics", 404)],
)
def test_no_address_of_the_api_is_hidden(pages_server: Pages, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, pages_server.url + path)
    assert answer.status_code == status
    assert answer.json()["status"] == status


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_every_page_opens_without_a_request_to_others(
    pages_server: Pages, open_page: Callable[..., Page], size: tuple[int, int], scheme: str
) -> None:
    for path in ("", "batch", "review", "catalogue", "model", "monitor"):
        page = open_page(f"{pages_server.url}/{path}", size=size, scheme=scheme)
        page.get_by_role("heading", level=1).wait_for()
        assert page.title() == f"{page.get_by_role('heading', level=1).inner_text()} · Vestiary"
        assert page.get_by_test_id("stException").count() == 0
        take_screenshot(page, f"shell-{path or 'tag'}-{size[0]}-{scheme}")
        assert_no_axe_findings(page)


def test_what_a_page_loads_spoils_neither_counts_nor_log_nor_rates(
    start_pages: Callable[..., Pages], open_page: Callable[..., Page]
) -> None:
    server = start_pages(VESTIARY_RATE_PER_MINUTE="1", VESTIARY_RATE_BURST="1")
    page = open_page(server.url)
    for number in range(3):
        hand_over(page, (f"p{number}.png", paint_picture((250, number, 5))))
        page.get_by_role("heading", name=f"p{number}.png").wait_for()
    assert list(read_log(server, "request")) == []
    stats = httpx.get(f"{server.url}/stats").json()
    assert stats["total_requests"] == 0
    assert stats["successful_predictions"] == 3
    assert httpx.post(f"{server.url}/predict", files={"file": paint_picture((5, 5, 250))}).status_code == 200


def test_a_stop_ends_in_time_while_somebody_looks_and_leaves_no_process(
    start_pages: Callable[..., Pages], open_page: Callable[..., Page]
) -> None:
    server = start_pages(VESTIARY_BODY_TIMEOUT_S="1", VESTIARY_HEADER_TIMEOUT_S="1", VESTIARY_KEEP_ALIVE_S="1")
    page = open_page(server.url)
    page.get_by_role("heading", level=1).wait_for()
    with connect(server.url) as quiet:
        with pytest.raises(TimeoutError):  # nothing is said for longer than any time that requests have
            quiet.recv(timeout=3)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0


def test_with_keys_nothing_of_the_pages_is_reached_without_one(
    start_pages: Callable[..., Pages], open_page: Callable[..., Page]
) -> None:
    from websockets.exceptions import InvalidStatus

    from vestiary.web.limits import hash_key

    server = start_pages(VESTIARY_API_KEYS=f"shop={hash_key('a right key')}")
    asked = httpx.get(server.url, headers=HTML)
    assert asked.status_code == 401
    assert "static/" not in asked.text
    assert httpx.get(f"{server.url}/review", headers=HTML).status_code == 401
    for method, path in (
        ("GET", "/_stcore/health"),
        ("GET", "/_stcore/host-config"),
        ("GET", "/static/index.js"),
        ("GET", "/media/x.png"),
        ("PUT", "/_stcore/upload_file/a/b"),
        ("DELETE", "/_stcore/upload_file/a/b"),
    ):
        assert httpx.request(method, server.url + path).status_code == 401, path
    for headers in ({}, {"Cookie": "vestiary_visitor=shop.aaaaaa.bbbbbb"}):
        with pytest.raises(InvalidStatus, match="403"):
            connect(server.url, **headers)
    page = open_page(server.url)
    page.get_by_label("Key").fill("a wrong key")
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("This is not a key of this service").wait_for()
    take_screenshot(page, "shell-key")
    assert_no_axe_findings(page)
    page.get_by_label("Key").fill("a right key")
    page.get_by_role("button", name="Go on").click()
    hand_over(page, ("shirt.png", paint_picture((250, 5, 5))))
    page.get_by_text("Copy or download").click()
    page.get_by_role("tab", name="For programs").click()
    page.get_by_text("X-API-Key").wait_for()
    [cookie] = [each for each in page.context.cookies() if each["name"] == "vestiary_visitor"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert "a right key" not in cookie["value"]
    with connect(server.url, Cookie=f"vestiary_visitor={cookie['value']}"):
        pass
    beside = {"Cookie": f'of=another service; like={{"this": [1]}}; vestiary_visitor={cookie["value"]}'}
    assert httpx.get(server.url, headers=HTML | beside).status_code == 200
    # The cookie opens the pages and nothing of the API, which another site's form could reach.
    own = {"Cookie": f"vestiary_visitor={cookie['value']}"}
    assert httpx.post(f"{server.url}/predict", headers=own).status_code == 401


def test_keys_cannot_be_tried_without_end(start_pages: Callable[..., Pages]) -> None:
    server = start_pages(VESTIARY_API_KEYS=f"shop={'0' * 64}")
    answers = [httpx.post(f"{server.url}/enter", data={"key": f"guess {number}"}) for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    told = httpx.post(f"{server.url}/enter", data={"key": "guess"}, headers=HTML)
    assert told.headers["content-type"].startswith("text/html")
    assert "Too many requests" in told.text


def test_a_form_with_too_many_fields_is_told_so(start_pages: Callable[..., Pages]) -> None:
    server = start_pages(VESTIARY_API_KEYS=f"shop={'0' * 64}")
    told = httpx.post(f"{server.url}/enter", data=dict.fromkeys("abcde", "x"), headers=HTML)
    assert told.status_code == 400
    assert "The form has more than 4 fields; send the key as &#39;key&#39; alone." in told.text
    assert not list(read_log(server, "fault"))


def test_pages_that_are_only_open_keep_no_request_out(start_pages: Callable[..., Pages]) -> None:
    server = start_pages(VESTIARY_MAX_IN_FLIGHT="2")
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(connect(server.url))
        answer = httpx.post(f"{server.url}/predict", files={"file": paint_picture((250, 5, 5))})
    assert answer.status_code == 200


def test_an_upload_needs_the_visitors_own_token_and_session(pages_server: Pages) -> None:
    upload = f"{pages_server.url}/_stcore/upload_file/nobody/x"
    assert httpx.put(upload, files={"file": b"x"}).status_code == 403
    token = httpx.get(f"{pages_server.url}/_stcore/health").cookies["_streamlit_xsrf"]
    both = {"X-Xsrftoken": token, "Cookie": f"_streamlit_xsrf={token}"}
    assert httpx.put(upload, files={"file": b"x"}, headers=both).status_code == 400


def test_an_upload_has_the_limits_of_any_body(start_pages: Callable[..., Pages]) -> None:
    server = start_pages(VESTIARY_MAX_HELD_BYTES="100000", VESTIARY_BODY_TIMEOUT_S="1")
    upload = f"{server.url}/_stcore/upload_file/nobody/x"
    assert httpx.put(upload, files={"file": b"x" * 200_000}).status_code == 503
    assert httpx.put(upload, content=iter([b"x"])).status_code == 400
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as slow:
        slow.settimeout(20)
        slow.sendall(b"PUT /_stcore/upload_file/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        assert slow.recv(100).startswith((b"HTTP/1.1 403", b"HTTP/1.1 408"))


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "http://localhost:1", "null", "http://x?127.0.0.1"])
def test_a_page_from_elsewhere_gets_no_connection(pages_server: Pages, origin: str) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus, match="403"):
        connect(pages_server.url, Origin=origin)
    # Streamlit was not asked: it would look for this machine's address on the web, and say so.
    assert not [line for line in read_log(pages_server, "server") if "Origin" in line["message"]]


def test_a_page_of_its_own_gets_a_connection_and_may_not_say_too_much(pages_server: Pages) -> None:
    from websockets.exceptions import ConnectionClosed

    with connect(pages_server.url, Origin=pages_server.url) as own, pytest.raises(ConnectionClosed, match="1009"):
        own.send(b"x" * 5_000_000)
        own.recv(timeout=30)


def test_several_workers_have_the_plain_page_and_say_why(start_pages: Callable[..., Pages]) -> None:
    if sys.platform == "win32":
        pytest.skip("several workers need a POSIX system")
    server = start_pages("--workers", "2")
    assert 'action="/uploader"' in httpx.get(server.url, headers=HTML, timeout=240).text
    assert [line["state"] for line in read_log(server, "pages")] == ["off"], server.log.read_text()


@pytest.mark.parametrize("how", ["--no-pages", "no streamlit"])
def test_without_pages_the_service_is_what_it_was(start_pages: Callable[..., Pages], tmp_path: Path, how: str) -> None:
    if how == "--no-pages":
        server = start_pages(how)
    else:  # a module of that name that cannot be found stands for a package that is not installed
        (tmp_path / "sitecustomize.py").write_text(
            "import importlib.util as u\nreal = u.find_spec\n"
            "u.find_spec = lambda name, package=None: None if name == 'streamlit' else real(name, package)\n"
        )
        paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        server = start_pages(PYTHONPATH=os.pathsep.join(path for path in paths if path))
    assert 'action="/uploader"' in httpx.get(server.url, headers=HTML).text
    assert httpx.get(f"{server.url}/_stcore/health").status_code == 404
    assert httpx.get(f"{server.url}/review", headers=HTML).status_code == 404
    answer = httpx.post(f"{server.url}/predict", files={"file": paint_picture((250, 5, 5))})
    assert answer.json()["predictions"]["baseColour"] == "Red"


def test_what_a_page_did_not_expect_is_one_sentence_there_and_a_line_in_the_log(
    start_pages: Callable[..., Pages], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'vestiary.pages.shell':\n            raise ValueError('a photo of Ada')\n"
        "sys.meta_path.insert(0, Broken())\n"
    )
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    server = start_pages(PYTHONPATH=os.pathsep.join(path for path in paths if path))
    page = open_page(server.url)
    page.get_by_text("Something went wrong here and has been written to the log").wait_for()
    assert "Ada" not in page.content()
    assert {line["kind"] for line in read_log(server, "fault")} == {"ValueError"}
    assert "Ada" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def run_ui(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vestiary", "ui", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | variables)


def test_ui_opens_the_browser_at_its_address(pages_server: Pages, tmp_path: Path) -> None:
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    script.chmod(0o755)
    process = run_ui("--port", "0", "--bundle", str(pages_server.bundle), BROWSER=str(script))
    try:
        assert process.stderr is not None
        found = re.search(r"http://[\d.:]+", process.stderr.readline())
        assert found is not None
        wait_until(lambda: (tmp_path / "opened").exists() and bool((tmp_path / "opened").read_text().strip()))
        assert (tmp_path / "opened").read_text().strip() == found[0]
        assert "static/" in httpx.get(found[0], headers=HTML, timeout=60).text
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_ui_says_kindly_that_the_port_is_taken(pages_server: Pages) -> None:
    port = pages_server.url.rpartition(":")[2]
    process = run_ui("--no-browser", "--port", port, "--bundle", str(pages_server.bundle))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port}" in said
    assert said.count("\n") == 1


def test_ui_names_the_extra_that_is_missing(vestiary: Vestiary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlit", None)
    done = vestiary("ui", "--no-browser")
    assert done.code == 2
    assert "pip install 'vestiary[serve,ui]'" in done.err
