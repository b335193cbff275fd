"""Bad sources of a batch: one plain sentence each, and nothing lost. And the command itself."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batches import Batches, count_files, open_batches, paint_folder, read_jsonl
from conftest import paint_picture
from vestiary.bundle import open_bundle
from vestiary.catalogue.sources import FolderSource
from vestiary.cli.main import main
from vestiary.errors import UsageError, VestiaryError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def batches(make_bundle: Callable[..., Path], tmp_path: Path) -> Iterator[Batches]:
    opened = open_batches(open_bundle(make_bundle()), tmp_path)
    yield opened
    opened.ledger.close()


def reasons(batches: Batches) -> dict[str, str]:
    return {row["id"]: row["message"] for row in batches.errors()}


def test_a_manifest_that_names_missing_files_and_bad_rows_answers_all_others(batches: Batches, tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "shop", ["a.png", "b.png"])
    lines = ["image,sku", "a.png,1", "gone.png,2", "../outside.png,3", ",4", "https://shop.example/x.png,5", "b.png,6"]
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    batches.run(folder / "list.csv")
    bad = reasons(batches)
    batches.check_exact(["a.png", "b.png", *bad])
    assert "No such file" in bad["gone.png"]
    assert "list.csv line 4: picture outside the source" in bad["list.csv line 4"]
    assert "line 5: no picture" in bad["list.csv line 5"]
    assert "nothing is fetched" in bad["list.csv line 6"]
    assert batches.run(folder / "list.csv").tally.pictures == 0


def test_a_row_that_names_no_picture_is_not_tried_again_and_again(batches: Batches, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image\n/etc/passwd.png\n")
    batches.run(tmp_path / "list.csv")
    (error,) = batches.errors()
    assert error["attempts"] == 1


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_names_with_newlines_commas_and_bytes_that_are_no_utf8(batches: Batches, tmp_path: Path, form: str) -> None:
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'ui' is not installed")
    names = ["two\nlines.png", 'a,"b".png', "grün.png", os.fsdecode(b"\xff\xfe.png"), "back\\slash.png", "tab\t.png"]
    photos = paint_folder(tmp_path / "photos", names)
    contents = count_files(photos)
    for _ in range(2):
        batches.run(photos, format=form, file_by="baseColour", file_mode="link")
    file = batches.out / f"results.{form}"
    if form == "jsonl":
        rows: list[dict[str, Any]] = read_jsonl(file)
        batches.check_exact(names)
    elif form == "csv":
        with file.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
    else:
        rows = parquet.read_table(file).to_pylist()
    written = [name if form == "jsonl" else name.replace("\udcff\udcfe", r"\udcff\udcfe") for name in names]
    assert Counter(row["id"] for row in rows) == Counter(written)
    assert Counter(record.name for record in batches.ledger.predictions()) == Counter(names)
    assert count_files(batches.out) == contents


def test_links_that_lead_round_in_circles_or_nowhere_are_told_and_the_rest_is_answered(
    batches: Batches, tmp_path: Path
) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png", "deep/b.png"])
    outside = paint_folder(tmp_path / "outside", ["c.png"])
    (photos / "deep" / "up").symlink_to(photos, target_is_directory=True)
    (photos / "round.png").symlink_to("round.png")
    (photos / "nowhere.png").symlink_to("not-there.png")
    (photos / "out.png").symlink_to(outside / "c.png")
    batches.run(photos)
    bad = reasons(batches)
    batches.check_exact(["a.png", "deep/b.png", *bad])
    assert "Too many levels of symbolic links" in bad["round.png"]
    assert "No such file" in bad["nowhere.png"]
    assert "is a link that leads out of" in bad["out.png"]
    assert any("deep/up is a link to a folder and is not followed" in line for line in batches.said)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_that_is_called_a_picture_stops_nothing(batches: Batches, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png"])
    os.mkfifo(photos / "pipe.png")
    batches.run(photos)
    assert "a folder, pipe or device" in reasons(batches)["pipe.png"]
    batches.check_exact(["a.png", "pipe.png"])


def test_a_picture_that_is_replaced_while_it_is_read_is_answered_by_what_it_became(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png"])
    blue, read, replaced = paint_picture((5, 5, 250)), FolderSource.read, []

    def read_half(source: FolderSource, name: str, **limits: int) -> bytes:
        data = read(source, name, **limits)
        if not replaced:
            replaced.append(name)
            (photos / name).write_bytes(blue)
            os.utime(photos / name, (1, 1))
            return data[:30] + blue[30:]
        return data

    monkeypatch.setattr(FolderSource, "read", read_half)
    batches.run(photos, file_by="baseColour")
    (row,) = batches.rows()
    assert row["tags"]["baseColour"]["value"] == "Blue"
    assert (batches.out / row["filed"]).read_bytes() == blue
    assert batches.run(photos, file_by="baseColour").tally.pictures == 0


def test_a_picture_that_never_holds_still_is_given_up_with_that_reason(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png", "b.png"])
    read, times = FolderSource.read, iter(range(1, 1000))

    def read_and_touch(source: FolderSource, name: str, **limits: int) -> bytes:
        data = read(source, name, **limits)
        if name == "a.png":
            os.utime(photos / name, (1, next(times)))
        return data

    monkeypatch.setattr(FolderSource, "read", read_and_touch)
    batches.run(photos)
    assert "a.png changed each time while it was read" in reasons(batches)["a.png"]


def test_a_picture_that_changes_between_answer_and_filing_is_left_for_the_next_run(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png"])
    from vestiary.batch.filing import Filing

    file, done = Filing.file, []

    def change_first(filing: Filing, orders: Any) -> None:
        if orders and not done:
            done.append(True)
            (photos / "a.png").write_bytes(paint_picture((5, 5, 250)))
            os.utime(photos / "a.png", (1, 1))
        file(filing, orders)

    monkeypatch.setattr(Filing, "file", change_first)
    batches.run(photos, file_by="baseColour", file_mode="move")
    assert (photos / "a.png").exists()
    assert "a.png has changed since it was answered" in batches.said[0]
    batches.run(photos, file_by="baseColour", file_mode="move")
    assert [file.relative_to(batches.out).as_posix() for file in batches.out.glob("*/*.png")] == ["Blue/a.png"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"format": "xml"}, "--format xml is not known; choose one of: jsonl, csv, parquet"),
        ({"layout": "r9"}, "--layout r9 is not known; choose one of: full, r5"),
        ({"file_by": "colour"}, "answers no 'colour'; file by one of: baseColour, season"),
        ({"file_by": "season", "file_mode": "burn"}, "--file-mode burn is not known"),
        ({"images": "elsewhere"}, "is not a table, so --images says nothing"),
        ({"precision": "int8"}, "has no int8 model"),
        ({"precision": "fp4"}, "'fp4' is not known"),
    ],
)
def test_wrong_options_are_one_sentence(batches: Batches, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png"])
    with pytest.raises(UsageError, match=message):
        batches.run(photos, **given)
    assert not batches.out.exists(), "something was begun"


def test_a_source_that_is_not_there_or_is_the_output_or_cannot_be_watched_or_moved(
    batches: Batches, tmp_path: Path
) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png"])
    (photos / "list.csv").write_text("image\na.png\n")
    for place, given, message in (
        (tmp_path / "nowhere", {}, "nowhere does not exist"),
        (f"{tmp_path}/nowhere/*.png", {}, "nowhere does not exist"),
        (photos, {"out": photos}, "both the source and --out"),
        (photos / "list.csv", {"image_column": "photo"}, "no column 'photo'"),
    ):
        with pytest.raises(VestiaryError, match=message):
            batches.run(place, **given)
    pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    for given, message in (({"watch": True}, "cannot be watched"), ({"file_mode": "move"}, "choose copy")):
        with pytest.raises(UsageError, match=message):
            batches.run(f"file://{photos}", file_by="season", **given)


def test_an_empty_folder_gives_empty_results(batches: Batches, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    batches.run(tmp_path / "photos")
    batches.check_exact([])


class Command:
    """``vestiary batch`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
        self._patch, self._capsys, self._bundle = monkeypatch, capsys, bundle

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        given = ["vestiary", "batch", *map(str, arguments), "--bundle", str(self._bundle)]
        self._patch.setattr(sys, "argv", given)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = self._capsys.readouterr()
        return int(leaving.value.code or 0), captured.out, captured.err


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_bundle: Callable[..., Path],
    tmp_path: Path,
) -> Command:
    monkeypatch.setenv("VESTIARY_LEDGER_URL", str(tmp_path / "ledger.db"))
    return Command(monkeypatch, capsys, make_bundle())


def test_the_command_is_quiet_where_nobody_watches_and_tells_the_summary_when_asked(
    command: Command, tmp_path: Path
) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png", "b.png"])
    assert command(photos, "--out", tmp_path / "out") == (0, "", "")
    code, out, err = command(photos, "--out", tmp_path / "out", "--json")
    assert (code, err) == (0, "") and json.loads(out)["pictures"] == 2
    assert json.loads(out)["last_run"]["pictures"] == 0


def test_too_many_failures_are_exit_code_1_and_say_where_the_reasons_are(command: Command, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png", "b.png"]) / "list.csv"
    photos.write_text("image\na.png\nb.png\n../c.png\n")
    code, _, err = command(photos, "--out", tmp_path / "one", "--max-failure-rate", "0.3")
    assert code == 1
    assert err.startswith("vestiary: 1 of 3 pictures could not be answered, more than the 30 % that --max-failure-rate")
    assert err.count("\n") == 1 and "errors.jsonl tells why" in err
    assert command(photos, "--out", tmp_path / "two", "--max-failure-rate", "0.5") == (0, "", "")


def test_resume_is_for_a_batch_that_this_ledger_knows(command: Command, tmp_path: Path) -> None:
    photos, out = paint_folder(tmp_path / "photos", ["a.png"]), tmp_path / "out"
    code, _, err = command(photos, "--out", out, "--resume")
    assert (code, err.count("\n")) == (2, 1) and f"{out} holds no batch to go on with; check --out" in err
    assert not out.exists()
    assert command(photos, "--out", out) == command(photos, "--out", out, "--resume") == (0, "", "")
    for left in out.glob("*.json*"):
        left.unlink()
    code, _, err = command(photos, "--out", out, "--resume", "--ledger", tmp_path / "other.db")
    assert (code, err.count("\n")) == (2, 1) and "other.db does not know; name the ledger it was begun with" in err


def test_a_second_run_tells_people_that_nothing_is_new_or_that_the_results_are_gone(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    photos, out = paint_folder(tmp_path / "photos", ["a.png", "b.png"]), tmp_path / "out"
    words = (photos, "--out", out, "--format", "csv")
    assert "2 pictures in " in command(*words)[2]
    assert f"Nothing new: all 2 pictures are answered in {out}." in command(*words)[2]
    (out / "results.csv").unlink()
    _, _, err = command(*words)
    assert f"but {out / 'results.csv'} is no longer there; name another folder with --out" in err


def test_without_a_ledger_there_is_no_batch(command: Command, tmp_path: Path) -> None:
    code, _, err = command(paint_folder(tmp_path / "photos", ["a.png"]), "--out", tmp_path / "out", "--ledger", "none")
    assert (code, err.count("\n")) == (2, 1) and "keeps its state in the ledger" in err


def test_a_watch_keeps_a_second_run_away_and_ends_whole_when_it_is_told_to(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    photos = paint_folder(tmp_path / "photos", [f"{number:04d}.png" for number in range(300)])
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    words = [sys.executable, "-m", "vestiary", "batch", str(photos), "--out", str(tmp_path / "out"), "--watch"]
    words += ["--bundle", str(make_bundle()), "--ledger", str(tmp_path / "ledger.db")]
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE) as run:
        parts = tmp_path / "out" / ".batch" / "parts"
        while not (parts.exists() and any(parts.glob("*.jsonl"))):
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"it ended with {run.wait(0.05)}")
        second = subprocess.run(words, env=env, capture_output=True, text=True)
        run.send_signal(signal.SIGTERM)
        run.communicate()
    assert (run.returncode, second.returncode) == (0, 1)
    assert f"Another run ({os.uname().nodename}:{run.pid}) is at the batch" in second.stderr
    assert len(read_jsonl(tmp_path / "out" / "results.jsonl")) == 300
