"""An ingested catalogue at hand: its products by their labels, and small copies of their photos."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import streamlit as st

from vestiary.catalogue import Catalogue, Source, load_catalogue
from vestiary.charts import keep_text
from vestiary.errors import UsageError
from vestiary.pages.desk import current_desk
from vestiary.product import Product
from vestiary.reports.figures import CrossTab, Distribution, count_labels, cross_labels
from vestiary.reports.gallery import Photo, show_product

PHOTO_SIZE = (180, 240)
"""Largest width and height of a photo in a gallery, in pixels: those of a phone's half screen."""
KEPT_PHOTOS = 1500
"""Small copies that are kept, about 10 KB each."""


class Shelf:
    """A catalogue that was opened for looking at; threads may share it."""

    def __init__(self, catalogue: Catalogue, key: Hashable) -> None:
        """Open the pictures of ``catalogue``, which ``key`` tells from others. CatalogueError when they are gone."""
        self.catalogue, self.key = catalogue, key
        self.source: Source = catalogue.open_source()
        self._photo = lru_cache(maxsize=KEPT_PHOTOS)(self._load_photo)

    @cached_property
    def distributions(self) -> Mapping[str, Distribution]:
        """How often each value of each attribute occurs, by the attribute's name."""
        return {own.name: own for own in count_labels(self.catalogue)}

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {product.id: place for place, product in enumerate(self.catalogue.products)}

    def title_of(self, name: str) -> str:
        """An attribute's title, or its name where it has none."""
        return self.catalogue.taxonomy.titles[name]

    def select(self, wanted: Mapping[str, Collection[str]]) -> list[Product]:
        """Products whose label of each named attribute is among the given ones, in catalogue order."""
        return [
            product
            for product in self.catalogue.products
            if all(product.labels.get(name) in values for name, values in wanted.items())
        ]

    def find(self, ids: Iterable[str]) -> list[Product]:
        """The products with these ids, in their order; ids of no product are left out."""
        products, places = self.catalogue.products, self._places
        return [products[places[own]] for own in ids if own in places]

    def show(self, products: Sequence[Product]) -> list[Photo]:
        """Small copies of the first photo of each, read at the same time."""
        places = [self._places[product.id] for product in products]
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(self._photo, places))

    def _load_photo(self, place: int) -> Photo:
        return show_product(self.source, self.catalogue.products[place], PHOTO_SIZE)


@dataclass(frozen=True)
class Crossed:
    """A cross-tab with the names of its attributes, and which labels each of its rows and columns stands for."""

    table: CrossTab
    down: str
    across: str
    rows: Mapping[str, frozenset[str]]
    columns: Mapping[str, frozenset[str]]

    def wanted(self, row: str | None, column: str | None) -> dict[str, frozenset[str]]:
        """What ``Shelf.select`` takes for a cell; for None, all that have a label are wanted."""
        any_row, any_column = (frozenset().union(*own.values()) for own in (self.rows, self.columns))
        return {
            self.down: any_row if row is None else self.rows[row],
            self.across: any_column if column is None else self.columns[column],
        }


def cross(shelf: Shelf, first: str, second: str) -> Crossed:
    """Two attributes crossed; the one with more values goes down the side. Raises UsageError for one with itself."""
    if first == second:
        raise UsageError(f"{first} was chosen twice; choose two attributes.")
    taxonomy = shelf.catalogue.taxonomy
    across, down = sorted((first, second), key=lambda name: len(taxonomy[name].values))
    table = cross_labels(shelf.catalogue, (first, second))
    return Crossed(
        table,
        down,
        across,
        rows=_unfold(table.rows, taxonomy[down].values),
        columns=_unfold(table.columns, taxonomy[across].values),
    )


def _unfold(shown: Sequence[str], values: Sequence[str]) -> dict[str, frozenset[str]]:
    """Each name with the labels it stands for: itself, or, for that of the rarer ones, all that are not shown."""
    rest = frozenset(values) - frozenset(shown)
    return {name: frozenset((name,)) if name in values else rest for name in shown}


def match_text(clicked: str | None, names: Iterable[str]) -> str | None:
    """The name that a chart shows as ``clicked``; None when there is none any more."""
    return next((name for name in names if keep_text(name) == clicked), None)


def open_shelf(folder: Path) -> Shelf:
    """The catalogue in a folder that ``vestiary ingest`` wrote. Raises UsageError and CatalogueError as it does."""
    return Shelf(load_catalogue(folder), (str(folder), stamp_of(folder)))


def stamp_of(folder: Path) -> int:
    """A number that changes when the catalogue is ingested anew; 0 when there is none."""
    try:
        return (folder / "catalogue.json").stat().st_mtime_ns
    except OSError:
        return 0


def find_shelf() -> Shelf | None:
    """The desk's catalogue; None when it has none. Raises UsageError and CatalogueError when it cannot be read."""
    folder = current_desk().catalogue
    return None if folder is None else _load_shelf(folder, stamp_of(folder))


@st.cache_resource(max_entries=2, show_spinner="Opening the catalogue.")
def _load_shelf(folder: Path, stamp: int) -> Shelf:
    """The catalogue in a folder, opened once for all visitors; another ``stamp`` means another catalogue."""
    return open_shelf(folder)
