"""What people said of photos, taken into a catalogue: as labels of its products, or as new products to learn from."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vestiary.catalogue.columns import suggest, to_text
from vestiary.catalogue.rows import Reject, RejectReason
from vestiary.catalogue.sources import ADDED, FolderSource, Source
from vestiary.catalogue.table import Table, is_table, open_table
from vestiary.errors import UsageError, VestiaryError
from vestiary.images import read_picture
from vestiary.product import Product, Split
from vestiary.taxonomy import MISSING, ParentRule
from vestiary.utf8 import is_writable

if TYPE_CHECKING:
    from vestiary.catalogue.catalogue import Catalogue

NEEDED: Final = ("attribute", "value")
KEYS: Final = ("image_sha256", "product_id", "picture")
"""The columns that say which product is meant; at least one of them must be there."""
_COLUMNS: Final = (*KEYS, *NEEDED, "reviewer", "at")
_AT_ONCE: Final = 512

Progress = Callable[[int, int], None]


class Effect(StrEnum):
    """What became of a correction."""

    CHANGED = "label changed"
    ADDED = "label added"
    CONFIRMED = "label confirmed"
    NEW = "label of a new product"
    FOLLOWED = "label follows by the parent rules"
    LEFT_OUT = "product left out by the preparation"
    UNMATCHED = "no product and no photo"
    UNREADABLE = "unreadable photo"
    UNKNOWN = "unknown attribute or value"
    UNUSABLE = "unusable row"

    @property
    def is_used(self) -> bool:
        """Whether the catalogue knows more, or surer, than before."""
        return self not in (Effect.LEFT_OUT, Effect.UNMATCHED, Effect.UNREADABLE, Effect.UNKNOWN, Effect.UNUSABLE)


@dataclass(frozen=True, slots=True)
class Correction:
    """One label that a person gave, by the ``line`` of the file: where it went, and what had stood there.

    ``value`` is empty for a label that was taken away, since it contradicts what a person said.
    """

    line: int
    effect: Effect
    product_id: str
    attribute: str
    value: str
    before: str
    reviewer: str
    at: str


@dataclass(frozen=True, slots=True)
class _Given:
    line: int
    image_sha256: str
    product_id: str
    picture: str
    attribute: str
    value: str
    reviewer: str
    at: str


def correct(catalogue: Catalogue, path: Path, *, progress: Progress | None = None) -> Catalogue:
    """The catalogue with the corrections of a table (CSV, TSV, JSON lines, Parquet, Excel), one label a row.

    A row names the product by the SHA-256 of a picture's bytes (``image_sha256``), by a ``picture`` with the same
    pixels (its place is relative to the file), or by its id (``product_id``), and has ``attribute``, ``value`` and, if
    wanted, ``reviewer`` and ``at``. A picture that no product has becomes a product of the training split, never of
    another, so that nothing people looked at since makes the test easier; several with one id are views of it. An id
    that a preparation left out stays out: others of its design may be in the test split. Labels that contradict a
    corrected one by the parent rules follow it where there is one answer, and are taken away where there is not.
    ``progress`` is told how many pictures of the source have been looked at.

    Raises UsageError for a file that cannot be used, and for a catalogue that has been corrected before.
    """
    if catalogue.corrections:
        raise UsageError("This catalogue holds corrections already; ingest its source again, with all of them.")
    rows, rejected = _read_rows(path)
    photos = _Photos(FolderSource(path.resolve().parent), {row.picture for row in rows if row.picture})
    finder = _Finder(catalogue, rows, photos, progress)
    work = _Work(catalogue, path.name)
    for row in rows:
        work.take(row, finder.find(row), photos)
    return work.finish(rejected, photos.source.path)


def check_corrections(path: Path) -> None:
    """Raise UsageError when the file cannot be one of corrections, before anything else is looked at."""
    _open_corrections(path)


def _open_corrections(path: Path) -> Table:
    if not path.exists():
        raise UsageError(f"{path} does not exist; check the path.")
    if not path.is_file() or not is_table(path.name):
        raise UsageError(f"{path} is no table of corrections; name the corrections.csv that review export wrote.")
    if not is_writable(str(path.resolve())):
        raise UsageError("The corrections lie under a name with bytes that are not UTF-8; rename it.")
    table = open_table(FolderSource(path.parent), path.name)
    for name in NEEDED:
        if name not in table.columns:
            raise UsageError(f"{path} has no column {name!r}; {suggest(name, table.columns)}")
    if not set(KEYS) & set(table.columns):
        raise UsageError(f"{path} does not say which product is meant; give it a column {', '.join(KEYS[:2])}.")
    return table


def _read_rows(path: Path) -> tuple[list[_Given], list[Correction]]:
    table = _open_corrections(path)
    wanted = [name for name in _COLUMNS if name in table.columns]
    rows, rejected = [], []
    for record in table.records(wanted):
        if isinstance(record, Reject):
            rejected.append(_reject(record.line or 0, record.detail))
            continue
        line, cells = record
        try:
            texts = {name: to_text(cell) or "" for name, cell in zip(wanted, cells, strict=True)}
        except ValueError as error:
            rejected.append(_reject(line, str(error)))
            continue
        rows.append(_Given(line, **dict.fromkeys(_COLUMNS, "") | texts))
    return rows, rejected


def _reject(line: int, detail: str) -> Correction:
    return Correction(line, Effect.UNUSABLE, "", "", detail, "", "", "")


class _Photos:
    """The photos that lie beside the corrections: the hash of the pixels of each, None for one that cannot be read."""

    def __init__(self, source: FolderSource, names: Iterable[str]) -> None:
        self.source = source
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            wanted = sorted(names)
            self.pixels = dict(zip(wanted, pool.map(self._hash, wanted), strict=True))

    def _hash(self, name: str) -> str | None:
        try:
            return read_picture(self.source.read(name)).hash_pixels()
        except VestiaryError:
            return None


class _Finder:
    """Which products a row is about."""

    def __init__(
        self, catalogue: Catalogue, rows: Sequence[_Given], photos: _Photos, progress: Progress | None
    ) -> None:
        self._photos = photos
        self._ids = {product.id for product in catalogue.products}
        self._by_pixels: dict[str, list[str]] = defaultdict(list)
        by_image: dict[str, list[str]] = defaultdict(list)
        for product in catalogue.products:
            for image, pixels in zip(product.images, product.pixel_hashes, strict=True):
                self._by_pixels[pixels].append(product.id)
                by_image[image].append(product.id)
        open_hashes = {row.image_sha256.lower() for row in rows if row.image_sha256 and not self._find_by_pixels(row)}
        self._by_hash: dict[str, list[str]] = {}
        for image, digest in _hash_files(catalogue.open_source(), list(by_image), progress) if open_hashes else ():
            if digest in open_hashes:
                self._by_hash.setdefault(digest, []).extend(by_image[image])

    def find(self, row: _Given) -> list[str]:
        """The ids of the products with this picture; else the one with this id; else none."""
        found = self._find_by_pixels(row) or self._by_hash.get(row.image_sha256.lower(), [])
        if not found and row.product_id in self._ids:
            found = [row.product_id]
        return list(dict.fromkeys(found))

    def _find_by_pixels(self, row: _Given) -> list[str]:
        pixels = self._photos.pixels.get(row.picture)
        return self._by_pixels.get(pixels, []) if pixels is not None else []


def _hash_files(source: Source, images: Sequence[str], progress: Progress | None) -> Iterator[tuple[str, str | None]]:
    """The SHA-256 of the bytes of each picture of a source."""

    def look(image: str) -> str | None:
        try:
            return hashlib.sha256(source.read(image)).hexdigest()
        except VestiaryError:
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), _AT_ONCE):
            some = images[start : start + _AT_ONCE]
            yield from zip(some, pool.map(look, some), strict=True)
            if progress is not None:
                progress(start + len(some), len(images))


class _Work:
    """A catalogue while it is corrected."""

    def __init__(self, catalogue: Catalogue, file: str) -> None:
        self._catalogue, self._file = catalogue, file
        self._products = {product.id: product for product in catalogue.products}
        self._left_out = {own.id for own in catalogue.rejects if own.reason == RejectReason.LEFT_OUT}
        self._new: dict[str, str] = {}  # by the hash of the pixels: the id
        self._given: dict[str, dict[str, _Given]] = defaultdict(dict)
        self._done: list[Correction] = []

    def take(self, row: _Given, ids: Sequence[str], photos: _Photos) -> None:
        """Enter the label of a row into these products, or into a new one."""
        taxonomy = self._catalogue.taxonomy
        place = taxonomy[row.attribute].index_of(row.value) if row.attribute in taxonomy.names else MISSING
        if place < 0:
            self._tell(row, Effect.UNKNOWN, "", "")
            return
        value = taxonomy[row.attribute].values[place]
        is_new = not ids
        if is_new and row.product_id in self._left_out:
            self._tell(row, Effect.LEFT_OUT, row.product_id, "")
            return
        if is_new:
            pixels = photos.pixels.get(row.picture)
            if pixels is None:
                self._tell(row, Effect.UNREADABLE if row.picture else Effect.UNMATCHED, "", "")
                return
            ids = [self._make_product(row, pixels)]
        for product_id in ids:
            before = self._products[product_id].labels.get(row.attribute, "")
            self._set(product_id, row.attribute, value)
            self._given[product_id][row.attribute] = row
            same = Effect.CONFIRMED if before == value else Effect.CHANGED if before else Effect.ADDED
            self._tell(row, Effect.NEW if is_new else same, product_id, before, value)

    def finish(self, rejected: Sequence[Correction], folder: Path) -> Catalogue:
        """The corrected catalogue."""
        for product_id, given in self._given.items():
            self._follow_rules(product_id, given)
        told = sorted([*self._done, *rejected], key=lambda own: own.line)
        return dataclasses.replace(
            self._catalogue,
            products=tuple(self._products.values()),
            n_rows=self._catalogue.n_rows + len(self._new),
            additions=folder if self._new else None,
            corrections=tuple(told),
        )

    def _make_product(self, row: _Given, pixels: str) -> str:
        if pixels not in self._new:
            product_id = row.product_id or f"review-{row.image_sha256[:16] or pixels[:16]}"
            source = f"{self._file}:{row.line}"
            self._new[pixels] = product_id
            views, hashes = (ADDED + row.picture,), (pixels,)
            known = self._products.get(product_id)
            self._products[product_id] = (
                Product(product_id, views, hashes, {}, "", product_id, Split.TRAIN, source)
                if known is None
                else dataclasses.replace(known, images=known.images + views, pixel_hashes=known.pixel_hashes + hashes)
            )
        return self._new[pixels]

    def _follow_rules(self, product_id: str, given: Mapping[str, _Given]) -> None:
        """Bring what nobody said anything about into line with what people said: parents first, then what is below."""
        rules = self._catalogue.taxonomy.parents
        settled = dict(given)
        for rule in rules * len(rules):  # a chain is no longer than this
            if rule.child in settled and rule.parent not in settled and not self._agrees(product_id, rule):
                self._replace(product_id, rule, rule.parent, settled[rule.child])
                settled[rule.parent] = settled[rule.child]
        for rule in rules * len(rules):
            is_below = rule.parent in settled and rule.child not in settled
            if is_below and (
                not self._agrees(product_id, rule) or rule.parent not in self._products[product_id].labels
            ):
                self._replace(product_id, rule, rule.child, settled[rule.parent])
                settled[rule.child] = settled[rule.parent]

    def _agrees(self, product_id: str, rule: ParentRule) -> bool:
        return rule.allows(self._products[product_id].labels)

    def _replace(self, product_id: str, rule: ParentRule, name: str, cause: _Given) -> None:
        labels = self._products[product_id].labels
        allowed = rule.allowed.get(labels[rule.child], ()) if name == rule.parent else ()
        value = allowed[0] if len(allowed) == 1 else ""
        if name in labels:
            self._tell(dataclasses.replace(cause, attribute=name), Effect.FOLLOWED, product_id, labels[name], value)
            self._set(product_id, name, value)

    def _set(self, product_id: str, attribute: str, value: str) -> None:
        """Labels are shared between products, and kept in the order of the taxonomy."""
        product = self._products[product_id]
        labels = {**product.labels, attribute: value}
        ordered = {name: labels[name] for name in self._catalogue.taxonomy.names if labels.get(name)}
        self._products[product_id] = dataclasses.replace(product, labels=ordered)

    def _tell(self, row: _Given, effect: Effect, product_id: str, before: str, value: str | None = None) -> None:
        told = row.value if value is None else value
        self._done.append(Correction(row.line, effect, product_id, row.attribute, told, before, row.reviewer, row.at))


def count_effects(corrections: Iterable[Correction]) -> dict[str, Any]:
    """How many corrections there were, by what became of them, and how many products they made or changed."""
    told = list(corrections)
    new = {own.product_id for own in told if own.effect == Effect.NEW}
    followed = [own for own in told if own.effect == Effect.FOLLOWED]
    lines = {own.line: own.effect.is_used for own in told}
    return {
        "rows": len(lines),
        "matched": sum(lines.values()),
        "unmatched": len(lines) - sum(lines.values()),
        "new_products": len(new),
        "changed_products": len({own.product_id for own in told if own.effect == Effect.CHANGED}),
        "labels_that_followed": len(followed),
        "by_effect": {str(effect): n for effect, n in sorted(Counter(own.effect for own in told).items())},
    }
