from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vestiary.errors import LedgerError, UsageError
from vestiary.ledger import FailureRecord, Job, PredictionRecord, TagRecord, Verdict, open_ledger

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_tag(value: str = "Shirts", confidence: float = 0.9) -> TagRecord:
    return {"value": value, "confidence": confidence, "accepted": True, "runners_up": [["Tops", 0.05]]}


def make_prediction(number: int = 0, **fields: object) -> PredictionRecord:
    given = {
        "name": f"{number}.jpg",
        "source": "batch",
        "bundle": "f" * 64,
        "bundle_name": "tiny",
        "accepted": True,
        "tags": {"articleType": make_tag(), "season": make_tag("Summer", 0.7)},
        "at": START + timedelta(minutes=number),
    }
    return PredictionRecord(**(given | fields))  # type: ignore[arg-type]


def make_failure(number: int = 0, **fields: object) -> FailureRecord:
    given = {
        "name": f"{number}.jpg",
        "source": "batch",
        "code": "damaged",
        "message": "It is cut short.",
        "at": START + timedelta(minutes=number),
    }
    return FailureRecord(**(given | fields))  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_what_goes_in_comes_out_again(path: Path) -> None:
    prediction = make_prediction(
        job_id="night",
        image_sha256="a" * 64,
        width=60,
        height=80,
        unfamiliar_score=0.25,
        unfamiliar=False,
        brightness=0.5,
        background=0.75,
        features=b"\x00\x3c",
        latency_ms=3.5,
    )
    failure = make_failure(attempts=3, quarantined=True)
    with open_ledger(path) as ledger:
        ledger.add([prediction], [failure])
    with open_ledger(path) as ledger:
        assert list(ledger.predictions()) == [prediction]
        assert list(ledger.failures()) == [failure]
        assert prediction.confidence == 0.7


@pytest.mark.parametrize(
    "name", ["ä\n.jpg", "\udcff\udc80.jpg", r"a\b\\udcff.jpg", "nul\x00.jpg", "😀 \\u0041.jpg", "\\"]
)
def test_any_name_is_kept_without_loss(path: Path, name: str) -> None:
    with open_ledger(path) as ledger:
        ledger.add([make_prediction(name=name, tags={name: make_tag(name)})], [make_failure(name=name, message=name)])
        [prediction], [failure] = ledger.predictions(), ledger.failures()
    assert prediction.name == failure.name == failure.message == name
    assert prediction.tags == {name: make_tag(name)}


def test_predictions_are_read_in_blocks_by_time_and_by_what_is_asked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.ledger.ledger.BLOCK", 4)
    one_moment = [make_prediction(5, id=f"same{number}") for number in range(6)]
    others = [make_prediction(number, source="service" if number % 2 else "batch") for number in (9, 1, 3, 8)]
    with open_ledger(path) as ledger:
        ledger.add([*others, *one_moment])
        ledger.add([make_prediction(2, job_id="night")])
        names = [record.name for record in ledger.predictions()]
        assert names == ["1.jpg", "2.jpg", "3.jpg", *["5.jpg"] * 6, "8.jpg", "9.jpg"]
        window = ledger.predictions(since=START + timedelta(minutes=3), until=START + timedelta(minutes=8))
        assert [record.name for record in window] == ["3.jpg", *["5.jpg"] * 6]
        assert [record.name for record in ledger.predictions(source="service")] == ["1.jpg", "3.jpg", "9.jpg"]
        assert [record.name for record in ledger.predictions(job="night")] == ["2.jpg"]


def test_a_transaction_is_written_whole_or_not_at_all(path: Path) -> None:
    with open_ledger(path) as ledger:
        with pytest.raises(Exception, match="UNIQUE"):
            ledger.add([make_prediction()], [make_failure(id="same"), make_failure(id="same")])
        assert not list(ledger.predictions())
        assert not list(ledger.failures())


def test_times_are_utc_whatever_zone_they_were_given_in(path: Path) -> None:
    from zoneinfo import ZoneInfo

    at = datetime(2026, 3, 1, 0, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    with open_ledger(path) as ledger:
        ledger.add([make_prediction(at=at)])
        [read] = ledger.predictions(since=at, until=at + timedelta(seconds=1))
        assert read.at == at
        assert read.at.utcoffset() == timedelta(0)
        assert not list(ledger.predictions(until=at))


def test_a_later_verdict_of_the_same_reviewer_takes_the_place_of_the_earlier(path: Path) -> None:
    prediction = make_prediction()
    with open_ledger(path) as ledger:
        ledger.add([prediction])
        for reviewer, value in (("ada", "Tops"), ("bob", "Dresses"), ("ada", "Shirts")):
            ledger.add_verdict(
                Verdict(
                    prediction_id=prediction.id,
                    attribute="articleType",
                    value=value,
                    previous_value="Shirts",
                    reviewer=reviewer,
                )
            )
        found = {verdict.reviewer: verdict.value for verdict in ledger.verdicts(prediction=prediction.id)}
        assert found == {"ada": "Shirts", "bob": "Dresses"}
        with pytest.raises(UsageError, match="holds no prediction nonsense; check the id"):
            ledger.add_verdict(
                Verdict(prediction_id="nonsense", attribute="a", value="b", previous_value="c", reviewer="ada")
            )


def test_a_job_is_written_and_changed(path: Path) -> None:
    job = Job(kind="batch", source="photos\udcff", out="out", bundle="f" * 64, options={"top_k": 3}, n_total=2)
    with open_ledger(path) as ledger:
        ledger.start_job(job)
        ledger.change_job(job.id, state="finished", n_done=2)
        [read] = ledger.jobs(kind="batch")
        assert (read.source, read.options, read.state, read.n_done) == ("photos\udcff", {"top_k": 3}, "finished", 2)
        assert not list(ledger.jobs(kind="other"))


def test_a_ledger_of_a_newer_version_is_refused_with_both_numbers(path: Path) -> None:
    import sqlite3

    open_ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(LedgerError, match=r"has schema 99, but this Vestiary knows schemas up to \d+; use a newer"):
        open_ledger(path)
