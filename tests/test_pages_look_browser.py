"""The pages Catalogue, Model and Monitor as a visitor meets them: a click on a figure shows its photos."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import DESKTOP, PHONE, Pages, assert_no_axe_findings, take_screenshot
from conftest import build_bundle
from vestiary.catalogue import Catalogue
from vestiary.ledger import FailureRecord, PredictionRecord, open_ledger

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOOKS = [(DESKTOP, "light"), (PHONE, "dark")]
OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def looking(
    start_pages: Callable[..., Pages], tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Pages:
    """A service over a drawn catalogue, with another bundle to compare with."""
    folder = tmp_path_factory.mktemp("looking")
    tiny_catalogue.save(folder / "catalogue")
    build_bundle(version="2.0", name="other").write(folder / "bundles" / "other")
    return start_pages(
        VESTIARY_CATALOGUE=str(folder / "catalogue"),
        VESTIARY_BUNDLES=str(folder / "bundles"),
        XDG_CACHE_HOME=str(folder / "cache"),
    )


def choose_view(page: Page, name: str) -> None:
    page.get_by_role("radiogroup", name="Show").get_by_text(name, exact=True).click()


def find_chart(page: Page) -> dict[str, float]:
    """Where the first chart is on the screen."""
    chart = page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg.marks)").first
    chart.scroll_into_view_if_needed()
    chart.wait_for()
    page.wait_for_timeout(500)  # until the columns have their widths
    box = chart.bounding_box()
    assert box is not None
    return dict(box)


def count_told(text: str) -> int:
    """The last number in "1–24 of 97 photos" or "8 photos"."""
    return int(re.findall(r"[\d,]+", text)[-1].replace(",", ""))


def choose(page: Page, field: str, value: str) -> None:
    """Choose a value in a field, with the keyboard alone."""
    box = page.get_by_role("combobox", name=field)
    box.focus()
    box.press_sequentially(value)
    page.get_by_role("option", name=value, exact=True).wait_for()
    box.press("Enter")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_click_on_a_bar_shows_its_photos_and_the_next_page_of_them(
    looking: Pages, open_page: OpenPage, tiny_catalogue: Catalogue, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(f"{looking.url}/catalogue", size=size, scheme=scheme)
    page.get_by_text("480 products of").wait_for()
    chart = find_chart(page)
    page.mouse.click(chart["x"] + 0.45 * chart["width"], chart["y"] + 38)
    page.locator("li img").first.wait_for()
    assert page.locator("li img").count() == 24
    assert all(image.get_attribute("alt") for image in page.locator("li img").all())
    genders = [product.labels.get("gender") for product in tiny_catalogue.products]
    commonest = max(set(genders), key=genders.count)
    told = page.get_by_text(re.compile(r"1–24 of \d+ photos"))
    assert count_told(told.inner_text()) == genders.count(commonest)
    take_screenshot(page, f"catalogue-values-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    page.get_by_role("button", name="Next").click()
    page.get_by_text(re.compile(r"25–48 of \d+ photos")).wait_for()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_click_on_a_cell_of_the_cross_tab_shows_as_many_photos_as_it_says(
    looking: Pages, open_page: OpenPage, tiny_catalogue: Catalogue, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(f"{looking.url}/catalogue", size=size, scheme=scheme)
    page.get_by_text("480 products of").wait_for()
    choose_view(page, "Two together")
    page.get_by_text("products that have both").wait_for()
    find_chart(page)
    take_screenshot(page, f"catalogue-cross-{size[0]}-{scheme}")
    chart = find_chart(page)
    cells = [(across, down) for down in (40, 58, 76) for across in (0.5, 0.68, 0.86)]
    for across, down in cells:  # the first of these that holds products
        page.mouse.click(chart["x"] + across * chart["width"], chart["y"] + down)
        page.wait_for_timeout(1000)
        if page.get_by_role("dialog").count():
            break
    dialog = page.get_by_role("dialog")
    dialog.locator("li img").first.wait_for()
    title = dialog.get_by_text(" · ").first.inner_text()
    row, column = title.split(" · ")
    labels = [(own.labels.get("articleType"), own.labels.get("gender")) for own in tiny_catalogue.products]
    assert count_told(dialog.get_by_text(re.compile("photos?$")).first.inner_text()) == labels.count((row, column))
    take_screenshot(page, f"catalogue-cell-{size[0]}-{scheme}")
    assert_no_axe_findings(page)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_tree_and_the_colours_lead_to_their_photos(
    looking: Pages, open_page: OpenPage, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(f"{looking.url}/catalogue", size=size, scheme=scheme)
    page.get_by_text("480 products of").wait_for()
    choose_view(page, "Tree")
    page.get_by_role("button", name=re.compile(r" · \d+$")).first.wait_for()
    take_screenshot(page, f"catalogue-tree-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    choose_view(page, "Colours")
    page.get_by_role("img", name=re.compile("measured colour")).first.wait_for(timeout=120_000)
    take_screenshot(page, f"catalogue-colours-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    name = page.get_by_role("button", name=re.compile(r" · \d+$")).first
    n = count_told(name.inner_text())
    name.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("li img").first.wait_for()
    assert count_told(dialog.get_by_text(re.compile("photos?$")).first.inner_text()) == n
    take_screenshot(page, f"catalogue-colour-{size[0]}-{scheme}")


def test_findings_come_with_their_photos(looking: Pages, open_page: OpenPage) -> None:
    page = open_page(f"{looking.url}/catalogue")
    page.get_by_text("480 products of").wait_for()
    choose_view(page, "Findings")
    page.get_by_text("Look at every photo again").wait_for(timeout=120_000)
    page.get_by_text(re.compile(r"^Show (the photo|\d+ photos)$")).first.click()
    page.locator("li img").first.wait_for()
    take_screenshot(page, "catalogue-findings-1280-light")
    assert_no_axe_findings(page)
    choose_view(page, "Photo files")
    page.get_by_text("Usual size").wait_for()
    take_screenshot(page, "catalogue-files-1280-light")
    assert_no_axe_findings(page)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_cell_of_the_confusion_matrix_shows_its_photos_by_mouse_and_by_keyboard(
    looking: Pages, open_page: OpenPage, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(f"{looking.url}/model", size=size, scheme=scheme)
    page.get_by_text("all labels of a product are right").wait_for(timeout=120_000)
    take_screenshot(page, f"model-figures-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    choose_view(page, "Confusions")
    page.get_by_text("Photos with the label").wait_for()
    chart = find_chart(page)
    take_screenshot(page, f"model-confusions-{size[0]}-{scheme}")
    places = [(across, down) for down in (0.6, 0.75, 0.9) for across in (0.6, 0.75, 0.9)]
    for across, down in places:
        page.mouse.click(chart["x"] + across * chart["width"], chart["y"] + down * chart["height"])
        page.wait_for_timeout(1000)
        if page.get_by_role("dialog").count():
            break
    dialog = page.get_by_role("dialog")
    dialog.locator("li").first.wait_for()
    assert "→" in dialog.locator("li").first.inner_text()
    take_screenshot(page, f"model-cell-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    choose(page, "Photos with the label", "Red")
    page.get_by_role("dialog").wait_for()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_slider_says_how_much_needs_no_human(
    looking: Pages, open_page: OpenPage, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(f"{looking.url}/model", size=size, scheme=scheme)
    page.get_by_text("all labels of a product are right").wait_for(timeout=120_000)
    choose_view(page, "Without a look")
    page.get_by_role("heading", name=re.compile("^At 95 % right, ")).wait_for()
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    page.get_by_role("heading", name=re.compile(r"^At 95\.5 % right, ")).wait_for()
    find_chart(page)
    take_screenshot(page, f"model-ease-{size[0]}-{scheme}")
    assert_no_axe_findings(page)


def test_two_bundles_are_compared_and_the_card_is_shown(looking: Pages, open_page: OpenPage) -> None:
    page = open_page(f"{looking.url}/model")
    page.get_by_text("all labels of a product are right").wait_for(timeout=120_000)
    choose_view(page, "Compare")
    choose(page, "Compare with", "other")
    page.get_by_text("Right answers on").wait_for(timeout=120_000)
    take_screenshot(page, "model-compare-1280-light")
    assert_no_axe_findings(page)
    choose_view(page, "Card")
    page.get_by_text("Answers by mean colour").wait_for()
    assert page.get_by_role("heading", level=1).count() == 1


def test_without_a_catalogue_the_pages_say_what_to_do(pages_server: Pages, open_page: OpenPage) -> None:
    page = open_page(f"{pages_server.url}/catalogue")
    page.get_by_text("VESTIARY_CATALOGUE=FOLDER").wait_for()
    page = open_page(f"{pages_server.url}/model")
    page.get_by_text("On the validation split, as the bundle has them").wait_for()
    choose_view(page, "Confusions")
    page.get_by_text("VESTIARY_CATALOGUE=FOLDER").wait_for()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_monitor_begins_empty_and_shows_what_comes_in_by_itself(
    start_pages: Callable[..., Pages], open_page: OpenPage, size: tuple[int, int], scheme: str, tmp_path: Path
) -> None:
    own = start_pages()
    page = open_page(f"{own.url}/monitor", size=size, scheme=scheme)
    page.get_by_text("Nothing was answered on these days").wait_for()
    assert page.get_by_test_id("stAlert").count() == 0
    take_screenshot(page, f"monitor-empty-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    tags = {"season": {"value": "Summer", "confidence": 0.9, "accepted": True, "runners_up": []}}
    with open_ledger(own.ledger) as ledger:
        record = PredictionRecord(
            name="a.jpg",
            source="service",
            bundle="f" * 64,
            bundle_name="tiny",
            accepted=True,
            tags=tags,  # type: ignore[arg-type]
            latency_ms=12.0,
            at=datetime.now(UTC),
        )
        broken = FailureRecord(name="b.jpg", source="service", code="damaged", message="b.jpg is broken.")
        ledger.add([record], [broken])
    page.get_by_text("Last photos that could not be answered").wait_for(timeout=60_000)
    page.get_by_text("1 of 2 pictures could not be answered").wait_for()
    find_chart(page)
    page.mouse.wheel(0, -5000)
    take_screenshot(page, f"monitor-{size[0]}-{scheme}")
    assert_no_axe_findings(page)
    own.stop()
