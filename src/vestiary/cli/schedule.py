"""``vestiary schedule``: the files that make a batch run every night."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path, PureWindowsPath

import typer


class Scheduler(StrEnum):
    """What starts the batch."""

    SYSTEMD = "systemd"
    CRON = "cron"
    WINDOWS = "windows"


def run(
    scheduler: Scheduler = typer.Argument(help="What is to start the batch."),
    batch: str = typer.Option(
        metavar="ARGUMENTS", help="Arguments of vestiary batch, in one text: \"photos/ --out 'my results'\"."
    ),
    out: Path = typer.Option(help="Folder to write the files into."),
    at: str = typer.Option("02:30", metavar="HH:MM", help="Time of day, on the machine's clock."),
    folder: str | None = typer.Option(None, help="Folder that the batch runs in; the current one when left out."),
    place: str | None = typer.Option(
        None, help="Folder that the files will lie in on the machine that runs them, with the log; --out when left out."
    ),
    program: str | None = typer.Option(None, help="The vestiary program there; the one of this installation."),
    user: str | None = typer.Option(
        None, help="Account that runs it: files for /etc/systemd/system, /etc/cron.d. Left out: your own."
    ),
    environment: str | None = typer.Option(
        None, help="File of NAME=value lines with VESTIARY_* variables, read before each run (not on Windows)."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files that are there."),
    as_json: bool = typer.Option(False, "--json", help="Print what was written as JSON."),
) -> None:
    """Write files that run vestiary batch every night: a systemd timer, a cron table, or a Windows task."""
    from vestiary.cli.files import check_places, write_all
    from vestiary.cli.output import say
    from vestiary.schedule import Nightly, read_time, write_cron, write_systemd, write_windows

    elsewhere = scheduler is Scheduler.WINDOWS and os.name != "nt"
    at_home = find_place(out, place, windows=elsewhere)
    nightly = Nightly(
        program=(program,) if program else find_program(windows=elsewhere),
        arguments=("batch", *split_arguments(batch, windows=scheduler is Scheduler.WINDOWS)),
        at=read_time(at),
        folder=folder if elsewhere and folder else at_home if elsewhere else str(Path(folder or ".").absolute()),
        place=at_home,
        user=user,
        environment=str(Path(environment).absolute()) if environment else None,
    )
    check_arguments(nightly.arguments)
    writers = {Scheduler.SYSTEMD: write_systemd, Scheduler.CRON: write_cron, Scheduler.WINDOWS: write_windows}
    files = writers[scheduler](nightly)
    content = {out / name: data for name, data in files.content.items()}
    check_places({path.name: path for path in content}, overwrite=overwrite)
    write_all(content, as_json=as_json)
    say(f"To put it in force, in {out}:")
    for step in files.steps:
        say(f"  {step}")


def find_place(out: Path, place: str | None, *, windows: bool) -> str:
    """The folder, as an absolute path of the machine that will run the files. Raises UsageError when it is unknown."""
    from vestiary.errors import UsageError

    if not windows:
        return str(Path(place).absolute() if place else out.absolute())
    if place is None or not PureWindowsPath(place).is_absolute():
        raise UsageError(
            "The files are for a Windows machine; name the folder that they will lie in there: --place C:\\vestiary."
        )
    return place.rstrip("\\")


def find_program(*, windows: bool) -> tuple[str, ...]:
    """What starts this installation; for another machine the name alone, to be found on its PATH."""
    if windows:
        return ("vestiary.exe",)
    here = Path(sys.executable).with_name("vestiary.exe" if os.name == "nt" else "vestiary")
    return (str(here),) if here.is_file() else (sys.executable, "-m", "vestiary")


def check_arguments(words: Sequence[str]) -> None:
    """Raises UsageError for words that ``vestiary batch`` would refuse before it looks at any file."""
    from vestiary.cli import batch
    from vestiary.errors import UsageError

    verb = typer.Typer(add_completion=False)
    verb.command()(batch.run)
    try:
        typer.main.get_command(verb).make_context(words[0], list(words[1:]))
    except typer.TyperException as error:
        raise UsageError(f"--batch: {error.format_message().rstrip('.')}; see: vestiary batch --help.") from None


def split_arguments(text: str, *, windows: bool = False) -> list[str]:
    """Words as a shell would read them; of ``windows`` a backslash is part of a path.

    Raises UsageError for an open quote, or none at all.
    """
    from vestiary.errors import UsageError

    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.commenters = True, ""
    if windows:
        reader.escape = ""
    try:
        words = list(reader)
    except ValueError:
        raise UsageError(f"--batch {text!r} has a quote without its partner; close it.") from None
    if not words:
        raise UsageError("--batch is empty; give the arguments of vestiary batch: 'photos/ --out results/'.")
    return words
