from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from vestiary.errors import UsageError
from vestiary.ledger import FailureRecord, Job, PredictionRecord, TagRecord, Verdict, open_ledger
from vestiary.ledger.jobs import JobItems, Outcome
from vestiary.tags import Failure, Observation, Prediction, Tag, Unfamiliar

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


def test_what_goes_in_comes_out_again(ledger_url: str) -> None:
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
    with open_ledger(ledger_url) as ledger:
        ledger.add([prediction], [failure])
    with open_ledger(ledger_url) as ledger:
        assert list(ledger.predictions()) == [prediction]
        assert list(ledger.failures()) == [failure]
        assert prediction.confidence == 0.7


@pytest.mark.parametrize(
    "name", ["ä\n.jpg", "\udcff\udc80.jpg", r"a\b\\udcff.jpg", "nul\x00.jpg", "😀 \\u0041.jpg", "\\"]
)
def test_any_name_is_kept_without_loss(ledger_url: str, name: str) -> None:
    with open_ledger(ledger_url) as ledger:
        ledger.add([make_prediction(name=name, tags={name: make_tag(name)})], [make_failure(name=name, message=name)])
        [prediction], [failure] = ledger.predictions(), ledger.failures()
    assert prediction.name == failure.name == failure.message == name
    assert prediction.tags == {name: make_tag(name)}


def test_predictions_are_read_in_blocks_by_time_and_by_what_is_asked(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.ledger.ledger.BLOCK", 4)
    one_moment = [make_prediction(5, id=f"same{number}") for number in range(6)]
    others = [make_prediction(number, source="service" if number % 2 else "batch") for number in (9, 1, 3, 8)]
    with open_ledger(ledger_url) as ledger:
        ledger.add([*others, *one_moment])
        ledger.add([make_prediction(2, job_id="night")])
        names = [record.name for record in ledger.predictions()]
        assert names == ["1.jpg", "2.jpg", "3.jpg", *["5.jpg"] * 6, "8.jpg", "9.jpg"]
        window = ledger.predictions(since=START + timedelta(minutes=3), until=START + timedelta(minutes=8))
        assert [record.name for record in window] == ["3.jpg", *["5.jpg"] * 6]
        assert [record.name for record in ledger.predictions(source="service")] == ["1.jpg", "3.jpg", "9.jpg"]
        assert [record.name for record in ledger.predictions(job="night")] == ["2.jpg"]


def test_a_transaction_is_written_whole_or_not_at_all(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        with pytest.raises(Exception, match=r"(?i)unique"):
            ledger.add([make_prediction()], [make_failure(id="same"), make_failure(id="same")])
        assert not list(ledger.predictions())
        assert not list(ledger.failures())


def test_a_prediction_becomes_a_record_with_five_runners_up_at_most() -> None:
    tag = Tag("articleType", "Shirts", 0.5, False, tuple((f"value {number}", 0.01) for number in range(9)))
    tags = (tag, Tag("season", "Summer", 0.3, True))
    looks = Observation(60, 80, 0.25, 0.75, b"\x00\x3c")
    prediction = Prediction("a.jpg", "f" * 64, "a" * 64, tags, unfamiliar=Unfamiliar(0.75, True), observed=looks)
    record = PredictionRecord.from_prediction(prediction, source="service", bundle_name="tiny", latency_ms=2.5)
    assert (record.name, record.bundle, record.bundle_name, record.accepted) == ("a.jpg", "f" * 64, "tiny", False)
    assert (record.width, record.height, record.brightness, record.background) == (60, 80, 0.25, 0.75)
    assert (record.unfamiliar_score, record.unfamiliar, record.features) == (0.75, True, b"\x00\x3c")
    assert record.tags["articleType"]["runners_up"] == [[f"value {number}", 0.01] for number in range(5)]
    assert record.confidence == 0.3
    failed = Prediction("a.jpg", "f" * 64, failure=Failure("damaged", "It is cut short."))
    with pytest.raises(ValueError, match="make a FailureRecord"):
        PredictionRecord.from_prediction(failed, source="service", bundle_name="tiny")


def test_times_are_utc_whatever_zone_they_were_given_in(ledger_url: str) -> None:
    from zoneinfo import ZoneInfo

    at = datetime(2026, 3, 1, 0, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    with open_ledger(ledger_url) as ledger:
        ledger.add([make_prediction(at=at)])
        [read] = ledger.predictions(since=at, until=at + timedelta(seconds=1))
        assert read.at == at
        assert read.at.utcoffset() == timedelta(0)
        assert not list(ledger.predictions(until=at))


def test_a_later_verdict_of_the_same_reviewer_takes_the_place_of_the_earlier(ledger_url: str) -> None:
    prediction = make_prediction()
    with open_ledger(ledger_url) as ledger:
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
        assert ledger.find_prediction(prediction.id) == prediction
        assert ledger.find_prediction("nul\x00") is None
        assert ledger.find_request("\udcff") == []
        with pytest.raises(UsageError, match="holds no prediction nonsense; it may have been pruned"):
            ledger.add_verdict(
                Verdict(prediction_id="nonsense", attribute="a", value="b", previous_value="c", reviewer="ada")
            )


def test_verdicts_of_one_reviewer_at_the_same_time_wait_for_each_other(ledger_url: str) -> None:
    prediction = make_prediction()
    asked = {"prediction_id": prediction.id, "attribute": "season", "previous_value": "Summer", "reviewer": "ada"}

    def give(number: int) -> None:
        ledger.add_verdict(Verdict(value=str(number), **asked))

    with open_ledger(ledger_url) as ledger, ThreadPoolExecutor(4) as pool:
        ledger.add([prediction])
        list(pool.map(give, range(40)))
        assert len(list(ledger.verdicts())) == 1


def test_a_job_is_written_and_changed(ledger_url: str) -> None:
    job = Job(kind="batch", source="photos\udcff", out="out", bundle="f" * 64, options={"top_k": 3}, n_total=2)
    with open_ledger(ledger_url) as ledger:
        ledger.start_job(job)
        ledger.change_job(job.id, state="finished", n_done=2)
        [read] = ledger.jobs(kind="batch")
        assert (read.source, read.options, read.state, read.n_done) == ("photos\udcff", {"top_k": 3}, "finished", 2)
        assert not list(ledger.jobs(kind="other"))


def test_what_was_recorded_with_a_part_goes_with_it_and_nothing_else(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        ledger.start_job(Job(id="night", kind="batch", source="photos", out="out", bundle="f" * 64))
        items = JobItems(ledger, "night")
        names = ["a", "a", "b", "a"]  # a changed twice, the first time before it was answered
        items.add([(name, f"{name}{number}", None) for number, name in enumerate(names)])
        records = [make_prediction(number, name=name, job_id="night") for number, name in enumerate(names)]
        for part, positions in ((1, (1, 2)), (2, (3, 4))):
            items.commit(
                part,
                [Outcome(position, None, "done", 1) for position in positions],
                predictions=[records[position - 1] for position in positions],
            )
        assert items.reopen(1) == 2
        assert {record.id for record in ledger.predictions()} == {records[2].id, records[3].id}
        assert [(item.position, item.name) for item in items.to_do(0)] == [(1, "a"), (2, "a")]
        assert items.count_parts() == {2: 2}
