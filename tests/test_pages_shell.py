"""The frame of the pages: where they are, what they hide of the API (nothing), who gets in, what they ask of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from browsing import DESKTOP, PHONE, Pages, assert_no_axe_findings, take_screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

HTML = {"accept": "text/html"}


def test_the_front_is_the_pages_for_a_browser_and_the_summary_for_any_other(pages_server: Pages) -> None:
    page = httpx.get(pages_server.url, headers=HTML)
    assert page.status_code == 200
    assert "static/" in page.text
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert httpx.get(pages_server.url).json()["service"] == "vestiary"


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
        assert page.get_by_test_id("stException").count() == 0
        take_screenshot(page, f"shell-{path or 'tag'}-{size[0]}-{scheme}")
        assert_no_axe_findings(page)
