"""Pruning, backup, restore, export, and what is said when the database cannot."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from vestiary.album import Album
from vestiary.cli.main import app
from vestiary.errors import LedgerError, LedgerUnavailableError, UsageError
from vestiary.ledger import (
    FailureRecord,
    Job,
    Ledger,
    PredictionRecord,
    Verdict,
    back_up,
    export,
    now,
    open_ledger,
    prune,
    restore,
)
from vestiary.ledger.jobs import JobItems
from vestiary.ledger.ledger import write_verdict

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_prediction(number: int = 0, at: datetime | None = None, **fields: object) -> PredictionRecord:
    given = {
        "id": f"p{number}",
        "name": f"{number}\udcff.jpg",
        "source": "batch",
        "bundle": "f" * 64,
        "bundle_name": "tiny",
        "accepted": True,
        "tags": {
            "season": {"value": "Summer", "confidence": 0.5, "accepted": True, "runners_up": [["Winter", 0.25]]},
        },
        "features": b"\x00\x3c",
        "at": at or START + timedelta(days=number),
    }
    return PredictionRecord(**(given | fields))  # type: ignore[arg-type]


def fill(ledger: Ledger, n: int = 6) -> None:
    """Predictions and failures of ``n`` days; the prediction of the second day has a verdict; a job of the first."""
    failures = [
        FailureRecord(name=f"{day}.png", source="batch", code="damaged", message="Cut.", at=START + timedelta(days=day))
        for day in range(n)
    ]
    ledger.add([make_prediction(day) for day in range(n)], failures)
    ledger.add_verdict(
        Verdict(
            prediction_id="p1",
            attribute="season",
            value="Winter",
            previous_value="Summer",
            reviewer="ada",
            at=START + timedelta(days=n),
        )
    )
    for state in ("running", "finished"):
        job = Job(
            id=state,
            kind="batch",
            source="a",
            out="b",
            bundle="f",
            state=state,  # type: ignore[arg-type]
            started_at=START,
            heartbeat_at=START + timedelta(days=n) if state == "running" else START,
        )
        ledger.start_job(job)


def ids(ledger: Ledger) -> list[str]:
    return [record.id for record in ledger.predictions()]


def read_all(ledger: Ledger) -> list[object]:
    return [list(rows) for rows in (ledger.predictions(), ledger.failures(), ledger.verdicts(), ledger.jobs())]


def test_pruning_removes_what_is_old_but_not_what_a_person_has_reviewed(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.ledger.retention.PRUNED_AT_ONCE", 2)
    with open_ledger(ledger_url) as ledger:
        fill(ledger)
        pruned = prune(ledger, START + timedelta(days=4))
        assert (pruned.predictions, pruned.failures, pruned.jobs) == (3, 4, 1)
        assert ids(ledger) == ["p1", "p4", "p5"]
        assert [failure.name for failure in ledger.failures()] == ["4.png", "5.png"]
        assert [job.id for job in ledger.jobs()] == ["running"]
        assert len(list(ledger.verdicts())) == 1
        assert prune(ledger, START + timedelta(days=4), reviewed=True).predictions == 1
        assert ids(ledger) == ["p4", "p5"]
        assert not list(ledger.verdicts())


def test_a_verdict_that_is_given_while_old_ones_go_stays(postgres: Callable[[], str]) -> None:
    pruned = []
    url = postgres()
    with open_ledger(url) as ledger, open_ledger(url) as other:
        ledger.add([make_prediction(0), make_prediction(1)])
        pruning = threading.Thread(target=lambda: pruned.append(prune(other, START + timedelta(days=4))))
        with ledger.writing() as connection:
            ledger.hold_prediction(connection, "p1")
            pruning.start()
            with open_ledger(url) as third:
                while not _count_waiting(third):
                    assert pruning.is_alive(), "nobody is waited for"
            given = {"attribute": "season", "value": "Winter", "previous_value": "Summer", "reviewer": "ada"}
            write_verdict(connection, Verdict(prediction_id="p1", **given))
        pruning.join()
        assert pruned[0].predictions == 1
        assert ids(ledger) == ["p1"]
        assert len(list(ledger.verdicts())) == 1


def _count_waiting(ledger: Ledger) -> int:
    with ledger.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one())


def test_the_pictures_of_a_job_go_in_small_steps_and_then_the_job(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.ledger.retention.PRUNED_AT_ONCE", 2)
    deleted: list[int] = []
    with open_ledger(ledger_url) as ledger:
        fill(ledger)
        for state in ("running", "finished"):
            JobItems(ledger, state).add([(f"{n}.png", f"{n}", None) for n in range(5)])
        event.listen(ledger.engine, "commit", lambda connection: deleted.append(_count_items(connection)))
        prune(ledger, START + timedelta(days=4))
        assert list(dict.fromkeys(deleted)) == [10, 8, 6, 5], "others would wait until all are gone"
        assert [job.id for job in ledger.jobs()] == ["running"]


def _count_items(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM job_items").scalar_one())


def test_photos_go_with_the_last_of_their_predictions(ledger_url: str, tmp_path: Path) -> None:
    album, hashes = Album(tmp_path / "album"), {}
    for name in ("reviewed", "old", "both"):
        hashes[name] = hashlib.sha256(name.encode()).hexdigest()
        path = album.keep(hashes[name], name.encode())
        os.utime(path, (START.timestamp(), START.timestamp()))
    with open_ledger(ledger_url) as ledger:
        days = {1: "reviewed", 2: "old", 3: "both", 9: "both"}
        ledger.add([make_prediction(day, image_sha256=hashes[name]) for day, name in days.items()])
        asked = {"prediction_id": "p1", "attribute": "season", "previous_value": "Summer", "reviewer": "ada"}
        ledger.add_verdict(Verdict(value="Winter", **asked))
        assert prune(ledger, START + timedelta(days=4), album=album).photos == 1
        assert {name for name, sha256 in hashes.items() if album.find(sha256)} == {"reviewed", "both"}
        assert prune(ledger, START + timedelta(days=12), album=album).photos == 1
        assert prune(ledger, START + timedelta(days=12), reviewed=True, album=album).photos == 1


def test_a_backup_is_a_ledger_and_fills_an_empty_one_of_any_kind(ledger_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    with open_ledger(ledger_url) as ledger:
        fill(ledger)
        before = read_all(ledger)
        back_up(ledger, file)
        with pytest.raises(UsageError, match="is there already; name another place, or allow it with --overwrite"):
            back_up(ledger, file)
        back_up(ledger, file, overwrite=True)
        with pytest.raises(UsageError, match="is not empty; restore into a new one"):
            restore(ledger, file)
        assert read_all(ledger) == before
    with open_ledger(file) as copy:
        assert read_all(copy) == before
    with open_ledger(tmp_path / "new.db") as other:
        restore(other, file)
        assert read_all(other) == before
    (other_file := tmp_path / "notes.txt").write_text("no ledger")
    with (
        open_ledger(tmp_path / "third.db") as third,
        pytest.raises(LedgerError, match=re.escape(f"{other_file} is no backup of a ledger; name a file")),
    ):
        restore(third, other_file)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".backup")]


def test_a_ledger_in_use_is_no_backup_and_no_place_for_one(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    with open_ledger(place) as ledger, open_ledger(tmp_path / "new.db") as other:
        fill(ledger)
        with pytest.raises(UsageError, match=r"ledger\.db is in use, or was not closed; write a backup of it with"):
            restore(other, place)
        with pytest.raises(UsageError, match=r"ledger\.db is in use, or was not closed; name another file"):
            back_up(other, place, overwrite=True)
        with pytest.raises(UsageError, match=r"ledger\.db is in use"):
            back_up(ledger, place, overwrite=True)
        assert len(ids(ledger)) == 6
        assert not ids(other)


def test_a_backup_goes_into_postgresql(postgres: Callable[[], str], tmp_path: Path) -> None:
    with open_ledger(tmp_path / "small.db") as small, open_ledger(postgres()) as large:
        fill(small)
        back_up(small, tmp_path / "backup.db")
        restore(large, tmp_path / "backup.db")
        assert read_all(large) == read_all(small)


def test_what_others_have_not_finished_writing_is_not_in_the_backup(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger)
        with ledger.writing() as connection:
            connection.exec_driver_sql("DELETE FROM failures")
            back_up(ledger, tmp_path / "backup.db")
        with open_ledger(tmp_path / "backup.db") as copy:
            assert len(list(copy.failures())) == 6


def test_the_export_holds_every_row_of_one_moment(ledger_url: str, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'ui' is not installed")
    folder = tmp_path / "out" / "today"
    with open_ledger(ledger_url) as ledger:
        fill(ledger)
        rows = export(ledger, folder)
        with pytest.raises(UsageError, match=r"holds \w+\.parquet already"):
            export(ledger, folder)
    assert rows == {"jobs": 2, "job_items": 0, "predictions": 6, "failures": 6, "verdicts": 1, "claims": 0}
    table = parquet.read_table(folder / "predictions.parquet").to_pylist()
    assert sorted(row["id"] for row in table) == [f"p{day}" for day in range(6)]
    first = next(row for row in table if row["id"] == "p0")
    assert (first["at"], first["name"], first["features"]) == (START, "0\\udcff.jpg", b"\x00\x3c")
    assert first["tags"] == [
        {
            "attribute": "season",
            "value": "Summer",
            "confidence": 0.5,
            "accepted": True,
            "runners_up": [{"value": "Winter", "confidence": 0.25}],
            "decides": True,
        }
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.parquet" for name in rows)


def run(*words: str) -> str:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["ledger", *words])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_the_verbs_look_after_the_ledger_that_the_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "own.db"
    monkeypatch.setenv("VESTIARY_LEDGER_URL", str(place))
    with open_ledger() as ledger:
        ledger.add([make_prediction(0, now() - timedelta(days=100)), make_prediction(1, now())])
    told = json.loads(run("info", "--json"))
    assert (told["place"], told["rows"]["predictions"]) == (str(place), 2)
    assert json.loads(run("backup", str(tmp_path / "b.db"), "--json"))["file"] == str(tmp_path / "b.db")
    assert json.loads(run("prune", "--keep", "90d", "--json"))["removed"]["predictions"] == 1
    assert "predictions            1" in run("info")
    other = str(tmp_path / "other.db")
    assert "2 predictions" in run("restore", str(tmp_path / "b.db"), "--ledger", other)
    pytest.importorskip("pyarrow", reason="the extra 'ui' is not installed")
    assert json.loads(run("export", str(tmp_path / "x"), "--ledger", other, "--json"))["rows"]["predictions"] == 2


def test_pruning_another_ledger_leaves_the_photos_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, album = str(tmp_path / "own.db"), Album(tmp_path / "album")
    monkeypatch.setenv("VESTIARY_LEDGER_URL", place)
    monkeypatch.setenv("VESTIARY_KEEP_PICTURES", str(album.folder))
    sha256 = hashlib.sha256(b"photo").hexdigest()
    os.utime(album.keep(sha256, b"photo"), (START.timestamp(), START.timestamp()))
    with open_ledger() as ledger:
        ledger.add([make_prediction(0, now(), image_sha256=sha256)])
    other = ("prune", "--keep", "1d", "--ledger", str(tmp_path / "other.db"))
    assert "0 photos" in run(*other)
    assert album.find(sha256) is not None
    with open_ledger() as ledger:
        prune(ledger, now() + timedelta(days=1))
    assert "1 photos" in run("prune", "--keep", "1d", "--ledger", place), "named, it is the same ledger"


@pytest.mark.parametrize("keep", ["90", "0d", "d", "-3d", "1y"])
def test_a_length_of_time_that_is_none_is_refused(keep: str) -> None:
    with pytest.raises(UsageError, match="must be a length of time such as 90d, 36h, 30m or 2w"):
        run("prune", f"--keep={keep}")


def test_a_full_disk_is_told_and_may_pass(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        with ledger.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 30")
        with pytest.raises(LedgerUnavailableError, match=r"ledger\.db cannot grow, since its disk is full; free some"):
            ledger.add([make_prediction(number, name="a" * 5000) for number in range(50)])
        assert not list(ledger.predictions())
        ledger.add([make_prediction()])
        assert ids(ledger) == ["p0"]


def test_a_ledger_that_another_process_holds_is_told_and_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.ledger.opening.BUSY_S", 0.05)
    place = tmp_path / "ledger.db"
    with open_ledger(place) as ledger:
        other = sqlite3.connect(place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailableError, match="is held by another process"):
            ledger.check_writable()
        assert not list(ledger.predictions())
        other.close()
        ledger.check_writable()


def test_two_that_write_wait_for_each_other(ledger_url: str) -> None:
    def work(start: int) -> None:
        for number in range(start, start + 10):
            ledger.add([make_prediction(number)])
            list(ledger.predictions())

    with open_ledger(ledger_url) as ledger:
        threads = [threading.Thread(target=work, args=(start,)) for start in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids(ledger)) == 30


def test_a_place_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.txt").write_text("no database, but long enough to look like one\n" * 50)
    cases = {
        str(tmp_path / "missing" / "ledger.db"): "cannot be opened; check that its folder is there and may be written",
        str(tmp_path): "is a folder; name a file in it",
        str(tmp_path / "note.txt"): "is no ledger but some other file",
        "mysql://server/ledger": "names mysql, but only sqlite and postgresql can hold a ledger",
        "sqlite://": "names no file",
        "postgresql://server:port/ledger": "cannot be read; write it as postgresql://",
        "none": "says none, so that there is no ledger to use",
    }
    for place, said in cases.items():
        monkeypatch.setenv("VESTIARY_LEDGER_URL", place)
        with pytest.raises((LedgerError, UsageError), match=said) as told:
            open_ledger()
        assert not isinstance(told.value, LedgerUnavailableError)
    with pytest.raises(UsageError, match="--ledger says none"):
        run("info", "--ledger", "none")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are those of POSIX systems")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_may_not_be_written_is_told(is_there: bool) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if is_there:
            open_ledger(folder / "ledger.db").close()
        folder.chmod(0o555)
        own = os.geteuid()
        os.seteuid(own or 65534)  # to root nothing is read-only
        try:
            with pytest.raises(
                LedgerError, match=r"change the rights of the file and its folder|may be written"
            ) as told:
                open_ledger(folder / "ledger.db")
        finally:
            os.seteuid(own)
            folder.chmod(0o755)
        assert not isinstance(told.value, LedgerUnavailableError)


def test_a_server_that_is_away_is_told_without_the_password_and_may_come_back() -> None:
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    with pytest.raises(LedgerUnavailableError, match=r"postgresql://ada:\*\*\*@127.0.0.1:1/x does not answer") as told:
        open_ledger("postgresql://ada:secret@127.0.0.1:1/x")
    assert "secret" not in str(told.value)
    with pytest.raises(LedgerUnavailableError, match=r"postgresql://127.0.0.1:1/x\?user=ada does not answer") as told:
        open_ledger("postgresql://127.0.0.1:1/x?user=ada&password=secret&sslpassword=secret")
    assert "secret" not in str(told.value)


def test_a_server_that_refuses_or_breaks_off_is_told(postgres: Callable[[], str]) -> None:
    url = postgres()
    with pytest.raises(LedgerError, match=r"refuses the connection .*; check user, password and database") as told:
        open_ledger(url.replace("/ledger", "/nowhere"))
    assert not isinstance(told.value, LedgerUnavailableError)
    others = "pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    kill = f"SELECT pg_terminate_backend(pid) FROM {others}"
    with open_ledger(url) as ledger, open_ledger(url) as other:
        with pytest.raises(LedgerUnavailableError, match="cannot be used now"), ledger.writing() as connection:
            connection.exec_driver_sql("SELECT 1")
            with other.reading() as second:
                second.exec_driver_sql(kill)
            connection.exec_driver_sql("SELECT 1")
        ledger.add([make_prediction()])
        assert ids(ledger) == ["p0"]
