"""Batches as their users meet them: every picture answered once, whatever the source and the format."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from batches import Batches, open_batches, paint_folder
from conftest import paint_picture
from vestiary.batch import job, pipeline
from vestiary.bundle import open_bundle
from vestiary.errors import BatchError, MissingExtraError, UsageError
from vestiary.ledger import open_ledger
from vestiary.ledger.schema import job_items

NAMES = ["a.png", "b.png", "deep/c.png", "deep/er/d.png", "e.png"]


@pytest.fixture
def batches(make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batches]:
    monkeypatch.setattr(job, "BLOCK", 2)
    monkeypatch.setattr(pipeline, "PARCEL", 2)
    opened = open_batches(open_bundle(make_bundle()), tmp_path)
    yield opened
    opened.ledger.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint_folder(tmp_path / "photos", NAMES)


def colours(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["id"]: row["tags"]["baseColour"]["value"] for row in rows}


def test_every_picture_of_a_folder_is_answered_and_kept_in_the_ledger(batches: Batches, photos: Path) -> None:
    report = batches.run(photos)
    batches.check_exact(NAMES)
    assert colours(batches.rows()) == {
        "a.png": "Red",
        "b.png": "Green",
        "e.png": "Blue",
        "deep/c.png": "Blue",
        "deep/er/d.png": "Red",
    } | {"e.png": "Green"}
    assert report.tally.pictures == 5 and report.left == 0
    assert batches.errors() == []
    (kept,) = batches.ledger.jobs()
    assert (kept.state, kept.n_total, kept.n_done, kept.n_failed) == ("finished", 5, 5, 0)
    record = next(iter(batches.ledger.predictions()))
    assert (record.source, record.job_id, record.bundle) == ("batch", kept.id, batches.bundle.fingerprint)
    assert (record.width, record.height) == (12, 16) and record.latency_ms is not None


def test_rows_come_in_the_order_of_the_source(batches: Batches, tmp_path: Path) -> None:
    names = [f"{number:03d}.png" for number in range(40)]
    batches.run(paint_folder(tmp_path / "many", names), threads=4)
    assert [row["id"] for row in batches.rows()] == names


def test_run_again_it_answers_only_what_is_new(batches: Batches, photos: Path) -> None:
    batches.run(photos)
    before = batches.rows()
    assert batches.run(photos).tally.pictures == 0
    assert batches.rows() == before
    paint_folder(photos, ["f.png"])
    assert batches.run(photos).tally.pictures == 1
    batches.check_exact([*NAMES, "f.png"])
    assert batches.rows()[:5] == before


def test_a_picture_that_was_replaced_since_is_another_picture(batches: Batches, photos: Path) -> None:
    batches.run(photos)
    (photos / "a.png").write_bytes(paint_picture((5, 5, 250)))
    os.utime(photos / "a.png", (1, 1))
    batches.run(photos)
    batches.check_exact([*NAMES, "a.png"])
    assert batches.rows()[-1]["tags"]["baseColour"]["value"] == "Blue"


def zip_up(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as packed:
        for name in NAMES:
            packed.write(folder / name, name)
    return archive


def write_manifest(folder: Path) -> Path:
    table = folder / "list.csv"
    table.write_text("sku,photo\n" + "".join(f"{number},{name}\n" for number, name in enumerate(NAMES)))
    return table


@pytest.mark.parametrize(
    "point_at",
    [
        pytest.param(zip_up, id="zip"),
        pytest.param(write_manifest, id="manifest"),
        pytest.param(lambda folder: f"{folder}/**/*.png", id="pattern"),
        pytest.param(lambda folder: f"file://{folder}", id="address"),
    ],
)
def test_other_sources_give_the_same_answers(
    batches: Batches, photos: Path, point_at: Callable[[Path], object]
) -> None:
    place = point_at(photos)
    if str(place).startswith("file:"):
        pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    batches.run(place)
    batches.check_exact(NAMES)
    assert batches.run(place).tally.pictures == 0


def test_a_parquet_manifest_may_list_several_pictures_in_a_row_and_name_one_twice(
    batches: Batches, photos: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra 'ui' is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = pyarrow.table({"views": [["a.png", "b.png"], ["deep/c.png"], ["a.png", "e.png"]]})
    parquet.write_table(rows, photos.parent / "list.parquet")
    batches.run(photos.parent / "list.parquet", images=str(photos), image_column="views")
    batches.check_exact(["a.png", "b.png", "deep/c.png", "e.png"])


@pytest.mark.parametrize("out_format", ["csv", "parquet"])
def test_tables_say_what_the_json_lines_say_and_grow_by_what_is_new(
    batches: Batches, photos: Path, out_format: str
) -> None:
    if out_format == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'ui' is not installed")
    (photos / "bad.png").write_bytes(b"no picture")
    batches.run(photos, format=out_format)
    paint_folder(photos, ["f.png"])
    batches.run(photos, format=out_format)
    file = batches.out / f"results.{out_format}"
    if out_format == "csv":
        with file.open(newline="") as text:
            rows: list[dict[str, Any]] = list(csv.DictReader(text))
        assert {row["baseColour_accepted"] for row in rows} == {"yes", ""}
        assert float(rows[0]["baseColour_confidence"]) > 0.9
    else:
        rows = parquet.read_table(file).to_pylist()
        assert {row["baseColour_accepted"] for row in rows} == {True, None}
        assert isinstance(rows[0]["at"], datetime) and abs((datetime.now(UTC) - rows[0]["at"]).total_seconds()) < 600
    assert Counter(row["id"] for row in rows) == Counter([*NAMES, "bad.png", "f.png"])
    (bad,) = (row for row in rows if row["id"] == "bad.png")
    assert bad["status"] == "error" and "not a picture" in bad["error"] and not bad["baseColour"]
    assert rows[0]["baseColour"] == "Red" and rows[0]["image_sha256"] and rows[0]["season"] == "Summer"


def test_r5_layout_has_r5_columns_and_its_summary_r5_counts(batches: Batches, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    batches.run(photos, format="csv", layout="r5")
    with (batches.out / "results.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == ["filename", "category", "confidence", "status", "timestamp", "error"]
    assert rows[0]["category"] == "Red" and rows[0]["status"] == "success" and not rows[0]["error"]
    (bad,) = (row for row in rows if row["filename"] == "bad.png")
    assert bad["status"] == "failed" and bad["category"] == "" and bad["error"]
    summary = batches.summary()
    assert (summary["total_processed"], summary["successful"], summary["failed"]) == (6, 5, 1)
    assert summary["categories"] == {"Red": 2, "Green": 2, "Blue": 1}
    assert datetime.fromisoformat(summary["timestamp"]).tzinfo is not None


def test_parquet_without_its_package_is_one_sentence_and_nothing_is_begun(
    batches: Batches, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"Writing Parquet needs .*pip install 'vestiary\[ui\]'"):
        batches.run(photos, format="parquet")
    assert not batches.out.exists()


def test_a_bad_picture_is_tried_three_times_then_given_up_with_its_reason(batches: Batches, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    report = batches.run(photos)
    batches.check_exact([*NAMES, "bad.png"])
    (error,) = batches.errors()
    assert (error["id"], error["code"], error["attempts"]) == ("bad.png", "not-a-picture", 3)
    (failure,) = batches.ledger.failures()
    assert (failure.name, failure.attempts, failure.quarantined) == ("bad.png", 3, True)
    assert report.tally.reasons == {"not-a-picture": 1}
    assert batches.slept > 0, "it is tried again at once"
    assert batches.run(photos).tally.pictures == 0, "a picture that was given up is tried for ever"


def test_a_picture_that_heals_between_two_attempts_is_answered(batches: Batches, photos: Path) -> None:
    good = (photos / "a.png").read_bytes()
    (photos / "a.png").write_bytes(good[:40])

    def mend(seconds: float) -> None:
        (photos / "a.png").write_bytes(good)

    batches.run(photos, sleep=mend)
    batches.check_exact(NAMES)
    assert batches.errors() == []
    assert batches.run(photos).tally.pictures == 0


def test_a_watched_folder_is_answered_as_pictures_arrive_and_only_when_they_have_stopped_growing(
    batches: Batches, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    now = [0.0]
    monkeypatch.setattr(job.time, "monotonic", lambda: now[0])
    late = paint_picture((5, 5, 250))
    growing = photos / "late.png"
    lengths = iter([10, 20, 30, len(late), len(late), len(late), len(late), len(late)])
    answered_early = []

    def sleep(seconds: float) -> None:
        now[0] += 1.0
        length = next(lengths, None)
        if length is not None:
            growing.write_bytes(late[:length])
            if length < len(late):
                answered_early.extend(one.name for one in batches.ledger.predictions() if one.name == "late.png")
                answered_early.extend(one.name for one in batches.ledger.failures())

    batches.run(photos, watch=True, sleep=sleep, is_stopped=lambda: next(clock) > 400)
    assert not answered_early
    batches.check_exact([*NAMES, "late.png"])
    (kept,) = batches.ledger.jobs()
    assert kept.state == "finished"


def test_a_stopped_run_says_how_much_is_left_and_the_next_goes_on(batches: Batches, tmp_path: Path) -> None:
    names = [f"{number:03d}.png" for number in range(60)]
    photos = paint_folder(tmp_path / "many", names)
    done: list[int] = []
    report = batches.run(photos, is_stopped=lambda: bool(done), show=lambda n, total: done.append(n))
    assert report.is_stopped and 0 < report.left < 60
    assert len(batches.rows()) == 60 - report.left
    (kept,) = batches.ledger.jobs()
    assert kept.state == "stopped"
    batches.run(photos)
    batches.check_exact(names)


def test_a_run_that_is_stopped_while_it_looks_has_not_ended_well(batches: Batches, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "many", [f"{number:03d}.png" for number in range(8)])
    batches.run(photos)
    paint_folder(photos, [f"{number:03d}.png" for number in range(8, 12)])
    asked = iter([False, False])
    report = batches.run(photos, is_stopped=lambda: next(asked, True))
    assert report.is_stopped
    (kept,) = batches.ledger.jobs()
    assert kept.state == "stopped" and kept.last_finished_at is not None


def test_a_job_keeps_when_it_last_ended_well(batches: Batches, photos: Path) -> None:
    batches.run(photos)
    (first,) = batches.ledger.jobs()
    assert first.last_finished_at == first.ended_at is not None
    seen: list[tuple[datetime | None, datetime | None]] = []
    paint_folder(photos, ["f.png"])

    def fail(done: int, total: int) -> None:
        seen.extend((own.ended_at, own.last_finished_at) for own in batches.ledger.jobs())
        raise OSError("the disk is full")

    with pytest.raises(BatchError):
        batches.run(photos, show=fail)
    (then,) = batches.ledger.jobs()
    assert seen == [(None, first.last_finished_at)]
    assert (then.state, then.last_finished_at) == ("failed", first.last_finished_at)


def test_resume_goes_on_with_a_batch_and_begins_none(batches: Batches, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out holds no batch to go on with; check --out, or leave --resume out"):
        batches.run(photos, resume=True)
    assert not batches.out.exists()
    done: list[int] = []
    batches.run(photos, is_stopped=lambda: bool(done), show=lambda n, total: done.append(n))
    assert batches.run(photos, resume=True).tally.pictures == 3
    batches.check_exact(NAMES)


def test_a_picture_that_is_replaced_while_its_batch_is_stopped_is_answered_once(batches: Batches, photos: Path) -> None:
    done: list[int] = []
    batches.run(photos, is_stopped=lambda: bool(done), show=lambda n, total: done.append(n))
    (photos / "e.png").write_bytes(paint_picture((5, 5, 250)))
    os.utime(photos / "e.png", (1, 1))
    batches.run(photos)
    batches.check_exact(NAMES)
    assert colours(batches.rows())["e.png"] == "Blue"


def test_progress_is_told_up_to_the_whole(batches: Batches, photos: Path) -> None:
    told: list[tuple[int, int]] = []
    batches.run(photos, show=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5) and [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "csv"}, "--format jsonl, not csv"),
        ({"layout": "r5"}, "--layout full, not r5"),
        ({"file_by": "season"}, "--file-by none, not season"),
    ],
)
def test_a_folder_keeps_to_the_batch_it_was_begun_with(
    batches: Batches, photos: Path, changes: dict[str, Any], message: str
) -> None:
    batches.run(photos)
    with pytest.raises(UsageError, match=message):
        batches.run(photos, **changes)


def test_a_folder_with_results_of_another_ledger_or_none_is_left_alone(
    batches: Batches, photos: Path, tmp_path: Path
) -> None:
    batches.run(photos)
    other = open_batches(batches.bundle, tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"belongs to job .* does not know; name the ledger it was begun with"):
        batches.run(photos, ledger=other.ledger)
    other.out.mkdir(parents=True)
    (other.out / "results.jsonl").write_text("mine\n")
    with pytest.raises(UsageError, match="holds results that no batch left there"):
        other.run(photos)
    assert (other.out / "results.jsonl").read_text() == "mine\n"
    other.ledger.close()


def test_results_that_do_not_fit_the_ledger_are_told(batches: Batches, photos: Path) -> None:
    batches.run(photos)
    summary = batches.summary()
    (batches.out / "summary.json").write_text(json.dumps(summary | {"pictures": 3}))
    with pytest.raises(UsageError, match=r"holds other answers than the ledger .* begin anew with another"):
        batches.run(photos)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pictures": "many"', "\udcff"])
def test_a_summary_that_was_emptied_or_edited_is_told(batches: Batches, photos: Path, text: str) -> None:
    batches.run(photos)
    (batches.out / "summary.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"summary.json is not as it was written; put it back, or begin anew with"):
        batches.run(photos)


def test_what_a_system_puts_beside_the_parts_is_left_alone(batches: Batches, photos: Path) -> None:
    beside = batches.out / ".batch" / "parts" / "._000001.jsonl"
    beside.parent.mkdir(parents=True)
    beside.write_bytes(b"\x00\x05\x16\x07")
    for n in (5, 0):
        assert batches.run(photos).tally.pictures == n
    assert beside.exists()
    beside.unlink()
    batches.check_exact(NAMES)


@pytest.mark.parametrize("lost", [{1}, {1, 2}, {3, 4}, {5}, {1, 2, 3, 4, 5}])
def test_a_batch_whose_pictures_the_ledger_has_forgotten_in_part_is_not_gone_on_with(
    batches: Batches, photos: Path, lost: set[int]
) -> None:
    batches.run(photos)
    with batches.ledger.writing() as connection:
        connection.execute(delete(job_items).where(job_items.c.position.in_(lost)))
    with pytest.raises(UsageError, match=r"holds other answers than the ledger .* begin anew with another"):
        batches.run(photos)


def test_parts_that_are_lost_are_answered_again_and_everything_counts_once(
    batches: Batches, photos: Path, tmp_path: Path
) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    batches.run(photos)
    (photos / "a.png").write_bytes(paint_picture((5, 5, 5)))  # another picture under a known name
    more = [f"more/{number}.png" for number in range(8)]
    paint_folder(photos, more)
    (photos / "more" / "bad.png").write_bytes(b"no picture")

    def be_killed(done: int, total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batches.run(photos, show=be_killed)
    parts = sorted((batches.out / ".batch" / "parts").glob("*.jsonl"))
    assert len(parts) >= 3
    before = {record.id for record in batches.ledger.predictions()}
    parts[0].unlink()
    parts[2].write_text("")
    batches.said.clear()
    batches.run(photos)
    batches.check_exact([*NAMES, "a.png", "bad.png", *more, "more/bad.png"])
    assert len(before - {record.id for record in batches.ledger.predictions()}) == 4
    assert [line.partition(" of the results")[0] for line in batches.said] == ["Part 5", "Part 7"]
    assert "is gone or damaged; its 2 pictures are done again." in batches.said[0]
    (kept,) = batches.ledger.jobs()
    assert (kept.state, kept.n_total, kept.n_done, kept.n_failed) == ("finished", 16, 14, 2)


def test_a_row_that_names_no_picture_is_refused_again_when_its_part_is_lost(batches: Batches, photos: Path) -> None:
    table = photos / "list.csv"
    table.write_text("image\n../x.png\na.png\nb.png\n")
    batches.run(table)
    (batches.out / "results.jsonl").unlink()
    (batches.out / "summary.json").unlink()
    (batches.out / "errors.jsonl").unlink()
    batches.run(table)
    batches.check_exact(["list.csv line 2", "a.png", "b.png"])
    assert [row["attempts"] for row in batches.errors()] == [1]


def test_two_runs_at_once_the_second_says_so_and_leaves(batches: Batches, photos: Path) -> None:
    refused: list[BatchError] = []

    def second(done: int, total: int) -> None:
        if not refused:
            with pytest.raises(BatchError, match=rf"Another run \(.*:{os.getpid()}\) is at the batch") as caught:
                batches.run(photos)
            refused.append(caught.value)

    batches.run(photos, show=second)
    assert refused[0].exit_code == 1
    batches.check_exact(NAMES)


def test_postgresql_keeps_a_batch_as_well(batches: Batches, tmp_path: Path, postgres: Callable[[], str]) -> None:
    names = [os.fsdecode(b"\xff.png"), "two\nlines.png", "bad.png", *(f"{number:02d}.png" for number in range(30))]
    photos = paint_folder(tmp_path / "photos", names)
    (photos / "bad.png").write_bytes(b"no picture")
    begun: list[int] = []
    with open_ledger(postgres()) as ledger:
        own = Batches(batches.bundle, tmp_path / "own", ledger)
        own.run(photos, is_stopped=lambda: bool(begun), show=lambda done, total: begun.append(done))
        assert len(own.rows()) < len(names)
        own.run(photos)
        own.check_exact(names)
        assert own.run(photos).tally.pictures == 0
