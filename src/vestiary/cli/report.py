"""``vestiary report``: pages for people to read; one sub-command per kind of report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _choose_kind() -> None:
    """Write a report for people to read."""


@app.command("catalogue")
def run_catalogue(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    out: Path = typer.Option(help="HTML file to write."),
    pdf: Path | None = typer.Option(None, help="Write the same as PDF to this file (extra 'pdf')."),
    cross: list[str] = typer.Option(
        [], metavar="A×B", help="Two attributes to cross, as A×B or A,B; repeat it for more pairs."
    ),
    classes: int = typer.Option(36, min=1, max=200, help="How many of the commonest values to show in pictures."),
    seed: int = typer.Option(42, help="Which pictures are drawn at random."),
    labels: bool = typer.Option(False, "--labels", help="Look for wrong labels too, with a bundle (minutes)."),
    bundle: Path | None = typer.Option(None, help="Bundle for --labels; the default one when left out."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files that are there."),
    as_json: bool = typer.Option(False, "--json", help="Print what was written as JSON."),
) -> None:
    """Write what a catalogue holds and what to do next."""
    from vestiary.catalogue import load_catalogue
    from vestiary.checks import measure_pictures, run_checks, sort_findings
    from vestiary.cli.check import check_label_options, find_label_errors
    from vestiary.cli.output import progress_bar, say
    from vestiary.reports.catalogue import build_catalogue_report, render_catalogue_report
    from vestiary.reports.page import load_page_setter, need_drawing

    check_places({"--out": out, "--pdf": pdf}, overwrite=overwrite)
    need_drawing()
    check_label_options(labels=labels, bundle=bundle)
    set_pdf = load_page_setter() if pdf is not None else None
    loaded = load_catalogue(catalogue)
    with progress_bar("Looking at pictures") as on_pictures:
        facts = measure_pictures(loaded, progress=on_pictures)
    findings = run_checks(loaded, facts=facts)
    if labels:
        findings = sort_findings([*findings, *find_label_errors(loaded, bundle)])
    with progress_bar("Choosing samples") as on_photos:
        report = build_catalogue_report(
            loaded,
            crosses=cross,
            findings=findings,
            facts=facts,
            classes=classes,
            seed=seed,
            on_photos=on_photos,
        )
    say("Drawing the charts.")
    html = render_catalogue_report(report)
    content = {out: html.encode()}
    if pdf is not None and set_pdf is not None:
        say("Setting the PDF.")
        content[pdf] = set_pdf(html)
    write_all(content, as_json=as_json)


@app.command("model")
def run_model(
    bundle: Path = typer.Argument(help="Bundle folder or zip, or the word default for the one that ships."),
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    out: Path = typer.Option(help="HTML file to write."),
    pdf: Path | None = typer.Option(None, help="Write the same as PDF to this file (extra 'pdf')."),
    card: Path | None = typer.Option(None, help="Write the model card with these figures to this Markdown file."),
    notes: Path | None = typer.Option(None, help="Markdown file with what the card shall say besides."),
    split: str = typer.Option("test", help="Which products: test, validation, train, all."),
    against: Path | None = typer.Option(None, help="Compare with this bundle, on the same products."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files that are there."),
    as_json: bool = typer.Option(False, "--json", help="Print what was written as JSON."),
) -> None:
    """Write how good a bundle is on a catalogue, and where it fails."""
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.evaluate import answer_split, check_split
    from vestiary.cli.output import progress_bar, say
    from vestiary.metrics import compare
    from vestiary.predictor import take_all_views
    from vestiary.reports.card import write_card
    from vestiary.reports.model import build_model_report, load_log, render_model_report
    from vestiary.reports.page import load_page_setter, need_drawing

    check_split(split)
    check_places({"--out": out, "--pdf": pdf, "--card": card}, overwrite=overwrite)
    remarks = _read_notes(notes, card)
    need_drawing()
    set_pdf = load_page_setter() if pdf is not None else None
    place = bundle.resolve()
    opened, loaded = open_bundle(bundle), load_catalogue(catalogue)
    evaluation = answer_split(loaded, bundle, split)
    comparison = compare(evaluation, answer_split(loaded, against, split)) if against is not None else None
    views = take_all_views(opened, loaded, evaluation)
    with progress_bar("Choosing pictures") as on_pictures:
        report = build_model_report(
            opened,
            loaded,
            evaluation,
            views=views,
            comparison=comparison,
            log=load_log(place.parent / f"{place.name}.training" / "log.csv") if place.exists() else [],
            on_pictures=on_pictures,
        )
    say("Drawing the charts.")
    html = render_model_report(report)
    content = {out: html.encode()}
    if card is not None:
        content[card] = write_card(opened, loaded, evaluation, views=views, notes=remarks).encode()
    if pdf is not None and set_pdf is not None:
        say("Setting the PDF.")
        content[pdf] = set_pdf(html)
    write_all(content, as_json=as_json)


def _read_notes(notes: Path | None, card: Path | None) -> str:
    from vestiary.errors import UsageError

    if notes is None:
        return ""
    if card is None:
        raise UsageError("--notes says what the card shall say besides, but there is no card; add --card FILE.")
    try:
        return notes.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--notes {notes} cannot be read as UTF-8 text; name a Markdown file.") from error


def check_places(places: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Raise UsageError when two options name one file, or a file cannot be written."""
    from vestiary.errors import UsageError
    from vestiary.reports.page import check_place

    taken: dict[Path, str] = {}
    for option, place in places.items():
        if place is None:
            continue
        if place.resolve() in taken:
            raise UsageError(
                f"{taken[place.resolve()]} and {option} both name {place}; give each file a name of its own."
            )
        taken[place.resolve()] = option
        check_place(place, overwrite=overwrite)


def write_all(content: Mapping[Path, bytes], *, as_json: bool) -> None:
    """Write the files, and say so on stdout."""
    from vestiary.cli.output import print_json
    from vestiary.reports.page import write_whole

    for place, data in content.items():
        write_whole(place, data)
    if as_json:
        print_json([{"path": str(place), "bytes": len(data)} for place, data in content.items()])
        return
    for place, data in content.items():
        typer.echo(f"Written to {place} ({len(data) / 1e6:.1f} MB).")
