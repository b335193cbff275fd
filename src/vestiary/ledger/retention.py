"""Letting go of what is old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Table, delete, exists, func, select

from vestiary.album import Album
from vestiary.ledger.ledger import Ledger
from vestiary.ledger.schema import failures, jobs, predictions, verdicts

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
    last_sign = func.coalesce(jobs.c.ended_at, jobs.c.heartbeat_at, jobs.c.started_at)
    return Pruned(
        _remove(ledger, predictions, old),
        _remove(ledger, failures, failures.c.at < before),
        _remove(ledger, jobs, last_sign < before),
        0 if album is None else album.prune(before, is_wanted=lambda sha256: _is_known(ledger, sha256)),
    )


def _is_known(ledger: Ledger, sha256: str) -> bool:
    with ledger.reading() as connection:
        query = select(predictions.c.id).where(predictions.c.image_sha256 == sha256).limit(1)
        return connection.execute(query).one_or_none() is not None


def _remove(ledger: Ledger, table: Table, condition: ColumnElement[bool]) -> int:
    """How many rows were removed, block by block."""
    block = delete(table).where(table.c.id.in_(select(table.c.id).where(condition).limit(PRUNED_AT_ONCE)))
    removed = 0
    while True:
        with ledger.writing() as connection:
            n = connection.execute(block).rowcount
        removed += n
        if n < PRUNED_AT_ONCE:
            return removed
