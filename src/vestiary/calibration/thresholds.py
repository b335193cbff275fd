"""Thresholds: from which confidence on an answer needs no person's eye."""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.taxonomy import MISSING

TARGET_PRECISION: Final = 0.95
ASSURANCE: Final = 0.9
"""How sure it shall be that answers above a threshold reach the target on fresh products."""
MIN_ACCEPTED: Final = 20
"""A threshold is only trusted when at least this many validation products lie above it."""


def fit_threshold(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    target_precision: float = TARGET_PRECISION,
    assurance: float = ASSURANCE,
    groups: NDArray[np.int64] | None = None,
) -> float | None:
    """The least confidence above which answers are right in ``target_precision`` of the cases, for the widest coverage.

    Not the share of right answers itself must reach the target but the lower end of its one-sided Wilson interval
    (Wilson 1927) at the level ``assurance``. ``probabilities`` is ``float64 [n, values]``, ``labels`` ``int64 [n]``;
    MISSING ones are left out. ``groups`` (``int64 [n]``, from 0 on) tells products that are no independent evidence of
    each other; by default all are. None when no threshold with at least MIN_ACCEPTED answers above it gets there.
    """
    known = labels != MISSING
    confidence = probabilities[known].max(axis=1, initial=0.0)
    right = probabilities[known].argmax(axis=1) == labels[known]
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    n = np.arange(1, len(order) + 1)
    independent = n / (design_effect(right, groups[known]) if groups is not None else 1.0)
    surely_right = wilson_lower(np.cumsum(right[order]) / n, independent, assurance)
    last_of_ties = np.append(ranked[1:] < ranked[:-1], True) if len(ranked) else np.empty(0, bool)
    good = np.flatnonzero((surely_right >= target_precision) & (n >= MIN_ACCEPTED) & last_of_ties)
    return float(ranked[good[-1]]) if len(good) else None


def design_effect(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """How many products weigh as much as one independent one, at least 1 (Kish 1965).

    Products of one name are photographed, labelled and therefore answered alike, so that ``n`` of them say less about
    fresh ones than ``n`` unrelated products: the variance of their share of right answers (``bool [n]``) is larger by
    this factor.
    """
    errors = right - right.mean() if len(right) else np.zeros(0)
    squares = (errors**2).sum()
    return max(1.0, float((np.bincount(groups, weights=errors) ** 2).sum() / squares)) if squares > 0 else 1.0


def wilson_lower(share: NDArray[np.float64], n: NDArray[np.float64], assurance: float) -> NDArray[np.float64]:
    """Lower end of the one-sided Wilson interval of ``share`` out of ``n``: the true share is above it so surely."""
    z = NormalDist().inv_cdf(assurance)
    spread = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    lower: NDArray[np.float64] = (share + z**2 / (2 * n) - spread) / (1 + z**2 / n)
    return lower
