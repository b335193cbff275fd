"""Augmentation of a whole batch at once: mirror, move, scale, turn, blank out, mix. Colour is left alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vestiary.training.recipe import Recipe

WHITE = 255.0


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Change ``float [n, 3, height, width]`` pictures (0..255) at random; what comes in from outside is white.

    The same generator state gives the same result.
    """
    n, device = len(images), images.device

    def draw(spread: float, columns: int = 1) -> Tensor:
        return ((torch.rand(n, columns, generator=generator) * 2 - 1) * spread).to(device)

    mirror = torch.where(torch.rand(n, generator=generator).to(device) < recipe.flip, -1.0, 1.0)
    scale = 1 + draw(recipe.zoom, 2)
    angle = draw(math.radians(recipe.rotate))[:, 0]
    move = draw(2 * recipe.shift, 2)  # grid coordinates run from -1 to 1, so a share of the side counts double
    aspect = images.shape[2] / images.shape[3]
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.stack(
        [
            torch.stack([cos * scale[:, 0] * mirror, -sin * aspect * scale[:, 1], move[:, 0]], 1),
            torch.stack([sin / aspect * scale[:, 0] * mirror, cos * scale[:, 1], move[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images - WHITE, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + WHITE
    return _erase(moved, recipe.erase, generator) if recipe.erase else moved


def _erase(images: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Blank one rectangle of a quarter to a half of each side in some of the pictures, in the picture's mean colour."""
    n, _, height, width = images.shape
    chosen = torch.rand(n, 1, generator=generator) < chance
    size = 0.25 + 0.25 * torch.rand(n, 2, generator=generator)
    corner = torch.rand(n, 2, generator=generator) * (1 - size)
    y, x = torch.arange(height) / height, torch.arange(width) / width
    inside_y = (y >= corner[:, :1]) & (y < corner[:, :1] + size[:, :1]) & chosen
    inside_x = (x >= corner[:, 1:]) & (x < corner[:, 1:] + size[:, 1:])
    hole = (inside_y[:, None, :, None] & inside_x[:, None, None, :]).to(images.device)
    return torch.where(hole, images.mean((2, 3), keepdim=True), images)


def cut_and_mix(
    images: Tensor, chance: float, generator: torch.Generator
) -> tuple[Tensor, tuple[Tensor, float] | None]:
    """Give every picture of a batch a rectangle of another one, in a share ``chance`` of batches (Yun et al. 2019).

    The pictures, and with them the number in the batch of the picture that each got a piece of (``int64 [n]``) and the
    share of its own area that is left, 0..1; None where nothing was exchanged. The share is drawn evenly.
    """
    n, _, height, width = images.shape
    if not chance or float(torch.rand(1, generator=generator)) >= chance:
        return images, None
    side = math.sqrt(float(torch.rand(1, generator=generator)))
    y, x = (torch.rand(2, generator=generator) * torch.tensor([height, width])).tolist()
    top, bottom = (round(min(max(y + sign * side * height / 2, 0), height)) for sign in (-1, 1))
    left, right = (round(min(max(x + sign * side * width / 2, 0), width)) for sign in (-1, 1))
    other = torch.randperm(n, generator=generator).to(images.device)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[other][:, :, top:bottom, left:right]
    return mixed, (other, 1 - (bottom - top) * (right - left) / (height * width))
