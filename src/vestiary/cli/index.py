"""``vestiary index``: an index of similar products."""

from __future__ import annotations

from pathlib import Path

import typer


def run(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    out: Path = typer.Option(help="Folder for the index."),
    bundle: str | None = typer.Option(None, help="Bundle folder, zip or address; the default one when left out."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the index in OUT."),
    as_json: bool = typer.Option(False, "--json", help="Print what was built as JSON."),
) -> None:
    """Build an index of a catalogue's products, for vestiary similar and POST /similar."""
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.output import print_json, progress_bar
    from vestiary.predictor import Predictor
    from vestiary.similar import build_index, check_place

    check_place(out, overwrite=overwrite)
    loaded, predictor = load_catalogue(catalogue), Predictor(open_bundle(bundle))
    with progress_bar("Looking at pictures", unit="pictures/s") as show:
        index = build_index(loaded, predictor, out, overwrite=overwrite, progress=show)
    size = sum(file.stat().st_size for file in out.iterdir())
    if as_json:
        facts = {"products": index.n_products, "pictures": index.n_pictures, "bytes": size}
        print_json({"index": str(out), "bundle": index.bundle.fingerprint, "catalogue": index.catalogue, **facts})
    else:
        typer.echo(
            f"{index.n_products:,} products with {index.n_pictures:,} pictures: written to {out} ({size / 1e6:.1f} MB)."
        )
