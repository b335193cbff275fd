"""What is to run, when, and where its files lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time

from vestiary.errors import UsageError

NAME = "vestiary-batch"
"""What the unit, the script, the log and the lock are called."""


@dataclass(frozen=True)
class Nightly:
    """One command a day. Paths are texts, since they may be those of another machine, and are absolute.

    ``program`` is the executable and what comes before the arguments, ``folder`` where the command runs, ``place``
    where the files will lie (and, but for systemd, the log and the lock), ``user`` the account (None: that of whoever
    installs the files), ``environment`` a file of ``NAME=value`` lines.
    """

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    at: time
    folder: str
    place: str
    user: str | None = None
    environment: str | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command, as words."""
        return (*self.program, *self.arguments)


@dataclass(frozen=True)
class Files:
    """The files of a schedule by name, and the steps that put them in force."""

    content: Mapping[str, bytes]
    steps: tuple[str, ...]


def read_time(text: str) -> time:
    """``02:30`` as a time of day. Raises UsageError for anything else."""
    hour, _, minute = text.partition(":")
    if not (hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(hour) < 24 and int(minute) < 60):
        raise UsageError(f"{text!r} is no time of day; write it as 02:30.")
    return time(int(hour), int(minute))


def refuse(text: str, characters: str, what: str) -> None:
    """Raise UsageError when a text holds a control character or one of ``characters``."""
    for letter in text:
        if letter in characters or ord(letter) < 32 or ord(letter) == 127:
            raise UsageError(f"{what} {text!r} holds the character {letter!r}, which cannot be used there; rename it.")


def encode(text: str) -> bytes:
    """UTF-8, with the bytes of names that are no UTF-8 as they were."""
    return text.encode("utf-8", "surrogateescape")
