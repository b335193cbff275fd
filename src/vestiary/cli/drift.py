"""``vestiary drift``: whether what was answered lately still looks like what the bundle was fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

import typer

if TYPE_CHECKING:
    from vestiary.drift import DriftReport


def run(
    since: str = typer.Option("7d", help="From when on: 7d, 36h, 2026-11-03 or 2026-11-03T14:00."),
    until: str | None = typer.Option(None, help="Until when, written likewise; now when left out."),
    bundle: str | None = typer.Option(None, help="Bundle folder, zip or address; the default one when left out."),
    source: str | None = typer.Option(None, help="Only what the service or a batch answered: service or batch."),
    ledger: str | None = typer.Option(
        None, metavar="PLACE", help="File or URL of the ledger; that of VESTIARY_LEDGER_URL, or the user's own."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Compare the ledger's recent pictures with the bundle's reference; exit 1 when they have changed."""
    from vestiary.bundle import open_bundle
    from vestiary.cli.output import print_json
    from vestiary.cli.times import parse_moment
    from vestiary.drift import compare_window
    from vestiary.errors import UsageError
    from vestiary.ledger import open_ledger
    from vestiary.ledger.records import Source
    from vestiary.ledger.windows import read_window

    if source is not None and source not in get_args(Source):
        raise UsageError(f"--source {source} is not known; choose one of: {', '.join(get_args(Source))}.")
    start = parse_moment(since, "--since")
    end = parse_moment(until, "--until") if until is not None else None
    if end is not None and end <= start:
        raise UsageError(f"--until {until} is not after --since {since}; give it a later time.")
    opened = open_bundle(bundle)
    if opened.reference is None:
        raise UsageError(
            f"The bundle {opened.name} has no reference to tell drift from; vestiary calibrate makes a bundle with one."
        )
    with open_ledger(ledger) as records:
        window = read_window(
            records,
            opened.reference,
            opened.fingerprint,
            since=start,
            until=end,
            source=cast("Source | None", source),
        )
    report = compare_window(opened.reference, window)
    if as_json:
        told = {"bundle": opened.fingerprint, "since": start.isoformat(), "until": end.isoformat() if end else None}
        print_json(told | report.to_dict())
    else:
        _print_report(report)
    raise typer.Exit(1 if report.alarm else 0)


def _print_report(report: DriftReport) -> None:
    from rich import box
    from rich.table import Table

    from vestiary.cli.output import make_console, show_name

    if report.is_judged:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        table.add_column("figure", no_wrap=True)
        table.add_column("of", no_wrap=True)
        for column in ("distance", "limit", ""):
            table.add_column(column, justify="right")
        for own in report.figures:
            distance = "–" if own.distance is None else f"{own.distance:.3f}"
            words = (own.title, show_name(own.attribute or "pictures"), distance, f"{own.limit:.3f}")
            table.add_row(*words, "alarm" if own.alarm else "")
        make_console().print(table)
    for line in (*report.alarms, *report.remarks(), report.summary()):
        typer.echo(line)
