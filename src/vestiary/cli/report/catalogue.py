"""``vestiary report catalogue``: what a catalogue holds."""

from __future__ import annotations

from pathlib import Path

import typer

from vestiary.cli.files import check_places, write_all


def run(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    out: Path = typer.Option(help="HTML file to write."),
    pdf: Path | None = typer.Option(None, help="Write the same as PDF to this file (extra 'pdf')."),
    cross: list[str] = typer.Option(
        [], metavar="A×B", help="Two attributes to cross, as A×B or A,B; repeat it for more pairs."
    ),
    classes: int = typer.Option(36, min=1, max=200, help="How many of the commonest values to show in pictures."),
    seed: int = typer.Option(42, help="Which pictures are drawn at random."),
    labels: bool = typer.Option(False, "--labels", help="Look for wrong labels too, with a bundle (minutes)."),
    bundle: str | None = typer.Option(None, help="Bundle for --labels; the default one when left out."),
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
