"""The pictures of some time, as the drift report compares them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, func, select

from vestiary.drift import Reference, Sighting, Window
from vestiary.ledger import schema
from vestiary.ledger.ledger import BLOCK, Ledger
from vestiary.ledger.records import Source

MOST_PICTURES: Final = 20_000
"""Pictures that a window is made of at most, if not told otherwise: limits fall no further with more."""


def read_window(
    ledger: Ledger,
    reference: Reference,
    bundle: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: Source | None = None,
    job: str | None = None,
    most: int = MOST_PICTURES,
) -> Window:
    """What the bundle with this fingerprint, whose ``reference`` this is, answered from ``since`` on, before ``until``.

    Answers of other bundles are not comparable: they are counted and left out. Of more than ``most`` pictures evenly
    spaced ones are taken. Raises what ``Ledger`` raises.
    """
    table = schema.predictions
    within = _limit(since, until, source, job)
    with ledger.reading() as connection:
        query = select(table.c.bundle, func.count()).where(*within).group_by(table.c.bundle)
        counts = {row[0]: int(row[1]) for row in connection.execute(query)}
        n = counts.pop(bundle, 0)
        place = func.row_number().over(order_by=(table.c.at, table.c.id)).label("place")
        own = select(table, place).where(*within, table.c.bundle == bundle).subquery()
        step = max(1, -(-n // most))
        names = ("tags", "unfamiliar", "width", "height", "brightness", "background", "features")
        chosen = select(*(own.c[name] for name in names)).where(own.c.place % step == 0)
        rows = connection.execute(chosen.execution_options(yield_per=BLOCK))
        return Window.from_sightings(reference, map(_to_sighting, rows), of=n, others=sum(counts.values()))


def _limit(
    since: datetime | None, until: datetime | None, source: Source | None, job: str | None
) -> list[ColumnElement[bool]]:
    table = schema.predictions
    found = [] if since is None else [table.c.at >= since]
    found += [] if until is None else [table.c.at < until]
    found += [] if job is None else [table.c.job_id == job]
    return found + ([] if source is None else [table.c.source == source])


def _to_sighting(row: Row[Any]) -> Sighting:
    plain = dict(row._mapping)
    tags = plain.pop("tags")
    return Sighting({name: (tag["value"], tag["confidence"]) for name, tag in tags.items()}, **plain)
