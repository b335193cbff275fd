"""The catalogue report as its readers meet it: true numbers in every section, one file, nothing from outside."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageDraw

from conftest import Vestiary
from vestiary.catalogue import Catalogue, Preparation, RejectReason, Source, ingest, load_catalogue, prepare
from vestiary.catalogue.steps import DropValues, SplitEach
from vestiary.checks import Finding, Severity
from vestiary.errors import CatalogueError, MissingExtraError, UsageError
from vestiary.product import Product, Split
from vestiary.reports import page as page_module
from vestiary.reports.catalogue import CatalogueReport, build_catalogue_report, render_catalogue_report
from vestiary.reports.figures import find_levels
from vestiary.reports.page import load_page_setter
from vestiary.reports.photos import measure_colour

Element = ElementTree.Element
VOID = {"meta", "img", "br", "hr", "link", "input"}


@pytest.fixture(autouse=True)
def _drawing() -> None:
    for module in ("altair", "vl_convert", "jinja2"):
        pytest.importorskip(module, reason="the extra 'ui' is not installed")


class TreeParser(HTMLParser):
    """Reads a page into elements; fails where a tag is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.builder, self.open = ElementTree.TreeBuilder(), []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in VOID:
            self.builder.end(tag)
        else:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attrs})
        self.builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.builder.end(tag)

    def handle_data(self, data: str) -> None:
        if self.open:
            self.builder.data(data)


def parse(html: str) -> Element:
    parser = TreeParser()
    parser.feed(html)
    assert parser.open == []
    return parser.builder.close()


def text_of(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(page: Element, name: str) -> Element:
    (found,) = [own for own in page.iter("section") if own.get("aria-labelledby") == name]
    return found


def rows_of(table: Element) -> list[list[str]]:
    return [[text_of(cell) for cell in row] for body in table.iter("tbody") for row in body]


def table_of(page: Element, name: str) -> list[list[str]]:
    (found,) = [own for own in page.iter("table") if own.get("id") == name]
    return rows_of(found)


@pytest.fixture(scope="module")
def shop(draw: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A drawn shop with all the faults that the generator knows."""
    return ingest(draw.draw_catalogue(tmp_path_factory.mktemp("shop") / "shop.zip", products=200, seed=3).path)


@pytest.fixture(scope="module")
def report(shop: Catalogue) -> CatalogueReport:
    return build_catalogue_report(shop)


@pytest.fixture(scope="module")
def html(report: CatalogueReport) -> str:
    return render_catalogue_report(report)


@pytest.fixture(scope="module")
def page(html: str) -> Element:
    return parse(html)


@pytest.fixture
def saved(shop: Catalogue, tmp_path: Path) -> Path:
    shop.save(tmp_path / "catalogue")
    return tmp_path / "catalogue"


def labels(catalogue: Catalogue, name: str) -> Counter[str]:
    return Counter(product.labels[name] for product in catalogue.products if name in product.labels)


def change(catalogue: Catalogue, **parts: object) -> Catalogue:
    """The catalogue with its first product changed."""
    first = dataclasses.replace(catalogue.products[0], **parts)
    return dataclasses.replace(catalogue, products=(first, *catalogue.products[1:]))


# ---------------------------------------------------------------- what it says


def test_the_overview_counts_what_is_there(page: Element, shop: Catalogue) -> None:
    counts = shop.counts
    cards = [text_of(card) for card in next(section(page, "overview").iter("ul")).iter("li")]
    assert cards == [
        f"{counts['products']} products in use",
        f"{counts['rows']} rows read",
        f"{counts['rejected_rows']} rows left out",
        f"{counts['products']} pictures",
        f"{counts['groups']} different designs",
        f"{len(shop.taxonomy.names)} questions about each product",
    ]
    assert {row[0]: int(row[1]) for row in table_of(page, "splits")} == counts["splits"]


def test_every_question_tells_its_values_missing_labels_and_imbalance(page: Element, shop: Catalogue) -> None:
    rows = table_of(page, "attributes")
    assert len(rows) == len(shop.taxonomy.attributes)
    for attribute, row in zip(shop.taxonomy.attributes, rows, strict=True):
        counts = labels(shop, attribute.name)
        commonest = min(counts, key=lambda value: (-counts[value], value))
        assert row[0].startswith(f"{attribute.title}mostly {commonest}, ")
        assert [int(cell) for cell in row[1:4]] == [
            len(attribute.values),
            len(shop.products) - counts.total(),
            sum(counts[value] < 10 for value in attribute.values),
        ]
        assert row[4] == f"{round(max(counts.values()) / min(counts.values())):,} : 1"


def test_rows_left_out_are_told_by_reason_with_the_first_lines(page: Element, shop: Catalogue) -> None:
    rows = table_of(page, "rejects")
    assert {row[0]: int(row[1]) for row in rows} == Counter(str(reject.reason) for reject in shop.rejects)
    for reason, _, first in rows:
        own = next(reject for reject in shop.rejects if reject.reason == reason)
        assert first.startswith(f"line {own.line}" if own.line else own.detail)


def test_every_value_is_drawn_and_stands_in_a_table(page: Element, shop: Catalogue) -> None:
    found = section(page, "distributions")
    drawn = " ".join(text_of(svg) for svg in found.iter("svg"))
    tables = [own for own in found.iter("table")]
    for attribute, table in zip(shop.taxonomy.attributes, tables, strict=True):
        counts = labels(shop, attribute.name)
        rows = rows_of(table)
        assert {row[0]: int(row[1]) for row in rows} == {value: counts[value] for value in attribute.values}
        assert [int(row[1]) for row in rows] == sorted((int(row[1]) for row in rows), reverse=True)
        assert all(value[:12] in drawn for value in attribute.values)


def test_the_usual_pairs_are_crossed_and_add_up(page: Element, shop: Catalogue) -> None:
    found = section(page, "crosses")
    assert [text_of(title) for title in found.iter("h3")] == ["Gender × Article type", "Season × Base colour"]
    first, second = found.iter("table")
    for table, across, down in ((first, "gender", "articleType"), (second, "season", "baseColour")):
        both = Counter(
            (product.labels[down], product.labels[across])
            for product in shop.products
            if {down, across} <= product.labels.keys()
        )
        columns = [text_of(cell) for cell in table.iter("th") if cell.get("scope") == "col"][1:]
        told = {(row[0], column): int(n) for row in rows_of(table) for column, n in zip(columns, row[1:], strict=True)}
        assert {pair: n for pair, n in told.items() if n} == both


def test_any_pair_can_be_crossed_and_long_lists_are_folded(shop: Catalogue) -> None:
    report = build_catalogue_report(shop, crosses=["usage×gender", "baseColour , articleType"])
    assert [(cross.across, cross.down) for cross in report.crosses] == [
        ("Gender", "Usage"),
        ("Base colour", "Article type"),
    ]
    wide = report.crosses[1]
    assert len(wide.columns) == 12
    assert wide.columns[-1].endswith("rarer)")
    assert (
        sum(map(sum, wide.counts))
        == wide.n_products
        == sum({"baseColour", "articleType"} <= product.labels.keys() for product in shop.products)
    )
    n_rarer = len(labels(shop, "baseColour")) - 11
    assert f"({n_rarer} rarer)" in render_catalogue_report(report)


@pytest.mark.parametrize(
    ("cross", "sentence"),
    [
        ("gender", "does not name two attributes; write it like: --cross gender,masterCategory."),
        ("gender,gender", "does not name two attributes"),
        ("gender,season,usage", "does not name two attributes"),
        ("gender×size", "names 'size', which the catalogue does not have; choose from: gender, masterCategory"),
    ],
)
def test_a_pair_that_is_not_there_is_refused(cross: str, sentence: str, shop: Catalogue) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        build_catalogue_report(shop, crosses=[cross])


def test_the_tree_nests_values_with_their_counts(page: Element, shop: Catalogue) -> None:
    levels = ("masterCategory", "subCategory", "articleType")
    assert find_levels(shop.taxonomy) == levels
    told: Counter[tuple[str, ...]] = Counter()

    def walk(items: Element, above: tuple[str, ...]) -> None:
        for item in items.findall("li"):
            name = item.find("span")
            assert name is not None
            value, n = text_of(name).replace(" (unusual)", "").rsplit(" ", 1)
            told[*above, value] = int(n)
            for below in item.findall("ul"):
                walk(below, (*above, value))

    walk(next(section(page, "tree").iter("ul")), ())
    expected: Counter[tuple[str, ...]] = Counter()
    for product in shop.products:
        path = tuple(product.labels[level] for level in levels)
        expected.update(path[: depth + 1] for depth in range(len(path)))
    assert told == expected


def test_a_product_in_an_unusual_place_is_marked_and_advised_on(shop: Catalogue) -> None:
    odd = shop.products[0]
    other = next(
        p.labels["masterCategory"] for p in shop.products if p.labels["masterCategory"] != odd.labels["masterCategory"]
    )
    moved = build_catalogue_report(change(shop, labels={**odd.labels, "masterCategory": other}))
    assert moved.n_unusual == 1
    page = parse(render_catalogue_report(moved))
    (marked,) = [item for item in section(page, "tree").iter("li") if item.get("class") == "odd"]
    assert text_of(marked).startswith(f"{odd.labels['subCategory']} (unusual) 1")
    assert "Look at 1 product in an unusual place" in text_of(section(page, "next"))


def test_picture_sizes_modes_and_formats_are_counted(page: Element, shop: Catalogue) -> None:
    found = section(page, "pictures")
    told = {rows[0][0]: int(rows[0][1]) for rows in map(rows_of, found.iter("table"))}
    n = len(shop.products)
    assert told == {"60 × 80": n, "upright": n, "colour": n, "JPEG": n}
    assert "All could be read." in text_of(found)


def test_odd_pictures_and_lost_ones_are_told(make_source: Callable[..., Path]) -> None:
    def encode(mode: str, size: tuple[int, int], kind: str) -> bytes:
        buffer = io.BytesIO()
        Image.new(mode, size, 90).save(buffer, kind)
        return buffer.getvalue()

    place = make_source(
        [{"id": str(number)} for number in range(1, 5)],
        pictures={"2": encode("L", (40, 40), "PNG"), "3": encode("RGB", (50, 20), "JPEG")},
    )
    catalogue = ingest(place)
    (place / "images" / "4.jpg").unlink()
    report = build_catalogue_report(catalogue)
    facts = report.pictures
    assert (facts.n, facts.unreadable) == (4, ("images/4.jpg",))
    assert dict(facts.sizes) == {"12 × 16": 1, "40 × 40": 1, "50 × 20": 1}
    assert dict(facts.shapes) == {"upright": 1, "square": 1, "lying": 1}
    assert dict(facts.modes) == {"colour": 2, "grey": 1}
    assert dict(facts.formats) == {"PNG": 2, "JPEG": 1}
    told = render_catalogue_report(report)
    assert "no picture of Product 4" in told
    assert "Put back the pictures that are gone" in told


def test_swatches_show_the_colour_of_the_product_not_of_its_background(report: CatalogueReport) -> None:
    ((title, swatches),) = report.swatches
    assert title == "Base colour"
    measured = {own.value: own.colour for own in swatches}
    for value, strongest in (("Red", 0), ("Navy Blue", 2), ("Green", 1)):
        colour = measured[value]
        assert colour is not None
        parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert max(parts) == parts[strongest]


def test_the_measured_colour_leaves_the_background_out() -> None:
    image = Image.new("RGB", (60, 80), (250, 250, 250))
    assert measure_colour(image) is None
    ImageDraw.Draw(image).rectangle((20, 20, 40, 60), fill=(200, 30, 40))
    assert measure_colour(image) == (200.0, 30.0, 40.0)


def test_samples_show_pictures_of_their_class_the_same_for_one_seed(
    page: Element, report: CatalogueReport, shop: Catalogue
) -> None:
    finest = labels(shop, "articleType")
    assert report.finest == "Article type"
    assert [row.value for row in report.samples] == sorted(finest, key=lambda value: (-finest[value], value))[:36]
    types = {product.id: product.labels["articleType"] for product in shop.products}
    for row in report.samples:
        assert len(row.photos) == min(4, finest[row.value])
        assert {types[photo.product_id] for photo in row.photos} == {row.value}
    assert len(list(section(page, "samples").iter("img"))) == sum(len(row.photos) for row in report.samples)
    assert build_catalogue_report(shop).samples == report.samples
    assert build_catalogue_report(shop, seed=1).samples != report.samples


def test_findings_come_worst_first_with_pictures_and_remedy(page: Element, shop: Catalogue) -> None:
    assert not [own for own in page.iter("section") if own.get("aria-labelledby") == "findings"]
    ids = tuple(product.id for product in shop.products)
    findings = [
        Finding("labels.rare", Severity.INFO, (), "One value is rare.", "Collect more."),
        Finding("files.dark", Severity.WARNING, ids[:9], "9 pictures are dark.", "Take them again."),
        Finding("files.missing", Severity.ERROR, ("gone", ids[0]), "2 pictures are <missing>.", "Put them back."),
    ]
    report = build_catalogue_report(shop, findings=findings)
    found = section(parse(render_catalogue_report(report)), "findings")
    assert [text_of(title) for title in found.iter("h3")] == [
        "Error: 2 pictures are <missing>.",
        "Warning: 9 pictures are dark.",
        "Info: One value is rare.",
    ]
    assert [len(list(own.iter("img"))) for own in found.iter("div") if "finding" in own.get("class", "")] == [1, 6, 0]
    assert "1 error, 1 warning, 1 info." in text_of(found)
    assert "Put them back." in text_of(found)
    assert report.advice[0].title == "Mend the 1 error found"


def test_findings_of_one_kind_do_not_hide_the_others(shop: Catalogue) -> None:
    ids = [product.id for product in shop.products]
    findings = [
        Finding("duplicates.near", Severity.ERROR, tuple(ids[:n]), f"{n} look alike.", "") for n in range(2, 40)
    ]
    findings.append(Finding("labels.rare", Severity.WARNING, (ids[0],), "One value is rare.", ""))
    report = build_catalogue_report(shop, findings=findings)
    told = [own.finding.message for own in report.findings]
    assert told == [*(f"{n} look alike." for n in range(39, 16, -1)), "One value is rare."]
    assert "24 are shown: the worst of every kind" in render_catalogue_report(report)


def test_a_kind_below_many_others_is_shown_too(shop: Catalogue) -> None:
    ids = [product.id for product in shop.products]
    findings = [
        Finding(f"labels.kind{kind}", Severity.ERROR, tuple(ids[: 9 - n]), f"{kind} {n}", "")
        for kind in range(10)
        for n in range(4)
    ]
    findings.append(Finding("files.blank", Severity.INFO, (), "One is blank.", ""))
    told = [own.finding.message for own in build_catalogue_report(shop, findings=findings).findings]
    firsts, seconds = ([f"{kind} {n}" for kind in range(10)] for n in (0, 1))
    assert told == [*firsts, *seconds, "0 2", "1 2", "2 2", "One is blank."]


def test_further_views_are_no_rows_left_out(shop: Catalogue) -> None:
    views = dataclasses.replace(shop, n_rows=shop.n_rows + 7)
    told = section(parse(render_catalogue_report(build_catalogue_report(views))), "overview")
    cards = [text_of(card) for card in next(told.iter("ul")).iter("li")]
    assert cards[2:4] == ["7 rows that are further views", f"{shop.counts['rejected_rows']} rows left out"]
    sound = dataclasses.replace(views, rejects=(), n_rows=len(shop.products) + 7)
    page = parse(render_catalogue_report(build_catalogue_report(sound)))
    assert "0 rows left out" in text_of(section(page, "overview"))
    assert "every row became a product or a view of one" in text_of(section(page, "overview"))


@pytest.fixture(scope="module")
def prepared(shop: Catalogue) -> Catalogue:
    dropped = shop.products[0].labels["articleType"]
    steps = (DropValues("articleType", (dropped,)), SplitEach("gender"))
    return prepare(shop, Preparation("own", steps))


def test_the_steps_of_the_preparation_are_told_as_inspect_tells_them(
    prepared: Catalogue, page: Element, vestiary: Vestiary, tmp_path: Path
) -> None:
    prepared.save(tmp_path / "catalogue")
    told = parse(render_catalogue_report(build_catalogue_report(prepared)))
    (steps,) = [own for own in told.iter("ol") if own.get("id") == "prepared"]
    inspected = vestiary("inspect", tmp_path / "catalogue")[1].partition("Prepared in this order:\n")[2].splitlines()
    assert [text_of(step).replace("own: ", "own  ") for step in steps] == [line.strip() for line in inspected[:2]]
    assert "left out" in text_of(steps[0])
    assert "As prepared" not in text_of(page)


def test_nothing_is_said_of_designs_where_they_are_not_kept_together(
    prepared: Catalogue, report: CatalogueReport, page: Element
) -> None:
    assert "products of one design always stand in the same part" in text_of(page)
    assert "hold for designs never seen before" in report.advice[-1].text
    for catalogue in (prepared, dataclasses.replace(prepared, split_by="what the source says")):
        told = text_of(parse(render_catalogue_report(build_catalogue_report(catalogue))))
        assert "design" not in told
        assert f"Split by {catalogue.split_by}: products that share a name or a picture may stand" in told
        assert "may stand on both sides" in told


def test_what_the_preparation_left_out_is_nothing_to_mend(prepared: Catalogue) -> None:
    assert RejectReason.LEFT_OUT in {reject.reason for reject in prepared.rejects}
    told = {step.title: step.text for step in build_catalogue_report(prepared).advice}
    assert "preparation" not in told["Mend what was left out"]
    rejects = tuple(reject for reject in prepared.rejects if reject.reason == RejectReason.LEFT_OUT)
    alone = dataclasses.replace(prepared, rejects=rejects)
    assert "Mend what was left out" not in [step.title for step in build_catalogue_report(alone).advice]


def test_advice_follows_from_the_numbers(report: CatalogueReport, shop: Catalogue) -> None:
    told = {step.title: step.text for step in report.advice}
    counts = shop.counts
    assert "1 for “too few fields”" in told["Mend what was left out"]
    missing = len(shop.products) - labels(shop, "usage").total()
    assert f"Usage on {missing} (" in told["Fill in the missing labels"]
    rare = sum(labels(shop, "articleType")[value] < 10 for value in shop.taxonomy["articleType"].values)
    assert f"Article type has {rare} values" in told["Decide about values with fewer than 10 products"]
    assert "60 × 80 pixels" in told["Use larger pictures where you have them"]
    *_, last = report.advice
    assert f"{counts['splits']['train']} products are set aside for learning" in last.text


def test_a_catalogue_without_faults_gets_no_advice_about_them(tiny_catalogue: Catalogue) -> None:
    titles = [step.title for step in build_catalogue_report(tiny_catalogue).advice]
    assert "Mend what was left out" not in titles
    assert "Fill in the missing labels" not in titles


# ---------------------------------------------------------------- how it is made


def test_the_page_is_one_file_without_script_or_anything_from_outside(html: str, page: Element) -> None:
    assert "<script" not in html.lower()
    assert "http" not in html.replace("http://www.w3.org/", "").replace("http-equiv", "")
    assert "javascript:" not in html
    assert not [name for element in page.iter() for name in element.attrib if name.startswith("on")]
    for element in page.iter():
        for name in ("href", "src"):
            assert element.get(name, "#").startswith(("#", "data:image/jpeg;base64,"))
    targets = {element.get("id") for element in page.iter()}
    assert {link.get("href", "")[1:] for link in page.iter("a")} <= targets
    assert len(html) < 2_000_000


def test_everything_that_is_seen_is_also_told(page: Element) -> None:
    assert page.get("lang") == "en"
    images = list(page.iter("img"))
    assert images
    assert all(image.get("alt", "").strip() for image in images)
    held = {
        id(svg)
        for holder in page.iter("div")
        if holder.get("role") == "img" and holder.get("aria-label")
        for svg in holder
    }
    assert {id(svg) for svg in page.iter("svg")} == held
    for table in page.iter("table"):
        assert any(cell.get("scope") == "col" for cell in table.iter("th"))
        assert any(cell.get("scope") == "row" for cell in table.iter("th"))


def test_one_is_singular_and_sentences_have_a_space_between(page: Element, make_source: Callable[..., Path]) -> None:
    small = ingest(make_source([{"id": "1", "season": ""}, {"id": "2", "usage": "NA"}, {"id": "3", "gender": "Boys"}]))
    for own in (page, parse(render_catalogue_report(build_catalogue_report(small)))):
        told = [text_of(element) for tag in ("p", "figcaption") for element in own.iter(tag)]
        assert not [
            text for text in told if re.search(r"\b1 (products|values|pictures|pairs)\b|[a-z][.][0-9A-Z]", text)
        ]
    caption = next(text for text in told if "no label" in text)
    assert caption.endswith("1 product has no label.")


def test_headings_stand_in_order(page: Element) -> None:
    ranks = [int(element.tag[1]) for element in page.iter() if re.fullmatch("h[1-6]", element.tag)]
    assert ranks[0] == 1
    assert ranks.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(ranks))


def test_pictures_are_small_jpegs(page: Element) -> None:
    for image in page.iter("img"):
        data = base64.b64decode(image.get("src", "").partition(",")[2])
        with Image.open(io.BytesIO(data)) as opened:
            assert opened.format == "JPEG"
            assert (str(opened.width), str(opened.height)) == (image.get("width"), image.get("height"))
            assert opened.width <= 90
            assert opened.height <= 120


EVIL = '<script>alert("x")</script><img src=http://evil.example/ onerror="y">'


def test_names_and_labels_stay_text(make_source: Callable[..., Path]) -> None:
    rows = [
        {"id": str(number), "articleType": (EVIL, "Hat")[number], "baseColour": "Bl\x0bue", "productDisplayName": EVIL}
        for number in (0, 1)
    ]
    html = render_catalogue_report(build_catalogue_report(ingest(make_source(rows))))
    page = parse(html)
    assert not list(page.iter("script"))
    assert EVIL in text_of(section(page, "samples"))
    assert all(image.get("src", "").startswith("data:") and not image.get("onerror") for image in page.iter("img"))
    assert {image.get("alt") for image in page.iter("img")} == {EVIL}
    assert "\x0b" not in html
    assert "Bl\N{REPLACEMENT CHARACTER}ue" in html


def shrink(product: Product) -> Product:
    return dataclasses.replace(product, labels={"gender": product.labels["gender"]}, split=Split.TRAIN)


def test_one_question_with_one_answer_makes_a_report_too(make_source: Callable[..., Path]) -> None:
    catalogue = ingest(make_source([{"id": "1"}, {"id": "2"}]))
    taxonomy = dataclasses.replace(catalogue.taxonomy, attributes=(catalogue.taxonomy["gender"],), parents=())
    small = dataclasses.replace(catalogue, taxonomy=taxonomy, products=tuple(map(shrink, catalogue.products)))
    page = parse(render_catalogue_report(build_catalogue_report(small)))
    names = [own.get("aria-labelledby") for own in page.iter("section")]
    assert names == ["overview", "distributions", "pictures", "samples", "next"]


def test_pictures_that_are_gone_altogether_are_one_error(shop: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="which is not there; put it back or ingest again"):
        build_catalogue_report(dataclasses.replace(shop, source=tmp_path / "gone.zip"))


# ---------------------------------------------------------------- PDF


def need_pango() -> Callable[[str], bytes]:
    pytest.importorskip("pypdf", reason="pypdf is not installed")
    try:
        return load_page_setter()
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_the_pdf_has_pages_with_the_same_words(html: str, report: CatalogueReport) -> None:
    set_page = need_pango()
    import pypdf

    reader = pypdf.PdfReader(io.BytesIO(set_page(html)))
    text = " ".join(" ".join(sheet.extract_text() for sheet in reader.pages).split())
    assert 3 <= len(reader.pages) <= 30
    for words in ("Overview", "Gender × Article type", "Tree of categories", "What to do next", "Tshirts"):
        assert words in text
    assert f"1 / {len(reader.pages)}" in text
    assert all(step.title in text for step in report.advice)


def test_the_pdf_loads_nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_page = need_pango()
    secret = tmp_path / "secret.css"
    secret.write_text("p::after { content: 'read from disk' }")
    import pypdf

    page = f'<link rel="stylesheet" href="{secret.as_uri()}"><p>text</p>'
    reader = pypdf.PdfReader(io.BytesIO(set_page(page)))
    assert reader.pages[0].extract_text().strip() == "text"


def test_without_pango_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def require(*_: object, **__: object) -> ModuleType:
        raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setattr(page_module, "require", require)
    with pytest.raises(MissingExtraError, match=r"needs the system library Pango.*apt-get install libpango"):
        load_page_setter()


def test_a_damaged_picture_stays_damaged_once_pdfs_can_be_set() -> None:
    need_pango()
    code = """
import io
from PIL import Image
from vestiary.errors import PictureError
from vestiary.images import DEFAULT_LIMITS, read_picture
from vestiary.reports.page import load_page_setter
file = io.BytesIO()
Image.effect_noise((64, 64), 90).save(file, "JPEG")
load_page_setter()
try:
    read_picture(file.getvalue()[:900], limits=DEFAULT_LIMITS)
except PictureError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.parametrize("space", [205, 215, 225])
def test_the_heading_of_the_findings_stands_with_the_first_of_them(space: int, shop: Catalogue) -> None:
    set_page = need_pango()
    import pypdf

    ids = tuple(product.id for product in shop.products)
    findings = [Finding("files.dark", Severity.ERROR, ids[:6], "Six are dark.", "Take them again.")]
    html = render_catalogue_report(build_catalogue_report(shop, findings=findings))
    head, part = html.partition("</head>")[0], html.partition('<section aria-labelledby="findings">')[2]
    body = f'<div style="height:{space}mm"></div><section>{part.partition("</section>")[0]}</section>'
    sheets = pypdf.PdfReader(io.BytesIO(set_page(f"{head}</head><body>{body}</body></html>"))).pages
    (sheet,) = [own.extract_text() for own in sheets if "Worst findings" in own.extract_text()]
    assert "Six are dark." in sheet


# ---------------------------------------------------------------- the verb


def test_the_verb_writes_one_file_and_says_where(vestiary: Vestiary, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report.html"
    code, told, err = vestiary("report", "catalogue", saved, "--out", out, "--classes", 3, "--cross", "usage,gender")
    assert (code, told) == (0, f"Written to {out} ({out.stat().st_size / 1e6:.1f} MB).\n")
    assert err == "Drawing the charts.\n"
    page = parse(out.read_text(encoding="utf-8"))
    assert text_of(section(page, "crosses")).count("Gender × Usage") == 2
    assert len(section(page, "samples").findall("ul/li")) == 3
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_html_and_pdf_as_json(vestiary: Vestiary, saved: Path, tmp_path: Path) -> None:
    need_pango()
    out, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    code, told, _ = vestiary("report", "catalogue", saved, "--out", out, "--pdf", pdf, "--json")
    assert code == 0
    assert json.loads(told) == [{"path": str(own), "bytes": own.stat().st_size} for own in (out, pdf)]
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_a_file_that_is_there_is_replaced_only_when_asked(vestiary: Vestiary, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine")
    code, told, err = vestiary("report", "catalogue", saved, "--out", out)
    assert (code, told) == (2, "")
    assert err == f"vestiary: {out} already exists; choose another name or add --overwrite.\n"
    assert out.read_text() == "mine"
    assert vestiary("report", "catalogue", saved, "--out", out, "--overwrite")[0] == 0
    assert out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--out", "r.html"], "nowhere holds no catalogue"),
        (["catalogue", "--out", "catalogue"], "catalogue is a folder; name the file to write."),
        (["catalogue", "--out", "r.html", "--pdf", "./r.html"], "--out and --pdf both name r.html"),
        (["catalogue", "--out", "r.html", "--cross", "gender"], "does not name two attributes"),
        (["catalogue", "--out", "catalogue/catalogue.json/r.html"], "r.html cannot be written ("),
        (["nowhere", "--out", "deep/er/r.html"], "nowhere holds no catalogue"),
        (["catalogue", "--out", "r.html", "--bundle", "b"], "--bundle is only used with --labels"),
    ],
)
def test_wrong_use_is_one_sentence_and_leaves_nothing(
    arguments: list[str], sentence: str, vestiary: Vestiary, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    before = sorted(saved.parent.rglob("*"))
    code, told, err = vestiary("report", "catalogue", *arguments)
    assert (code, told) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert sorted(saved.parent.rglob("*")) == before


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def require(module: str, *, extra: str, feature: str) -> ModuleType:
        raise MissingExtraError(
            f"{feature} needs the package '{module}'; install it with: pip install 'vestiary[{extra}]'."
        )

    monkeypatch.setattr(page_module, "require", require)
    return


@pytest.mark.usefixtures("without_extras")
def test_without_the_extra_nothing_is_begun(vestiary: Vestiary, saved: Path, tmp_path: Path) -> None:
    code, told, err = vestiary("report", "catalogue", saved, "--out", tmp_path / "r.html")
    assert (code, told) == (2, "")
    assert "pip install 'vestiary[ui]'" in err
    assert not (tmp_path / "r.html").exists()


def test_a_failure_while_writing_leaves_the_old_file(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r.html"
    out.write_text("old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError) as failure:
        page_module.write_whole(out, b"new")
    assert str(failure.value) == f"{out} cannot be written (No space left on device); choose another place."
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalogue", "r.html"]


def test_a_place_without_the_right_to_write_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(path: Path, mode: int) -> bool:
        asked.append(path)
        return False

    out = tmp_path / "deep" / "er" / "r.html"
    page_module.check_place(out)
    monkeypatch.setattr("os.access", refuse)
    with pytest.raises(UsageError) as failure:
        page_module.check_place(out)
    assert str(failure.value).startswith(f"{out} cannot be written (no right to write in {tmp_path});")
    assert asked == [tmp_path]
    assert not (tmp_path / "deep").exists()


def test_every_picture_is_looked_at_once(
    vestiary: Vestiary, saved: Path, shop: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(shop.open_source())
    read = kind.read
    looks: Counter[str] = Counter()

    def count(self: Source, name: str) -> bytes:
        looks[name] += 1
        return read(self, name)

    monkeypatch.setattr(kind, "read", count)
    monkeypatch.setattr("vestiary.reports.gallery.load_small", lambda *_: None)
    assert vestiary("report", "catalogue", saved, "--out", tmp_path / "r.html")[0] == 0
    assert {looks[name] for product in shop.products for name in product.images} == {1}


def test_likely_label_errors_come_with_their_pictures(
    vestiary: Vestiary, make_source: Callable[..., Path], make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("cleanlab", reason="the extra 'checks' is not installed")
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    hues = {"Red": (220, 30, 30), "Green": (30, 200, 40), "Blue": (20, 40, 210)}
    rows, pictures = [], {}
    for number in range(90):
        name = list(hues)[number % 3]
        rows.append({"id": number, "baseColour": name if number != 4 else "Blue"})
        pictures[str(number)] = tuple(level + number // 3 for level in hues[name])
    ingest(make_source(rows, pictures=pictures)).save(tmp_path / "catalogue")
    out = tmp_path / "r.html"
    code, _, err = vestiary(
        "report", "catalogue", tmp_path / "catalogue", "--out", out, "--labels", "--bundle", make_bundle()
    )
    assert code == 0, err
    found = section(parse(out.read_text(encoding="utf-8")), "findings")
    (own,) = [own for own in found.iter("div") if "4 (images/4.jpg) has baseColour Blue" in text_of(own)[:200]]
    assert "looks like Green" in text_of(own)
    assert [image.get("alt") for image in own.iter("img")] == ["Product 4"]


# ---------------------------------------------------------------- real data


@pytest.mark.slow
def test_the_real_catalogue_stays_readable(real_small: Path, tmp_path: Path) -> None:
    ingest(real_small).save(tmp_path / "catalogue")
    catalogue = load_catalogue(tmp_path / "catalogue")
    html = render_catalogue_report(build_catalogue_report(catalogue))
    assert len(html) < 5_000_000
    page = parse(html)
    drawn = {text_of(own) for own in section(page, "distributions").iter("text")}
    short = {value for value in catalogue.taxonomy["articleType"].values if len(value) < 22}
    assert short <= drawn
    assert len(section(page, "samples").findall("ul/li")) == 36


def test_a_report_about_an_address_holds_no_password(shop: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shop.open_source()
    monkeypatch.setattr(Catalogue, "open_source", lambda _: source)
    report = build_catalogue_report(dataclasses.replace(shop, source="ftp://anna:secret@shop.example"), facts=[])
    assert "secret" not in render_catalogue_report(report)
