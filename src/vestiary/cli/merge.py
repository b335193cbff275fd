"""``vestiary merge``: several bundles of one taxonomy as one whose networks answer together."""

from __future__ import annotations

from pathlib import Path

import typer


def run(
    bundles: list[str] = typer.Argument(help="Two or more bundles: folders, zips or addresses, or the word default."),
    catalogue: Path = typer.Option(help="Catalogue folder that ingest wrote; confidences are fitted on it."),
    out: Path = typer.Option(help="Folder to write the merged bundle to."),
    target_precision: float = typer.Option(0.95, help="How many of the accepted tags shall be right, 0..1."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a bundle in OUT."),
    as_json: bool = typer.Option(False, "--json", help="Print the validation figures as JSON."),
) -> None:
    """Make one bundle whose networks all look at a picture and answer with the mean of what they say."""
    from vestiary.bundle import check_writable, open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.evaluate import print_scores
    from vestiary.cli.output import print_json, progress_bar, say
    from vestiary.errors import UsageError, require

    if not 0 < target_precision < 1:
        raise UsageError(f"--target-precision is {target_precision:g}, but must be between 0 and 1.")
    out = out.resolve()
    check_writable(out, overwrite=overwrite)
    opened, loaded = [open_bundle(bundle) for bundle in bundles], load_catalogue(catalogue)
    for module in ("onnx", "onnxruntime.quantization"):
        require(module, extra="train", feature="Merging")
    from vestiary.training.merging import merge

    if any(bundle.learnt_from != {loaded.fingerprint} for bundle in opened):
        say(
            "a part learnt from another catalogue or split (or it is not recorded from which), so it may have seen "
            "test products"
        )
    with progress_bar("Looking at validation, then training pictures") as progress:
        made, evaluation = merge(opened, loaded, target_precision=target_precision, progress=progress)
    made = made.write(out, overwrite=overwrite)
    scores = {name: own for name, own in evaluation.attributes.items() if own.n}
    if as_json:
        print_json({name: own.to_brief() for name, own in scores.items()})
        return
    print_scores(scores, "validation split")
    size = f"{len(made.model) / 1e6:.1f} MB"
    typer.echo(f"Bundle {made.name} ({size}, {made.fingerprint[:12]}) of {len(opened)} networks written to {out}.")
