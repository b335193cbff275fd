"""From a source to a catalogue: read every row, look at every picture, lose nothing, and split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vestiary.catalogue.catalogue import BY_GROUP, BY_SOURCE, Catalogue
from vestiary.catalogue.columns import suggest
from vestiary.catalogue.readers import Reading, open_reader
from vestiary.catalogue.rows import Reader, Reject, RejectReason, Row
from vestiary.catalogue.sources import Source, find_home, hide_password
from vestiary.catalogue.splits import SEED, assign_splits, group_products
from vestiary.errors import AddressUnreachableError, CatalogueError, UsageError, VestiaryError
from vestiary.images import read_picture
from vestiary.product import Product, Split, fold_name
from vestiary.taxonomy import UNKNOWN, Taxonomy
from vestiary.utf8 import is_writable, make_writable

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures in all)."""

AT_ONCE = 512
"""Pictures handed to the threads in one go: a million tasks waiting would take a gigabyte."""

Hashes = Mapping[str, "str | VestiaryError"]
"""Per picture the hash of its pixels, or the error that says why there is none."""


def ingest(
    path: Path | str,
    *,
    taxonomy: Taxonomy | None = None,
    seed: int = SEED,
    earlier: Catalogue | None = None,
    progress: Progress | None = None,
    reading: Reading | None = None,
    keep_splits: bool = False,
) -> Catalogue:
    """Read a table, folder, zip, address or data set of the hub into a Catalogue.

    Every row ends as a product, as another view of one, or as a Reject with its line; pictures that no row names are
    rejects without a line. ``reading`` says what the source does not say itself. Without a ``taxonomy`` the values
    found become its answers; with one, a row with another value is a reject. Products known to ``earlier`` keep the
    split they had there; with ``keep_splits`` every product has the split its source names. Each picture is read once,
    however many rows name it. Raises UsageError or CatalogueError when the source cannot be read at all, also
    when it goes away meanwhile, and CatalogueError when no product is left.
    """
    reading = reading or Reading()
    reader = open_reader(path, replace(reading, expected=taxonomy.names) if taxonomy is not None else reading)
    for place in (str(reader.source.path), reader.table):
        if not is_writable(place):
            raise UsageError(f"{make_writable(place)} has bytes in its name that are not UTF-8; rename it.")
    if taxonomy is not None:
        _require_questions(taxonomy, reading, reader)
    rows, rejects = _gather(reader, taxonomy)
    n_rows = len(rows) + len(rejects)
    home = _find_home(reader.source)
    hashes = _hash_pictures(reader.source, rows, progress)
    if not all(isinstance(own, str) for own in hashes.values()) and _find_home(reader.source) != home:
        raise CatalogueError(f"{reader.source.path} is no longer there; bring it back and ingest again.")
    rows = _drop_unreadable(rows, hashes, reader.source, rejects)
    if reader.repeats_are_views:
        rows = _merge_views(rows, rejects)
    rejects.sort(key=lambda reject: reject.line or 0)
    shown = hide_password(str(path))
    if not n_rows:
        raise CatalogueError(f"{reader.table} in {shown} has no rows below its header; fill it in and ingest again.")
    if not rows:
        raise CatalogueError(
            f"{shown} holds no usable product: all {n_rows} rows were rejected, "
            f"line {rejects[0].line} for {rejects[0].reason} ({rejects[0].detail}); correct them and ingest again."
        )
    asked = taxonomy.names if taxonomy is not None else tuple(reader.titles)
    if not any(name in row.labels for row in rows for name in asked):
        raise CatalogueError(f"{reader.table} in {shown} has no label in any row; fill in at least one column.")
    for name, column in reading.columns.attributes.items():
        if not any(name in row.labels for row in rows):
            where = f"{name} (column {column!r})" if column != name else name
            raise UsageError(
                f"{reader.table} in {shown} has no label for the attribute {where} in any usable row; "
                "fill it in, or leave this --attribute out."
            )
    if keep_splits:
        _require_splits(rows, reader.table)
    rejects += [
        Reject(None, make_writable(key), RejectReason.NO_ROW, make_writable(name)) for key, name in reader.orphans()
    ]
    taxonomy = taxonomy or Taxonomy.from_labels((row.labels for row in rows), reader.titles, reader.hierarchy)
    placed = _keep_splits(rows, hashes) if keep_splits else _deal_splits(rows, hashes, taxonomy, seed, earlier)
    return Catalogue(
        taxonomy=taxonomy,
        products=_make_products(rows, *placed, hashes, taxonomy, reader.table),
        rejects=tuple(rejects),
        source=reader.source.path,
        n_rows=n_rows,
        split_seed=seed,
        split_by=BY_SOURCE if keep_splits else BY_GROUP,
        reading=reader.describe(),
    )


def _require_questions(taxonomy: Taxonomy, reading: Reading, reader: Reader) -> None:
    """UsageError when the taxonomy lacks an attribute that is asked for, or asks for none that the source has."""
    for name in reading.columns.attributes:
        if name not in taxonomy.names:
            raise UsageError(
                f"The taxonomy has no attribute {name!r}, which --attribute names; {suggest(name, taxonomy.names)}"
            )
    if not set(taxonomy.names) & set(reader.titles):
        name = taxonomy.names[0]
        raise UsageError(
            f"The taxonomy asks about {name!r}, which {reader.table} does not answer; "
            f"name its column with --attribute {name}=COLUMN, {suggest(name, list(reader.titles))}"
        )


def _gather(reader: Reader, taxonomy: Taxonomy | None) -> tuple[list[Row], list[Reject]]:
    """Every row that may become a product, and the rejects so far."""
    rows: list[Row] = []
    rejects: list[Reject] = []
    first: dict[str, int] = {}
    unknown: dict[int, str] = {}
    for entry in reader.rows():
        if isinstance(entry, Reject):
            rejects.append(entry)
            continue
        if not reader.repeats_are_views and first.setdefault(entry.id, entry.line) != entry.line:
            rejects.append(_repeated(entry, f"line {first[entry.id]} has this id already"))
            continue
        if taxonomy is not None:
            key = id(entry.labels)  # shared between rows, and kept alive by the reader
            if key not in unknown:
                unknown[key] = _name_unknown(entry.labels, taxonomy)
            if unknown[key]:
                rejects.append(Reject(entry.line, entry.id, RejectReason.UNKNOWN_VALUE, unknown[key]))
                continue
        rows.append(entry)
    return rows, rejects


def _repeated(row: Row, detail: str) -> Reject:
    return Reject(row.line, row.id, RejectReason.DUPLICATE_ID, detail)


def _name_unknown(labels: Mapping[str, str], taxonomy: Taxonomy) -> str:
    """What the taxonomy does not know about these labels; nothing when all is well."""
    unknown = [name for name, index in taxonomy.encode(labels).items() if index == UNKNOWN]
    return "; ".join(f"{name} {labels[name]!r} is not in the taxonomy" for name in unknown)


def _hash_pictures(source: Source, rows: Sequence[Row], progress: Progress | None) -> Hashes:
    """The pixel hash of every picture that a row names, each read once."""

    def look(image: str) -> str | VestiaryError:
        try:
            return read_picture(source.read(image)).hash_pixels()
        except AddressUnreachableError:  # a store that is away for a moment must cost no product
            raise
        except VestiaryError as error:
            error.__cause__ = error.__context__ = None  # they and the traceback keep the picture's bytes and pixels
            return error.with_traceback(None)

    images = list(dict.fromkeys(image for row in rows for image in row.images))
    found: dict[str, str | VestiaryError] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(images), AT_ONCE):
            some = images[start : start + AT_ONCE]
            for image, result in zip(some, pool.map(look, some), strict=True):
                found[image] = result
                if progress is not None:
                    progress(len(found), len(images))
    return found


def _find_home(source: Source) -> tuple[int, int] | None:
    """What ``find_home`` tells of a folder or archive here; None for an address, and for what is gone."""
    if not isinstance(source.path, Path):
        return None
    try:
        return find_home(source.path)
    except OSError:
        return None


def _drop_unreadable(rows: Sequence[Row], hashes: Hashes, source: Source, rejects: list[Reject]) -> list[Row]:
    """The rows all of whose pictures can be read."""
    sound = []
    for row in rows:
        image = next((image for image in row.images if not isinstance(hashes[image], str)), None)
        if image is None:
            sound.append(row)
        elif isinstance(hashes[image], UsageError) and not source.exists(image):
            rejects.append(Reject(row.line, row.id, RejectReason.NO_PICTURE, f"{image} is not there"))
        else:
            detail = f"{image}: {hashes[image]}"
            rejects.append(Reject(row.line, row.id, RejectReason.UNREADABLE_PICTURE, detail))
    return sound


def _merge_views(rows: Sequence[Row], rejects: list[Reject]) -> list[Row]:
    """One row per id, with all its pictures; a row that contradicts the first, or adds nothing, is a reject."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.id, row)
        if known is row:
            continue
        clash = next((name for name, value in row.labels.items() if known.labels.get(name, value) != value), None)
        if clash is not None:
            detail = f"line {known.line} says {clash} {known.labels[clash]!r}, this one {row.labels[clash]!r}"
            rejects.append(_repeated(row, detail))
        elif known.split != row.split:
            rejects.append(_repeated(row, f"line {known.line} puts this id in another split"))
        elif set(row.images) <= set(known.images):
            rejects.append(_repeated(row, f"line {known.line} has this id and picture already"))
        else:
            images = tuple(dict.fromkeys(known.images + row.images))
            labels = {**row.labels, **known.labels} if row.labels.keys() - known.labels.keys() else known.labels
            first[row.id] = replace(known, images=images, labels=labels)
    return list(first.values())


def _require_splits(rows: Sequence[Row], table: str) -> None:
    """UsageError when the source does not put every product into a split, or none into training."""
    without = next((row for row in rows if row.split is None), None)
    if without is not None:
        raise UsageError(
            f"{table} line {without.line} names no split, so splits cannot be kept; name a --split-column or leave "
            "--keep-splits out."
        )
    if not any(row.split == Split.TRAIN for row in rows):
        raise UsageError(f"{table} puts nothing into the split train; leave --keep-splits out to have it split anew.")


def _keep_splits(rows: Sequence[Row], hashes: Hashes) -> tuple[list[str], list[Split]]:
    """The group of every row, none of which reaches beyond its split, and the split."""
    splits = [row.split or Split.TRAIN for row in rows]
    clues = ((f"{split}:{clue}" for clue in _clues_of(row, hashes)) for row, split in zip(rows, splits, strict=True))
    return group_products([row.id for row in rows], clues), splits


def _deal_splits(
    rows: Sequence[Row], hashes: Hashes, taxonomy: Taxonomy, seed: int, earlier: Catalogue | None
) -> tuple[list[str], list[Split]]:
    """The group and the split of every row."""
    ids = [row.id for row in rows]
    groups = group_products(ids, (_clues_of(row, hashes) for row in rows))
    finest = max(taxonomy.attributes, key=lambda attribute: len(attribute.values)).name
    strata = [row.labels.get(finest, "") for row in rows]
    return groups, assign_splits(groups, strata, seed=seed, earlier=_earlier_splits(ids, groups, earlier))


def _clues_of(row: Row, hashes: Hashes) -> Iterator[str]:
    """What makes two products the same design: the name, case and spacing aside unless blank, and the pictures."""
    name = fold_name(row.name)
    yield f"name:{name}" if name else f"id:{row.id}"
    yield from (f"pixels:{hashes[image]}" for image in row.images)


def _make_products(
    rows: list[Row],
    groups: Sequence[str],
    splits: Sequence[Split],
    hashes: Hashes,
    taxonomy: Taxonomy,
    table: str,
) -> tuple[Product, ...]:
    """The products, each row let go as its product is made; equal labels and pictures are shared between them."""
    canonical: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    pixels: dict[tuple[str, ...], tuple[str, ...]] = {}

    def labels_of(row: Row) -> dict[str, str]:
        key = tuple(row.labels.items())
        if key not in canonical:  # aliases resolved, attributes the taxonomy does not ask about left out
            canonical[key] = taxonomy.decode(taxonomy.encode(row.labels))
        return canonical[key]

    def pixels_of(row: Row) -> tuple[str, ...]:
        if row.images not in pixels:
            pixels[row.images] = tuple(str(hashes[image]) for image in row.images)
        return pixels[row.images]

    rows.reverse()
    return tuple(
        Product(row.id, row.images, pixels_of(row), labels_of(row), row.name, group, split, f"{table}:{row.line}")
        for row, group, split in zip((rows.pop() for _ in range(len(rows))), groups, splits, strict=True)
    )


def _earlier_splits(ids: list[str], groups: list[str], earlier: Catalogue | None) -> dict[str, Split]:
    """The split each group had; where groups have since merged, the split of its first product."""
    known = {product.id: product.split for product in earlier.products} if earlier is not None else {}
    splits: dict[str, Split] = {}
    for product_id, group in zip(ids, groups, strict=True):
        if product_id in known:
            splits.setdefault(group, known[product_id])
    return splits
