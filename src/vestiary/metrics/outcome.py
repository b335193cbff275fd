"""What a bundle answered about one attribute, beside the labels: the arrays that every figure is taken from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vestiary.taxonomy import MISSING


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Answers about ``n`` products.

    ``labels`` is ``int64 [n]``: output indices, MISSING without a label, UNKNOWN for one that no value fits.
    ``probabilities`` (``float64 [n, values]``) and ``answers`` (``int64 [n]``) are what the user is told; ``raw`` are
    the probabilities before calibration, where they are known. ``accepted`` is ``bool [n]``, None where nothing was
    decided about acceptance.
    """

    attribute: str
    values: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    answers: NDArray[np.int64]
    accepted: NDArray[np.bool_] | None = None
    raw: NDArray[np.float64] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which products have a label, ``bool [n]``."""
        known: NDArray[np.bool_] = self.labels != MISSING
        return known

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which answers are the label, ``bool [n]``."""
        right: NDArray[np.bool_] = self.answers == self.labels
        return right

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of each answer, ``float64 [n]``."""
        confidence: NDArray[np.float64] = np.take_along_axis(self.probabilities, self.answers[:, None], axis=1)[:, 0]
        return confidence

    def select(self, rows: NDArray[np.bool_]) -> Outcome:
        """The outcome of the products for which ``rows`` (``bool [n]``) is true."""
        return replace(
            self,
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            answers=self.answers[rows],
            accepted=None if self.accepted is None else self.accepted[rows],
            raw=None if self.raw is None else self.raw[rows],
        )
