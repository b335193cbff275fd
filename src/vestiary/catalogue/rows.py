"""What a reader gives: a row that may become a product, or a reject with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from vestiary.catalogue.sources import Source
from vestiary.product import Split


class RejectReason(StrEnum):
    """Why a row, or a picture, did not become a product."""

    TOO_FEW_FIELDS = "too few fields"
    TOO_MANY_FIELDS = "too many fields"
    BAD_VALUE = "unusable value"
    NO_LABEL = "no label"
    NO_PICTURE = "no picture"
    PICTURE_OUTSIDE = "picture outside the source"
    PICTURE_URL = "picture is an address"
    UNREADABLE_PICTURE = "unreadable picture"
    UNKNOWN_VALUE = "unknown value"
    DUPLICATE_ID = "duplicate id"
    LEFT_OUT = "left out by the preparation"
    NO_ROW = "picture without a row"


@dataclass(frozen=True, slots=True)
class Row:
    """One sound line of a table: ``line`` counts from 1, ``images`` are names inside the source.

    ``split`` is the one the source puts the row in, None where it names none.
    """

    line: int
    id: str
    images: tuple[str, ...]
    labels: Mapping[str, str]
    name: str
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """What did not become a product. ``line`` is None for a picture that no row names."""

    line: int | None
    id: str
    reason: RejectReason
    detail: str


class Reader(Protocol):
    """One source format.

    ``table`` is what stands before the line in a product's ``source``; ``repeats_are_views`` says whether another row
    of the same id is another view of the product, rather than a mistake.
    """

    table: str
    repeats_are_views: bool

    @property
    def titles(self) -> Mapping[str, str]:
        """Headings of the attributes by name, in order."""

    @property
    def hierarchy(self) -> Sequence[tuple[str, str]]:
        """Pairs of (child, parent) attributes."""

    @property
    def source(self) -> Source:
        """Where the pictures lie."""

    def rows(self) -> Iterator[Row | Reject]:
        """Every row in order, read as it is asked for."""

    def orphans(self) -> Iterator[tuple[str, str]]:
        """Id and name of every picture that no row named; to be asked when ``rows`` has ended."""

    def describe(self) -> dict[str, Any]:
        """What was read and how, in plain values for ``catalogue.json``."""
