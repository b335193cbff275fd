"""Reports from the ledger as their readers meet them: calendar days, true counts, one file, nothing from outside."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, Vestiary
from test_report_catalogue import parse, section, table_of, text_of
from vestiary.bundle import Bundle, open_bundle
from vestiary.drift import Sighting, fit_reference
from vestiary.errors import UsageError
from vestiary.ledger import FailureRecord, Job, PredictionRecord, TagRecord, Verdict, open_ledger
from vestiary.ledger.records import Source
from vestiary.reports.operations import (
    Kind,
    OperationsReport,
    build_operations_report,
    choose_period,
    render_operations_report,
    summarise,
)
from vestiary.reports.operations.page import name_days

LAST = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def _drawing() -> None:
    for module in ("altair", "vl_convert", "jinja2"):
        pytest.importorskip(module, reason="the extra 'ui' is not installed")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def answer(
    when: datetime,
    colour: str = "Red",
    *,
    source: Source = "batch",
    job: str | None = None,
    bundle: str = "f" * 64,
    confidence: float = 0.9,
    accepted: bool = True,
    unfamiliar: bool | None = None,
    latency_ms: float | None = None,
) -> PredictionRecord:
    tags: Mapping[str, TagRecord] = {
        "baseColour": {"value": colour, "confidence": confidence, "accepted": accepted, "runners_up": []},
        "season": {"value": "Summer", "confidence": 0.96, "accepted": True, "runners_up": []},
    }
    return PredictionRecord(
        name="a.jpg",
        source=source,
        job_id=job,
        bundle=bundle,
        bundle_name="tiny",
        accepted=accepted,
        tags=tags,
        at=when,
        unfamiliar=unfamiliar,
        latency_ms=latency_ms,
    )


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def build(
    place: Path, bundle: Bundle, kind: Kind = Kind.MONITORING, *, days: int = 7, zone: str = "UTC"
) -> OperationsReport:
    period = choose_period(days, last=LAST, zone=zone)
    with open_ledger(place) as ledger:
        return build_operations_report(ledger, kind, period, bundle=bundle, made_at=at(21, 23))


def test_days_begin_at_midnight_of_the_zone() -> None:
    berlin = choose_period(7, last=date(2026, 10, 28), zone="Europe/Berlin")
    assert (berlin.days[0], berlin.days[-1]) == (date(2026, 10, 22), date(2026, 10, 28))
    assert berlin.since == datetime(2026, 10, 21, 22, tzinfo=UTC)
    assert berlin.until == datetime(2026, 10, 28, 23, tzinfo=UTC)
    hours = [(end - start) / timedelta(hours=1) for start, end in zip(berlin.starts, berlin.starts[1:], strict=False)]
    assert hours == [24, 24, 24, 25, 24, 24, 24], "clocks go back on 25 October"
    assert berlin.find_day(datetime(2026, 10, 21, 22, tzinfo=UTC)) == 0
    assert berlin.find_day(datetime(2026, 10, 28, 22, 59, tzinfo=UTC)) == 6
    assert berlin.find_day(datetime(2026, 10, 25, 22, 30, tzinfo=UTC)) == 3, "the 25th hour of the 25th"
    tokyo = choose_period(1, zone="Asia/Tokyo", now=datetime(2026, 11, 20, 16, tzinfo=UTC))
    assert tokyo.days == (date(2026, 11, 21),), "it is already the 21st in Tokyo"
    with pytest.raises(UsageError, match="'Mars/Olympus' is not known here; write it as Europe/Berlin"):
        choose_period(7, zone="Mars/Olympus")
    for n_days, last, zone in ((3660, date(2, 1, 1), None), (1, date.min, None), (1, date.min, "Europe/Berlin")):
        with pytest.raises(UsageError, match="more than the calendar has"):
            choose_period(n_days, last=last, zone=zone)


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (date(2026, 11, 15), date(2026, 11, 21), "15 to 21 November 2026"),
        (date(2026, 11, 21), date(2026, 11, 21), "21 November 2026"),
        (date(2026, 10, 31), date(2026, 11, 1), "31 October to 1 November 2026"),
        (date(2025, 12, 31), date(2026, 1, 1), "31 December 2025 to 1 January 2026"),
    ],
)
def test_days_are_told_with_no_more_than_is_needed(first: date, last: date, told: str) -> None:
    assert choose_period((last - first).days + 1, last=last, zone="UTC").describe() == told


def test_no_two_days_share_a_column() -> None:
    for n, first in ((7, "15 Nov"), (365, "22 Nov"), (366, "21 Nov 2025"), (3660, "14 Nov 2016")):
        names = name_days(choose_period(n, last=LAST, zone="UTC"))
        assert (len(set(names)), names[0]) == (n, first)


def test_seven_days_are_calendar_days_and_not_the_newest_answers(place: Path, bundle: Bundle) -> None:
    with open_ledger(place) as ledger:
        times = [at(14, 22, 59), at(14, 23), at(18, 12), at(18, 23, 30), at(21, 22, 59), at(21, 23)]
        ledger.add(predictions=[answer(when) for when in times])
    report = build(place, bundle, zone="Europe/Berlin")
    assert [(day.date[-2:], day.answered) for day in report.days] == [
        ("15", 1),
        ("16", 0),
        ("17", 0),
        ("18", 1),
        ("19", 1),
        ("20", 0),
        ("21", 1),
    ]


def fill(place: Path) -> None:
    """Three days: batches and the service, answers for review, failures, verdicts."""
    with open_ledger(place) as ledger:
        job = Job(
            kind="batch",
            source=str(place.parent),
            out="results",
            bundle="f" * 64,
            state="finished",
            started_at=at(2, 2),
            ended_at=at(20, 2, 5),
            last_finished_at=at(20, 2, 5),
            n_total=600,
            n_done=590,
            n_failed=10,
        )
        ledger.start_job(job)
        batch = [answer(at(20, 2), "Red", job=job.id) for _ in range(3)]
        batch += [answer(at(20, 2, 1), "Blue", confidence=0.31, accepted=False, job=job.id)]
        service = [
            answer(at(21, 9), "Green", source="service", unfamiliar=number == 0, latency_ms=number + 1)
            for number in range(100)
        ]
        ledger.add(
            predictions=[*batch, *service],
            failures=[
                FailureRecord(
                    name="b.jpg", source="batch", code="damaged", message="Cut short.", at=at(20, 2), job_id=job.id
                ),
                FailureRecord(name="c.jpg", source="service", code="damaged", message="Broken.", at=at(21, 2)),
                FailureRecord(
                    name="d", source="batch", code="too-small", message="Tiny.", at=at(21, 3), quarantined=True
                ),
            ],
        )
        for record, value, who in ((batch[0], "Red", "ana"), (batch[3], "Green", "ana"), (batch[3], "Green", "bo")):
            ledger.add_verdict(
                Verdict(
                    prediction_id=record.id,
                    attribute="baseColour",
                    value=value,
                    previous_value=record.tags["baseColour"]["value"],
                    reviewer=who,
                    at=at(20, 8),
                )
            )


def test_the_page_tells_what_the_ledger_holds(place: Path, bundle: Bundle) -> None:
    fill(place)
    report = build(place, bundle, days=2)
    page = parse(render_operations_report(report))
    cards = text_of(section(page, "overview"))
    for told in (
        "107 pictures",
        "104 answered, 97.2 %",
        "3 failed",
        "103 accepted without a look",
        "1 for review, 1.0 %",
    ):
        assert told in cards.replace("\N{NO-BREAK SPACE}", " ")
    rows = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in table_of(page, "by-day")]
    assert rows == [
        ["Fri 20 Nov", "4", "1", "25.0 %", "–", "–", "–", "–"],
        ["Sat 21 Nov", "100", "2", "0.0 %", "1.0 %", "50 ms", "95 ms", "99 ms"],
    ]
    assert [row[:2] for row in table_of(page, "reasons")] == [["damaged", "2"], ["too-small", "1"]]
    assert table_of(page, "attributes")[0][:2] == ["Base colour", "104"]
    assert table_of(page, "corrections") == [["Base colour", "Blue", "Green", "2"]]
    assert "2 people looked at 3 tags of 2 pictures and changed 2 of them" in text_of(section(page, "review"))
    assert table_of(page, "batches") == [
        ["finished", "20 Nov, 02:05", "20 Nov, 02:05", "590", "10", "600", str(place.parent), "results"]
    ]
    assert table_of(page, "by-run") == [["2026-11-20", "02:00 to 02:01", "4", "1", "0.0", str(place.parent)]]
    assert report.runs[0].per_second == 1 / 60, "three answers stand at its beginning, one a minute later"
    assert "Nothing here asks for anybody's attention" in text_of(page)
    assert sum(report.histogram) == 104
    assert (report.histogram[6], report.histogram[18]) == (1, 103), "0.31 and 0.9: the least of each picture's tags"


def test_unfamiliar_pictures_are_a_share_of_those_that_were_judged(place: Path, bundle: Bundle) -> None:
    judged = [answer(at(21, 9), unfamiliar=number == 0) for number in range(4)]
    with open_ledger(place) as ledger:
        ledger.add(predictions=[answer(at(20, 9)), answer(at(21, 8)), *judged])
    report = build(place, bundle, days=2)
    page = parse(render_operations_report(report))
    assert [row[4].replace("\N{NO-BREAK SPACE}", " ") for row in table_of(page, "by-day")] == ["–", "25.0 %"]
    assert [(day["judged"], day["unfamiliar"]) for day in report.to_dict()["days"]] == [(0, 0), (4, 1)]


def test_a_batch_report_leaves_the_service_out(place: Path, bundle: Bundle) -> None:
    fill(place)
    report = build(place, bundle, Kind.BATCH)
    assert (report.n_answered, report.n_failed, report.latency) == (4, 2, None)
    assert [own.counts for own in report.attributes if own.name == "baseColour"] == [(("Red", 3), ("Blue", 1))]
    page = parse(render_operations_report(report))
    assert len(table_of(page, "by-day")[0]) == 5, "there are no columns for times that are not known"


def test_failures_are_shown_where_their_source_still_has_them(place: Path, bundle: Bundle, photo: bytes) -> None:
    folder = place.parent / "pictures"
    folder.mkdir()
    (folder / "cut <b>.jpg").write_bytes(photo[: len(photo) // 2])
    buffer = io.BytesIO()
    Image.new("RGB", (3, 3)).save(buffer, "PNG")
    (folder / "tiny.png").write_bytes(buffer.getvalue())
    (folder / "words.jpg").write_bytes(b"words")
    job = Job(kind="batch", source=str(folder), out="o", bundle="f", state="finished", started_at=at(2, 1))
    names = ["cut <b>.jpg", "tiny.png", "words.jpg", "gone.jpg", "../ledger.db", "r\udce9sum\udce9.jpg"]
    with open_ledger(place) as ledger:
        ledger.start_job(job)
        ledger.add(
            failures=[
                FailureRecord(name=name, source="batch", code="bad", message="No.", job_id=job.id, at=at(21, 1, minute))
                for minute, name in enumerate(names)
            ]
        )
    html = render_operations_report(build(place, bundle))
    shown = section(parse(html), "failures")
    assert {image.get("alt") for image in shown.iter("img")} == {"cut <b>.jpg", "tiny.png"}
    (named,) = [own for own in shown.iter("p") if own.get("class") == "names"]
    assert text_of(named) == "r\ufffdsum\ufffd.jpg, ../ledger.db, gone.jpg, words.jpg", "the newest first"


def test_pictures_of_another_folder_are_not_taken_for_those_of_the_batch(
    place: Path, bundle: Bundle, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.parent / "pictures").mkdir()
    (place.parent / "pictures" / "a.jpg").write_bytes(photo)
    monkeypatch.chdir(place.parent)
    table = str(place.parent / "list.csv")
    job = Job(kind="batch", source=table, out="o", bundle="f", options={"images": "pictures"}, started_at=at(21, 1))
    with open_ledger(place) as ledger:
        ledger.start_job(job)
        ledger.add(
            failures=[FailureRecord(name="a.jpg", source="batch", code="c", message="m", job_id=job.id, at=at(21, 1))]
        )
    (group,) = build(place, bundle).failures
    assert [(photo.product_id, photo.url) for photo in group.photos] == [("a.jpg", None)]


def test_the_page_holds_everything_and_no_script(place: Path, bundle: Bundle) -> None:
    fill(place)
    html = render_operations_report(build(place, bundle))
    assert "<script" not in html
    assert not re.search(r"\bon\w+=", html)
    assert not [url for url in re.findall(r'(?:src|href)="([^"]*)"', html) if not url.startswith(("#", "data:"))]
    assert "default-src 'none'" in html


def test_what_needs_a_person_is_told_first(place: Path, bundle: Bundle) -> None:
    def job(state: str, name: str, heartbeat: datetime, ended: datetime | None = None, **more: datetime) -> Job:
        return Job(
            kind="batch",
            source=name,
            out="o",
            bundle="f",
            state=state,  # type: ignore[arg-type]
            started_at=at(2, "abcl".index(name[0])),  # one after the other, all of them before the period
            heartbeat_at=heartbeat,
            ended_at=ended,
            **more,
        )

    with open_ledger(place) as ledger:
        ledger.start_job(job("failed", "a/", at(19, 2), at(19, 2), last_finished_at=at(18, 3)))
        ledger.start_job(job("running", "b/", at(20, 2, 5)))
        ledger.start_job(job("running", "c/", at(21, 22, 55)))
        ledger.start_job(job("failed", "long ago/", at(3, 2), at(3, 2)))
        ledger.add(
            predictions=[answer(at(21, 1)) for _ in range(8)],
            failures=[FailureRecord(name="x", source="batch", code="c", message="m", at=at(21, 1)) for _ in range(2)],
        )
    report = build(place, bundle)
    assert report.concerns() == (
        "2 of 10 pictures could not be answered, more than 10 %; see the reasons below.",
        "The batch of a/ failed on 19 November, 02:00; start it again, and it goes on where it was.",
        "The batch of b/ has given no sign of life since 20 November, 02:05; "
        "start it again, and it goes on where it was.",
    )
    assert {batch.source: batch.state for batch in report.batches} == {"a/": "failed", "b/": "silent", "c/": "running"}
    assert "2 of 10 pictures" in summarise(report)[1]
    rows = table_of(parse(render_operations_report(report)), "batches")
    assert sorted(row[:3] for row in rows) == [
        ["failed", "19 Nov, 02:00", "18 Nov, 03:00"],
        ["running", "21 Nov, 22:55", "–"],
        ["silent", "20 Nov, 02:05", "–"],
    ]


def test_a_password_in_an_address_is_told_nowhere(place: Path, bundle: Bundle) -> None:
    source = "ftp://shop:correct:h@rse@files.example/in"
    job = Job(kind="batch", source=source, out="o", bundle="f", state="failed", started_at=at(21, 2))
    with open_ledger(place) as ledger:
        ledger.start_job(job)
        ledger.add(predictions=[answer(at(21, 2), job=job.id)])
    report = build(place, bundle)
    told = "".join([*summarise(report), render_operations_report(report), json.dumps(report.to_dict())])
    assert told.count("ftp://shop:***@files.example/in") >= 6
    assert "rse@" not in told


def test_the_names_of_folders_break_no_line_and_no_mail(place: Path, bundle: Bundle) -> None:
    with open_ledger(place) as ledger:
        source = "/in/r\udce9sum\udce9s\nof 2026"
        ledger.start_job(Job(kind="batch", source=source, out="o", bundle="f", state="failed", started_at=at(21, 2)))
    told = summarise(build(place, bundle))[1]
    assert "Look at this: The batch of /in/r\ufffdsum\ufffds of 2026 failed on 21 November, 02:00;" in told
    assert told.encode()


def test_drift_is_judged_against_the_bundles_reference(place: Path, make_bundle: Callable[..., Path]) -> None:
    draw = np.random.default_rng(1).choice(["Red", "Green", "Blue"], 600)
    seen = [Sighting({"baseColour": (str(own), 0.9), "season": ("Summer", 0.96)}, False) for own in draw]
    values = {"baseColour": ("Red", "Green", "Blue"), "season": ("Summer", "Winter")}
    bundle = open_bundle(make_bundle(reference=fit_reference(seen, values, np.arange(600))))
    with open_ledger(place) as ledger:
        ledger.add(predictions=[answer(at(20, 1), "Green", bundle=bundle.fingerprint) for _ in range(300)])
    report = build(place, bundle)
    assert report.drift.report is not None
    assert report.drift.report.n == 300
    (told,) = [own for own in report.concerns() if "baseColour" in own]
    page = parse(render_operations_report(report))
    assert told in text_of(section(page, "overview"))
    over = [row for row in table_of(page, "figures") if row[-1] == "yes"]
    assert "baseColour" in {row[1] for row in over}


def test_a_bundle_without_a_reference_says_so(place: Path, bundle: Bundle) -> None:
    fill(place)
    page = parse(render_operations_report(build(place, bundle)))
    assert "The bundle tiny has no reference to compare with" in text_of(section(page, "drift"))


@pytest.mark.parametrize("kind", ["batch", "monitoring"])
def test_an_empty_ledger_gives_a_friendly_page(
    kind: str, vestiary: Vestiary, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = vestiary("report", kind, "--ledger", place, "--until", "2026-11-21", "--timezone", "UTC")
    assert code == 0
    assert "Nothing was answered on these days." in out
    page = parse((tmp_path / f"{kind}-report-2026-11-21.html").read_text(encoding="utf-8"))
    assert "It fills by itself" in text_of(page)
    assert str(place) in text_of(page)


def test_the_command_tells_the_figures_as_json_and_writes_both_files(
    vestiary: Vestiary, place: Path, tmp_path: Path
) -> None:
    if importlib.util.find_spec("weasyprint") is None:  # importing it here would change Pillow for all other tests
        pytest.skip("the extra 'pdf' is not installed")
    fill(place)
    files = {"--out": tmp_path / "r.html", "--pdf": tmp_path / "r.pdf"}
    given = [word for entry in files.items() for word in entry]
    period = ("--days", 2, "--until", "2026-11-21", "--timezone", "UTC")
    code, out, _ = vestiary("report", "monitoring", "--ledger", place, *period, *given, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["files"] == [{"path": str(path), "bytes": path.stat().st_size} for path in files.values()]
    assert files["--pdf"].read_bytes().startswith(b"%PDF")
    report = told["report"]
    assert (report["n_total"], report["n_failed"], report["success_rate"]) == (107, 3, 104 / 107)
    assert report["latency"] == {"p50": 50.5, "p95": pytest.approx(95.05), "p99": pytest.approx(99.01), "n": 100}
    assert [day["accepted"] for day in report["days"]] == [3, 100]
    assert report["failures"][0]["newest"][0] == {"name": "b.jpg", "message": "Cut short."}
    assert report["period"]["since"] == "2026-11-20T00:00:00+00:00"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--until", "21.11.2026"), "--until '21.11.2026' is no day of the calendar; write it as 2026-01-31."),
        (("--timezone", "CEST/Summer"), "The time zone 'CEST/Summer' is not known here"),
        (("--webhook", "ftp://x"), "The address of the webhook cannot be used"),
        (("--mail-to", "ana"), "No mail server is named; set VESTIARY_SMTP_HOST"),
        (("--days", "0"), "--days"),
        (("--ledger", str(ROOT / "README.md")), "is no ledger but some other file"),
    ],
)
def test_wrong_use_gets_one_sentence_and_writes_nothing(
    words: tuple[str, ...], told: str, vestiary: Vestiary, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VESTIARY_SMTP_HOST", raising=False)
    code, out, err = vestiary("report", "batch", "--ledger", place, "--out", tmp_path / "r.html", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "r.html").exists()
