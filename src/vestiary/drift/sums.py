"""Pictures as rows of numbers that only need to be added up: any number of them becomes one row of sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.drift.pictures import unpack_features
from vestiary.tags import Prediction

Sums = NDArray[np.float64]

_SHARE: Final = np.linspace(0, 1, 21)
_OCTAVES: Final = np.linspace(3, 14, 45)
LOOKS: Final[Mapping[str, NDArray[np.float64]]] = {
    "brightness": _SHARE,
    "background": _SHARE,
    "width": _OCTAVES,
    "height": _OCTAVES,
}
"""Edges of the bins of each property of a picture: equal steps of 0..1, quarters of a doubling from 8 to 16,384 px."""
CONFIDENCE: Final = _SHARE

Key = tuple[str, str]
"""What a block of sums or a figure is about, and the attribute that it belongs to ("" for whole pictures)."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answered picture as far as drift goes: None for what is not known of it.

    ``answers`` holds value and confidence by attribute; the rest is as in ``Unfamiliar.flag`` and ``Observation``.
    """

    answers: Mapping[str, tuple[str, float]]
    unfamiliar: bool | None = None
    width: float | None = None
    height: float | None = None
    brightness: float | None = None
    background: float | None = None
    features: bytes | None = None

    @classmethod
    def from_prediction(cls, prediction: Prediction) -> Sighting:
        """What a prediction says of its picture."""
        seen = prediction.observed
        return cls(
            answers={tag.attribute: (tag.value, tag.confidence) for tag in prediction.tags},
            unfamiliar=prediction.unfamiliar.flag if prediction.unfamiliar else None,
            width=seen.width if seen else None,
            height=seen.height if seen else None,
            brightness=seen.brightness if seen else None,
            background=seen.background if seen else None,
            features=seen.features if seen else None,
        )


class Layout:
    """Which sum stands where in a row.

    The blocks are, per attribute, ``values`` (pictures by answer) and ``confidence``; then each of LOOKS,
    ``unfamiliar`` (pictures that are not and that are) and ``features``: their number, their sum, and the sum of their
    products with each other. ``confidence`` and the LOOKS count pictures by bin, and end with the sum of what is
    counted (of widths and heights the logarithms to base 2). What is not known of a picture is not counted.
    """

    def __init__(self, values: Mapping[str, Sequence[str]], components: int) -> None:
        """For attributes with these values, and features of so many components (0: there are none)."""
        self.components = components
        self._places = {name: {value: place for place, value in enumerate(own)} for name, own in values.items()}
        sizes: dict[Key, int] = {("values", name): len(own) for name, own in values.items()}
        sizes |= {("confidence", name): len(CONFIDENCE) for name in values}
        sizes |= {(look, ""): len(edges) for look, edges in LOOKS.items()}
        sizes |= {("unfamiliar", ""): 2}
        sizes |= {("features", ""): 1 + components + components**2} if components else {}
        ends = np.cumsum(list(sizes.values())).tolist()
        self.blocks: dict[Key, slice] = {
            key: slice(end - size, end) for (key, size), end in zip(sizes.items(), ends, strict=True)
        }
        self.width: int = ends[-1]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that are watched."""
        return tuple(self._places)

    def encode(self, sightings: Sequence[Sighting]) -> Sums:
        """One row per picture, ``float64 [n, width]``."""
        rows = np.zeros((len(sightings), self.width))
        for name, places in self._places.items():
            answers = [sighting.answers.get(name, ("", None)) for sighting in sightings]
            self._mark(rows, ("values", name), np.array([places.get(value, -1) for value, _ in answers]))
            self._count(rows, ("confidence", name), [share for _, share in answers], CONFIDENCE)
        for look, edges in LOOKS.items():
            found = [getattr(sighting, look) for sighting in sightings]
            if edges is _OCTAVES:
                found = [np.log2(max(size, 1)) if size is not None else None for size in found]
            self._count(rows, (look, ""), found, edges)
        flags = [-1 if sighting.unfamiliar is None else int(sighting.unfamiliar) for sighting in sightings]
        self._mark(rows, ("unfamiliar", ""), np.array(flags))
        self._add_features(rows, sightings)
        return rows

    def _mark(self, rows: Sums, key: Key, places: NDArray[np.int64]) -> None:
        known = np.flatnonzero(places >= 0)
        rows[known, self.blocks[key].start + places[known]] = 1

    def _count(self, rows: Sums, key: Key, values: Iterable[float | None], edges: NDArray[np.float64]) -> None:
        """Values beyond the edges fall into the outermost bins."""
        given = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        bins = np.clip(np.searchsorted(edges, given, side="right") - 1, 0, len(edges) - 2)
        self._mark(rows, key, np.where(np.isnan(given), -1, bins))
        rows[:, self.blocks[key].stop - 1] = np.nan_to_num(given)

    def _add_features(self, rows: Sums, sightings: Sequence[Sighting]) -> None:
        size = 2 * self.components
        known = [row for row, one in enumerate(sightings) if one.features is not None and len(one.features) == size]
        if not self.components or not known:
            return
        points = unpack_features(sightings[row].features or b"" for row in known)
        products = points[:, :, None] * points[:, None, :]
        block = [np.ones((len(points), 1)), points, products.reshape(len(points), -1)]
        rows[known, self.blocks["features", ""]] = np.concatenate(block, axis=1)


def count_components(sightings: Iterable[Sighting]) -> int:
    """How many components the features of pictures have: 0 when none has any."""
    return next((len(one.features) // 2 for one in sightings if one.features), 0)
