"""``vestiary calibrate``: a bundle's confidences, fitted anew on a catalogue."""

from __future__ import annotations

from pathlib import Path

import typer


def run(
    bundle: str = typer.Argument(help="Bundle folder, zip or address, or the word default for the one that ships."),
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote; its validation split is used."),
    out: Path = typer.Option(help="Folder to write the new bundle to."),
    target_precision: float = typer.Option(0.95, help="How many of the accepted tags shall be right, 0..1."),
    set_coverage: float = typer.Option(0.9, help="How many true values shall be among the candidates, 0..1."),
    false_alarms: float = typer.Option(0.01, help="How many validation pictures may be called unfamiliar, 0..1."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a bundle in OUT."),
    as_json: bool = typer.Option(False, "--json", help="Print the validation figures as JSON."),
) -> None:
    """Fit a bundle's temperatures, thresholds, candidates and sense of the familiar on your catalogue; no training."""
    from dataclasses import replace

    from vestiary.bundle import check_writable, open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.evaluate import print_scores
    from vestiary.cli.output import print_json, progress_bar, say
    from vestiary.errors import UsageError
    from vestiary.predictor import calibrate_bundle
    from vestiary.reports.card import write_card

    for option, share in (
        ("--target-precision", target_precision),
        ("--set-coverage", set_coverage),
        ("--false-alarms", false_alarms),
    ):
        if not 0 < share < 1:
            raise UsageError(f"{option} is {share:g}, but must be between 0 and 1.")
    out = out.resolve()
    check_writable(out, overwrite=overwrite)
    opened = open_bundle(bundle)
    loaded = load_catalogue(catalogue)
    with progress_bar("Looking at validation, then training pictures") as progress:
        made, evaluation = calibrate_bundle(
            opened,
            loaded,
            target_precision=target_precision,
            set_coverage=set_coverage,
            false_alarms=false_alarms,
            progress=progress,
        )
    scores = {name: own for name, own in evaluation.attributes.items() if own.n}
    for name in made.taxonomy.names:
        if name not in scores:
            say(f"{name} has no label in the validation split, so all its tags are left for review")
    if opened.int8 is not None:
        say("The int8 model was measured with the old confidences and is left out; vestiary quantise adds one again.")
    made = replace(made, card=write_card(made, loaded, evaluation)).write(out, overwrite=overwrite)
    if as_json:
        print_json({name: own.to_brief() for name, own in scores.items()})
        return
    print_scores(scores, "validation split")
    typer.echo(f"Bundle {made.name} ({made.fingerprint[:12]}) written to {out}.")
