"""Where in a picture the model saw a value: the model's own class map, as numbers and over the photo."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vestiary.images import Limits, Preprocess, read_picture
from vestiary.predictor.session import Predictor
from vestiary.tags import Failure

LONGEST: Final = 1024
"""Pixels of the longer side of a heat map at most."""
_COLOURS: Final = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=np.float64
)
"""Dark to light over the photo, told apart by colour-blind readers too: five colours of viridis (CC0)."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Explained:
    """The value explained and its confidence, and where it was seen.

    ``grid`` is ``float64 [h, w]``, 0..1, over the model's input; ``box`` is what of the picture the grid covers, in
    shares of its width and height.
    """

    value: str
    confidence: float
    grid: NDArray[np.float64]
    box: Box


def explain(predictor: Predictor, data: bytes, attribute: str, value: str | None) -> Explained | Failure:
    """The class map of one value (None: the predicted one) of an attribute, for one encoded picture.

    ``attribute`` and ``value`` must be in the bundle's taxonomy. A picture that cannot be read gives its Failure.
    UsageError for an attribute without class maps in the model.
    """
    prepared = predictor.prepare("", data)
    [prediction] = predictor.answer([prepared], top_k=len(predictor.bundle.taxonomy[attribute].values))
    if prediction.failure or prepared.pixels is None or prepared.size is None:
        return prediction.failure or Failure("damaged", "The picture cannot be decoded.")
    tag = next(tag for tag in prediction.tags if tag.attribute == attribute)
    chosen = tag.value if value is None else value
    confidence = dict([(tag.value, tag.confidence), *tag.runners_up])[chosen]
    grid = predictor.explain([prepared.pixels], attribute, chosen)[0].astype(np.float64)
    low, high = float(grid.min()), float(grid.max())
    scaled = (grid - low) / (high - low) if high > low else np.zeros_like(grid)
    return Explained(chosen, confidence, scaled, _find_box(predictor.bundle.preprocess, prepared.size))


def _find_box(preprocess: Preprocess, size: tuple[int, int]) -> Box:
    """The model's input in shares of the picture that lies in its middle; outside 0..1 is background."""
    scale = min(preprocess.width / size[0], preprocess.height / size[1])
    margins = (preprocess.width / (scale * size[0]) - 1) / 2, (preprocess.height / (scale * size[1]) - 1) / 2
    return -margins[0], -margins[1], 1 + margins[0], 1 + margins[1]


def draw_over(explained: Explained, data: bytes, limits: Limits) -> bytes:
    """A PNG of the photo with the map over it: brighter and yellower where the value was seen."""
    photo = read_picture(data, limits=limits, size_hint=(LONGEST, LONGEST)).image.convert("L")
    photo.thumbnail((LONGEST, LONGEST))
    left, top, right, bottom = explained.box
    map_image = Image.fromarray((255 * explained.grid).astype(np.uint8))
    w, h = map_image.size
    x, y = max(0.0, -left * w / (right - left)), max(0.0, -top * h / (bottom - top))  # the margins are alike
    seen = map_image.resize(photo.size, Image.Resampling.BICUBIC, box=(x, y, w - x, h - y))
    heat = np.asarray(seen, dtype=np.float64) / 255
    stops = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(heat, stops, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
    grey = np.asarray(photo, dtype=np.float64)[..., None]
    mixed = 0.45 * grey + 0.55 * colours
    buffer = io.BytesIO()
    Image.fromarray(mixed.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
