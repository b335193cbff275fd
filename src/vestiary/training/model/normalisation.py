"""What pictures are normalised by before the backbone sees them: part of the network, and so of the exported graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of red, green and blue, on a scale of 0..255."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def from_processor(cls, plain: Mapping[str, Any]) -> Normalisation:
        """From the ``preprocessor_config.json`` that is published with a model. ValueError when it makes no sense.

        EfficientNet's processor divides by the deviation twice (``include_top``) and may move the zero first
        (``rescale_offset``).
        """
        scale = float(plain.get("rescale_factor", 1 / 255)) if plain.get("do_rescale", True) else 1.0
        mean, deviation = (0.0,) * 3, (1.0,) * 3
        if plain.get("do_normalize", True):
            mean = _three(plain.get("image_mean", IMAGENET_MEAN))
            deviation = _three(plain.get("image_std", IMAGENET_DEVIATION))
        if plain.get("include_top", str(plain.get("image_processor_type", "")).startswith("EfficientNet")):
            deviation = _three([own**2 for own in deviation])
        offset = 1.0 if plain.get("rescale_offset", False) else 0.0
        if scale <= 0 or min(deviation) <= 0:
            raise ValueError("a scale or deviation of 0 or less")
        return cls(tuple((own + offset) / scale for own in mean), tuple(own / scale for own in deviation))


def _three(numbers: Any) -> tuple[float, float, float]:
    red, green, blue = [numbers] * 3 if isinstance(numbers, int | float) else numbers
    return float(red), float(green), float(blue)


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's training pictures on a scale of 0..1."""

IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
