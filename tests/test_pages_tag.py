"""The page Tag in a real browser: from a photo to its answer, to a correction that stays, to many photos at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from browsing import DESKTOP, PHONE, Pages, assert_no_axe_findings, hand_over, take_screenshot, wait_until_idle
from conftest import paint_picture
from vestiary.ledger import open_ledger

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
RED = paint_picture((250, 5, 5))


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_a_photo_is_answered_with_value_confidence_word_and_decision(
    pages_server: Pages, open_page: OpenPage, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(pages_server.url, size=size, scheme=scheme)
    hand_over(page, ("shirt.png", RED))
    page.get_by_role("heading", name="shirt.png").wait_for()
    wait_until_idle(page)
    row = page.locator(".v-tag").first
    assert row.inner_text().split("\n") == ["Base colour", "Red accepted", "99 % · sure"]
    page.get_by_text("Other values, or correct it").first.click()
    page.locator(".v-other").first.wait_for()
    page.get_by_role("button", name="Season").or_(page.get_by_role("radio", name="Season")).click()
    page.get_by_text("the more it spoke for “Summer”").wait_for()
    wait_until_idle(page)
    take_screenshot(page, f"tag-one-{size[0]}-{scheme}")
    assert_no_axe_findings(page)


def test_the_answer_is_the_one_of_the_api(pages_server: Pages, open_page: OpenPage) -> None:
    page = open_page(pages_server.url)
    hand_over(page, ("shirt.png", RED))
    page.get_by_text("Copy or download").click()
    shown = json.loads(page.get_by_test_id("stCode").first.inner_text())
    answer = httpx.post(f"{pages_server.url}/predict", files={"file": ("shirt.png", RED)}).json()
    assert {name: tag["value"] for name, tag in shown["tags"].items()} == answer["predictions"]
    assert {name: tag["confidence"] for name, tag in shown["tags"].items()} == answer["confidences"]
    assert (shown["id"], shown["decision"]) == ("shirt.png", answer["decision"])
    page.get_by_role("tab", name="For programs").click()
    page.get_by_text(f"curl -F file=@photo.jpg {pages_server.url}/predict").wait_for()


def test_a_hostile_name_is_shown_as_it_is_and_does_nothing(pages_server: Pages, open_page: OpenPage) -> None:
    page = open_page(pages_server.url)
    name = "![x](a.png) *b* $c$ :red[d] :smile: [e](javascript:f) <img src=x onerror=document.title='g'>.png"
    for data, then in ((RED, page.locator(".v-tag")), (b"no photo", page.get_by_test_id("stAlert"))):
        hand_over(page, (name, data))
        then.first.wait_for()
        page.get_by_role("heading", name=name, exact=True).wait_for()
    assert page.title() != "g"
    take_screenshot(page, "tag-hostile-name")


def test_a_correction_is_a_verdict_and_survives_a_restart(
    start_pages: Callable[..., Pages], open_page: OpenPage
) -> None:
    server = start_pages()
    page = open_page(server.url)
    hand_over(page, ("shirt.png", RED))
    page.get_by_text("Other values, or correct it").nth(1).click()
    wait_until_idle(page)
    box = page.get_by_role("combobox", name="Season: the right value")
    box.click()
    page.get_by_role("option", name="Winter").click()
    wait_until_idle(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Type your name first").wait_for()
    page.get_by_role("textbox", name="Your name, for what you correct").fill("Ada")
    page.get_by_role("textbox", name="Your name, for what you correct").press("Enter")
    wait_until_idle(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Kept: Season is Winter.").wait_for()
    wait_until_idle(page)
    take_screenshot(page, "tag-corrected")
    page.get_by_text("Other values, or correct it").first.click()
    page.get_by_role("combobox", name="Base colour: the right value").wait_for()
    wait_until_idle(page)
    page.get_by_role("button", name="Save").first.click()  # the name is known by now
    page.get_by_text("confirmed by Ada").wait_for()
    assert server.stop() == 0
    with open_ledger(server.ledger) as ledger:
        verdicts = list(ledger.verdicts())
    said = [(given.attribute, given.value, given.previous_value, given.reviewer) for given in verdicts]
    assert said == [("season", "Winter", "Summer", "Ada"), ("baseColour", "Red", "Red", "Ada")]
    server.start()
    again = open_page(server.url)
    hand_over(again, ("the same photo.png", RED))
    again.get_by_text("corrected by Ada; answered: Summer").wait_for()


def test_many_photos_and_bad_files_are_answered_together(pages_server: Pages, open_page: OpenPage) -> None:
    page = open_page(pages_server.url)
    photos = [(f"p{number}.png", paint_picture((250, 5, number))) for number in range(14)]
    hand_over(page, *photos, ("letter.txt", b"Dear Sir"), ("empty.jpg", b""), ("cut.png", RED[:40]))
    page.get_by_role("heading", name="17 photos").wait_for()
    wait_until_idle(page)
    page.get_by_text("14 ready · 0 for review · 3 could not be read").wait_for()
    page.get_by_role("button", name="Next").click()
    for said in (
        "not a picture we read; use JPEG",
        "The file is empty (0 bytes); send it again",
        "damaged or cut short",
    ):
        page.get_by_text(said).wait_for()
    take_screenshot(page, "tag-many")
    assert_no_axe_findings(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) == 18
    assert rows[1].startswith("p0.png,success,auto,")


def test_two_hundred_photos_at_once_do_not_freeze_the_page(pages_server: Pages, open_page: OpenPage) -> None:
    page = open_page(pages_server.url)
    page.set_default_timeout(120_000)
    hand_over(page, *((f"p{number}.png", paint_picture((250, number % 250, number // 250))) for number in range(203)))
    page.get_by_text("203 photos are more than this page takes at once: the first 200 are answered").wait_for()
    page.get_by_role("button", name="Open", exact=True).first.click()  # while the others are still being answered
    page.get_by_role("heading", name="p0.png").wait_for()
    page.get_by_role("heading", name="200 photos").wait_for()
    page.get_by_text("1–12 of 200 photos").wait_for()
    page.get_by_role("button", name="Clear the page").click()
    page.get_by_role("heading", name="200 photos").wait_for(state="detached")


def test_a_photo_beyond_the_limit_is_refused_kindly(pages_server: Pages, open_page: OpenPage, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(50_000_000)
    page = open_page(pages_server.url)
    small = tmp_path / "shirt.png"
    small.write_bytes(RED)
    page.locator("p[role=alert]").wait_for(state="attached")  # what keeps it back is there
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files([large, small])
    page.get_by_text("large.jpg has 50 MB, more than the 20 MB that a file may have here; save it smaller").wait_for()
    page.get_by_role("heading", name="shirt.png").wait_for()
    take_screenshot(page, "tag-too-large")
    page.get_by_role("heading", name="shirt.png").wait_for()


def test_a_photo_is_pasted_and_one_is_taken_by_the_camera(pages_server: Pages, open_page: OpenPage) -> None:
    page = open_page(pages_server.url, permissions=["camera"])
    page.locator("p[role=alert]").wait_for(state="attached")
    page.evaluate(
        """async () => {
          const drawn = document.createElement('canvas');
          drawn.width = drawn.height = 60;
          const blob = await new Promise((done) => drawn.toBlob(done, 'image/png'));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([blob], 'pasted.png', { type: 'image/png' }));
          document.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )
    page.get_by_role("heading", name="pasted.png").wait_for()
    wait_until_idle(page)
    page.get_by_text("Use the camera").click()
    wait_until_idle(page)
    page.wait_for_function("document.querySelector('video')?.readyState > 2")  # it has a picture to take
    page.get_by_role("button", name="Take photo").click()
    page.get_by_role("heading", name="2 photos").wait_for()
    take_screenshot(page, "tag-camera")
