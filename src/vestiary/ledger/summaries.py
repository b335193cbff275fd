"""Counts that reports and health checks take from the ledger without reading every record."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, func, or_, select

from vestiary.ledger.ledger import Ledger
from vestiary.ledger.records import Job, Source
from vestiary.ledger.schema import failures, jobs, predictions, verdicts

SILENT: Final = timedelta(minutes=15)
"""A job that is marked as running and gave no sign of life for so long is not at work."""
_LAST_SIGN = func.coalesce(jobs.c.ended_at, jobs.c.heartbeat_at, jobs.c.started_at)


@dataclass(frozen=True, slots=True)
class Change:
    """``n`` verdicts that gave one value where the model had given another, or the same."""

    attribute: str
    previous_value: str
    value: str
    n: int


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What people said: verdicts by attribute and values, and how many pictures and reviewers these come from."""

    changes: tuple[Change, ...]
    n_pictures: int
    n_reviewers: int


def count_outcomes(ledger: Ledger, since: datetime, until: datetime) -> tuple[int, int]:
    """How many pictures were answered, and how many could not be, from ``since`` on and before ``until``."""
    with ledger.reading() as connection:
        answered, failed = (
            connection.execute(
                select(func.count()).select_from(table).where(table.c.at >= since, table.c.at < until)
            ).scalar_one()
            for table in (predictions, failures)
        )
    return answered, failed


def count_verdicts(
    ledger: Ledger, since: datetime, until: datetime, source: Source | None = None, job: str | None = None
) -> Reviewed:
    """Verdicts given from ``since`` on and before ``until``.

    ``source`` tells who had asked for the prediction, ``job`` which batch had made it.
    """
    chosen = [verdicts.c.at >= since, verdicts.c.at < until]
    if source is not None:
        chosen.append(predictions.c.source == source)
    if job is not None:
        chosen.append(predictions.c.job_id == job)
    joined = verdicts.join(predictions, predictions.c.id == verdicts.c.prediction_id)
    columns = (verdicts.c.attribute, verdicts.c.previous_value, verdicts.c.value)
    people = (func.count(verdicts.c.prediction_id.distinct()), func.count(verdicts.c.reviewer.distinct()))
    with ledger.reading() as connection:
        rows = connection.execute(
            select(*columns, func.count().label("n")).select_from(joined).where(*chosen).group_by(*columns)
        ).all()
        n_pictures, n_reviewers = connection.execute(select(*people).select_from(joined).where(*chosen)).one()
    changes = sorted((Change(*row) for row in rows), key=lambda own: (-own.n, own.attribute, own.previous_value))
    return Reviewed(tuple(changes), n_pictures, n_reviewers)


def list_active_jobs(
    ledger: Ledger, kind: str, since: datetime, until: datetime, *, known: Collection[str] = ()
) -> list[Job]:
    """Jobs of this kind that were at work from ``since`` on and before ``until``, by when they began.

    Those are the ones with the ids ``known``, and all that began before ``until`` and were seen from ``since`` on.
    """
    seen = and_(jobs.c.started_at < until, since <= _LAST_SIGN)
    query = select(jobs).where(jobs.c.kind == kind, or_(seen, jobs.c.id.in_(known)))
    with ledger.reading() as connection:
        rows = connection.execute(query.order_by(jobs.c.started_at, jobs.c.id)).all()
    return [Job(**row._mapping) for row in rows]


def find_last_finish(ledger: Ledger, kind: str) -> datetime | None:
    """When a job of this kind last ended well; None when none has."""
    with ledger.reading() as connection:
        at: datetime | None = connection.scalar(select(func.max(jobs.c.last_finished_at)).where(jobs.c.kind == kind))
    return at


def find_last_job(ledger: Ledger, kind: str) -> Job | None:
    """The job of this kind with the newest sign of life; None when there is none."""
    query = select(jobs).where(jobs.c.kind == kind).order_by(_LAST_SIGN.desc(), jobs.c.id.desc()).limit(1)
    with ledger.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Job(**row._mapping)


def last_sign(job: Job) -> datetime:
    """When a job was last seen: its end, its last sign of life, or its beginning."""
    return job.ended_at or job.heartbeat_at or job.started_at


def is_silent(job: Job, now: datetime) -> bool:
    """Whether a job is marked as running, and was not seen for longer than SILENT."""
    return job.state == "running" and now - last_sign(job) > SILENT
