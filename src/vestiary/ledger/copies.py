"""A whole ledger in one file, and back: for safety, and to move from one database to another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, NullPool, create_engine, func, insert, select

from vestiary.errors import LedgerError, UsageError
from vestiary.ledger.faults import translated
from vestiary.ledger.ledger import BLOCK, Ledger, open_ledger
from vestiary.ledger.schema import metadata

SQLITE_START: Final = b"SQLite format 3\0"
"""The first bytes of every SQLite file (https://sqlite.org/fileformat2.html)."""


def back_up(ledger: Ledger, path: Path, *, overwrite: bool = False) -> None:
    """Write all of the ledger as it is now to the SQLite file ``path``, which is there whole or not at all.

    Others may read and write the ledger meanwhile. The file is itself a ledger, of a PostgreSQL one too.
    Raises UsageError for a file that is there already, unless ``overwrite``, and for a ledger that is in use.
    """
    _refuse_used(path, "name another file")
    with new_file(path, overwrite=overwrite) as part:
        if ledger.engine.dialect.name == "sqlite":
            engine = create_engine(ledger.engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
            with translated(str(path)), engine.connect() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(part),))
        else:
            with open_ledger(part) as copy, ledger.reading() as source, copy.writing() as target:
                _copy_rows(source, target)


def restore(ledger: Ledger, path: Path) -> None:
    """Fill an empty ledger with what ``back_up`` wrote, by this version or an older one; the file stays as it is.

    Raises UsageError for a ledger that holds something and for a file that is in use, LedgerError for a file that is no
    ledger.
    """
    if not path.is_file():
        raise UsageError(f"There is no backup {path}; check the path.")
    _refuse_used(path, "write a backup of it with vestiary ledger backup, and restore that")
    with tempfile.TemporaryDirectory(prefix="vestiary-") as folder:
        own = shutil.copyfile(path, Path(folder) / path.name)
        with _open_copy(own, path) as copy, copy.reading() as source, ledger.writing() as target:
            for table in metadata.sorted_tables:
                if target.execute(select(func.count()).select_from(table)).scalar_one():
                    raise UsageError(f"The ledger {ledger.place} is not empty; restore into a new one.")
            _copy_rows(source, target)


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A place to write to beside ``path``; it becomes ``path`` when all went well, and is gone when not."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; name another place, or allow it with --overwrite.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}; make it first.")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)


def _refuse_used(path: Path, remedy: str) -> None:
    """Raise UsageError for a SQLite file that somebody has open: what was written last lies in another beside it."""
    if path.with_name(f"{path.name}-wal").exists():
        raise UsageError(f"The ledger {path} is in use, or was not closed; {remedy}.")


def _open_copy(own: Path, path: Path) -> Ledger:
    """The ledger in ``own``, a copy of ``path``; what is wrong with it is said of ``path``."""
    with path.open("rb") as file:
        if file.read(len(SQLITE_START)) != SQLITE_START:
            raise LedgerError(f"{path} is no backup of a ledger; name a file that vestiary ledger backup wrote.")
    try:
        return open_ledger(own)
    except LedgerError as error:
        raise type(error)(str(error).replace(str(own), str(path))) from error


def _copy_rows(source: Connection, target: Connection) -> None:
    for table in metadata.sorted_tables:
        rows = source.execution_options(yield_per=BLOCK).execute(select(table))
        for block in rows.partitions():
            target.execute(insert(table), [dict(row._mapping) for row in block])
