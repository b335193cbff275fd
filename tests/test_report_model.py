"""The model report and the model card as their readers meet them: true figures, one file, nothing from outside."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from conftest import Vestiary
from test_report_catalogue import parse, text_of
from vestiary.bundle import Bundle, open_bundle
from vestiary.catalogue import Catalogue, ingest
from vestiary.charts import draw_matrix, plot_lines, render_svg
from vestiary.metrics import Evaluation, compare
from vestiary.predictor import Predictor, calibrate_bundle, evaluate, evaluate_outputs, take_all_views
from vestiary.product import Split
from vestiary.reports.bias import compare_people, count_adult_labels
from vestiary.reports.card import NOT_RECORDED, write_card
from vestiary.reports.model import ModelReport, build_model_report, load_log, render_model_report
from vestiary.reports.model.training import trace_training
from vestiary.taxonomy import Attribute, Taxonomy

Element = ElementTree.Element
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _drawing() -> None:
    for module in ("altair", "vl_convert", "jinja2"):
        pytest.importorskip(module, reason="the extra 'ui' is not installed")


@pytest.fixture(scope="module")
def evaluated(tiny_catalogue: Catalogue, trained_bundle: Path) -> tuple[Bundle, Evaluation]:
    bundle = open_bundle(trained_bundle)
    return bundle, evaluate(Predictor(bundle, threads=1), tiny_catalogue, split=None)


@pytest.fixture(scope="module")
def report(tiny_catalogue: Catalogue, evaluated: tuple[Bundle, Evaluation]) -> ModelReport:
    bundle, evaluation = evaluated
    views = take_all_views(bundle, tiny_catalogue, evaluation)
    return build_model_report(
        bundle, tiny_catalogue, evaluation, views=views, comparison=compare(evaluation, evaluation)
    )


@pytest.fixture(scope="module")
def page(report: ModelReport) -> Element:
    return parse(render_model_report(report))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"  # text_of makes every space a plain one


def section(page: Element, name: str) -> Element:
    (found,) = [own for own in page.iter("section") if own.get("aria-labelledby") == name]
    return found


def test_the_headline_has_the_figures_of_the_evaluation(page: Element, evaluated: tuple[Bundle, Evaluation]) -> None:
    _, evaluation = evaluated
    rows = section(page, "figures").findall(".//tbody/tr")
    assert len(rows) == len(evaluation.attributes)
    for row, own in zip(rows, evaluation.attributes.values(), strict=True):
        assert own.accuracy is not None
        told = text_of(row)
        assert percent(own.accuracy) in told
        low, high = own.intervals["accuracy"]
        assert f"{100 * low:.1f}–{100 * high:.1f}" in told


def test_every_section_is_there_and_linked(page: Element) -> None:
    names = [own.get("aria-labelledby") for own in page.iter("section")]
    assert names[:5] == ["figures", "views", "comparison", "confidence", "acceptance"]
    assert {"values", "confusion", "losses", "sample", "agreement", "people", "training"} <= set(names)
    links = {own.get("href") for own in page.find(".//nav").iter("a")}
    assert links == {f"#{name}" for name in names}


def test_the_page_holds_no_script_and_loads_nothing(report: ModelReport) -> None:
    html = render_model_report(report)
    assert "<script" not in html
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert "url(http" not in html


def test_pictures_and_drawings_are_told_in_words(page: Element) -> None:
    assert all(own.get("alt") for own in page.iter("img"))
    for panel in page.iter("div"):
        if panel.get("role") == "img":
            assert len(panel.get("aria-label") or "") > 20
    for table in page.iter("table"):
        assert table.findall("./thead/tr/th[@scope='col']")


def test_the_matrix_counts_what_the_evaluation_counts(
    page: Element, report: ModelReport, evaluated: tuple[Bundle, Evaluation]
) -> None:
    _, evaluation = evaluated
    for own in report.attributes:
        outcome = evaluation.outcomes[own.name]
        assert own.matrix.counts.sum() == (outcome.labels >= 0).sum()
        assert np.trace(own.matrix.counts) == outcome.right[outcome.known].sum()
    titles = [text_of(own) for own in section(page, "confusion").iter("title")]
    finest = report.finest.matrix
    row, column = np.argwhere(finest.counts > 0)[0]
    n, total = finest.counts[row, column], finest.counts[row].sum()
    assert f"{finest.values[row]} answered as {finest.values[column]}: {n} of {total}" in titles


def test_values_under_one_category_stand_together(report: ModelReport, tiny_catalogue: Catalogue) -> None:
    matrix = report.finest.matrix
    masters = {own.labels["articleType"]: own.labels["masterCategory"] for own in tiny_catalogue.products}
    for band in matrix.bands:
        assert {masters[value] for value in matrix.values[band.start : band.start + band.n]} == {band.name}
    assert len({band.name for band in matrix.bands}) == len(matrix.bands)


def test_confused_pairs_and_losses_are_wrong_answers_with_pictures(
    report: ModelReport, evaluated: tuple[Bundle, Evaluation]
) -> None:
    _, evaluation = evaluated
    rows = {product.id: row for row, product in enumerate(evaluation.products)}
    shown = 0
    for own in report.attributes:
        outcome = evaluation.outcomes[own.name]
        for pair in own.pairs:
            assert pair.true != pair.predicted
            for photo in pair.photos:
                row = rows[photo.product_id]
                assert outcome.values[outcome.labels[row]] == pair.true
                assert outcome.values[outcome.answers[row]] == pair.predicted
                assert (photo.url or "").startswith("data:image/jpeg;base64,")
                shown += 1
        chances = [loss.chance for loss in own.losses]
        assert chances == sorted(chances)
        assert all(loss.true != loss.predicted for loss in own.losses)
    assert shown


def test_the_sample_shows_every_answer_beside_its_label(report: ModelReport, page: Element) -> None:
    assert len(report.answered) == 24
    figures = section(page, "sample").findall(".//figure")
    assert len(figures) == 24
    for figure, own in zip(figures, report.answered, strict=True):
        lines = [text_of(line) for line in figure.iter("li")]
        for line, cell in zip(lines, own.cells, strict=True):
            assert line.startswith("✓" if cell.right else "?" if cell.label is None else "✗")
            assert cell.answer in line


def test_views_are_in_the_report(page: Element, report: ModelReport) -> None:
    rows = section(page, "views").findall(".//tbody/tr")
    for row, view in zip(rows, report.views, strict=True):
        (own,) = view.attributes.values()
        assert own.accuracy is not None
        cells = [text_of(cell) for cell in row]
        assert cells[:4] == [view.view, str(len(own.values)), f"{view.n:,}", f"{view.left_out:,}"]
        assert cells[4].startswith(percent(own.accuracy))


def test_the_log_of_a_training_becomes_curves(report: ModelReport, page: Element, trained_bundle: Path) -> None:
    log = trained_bundle.with_name("bundle.training") / "log.csv"
    with log.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert report.curves is not None
    assert report.curves.epochs == len(rows)
    assert [line.name for line in report.curves.losses] == ["training", "validation"]
    assert report.curves.losses[0].points[-1] == (len(rows), float(rows[-1]["train_loss"]))
    assert {line.name for line in report.curves.accuracies} == set(report.bundle.taxonomy.names)
    assert "Accuracy on validation" in text_of(section(page, "training"))


def test_the_log_in_a_bundle_goes_before_one_that_lies_beside_it(
    tiny_catalogue: Catalogue, evaluated: tuple[Bundle, Evaluation]
) -> None:
    bundle, evaluation = evaluated
    beside = [{"epoch": number, "train_loss": 9.0} for number in (1, 2)]
    curves = build_model_report(bundle, tiny_catalogue, evaluation, log=beside).curves
    assert curves is not None and curves.epochs == len(bundle.training["log"])
    older = replace(bundle, training={key: value for key, value in bundle.training.items() if key != "log"})
    curves = build_model_report(older, tiny_catalogue, evaluation, log=beside).curves
    assert curves is not None and curves.epochs == 2


def test_a_log_with_gaps_or_without_epochs_is_no_trouble(tmp_path: Path) -> None:
    assert load_log(tmp_path / "log.csv") == []
    (tmp_path / "log.csv").write_text("epoch,train_loss,gender,note\n1,nan,0.5,x\n2,1.5,0.6,\n", encoding="utf-8")
    curves = trace_training(load_log(tmp_path / "log.csv"), ["gender"])
    assert curves is not None
    assert curves.losses[0].points == ((2.0, 1.5),)
    assert curves.accuracies[0].points == ((1.0, 0.5), (2.0, 0.6))
    assert trace_training([], ["gender"]) is None


def _own(make_source: Callable[..., Path]) -> Catalogue:
    """Two red and a blue picture, one of them labelled wrongly."""
    rows = [{"id": number, "baseColour": colour} for number, colour in ((1, "Red"), (2, "Red"), (3, "Red"))]
    return ingest(make_source(rows, pictures={"1": (250, 0, 0), "2": (240, 9, 0), "3": (0, 0, 250)}))


def test_one_attribute_of_a_merchants_own_without_any_rule(
    make_bundle: Callable[..., Path], make_source: Callable[..., Path]
) -> None:
    taxonomy = Taxonomy((Attribute("baseColour", ("Blue <i>", "Red")),))
    rule = {"baseColour": ((0.0, 0.0, 8.0, 0.0), (8.0, 0.0, 0.0, 0.0))}
    bundle = open_bundle(make_bundle(taxonomy=taxonomy, rule=rule))
    catalogue = _own(make_source)
    evaluation = evaluate(Predictor(bundle, threads=1), catalogue, split=None)
    page = parse(render_model_report(build_model_report(bundle, catalogue, evaluation)))
    names = [own.get("aria-labelledby") for own in page.iter("section")]
    assert not {"views", "agreement", "people", "comparison"} & set(names)
    assert percent(2 / 3) in text_of(section(page, "figures"))
    assert "Blue <i>" in text_of(section(page, "confusion"))
    assert "holds no log of its training" in text_of(section(page, "training"))


def test_a_catalogue_without_any_label_of_the_bundle_still_gives_a_page(
    make_bundle: Callable[..., Path], make_source: Callable[..., Path]
) -> None:
    bundle = open_bundle(make_bundle())
    catalogue = _own(make_source)
    products = tuple(replace(own, labels={"baseColour": "Red"}) for own in catalogue.products)
    catalogue = replace(catalogue, products=products)
    evaluation = evaluate(Predictor(bundle, threads=1), catalogue, split=None)
    text = text_of(parse(render_model_report(build_model_report(bundle, catalogue, evaluation))))
    assert "Not measured, since no product has a label: season." in text


def test_an_attribute_about_people_without_a_label_is_no_trouble(
    make_bundle: Callable[..., Path], make_source: Callable[..., Path]
) -> None:
    taxonomy = Taxonomy((Attribute("gender", ("Men", "Boys", "Women")),))
    bundle = open_bundle(make_bundle(taxonomy=taxonomy, rule={"gender": ((1.0, 0.0, 0.0, 0.0),) * 3}))
    catalogue = ingest(make_source([{"id": number, "gender": "Men"} for number in (1, 2, 3)]))
    catalogue = replace(catalogue, products=tuple(replace(own, labels={}) for own in catalogue.products))
    evaluation = _people(bundle, catalogue)
    text = text_of(parse(render_model_report(build_model_report(bundle, catalogue, evaluation))))
    assert "Not measured, since no product has a label: gender." in text
    assert "No attribute with labels here is about people" in write_card(bundle, catalogue, evaluation)


def test_a_matrix_says_its_cells_in_words_and_keeps_zero_pale() -> None:
    svg, width = draw_matrix(("a & b", "c"), [[3, 1], [0, 2]], description="x < y")
    tree = ElementTree.fromstring(svg)
    assert tree.get("viewBox") == f"0 0 {width} {width}"
    titles = [own.text for own in tree.iter(f"{SVG}title")]
    assert titles == [
        "x < y",
        "a & b answered as a & b: 3 of 4",
        "a & b answered as c: 1 of 4",
        "c answered as c: 2 of 2",
    ]
    many = [f"value {number}" for number in range(141)]
    _, wide = draw_matrix(many, np.eye(141, dtype=int).tolist())
    assert wide > 141 * 11


def test_a_single_line_has_no_legend() -> None:
    from vestiary.charts import Line

    line = Line("only", ((1, 1), (2, 3)))
    assert "only" not in render_svg(plot_lines([line], across="epoch", up="loss"))
    two = render_svg(plot_lines([line, Line("other", ((1, 2), (2, 2)))], across="epoch", up="loss"))
    assert "only" in two
    assert "other" in two


def _people(bundle: Bundle, catalogue: Catalogue) -> Evaluation:
    logits = {"gender": np.array([[4, 0, 0], [4, 0, 0], [0, 4, 0]], dtype=np.float32)}
    return evaluate_outputs(bundle, catalogue, catalogue.products, logits, split="all")


def test_adult_labels_on_products_for_children_are_counted(
    make_bundle: Callable[..., Path], make_source: Callable[..., Path]
) -> None:
    taxonomy = Taxonomy((Attribute("gender", ("Men", "Boys", "Women")),))
    bundle = open_bundle(make_bundle(taxonomy=taxonomy, rule={"gender": ((1.0, 0.0, 0.0, 0.0),) * 3}))
    rows = [
        {"id": 1, "gender": "Men", "productDisplayName": "Kids Blue Shirt"},
        {"id": 2, "gender": "Men", "productDisplayName": "Blue Shirt"},
        {"id": 3, "gender": "Men", "productDisplayName": "Boy's Cap"},
    ]
    catalogue = ingest(make_source(rows))
    evaluation = _people(bundle, catalogue)
    adults = count_adult_labels(evaluation)
    assert adults is not None
    assert (adults.n, adults.answered) == (2, 1)
    people = compare_people(evaluation)
    assert people is not None
    name, finest, groups = people
    assert (name, finest) == ("gender", None)
    assert (groups[0].value, groups[0].n, groups[0].others) == ("Men", 3, (("Boys", 1),))
    assert "gender right | no other attribute right" in write_card(bundle, catalogue, evaluation)


def test_bars_and_line_breaks_in_names_leave_the_tables_of_the_card_whole(
    make_bundle: Callable[..., Path], make_source: Callable[..., Path]
) -> None:
    taxonomy = Taxonomy((Attribute("size|fit", ("S|M", "L\nXL")), Attribute("gender", ("Men|Boys", "A\\|B"))))
    rule = {name: ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)) for name in taxonomy.names}
    bundle = open_bundle(make_bundle(taxonomy=taxonomy, rule=rule))
    catalogue = ingest(make_source([{"id": number, "gender": "Men"} for number in range(1, 61)]))
    products = [
        replace(own, labels={name: taxonomy[name].values[n % 2] for name in taxonomy.names})
        for n, own in enumerate(catalogue.products)
    ]
    catalogue = replace(catalogue, taxonomy=taxonomy, products=tuple(products))
    logits = {name: np.float32([[n % 3, 1] for n in range(60)]) for name in taxonomy.names}
    card = write_card(bundle, catalogue, evaluate_outputs(bundle, catalogue, catalogue.products, logits, split="all"))
    tables = [block.splitlines() for block in card.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert {len(re.findall(r"(?:\\.|[^|\\])*\|", row)) for row in table} == {table[1].count("|")}
    assert r"| size\|fit | S\|M | 30 |" in card
    assert r"| size\|fit | L XL | 30 |" in card
    assert r"| A\\\|B | 30 |" in card


def test_the_card_of_a_training_is_complete(trained_bundle: Path, tiny_catalogue: Catalogue) -> None:
    bundle = open_bundle(trained_bundle)
    card = bundle.card
    headings = re.findall(r"^## (.+)$", card, flags=re.MULTILINE)
    assert headings == [
        "Data",
        "Figures on the validation split",
        "Calibration",
        "Where it fails",
        "Equally good for everybody?",
        "Limits",
        "How it was made",
    ]
    assert NOT_RECORDED not in card
    assert "None" not in card
    assert "nan" not in card
    counts = tiny_catalogue.counts["splits"]
    assert f"{counts['train']:,} to learn from, {counts['validation']:,} for validation" in card
    accuracy = bundle.scores["validation"]["articleType"]["accuracy"]
    assert re.search(rf"\| articleType \| \d+ \| {counts['validation']} \| {100 * accuracy:.1f} % \(", card)
    assert "cores" in card
    assert f"vestiary train CATALOGUE --recipe {bundle.name}" in card
    for line in card.splitlines():
        if line.startswith("|"):
            assert all(cell.strip() for cell in line.strip("|").split("|"))


def test_a_bundle_that_recorded_nothing_gets_a_card_that_says_so(
    make_bundle: Callable[..., Path], make_source: Callable[..., Path]
) -> None:
    bundle, catalogue = open_bundle(make_bundle(training={})), _own(make_source)
    card = write_card(bundle, catalogue, evaluate(Predictor(bundle, threads=1), catalogue, split=None))
    assert f"Machine: {NOT_RECORDED}." in card
    assert "No attribute with labels here is about people" in card
    assert "They come from another catalogue" in card


def test_a_bundle_calibrated_elsewhere_says_on_what(trained_bundle: Path, tiny_catalogue: Catalogue) -> None:
    half = tiny_catalogue.products[::2]
    other = replace(tiny_catalogue, products=half)
    made, evaluation = calibrate_bundle(open_bundle(trained_bundle), other)
    card = write_card(made, other, evaluation)
    n = len(other.select(Split.VALIDATION))
    assert f"fitted again on {n} validation products of another catalogue" in card
    assert "for validation (temperatures and thresholds)" not in card
    assert "were fitted on these same products" in card
    assert "They come from another catalogue" in card
    page = render_model_report(build_model_report(made, other, evaluation))
    assert "also chose the temperatures and thresholds" in text_of(parse(page))


def test_the_card_tells_the_epochs_that_were_run_and_quotes_the_licence(
    trained_bundle: Path, tiny_catalogue: Catalogue
) -> None:
    bundle = open_bundle(trained_bundle)
    evaluation = evaluate(Predictor(bundle, threads=1), tiny_catalogue, split=Split.VALIDATION)
    log = bundle.training["log"]
    assert f"- Epochs: {len(log)}.\n" in bundle.card
    spaced = replace(bundle, licence="CC BY 4.0")
    assert "--licence 'CC BY 4.0' --out" in write_card(spaced, tiny_catalogue, evaluation)
    early = replace(bundle, training={**bundle.training, "log": log[:2], "epoch": 1})
    assert "- Epochs: 2, with the weights after epoch 1.\n" in write_card(early, tiny_catalogue, evaluation)


def test_a_split_that_names_may_cross_is_not_praised(trained_bundle: Path, tiny_catalogue: Catalogue) -> None:
    bundle = open_bundle(trained_bundle)
    evaluation = evaluate(Predictor(bundle, threads=1), tiny_catalogue)
    assert "None of their names or pictures occur" in write_card(bundle, tiny_catalogue, evaluation)
    card = write_card(bundle, replace(tiny_catalogue, split_by="each product on its own"), evaluation)
    assert "None of their names or pictures occur" not in card
    assert "The splits go by each product on its own: names and pictures may stand" in card


def test_page_pdf_and_card_on_the_command_line(
    tiny_catalogue: Catalogue,
    trained_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vestiary: Vestiary,
) -> None:
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")
    if importlib.util.find_spec("weasyprint") is None:  # importing it here would change Pillow for all other tests
        pytest.skip("the extra 'pdf' is not installed")
    tiny_catalogue.save(tmp_path / "catalogue")
    places = {name: tmp_path / "out" / name for name in ("report.html", "report.pdf", "card.md")}
    command = ["report", "model", trained_bundle, tmp_path / "catalogue", "--split", "validation", "--against"]
    command += [trained_bundle, "--out", places["report.html"], "--pdf", places["report.pdf"]]
    notes = tmp_path / "notes.md"
    notes.write_text("Tried on 27 photos of Bodø besides.\n", encoding="utf-8")
    command += ["--card", places["card.md"], "--notes", notes, "--json"]
    code, out, _ = vestiary(*command)
    assert code == 0
    told = {Path(own["path"]): own["bytes"] for own in json.loads(out)}
    assert told == {
        place: place.stat().st_size for place in (places["report.html"], places["card.md"], places["report.pdf"])
    }
    page = parse(places["report.html"].read_text(encoding="utf-8"))
    assert "also chose the temperatures and thresholds" in text_of(page)
    assert len(pypdf.PdfReader(places["report.pdf"]).pages) >= 3
    # The card of the training, but for the views and the fingerprint, which it could not know.
    card = places["card.md"].read_text(encoding="utf-8")
    trained = open_bundle(trained_bundle)
    assert trained.fingerprint in card
    assert "## Notes\n\nTried on 27 photos of Bodø besides.\n\n## Limits\n" in card
    assert set(trained.card.splitlines()) <= set(card.splitlines())
    code, _, err = vestiary(*command)
    assert (code, "already exists" in err) == (2, True)
    monkeypatch.chdir(trained_bundle)
    here = ["report", "model", ".", tmp_path / "catalogue", "--split", "validation", "--out", tmp_path / "here.html"]
    code, _, err = vestiary(*here)
    assert (code, (tmp_path / "here.html").is_file()) == (0, True), err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--notes", "notes.md"], "there is no card; add --card FILE."),
        (["--notes", "gone.md", "--card", "card.md"], "--notes gone.md cannot be read as UTF-8 text; name a"),
    ],
)
def test_notes_need_a_card_and_a_file(
    options: list[str], sentence: str, trained_bundle: Path, vestiary: Vestiary, tmp_path: Path
) -> None:
    code, _, err = vestiary("report", "model", trained_bundle, tmp_path, "--out", tmp_path / "r.html", *options)
    assert (code, sentence in err) == (2, True), err
