"""What a reader gives: a row that may become a product, or a reject with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class RejectReason(StrEnum):
    """Why a row, or a picture, did not become a product."""

    TOO_FEW_FIELDS = "too few fields"
    NO_PICTURE = "no picture"
    UNREADABLE_PICTURE = "unreadable picture"
    UNKNOWN_VALUE = "unknown value"
    DUPLICATE_ID = "duplicate id"
    NO_ROW = "picture without a row"


@dataclass(frozen=True, slots=True)
class Row:
    """One sound line of a table: ``line`` counts from 1, ``image`` is a name inside the source."""

    line: int
    id: str
    image: str
    labels: Mapping[str, str]
    name: str


@dataclass(frozen=True, slots=True)
class Reject:
    """What did not become a product. ``line`` is None for a picture that no row names."""

    line: int | None
    id: str
    reason: RejectReason
    detail: str


class Reader(Protocol):
    """One source format: the titles of its attributes, which is whose parent, its pictures by id, its rows."""

    titles: Mapping[str, str]
    hierarchy: Sequence[tuple[str, str]]
    pictures: Mapping[str, str]
    table: str

    def rows(self) -> Iterator[Row | Reject]:
        """Every row in order."""
