"""What a job knows of each of its pictures: which are answered, in which part, and which are still to do.

The states of an item:

    waiting      not looked at yet
    refused      not looked at yet; it is a row that names no picture, and ``reason`` says why
    failed       could not be answered, and will be tried again
    done         answered; its row stands in ``part``
    quarantined  given up after its last attempt, with ``reason``; its row stands in ``part``
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, bindparam, case, delete, func, insert, select, update

from vestiary.ledger.ledger import Ledger, write_records
from vestiary.ledger.records import FailureRecord, Job, PredictionRecord, now
from vestiary.ledger.schema import failures, job_items, jobs, predictions, verdicts

OPEN: Final = ("waiting", "refused", "failed")
"""The states of pictures that are still to do."""
PAGE: Final = 1000
"""Items that are read at a time."""


@dataclass(frozen=True, slots=True)
class Item:
    """A picture of a job that is still to do; ``refused`` says why there is nothing to read."""

    position: int
    name: str
    attempts: int = 0
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item: its new ``state``, how often it was tried, and why it could not be answered.

    ``identity`` is that of the bytes that were looked at, or of the name of what is moved away; None keeps what it was.
    """

    position: int
    identity: str | None
    state: str
    attempts: int
    reason: str | None = None


def identify(name: str, stamp: str | None) -> str:
    """What tells a picture from others of its job: 32 hex digits of its name and the stamp of its bytes."""
    text = f"{name}\0{stamp or ''}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


class JobItems:
    """The items of one job in the ledger. Every method raises what ``Ledger`` raises."""

    def __init__(self, ledger: Ledger, job_id: str) -> None:
        self._ledger, self._job_id = ledger, job_id
        self._own = job_items.c.job_id == job_id

    def add(self, found: Sequence[tuple[str, str, str | None]]) -> int:
        """Append those (name, identity, reason to refuse) that the job does not know, and give their number."""
        with self._ledger.writing() as connection:
            query = select(job_items.c.identity).where(
                self._own, job_items.c.identity.in_([identity for _, identity, _ in found])
            )
            seen = set(connection.scalars(query))
            top = connection.scalar(select(func.max(job_items.c.position)).where(self._own)) or 0
            rows: list[dict[str, Any]] = []
            for name, identity, refused in found:
                if identity not in seen:
                    seen.add(identity)
                    state = "waiting" if refused is None else "refused"
                    row = {"job_id": self._job_id, "position": top + 1 + len(rows), "name": name, "identity": identity}
                    rows.append(row | {"state": state, "attempts": 0, "reason": refused})
            if rows:
                connection.execute(insert(job_items), rows)
        return len(rows)

    def to_do(self, after: int) -> list[Item]:
        """The next items that are still to do, by position from behind ``after``: a page, or fewer at the end."""
        query = select(job_items).where(self._own, job_items.c.state.in_(OPEN), job_items.c.position > after)
        with self._ledger.reading() as connection:
            rows = connection.execute(query.order_by(job_items.c.position).limit(PAGE)).all()
        return [Item(row.position, row.name, row.attempts, _refusal(row)) for row in rows]

    def count(self) -> dict[str, int]:
        """The number of items by state; states without any are absent."""
        query = select(job_items.c.state, func.count()).where(self._own).group_by(job_items.c.state)
        with self._ledger.reading() as connection:
            return {state: n for state, n in connection.execute(query)}

    def count_parts(self) -> dict[int, int]:
        """The number of rows in each part that the ledger knows."""
        query = select(job_items.c.part, func.count()).where(self._own, job_items.c.part.is_not(None))
        with self._ledger.reading() as connection:
            return {part: n for part, n in connection.execute(query.group_by(job_items.c.part))}

    def reopen(self, part: int) -> int:
        """Have the pictures of a part that is lost answered again, as if they never had been; their number.

        Their predictions and failures leave the ledger, but for those on which a person has given a verdict.
        """
        lost = self._own & (job_items.c.part == part)
        with self._ledger.writing() as connection:
            states = Counter(connection.scalars(select(job_items.c.state).where(lost)))
            for table, ids in _find_records(connection, self._job_id, part).items():
                for some in (ids[at : at + PAGE] for at in range(0, len(ids), PAGE)):
                    connection.execute(delete(table).where(table.c.id.in_(some)))
            is_row = (job_items.c.state == "quarantined") & (job_items.c.attempts == 1)  # given up at once: no picture
            state = case((is_row, "refused"), else_="waiting")
            reason = case((is_row, job_items.c.reason), else_=None)
            connection.execute(update(job_items).where(lost).values(state=state, reason=reason, attempts=0, part=None))
            counts = {
                "n_done": jobs.c.n_done - states["done"],
                "n_failed": jobs.c.n_failed - states["quarantined"],
            }
            connection.execute(update(jobs).where(jobs.c.id == self._job_id).values(counts))
        return states.total()

    def last_part(self) -> int:
        """The highest number of a part that the ledger knows; 0 for none."""
        with self._ledger.reading() as connection:
            return _last_part(connection, self._own)

    def commit(
        self,
        part: int | None,
        outcomes: Sequence[Outcome],
        *,
        predictions: Iterable[PredictionRecord] = (),
        failures: Iterable[FailureRecord] = (),
    ) -> None:
        """Take one block into the ledger, all of it or nothing; ``part`` holds its rows, None when it has none.

        A block whose part the ledger knows already, since only the answer to its commit was lost, is not taken twice.
        """
        with self._ledger.writing() as connection:
            if part is not None and _last_part(connection, self._own) >= part:
                return
            own = update(job_items).where(self._own, job_items.c.position == bindparam("at"))
            columns: dict[str, Any] = {
                name: bindparam(f"new_{name}") for name in ("state", "attempts", "part", "reason")
            }
            columns["identity"] = func.coalesce(bindparam("new_identity"), job_items.c.identity)
            connection.execute(
                own.values(columns),
                [
                    {
                        "at": outcome.position,
                        "new_identity": outcome.identity,
                        "new_state": outcome.state,
                        "new_attempts": outcome.attempts,
                        "new_part": part if outcome.state in ("done", "quarantined") else None,
                        "new_reason": outcome.reason,
                    }
                    for outcome in outcomes
                ],
            )
            write_records(connection, predictions=predictions, failures=failures)
            n_done = sum(outcome.state == "done" for outcome in outcomes)
            n_failed = sum(outcome.state == "quarantined" for outcome in outcomes)
            counts = {"n_done": jobs.c.n_done + n_done, "n_failed": jobs.c.n_failed + n_failed, "heartbeat_at": now()}
            connection.execute(update(jobs).where(jobs.c.id == self._job_id).values(counts))


def find_job(ledger: Ledger, job_id: str) -> Job | None:
    """The job with this id, if the ledger has it."""
    with ledger.reading() as connection:
        row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return None if row is None else Job(**row._mapping)


def _refusal(row: Row[Any]) -> str | None:
    return row.reason if row.state == "refused" else None


def _find_records(connection: Connection, job_id: str, part: int) -> dict[Table, list[str]]:
    """The ids of what was recorded with a part, by table.

    A picture that has changed is in a job again under its name, in a later part or in the same: each of its settled
    items has a record, and the order is the same, counted from the end, since what is old may have been pruned.
    """
    own = job_items.c.job_id == job_id
    names = select(job_items.c.name).where(own, job_items.c.part == part)
    settled = select(job_items.c.name, job_items.c.part).where(
        own, job_items.c.part.is_not(None), job_items.c.name.in_(names)
    )
    parts = connection.execute(settled).all()
    rank = Counter(name for name, other in parts if other > part)
    own_number = Counter(name for name, other in parts if other == part)
    found: dict[str, list[tuple[Any, str, Table]]] = {}
    for table in (predictions, failures):
        rows = select(table.c.name, table.c.at, table.c.id).where(table.c.job_id == job_id, table.c.name.in_(names))
        for name, at, key in connection.execute(rows):
            found.setdefault(name, []).append((at, key, table))
    own_ids = select(predictions.c.id).where(predictions.c.job_id == job_id, predictions.c.name.in_(names))
    reviewed = set(connection.scalars(select(verdicts.c.prediction_id).where(verdicts.c.prediction_id.in_(own_ids))))
    ids: dict[Table, list[str]] = {predictions: [], failures: []}
    for name, records in found.items():
        records.sort(key=lambda record: record[0], reverse=True)
        for _, key, table in records[rank[name] : rank[name] + own_number[name]]:
            if key not in reviewed:
                ids[table].append(key)
    return ids


def _last_part(connection: Connection, own: Any) -> int:
    return connection.scalar(select(func.max(job_items.c.part)).where(own)) or 0
