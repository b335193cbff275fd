"""One product of a catalogue, and the part of it that the product belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Split(StrEnum):
    """What a product is used for: learning, choosing and calibrating, or the final figures."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Product:
    """One product with its true answers.

    ``images`` are names inside the catalogue's source, several views allowed; ``pixel_hashes`` holds the SHA-256 (hex)
    of each picture's upright RGB pixels, in the same order. ``labels`` has no entry for an attribute without a label.
    Products of one ``group`` always share a split. ``source`` says where the row stands, for messages.
    """

    id: str
    images: tuple[str, ...]
    pixel_hashes: tuple[str, ...]
    labels: Mapping[str, str]
    name: str
    group: str
    split: Split
    source: str


def fold_name(name: str) -> str:
    """A name without case and spacing: products whose folded names are equal are taken for one design."""
    return " ".join(name.casefold().split())
