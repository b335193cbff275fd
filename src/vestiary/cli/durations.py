"""Lengths of time on the command line: 90d, 36h."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from vestiary.errors import UsageError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST: Final = timedelta(days=36_525)
"""A hundred years: a time so long ago is still one that every calendar has."""


def parse_duration(text: str, option: str) -> timedelta:
    """``90d`` as a length of time; a number with s, m, h, d or w. Raises UsageError that names ``option``."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if match is None or int(match[1]) == 0:
        raise UsageError(f"{option} is {text!r}, but must be a length of time such as 90d, 36h, 30m or 2w.")
    length = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if length > _LONGEST:
        raise UsageError(f"{option} is {text!r}, which is over a hundred years; write a shorter time, such as 90d.")
    return length
