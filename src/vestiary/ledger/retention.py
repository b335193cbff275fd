"""Letting go of what is old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Table, delete, exists, func, select, tuple_

from vestiary.album import Album
from vestiary.ledger.ledger import Ledger
from vestiary.ledger.schema import failures, job_items, jobs, predictions, verdicts

PRUNED_AT_ONCE: Final = 5000
"""Rows of one transaction: between two of them, others may write."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were removed."""

    predictions: int
    failures: int
    jobs: int
    photos: int = 0


def prune(ledger: Ledger, before: datetime, *, reviewed: bool = False, album: Album | None = None) -> Pruned:
    """Remove predictions and failures from before ``before``, and jobs that gave their last sign of life before it.

    What a person has given a verdict on stays, unless ``reviewed``: then it goes too, with its verdicts. A job goes
    with the list of its pictures, so that it cannot be resumed any more. Of the ``album`` go the photos from before
    ``before`` that no prediction is left of.
    """
    old = predictions.c.at < before
    if not reviewed:
        old &= ~exists().where(verdicts.c.prediction_id == predictions.c.id)
    is_old_job = func.coalesce(jobs.c.ended_at, jobs.c.heartbeat_at, jobs.c.started_at) < before
    n_predictions = _remove(ledger, predictions, old)
    n_failures = _remove(ledger, failures, failures.c.at < before)
    # A run that takes the job up meanwhile gives a sign of life, which ends this, and then refuses a list with holes.
    _remove(ledger, job_items, job_items.c.job_id.in_(select(jobs.c.id).where(is_old_job)))
    return Pruned(
        n_predictions,
        n_failures,
        _remove(ledger, jobs, is_old_job),
        0 if album is None else album.prune(before, is_wanted=lambda sha256: _is_known(ledger, sha256)),
    )


def _is_known(ledger: Ledger, sha256: str) -> bool:
    with ledger.reading() as connection:
        query = select(predictions.c.id).where(predictions.c.image_sha256 == sha256).limit(1)
        return connection.execute(query).one_or_none() is not None


def _remove(ledger: Ledger, table: Table, condition: ColumnElement[bool]) -> int:
    """How many rows were removed, block by block.

    Who is writing about one of a block is waited for, and then each row is judged again: in PostgreSQL a statement sees
    only what was there at its start, and a verdict given meanwhile would go with its prediction.
    """
    key = list(table.primary_key)
    choose = select(*key).where(condition).limit(PRUNED_AT_ONCE).with_for_update()
    removed = 0
    while True:
        with ledger.writing() as connection:
            block = connection.execute(choose).all()
            chosen = tuple_(*key).in_([tuple(row) for row in block])
            removed += connection.execute(delete(table).where(chosen, condition)).rowcount if block else 0
        if len(block) < PRUNED_AT_ONCE:
            return removed
