"""Intervals by drawing groups of products anew: designs vary, products of one design go together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1000
SEED: Final = 42
LEVEL: Final = 0.95

_BLOCK = 100

Interval = tuple[float, float]
Figure = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Resamples:
    """Products drawn anew, group by group and with replacement, RESAMPLES times from SEED.

    The cluster bootstrap of Davison & Hinkley (1997, section 3.8) with percentile intervals: products of one group
    share a design, so drawing single products would make every interval too narrow. Values with a handful of products
    fall out of some resamples, which lifts the intervals of macro figures a little.
    """

    def __init__(self, groups: Sequence[str], *, n: int = RESAMPLES, seed: int = SEED) -> None:
        """Draw how often each of the distinct ``groups`` occurs in each resample; ``groups`` has one per product."""
        names, self._group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        size = len(names)
        rng = np.random.default_rng(seed)
        self.n = n
        self._times = rng.multinomial(size, np.full(size, 1 / size), size=n) if size else np.zeros((n, 0))

    def interval(self, columns: NDArray[np.float64], figure: Figure) -> Interval | None:
        """The 95 % interval of a figure of column sums; None when no resample has it.

        ``columns`` is ``float64 [products, k]``, zero for products that do not count; ``figure`` turns sums
        ``float64 [resamples, k]`` into values ``float64 [resamples]``, NaN where there is nothing to divide by.
        """
        per_group = np.zeros((self._times.shape[1], columns.shape[1]))
        np.add.at(per_group, self._group_of, columns)
        found = []
        for start in range(0, self.n, _BLOCK):
            found.append(figure(self._times[start : start + _BLOCK].astype(np.float64) @ per_group))
        told = np.concatenate(found)
        told = told[~np.isnan(told)]
        if not len(told):
            return None
        low, high = np.quantile(told, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    def share(self, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Interval | None:
        """The 95 % interval of the share of ``part`` in ``whole``, both ``bool [products]``."""
        columns = np.stack([part, whole], axis=1).astype(np.float64)
        return self.interval(columns, lambda sums: divide(sums[:, 0], sums[:, 1]))


def divide(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """The quotient ``float64 [n]``, NaN where there is nothing to divide by."""
    quotient: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return quotient
