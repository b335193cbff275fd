"""Temperatures: how far the logits of each attribute are flattened before they become probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.calibration.hierarchy import LEAST, Combinations

COLDEST: Final = 0.05
HOTTEST: Final = 20.0

Floats = NDArray[np.float32] | NDArray[np.float64]
Labels = Mapping[str, NDArray[np.int64]]


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities ``float64 [n, values]``; rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature at which the mean confidence is the share of right answers, between COLDEST and HOTTEST.

    That is expectation consistency (Clarté et al. 2023). ``logits`` is ``float [n, values]``, ``labels`` is
    ``int64 [n]``; negative labels are left out. Without any label: 1. Confidence falls as the temperature rises, so it
    is bisected.
    """
    known = labels >= 0
    if not known.any():
        return 1.0
    scores = logits[known].astype(np.float64)
    accuracy = (scores.argmax(axis=1) == labels[known]).mean()
    low, high = COLDEST, HOTTEST
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if softmax(scores, middle).max(axis=1).mean() > accuracy else (low, middle)
    return math.sqrt(low * high)


def fit_joint_temperatures(group: Combinations, logits: Mapping[str, Floats], labels: Labels) -> dict[str, float]:
    """The temperatures of attributes that are answered together, which make their labels likeliest once they are.

    Each attribute's own temperature would count the same evidence several times over, since all of them look at the
    same picture. They are found by compass search (Kolda et al. 2003) over their logarithms. Shapes as above.
    """
    names = group.names
    powers = [math.log(fit_temperature(logits[name], labels[name])) for name in names]

    def loss(powers: list[float]) -> float:
        found = group.weigh({n: softmax(logits[n], math.exp(p)) for n, p in zip(names, powers, strict=True)})
        return sum(_negative_log_likelihood(found[name], labels[name]) for name in names)

    best, step = loss(powers), math.log(2)
    while step > 0.03:
        moves = [(index, way * step) for index in range(len(names)) for way in (1, -1)]
        before = best
        for index, move in moves:
            trial = powers.copy()
            trial[index] = min(max(trial[index] + move, math.log(COLDEST)), math.log(HOTTEST))
            found = loss(trial)
            if found < best:
                powers, best = trial, found
        if best >= before:
            step /= 2
    return {name: math.exp(power) for name, power in zip(names, powers, strict=True)}


def _negative_log_likelihood(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return 0.0
    return float(-np.log(np.maximum(probabilities[known, labels[known]], LEAST)).mean())
