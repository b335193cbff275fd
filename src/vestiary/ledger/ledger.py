"""The ledger itself: predictions, failures, jobs and verdicts go in and come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Table,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)

from vestiary.errors import UsageError
from vestiary.ledger import schema
from vestiary.ledger.faults import translated
from vestiary.ledger.opening import WRITES, connect, describe_url, prepare_schema, resolve_url
from vestiary.ledger.records import FailureRecord, Job, PredictionRecord, Source, Verdict

Record = TypeVar("Record", PredictionRecord, FailureRecord, Job, Verdict)

BLOCK: Final = 1000
"""Rows that are read at a time."""


def open_ledger(url: str | Path | None = None) -> Ledger:
    """The ledger at ``url``: a PostgreSQL or SQLite URL, or the path of a file.

    Without ``url`` the variable VESTIARY_LEDGER_URL names it, and without that it is ``ledger.db`` in the user's data
    folder. One that is not there is made, one of an older version is brought to this one's schema.

    Raises UsageError for a URL of something else, MissingExtraError for PostgreSQL without its driver, LedgerError
    for a ledger that cannot be used or that a newer version wrote, LedgerUnavailableError for one that may come back.
    """
    place = resolve_url(url)
    engine = connect(place)
    try:
        prepare_schema(engine, describe_url(place))
    except BaseException:
        engine.dispose()
        raise
    return Ledger(engine)


class Ledger:
    """An open ledger; use it with ``with``, or close it. Threads may share it, processes may not.

    Every method raises LedgerError when the database cannot do it, and LedgerUnavailableError, a kind of it, when
    trying again later may help; what was to be written is then not written at all.
    """

    def __init__(self, engine: Engine) -> None:
        """What ``open_ledger`` makes; ``engine`` is at this version's schema."""
        self.engine = engine
        is_server = engine.dialect.name == "postgresql"
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ") if is_server else engine
        self._writer = engine.execution_options(**{WRITES: True})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    @property
    def place(self) -> str:
        """Where the ledger lies: the path of a file, or a URL without its password."""
        return describe_url(self.engine.url)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with: everything within sees one state of the ledger."""
        with translated(self.place), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all that is done within is there afterwards, or none of it when an exception leaves it."""
        with translated(self.place), self._writer.begin() as connection:
            yield connection

    def check_writable(self) -> None:
        """Write something that changes nothing. Raises LedgerError when that cannot be done."""
        with self.writing() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))

    def add(self, predictions: Iterable[PredictionRecord] = (), failures: Iterable[FailureRecord] = ()) -> None:
        """Write these, all in one transaction."""
        with self.writing() as connection:
            write_records(connection, predictions=predictions, failures=failures)

    def predictions(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        source: Source | None = None,
        job: str | None = None,
    ) -> Iterator[PredictionRecord]:
        """Predictions from ``since`` on and before ``until``, the oldest first, read in blocks as they are taken."""
        return self._walk(schema.predictions, read_prediction, since, until, source=source, job_id=job)

    def failures(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        source: Source | None = None,
        job: str | None = None,
    ) -> Iterator[FailureRecord]:
        """Failures from ``since`` on and before ``until``, the oldest first, read in blocks as they are taken."""
        return self._walk(
            schema.failures, lambda row: FailureRecord(**row._mapping), since, until, source=source, job_id=job
        )

    def verdicts(
        self, since: datetime | None = None, until: datetime | None = None, prediction: str | None = None
    ) -> Iterator[Verdict]:
        """Verdicts from ``since`` on and before ``until``, the oldest first, read in blocks as they are taken."""
        return self._walk(schema.verdicts, lambda row: Verdict(**row._mapping), since, until, prediction_id=prediction)

    def jobs(
        self, since: datetime | None = None, until: datetime | None = None, kind: str | None = None
    ) -> Iterator[Job]:
        """Jobs started from ``since`` on and before ``until``, the oldest first."""
        return self._walk(schema.jobs, lambda row: Job(**row._mapping), since, until, kind=kind)

    def find_prediction(self, prediction_id: str) -> PredictionRecord | None:
        """The prediction with this id, if there is one."""
        with self.reading() as connection:
            query = select(schema.predictions).where(schema.predictions.c.id == _given(prediction_id))
            row = connection.execute(query).one_or_none()
        return None if row is None else read_prediction(row)

    def find_request(self, request_id: str, name: str | None = None) -> list[PredictionRecord]:
        """The predictions that a request of the service asked for, the newest first; with ``name`` those called so.

        At most BLOCK: callers choose the ids of their requests, and may give all of them the same.
        """
        table = schema.predictions
        query = (
            select(table).where(table.c.request_id == _given(request_id)).order_by(table.c.at.desc(), table.c.id.desc())
        )
        query = query if name is None else query.where(table.c.name == name)
        with self.reading() as connection:
            return [read_prediction(row) for row in connection.execute(query.limit(BLOCK))]

    def describe(self) -> dict[str, Any]:
        """What there is, JSON-ready: rows of each table, the times of the first and last prediction, the schema."""
        at = schema.predictions.c.at
        with self.reading() as connection:
            rows = {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in schema.metadata.sorted_tables
            }
            first, last = connection.execute(select(func.min(at), func.max(at))).one()
        return {
            "place": self.place,
            "database": self.engine.dialect.name,
            "schema": schema.SCHEMA_VERSION,
            "rows": rows,
            "first_prediction_at": first and first.isoformat(),
            "last_prediction_at": last and last.isoformat(),
        }

    def add_verdict(self, verdict: Verdict) -> None:
        """Write a verdict; it takes the place of the one that its reviewer gave before on the same tag, if any.

        Several that are given at once wait for each other, by a lock on their prediction.

        Raises UsageError when the ledger holds no such prediction.
        """
        with self.writing() as connection:
            self.hold_prediction(connection, verdict.prediction_id)
            write_verdict(connection, verdict)

    def hold_prediction(self, connection: Connection, prediction_id: str) -> None:
        """Keep all others from this prediction until the transaction ends. UsageError when there is none."""
        known = select(schema.predictions.c.id).where(schema.predictions.c.id == prediction_id)
        if connection.execute(known.with_for_update()).one_or_none() is None:
            raise UsageError(
                f"The ledger {self.place} holds no prediction {prediction_id}; it may have "
                "been pruned, else check the id."
            )

    def start_job(self, job: Job) -> None:
        """Write a new job."""
        with self.writing() as connection:
            connection.execute(insert(schema.jobs), [_columns(job)])

    def change_job(self, job_id: str, **changes: Any) -> None:
        """Set columns of a job: ``change_job(id, state="finished", ended_at=now(), n_done=12)``."""
        with self.writing() as connection:
            connection.execute(update(schema.jobs).where(schema.jobs.c.id == job_id).values(**changes))

    def _walk(
        self,
        table: Table,
        make: Callable[[Row[Any]], Record],
        since: datetime | None,
        until: datetime | None,
        **equal: str | None,
    ) -> Iterator[Record]:
        """Rows by time, a block at a time, each block after the last row of the one before."""
        at = table.c.started_at if table is schema.jobs else table.c.at
        query = select(table).order_by(at, table.c.id).limit(BLOCK)
        query = query.where(*(table.c[name] == value for name, value in equal.items() if value is not None))
        query = query.where(at >= since) if since is not None else query
        query = query.where(at < until) if until is not None else query
        block = query
        while True:
            with self.reading() as connection:
                rows = connection.execute(block).all()
            yield from map(make, rows)
            if len(rows) < BLOCK:
                return
            last = rows[-1]._mapping
            place = tuple_(literal(last[at.name], schema.UtcTime), literal(last["id"]))
            block = query.where(tuple_(at, table.c.id) > place)


def write_records(
    connection: Connection,
    *,
    predictions: Iterable[PredictionRecord] = (),
    failures: Iterable[FailureRecord] = (),
) -> None:
    """Write these within a transaction that may write more beside them."""
    if rows := [_columns(record) | {"confidence": record.confidence} for record in predictions]:
        connection.execute(insert(schema.predictions), rows)
    if rows := [_columns(record) for record in failures]:
        connection.execute(insert(schema.failures), rows)


def write_verdict(connection: Connection, verdict: Verdict) -> None:
    """Write a verdict within a transaction; it takes the place of the one its reviewer gave before, if any."""
    table = schema.verdicts
    connection.execute(
        table.delete().where(
            table.c.prediction_id == verdict.prediction_id,
            table.c.attribute == verdict.attribute,
            table.c.reviewer == verdict.reviewer,
        )
    )
    connection.execute(insert(table), [_columns(verdict)])


def _columns(record: PredictionRecord | FailureRecord | Job | Verdict) -> dict[str, Any]:
    return {column.name: getattr(record, column.name) for column in fields(record)}


def _given(text: str) -> ColumnElement[str]:
    """What somebody gave, to be compared with: no text of theirs upsets the database."""
    return literal(text, schema.AnyText)


def read_prediction(row: Row[Any]) -> PredictionRecord:
    """The record that a row of the table is."""
    return PredictionRecord(**{name: value for name, value in row._mapping.items() if name != "confidence"})
