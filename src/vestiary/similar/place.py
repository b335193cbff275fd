"""Where pictures are among each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vestiary.bundle import Bundle

ANSWERS: Final = 1.5
"""How much the answers count beside the embedding; chosen on validation, see docs/guides/similar.md."""


def locate(bundle: Bundle, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Where pictures are among each other, ``float32 [n, dimensions]``, each of length 1.

    ``outputs`` are those of ``Predictor.outputs``. A point is the embedding, scaled to length 1, beside ANSWERS times
    the square roots of the probabilities of all values of all attributes, scaled alike. So the cosine of two points is
    ``(cos + ANSWERS² · b) / (1 + ANSWERS²)``: the cosine of their embeddings, which tells how they look, and ``b``,
    the mean over the attributes of Bhattacharyya's coefficient (1943) of the two answers, 1 for equal ones.
    """
    answers = bundle.answer(outputs)
    roots = [np.sqrt(answers[name].probabilities) for name in bundle.taxonomy.names]
    parts = [_scale(outputs["embedding"]), ANSWERS * _scale(np.concatenate(roots, axis=1))]
    return _scale(np.concatenate(parts, axis=1)).astype(np.float32)


def _scale(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays one."""
    wide = rows.astype(np.float64)
    scaled: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return scaled
