"""The values of a report about batches, or about everything that was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from vestiary.bundle import Bundle
from vestiary.catalogue.sources import hide_password
from vestiary.drift import DriftReport, compare_window
from vestiary.ledger import Job, Ledger
from vestiary.ledger.records import Source
from vestiary.ledger.summaries import Change, Reviewed, count_verdicts, is_silent, last_sign, list_active_jobs
from vestiary.ledger.windows import read_window
from vestiary.reports.operations.failures import FailureGroup, Failures
from vestiary.reports.operations.period import Period
from vestiary.reports.operations.tally import AttributeTally, Day, Percentiles, Tally
from vestiary.taxonomy import CATEGORY

HIGH_FAILURES = 0.1
"""Share of the pictures whose failing asks for attention."""


class Kind(StrEnum):
    """What a report is about: pictures that batches answered, or all of them."""

    BATCH = "batch"
    MONITORING = "monitoring"


@dataclass(frozen=True)
class Run:
    """What a batch did on one day: from its first answer to its last, UTC (None when all failed).

    ``per_second`` are the answers after the first ones by the time since these.
    """

    date: str
    source: str
    began_at: datetime | None
    ended_at: datetime | None
    n_answered: int
    n_failed: int
    per_second: float | None


@dataclass(frozen=True)
class Batch:
    """How a batch stands: ``state`` "silent" is one that is marked as running and gives no sign of life.

    ``seen_at`` is its end or its last sign of life, ``last_finished_at`` when a run of it last ended well;
    ``n_done`` and ``n_failed`` of ``n_total`` are since it began.
    """

    source: str
    out: str
    state: str
    started_at: datetime
    seen_at: datetime
    n_total: int | None
    n_done: int
    n_failed: int
    last_finished_at: datetime | None


@dataclass(frozen=True)
class DriftSection:
    """The drift report of the bundle, or the sentence that says why there is none."""

    report: DriftReport | None
    sentence: str


@dataclass(frozen=True)
class OperationsReport:
    """Everything that the report says, as values; counts are pictures."""

    kind: Kind
    ledger: str
    period: Period
    made_at: datetime
    n_answered: int
    n_accepted: int
    n_failed: int
    n_unfamiliar: int
    n_judged: int
    sources: tuple[tuple[str, int], ...]
    bundles: tuple[tuple[str, str, int], ...]
    days: tuple[Day, ...]
    histogram: tuple[int, ...]
    attributes: tuple[AttributeTally, ...]
    latency: Percentiles | None
    failures: tuple[FailureGroup, ...]
    batches: tuple[Batch, ...]
    runs: tuple[Run, ...]
    reviewed: Reviewed
    drift: DriftSection

    @property
    def n_total(self) -> int:
        """Pictures that were tried."""
        return self.n_answered + self.n_failed

    @property
    def n_review(self) -> int:
        """Answers that a person should look at."""
        return self.n_answered - self.n_accepted

    @property
    def success_rate(self) -> float | None:
        """Answered among those tried, 0..1."""
        return self.n_answered / self.n_total if self.n_total else None

    @property
    def category(self) -> AttributeTally | None:
        """The attribute that files pictures: articleType, or the first that was answered."""
        ranked = sorted(self.attributes, key=lambda own: own.name != CATEGORY)
        return ranked[0] if ranked else None

    @property
    def corrections(self) -> tuple[Change, ...]:
        """What reviewers changed, the commonest first."""
        return tuple(own for own in self.reviewed.changes if own.value != own.previous_value)

    @property
    def n_verdicts(self) -> int:
        """Tags that reviewers looked at."""
        return sum(own.n for own in self.reviewed.changes)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.n_total or self.batches or self.reviewed.changes)

    def concerns(self) -> tuple[str, ...]:
        """What somebody should look at, one sentence each."""
        told = []
        if self.n_failed and self.n_failed > HIGH_FAILURES * self.n_total:
            told.append(
                f"{self.n_failed:,} of {self.n_total:,} pictures could not be answered, more than "
                f"{100 * HIGH_FAILURES:.0f} %; see the reasons below."
            )
        for batch in self.batches:
            if batch.state in _TROUBLE:
                when = f"{self.period.to_local(batch.seen_at):%d %B, %H:%M}"
                told.append(f"{_TROUBLE[batch.state].format(source=batch.source, when=when)}; {_AGAIN}")
        return (*told, *(self.drift.report.alarms if self.drift.report is not None else ()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; pictures are left out."""
        values = {name: _plain(getattr(self, name)) for name in _PLAIN}
        return values | {
            "period": {
                "first": self.period.days[0].isoformat(),
                "last": self.period.days[-1].isoformat(),
                "zone": self.period.zone_name,
                "since": self.period.since.isoformat(),
                "until": self.period.until.isoformat(),
            },
            "failures": [
                {
                    "code": own.code,
                    "n": own.n,
                    "quarantined": own.n_quarantined,
                    "newest": [{"name": photo.product_id, "message": photo.name} for photo in own.photos],
                }
                for own in self.failures
            ],
            "drift": self.drift.report.to_dict() if self.drift.report is not None else {"summary": self.drift.sentence},
            "concerns": list(self.concerns()),
        }


_TROUBLE = {
    "failed": "The batch of {source} failed on {when}",
    "stopped": "The batch of {source} was stopped on {when}",
    "silent": "The batch of {source} has given no sign of life since {when}",
}
_AGAIN = "start it again, and it goes on where it was."
_PLAIN = (
    "kind",
    "ledger",
    "made_at",
    "n_total",
    "n_answered",
    "n_accepted",
    "n_review",
    "n_failed",
    "n_unfamiliar",
    "success_rate",
    "sources",
    "bundles",
    "days",
    "histogram",
    "attributes",
    "latency",
    "batches",
    "runs",
    "reviewed",
)


def build_operations_report(
    ledger: Ledger,
    kind: Kind,
    period: Period,
    *,
    bundle: Bundle,
    made_at: datetime | None = None,
    job: Job | None = None,
) -> OperationsReport:
    """Read the ledger; ``bundle`` is the one whose drift is judged, ``job`` the one batch that it is to be about.

    Raises LedgerError when the ledger cannot be read.
    """
    made_at = made_at or datetime.now(UTC)
    source: Source | None = "batch" if kind is Kind.BATCH else None
    tally, failures = Tally(period), Failures(period)
    own = job.id if job is not None else None
    tally.add(ledger.predictions(period.since, period.until, source, own))
    failures.add(ledger.failures(period.since, period.until, source, own))
    days = tally.days(failures.by_day)
    known = {job_id for job_id, _ in (*tally.stretches, *failures.by_job)}
    jobs = [job] if job is not None else list_active_jobs(ledger, "batch", period.since, period.until, known=known)
    return OperationsReport(
        kind=kind,
        ledger=ledger.place,
        period=period,
        made_at=made_at,
        n_answered=sum(day.answered for day in days),
        n_accepted=sum(day.accepted for day in days),
        n_failed=sum(day.failed for day in days),
        n_unfamiliar=sum(day.unfamiliar for day in days),
        n_judged=sum(day.judged for day in days),
        sources=tuple(tally.sources.most_common()),
        bundles=tuple((name, fingerprint, n) for (name, fingerprint), n in tally.bundles.most_common()),
        days=days,
        histogram=tuple(tally.histogram),
        attributes=tally.attributes(bundle.taxonomy.titles),
        latency=tally.latency(),
        failures=failures.groups({job.id: job for job in jobs}),
        batches=tuple(_describe_batch(job, made_at) for job in jobs),
        runs=_list_runs(tally, failures, jobs),
        reviewed=count_verdicts(ledger, period.since, max(period.until, made_at) if job else period.until, source, own),
        drift=judge_drift(ledger, period.since, period.until, bundle, source, own),
    )


def judge_drift(
    ledger: Ledger,
    since: datetime,
    until: datetime,
    bundle: Bundle,
    source: Source | None = None,
    job: str | None = None,
) -> DriftSection:
    """The answers that the bundle gave in that time, or in that batch, against its reference."""
    if bundle.reference is None:
        return DriftSection(
            None,
            f"The bundle {bundle.name} has no reference to compare with; vestiary calibrate makes a bundle that has.",
        )
    window = read_window(ledger, bundle.reference, bundle.fingerprint, since=since, until=until, source=source, job=job)
    report = compare_window(bundle.reference, window)
    return DriftSection(report, report.summary())


def _describe_batch(job: Job, now: datetime) -> Batch:
    state = "silent" if is_silent(job, now) else job.state
    return Batch(
        source=hide_password(job.source),
        out=job.out,
        state=state,
        started_at=job.started_at,
        seen_at=last_sign(job),
        n_total=job.n_total,
        n_done=job.n_done,
        n_failed=job.n_failed,
        last_finished_at=job.last_finished_at,
    )


def _list_runs(tally: Tally, failures: Failures, jobs: Sequence[Job]) -> tuple[Run, ...]:
    """What each job did on each day, by day."""
    runs = []
    sources = {job.id: hide_password(job.source) for job in jobs}
    for job_id, place in sorted(tally.stretches.keys() | failures.by_job.keys(), key=lambda key: (key[1], key[0])):
        own = tally.stretches.get((job_id, place))
        seconds = (own.last_at - own.first_at).total_seconds() if own is not None else 0.0
        runs.append(
            Run(
                date=tally.period.days[place].isoformat(),
                source=sources.get(job_id, "–"),
                began_at=own.first_at if own is not None else None,
                ended_at=own.last_at if own is not None else None,
                n_answered=own.n if own is not None else 0,
                n_failed=failures.by_job[job_id, place],
                per_second=own.n_later / seconds if own is not None and seconds > 0 else None,
            )
        )
    return tuple(runs)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(own) for own in value]
    return value
