"""What a bundle's pictures looked like when it was fitted, and how far a window may be from that by chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vestiary.drift.distances import measure_all
from vestiary.drift.sums import Key, Layout, Sighting, Sums, count_components

FALSE_ALARMS: Final = 0.01
"""The share of reports on unchanged windows that may raise an alarm, over all figures of a report together."""
LEAST_WINDOW: Final = 100
"""Pictures that a window needs: of fewer nothing is said."""
SIZES: Final = (100, 200, 500, 1000, 2000, 5000, 10_000)
"""Sizes of windows for which limits are found; in between they are interpolated, and beyond the last stay as there."""
LEAST_GROUPS: Final = 30
"""Groups of pictures that a reference is made of at least: a bootstrap of fewer says little."""
ROUNDS: Final = 2000
LEAST_CHANGE: Final[Mapping[str, float]] = {
    "jensen_shannon": 0.02,
    "psi": 0.005,
    "confidence": 0.005,
    "unfamiliar": 0.005,
    "embedding": 0.1,
    "brightness": 0.005,
    "background": 0.01,
    "width": 0.05,
    "height": 0.05,
}
"""A change of less is never told, however sure it is; it is also the limit where the reference does not vary at all."""
_AT_ONCE: Final = 200
_DIGITS: Final = 6


@dataclass(frozen=True, eq=False)
class Reference:
    """The sums of the validation pictures, and the limit of every figure by the size of the window.

    ``values`` are the attributes' values in the taxonomy's order, ``sums`` (``float64 [layout.width]``) as ``Layout``
    says, ``limits`` one number per size of ``sizes`` by (figure, attribute). Of reports on unchanged windows a share
    of ``false_alarms`` has a figure over its limit.
    """

    values: Mapping[str, Sequence[str]]
    n: int
    components: int
    sums: Sums
    sizes: tuple[int, ...]
    limits: Mapping[Key, tuple[float, ...]]
    false_alarms: float

    @cached_property
    def layout(self) -> Layout:
        """Which sum stands where."""
        return Layout(self.values, self.components)

    def limit(self, figure: Key, n: int) -> float:
        """What a figure of a window of ``n`` pictures may be by chance."""
        return float(np.interp(math.log(max(n, 1)), np.log(self.sizes), self.limits[figure]))

    def __eq__(self, other: object) -> bool:
        """Equal when all numbers are."""
        return isinstance(other, Reference) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back. Counts stand in the order of the taxonomy's values."""
        plain: dict[str, Any] = {"pictures": self.n, "components": self.components, "false_alarms": self.false_alarms}
        for (what, attribute), block in self.layout.blocks.items():
            numbers = [int(number) if number.is_integer() else number for number in self.sums[block].tolist()]
            _put(plain.setdefault("sums", {}), what, attribute, numbers)
        plain["limits"] = {"sizes": list(self.sizes)}
        for (what, attribute), limits in self.limits.items():
            _put(plain["limits"], what, attribute, list(limits))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], values: Mapping[str, Sequence[str]]) -> Reference:
        """Read what ``to_dict`` wrote for a taxonomy with these values. ValueError when it does not fit them."""
        components, sizes = int(plain["components"]), tuple(int(size) for size in plain["limits"]["sizes"])
        layout = Layout(values, components)
        sums = np.zeros(layout.width)
        for (what, attribute), block in layout.blocks.items():
            numbers = np.array(_get(plain["sums"], what, attribute), dtype=np.float64)
            if numbers.shape != (block.stop - block.start,):
                raise ValueError(f"its reference has {numbers.size} numbers for {what} {attribute}".rstrip())
            sums[block] = numbers
        limits = {
            key: tuple(float(limit) for limit in _get(plain["limits"], *key))
            for key in measure_all(layout, sums[None], sums[None])
        }
        if not sizes or any(len(own) != len(sizes) for own in limits.values()) or list(sizes) != sorted(set(sizes)):
            raise ValueError("its reference has not one limit for each size of window")
        return cls(values, int(plain["pictures"]), components, sums, sizes, limits, float(plain["false_alarms"]))


def _put(plain: dict[str, Any], what: str, attribute: str, numbers: list[Any]) -> None:
    if attribute:
        plain.setdefault(what, {})[attribute] = numbers
    else:
        plain[what] = numbers


def _get(plain: Mapping[str, Any], what: str, attribute: str) -> Any:
    return plain[what][attribute] if attribute else plain[what]


def fit_reference(
    sightings: Sequence[Sighting],
    values: Mapping[str, Sequence[str]],
    groups: NDArray[np.int64],
    *,
    false_alarms: float = FALSE_ALARMS,
) -> Reference | None:
    """The reference of pictures that a bundle was not trained on; None for fewer than LEAST_GROUPS groups.

    ``values`` are those of each attribute, ``groups`` (``int64 [n]``) tells which pictures belong together: these are
    drawn together, as they arrive together. The limits come from a bootstrap: in every round both the reference and a
    window are drawn anew from ``sightings`` and compared, so that a limit covers the chance in either. A figure's limit
    is its mean plus ``c`` of its standard deviations, with one ``c`` for all figures: that which only ``false_alarms``
    of the rounds exceed in any of them (the step-down maxT idea of Westfall and Young 1993, in its single step).
    """
    own, place = np.unique(groups, return_inverse=True)
    if len(own) < LEAST_GROUPS:
        return None
    components = count_components(sightings)
    layout = Layout(values, components)
    rows = layout.encode(sightings)
    by_group = np.zeros((len(own), layout.width))
    np.add.at(by_group, place, rows)
    share = len(own) / len(sightings)
    found = [_find_limits(layout, by_group, round(size * share), false_alarms) for size in SIZES]
    limits = {key: tuple(one[key] for one in found) for key in found[0]}
    sums = np.array([float(f"{number:.{_DIGITS}g}") for number in rows.sum(axis=0)])
    return Reference(values, len(sightings), components, sums, SIZES, limits, false_alarms)


def _find_limits(layout: Layout, by_group: Sums, n_groups: int, false_alarms: float) -> dict[Key, float]:
    """The limit of every figure for windows of so many groups."""
    rounds: list[dict[Key, NDArray[np.float64]]] = [
        measure_all(layout, before, after) for before, after in _draw(by_group, max(1, n_groups))
    ]
    keys = list(rounds[0])
    figures = np.array([np.concatenate([one[key] for one in rounds]) for key in keys])  # [figures, rounds]
    known = np.isfinite(figures).any(axis=1)
    figures[~known] = 0.0  # never seen in the reference, and so not judged
    mean, spread = np.nanmean(figures, axis=1), np.nanstd(figures, axis=1)
    apart = np.divide(figures - mean[:, None], spread[:, None], out=np.zeros_like(figures), where=spread[:, None] > 0)
    worst = np.nanmax(apart, axis=0)
    allowed = mean + float(np.quantile(worst, 1 - false_alarms, method="higher")) * spread
    return {
        key: max(LEAST_CHANGE[key[0]], float(f"{limit:.{_DIGITS}g}")) for key, limit in zip(keys, allowed, strict=True)
    }


def _draw(by_group: Sums, n_groups: int) -> Iterator[tuple[Sums, Sums]]:
    """Sums of references and windows drawn from the same groups, some at a time, ROUNDS in all."""
    random = np.random.default_rng(0)
    even = np.full(len(by_group), 1 / len(by_group))
    for _ in range(ROUNDS // _AT_ONCE):
        reference = random.multinomial(len(by_group), even, size=_AT_ONCE) @ by_group
        window = random.multinomial(n_groups, even, size=_AT_ONCE) @ by_group
        yield reference, window
