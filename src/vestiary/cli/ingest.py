"""``vestiary ingest``: from a zip or folder to a catalogue."""

from __future__ import annotations

from pathlib import Path

import typer


def run(
    source: Path = typer.Argument(help="Zip or folder in Kaggle's layout: styles.csv and images/<id>.jpg."),
    out: Path = typer.Option(help="Folder to write the catalogue to."),
    taxonomy: Path | None = typer.Option(
        None, help="Closed answers: a TOML file, a catalogue or a bundle. Rows with another value are rejected."
    ),
    seed: int = typer.Option(42, help="Seed of the split into train, validation and test."),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace the catalogue in OUT; products it knows keep their split."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the counts as JSON."),
) -> None:
    """Read a catalogue: every row becomes a product or a reject with its reason."""
    from vestiary.catalogue import ingest, load_catalogue
    from vestiary.cli.inspect import print_catalogue
    from vestiary.cli.output import print_json, progress_bar
    from vestiary.errors import UsageError

    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already exists; choose another place or add --overwrite.")
    earlier = load_catalogue(out) if overwrite and (out / "catalogue.json").exists() else None
    with progress_bar("Looking at pictures") as progress:
        catalogue = ingest(
            source,
            taxonomy=_read_taxonomy(taxonomy) if taxonomy else None,
            seed=seed,
            earlier=earlier,
            progress=progress,
        )
    catalogue.save(out, overwrite=overwrite)
    if as_json:
        print_json(catalogue.counts)
        return
    print_catalogue(catalogue)
    typer.echo(f"Written to {out}; the rejects are in {out / 'rejects.csv'}.")


def _read_taxonomy(path: Path):  # type: ignore[no-untyped-def]
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.taxonomy import Taxonomy

    if path.suffix == ".toml":
        return Taxonomy.load(path)
    return load_catalogue(path).taxonomy if (path / "catalogue.json").exists() else open_bundle(path).taxonomy
