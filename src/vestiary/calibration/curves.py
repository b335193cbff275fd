"""Curves: how sure an answer is told to be, where one temperature cannot make confidences true at both ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

POINTS: Final = 5
"""Points of a curve, each from as many products."""
FOLDS: Final = 5
CERTAIN: Final = 2.0
"""By how many standard errors a curve must be better on products that it was not fitted on."""
NEAREST: Final = 1e-6
"""Confidences nearer than this to 0 or 1 have no log odds that could be told apart."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Confidences ``before`` and ``after``, both rising; between points, log odds are joined by straight lines.

    Beyond the first and the last point log odds move as far as there.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse points that are no curve."""
        for shares in (self.before, self.after):
            if not shares or not all(0 <= share <= 1 for share in shares) or list(shares) != sorted(shares):
                raise ValueError("its curve does not rise between 0 and 1")
        if len(self.before) != len(self.after):
            raise ValueError("its curve has points without a partner")

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Curve:
        """Read what a calibration wrote of it. ValueError when it is no curve."""
        return cls(*(tuple(float(share) for share in plain[key]) for key in ("before", "after")))

    def tell(self, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is told instead of confidences ``float64 [n]``."""
        at, moves = _log_odds(np.array(self.before)), _log_odds(np.array(self.after))
        own = _log_odds(confidence)
        told: NDArray[np.float64] = 1 / (1 + np.exp(-(own + np.interp(own, at, moves - at))))
        return told

    def apply(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """``float64 [n, values]`` with the best of each row moved and the others scaled to what is left.

        The best stays the best: it never falls below the second.
        """
        rows = np.arange(len(probabilities))
        best = probabilities.argmax(axis=1)
        top = probabilities[rows, best]
        rest = probabilities.copy()
        rest[rows, best] = 0.0
        left = rest.sum(axis=1)
        second = rest.max(axis=1) / np.maximum(left, NEAREST**2)
        told = np.maximum(self.tell(top), second / (1 + second) * (1 + 1e-9))
        told = np.where(left > 0, told, top)
        rest *= ((1 - told) / np.where(left > 0, left, 1.0))[:, None]
        rest[rows, best] = told
        return rest


def fit_curve(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], groups: NDArray[np.int64] | None = None
) -> Curve | None:
    """The curve through as many equal crowds as POINTS; None where it is not better than none beyond doubt.

    ``confidence`` is ``float64 [n]`` of the answers, ``right`` ``bool [n]``; ``groups`` (``int64 [n]``) tells products
    that are no independent evidence of each other. Better means a lower log loss of right and wrong on the products of
    folds that the curve was not fitted on, by CERTAIN standard errors over groups.
    """
    n = len(confidence)
    own = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    if n == 0 or own.max() + 1 < 20 * POINTS * FOLDS:
        return None
    fold = np.random.default_rng(0).permutation(own.max() + 1)[own] % FOLDS
    told = np.empty(n)
    for number in range(FOLDS):
        inside = fold != number
        told[~inside] = _draw(confidence[inside], right[inside]).tell(confidence[~inside])
    gains = np.bincount(own, _log_loss(confidence, right) - _log_loss(told, right))
    deviation = float(np.sqrt(len(gains)) * gains.std())
    return _draw(confidence, right) if gains.sum() > CERTAIN * deviation else None


def fit_shift(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Curve:
    """The curve of one point, all log odds moved alike, that makes the mean confidence the share of right answers.

    ``confidence`` is ``float64 [n]`` of the answers, ``right`` ``bool [n]``; n is not 0.
    """
    share = _share((0.0, float(right.sum()), len(right)))
    low, high = 0.0, 1.0
    for _ in range(50):
        shift = Curve((0.5,), ((low + high) / 2,))
        low, high = (low, shift.after[0]) if shift.tell(confidence).mean() > share else (shift.after[0], high)
    return shift


def _draw(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Curve:
    """Mean confidence and share of right answers in crowds of one size, in order; crowds that fall are joined."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, POINTS)
    crowds = [(float(confidence[part].sum()), float(right[part].sum()), len(part)) for part in parts]
    joined: list[tuple[float, float, int]] = []
    for crowd in crowds:
        joined.append(crowd)
        while len(joined) > 1 and _share(joined[-2]) >= _share(joined[-1]):
            last, before = joined.pop(), joined.pop()
            joined.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    means = [total / n for total, _, n in joined]
    kept = [index for index in range(len(joined)) if index == 0 or means[index] > means[index - 1] + NEAREST]
    return Curve(tuple(means[index] for index in kept), tuple(_share(joined[index]) for index in kept))


def _share(crowd: tuple[float, float, int]) -> float:
    """The share of right answers, with one more answer that is half right, so that none is certain."""
    return (crowd[1] + 0.5) / (crowd[2] + 1)


def _log_odds(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(confidence, NEAREST, 1 - NEAREST)
    odds: NDArray[np.float64] = np.log(inside / (1 - inside))
    return odds


def _log_loss(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    inside = np.clip(confidence, NEAREST, 1 - NEAREST)
    loss: NDArray[np.float64] = -np.log(np.where(right, inside, 1 - inside))
    return loss
