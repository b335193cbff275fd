"""How far apart two rows of sums are: one figure per question that the drift report answers.

Every function takes many pairs at once, ``float64 [pairs, bins]`` counts, and gives ``float64 [pairs]``: NaN for a pair
of which one side counts nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.drift.sums import CONFIDENCE, LOOKS, Key, Layout, Sums

EPSILON: Final = 1e-4
"""Least share that a bin counts with in PSI, which an empty one would make infinite: the floor that Evidently gives
empty bins (evidentlyai/evidently, calculations/stattests/utils.py)."""


def measure_psi(before: Sums, after: Sums) -> NDArray[np.float64]:
    """Population stability index, Σ (q − p) ln(q / p) (Siddiqi 2006, Credit Risk Scorecards)."""
    p, q = np.maximum(_to_shares(before), EPSILON), np.maximum(_to_shares(after), EPSILON)
    index: NDArray[np.float64] = ((q - p) * np.log(q / p)).sum(axis=1)
    return index


def measure_jensen_shannon(before: Sums, after: Sums) -> NDArray[np.float64]:
    """Jensen–Shannon distance, 0..1: the root of the divergence in bits (Lin 1991; Endres and Schindelin 2003)."""
    p, q = _to_shares(before), _to_shares(after)
    middle = (p + q) / 2
    divergence = (_weigh(p, middle) + _weigh(q, middle)) / 2
    distance: NDArray[np.float64] = np.sqrt(np.maximum(divergence, 0))
    return distance


def measure_move(before: Sums, after: Sums, step: float) -> NDArray[np.float64]:
    """How far what is counted has moved on average (Wasserstein-1), for bins that are ``step`` wide and a last sum."""
    moved = np.cumsum(_to_shares(after[:, :-1]) - _to_shares(before[:, :-1]), axis=1)
    distance: NDArray[np.float64] = step * np.abs(moved).sum(axis=1)
    return distance


def measure_rise(before: Sums, after: Sums) -> NDArray[np.float64]:
    """By how much the share of the second of two bins has grown, 0 where it has shrunk."""
    rise: NDArray[np.float64] = np.maximum(_to_shares(after)[:, 1] - _to_shares(before)[:, 1], 0)
    return rise


def measure_frechet(before: Sums, after: Sums) -> NDArray[np.float64]:
    """Fréchet distance of the normal distributions with the features' means and covariances (Dowson and Landau 1982).

    ``|m − n|² + tr(C + D − 2 (C^½ D C^½)^½)``, and the root of that: in the units of the features.
    """
    (mean, cov), (other_mean, other_cov) = _find_moments(before), _find_moments(after)
    known = np.isfinite(cov).all(axis=(1, 2)) & np.isfinite(other_cov).all(axis=(1, 2))
    result = np.full(len(before), np.nan)
    powers, axes = np.linalg.eigh(cov[known])
    root = (axes * np.sqrt(np.maximum(powers, 0))[:, None, :]) @ axes.transpose(0, 2, 1)
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_cov[known] @ root), 0)).sum(axis=1)
    traces = np.trace(cov[known] + other_cov[known], axis1=1, axis2=2)
    squared = ((mean - other_mean)[known] ** 2).sum(axis=1) + traces - 2 * cross
    result[known] = np.sqrt(np.maximum(squared, 0))
    return result


def measure_all(layout: Layout, before: Sums, after: Sums) -> dict[Key, NDArray[np.float64]]:
    """Every figure of pairs of rows ``float64 [pairs, width]``, by (figure, attribute)."""
    found: dict[Key, NDArray[np.float64]] = {}

    def pick(what: str, attribute: str = "") -> tuple[Sums, Sums]:
        block = layout.blocks[what, attribute]
        return before[:, block], after[:, block]

    for name in layout.attributes:
        found["jensen_shannon", name] = measure_jensen_shannon(*pick("values", name))
        found["psi", name] = measure_psi(*pick("values", name))
        found["confidence", name] = measure_move(*pick("confidence", name), CONFIDENCE[1] - CONFIDENCE[0])
    found["unfamiliar", ""] = measure_rise(*pick("unfamiliar"))
    if layout.components:
        found["embedding", ""] = measure_frechet(*pick("features"))
    for look, edges in LOOKS.items():
        found[look, ""] = measure_move(*pick(look), edges[1] - edges[0])
    return found


def _to_shares(counts: Sums) -> Sums:
    totals = counts.sum(axis=1, keepdims=True)
    shares: Sums = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    return shares


def _weigh(p: Sums, middle: Sums) -> NDArray[np.float64]:
    """Kullback–Leibler divergence of ``p`` from ``middle`` in bits; NaN rows stay NaN."""
    ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
    divergence: NDArray[np.float64] = (p * np.log2(ratio)).sum(axis=1)
    return divergence


def _find_moments(sums: Sums) -> tuple[Sums, Sums]:
    """Means ``[pairs, components]`` and covariances ``[pairs, components, components]``; NaN of fewer than two."""
    components = int(np.sqrt(sums.shape[1]))  # 1 + c + c² lies between c² and (c + 1)²
    n = np.where(sums[:, :1] > 1, sums[:, :1], np.nan)
    mean = sums[:, 1 : 1 + components] / n
    products = (sums[:, 1 + components :] / n).reshape(-1, components, components)
    return mean, products - mean[:, :, None] * mean[:, None, :]
