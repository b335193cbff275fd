"""How far confidence can be trusted: calibration error, reliability, risk against coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ECE_BINS: Final = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """``n`` answers whose confidence lies in ``low`` to ``high``: their mean confidence and their accuracy, 0..1."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The share of wrong answers (``risk``) among the surest ``coverage`` of all, both ``float64 [points]``, 0..1.

    ``area`` is the mean risk over all coverages, AURC (Geifman, Uziel & El-Yaniv 2019): 0 is best.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    area: float

    def coverage_at(self, accuracy: float) -> float:
        """The widest coverage at which at least this share of the answers is right, 0..1; 0 when there is none."""
        good = np.flatnonzero(1 - self.risk >= accuracy)
        return float(self.coverage[good[-1]]) if len(good) else 0.0


def expected_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, weighted by their size (Guo et al. 2017); 0..1."""
    gaps = np.bincount(_bins(confidence), weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def bin_reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """The bins of the reliability diagram that hold an answer, from the least confidence to the most."""
    bins = _bins(confidence)
    n = np.bincount(bins, minlength=ECE_BINS)
    sure = np.bincount(bins, weights=confidence, minlength=ECE_BINS)
    good = np.bincount(bins, weights=right, minlength=ECE_BINS)
    return tuple(
        ReliabilityBin(own / ECE_BINS, (own + 1) / ECE_BINS, int(n[own]), float(sure[own] / n[own]), good[own] / n[own])
        for own in range(ECE_BINS)
        if n[own]
    )


def trace_risk_coverage(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> RiskCoverage:
    """Risk at every coverage that a threshold can give; answers of equal confidence are taken or left together."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    taken = np.arange(1, len(order) + 1)
    risk = np.cumsum(~right[order]) / taken
    last = np.append(ranked[1:] < ranked[:-1], True) if len(ranked) else np.empty(0, dtype=bool)
    coverage = taken[last] / max(len(order), 1)
    area = float((risk[last] * np.diff(coverage, prepend=0.0)).sum())
    return RiskCoverage(coverage, risk[last], area)


def _bins(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    bins: NDArray[np.int64] = np.clip((confidence * ECE_BINS).astype(np.int64), 0, ECE_BINS - 1)
    return bins
