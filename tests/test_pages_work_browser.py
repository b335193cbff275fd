"""The pages Batch and Review as people use them: a real service, a real browser, a mouse or keys alone."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import update

from browsing import DESKTOP, PHONE, Pages, assert_no_axe_findings, hand_over, take_screenshot
from conftest import paint_picture, wait_until
from vestiary.batch import run_batch
from vestiary.bundle import open_bundle
from vestiary.ledger import Ledger, now, open_ledger
from vestiary.ledger.claims import Claims
from vestiary.ledger.schema import claims
from vestiary.review.items import AGREEMENT_SHARE

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHOTOS = {
    "red.png": paint_picture((250, 5, 5)),
    "green.png": paint_picture((5, 250, 5)),
    "blue.png": paint_picture((5, 5, 250)),
    "unsure.png": paint_picture((62, 60, 122)),
    "broken.png": b"no photo",
}
"""Four photos, of which nobody can be sure of one, and a file that is none."""


def drop(page: Page, files: dict[str, bytes]) -> None:
    """Hand these over on the page Batch and wait for the answers."""
    hand_over(page, *files.items())
    page.get_by_test_id("stFileChip").first.wait_for()
    page.get_by_role("button", name="Answer these photos").click()
    page.get_by_role("heading", name="Download", exact=True).wait_for(timeout=120_000)


def read_verdicts(pages: Pages) -> dict[str, str]:
    with open_ledger(pages.ledger) as ledger:
        return {one.attribute: one.value for one in ledger.verdicts()}


def test_a_batch_is_dropped_followed_and_taken_away_as_the_api_answers_it(
    start_pages: Callable[..., Pages], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    pages = start_pages()
    page = open_page(f"{pages.url}/batch")
    page.get_by_text("No batch yet").wait_for()
    take_screenshot(page, "batch-empty")
    assert_no_axe_findings(page)
    drop(page, PHOTOS)
    page.reload()
    page.get_by_text("Finished on").wait_for()
    with page.expect_download() as download:
        page.locator(".st-key-batch_csv button").click()
    file = tmp_path / "rows.csv"
    download.value.save_as(file)
    with file.open(encoding="utf-8", newline="") as lines:
        rows = {row["id"]: row for row in csv.DictReader(lines)}
    assert set(rows) == set(PHOTOS)
    for name, data in PHOTOS.items():
        answer = httpx.post(f"{pages.url}/predict", files={"file": (name, data)})
        if name == "broken.png":
            assert answer.is_client_error
            assert rows[name]["error"] == answer.json()["detail"]
            continue
        wanted = answer.json()
        assert rows[name]["decision"] == wanted["decision"]
        for attribute, value in wanted["predictions"].items():
            assert rows[name][attribute] == value
            assert float(rows[name][f"{attribute}_confidence"]) == pytest.approx(
                wanted["confidences"][attribute], abs=1e-4
            )
    with page.expect_download() as download:
        page.locator(".st-key-batch_report button").click()
    assert "Batch report" in Path(download.value.path()).read_text(encoding="utf-8")
    page.get_by_role("button", name="Pack a zip").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download 4 photos").click()
    assert download.value.suggested_filename.endswith(".zip")


@pytest.fixture(scope="module")
def answered(start_pages: Callable[..., Pages]) -> Pages:
    """A service whose ledger knows a batch of the command line."""
    pages = start_pages()
    folder = pages.folder / "photos"
    folder.mkdir()
    for name, data in PHOTOS.items():
        (folder / name).write_bytes(data)
    with open_ledger(pages.ledger) as ledger:
        run_batch(
            str(folder), pages.folder / "out", bundle=open_bundle(pages.bundle), ledger=ledger, sleep=lambda s: None
        )
    return pages


def test_a_file_too_large_is_named_and_the_others_are_kept(
    start_pages: Callable[..., Pages], open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{start_pages(VESTIARY_MAX_BODY_BYTES='2000000').url}/batch")
    start = page.get_by_role("button", name="Answer these photos")
    start.wait_for()
    colour, ground = start.evaluate("own => [own.querySelector('p'), own].map(one => getComputedStyle(one).color)")
    assert colour == ground  # as a button is that cannot be pressed, not white on white
    page.locator("p[role=alert]").wait_for(state="attached")  # what keeps it back is there
    hand_over(page, ("all.zip", bytes(5_000_000)), ("red.png", PHOTOS["red.png"]))
    said = page.get_by_role("alert").filter(has_text="all.zip")
    said.wait_for()
    assert said.inner_text() == (
        "all.zip has 5 MB, more than the 2 MB that a file may have here; save a photo smaller, and put a larger zip "
        "into the inbox of the server."
    )
    page.get_by_test_id("stFileChip").wait_for()
    assert page.get_by_test_id("stFileChip").inner_text().startswith("red.png")


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")])
def test_the_answers_of_a_batch_can_be_read_on_any_screen(
    answered: Pages, open_page: Callable[..., Page], size: tuple[int, int], scheme: str
) -> None:
    page = open_page(f"{answered.url}/batch", size=size, scheme=scheme)
    page.get_by_role("heading", name="Download", exact=True).wait_for()
    page.get_by_test_id("data-grid-canvas").first.wait_for()
    take_screenshot(page, f"batch-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    page.get_by_text("Filter and sort").click()
    page.get_by_label("Name contains").fill("unsure")
    page.keyboard.press("Enter")
    page.get_by_text("1 of 5 photos.").wait_for()
    take_screenshot(page, f"batch-filter-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    page.get_by_text("Plain table", exact=True).click()
    page.get_by_role("table").get_by_role("img", name="The photo unsure.png").wait_for()
    page.get_by_role("button", name="Save the correction").scroll_into_view_if_needed()
    take_screenshot(page, f"batch-plain-{size[0]}-{scheme}")
    assert_no_axe_findings(page)


def test_a_cell_is_corrected_and_the_correction_outlives_the_service(
    start_pages: Callable[..., Pages], open_page: Callable[..., Page]
) -> None:
    pages = start_pages()
    page = open_page(f"{pages.url}/batch")
    drop(page, {"unsure.png": PHOTOS["unsure.png"]})
    page.get_by_label("Your name", exact=True).fill("Anna")
    page.keyboard.press("Enter")
    table = page.locator(".stDataFrameGlideDataEditor").first
    table.wait_for()
    page.get_by_test_id("stStatusWidget").wait_for(state="hidden")
    table.dblclick(position={"x": 700, "y": 70})
    page.locator("#portal input").first.wait_for()
    page.keyboard.type("Green")
    page.keyboard.press("Enter")
    page.get_by_text("1 correction saved").wait_for()
    assert read_verdicts(pages) == {"baseColour": "Green"}
    page.close()
    pages.stop()
    pages.start()
    page = open_page(f"{pages.url}/batch")
    page.get_by_role("heading", name="Download", exact=True).wait_for()
    take_screenshot(page, "batch-corrected")
    with page.expect_download() as download:
        page.locator(".st-key-batch_csv button").click()
    (row,) = csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines())
    assert (row["baseColour"], row["corrected"]) == ("Green", "baseColour")


@pytest.fixture
def unsure(start_pages: Callable[..., Pages], tmp_path: Path) -> Pages:
    """A service that has answered two photos, and is sure of neither."""
    pages = start_pages(VESTIARY_KEEP_PICTURES=str(tmp_path / "album"))
    for name, colour in (("first.png", (62, 60, 122)), ("second.png", (64, 60, 124))):
        httpx.post(f"{pages.url}/predict", files={"file": (name, paint_picture(colour))}).raise_for_status()

    def count(ledger: Ledger) -> int:
        return sum(1 for _ in ledger.predictions())

    with open_ledger(pages.ledger) as ledger:
        wait_until(lambda: count(ledger) == 2)
    return pages


def wait_for_photo(page: Page, name: str) -> None:
    """Until this photo is there, and the page listens to keys."""
    page.locator(f"img[alt='{name}']").wait_for()
    page.wait_for_function(
        "name => document.querySelector(`img[alt='${name}']`)?.dataset.photo === document.body.dataset.vestiaryKeys",
        arg=name,
    )


def test_photos_are_reviewed_by_keys_alone_and_nothing_is_lost(unsure: Pages, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{unsure.url}/review")
    here = page.locator(".st-key-review_here")
    page.get_by_label("Your name", exact=True).wait_for()
    while page.evaluate("document.activeElement.getAttribute('aria-label')") != "Your name":
        page.keyboard.press("Tab")
    page.keyboard.type("Anna")
    page.keyboard.press("Enter")
    here.get_by_text("Base colour: Blue").wait_for()
    (first,) = page.locator("img[alt$='.png']").all()
    name = str(first.get_attribute("alt"))
    other = "second.png" if name == "first.png" else "first.png"
    wait_for_photo(page, name)
    take_screenshot(page, "review-1280-light")
    assert_no_axe_findings(page)
    for key in ("n", "1", "2", "ArrowDown", "ArrowDown", "ArrowDown"):  # faster than any page is made anew
        page.keyboard.press(key)
    here.get_by_text("Season:").wait_for()
    page.reload()
    page.get_by_text("corrected", exact=True).wait_for()
    wait_for_photo(page, name)
    page.keyboard.press("a")
    page.keyboard.press("a")  # meant for the photo that was still there
    wait_for_photo(page, other)
    page.keyboard.press("s")
    page.get_by_text("Nothing waits for a look").wait_for()
    page.keyboard.press("u")
    wait_for_photo(page, other)
    page.keyboard.press("u")
    wait_for_photo(page, name)
    wait_until(lambda: read_verdicts(unsure) == {})
    page.keyboard.press("2")
    page.keyboard.press("a")
    wait_for_photo(page, other)
    kept = read_verdicts(unsure)
    assert kept.keys() == {"baseColour", "season"} and kept["baseColour"] != "Blue"
    page.close()
    unsure.stop()
    unsure.start()
    page = open_page(f"{unsure.url}/review?reviewer=Anna", size=PHONE, scheme="dark")
    wait_for_photo(page, other)
    assert read_verdicts(unsure) == kept, "what is decided stays decided"
    take_screenshot(page, "review-390-dark")
    assert_no_axe_findings(page)


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")])
def test_who_comes_back_late_is_told_and_goes_on(
    unsure: Pages, open_page: Callable[..., Page], size: tuple[int, int], scheme: str
) -> None:
    page = open_page(f"{unsure.url}/review?reviewer=Anna", size=size, scheme=scheme)
    page.locator("img[alt$='.png']").wait_for()
    name = str(page.locator("img[alt$='.png']").get_attribute("alt"))
    wait_for_photo(page, name)
    with open_ledger(unsure.ledger) as ledger:
        (seen,) = [record for record in ledger.predictions() if record.name == name]
        with ledger.writing() as connection:  # a quarter of an hour later
            connection.execute(update(claims).values(until=now() - timedelta(seconds=1)))
        for reviewer in ("Ben", "Cem"):  # as many as look at any photo
            assert Claims(ledger, reviewer, second_share=1).take([seen], 1)
    page.keyboard.press("a")
    page.get_by_text(f"Another reviewer was given {name} after your 15 minutes with it").wait_for()
    wait_for_photo(page, "second.png" if name == "first.png" else "first.png")
    take_screenshot(page, f"review-late-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    assert read_verdicts(unsure) == {}


def test_two_reviewers_have_the_same_photo_only_where_two_are_wanted(
    unsure: Pages, open_page: Callable[..., Page]
) -> None:
    seen = []
    for reviewer in ("Anna", "Ben"):
        page = open_page(f"{unsure.url}/review?reviewer={reviewer}")
        page.locator("img[alt$='.png']").or_(page.get_by_text("Nothing waits for a look")).wait_for()
        seen.append({own.get_attribute("alt") for own in page.locator("img[alt$='.png']").all()})
    with open_ledger(unsure.ledger) as ledger:
        own = Claims(ledger, "Ben", second_share=AGREEMENT_SHARE)
        wanted_twice = {record.name for record in ledger.predictions() if own.wants_second(record.id)}
    assert len(seen[0]) == 1
    assert seen[1] <= wanted_twice and bool(seen[1]) == bool(wanted_twice), "Anna has both of them"
