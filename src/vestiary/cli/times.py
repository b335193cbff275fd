"""Spans and points of time as they are written on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from vestiary.errors import UsageError

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_span(text: str, option: str) -> timedelta:
    """A span of time from "90d", "36h", "30m" or "2w". Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if match is None:
        raise UsageError(f"{option} is {text!r}, which is no span of time; write it like 7d, 36h, 30m or 2w.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_moment(text: str, option: str) -> datetime:
    """A span before now ("7d"), or a date or time in ISO 8601, without a zone the local one; the result is in UTC.

    Raises UsageError for anything else.
    """
    if re.fullmatch(r"\d+[a-z]", text.strip()):
        return datetime.now(UTC) - parse_span(text, option)
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{option} is {text!r}, which is neither a span of time nor a date; write it like 7d, 36h, "
            "2026-11-03 or 2026-11-03T14:00."
        ) from error
