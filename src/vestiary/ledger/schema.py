"""The ledger's tables, as the newest migration leaves them, and how Python's values are stored in their columns."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

SCHEMA_VERSION: Final = 4
"""The number of the newest migration; a ledger with a higher one was written by a newer Vestiary."""

_UNSTORABLE: Final = re.compile(r"[\\\x00\ud800-\udfff]")
_STORED: Final = re.compile(r"\\(\\|u[0-9a-f]{4})")


class UtcTime(TypeDecorator[datetime]):
    """A point in time: aware in Python, UTC in the database (SQLite keeps it as text that sorts by time)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC. Raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; the ledger keeps times in UTC.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AnyText(TypeDecorator[str]):
    r"""Any ``str``, without loss, where a database takes only Unicode without NUL.

    File names whose bytes are no UTF-8 hold lone surrogates; these and NUL are stored as ``\uXXXX``, a
    backslash as two.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To what can be stored."""
        return None if value is None else escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """To what was given."""
        return None if value is None else _STORED.sub(_unescape, value)


class Json(TypeDecorator[Any]):
    """JSON as ASCII text, so that any string within it can be stored."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To text."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From text."""
        return None if value is None else json.loads(value)


def escape(text: str) -> str:
    """Any text as ``AnyText`` stores it."""
    return _UNSTORABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return r"\\" if match[0] == "\\" else f"\\u{ord(match[0]):04x}"


def _unescape(match: re.Match[str]) -> str:
    return "\\" if match[1] == "\\" else chr(int(match[1][1:], 16))


metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("source", AnyText, nullable=False),
    Column("out", AnyText, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("options", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("heartbeat_at", UtcTime),
    Column("n_total", Integer),
    Column("n_done", Integer, nullable=False),
    Column("n_failed", Integer, nullable=False),
    Column("owner", Text),
    Column("last_finished_at", UtcTime),
    Index("jobs_by_time", "started_at", "id"),
)

job_items = Table(
    "job_items",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", AnyText, nullable=False),
    Column("identity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("part", Integer),
    Column("reason", AnyText),
    Index("job_items_by_identity", "job_id", "identity"),
    Index("job_items_by_part", "job_id", "part"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("source", Text, nullable=False),
    Column("job_id", Text),
    Column("name", AnyText, nullable=False),
    Column("image_sha256", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("bundle", Text, nullable=False),
    Column("bundle_name", Text, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("confidence", Float),
    Column("unfamiliar_score", Float),
    Column("unfamiliar", Boolean),
    Column("brightness", Float),
    Column("background", Float),
    Column("features", LargeBinary),
    Column("latency_ms", Float),
    Column("tags", Json, nullable=False),
    Column("request_id", Text),
    Index("predictions_by_time", "at", "id"),
    Index("predictions_by_job", "job_id", "at", "id"),
    Index("predictions_by_confidence", "confidence", "id"),
    Index("predictions_by_picture", "image_sha256"),
)
Index(
    "predictions_by_request",
    predictions.c.request_id,
    sqlite_where=predictions.c.request_id.is_not(None),
    postgresql_where=predictions.c.request_id.is_not(None),
)

failures = Table(
    "failures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("source", Text, nullable=False),
    Column("job_id", Text),
    Column("name", AnyText, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", AnyText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("quarantined", Boolean, nullable=False),
    Index("failures_by_time", "at", "id"),
    Index("failures_by_job", "job_id", "at", "id"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("prediction_id", Text, ForeignKey("predictions.id", ondelete="CASCADE"), nullable=False),
    Column("attribute", AnyText, nullable=False),
    Column("value", AnyText, nullable=False),
    Column("previous_value", AnyText, nullable=False),
    Column("reviewer", AnyText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("note", AnyText),
    Index("verdicts_by_time", "at", "id"),
    Index("verdicts_by_prediction", "prediction_id", "attribute", "reviewer", unique=True),
)

claims = Table(
    "claims",
    metadata,
    Column("prediction_id", Text, ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True),
    Column("reviewer", AnyText, primary_key=True),
    Column("state", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("acted_at", UtcTime),
    Index("claims_by_reviewer", "reviewer", "acted_at"),
)
