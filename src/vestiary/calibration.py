"""From raw model scores to confidences that mean something, and to the decision whether a person must look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vestiary.taxonomy import MISSING

TARGET_PRECISION: Final = 0.95
MIN_ACCEPTED: Final = 20
"""A threshold is only trusted when at least this many validation pictures lie above it."""

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Per attribute name: a temperature that logits are divided by, and the least confidence that is accepted.

    A threshold of None means that no threshold reached the target precision, so a person always looks.
    """

    temperatures: Mapping[str, float]
    thresholds: Mapping[str, float | None]
    target_precision: float = TARGET_PRECISION

    @classmethod
    def neutral(cls, names: tuple[str, ...]) -> Calibration:
        """Temperature 1, nothing accepted: what a model has before it is calibrated."""
        return cls(dict.fromkeys(names, 1.0), dict.fromkeys(names))

    def probabilities(self, attribute: str, logits: Floats) -> NDArray[np.float64]:
        """Calibrated probabilities ``float64 [n, values]`` of logits ``float [n, values]``."""
        return softmax(logits, self.temperatures[attribute])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        return {
            "temperatures": dict(self.temperatures),
            "thresholds": dict(self.thresholds),
            "target_precision": self.target_precision,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Calibration:
        """Read what ``to_dict`` wrote."""
        return cls(
            temperatures={name: float(value) for name, value in plain["temperatures"].items()},
            thresholds={name: None if value is None else float(value) for name, value in plain["thresholds"].items()},
            target_precision=float(plain["target_precision"]),
        )


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities ``float64 [n, values]``; rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def decide(*, confidence: float, threshold: float | None) -> bool:
    """Whether a tag is accepted. 1: no threshold, never. 2: otherwise when the confidence reaches it."""
    return threshold is not None and confidence >= threshold


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature that makes the labels most likely (Guo et al. 2017), between 0.05 and 20.

    ``logits`` is ``float [n, values]``, ``labels`` is ``int64 [n]``; negative labels are left out. Without any label:
    1. The negative log-likelihood is convex in 1/temperature, so its derivative is bisected.
    """
    known = labels >= 0
    if not known.any():
        return 1.0
    scores, targets = logits[known].astype(np.float64), labels[known]
    own = scores[np.arange(len(targets)), targets]

    def slope(inverse: float) -> float:
        return float(((softmax(scores, 1 / inverse) * scores).sum(axis=1) - own).mean())

    low, high = 1 / 20, 1 / 0.05
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 1 / math.sqrt(low * high)


def fit_threshold(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, target_precision: float = TARGET_PRECISION
) -> float | None:
    """The least confidence above which answers are right in ``target_precision`` of the cases, for the widest coverage.

    ``probabilities`` is ``float64 [n, values]``, ``labels`` ``int64 [n]``; MISSING ones are left out. None when no
    threshold with at least MIN_ACCEPTED answers above it gets there.
    """
    known = labels != MISSING
    confidence = probabilities[known].max(axis=1, initial=0.0)
    right = probabilities[known].argmax(axis=1) == labels[known]
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_ties = np.append(ranked[1:] < ranked[:-1], True) if len(ranked) else np.empty(0, bool)
    enough = np.arange(1, len(order) + 1) >= MIN_ACCEPTED
    good = np.flatnonzero((accuracy >= target_precision) & enough & last_of_ties)
    return float(ranked[good[-1]]) if len(good) else None


def calibrate(
    logits: Mapping[str, Floats],
    labels: Mapping[str, NDArray[np.int64]],
    *,
    target_precision: float = TARGET_PRECISION,
) -> Calibration:
    """Temperatures and thresholds of every attribute, from validation logits and labels (shapes as above)."""
    temperatures = {name: fit_temperature(scores, labels[name]) for name, scores in logits.items()}
    thresholds = {
        name: fit_threshold(softmax(scores, temperatures[name]), labels[name], target_precision=target_precision)
        for name, scores in logits.items()
    }
    return Calibration(temperatures, thresholds, target_precision)
