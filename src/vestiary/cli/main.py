"""The command line: one file per verb; errors become one sentence and an exit code here and nowhere else."""

from __future__ import annotations

import io
import os
import re
import sys

import typer

from vestiary import __version__
from vestiary.cli import (
    batch,
    calibrate,
    check,
    drift,
    evaluate,
    health,
    index,
    ingest,
    inspect,
    ledger,
    merge,
    promote,
    quantise,
    report,
    review,
    schedule,
    serve,
    similar,
    tag,
    train,
    tune,
    ui,
)
from vestiary.cli.verbs import Verbs
from vestiary.errors import VestiaryError

app = typer.Typer(
    name="vestiary",
    help="Turn product photos into catalogue attributes.",
    cls=Verbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    ingest,
    check,
    train,
    tune,
    calibrate,
    merge,
    quantise,
    evaluate,
    promote,
    inspect,
    tag,
    batch,
    index,
    similar,
    serve,
    ui,
    drift,
    health,
    schedule,
):
    app.command(verb.__name__.rpartition(".")[2])(verb.run)
app.add_typer(report.app, name="report")
app.add_typer(review.app, name="review")
app.add_typer(ledger.app, name="ledger")


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
    _write_utf8()
    # Before numpy is loaded: OpenBLAS would share out the products of 32 embeddings among threads that spin while they
    # wait, 18 ms of processor time instead of 0.5, and in the way of those that answer.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(_run())


def _run() -> int:
    try:
        code = app(prog_name="vestiary", standalone_mode=False)
    except VestiaryError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:  # wrong words on the command line
        return _fail(_describe_misuse(error), 2)
    except OSError as error:
        where = error.filename or "A file"
        return _fail(f"{where} cannot be read or written ({error.strerror}); check the place and the disk.", 2)
    except SystemExit as leaving:  # Typer leaves with 1 when the reader of our output goes away, which is no fault
        code = 0 if isinstance(leaving.__context__, BrokenPipeError) else leaving.code
    if code == 130:
        return _fail("Stopped.", 130)
    return code if isinstance(code, int) else 0


def _fail(sentence: str, code: int) -> int:
    typer.echo(f"vestiary: {sentence}", err=True)
    return code


def _describe_misuse(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "vestiary"
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    message = re.sub(r"\. Did you mean (.*\?)$", r" (did you mean \1)", message)
    return f"{message}; see: {command} --help."


def _write_utf8() -> None:
    """Pipes and files get UTF-8 whatever the machine's own encoding; a terminal gets what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="surrogateescape")
