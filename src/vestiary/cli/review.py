"""``vestiary review``: what people are to look at, and what they have said."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import typer

from vestiary.cli.verbs import Verbs

app = typer.Typer(
    help="See what waits for review, exchange it with other tools, and take what people said out as corrections.",
    cls=Verbs,
    rich_markup_mode=None,
)

_BUNDLE = typer.Option(None, help="Bundle folder, zip or address; the default one when left out.")
_LEDGER = typer.Option(
    None,
    "--ledger",
    metavar="PLACE",
    help="PostgreSQL URL or SQLite file [VESTIARY_LEDGER_URL, else the user's own].",
)
_ALBUM = typer.Option(None, metavar="DIR", help="Photos kept for review [VESTIARY_KEEP_PICTURES].")
_SINCE = typer.Option(None, help="Only what was said since: 7d, 36h, or a date or time.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")
_N = typer.Option(20, "--n", min=1, help="How many photos.")
_ORDER = typer.Option("value", help="value (most to learn first), uncertain or newest.")
_ATTRIBUTE = typer.Option(None, help="Only tags of this attribute.")
_BAND = typer.Option([], "--band", help="Tags of this band, whatever was accepted: review, medium, automatic; repeat.")
_TARGET = typer.Option(None, help="Tags that are short of this share of right answers, 0..1.")


@app.command("list")
def list_waiting(
    n: int = _N,
    order: str = _ORDER,
    attribute: str | None = _ATTRIBUTE,
    band: list[str] = _BAND,
    target_precision: float | None = _TARGET,
    bundle: str | None = _BUNDLE,
    ledger: str | None = _LEDGER,
    as_json: bool = _JSON,
) -> None:
    """List what would be looked at next; nobody is given anything."""
    from rich import box
    from rich.table import Table

    from vestiary.bundle import open_bundle
    from vestiary.cli.output import make_console, print_json, show_name
    from vestiary.ledger import open_ledger
    from vestiary.review import Queue

    with open_ledger(ledger) as opened:
        queue = Queue(opened, open_bundle(bundle), reviewer="list", agreement_share=0)
        items = queue.peek(
            n,
            order,  # type: ignore[arg-type]  # checked there
            attribute=attribute,
            bands=band or None,
            target_precision=target_precision,
        )
    if as_json:
        print_json(
            [
                {
                    "prediction_id": item.record.id,
                    "name": item.record.name,
                    "at": item.record.at.isoformat(),
                    "band": item.band,
                    "open": {name: [item.tags[name].value, item.tags[name].confidence] for name in item.open},
                }
                for item in items
            ]
        )
        return
    if not items:
        typer.echo("Nothing waits for review.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in ("photo", "answered", "band", "to look at"):
        table.add_column(column)
    for item in items:
        tags = ", ".join(
            f"{name} {item.tags[name].value} {100 * item.tags[name].confidence:.0f} %" for name in item.open
        )
        table.add_row(show_name(item.record.name), f"{item.record.at:%Y-%m-%d %H:%M}", item.band, show_name(tags))
    make_console().print(table)


@app.command("progress")
def show_progress(ledger: str | None = _LEDGER, as_json: bool = _JSON) -> None:
    """Tell how far the review is."""
    from dataclasses import asdict

    from vestiary.cli.output import print_json, show_name
    from vestiary.ledger import open_ledger
    from vestiary.ledger.claims import count_review

    with open_ledger(ledger) as opened:
        counts = count_review(opened)
    if as_json:
        print_json(asdict(counts))
        return
    typer.echo(f"Photos: {counts.waiting:,} wait, {counts.held:,} with a reviewer, {counts.reviewed:,} reviewed.")
    typer.echo(f"Tags that people looked at: {counts.verdicts:,}, of which {counts.corrected:,} were wrong.")
    for reviewer, n in counts.by_reviewer.items():
        typer.echo(f"  {n:>7,}  {show_name(reviewer)}")


@app.command("agreement")
def show_agreement(since: str | None = _SINCE, ledger: str | None = _LEDGER, as_json: bool = _JSON) -> None:
    """Tell how far people agree who looked at the same photos."""
    from dataclasses import asdict

    from vestiary.checks.wording import count
    from vestiary.cli.output import print_json
    from vestiary.ledger import open_ledger
    from vestiary.review import measure_agreement

    with open_ledger(ledger) as opened:
        found = measure_agreement(opened, _read_since(since))
    if as_json:
        print_json([asdict(own) for own in found])
        return
    if not found:
        typer.echo("No photo has been looked at by two people.")
    for own in found:
        kappa = "no kappa, since only one value was given" if own.kappa is None else f"kappa {own.kappa:.2f}"
        typer.echo(f"{own.attribute}: {100 * own.share:.1f} % of {count(own.n, 'pair')} of answers equal, {kappa}")


@app.command("export")
def export(
    out: Path = typer.Argument(metavar="DIR", help="Folder to write to."),
    label_studio: bool = typer.Option(False, "--label-studio", help="Tasks for Label Studio, instead of corrections."),
    images_at: str | None = typer.Option(
        None, metavar="TEXT", help="Photos as files, which tasks name with this in front: /data/local-files/?d="
    ),
    n: int = typer.Option(200, "--n", min=1, help="How many photos to make tasks of."),
    order: str = _ORDER,
    attribute: str | None = _ATTRIBUTE,
    band: list[str] = _BAND,
    target_precision: float | None = _TARGET,
    since: str | None = _SINCE,
    album: Path | None = _ALBUM,
    bundle: str | None = _BUNDLE,
    ledger: str | None = _LEDGER,
    overwrite: bool = typer.Option(False, "--overwrite", help="Write the corrections in DIR anew; photos are added."),
    as_json: bool = _JSON,
) -> None:
    """Write what people said, for ingest --corrections; or what they are to look at, for Label Studio."""
    from dataclasses import asdict

    from vestiary.album import open_album
    from vestiary.bundle import open_bundle
    from vestiary.checks.wording import count
    from vestiary.cli.output import print_json, progress_bar
    from vestiary.errors import UsageError
    from vestiary.ledger import open_ledger
    from vestiary.review import Queue, export_corrections, write_tasks

    with open_ledger(ledger) as opened:
        if label_studio:
            if since is not None or overwrite:
                raise UsageError("--since and --overwrite are about corrections; leave them out with --label-studio.")
            loaded = open_bundle(bundle)
            queue = Queue(opened, loaded, reviewer="export", agreement_share=0, album=open_album(album))
            items = queue.peek(
                n,
                order,  # type: ignore[arg-type]  # checked there
                attribute=attribute,
                bands=band or None,
                target_precision=target_precision,
            )
            tasks = write_tasks(items, loaded, out, images_at=images_at)
            if as_json:
                print_json({"tasks": tasks, "without_picture": len(items) - tasks})
                return
            typer.echo(f"{count(tasks, 'task')} written to {out / 'tasks.json'}; {out / 'labels.xml'} is their page.")
            if len(items) > tasks:
                typer.echo(f"{count(len(items) - tasks, 'photo')} could not be found any more.")
            return
        if images_at or attribute or band or target_precision is not None:
            raise UsageError(
                "--images-at, --attribute, --band and --target-precision choose tasks; add --label-studio or leave "
                "them out."
            )
        with progress_bar("Fetching photos") as progress:
            exported = export_corrections(
                opened, out, open_album(album), since=_read_since(since), overwrite=overwrite, progress=progress
            )
    if as_json:
        print_json(asdict(exported))
        return
    typer.echo(
        f"{count(exported.labels, 'label')} on {count(exported.photos, 'photo')} written to {out / 'corrections.csv'}, "
        f"{exported.corrected:,} other than what was answered."
    )
    if exported.without_picture:
        typer.echo(
            f"{count(exported.without_picture, 'photo')} could not be found any more; a label of such a one only goes "
            "to a product with that very photo."
        )
    if exported.disagreed:
        typer.echo(f"{count(exported.disagreed, 'tag')} left out, since people disagree.")


@app.command("import")
def take_annotations(
    file: Path = typer.Argument(help="What Label Studio exported as JSON."),
    bundle: str | None = _BUNDLE,
    ledger: str | None = _LEDGER,
    as_json: bool = _JSON,
) -> None:
    """Take what people said in Label Studio into the ledger."""
    from dataclasses import asdict

    from vestiary.bundle import open_bundle
    from vestiary.checks.wording import count
    from vestiary.cli.output import print_json
    from vestiary.ledger import open_ledger
    from vestiary.review import read_annotations

    loaded = open_bundle(bundle)
    with open_ledger(ledger) as opened:
        imported = read_annotations(opened, loaded, file)
    if as_json:
        print_json(asdict(imported))
        return
    typer.echo(f"{count(imported.verdicts, 'answer')} taken from {count(imported.tasks, 'task')}.")
    for n, what, why in (
        (imported.unanswered, "task", "without an answer"),
        (imported.unknown_photos, "task", "about a photo that this ledger does not know"),
        (imported.unusable, "answer", "with an attribute or value that the bundle does not have"),
    ):
        if n:
            typer.echo(f"  {count(n, what)} {why}")


def _read_since(since: str | None) -> datetime | None:
    from vestiary.cli.times import parse_moment

    return None if since is None else parse_moment(since, "--since")
