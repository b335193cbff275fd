"""Conformal sets: the values that must be told so that the true one is among them as often as promised.

Split conformal prediction with the least ambiguous sets (Sadinle, Lei and Wasserman 2019): a value is a candidate when
its probability reaches a limit, and the limit is a quantile of what the true values of the validation products got.
The guarantee: for a fresh product that is exchangeable with these, the true value is a candidate with at least the
promised probability, on average over products and over draws of the validation split. It is no promise about one
value, one season or one shop, and none at all for photos of another kind. The temperatures were fitted on the same
products, which the theory does not cover; docs/decisions/0011 tells how little that mattered when it was measured.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.taxonomy import MISSING

SET_COVERAGE: Final = 0.9


def fit_limit(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, coverage: float = SET_COVERAGE
) -> float:
    """The least probability of a candidate, so that ``coverage`` of fresh true values are candidates.

    ``probabilities`` is ``float64 [n, values]``, ``labels`` ``int64 [n]``: MISSING ones are left out, UNKNOWN ones are
    never among the candidates. 0, which makes every value a candidate, when there are too few products for more.
    """
    known = np.flatnonzero(labels != MISSING)
    true = np.where(labels[known] >= 0, probabilities[known, np.maximum(labels[known], 0)], 0.0)
    rank = math.ceil((len(known) + 1) * coverage - 1e-9)
    return float(np.sort(true)[::-1][rank - 1]) if rank <= len(known) else 0.0


def find_candidates(probabilities: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Which values are candidates, ``bool [n, values]``: those that reach the limit, and the best one in any case."""
    found: NDArray[np.bool_] = probabilities >= np.minimum(limit, probabilities.max(axis=1, keepdims=True))
    return found
