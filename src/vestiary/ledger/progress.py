"""What is asked of the ledger about one job: how fast it is, what people said of its answers, which jobs are newest."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from vestiary.ledger.ledger import Ledger
from vestiary.ledger.records import Job, Verdict, now
from vestiary.ledger.schema import failures, jobs, predictions, verdicts

RECENT: Final = timedelta(minutes=2)
"""The stretch of time that the present rate of a job is told from."""


def list_newest_jobs(ledger: Ledger, kind: str, most: int) -> list[Job]:
    """Jobs of this kind, those begun last first, ``most`` at most."""
    query = select(jobs).where(jobs.c.kind == kind).order_by(jobs.c.started_at.desc(), jobs.c.id.desc()).limit(most)
    with ledger.reading() as connection:
        return [Job(**row._mapping) for row in connection.execute(query)]


def measure_rate(ledger: Ledger, job_id: str, at: datetime | None = None) -> float | None:
    """Pictures a second that the job settled in the time RECENT before ``at``; None when that cannot be told yet.

    The ledger takes answers in blocks, and what the first block took is not known: those after it are counted.
    """
    at = at or now()
    blocks: Counter[datetime] = Counter()
    with ledger.reading() as connection:
        for table in (predictions, failures):
            own = (table.c.job_id == job_id, table.c.at >= at - RECENT, table.c.at <= at)
            for time, n in connection.execute(select(table.c.at, func.count()).where(*own).group_by(table.c.at)):
                blocks[time] += n
    if len(blocks) < 2:
        return None
    first, last = min(blocks), max(blocks)
    return (blocks.total() - blocks[first]) / (last - first).total_seconds()


def list_job_verdicts(ledger: Ledger, job_id: str) -> list[Verdict]:
    """What people said of the answers of a job, the oldest first."""
    joined = verdicts.join(predictions, predictions.c.id == verdicts.c.prediction_id)
    query = select(verdicts).select_from(joined).where(predictions.c.job_id == job_id)
    with ledger.reading() as connection:
        return [Verdict(**row._mapping) for row in connection.execute(query.order_by(verdicts.c.at, verdicts.c.id))]


def stamp_verdicts(ledger: Ledger, job_id: str) -> tuple[int, datetime | None]:
    """What changes whenever somebody says something of a job's answers: how many verdicts, and when the last was."""
    joined = verdicts.join(predictions, predictions.c.id == verdicts.c.prediction_id)
    query = select(func.count(), func.max(verdicts.c.at)).select_from(joined).where(predictions.c.job_id == job_id)
    with ledger.reading() as connection:
        n, last = connection.execute(query).one()
    return n, last
