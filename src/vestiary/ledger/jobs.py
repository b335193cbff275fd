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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from vestiary.ledger.ledger import Ledger, write_records
from vestiary.ledger.records import FailureRecord, Job, PredictionRecord, now
from vestiary.ledger.schema import job_items, jobs

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

    ``identity`` is that of the bytes that were looked at; None when there were none.
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

    def add(self, found: Sequence[tuple[str, str, str | None]], *, known: Sequence[str] | None = None) -> int:
        """Append those (name, identity, reason to refuse) that the job does not know, and give their number.

        ``known`` are the states in which an identity counts as known; None means every one of them.
        """
        with self._ledger.writing() as connection:
            query = select(job_items.c.identity).where(
                self._own, job_items.c.identity.in_([identity for _, identity, _ in found])
            )
            if known is not None:
                query = query.where(job_items.c.state.in_(known))
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


def _last_part(connection: Connection, own: Any) -> int:
    return connection.scalar(select(func.max(job_items.c.part)).where(own)) or 0
