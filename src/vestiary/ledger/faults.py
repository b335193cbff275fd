"""From what a database says to one plain sentence, and to whether it is worth trying again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vestiary.errors import LedgerError, LedgerUnavailableError, first_sentence

BUSY_S: Final = 10.0
"""Seconds that a writer waits for the others before it gives up."""

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: f"is held by another process for over {BUSY_S:g} s; let that one end, or try again later",
    sqlite3.SQLITE_LOCKED: "is held by another process; let that one end, or try again later",
    sqlite3.SQLITE_FULL: "cannot grow, since its disk is full; free some space",
    sqlite3.SQLITE_IOERR: "cannot be read or written, since its disk does not answer as it should; check the disk",
    sqlite3.SQLITE_READONLY: "cannot be written; change the rights of the file and its folder, "
    "or name another place with VESTIARY_LEDGER_URL",
    sqlite3.SQLITE_PERM: "may not be used by this user; change the rights of the file and its folder, "
    "or name another place with VESTIARY_LEDGER_URL",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its folder is there and may be written, "
    "or name another place with VESTIARY_LEDGER_URL",
    sqlite3.SQLITE_NOTADB: "is no ledger but some other file; name another place with VESTIARY_LEDGER_URL",
    sqlite3.SQLITE_CORRUPT: "is damaged; put a backup in its place",
}
"""What is said for the primary result codes of https://sqlite.org/rescode.html."""
_SQLITE_FOR_NOW: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
}
_POSTGRES_FOR_NOW: Final = ("08", "40", "53", "55", "57", "58")
"""Classes of https://www.postgresql.org/docs/current/errcodes-appendix.html that pass: connection, conflict,
no space or no place free, in use, shut down by its keeper, disk."""

_FOR_NOW: Final = ("starting up", "shutting down", "terminating", "too many", "recovery mode")
"""Words of a server that refuses a connection only for the moment."""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise what a database raises as LedgerError, or LedgerUnavailableError where it may pass; ``where`` names it.

    An IntegrityError passes as it is: it tells something about the row, not about the ledger.
    """
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise LedgerUnavailableError(f"The ledger {where} has no free connection; try again later.") from error
    except DBAPIError as error:
        raise _describe(error, where) from error


def _describe(error: DBAPIError, where: str) -> LedgerError:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if isinstance(error.orig, sqlite3.Error):
        primary = (code or 0) & 0xFF
        said = _SQLITE.get(primary, f"cannot be used ({first_sentence(error.orig)}); check the file")
        kind = LedgerUnavailableError if primary in _SQLITE_FOR_NOW else LedgerError
        return kind(f"The ledger {where} {said}.")
    return _describe_server(error, where)


def _describe_server(error: DBAPIError, where: str) -> LedgerError:
    state = getattr(error.orig, "sqlstate", None)
    reason = first_sentence(error.orig or error).removeprefix("connection failed: ")
    if state is None:  # no connection was made: the server is away, or it does not want us
        refused = "FATAL" in str(error.orig) and not any(word in str(error.orig) for word in _FOR_NOW)
        if refused:
            return LedgerError(
                f"The ledger's server at {where} refuses the connection ({reason}); "
                "check user, password and database in VESTIARY_LEDGER_URL."
            )
        return LedgerUnavailableError(
            f"The ledger's server at {where} does not answer ({reason}); check that it runs and that it can be reached."
        )
    if state.startswith(_POSTGRES_FOR_NOW) or error.connection_invalidated:
        return LedgerUnavailableError(f"The ledger at {where} cannot be used now ({reason}); try again later.")
    return LedgerError(f"The ledger at {where} cannot be used ({reason}); check the rights of its user there.")
