"""From a source to a catalogue: read every row, look at every picture, lose nothing, and split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vestiary.catalogue.catalogue import Catalogue
from vestiary.catalogue.kaggle import KaggleReader
from vestiary.catalogue.rows import Reject, RejectReason, Row
from vestiary.catalogue.sources import Source, open_source
from vestiary.catalogue.splits import SEED, assign_splits, group_products
from vestiary.errors import CatalogueError, VestiaryError
from vestiary.images import read_picture
from vestiary.product import Product, Split
from vestiary.taxonomy import UNKNOWN, Taxonomy

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures in all)."""


def ingest(
    path: Path | str,
    *,
    taxonomy: Taxonomy | None = None,
    seed: int = SEED,
    earlier: Catalogue | None = None,
    progress: Progress | None = None,
) -> Catalogue:
    """Read a zip or folder in Kaggle's layout into a Catalogue.

    Every row ends as a product or as a Reject with its line; pictures that no row names are rejects without a line.
    Without a ``taxonomy`` the values found become its answers; with one, a row with another value is a reject. Products
    known to ``earlier`` keep the split they had there. Raises UsageError or CatalogueError when the source cannot be
    read at all, or when no product is left.
    """
    source = open_source(Path(path))
    reader = KaggleReader(source)
    entries = list(reader.rows())
    rejects = [entry for entry in entries if isinstance(entry, Reject)]
    rows = _drop_repeated_ids([entry for entry in entries if isinstance(entry, Row)], rejects)
    if taxonomy is not None:
        rows = _drop_unknown_values(rows, taxonomy, rejects)
    hashes = _hash_pictures(source, rows, progress)
    sound = [(row, pixel_hash) for row, pixel_hash in zip(rows, hashes, strict=True) if isinstance(pixel_hash, str)]
    rejects += [
        Reject(row.line, row.id, RejectReason.UNREADABLE_PICTURE, f"{row.image}: {failure}")
        for row, failure in zip(rows, hashes, strict=True)
        if not isinstance(failure, str)
    ]
    rejects = sorted(rejects, key=lambda reject: reject.line or 0)
    if not entries:
        raise CatalogueError(f"{reader.table} in {path} has no rows below its header; fill it in and ingest again.")
    if not sound:
        raise CatalogueError(
            f"{path} holds no usable product: all {len(entries)} rows were rejected, "
            f"line {rejects[0].line} for {rejects[0].reason} ({rejects[0].detail}); correct them and ingest again."
        )
    if taxonomy is None and not any(row.labels for row, _ in sound):
        raise CatalogueError(f"{reader.table} in {path} has no label in any row; fill in at least one column.")
    named = {entry.id for entry in entries}
    rejects += [
        Reject(None, _printable(picture_id), RejectReason.NO_ROW, _printable(name))
        for picture_id, name in sorted(reader.pictures.items())
        if picture_id not in named
    ]
    taxonomy = taxonomy or Taxonomy.from_labels((row.labels for row, _ in sound), reader.titles, reader.hierarchy)
    return Catalogue(
        taxonomy=taxonomy,
        products=_split_products(sound, taxonomy, reader.table, seed, earlier),
        rejects=tuple(rejects),
        source=source.path,
        n_rows=len(entries),
        split_seed=seed,
    )


def _printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8, which a folder may hold, become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _drop_repeated_ids(rows: Iterable[Row], rejects: list[Reject]) -> list[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        if row.id in first:
            detail = f"line {first[row.id].line} has this id already"
            rejects.append(Reject(row.line, row.id, RejectReason.DUPLICATE_ID, detail))
        else:
            first[row.id] = row
    return list(first.values())


def _drop_unknown_values(rows: Iterable[Row], taxonomy: Taxonomy, rejects: list[Reject]) -> list[Row]:
    kept = []
    for row in rows:
        unknown = [name for name, index in taxonomy.encode(row.labels).items() if index == UNKNOWN]
        if unknown:
            detail = "; ".join(f"{name} {row.labels[name]!r} is not in the taxonomy" for name in unknown)
            rejects.append(Reject(row.line, row.id, RejectReason.UNKNOWN_VALUE, detail))
        else:
            kept.append(row)
    return kept


def _hash_pictures(source: Source, rows: list[Row], progress: Progress | None) -> list[str | VestiaryError]:
    """The pixel hash of each row's picture, or the error that says why there is none."""

    def look(row: Row) -> str | VestiaryError:
        try:
            return read_picture(source.read(row.image)).hash_pixels()
        except VestiaryError as error:
            return error

    found: list[str | VestiaryError] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for result in pool.map(look, rows):
            found.append(result)
            if progress is not None:
                progress(len(found), len(rows))
    return found


def _split_products(
    sound: list[tuple[Row, str]], taxonomy: Taxonomy, table: str, seed: int, earlier: Catalogue | None
) -> tuple[Product, ...]:
    ids = [row.id for row, _ in sound]
    clues = [[_name_clue(row), f"pixels:{pixel_hash}"] for row, pixel_hash in sound]
    groups = group_products(ids, clues)
    finest = max(taxonomy.attributes, key=lambda attribute: len(attribute.values)).name
    strata = [row.labels.get(finest, "") for row, _ in sound]
    splits = assign_splits(groups, strata, seed=seed, earlier=_earlier_splits(ids, groups, earlier))
    return tuple(
        Product(
            id=row.id,
            images=(row.image,),
            pixel_hashes=(pixel_hash,),
            labels=_canonical_labels(row.labels, taxonomy),
            name=row.name,
            group=group,
            split=split,
            source=f"{table}:{row.line}",
        )
        for (row, pixel_hash), group, split in zip(sound, groups, splits, strict=True)
    )


def _canonical_labels(labels: Mapping[str, str], taxonomy: Taxonomy) -> dict[str, str]:
    """Labels by the taxonomy's own values: aliases resolved, attributes it does not ask about left out."""
    return taxonomy.decode(taxonomy.encode(labels))


def _name_clue(row: Row) -> str:
    """What makes two products the same design: the name, case and spacing aside; a blank name stands alone."""
    name = " ".join(row.name.casefold().split())
    return f"name:{name}" if name else f"id:{row.id}"


def _earlier_splits(ids: list[str], groups: list[str], earlier: Catalogue | None) -> dict[str, Split]:
    """The split each group had; where groups have since merged, the split of its first product."""
    known = {product.id: product.split for product in earlier.products} if earlier is not None else {}
    splits: dict[str, Split] = {}
    for product_id, group in zip(ids, groups, strict=True):
        if product_id in known:
            splits.setdefault(group, known[product_id])
    return splits
