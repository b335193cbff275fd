"""From a shop's white background to clutter, as behind a customer's photo."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LIGHT = 248.0
"""The darkest that a channel of a white background is, 0..255.

On 200 white T-shirts of the Fashion Product Images the flood reaches 2 % of the middle of the picture; from 242 on it
would be 14 %, while the bright seam that JPEG leaves around a product would be narrower.
"""
SWEEPS = 8
"""How often the flood runs along all rows and columns; a nook that needs more turns than that stays white."""


def draw_clutter(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Random numbers for ``n`` backgrounds: a colour, large patches of light and small things."""
    shapes = {"clutter.colour": (3, 1, 1), "clutter.patches": (3, 4, 4), "clutter.things": (3, 12, 12)}
    return {name: torch.rand(n, *shape, generator=generator) for name, shape in shapes.items()}


def replace_background(images: Tensor, chosen: Tensor, draws: dict[str, Tensor]) -> Tensor:
    """Put clutter behind the ``chosen`` (``bool [n]``) of ``float [n, 3, height, width]`` pictures, 0..255.

    Only white that is connected to the picture's border changes, so white inside a garment stays, and a picture
    without a white border stays as it is.
    """
    numbers = torch.nonzero(chosen)[:, 0]
    if not len(numbers):
        return images
    size = list(images.shape[2:])
    colour, patches, things = (
        draws[f"clutter.{name}"][numbers].to(images.device, non_blocking=True)
        for name in ("colour", "patches", "things")
    )
    large = F.interpolate(patches, size=size, mode="bilinear", align_corners=False)
    small = F.interpolate(things, size=size, mode="nearest")
    clutter = 255 * (0.5 * colour + 0.35 * large + 0.15 * small)
    numbers = numbers.to(images.device, non_blocking=True)
    pictures = images[numbers]
    replaced = torch.where(find_background(pictures)[:, None], clutter, pictures)
    return images.index_copy(0, numbers, replaced)


def find_background(images: Tensor) -> Tensor:
    """The white of ``float [n, 3, height, width]`` pictures that is connected to their border, ``bool [n, h, w]``.

    Connected through neighbours to the left, right, above and below.
    """
    white = (images >= LIGHT).all(1)
    found = white.clone()
    found[:, 1:-1, 1:-1] = False
    for _ in range(SWEEPS):
        found = _flow(found, white)
        found = _flow(found.mT, white.mT).mT
    return found


def _flow(found: Tensor, white: Tensor) -> Tensor:
    """Spread what is found along rows through white, both ways."""
    place = torch.arange(1, white.shape[2] + 1, device=white.device)
    from_left = torch.where(found, place, 0).cummax(2).values > torch.where(white, 0, place).cummax(2).values
    place = place.flip(0)
    sources, barriers = torch.where(found, place, 0).flip(2), torch.where(white, 0, place).flip(2)
    return from_left | (sources.cummax(2).values > barriers.cummax(2).values).flip(2)
