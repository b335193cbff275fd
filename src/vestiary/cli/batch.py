"""``vestiary batch``: a resumable job over many pictures."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vestiary.cli.output import print_json, progress_bar, say
from vestiary.errors import UsageError

if TYPE_CHECKING:
    from vestiary.batch import BatchOptions, BatchReport
    from vestiary.bundle import Bundle


def run(
    source: str = typer.Argument(
        help="A folder (searched to the bottom), a zip, a table that names pictures (csv, tsv, jsonl, parquet, xlsx), "
        "a pattern in quotes, or an address (s3://…)."
    ),
    out: Path = typer.Option(help="Folder for the results; the same folder again goes on with the same job."),
    bundle: str | None = typer.Option(None, help="Bundle folder, zip or address; the default one when left out."),
    precision: str = typer.Option("fp32", help="fp32, or int8 where the bundle has such a model."),
    decide_on: str | None = typer.Option(
        None, metavar="ATTRIBUTE,…", help="A picture needs no review once these are accepted; all when left out."
    ),
    out_format: str = typer.Option("jsonl", "--format", help="jsonl, csv or parquet."),
    layout: str = typer.Option("full", help="full, or r5: filename, category, confidence, status, timestamp, error."),
    file_by: str | None = typer.Option(
        None, metavar="ATTRIBUTE", help="Also put the pictures into folders of OUT by this attribute's value."
    ),
    file_mode: str = typer.Option("copy", help="How they get there: copy, link (hard links) or move."),
    images: str | None = typer.Option(None, help="Folder, zip or address where the pictures of a table lie."),
    image_column: str | None = typer.Option(None, help="Column of a table with the picture, or a list of pictures."),
    max_failure_rate: float = typer.Option(
        0.1, min=0, max=1, help="Exit code 1 when more than this share of a run's pictures could not be answered."
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Only go on with a batch that was begun in OUT; exit code 2 where there is none."
    ),
    watch: bool = typer.Option(False, "--watch", help="Go on with pictures as they arrive in SOURCE, until stopped."),
    threads: int = typer.Option(
        0,
        min=0,
        help="Threads that read, decode and answer; 0: as many as suit the cores. With ray: those of each actor.",
    ),
    engine: str = typer.Option("local", help="local, or ray: answer on a Ray cluster (extra 'ray')."),
    ray_address: str | None = typer.Option(
        None, metavar="HOST:PORT", help="The cluster's head, or auto; RAY_ADDRESS or a Ray on this machine alone else."
    ),
    actors: int = typer.Option(0, min=0, help="Sessions on the cluster; 0 is as many as Ray finds room for."),
    ledger: str | None = typer.Option(None, help="Ledger file or URL; VESTIARY_LEDGER_URL or the user's own else."),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Answer many pictures, each exactly once; after a kill, the same command goes on where it was.

    Exit code 0: all is done. 1: too many failed, another run is at the same job, or it had to stop and can go on.
    2: wrong use. 130: stopped by Ctrl-C or SIGTERM, which with --watch is 0.
    """
    from vestiary.batch import BatchOptions, run_batch
    from vestiary.bundle import open_bundle
    from vestiary.cluster import choose_cluster
    from vestiary.interruption import catch_interrupt
    from vestiary.ledger import open_ledger
    from vestiary.taxonomy import split_names

    if ledger == "none":
        raise UsageError("A batch keeps its state in the ledger, so --ledger none cannot be; name a file or a URL.")
    cluster = choose_cluster(engine, ray_address, **{"--actors": actors})
    options = BatchOptions(
        format=out_format,
        layout=layout,
        file_by=file_by,
        file_mode=file_mode,
        precision=precision,
        decide_on=",".join(sorted(split_names(decide_on))) or None,
        images=images,
        image_column=image_column,
    )
    opened = open_bundle(bundle)
    with (
        open_ledger(ledger) as book,
        progress_bar("Answering pictures", unit="pictures/s") as show,
        catch_interrupt((signal.SIGINT, signal.SIGTERM)) as is_stopped,
    ):
        report = run_batch(
            source,
            out,
            bundle=opened,
            ledger=book,
            options=options,
            watch=watch,
            resume=resume,
            threads=threads,
            cluster=cluster,
            actors=actors,
            is_stopped=is_stopped,
            show=show,
            say=lambda sentence: say(f"vestiary: {' '.join(sentence.splitlines())}"),
        )
    if as_json:
        print_json(report.summary)
    elif sys.stderr.isatty():
        say(_describe(report, out, out / f"results.{options.format}"))
        if report.tally.answered and not report.tally.accepted and (never := _list_never_sure(opened, options)):
            say(
                f"Every picture is for review, since this bundle is never sure enough of {' and '.join(never)}; "
                "--decide-on names the attributes that count, for a batch with another --out."
            )
    _leave(report, out, watch=watch, max_failure_rate=max_failure_rate)


def _describe(report: BatchReport, out: Path, results: Path) -> str:
    """What a run did, for people."""
    tally, run = report.tally, report.summary["last_run"]
    if not tally.pictures and report.is_stopped:
        return "Nothing was answered."
    if not report.summary["pictures"]:
        return "No pictures were found; check the source, or run it again when there are some."
    if not tally.pictures:
        if not results.exists():
            return (
                f"Nothing new: all {report.summary['pictures']:,} pictures were answered, but {results} is no longer "
                "there; name another folder with --out to have them answered again."
            )
        return f"Nothing new: all {report.summary['pictures']:,} pictures are answered in {out}."
    sentence = (
        f"{tally.pictures:,} pictures in {run['seconds']:,} s, {run['pictures_per_second']:,} a second: "
        f"{tally.accepted:,} accepted, {tally.answered - tally.accepted:,} for review"
    )
    n_failed = tally.pictures - tally.answered
    return sentence + (
        f"; {n_failed:,} could not be answered, see {out / 'errors.jsonl'}." if n_failed else f"; see {out}."
    )


def _list_never_sure(bundle: Bundle, options: BatchOptions) -> list[str]:
    """Titles of the attributes that decide and of which no answer is ever accepted."""
    deciding = bundle.choose_attributes(options.deciding)
    limits = bundle.calibration.thresholds
    return [title for name, title in bundle.taxonomy.titles.items() if name in deciding and limits[name] is None]


def _leave(report: BatchReport, out: Path, *, watch: bool, max_failure_rate: float) -> None:
    """Exit codes other than 0, each with a sentence."""
    if report.is_stopped and not watch:
        say(f"{report.left:,} pictures are still to do; run the same command again to go on.")
        raise typer.Exit(130)
    n_failed = report.tally.pictures - report.tally.answered
    if n_failed > max_failure_rate * report.tally.pictures:
        say(
            f"vestiary: {n_failed:,} of {report.tally.pictures:,} pictures could not be answered, more than the "
            f"{100 * max_failure_rate:g} % that --max-failure-rate allows; {out / 'errors.jsonl'} tells why."
        )
        raise typer.Exit(1)
