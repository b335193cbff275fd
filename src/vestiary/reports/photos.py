"""What a report shows of pictures: their product's colour, and small copies of them."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vestiary.catalogue import Source
from vestiary.errors import VestiaryError
from vestiary.images import DEFAULT_LIMITS, Limits, read_picture

THUMBNAIL = (90, 120)
"""Largest width and height of a small copy, in pixels."""

_JPEG_END = b"\xff\xd9"
"""Marks the end of a JPEG, so that one that was cut short is drawn as far as it goes; other formats pass over it."""

_BACKGROUND_DISTANCE = 14
_LEAST_SHARE = 0.02


def load_small(source: Source, name: str, size: tuple[int, int] = THUMBNAIL) -> Image.Image | None:
    """The picture, upright and RGB, scaled down to fit in ``size`` (width, height); None when it cannot be read."""
    try:
        return _shrink(source.read(name), size, DEFAULT_LIMITS)
    except VestiaryError:
        return None


def load_broken(source: Source, name: str, size: tuple[int, int] = THUMBNAIL) -> Image.Image | None:
    """As ``load_small`` for a refused picture: also a tiny one, and of a JPEG cut short the part that is there."""
    try:
        return _shrink(source.read(name) + _JPEG_END, size, Limits(min_side=1))
    except VestiaryError:
        return None


def _shrink(data: bytes, size: tuple[int, int], limits: Limits) -> Image.Image:
    image = read_picture(data, limits=limits, size_hint=(2 * size[0], 2 * size[1])).image
    image.thumbnail(size, Image.Resampling.LANCZOS)
    return image


def to_data_url(image: Image.Image) -> str:
    """The picture as a JPEG inside a ``data:`` URL."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def measure_colour(image: Image.Image) -> tuple[float, float, float] | None:
    """Typical red, green and blue (0..255) of the product in an RGB picture; None when nothing stands out.

    The background is the median colour of the border; what lies within a small distance of it is left out, and so is
    the outer sixth on every side, where models' arms and stands are. Of the rest the median is taken per channel: a
    mean would be washed out by soft edges, skin and print.
    """
    pixels = np.asarray(image, dtype=np.int16)
    distance = np.abs(pixels - _border_colour(pixels)).max(axis=2)
    height, width = distance.shape
    inner = (slice(height // 6, height - height // 6), slice(width // 6, width - width // 6))
    product = pixels[inner][distance[inner] > _BACKGROUND_DISTANCE]
    if len(product) < _LEAST_SHARE * distance.size:
        return None
    red, green, blue = (float(part) for part in np.median(product, axis=0))
    return red, green, blue


def _border_colour(pixels: NDArray[np.int16]) -> NDArray[np.int16]:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour: NDArray[np.int16] = np.median(border, axis=0).astype(np.int16)
    return colour
