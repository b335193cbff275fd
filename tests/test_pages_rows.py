"""The rows of a batch as the page shows, corrects and downloads them, without a browser."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the extra 'ui' is not installed")

from batches import Batches, open_batches
from conftest import paint_picture
from vestiary.bundle import open_bundle
from vestiary.errors import UsageError
from vestiary.ledger import PredictionRecord
from vestiary.pages.batch.downloads import draw_report, pack_photos, write_table
from vestiary.pages.batch.rows import Row, Wanted, choose_rows, count_decisions, list_values, read_rows, save_edits
from vestiary.predictor import Predictor
from vestiary.reports.operations import Kind, build_operations_report, choose_period
from vestiary.taxonomy import Attribute, Taxonomy

NAMES = ("b/red.png", "a/green.png", "blue.png", "b/blue.png")
COLOURS = ((250, 5, 5), (5, 250, 5), (5, 5, 250), (5, 5, 220))


@pytest.fixture
def answered(make_bundle: Callable[..., Path], tmp_path: Path) -> Batches:
    """A batch over four photos, one that is pale so that nobody can be sure of it, and one that is no photo."""
    folder = tmp_path / "photos"
    for name, colour in zip(NAMES, COLOURS, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(paint_picture(colour))
    (folder / "pale.png").write_bytes(paint_picture((62, 60, 122)))
    (folder / "broken.jpg").write_bytes(b"no photo at all")
    batches = open_batches(open_bundle(make_bundle()), tmp_path / "batch")
    batches.run(folder)
    return batches


def rows_of(batches: Batches) -> list[Row]:
    (job,) = batches.ledger.jobs()
    return list(read_rows(batches.ledger, job.id))


def names(rows: list[Row]) -> list[str]:
    return [row.name for row in rows]


def correct(batches: Batches, rows: list[Row], edits: dict[int, dict[str, Any]], reviewer: str = "Anna") -> int:
    return save_edits(batches.ledger, rows, edits, taxonomy=batches.bundle.taxonomy, reviewer=reviewer)


def test_rows_say_what_the_model_said(answered: Batches) -> None:
    rows = {row.name: row for row in rows_of(answered)}
    assert set(rows) == {*NAMES, "pale.png", "broken.jpg"}
    assert rows["a/green.png"].value("baseColour") == "Green"
    assert rows["a/green.png"].decision == "sure"
    assert rows["pale.png"].decision == "review"
    assert rows["broken.jpg"].decision == "failed"
    assert rows["broken.jpg"].problem is not None
    assert "not a picture" in rows["broken.jpg"].problem
    assert count_decisions(rows.values()) == {"sure": 4, "review": 1, "failed": 1}
    assert list_values(rows.values(), "baseColour")[0] == "Blue"


def test_rows_are_chosen_by_value_confidence_decision_and_name(answered: Batches) -> None:
    rows = rows_of(answered)
    blue = Wanted(attribute="baseColour", values=frozenset({"Blue"}))
    assert names(choose_rows(rows, blue)) == ["b/blue.png", "blue.png", "pale.png"]
    assert names(choose_rows(rows, Wanted(decisions=frozenset({"failed", "review"})))) == ["broken.jpg", "pale.png"]
    assert names(choose_rows(rows, Wanted(confidence=(0.0, 0.9)))) == ["pale.png"]
    assert names(choose_rows(rows, Wanted(words="B/"))) == ["b/blue.png", "b/red.png"]
    assert choose_rows(rows, Wanted(only_corrected=True)) == []


def test_rows_come_in_the_order_asked_for_and_those_without_a_value_last(answered: Batches) -> None:
    rows = rows_of(answered)
    least = names(choose_rows(rows, Wanted(), order="least sure"))
    assert least[0] == "pale.png"
    assert least[-1] == "broken.jpg"
    down = names(choose_rows(rows, Wanted(), order="value", attribute="baseColour", is_down=True))
    assert down[0] == "b/red.png"
    assert down[-1] == "broken.jpg"


def test_an_edited_cell_becomes_a_verdict_and_stays(answered: Batches) -> None:
    rows = choose_rows(rows_of(answered), Wanted())
    place = names(rows).index("pale.png")
    assert correct(answered, rows, {place: {"baseColour": "Green", "season": "Winter"}}) == 2
    (again,) = (row for row in rows_of(answered) if row.name == "pale.png")
    assert again.value("baseColour") == "Green"
    assert again.decision == "sure"
    assert again.confidence() is None
    assert {(one.attribute, one.value, one.reviewer) for one in answered.ledger.verdicts()} == {
        ("baseColour", "Green", "Anna"),
        ("season", "Winter", "Anna"),
    }
    correct(answered, rows, {place: {"baseColour": "Red"}}, reviewer="Ben")
    (again,) = choose_rows(rows_of(answered), Wanted(only_corrected=True))
    assert again.value("baseColour") == "Red", "the newest word counts"


@pytest.mark.parametrize(
    ("name", "value", "reviewer", "sentence"),
    [
        ("pale.png", "Blue", " ", "needs a name"),
        ("broken.jpg", "Blue", "Anna", "could not be answered"),
        ("pale.png", "Mauve", "Anna", "no value 'Mauve'"),
    ],
)
def test_what_cannot_be_corrected_is_refused_and_nothing_is_written(
    answered: Batches, name: str, value: str, reviewer: str, sentence: str
) -> None:
    rows = choose_rows(rows_of(answered), Wanted())
    edits = {names(rows).index("blue.png"): {"season": "Summer"}, names(rows).index(name): {"baseColour": value}}
    with pytest.raises(UsageError, match=sentence):
        correct(answered, rows, edits, reviewer)
    assert not list(answered.ledger.verdicts())


def test_the_csv_has_what_the_model_answers_for_the_same_photos(answered: Batches, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    assert write_table(rows_of(answered), file, taxonomy=answered.bundle.taxonomy, form="csv") == 6
    told = {row["id"]: row for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))}
    predictor = Predictor(answered.bundle)
    for name in (*NAMES, "pale.png"):
        (prediction,) = predictor.predict([tmp_path / "photos" / name])
        for tag in prediction.tags:
            assert told[name][tag.attribute] == tag.value
            assert float(told[name][f"{tag.attribute}_confidence"]) == pytest.approx(tag.confidence, abs=1e-4)
            assert told[name][f"{tag.attribute}_accepted"] == ("yes" if tag.accepted else "no")
    assert told["broken.jpg"]["error"]
    assert told["broken.jpg"]["status"] == "error"


def test_a_correction_is_in_the_tables(answered: Batches, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'ui' is not installed")
    rows = choose_rows(rows_of(answered), Wanted(words="pale"))
    correct(answered, rows, {0: {"baseColour": "Green"}})
    rows = choose_rows(rows_of(answered), Wanted(words="pale"))
    for form in ("csv", "parquet"):
        write_table(rows, tmp_path / f"rows.{form}", taxonomy=answered.bundle.taxonomy, form=form)
    (told,) = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert (told["baseColour"], told["baseColour_confidence"], told["baseColour_accepted"]) == ("Green", None, True)
    assert told["corrected"] == "baseColour"
    assert told["decision"] == "review", "the season is still to be looked at"
    (plain,) = csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text(encoding="utf-8")))
    assert (plain["baseColour"], plain["baseColour_confidence"], plain["corrected"]) == ("Green", "", "baseColour")


def find_in(folder: Path) -> Callable[[PredictionRecord], bytes | None]:
    def find(record: PredictionRecord) -> bytes | None:
        file = folder / record.name
        return file.read_bytes() if file.is_file() else None

    return find


def test_photos_are_packed_by_their_value_as_corrected(answered: Batches, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    rows = choose_rows(rows_of(answered), Wanted(words="red"))
    correct(answered, rows, {0: {"baseColour": "Blue"}})
    (folder / "a" / "green.png").unlink()
    packed = pack_photos(rows_of(answered), tmp_path / "out.zip", attribute="baseColour", find=find_in(folder))
    assert (packed.n, packed.n_missing) == (4, 1)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    blue = {name for name in inside if name.startswith("Blue/")}
    assert {"Blue/red.png", "Blue/blue.png", "Blue/blue_1.png"} <= blue
    assert {inside["Blue/blue.png"], inside["Blue/blue_1.png"]} == {
        paint_picture(COLOURS[2]),
        paint_picture(COLOURS[3]),
    }


def test_a_photo_whose_name_is_no_utf8_is_packed_with_a_mark(answered: Batches, tmp_path: Path) -> None:
    (red,) = [row for row in rows_of(answered) if row.name == "b/red.png"]
    odd = replace(red, record=replace(red.record, name="b/caf\udce9.png"))
    packed = pack_photos([odd], tmp_path / "photos.zip", attribute="baseColour", find=lambda record: b"photo")
    assert packed.n == 1
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        assert archive.namelist() == ["Red/caf\N{REPLACEMENT CHARACTER}.png"]


def test_what_the_bundle_of_a_batch_did_not_know_cannot_be_corrected_in_it(answered: Batches) -> None:
    rows = rows_of(answered)
    fit = Attribute("fit", ("Slim", "Wide"), "Fit")
    newer = Taxonomy((*answered.bundle.taxonomy.attributes, fit))
    place = names(rows).index("blue.png")
    with pytest.raises(UsageError, match=r"blue\.png has no answer for Fit, .* answer the photos again"):
        save_edits(answered.ledger, rows, {place: {"season": "Winter", "fit": "Slim"}}, taxonomy=newer, reviewer="Ada")
    assert list(answered.ledger.verdicts()) == []


def test_photos_without_an_answer_come_first_so_that_a_part_of_a_large_batch_has_them(answered: Batches) -> None:
    assert [row.decision == "failed" for row in rows_of(answered)] == [True, False, False, False, False, False]


def test_too_many_photos_for_a_browser_are_refused_with_the_way_out(answered: Batches, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    with pytest.raises(UsageError, match="--file-by"):
        pack_photos(rows_of(answered), out, attribute="season", find=find_in(tmp_path / "photos"), most_bytes=100)
    assert not list(tmp_path.glob("*.zip*")) and not list(tmp_path.glob(".out*"))


def test_the_report_of_a_batch_is_about_that_batch_alone(answered: Batches, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="the extra 'ui' is not installed")
    (job,) = answered.ledger.jobs()
    rows = choose_rows(rows_of(answered), Wanted(words="pale"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "red.png").write_bytes(paint_picture((240, 5, 5)))
    answered.run(other, out=tmp_path / "batch" / "second")
    correct(answered, rows, {0: {"baseColour": "Green"}})
    (second,) = (own for own in answered.ledger.jobs() if own.id != job.id)
    period = choose_period(1)
    reports = [
        build_operations_report(answered.ledger, Kind.BATCH, period, bundle=answered.bundle, job=own)
        for own in (job, second)
    ]
    assert [(own.n_answered, own.n_failed, own.n_verdicts) for own in reports] == [(5, 1, 1), (1, 0, 0)]
    assert [[one.source for one in own.batches] for own in reports] == [[job.source], [second.source]]
    page = draw_report(answered.ledger, second, bundle=answered.bundle)
    assert second.source in page and job.source not in page
