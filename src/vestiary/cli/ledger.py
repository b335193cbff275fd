"""``vestiary ledger``: look after the record of what was predicted."""

from __future__ import annotations

from pathlib import Path

import typer

from vestiary.cli.verbs import Verbs

app = typer.Typer(
    help="Look after the ledger, the record of predictions, failures, jobs and verdicts.",
    cls=Verbs,
    rich_markup_mode=None,
)

_LEDGER = typer.Option(
    None,
    "--ledger",
    metavar="PLACE",
    help="PostgreSQL URL or SQLite file [VESTIARY_LEDGER_URL, else the user's own].",
)
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")
_OVERWRITE = typer.Option(False, "--overwrite", help="Replace what is there.")


@app.command("info")
def show_info(ledger: str | None = _LEDGER, as_json: bool = _JSON) -> None:
    """Tell where the ledger is and what it holds."""
    from vestiary.cli.output import print_json
    from vestiary.ledger import open_ledger

    with open_ledger(ledger) as opened:
        facts = opened.describe()
    if as_json:
        print_json(facts)
        return
    typer.echo(f"Ledger {facts['place']} ({facts['database']}, schema {facts['schema']})")
    for name, n in facts["rows"].items():
        typer.echo(f"  {name.replace('_', ' '):<12}{n:>12,}")
    if facts["first_prediction_at"]:
        typer.echo(f"  from {facts['first_prediction_at']} to {facts['last_prediction_at']}")


@app.command("prune")
def prune_old(
    keep: str = typer.Option(help="How far back to keep, such as 90d."),
    reviewed: bool = typer.Option(False, "--reviewed", help="Remove also what a person has given a verdict on."),
    album: Path | None = typer.Option(
        None, metavar="DIR", help="Photos kept for review, which go with their predictions [VESTIARY_KEEP_PICTURES]."
    ),
    ledger: str | None = _LEDGER,
    as_json: bool = _JSON,
) -> None:
    """Remove predictions, failures and ended jobs that are older; what people have reviewed stays."""
    from dataclasses import asdict

    from vestiary.album import VARIABLE, open_album
    from vestiary.cli.durations import parse_duration
    from vestiary.cli.output import print_json, say
    from vestiary.ledger import is_default, now, open_ledger, prune

    before = now() - parse_duration(keep, "--keep")
    photos = open_album(album)
    if photos is not None and album is None and not is_default(ledger):
        say(f"{VARIABLE} is for the photos of another ledger, so they stay; name those of this one with --album.")
        photos = None
    with open_ledger(ledger) as opened:
        pruned = prune(opened, before, reviewed=reviewed, album=photos)
    if as_json:
        print_json({"before": before.isoformat(), "removed": asdict(pruned)})
        return
    typer.echo(
        f"Removed {pruned.predictions:,} predictions, {pruned.failures:,} failures, {pruned.jobs:,} jobs and "
        f"{pruned.photos:,} photos from before {before:%Y-%m-%d %H:%M} UTC."
    )


@app.command("backup")
def back_up_all(
    file: Path = typer.Argument(help="File to write; it is a ledger itself."),
    overwrite: bool = _OVERWRITE,
    ledger: str | None = _LEDGER,
    as_json: bool = _JSON,
) -> None:
    """Write all of the ledger to one SQLite file, while others go on using it."""
    from vestiary.cli.output import print_json
    from vestiary.ledger import back_up, open_ledger

    with open_ledger(ledger) as opened:
        back_up(opened, file, overwrite=overwrite)
        place = opened.place
    if as_json:
        print_json({"ledger": place, "file": str(file), "bytes": file.stat().st_size})
        return
    typer.echo(f"Ledger {place} written to {file} ({file.stat().st_size:,} bytes).")


@app.command("restore")
def restore_all(
    file: Path = typer.Argument(help="File that ledger backup wrote."),
    ledger: str | None = _LEDGER,
    as_json: bool = _JSON,
) -> None:
    """Fill an empty ledger from a backup, of another kind of database too."""
    from vestiary.cli.output import print_json
    from vestiary.ledger import open_ledger, restore

    with open_ledger(ledger) as opened:
        restore(opened, file)
        facts = opened.describe()
    if as_json:
        print_json(facts)
        return
    typer.echo(f"Ledger {facts['place']} filled from {file}: {facts['rows']['predictions']:,} predictions.")


@app.command("export")
def export_all(
    folder: Path = typer.Argument(metavar="DIR", help="Folder for one Parquet file per table."),
    overwrite: bool = _OVERWRITE,
    ledger: str | None = _LEDGER,
    as_json: bool = _JSON,
) -> None:
    """Write all of the ledger to Parquet files (extra ui)."""
    from vestiary.cli.output import print_json
    from vestiary.ledger import export, open_ledger

    with open_ledger(ledger) as opened:
        rows = export(opened, folder, overwrite=overwrite)
    if as_json:
        print_json({"folder": str(folder), "rows": rows})
        return
    typer.echo(f"{sum(rows.values()):,} rows of {len(rows)} tables written to {folder}.")
