"""Counts that reports and health checks take from the ledger without reading every record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from vestiary.ledger.ledger import Ledger
from vestiary.ledger.records import Job, Source
from vestiary.ledger.schema import failures, jobs, predictions, verdicts


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


def count_verdicts(ledger: Ledger, since: datetime, until: datetime, source: Source | None = None) -> Reviewed:
    """Verdicts given from ``since`` on and before ``until``; ``source`` tells who had asked for the prediction."""
    chosen = [verdicts.c.at >= since, verdicts.c.at < until]
    if source is not None:
        chosen.append(predictions.c.source == source)
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


def find_last_job(ledger: Ledger, kind: str, *, state: str | None = None) -> Job | None:
    """The job of this kind that started last, or ended last among those in ``state``; None when there is none."""
    query = select(jobs).where(jobs.c.kind == kind).order_by(jobs.c.started_at.desc(), jobs.c.id.desc()).limit(1)
    if state is not None:
        query = query.where(jobs.c.state == state).order_by(None).order_by(jobs.c.ended_at.desc())
    with ledger.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Job(**row._mapping)
