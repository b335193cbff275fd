"""What pictures are like apart from their tags: numbers that are cheap to take while a picture is answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES: Final = 16
"""Components of a picture's place among the training pictures that are kept."""
NEAR_WHITE: Final = 240
"""The least that all three channels of a near-white pixel have, of 255."""
_LUMA: Final = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the luma of ITU-R BT.601."""
_LARGEST: Final = float(np.finfo(np.float16).max)
_STORED: Final = np.dtype("<f2")


def measure_brightness(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean luma ``float64 [n]``, 0..1, of ``uint8 [n, height, width, 3]`` pictures."""
    means = pixels.sum(axis=1, dtype=np.uint32).mean(axis=1) / (255 * pixels.shape[1])
    brightness: NDArray[np.float64] = means @ _LUMA
    return brightness


def measure_background(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share ``float64 [n]``, 0..1, of the outermost pixels of ``uint8 [n, height, width, 3]`` that are near white."""
    sides = (pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1])
    near = [(side >= NEAR_WHITE).all(axis=2) for side in sides]
    share: NDArray[np.float64] = np.concatenate(near, axis=1).mean(axis=1)
    return share


def pack_features(points: NDArray[np.float64]) -> list[bytes]:
    """The first FEATURES components of each of ``float64 [n, rank]`` places, as ``Observation.features`` keeps them."""
    kept = np.clip(points[:, :FEATURES], -_LARGEST, _LARGEST).astype(_STORED)
    return [row.tobytes() for row in kept]


def unpack_features(packed: Iterable[bytes]) -> NDArray[np.float64]:
    """``float64 [n, components]`` of what ``pack_features`` gave; ValueError when lengths differ."""
    rows = [np.frombuffer(one, dtype=_STORED) for one in packed]
    return np.stack(rows).astype(np.float64) if rows else np.empty((0, FEATURES))
