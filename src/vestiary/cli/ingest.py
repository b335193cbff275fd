"""``vestiary ingest``: from a table, folder, zip, address or data set of the hub to a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vestiary.catalogue import Catalogue, Preparation
    from vestiary.taxonomy import Taxonomy


def run(
    source: str = typer.Argument(
        help="A table (csv, tsv, jsonl, parquet, xlsx), a folder or zip (Kaggle's layout, a table with pictures, a "
        "folder per class), an address (s3://…) or hf:owner/name."
    ),
    out: Path = typer.Option(help="Folder to write the catalogue to."),
    taxonomy: str | None = typer.Option(
        None, help="Closed answers: a TOML file, a catalogue or a bundle. Rows with another value are rejected."
    ),
    attribute: list[str] = typer.Option(
        [], metavar="NAME[=COLUMN]", help="A question, and its column where that is called otherwise; repeat it."
    ),
    image_column: str | None = typer.Option(None, help="Column with the picture, or a list of pictures."),
    id_column: str | None = typer.Option(None, help="Column with the id; a repeated id is another view."),
    name_column: str | None = typer.Option(None, help="Column with the name; equal names share a split."),
    split_column: str | None = typer.Option(None, help="Column with train, validation or test; it is kept."),
    keep_splits: bool = typer.Option(False, "--keep-splits", help="Keep the splits of folders or of a data set."),
    table: str | None = typer.Option(None, help="Which table, when a folder or zip has several."),
    images: str | None = typer.Option(None, help="Folder, zip or address where the pictures of a table lie."),
    sheet: str | None = typer.Option(None, help="Sheet of an Excel file; the first when left out."),
    encoding: str | None = typer.Option(None, help="Encoding of a text table, when it is guessed wrongly."),
    preparation: str | None = typer.Option(None, help="Steps to apply first: r1 … r5, or a TOML file."),
    drop_value: list[str] = typer.Option([], metavar="ATTRIBUTE=VALUE", help="Leave out products with this value."),
    keep_value: list[str] = typer.Option([], metavar="ATTRIBUTE=VALUE", help="Leave out products without this value."),
    merge_groups: list[str] = typer.Option(
        [], metavar="[ATTRIBUTE=]FILE", help="Merge values into groups: a TOML file, or colour-groups."
    ),
    rename_value: list[str] = typer.Option([], metavar="ATTRIBUTE=OLD=NEW", help="Give a value another name."),
    composite: str | None = typer.Option(
        None, metavar="A-B-…", help="Make the attribute category of several attributes."
    ),
    top: int | None = typer.Option(None, min=1, help="Keep this many of the composite's most frequent values."),
    min_count: list[str] = typer.Option(
        [], metavar="[ATTRIBUTE=]N", help="Leave out products of values that fewer than N have."
    ),
    only_attributes: list[str] = typer.Option([], metavar="A,B,…", help="Ask about these attributes alone."),
    corrections: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="What people said of photos, as review export writes it: labels of products, and new products to learn.",
    ),
    seed: int | None = typer.Option(None, help="Seed of the split into train, validation and test; 42 when left out."),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace the catalogue in OUT; products it knows keep their split."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the counts as JSON."),
) -> None:
    """Read a catalogue: every row becomes a product, a view of one, or a reject with its reason."""
    from vestiary.catalogue import (
        Columns,
        Reading,
        build_preparation,
        correct,
        ingest,
        load_catalogue,
        load_preparation,
    )
    from vestiary.catalogue.catalogue import BY_SOURCE, CORRECTIONS, check_place
    from vestiary.catalogue.corrections import check_corrections
    from vestiary.catalogue.splits import SEED
    from vestiary.cli.inspect import print_catalogue
    from vestiary.cli.output import print_json, progress_bar
    from vestiary.errors import UsageError

    if corrections is not None and corrections.resolve() == (out / CORRECTIONS).resolve():
        raise UsageError(
            f"{corrections} is where the catalogue tells what became of corrections; keep them in another folder, and "
            "name the file there."
        )
    check_place(out, overwrite=overwrite)
    if corrections is not None:
        check_corrections(corrections)
    columns = Columns.from_options(attribute, image=image_column, id=id_column, name=name_column, split=split_column)
    named = load_preparation(preparation) if preparation else None
    own = build_preparation(
        drop=drop_value,
        keep=keep_value,
        merge=merge_groups,
        rename=rename_value,
        composite=composite,
        top=top,
        min_count=min_count,
        only=only_attributes,
    )
    earlier = load_catalogue(out) if overwrite and (out / "catalogue.json").exists() else None
    if earlier is not None and seed not in (None, earlier.split_seed):
        raise UsageError(
            f"{out} was split with seed {earlier.split_seed}, and its products keep their split; "
            "leave --seed out, or choose another place."
        )
    keep_splits = keep_splits or split_column is not None
    if earlier is not None and earlier.split_by == BY_SOURCE and not keep_splits:
        raise UsageError(
            f"{out} has the splits of its source, and its products keep their split; "
            "add --keep-splits or --split-column, or choose another place."
        )
    with progress_bar("Looking at pictures") as progress:
        catalogue = ingest(
            source,
            taxonomy=_read_taxonomy(taxonomy) if taxonomy else None,
            seed=seed if seed is not None else earlier.split_seed if earlier is not None else SEED,
            earlier=earlier,
            progress=progress,
            reading=Reading(columns, table, images, sheet, encoding),
            keep_splits=keep_splits,
        )
    catalogue = _prepare(catalogue, named, own, earlier)
    if earlier is not None and catalogue.split_by not in (earlier.split_by, BY_SOURCE):
        raise UsageError(
            f"{out} was split by {earlier.split_by}, not by {catalogue.split_by}, and its products keep their split; "
            "name the --preparation it was made with, or choose another place."
        )
    if corrections is not None:
        with progress_bar("Finding the corrected products") as progress:
            catalogue = correct(catalogue, corrections, progress=progress)
    catalogue.save(out, overwrite=overwrite)
    if as_json:
        print_json(catalogue.counts)
        return
    print_catalogue(catalogue)
    typer.echo(f"Written to {out}; the rejects are in {out / 'rejects.csv'}.")


def _prepare(catalogue: Catalogue, named: Preparation | None, own: Preparation, earlier: Catalogue | None) -> Catalogue:
    """The named preparation, then the options, which must name values that are there."""
    from vestiary.catalogue import prepare

    if named is not None:
        catalogue = prepare(catalogue, named, earlier=earlier)
    return prepare(catalogue, own, strict=True) if own.steps else catalogue


def _read_taxonomy(given: str) -> Taxonomy:
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.taxonomy import Taxonomy

    path = Path(given)
    if path.suffix == ".toml":
        return Taxonomy.load(path)
    return load_catalogue(path).taxonomy if (path / "catalogue.json").exists() else open_bundle(given).taxonomy
