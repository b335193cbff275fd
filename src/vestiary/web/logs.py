"""One JSON line for each event, on stderr: what happened to a request, never what was in it."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

PACKAGE: Final = Path(__file__).parents[1]


def write_line(event: str, stream: TextIO | None = None, **fields: Any) -> None:
    """Write one event; a stream that is gone (a closed pipe) stops no request."""
    line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    out = sys.stderr if stream is None else stream
    try:
        out.write(json.dumps(line, ensure_ascii=False) + "\n")
        out.flush()
    except (OSError, ValueError):
        return


def describe_fault(error: BaseException) -> dict[str, Any]:
    """The kind of an exception and the lines of this package it came through: enough to find a fault, no content."""
    frames = [
        f"{Path(frame.filename).relative_to(PACKAGE).as_posix()}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(PACKAGE)
    ]
    return {"kind": type(error).__name__, "through": frames}


class JsonLines(logging.Handler):
    """Passes on the warnings of the server that the service runs in, as the same kind of line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; of an exception only its kind and place."""
        fault = describe_fault(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        lines = str(record.msg).strip().splitlines() or [""]
        if lines[0].startswith("Traceback"):
            lines = [lines[-1].partition(":")[0]]  # the kind of the exception, without its text
        write_line("server", level=record.levelname.lower(), message=lines[0], **fault)


SERVER_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"lines": {"class": "vestiary.web.logs.JsonLines"}},
    "loggers": {
        "uvicorn": {"handlers": ["lines"], "level": "WARNING", "propagate": False},
        "asyncio": {"handlers": ["lines"], "level": "CRITICAL", "propagate": False},
    },
}
"""The logging configuration of uvicorn: warnings and worse, as JSON lines."""
