"""``vestiary report model``: how good a bundle is."""

from __future__ import annotations

from pathlib import Path

import typer

from vestiary.cli.files import check_places, write_all


def run(
    bundle: str = typer.Argument(help="Bundle folder, zip or address, or the word default for the one that ships."),
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    out: Path = typer.Option(help="HTML file to write."),
    pdf: Path | None = typer.Option(None, help="Write the same as PDF to this file (extra 'pdf')."),
    card: Path | None = typer.Option(None, help="Write the model card with these figures to this Markdown file."),
    notes: Path | None = typer.Option(None, help="Markdown file with what the card shall say besides."),
    split: str = typer.Option("test", help="Which products: test, validation, train, all."),
    against: str | None = typer.Option(None, help="Compare with this bundle, on the same products."),
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
    place = Path(bundle).resolve()
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
