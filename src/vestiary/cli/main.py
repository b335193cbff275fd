"""The command line: one file per verb; errors become one sentence and an exit code here and nowhere else."""

from __future__ import annotations

import sys

import typer
import typer.main

from vestiary import __version__
from vestiary.cli import check, evaluate, ingest, inspect, tag, train
from vestiary.errors import VestiaryError

app = typer.Typer(
    name="vestiary",
    help="Turn product photos into catalogue attributes.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (ingest, check, train, evaluate, inspect, tag):
    app.command(verb.__name__.rpartition(".")[2])(verb.run)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vestiary {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Turn product photos into catalogue attributes."""


def main() -> None:
    """Run the command line and leave with its exit code: 0 success, 1 the answer is no, 2 wrong use or bad input."""
    try:
        app()
    except VestiaryError as error:
        typer.echo(f"vestiary: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader of our output went away; Python would complain at exit
            sys.exit(0)
        where = error.filename or "A file"
        typer.echo(f"vestiary: {where} cannot be read or written ({error.strerror}); check place and disk.", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("vestiary: stopped.", err=True)
        sys.exit(130)
