"""Points in time on the command line: 7d ago, 2026-11-03, 2026-11-03T14:00."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from vestiary.cli.durations import parse_duration
from vestiary.errors import UsageError


def parse_moment(text: str, option: str) -> datetime:
    """``7d`` before now, or a date or time in ISO 8601, without a zone the local one; the result is in UTC.

    Raises UsageError that names ``option`` for anything else.
    """
    if re.fullmatch(r"\d+[a-z]", text.strip()):
        return datetime.now(UTC) - parse_duration(text, option)
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:  # the last from Windows, for local times before 1970
        raise UsageError(
            f"{option} is {text!r}, which is neither a length of time nor a date; write it like 7d, 36h, "
            "2026-11-03 or 2026-11-03T14:00."
        ) from error
