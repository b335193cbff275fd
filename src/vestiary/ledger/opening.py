"""Where the ledger lies, and how to get at it: URL, engine, and a schema of this version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from vestiary.errors import LedgerError, UsageError, VestiaryError, require
from vestiary.ledger.faults import BUSY_S, translated
from vestiary.ledger.schema import SCHEMA_VERSION

VARIABLE: Final = "VESTIARY_LEDGER_URL"
"""The variable that names the ledger."""
NO_LEDGER: Final = "none"
"""Stands for no ledger at all, which only the service can do without."""
WRITES: Final = "vestiary_writes"
"""The execution option that tells a transaction that will write; in SQLite it takes the lock at its start."""

_SECRETS: Final = ("password", "sslpassword")
"""Parameters of libpq that a URL may give behind its question mark, and that nobody is shown."""
_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_MIGRATION_LOCK: Final = 0x7665737469617279
"""A number of our own for PostgreSQL's advisory locks: the letters "vestiary"."""


def resolve_url(given: str | Path | None = None) -> URL:
    """The ledger's URL: ``given``, else what VESTIARY_LEDGER_URL says, else a file in the user's data folder.

    A path to a file stands for SQLite. Raises UsageError for what names no SQLite file and no PostgreSQL database.
    """
    named = str(given) if given is not None else os.environ.get(VARIABLE, "")
    if not named:
        return _file_url(_default_path())
    if named == NO_LEDGER:
        where = VARIABLE if given is None else "--ledger"
        raise UsageError(f"{where} says {NO_LEDGER}, so that there is no ledger to use; name one.")
    if "://" not in named:
        return _file_url(Path(named))
    try:
        url = make_url(named)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise UsageError(
            "The ledger's URL cannot be read; write it as postgresql://user:password@host/database, "
            "or give the path of a file."
        ) from None
    kind = url.get_backend_name()
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise UsageError(f"The ledger's URL names {kind}, but only sqlite and postgresql can hold a ledger.")
    if not url.database or url.database == ":memory:":
        raise UsageError("The ledger's URL names no file; write it as sqlite:////folder/ledger.db.")
    return _file_url(Path(url.database))


def is_default(place: str | Path | None) -> bool:
    """Whether this is the ledger that is used where none is named. Raises what ``resolve_url`` raises for ``place``."""
    url = resolve_url(place)
    try:
        return url == resolve_url()
    except UsageError:
        return False


def _file_url(path: Path) -> URL:
    path = path.expanduser().absolute()
    if path.is_dir():
        raise UsageError(f"The ledger {path} is a folder; name a file in it.")
    return URL.create("sqlite", database=str(path))


def _default_path() -> Path:
    from platformdirs import user_data_path

    folder = user_data_path("vestiary")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"The ledger's folder {folder} cannot be made ({error.strerror}); name another place with {VARIABLE}, "
            f"or {NO_LEDGER} for a service that keeps none."
        ) from error
    return folder / "ledger.db"


def describe_url(url: URL) -> str:
    """The ledger's place in messages: the path of a file, or a URL without its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    shown = url.set(drivername="postgresql").difference_update_query(_SECRETS)
    return shown.render_as_string(hide_password=True)


def hide_place(message: str, place: str | None) -> str:
    """A message about the ledger at ``place`` for a log that others read: of a file its name, of a server no URL."""
    try:
        url = resolve_url(place)
    except VestiaryError:
        return f"The ledger's place cannot be used; look at {VARIABLE}."
    shown = Path(str(url.database)).name if url.get_backend_name() == "sqlite" else VARIABLE
    return message.replace(describe_url(url), shown)


def connect(url: URL) -> Engine:
    """An engine; nothing is connected before it is used. Raises MissingExtraError for PostgreSQL without its driver."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    require("psycopg", extra="postgres", feature="A ledger on PostgreSQL")
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": int(BUSY_S)})


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: _begin_sqlite does
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock first where it will be needed: a reader that turns into a writer may be refused at once."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def prepare_schema(engine: Engine, where: str) -> None:
    """Bring the tables to this version's schema; several processes may do so at once.

    Raises LedgerError for a ledger that a newer Vestiary wrote, and for a database of something else.
    """
    with translated(where), engine.connect() as connection:
        if read_version(connection, where) == SCHEMA_VERSION:
            return
    with translated(where), engine.execution_options(**{WRITES: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if read_version(connection, where) != SCHEMA_VERSION:
            migrate(connection)


def read_version(connection: Connection, where: str) -> int:
    """The number of the migration that the ledger is at; 0 for an empty database. Raises LedgerError as above."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        found = "" if {"predictions", "jobs"} & tables else "0"
    else:
        found = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "0")
    if not found.isdigit():
        raise LedgerError(f"The database {where} holds tables of something else; give the ledger one of its own.")
    if int(found) > SCHEMA_VERSION:
        raise LedgerError(
            f"The ledger {where} has schema {int(found)}, but this Vestiary knows schemas up to {SCHEMA_VERSION}; "
            f"use a newer Vestiary, or name another ledger with {VARIABLE}."
        )
    return int(found)


def migrate(connection: Connection, version: int = SCHEMA_VERSION) -> None:
    """Move the tables up or down to ``version``, with what is in them, in the transaction of ``connection``."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    is_down = version < read_version(connection, "")
    (command.downgrade if is_down else command.upgrade)(config, f"{version:04d}" if version else "base")
