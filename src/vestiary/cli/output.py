"""What the verbs share: progress on stderr, results on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPED_WIDTH = 140
"""Columns of a table that goes to a file or a pipe, where no terminal says how wide it is."""


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def say(line: str) -> None:
    """One line for people on stderr."""
    typer.echo(line, err=True)


def tell_failure(name: str, message: str) -> None:
    """One line on stderr for what could not be answered; a message that begins with its name has it once."""
    say(f"vestiary: {message if message.startswith(f'{name} ') else f'{name}: {message}'}")


def make_console() -> Console:
    """A console on stdout that shows words as they are, brackets and colons too, and does not cut tables in a pipe."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def show_name(name: str) -> Text:
    """A name for a table, whatever it is: nothing in it is markup, and what would steer the terminal is escaped."""
    from rich.text import Text

    return Text("".join(own if own.isprintable() else ascii(own)[1:-1] for own in name))


class Show(Protocol):
    """Tells how far a stage is; ``seconds_left`` where the stage knows better than its rate so far."""

    def __call__(self, done: int, total: int, seconds_left: float | None = None) -> None:
        """Show ``done`` of ``total``, and the time left."""


@contextmanager
def progress_bar(what: str, *, unit: str = "") -> Iterator[Show]:
    """A bar on stderr with count, rate (of ``unit``, where given) and time left; nothing where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, left="")

        def show(done: int, total: int, seconds_left: float | None = None) -> None:
            seconds = bar.tasks[0].time_remaining if seconds_left is None else seconds_left
            rate = f"{bar.tasks[0].speed:,.0f} {unit}" if unit and bar.tasks[0].speed else ""
            left = "" if seconds is None else _format_left(seconds)
            bar.update(task, completed=done, total=total, left=", ".join(part for part in (rate, left) if part))

        yield show


def _format_left(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"
