"""What the pages Catalogue, Model and Monitor count and choose, without a browser."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the extra 'ui' is not installed")

from streamlit.testing.v1 import AppTest

from conftest import build_bundle, wait_until
from vestiary.bundle import Bundle
from vestiary.catalogue import Catalogue, Progress
from vestiary.charts import SCREEN_BAR, SCREEN_LINE, SCREEN_RARE, Band, contrast, let_pick, plot_counts, to_screen
from vestiary.charts.grid import plot_matrix
from vestiary.charts.screen import INKS
from vestiary.checks import Finding, Severity, run_checks
from vestiary.checks.label_errors import check_label_errors
from vestiary.errors import CatalogueError, UsageError
from vestiary.health import State
from vestiary.ledger import FailureRecord, PredictionRecord, open_ledger
from vestiary.metrics import Outcome
from vestiary.pages import cache, desk
from vestiary.pages.background import Chores
from vestiary.pages.catalogue import survey
from vestiary.pages.catalogue.colours import draw_swatch
from vestiary.pages.desk import Desk, set_desk
from vestiary.pages.gallery import draw_grid
from vestiary.pages.model.comparison import list_bundles
from vestiary.pages.model.coverage import describe_ease
from vestiary.pages.model.evaluation import (
    ease_at,
    evaluate_bundle,
    find_rows,
    find_turned,
    find_wrong,
    share_untouched,
)
from vestiary.pages.model.page import prepare_card
from vestiary.pages.monitor import page as monitor
from vestiary.pages.monitor.page import choose_dates, list_concerns
from vestiary.pages.monitor.watch import Watch, look
from vestiary.pages.shelf import Shelf, cross, match_text, open_shelf
from vestiary.predictor import Predictor, collect_embeddings, evaluate
from vestiary.product import Split
from vestiary.reports.gallery import Photo, Swatch
from vestiary.reports.operations import Period, choose_period
from vestiary.taxonomy import Taxonomy

LIGHT_AND_DARK = ("#ffffff", "#17181a")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture(scope="module")
def shelf(tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("shelf") / "catalogue"
    tiny_catalogue.save(folder)
    return open_shelf(folder)


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Bundle:
    return build_bundle().write(tmp_path / "tiny")


def make_outcome(labels: list[int], answers: list[int], confidence: list[float]) -> Outcome:
    probabilities = np.full((len(labels), 3), 0.0)
    for row, (answer, sure) in enumerate(zip(answers, confidence, strict=True)):
        probabilities[row] = (1 - sure) / 2
        probabilities[row, answer] = sure
    return Outcome("colour", ("Red", "Green", "Blue"), np.array(labels), probabilities, np.array(answers))


# Work in the background


def test_work_is_begun_once_told_and_kept_and_begun_anew_when_forgotten() -> None:
    chores, go, times = Chores(), threading.Event(), []

    def make(progress: Progress) -> int:
        times.append(1)
        progress(3, 4)
        assert go.wait(30)
        return len(times)

    first, second = chores.ask("key", make), chores.ask("key", make)
    assert first is second
    chores.forget("key")  # what goes on is not begun again
    assert chores.ask("key", make) is first
    go.set()
    assert first.result() == 1
    assert first.share == 0.75
    assert chores.ask("key", make) is first
    chores.forget("key")
    assert chores.ask("key", make).result() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_work_in_the_background_lets_everybody_else_go_first() -> None:
    chore = Chores().ask("key", lambda progress: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert chore.result() == 19


def test_a_failure_is_told_to_everybody_who_waits() -> None:
    def fail(progress: Progress) -> None:
        raise CatalogueError("gone.")

    chores = Chores()
    with pytest.raises(CatalogueError, match=r"gone\."):
        chores.ask("key", fail).result()
    assert chores.ask("key", fail).has_failed


def test_only_the_newest_results_stay() -> None:
    chores = Chores(kept=2)
    for key in ("a", "b", "c"):
        chores.ask(key, lambda progress, own=key: own).result()
    again = []
    for key in ("c", "b", "a"):
        chores.ask(key, lambda progress, own=key: again.append(own)).result()
    assert again == ["a"]


def test_what_took_long_is_read_again_unless_it_was_damaged(tmp_path: Path) -> None:
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"x")
        return b"result"

    assert cache.recall("kind", ("a",), make) == cache.recall("kind", ("a",), make) == b"result"
    assert len(made) == 1
    cache.recall("kind", ("b",), make)
    assert len(made) == 2
    for path in (tmp_path / "cache").glob("kind-*"):
        if path.suffix != ".lock":
            path.write_bytes(path.read_bytes()[:-1])
    assert cache.recall("kind", ("a",), make) == b"result"
    assert len(made) == 3
    cache.drop("kind", ("a",))
    cache.recall("kind", ("a",), make)
    assert len(made) == 4


def test_without_a_place_to_keep_it_the_work_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "file" / "cache")
    assert cache.recall("kind", (), lambda: b"done") == b"done"


# The catalogue


def test_a_cell_of_the_cross_tab_has_as_many_photos_as_it_says(shelf: Shelf) -> None:
    crossed = cross(shelf, "gender", "articleType")
    assert crossed.down == "articleType"
    for row, counts in zip(crossed.table.rows, crossed.table.counts, strict=True):
        for column, n in zip(crossed.table.columns, counts, strict=True):
            assert len(shelf.select(crossed.wanted(row, column))) == n
    assert len(shelf.select(crossed.wanted(None, None))) == crossed.table.n_products
    with pytest.raises(UsageError, match="choose two attributes"):
        cross(shelf, "gender", "gender")


def test_the_cell_of_the_rarer_values_holds_all_of_them(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vestiary.reports.figures.MAX_ROWS", 4)
    crossed = cross(shelf, "gender", "articleType")
    last, n = crossed.table.rows[-1], sum(crossed.table.counts[-1])
    assert last.endswith("rarer)")
    assert len(shelf.select(crossed.wanted(last, None))) == n
    named = {product.labels["articleType"] for product in shelf.select(crossed.wanted(last, None))}
    assert not named & set(crossed.table.rows)


def test_photos_come_with_words_and_no_name_becomes_markup(shelf: Shelf) -> None:
    products = list(shelf.catalogue.products[:2])
    photos = shelf.show(products)
    assert [photo.product_id for photo in photos] == [product.id for product in products]
    assert all(photo.url is not None and photo.url.startswith("data:image/jpeg") for photo in photos)
    html = draw_grid([Photo(None, 0, 0, "<b>x</b>", "1", "x")], ["<script>\x00"])
    assert "<b>" not in html
    assert "<script>" not in html
    assert "\x00" not in html
    assert shelf.find(["nobody", products[1].id]) == [products[1]]


def test_what_was_clicked_is_found_though_charts_show_some_letters_otherwise() -> None:
    assert match_text("a\N{REPLACEMENT CHARACTER}", ["b", "a\x00"]) == "a\x00"
    assert match_text("gone", ["b"]) is None
    assert match_text(None, ["b"]) is None


def test_the_survey_is_made_once_and_says_what_the_checks_say(
    tiny_catalogue: Catalogue, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = survey.survey(tiny_catalogue)
    assert list(first.findings) == run_checks(tiny_catalogue)
    assert first.pictures.n == sum(len(product.images) for product in tiny_catalogue.products)
    monkeypatch.setattr(survey, "measure_pictures", lambda *_, **__: pytest.fail("looked at every photo again"))
    assert survey.survey(tiny_catalogue) == first
    survey.forget_survey(tiny_catalogue, tiny_bundle)
    with pytest.raises(pytest.fail.Exception):
        survey.survey(tiny_catalogue)


def test_labels_that_are_probably_wrong_are_looked_for_once(
    tiny_catalogue: Catalogue, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cleanlab", reason="the extra 'checks' is not installed")
    wrong = replace(tiny_catalogue.taxonomy, attributes=(tiny_catalogue.taxonomy["baseColour"],), parents=())
    small = replace(tiny_catalogue, taxonomy=wrong, products=tiny_catalogue.products[:120])
    embeddings = collect_embeddings(Predictor(tiny_bundle), small, small.products)
    found = survey.survey_labels(small, tiny_bundle)
    assert list(found) == check_label_errors(small, embeddings)
    monkeypatch.setattr(survey, "collect_embeddings", lambda *_, **__: pytest.fail("looked at every photo again"))
    assert survey.survey_labels(small, tiny_bundle) == found
    survey.forget_survey(small, tiny_bundle)
    with pytest.raises(pytest.fail.Exception):
        survey.survey_labels(small, tiny_bundle)


def test_a_swatch_tells_its_colour_in_words_and_a_name_is_no_markup() -> None:
    html = draw_swatch(Swatch("<b>Sea</b>", 9, "#0a0b0c", ("#010203", "#040506"), 7))
    assert 'role="img" aria-label="&lt;b&gt;Sea&lt;/b&gt;: measured colour #0a0b0c, in 7 of 9"' in html
    assert html.count("<i ") == 2
    assert "nothing stands out" in draw_swatch(Swatch("Grey", 9, None, (), 0))


# The model


def test_the_evaluation_is_that_of_the_command_line_and_the_model_is_asked_once(
    tiny_bundle: Bundle, tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    first = evaluate_bundle(tiny_bundle, tiny_catalogue, lambda done, total: told.append(done))
    wanted = evaluate(Predictor(tiny_bundle), tiny_catalogue, split=Split.VALIDATION)
    assert first.to_dict() == wanted.to_dict()
    assert told[-1] == first.n
    monkeypatch.setattr("vestiary.pages.model.evaluation.collect_outputs", lambda *_, **__: pytest.fail("asked again"))
    assert evaluate_bundle(tiny_bundle, tiny_catalogue).to_dict() == first.to_dict()


def test_a_catalogue_that_has_nothing_to_measure_is_refused(tiny_bundle: Bundle, tiny_catalogue: Catalogue) -> None:
    only_train = replace(tiny_catalogue, products=tiny_catalogue.select(Split.TRAIN))
    with pytest.raises(CatalogueError, match="validation split of this catalogue has no products"):
        evaluate_bundle(tiny_bundle, only_train)


def test_a_cell_of_the_matrix_leads_to_its_rows_the_surest_first() -> None:
    outcome = make_outcome([0, 0, 0, 1, -1], [1, 1, 0, 1, 1], [0.6, 0.9, 0.8, 0.7, 0.99])
    assert find_rows(outcome, label="Red", answer="Green").tolist() == [1, 0]
    assert find_rows(outcome, label="Red").tolist() == [1, 2, 0]
    assert find_rows(outcome, answer="Green").tolist() == [1, 3, 0]  # the one without a label is left out
    assert find_wrong(outcome, "Red").tolist() == [1, 0]


def test_photos_that_only_one_of_two_bundles_answers_rightly() -> None:
    now = make_outcome([0, 0, 1, -1], [0, 1, 1, 0], [0.9, 0.9, 0.9, 0.9])
    then = make_outcome([0, 0, 1, -1], [1, 0, 1, 1], [0.9, 0.9, 0.9, 0.9])
    assert find_turned(now, then, gained=True).tolist() == [0]
    assert find_turned(now, then, gained=False).tolist() == [1]


def test_how_much_needs_no_human() -> None:
    outcome = make_outcome([0, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0.95, 0.9, 0.8, 0.7, 0.6])
    ease = ease_at(outcome, 0.97)
    assert (ease.coverage, ease.threshold) == (0.6, pytest.approx(0.8))
    assert ease_at(outcome, 0.8).coverage == 1.0
    never = make_outcome([0, 0], [1, 1], [0.9, 0.8])
    assert ease_at(never, 0.9).threshold is None
    assert share_untouched({"one": outcome, "other": make_outcome([0] * 5, [0] * 5, [0.5] * 5)}, 0.97) == 0.6
    assert share_untouched({"one": outcome, "never": make_outcome([0] * 5, [1] * 5, [0.5] * 5)}, 0.97) == 0.0
    assert describe_ease("Season", 0.97, 0.71) == "At 97 % right, 71 % of the answers for Season need no human."
    assert describe_ease("Season", 0.995, 0.0) == "At 99.5 % right, every answer for Season needs a human."


def test_the_card_stands_below_the_page_title_and_fetches_nothing() -> None:
    card = prepare_card("# default\n\n## Data\n\n![logo](https://elsewhere.example/logo.png)\n")
    assert card.splitlines()[0] == "## default"
    assert "### Data" in card
    assert "![" not in card


def test_bundles_to_compare_with_are_those_of_one_folder(tmp_path: Path) -> None:
    build_bundle().write(tmp_path / "bundles" / "one")
    (tmp_path / "bundles" / "notes").mkdir()
    (tmp_path / "bundles" / "two.zip").write_bytes(b"")
    assert list_bundles(tmp_path / "bundles") == ["one", "two.zip"]
    assert list_bundles(tmp_path / "nowhere") == []


# Charts


def test_marks_and_words_stand_out_on_both_pages() -> None:
    for page, is_dark in zip(LIGHT_AND_DARK, (False, True), strict=True):
        assert contrast(INKS[is_dark], page) >= 4.5
        for mark in (SCREEN_BAR, SCREEN_RARE, SCREEN_LINE):
            assert contrast(mark, page) >= 3


def test_a_chart_to_click_tells_its_fields_and_leaves_the_page_its_colours() -> None:
    chart = plot_counts([("Tshirts", 7000), ("Sarees", 3)], rare_below=10)
    spec = to_screen(let_pick(chart, "value"), dark=True)
    (param,) = spec.get("params") or spec["layer"][0]["params"]
    assert param["name"] == "picked"
    assert param["select"]["fields"] == ["value"]
    assert spec["config"]["axis"]["labelColor"] == INKS[True]
    assert "#1b1b1b" not in str(spec)
    assert "params" not in str(chart.to_dict())


def test_the_matrix_has_a_cell_for_each_pair_that_occurs_and_lines_between_bands() -> None:
    values = [f"value {number}" for number in range(141)]
    counts = np.eye(141, dtype=int) * 9
    counts[3, 140] = 1
    chart = plot_matrix(values, counts.tolist(), bands=[Band("first", 0, 70), Band("second", 70, 71)])
    spec = chart.to_dict()
    data = spec["layer"][0]["data"]
    cells = data["values"] if "values" in data else spec["datasets"][data["name"]]
    assert len(cells) == 142
    wrong = next(cell for cell in cells if cell["label"] != cell["answer"])
    assert (wrong["label"], wrong["answer"], wrong["n"], wrong["of"]) == ("value 3", "value 140", 1, 10)
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rect", "rule", "rule"]


# The monitor


def test_days_are_calendar_days_and_both_ends_are_needed() -> None:
    today = choose_period(1).days[0]
    assert choose_dates((today - timedelta(days=2),)) is None
    period = choose_dates((today - timedelta(days=2), today))
    assert period is not None
    assert period.days == (today - timedelta(days=2), today - timedelta(days=1), today)


def test_a_look_at_an_empty_ledger_is_no_failure(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        sight = look(ledger, tiny_bundle, choose_period(7))
    assert sight.report.is_empty
    assert sight.failures == ()
    assert {check.name: check.state for check in sight.checks} == {
        "ledger": State.OK,
        "failures": State.NOT_CHECKED,
        "disk": State.OK,
    }
    assert list_concerns(sight.report) == []


def make_record(name: str, at: datetime) -> PredictionRecord:
    tags = {"season": {"value": "Summer", "confidence": 0.9, "accepted": True, "runners_up": []}}
    return PredictionRecord(
        name=name,
        source="service",
        bundle="f" * 64,
        bundle_name="tiny",
        accepted=True,
        tags=tags,  # type: ignore[arg-type]
        at=at,
    )


def make_failure(name: str, at: datetime) -> FailureRecord:
    return FailureRecord(name=name, source="service", code="damaged", message="broken.", at=at)


def test_the_watch_shows_what_came_in_since_and_the_newest_failures_first(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.pages.monitor.watch.FIRST_S", 60)
    now, period, watch = datetime.now(UTC), choose_period(2), Watch()
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.add([make_record("a.jpg", now)])
        first = watch.latest(ledger, tiny_bundle, period)
        assert first is not None
        assert first.report.n_total == 1
        ledger.add(failures=[make_failure(f"{n}.jpg", now - timedelta(minutes=n)) for n in range(12)])
        again = watch.latest(ledger, tiny_bundle, period)
        assert again is first  # it is left alone for a while
        monkeypatch.setattr(watch, "_is_stale", lambda sight: sight is first)
        last = watch.latest(ledger, tiny_bundle, period)
    assert last is not None
    assert last.report.n_failed == 12
    assert [own.name for own in last.failures] == [f"{n}.jpg" for n in range(10)]
    assert "12 of 13 pictures could not be answered" in list_concerns(last.report)[0]


# The pages as scripts


@pytest.fixture
def run_page(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Callable[..., AppTest]]:
    """``run_page("catalogue", catalogue=…)``: the page after its first run, at a desk with these things."""

    def run(name: str, **parts: Any) -> AppTest:
        predictor = Predictor(tiny_bundle, threads=1)
        set_desk(Desk(bundle=tiny_bundle, predictor=predictor, answer=lambda given: [], jobs=tmp_path, **parts))
        script = f"from vestiary.pages.{name} import show\nshow()"
        return AppTest.from_string(script, default_timeout=120).run()

    yield run
    desk._held.clear()


def read_all(app: AppTest) -> str:
    """Every word of a page, as far as the test can read it."""
    assert not app.exception
    return "\n".join(str(own.value if hasattr(own, "value") else own.proto) for own in [*app.main])


def test_pages_say_what_is_missing_rather_than_fail(run_page: Callable[..., AppTest], tmp_path: Path) -> None:
    assert "VESTIARY_CATALOGUE=FOLDER" in read_all(run_page("catalogue"))
    assert "started without a ledger" in read_all(run_page("monitor"))
    for page in ("catalogue", "model"):
        app = run_page(page, catalogue=tmp_path)
        assert "holds no catalogue" in app.error[0].value
        assert not app.exception


def test_a_value_chosen_by_keyboard_shows_its_photos_page_by_page(
    run_page: Callable[..., AppTest], shelf: Shelf
) -> None:
    assert isinstance(shelf.key, tuple)
    app = run_page("catalogue", catalogue=Path(shelf.key[0]))
    app.selectbox(key="values-attribute").select("season").run()
    app.selectbox(key="values-of-season").select("Summer").run()
    n = sum(product.labels.get("season") == "Summer" for product in shelf.catalogue.products)
    assert f"1–24 of {n} photos" in [own.value for own in app.caption]
    app.button(key="values-page-season-Summer-Next").click().run()
    assert f"25–48 of {n} photos" in [own.value for own in app.caption]


def choose_view(app: AppTest, name: str) -> None:
    app.button_group(key="catalogue-view").set_value(name).run()


def test_each_colour_is_shown_as_its_photos_have_it(run_page: Callable[..., AppTest], shelf: Shelf) -> None:
    assert isinstance(shelf.key, tuple)
    app = run_page("catalogue", catalogue=Path(shelf.key[0]))
    choose_view(app, "Colours")
    wait_until(lambda: "measured colour" in read_all(app.run()))
    counts = [(value, n) for value, n in shelf.distributions["baseColour"].counts if n]
    pressed = [own for own in app.button if (own.key or "").startswith("colours-baseColour-")]
    assert [own.label for own in pressed] == [f"{value} · {n:,}" for value, n in counts]
    pressed[1].click().run()
    assert not app.exception
    value, n = counts[1]
    assert any(own.value.endswith(f"{n} photos") for own in app.caption)
    assert len(shelf.select({"baseColour": {value}})) == n


def test_the_tree_leads_to_the_photos_of_each_place(run_page: Callable[..., AppTest], shelf: Shelf) -> None:
    assert isinstance(shelf.key, tuple)
    app = run_page("catalogue", catalogue=Path(shelf.key[0]))
    choose_view(app, "Tree")
    levels = ("masterCategory", "subCategory", "articleType")
    chosen = app.button_group(key="tree-top").value
    paths = Counter(tuple(own.labels.get(name) for name in levels) for own in shelf.catalogue.products)
    leaves = {path: n for path, n in paths.items() if path[0] == chosen and all(path)}
    shown = {own.key: own for own in app.button if (own.key or "").startswith("tree-")}
    for path, n in leaves.items():
        assert shown[f"tree-{' › '.join(map(str, path))}"].label.startswith(f"{path[-1]} · {n:,}")
    path, n = max(leaves.items(), key=lambda own: own[1])
    shown[f"tree-{' › '.join(map(str, path))}"].click().run()
    assert not app.exception
    assert any(own.value.endswith(f"{n} photos") for own in app.caption)


def test_wrong_labels_are_among_the_findings_when_they_are_asked_for(
    run_page: Callable[..., AppTest], shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(shelf.key, tuple)
    odd = shelf.catalogue.products[7]
    wrong = Finding("labels.likely_error", Severity.WARNING, (odd.id,), "It looks like something else.", "Look at it.")
    monkeypatch.setattr("vestiary.pages.catalogue.page.survey_labels", lambda *_: (wrong,))
    app = run_page("catalogue", catalogue=Path(shelf.key[0]))
    choose_view(app, "Findings")
    wait_until(lambda: "What to do next" in [own.label for own in app.run().expander])
    assert "It looks like something else." not in [own.value for own in app.text]
    app.toggle(key="findings-labels").set_value(True).run()
    wait_until(lambda: "labels probably wrong (1)" in app.run().selectbox(key="findings-about").options)
    app.selectbox(key="findings-about").select("labels probably wrong").run()
    assert not app.exception
    assert app.text[0].value == "It looks like something else."
    (box,) = [own for own in app.toggle if own.label == "Show the photo"]
    box.set_value(True).run()
    assert odd.id in read_all(app)


def test_a_catalogue_of_other_attributes_is_refused_by_the_model_page(
    run_page: Callable[..., AppTest], tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    other = Taxonomy((replace(tiny_catalogue.taxonomy["gender"]),))
    products = tuple(replace(own, labels={"gender": own.labels["gender"]}) for own in tiny_catalogue.products)
    replace(tiny_catalogue, taxonomy=other, products=products).save(tmp_path / "other")
    app = run_page("model", catalogue=tmp_path / "other")
    wait_until(lambda: bool(app.run().error))
    assert "has gender, but tiny answers baseColour, season" in app.error[0].value


def test_a_catalogue_without_a_label_to_measure_on_is_refused_by_the_model_page(
    run_page: Callable[..., AppTest], tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    colours = Taxonomy((tiny_catalogue.taxonomy["baseColour"],))
    products = tuple(
        replace(own, labels={"baseColour": own.labels["baseColour"]} if own.split == Split.TRAIN else {})
        for own in tiny_catalogue.products
    )
    replace(tiny_catalogue, taxonomy=colours, products=products).save(tmp_path / "other")
    app = run_page("model", catalogue=tmp_path / "other")
    wait_until(lambda: bool(app.run().error))
    assert "No product of the validation split has a label of baseColour" in app.error[0].value


def miss_photos(*given: object) -> None:
    raise CatalogueError("The photos are away; mount their disk.")


def test_figures_that_could_not_be_worked_out_are_when_somebody_looks_again(
    run_page: Callable[..., AppTest], tiny_catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_catalogue.save(tmp_path / "catalogue")
    with monkeypatch.context() as patch:
        patch.setattr("vestiary.pages.model.evaluation.evaluate_bundle", miss_photos)
        app = run_page("model", catalogue=tmp_path / "catalogue")
        wait_until(lambda: bool(app.error or app.run().error))
    assert "The photos are away" in app.error[0].value
    wait_until(lambda: bool(app.run().dataframe))
    assert not app.error


def test_wrong_labels_that_could_not_be_looked_for_are_when_somebody_looks_again(
    run_page: Callable[..., AppTest], tiny_catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_catalogue.save(tmp_path / "catalogue")
    monkeypatch.setattr("vestiary.pages.catalogue.page.survey_labels", miss_photos)
    app = run_page("catalogue", catalogue=tmp_path / "catalogue")
    choose_view(app, "Findings")
    wait_until(lambda: "What to do next" in [own.label for own in app.run().expander])
    app.toggle(key="findings-labels").set_value(True)
    wait_until(lambda: bool(app.run().error))
    assert "The photos are away" in app.error[0].value
    monkeypatch.setattr("vestiary.pages.catalogue.page.survey_labels", lambda *_: ())
    wait_until(lambda: not app.run().error)


class Tomorrow(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Tomorrow:
        return super().now(tz) + timedelta(days=1)


def test_the_monitor_left_open_over_midnight_follows_to_the_new_day(
    run_page: Callable[..., AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Period] = []
    parts: list[Any] = []
    monkeypatch.setattr(monitor.WATCH, "latest", lambda ledger, bundle, period: asked.append(period))
    live = monitor._show_live
    monkeypatch.setattr(monitor, "_show_live", lambda *given: parts.append(given) or live(*given))
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert not run_page("monitor", ledger=ledger).exception
        monkeypatch.setattr("vestiary.reports.operations.period.datetime", Tomorrow)
        inspect.unwrap(live)(*parts[-1])  # as the page does by itself, every few seconds
    assert asked[-1].days[-1] == asked[0].days[-1] + timedelta(days=1)


def test_the_monitor_reads_the_days_that_are_chosen(run_page: Callable[..., AppTest], tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        now = datetime.now(UTC)
        ledger.add([make_record("a.jpg", now), make_record("b.jpg", now - timedelta(days=20))])
        app = run_page("monitor", ledger=ledger)
        wait_until(lambda: bool(app.run().metric))
        assert app.metric[0].value == "1"
        app.button_group(key="monitor-days").set_value("30 days").run()
        wait_until(lambda: bool(app.run().metric) and app.metric[0].value == "2")
