"""Augmentation of a whole batch at once: mirror, move, scale, turn, tilt, crop, new background, blank out.

What is random is drawn first, for all pictures of a step, and then applied to any part of them: the outcome does not
depend on how a step is shared out. Only ``lighting`` changes a garment's colours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vestiary.training.background import draw_clutter, replace_background
from vestiary.training.recipe import Recipe

WHITE = 255.0

Draws = dict[str, Tensor]
"""Random numbers in 0..1 by purpose; the first dimension of each counts the pictures."""


def draw_changes(n: int, recipe: Recipe, generator: torch.Generator) -> Draws:
    """The random numbers that ``augment`` needs for ``n`` pictures; the same generator state gives the same ones."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator)

    draws = {"flip": draw(), "zoom": draw(2), "rotate": draw(), "shift": draw(2)}
    if recipe.erase:
        draws |= {"erase": draw(), "erase.size": draw(2), "erase.corner": draw(2)}
    if recipe.crop:
        draws["crop"] = draw(4)
    if recipe.perspective:
        draws["perspective"] = draw(8)
    if recipe.lighting:
        draws["lighting"] = draw(2)
    if recipe.background:
        draws |= {"background": draw()} | draw_clutter(n, generator)
    return draws


def augment(images: Tensor, recipe: Recipe, draws: Draws) -> Tensor:
    """Change ``float [n, 3, height, width]`` pictures (0..255) as drawn; what comes in from outside is white."""
    theta = _make_affine(draws, recipe, aspect=images.shape[2] / images.shape[3])
    if recipe.crop:
        theta = _crop(theta, draws["crop"], recipe.crop)
    if recipe.perspective:
        homography = _tilt(draws["perspective"], recipe.perspective)
        grid = _make_tilted_grid(
            theta.to(images.device, non_blocking=True),
            homography.to(images.device, non_blocking=True),
            list(images.shape[2:]),
        )
    else:
        grid = F.affine_grid(theta.to(images.device, non_blocking=True), list(images.shape), align_corners=False)
    moved = F.grid_sample(images - WHITE, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + WHITE
    if recipe.background:
        moved = replace_background(moved, draws["background"] < recipe.background, draws)
    if recipe.lighting:
        moved = _light(moved, draws["lighting"].to(images.device, non_blocking=True), recipe.lighting)
    return _erase(moved, draws, recipe.erase) if recipe.erase else moved


def _spread(drawn: Tensor, spread: float) -> Tensor:
    """From 0..1 to −spread..spread."""
    return (drawn * 2 - 1) * spread


def _make_affine(draws: Draws, recipe: Recipe, *, aspect: float) -> Tensor:
    """From places in the result to places in the picture, both −1..1: ``float [n, 2, 3]``."""
    mirror = torch.where(draws["flip"] < recipe.flip, -1.0, 1.0)
    scale = 1 + _spread(draws["zoom"], recipe.zoom)
    angle = _spread(draws["rotate"], math.radians(recipe.rotate))
    move = _spread(draws["shift"], 2 * recipe.shift)  # from -1 to 1, so a share of the side counts double
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack(
        [
            torch.stack([cos * scale[:, 0] * mirror, -sin * aspect * scale[:, 1], move[:, 0]], 1),
            torch.stack([sin / aspect * scale[:, 0] * mirror, cos * scale[:, 1], move[:, 1]], 1),
        ],
        1,
    )


def _crop(theta: Tensor, drawn: Tensor, most: float) -> Tensor:
    """Look only at a rectangle inside the picture, of 1 − ``most`` to all of its area and 3:4 to 4:3 of its shape."""
    area = 1 - most * drawn[:, 0]
    stretch = torch.exp(_spread(drawn[:, 1], math.log(4 / 3) / 2))
    # a side beyond the picture's own is cut to it, and the other one keeps the area
    width = (area.sqrt() * stretch).clamp(max=1).maximum(area)
    side = torch.stack([width, area / width], 1)
    centre = _spread(drawn[:, 2:], 1.0) * (1 - side)
    matrix = theta[:, :, :2]
    moved = theta[:, :, 2] + (matrix @ centre[:, :, None])[:, :, 0]
    return torch.cat([matrix * side[:, None, :], moved[:, :, None]], 2)


def _tilt(drawn: Tensor, most: float) -> Tensor:
    """The homographies, ``float [n, 3, 3]``, that move each corner as drawn and keep straight lines straight.

    Their eight numbers solve the usual linear system of four corners (Hartley & Zisserman 2004, section 4.1).
    """
    n = len(drawn)
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).expand(n, 4, 2)
    targets = corners + _spread(drawn, 2 * most).reshape(n, 4, 2)
    x, y, u, v = corners[..., 0], corners[..., 1], targets[..., 0], targets[..., 1]
    one, none = torch.ones_like(x), torch.zeros_like(x)
    rows_u = torch.stack([x, y, one, none, none, none, -u * x, -u * y], 2)
    rows_v = torch.stack([none, none, none, x, y, one, -v * x, -v * y], 2)
    numbers = torch.linalg.solve(torch.cat([rows_u, rows_v], 1), torch.cat([u, v], 1))
    return torch.cat([numbers, torch.ones(n, 1)], 1).reshape(n, 3, 3)


def _make_tilted_grid(theta: Tensor, homography: Tensor, size: list[int]) -> Tensor:
    """Places to look at, ``float [n, height, width, 2]``: tilted first, then moved by ``theta``."""
    identity = torch.eye(2, 3, device=theta.device)[None]
    straight = F.affine_grid(identity, [1, 1, *size], align_corners=False).reshape(1, -1, 2)
    tilted = F.pad(straight, (0, 1), value=1.0) @ homography.mT
    tilted = F.pad(tilted[..., :2] / tilted[..., 2:], (0, 1), value=1.0)
    return (tilted @ theta.mT).reshape(len(theta), *size, 2)


def _light(images: Tensor, drawn: Tensor, most: float) -> Tensor:
    """Change brightness, then contrast around the picture's mean."""
    brightness, contrast = (1 + _spread(drawn[:, column], most)[:, None, None, None] for column in (0, 1))
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    return (mean + (images - mean) * contrast).clamp(0, WHITE)


def _erase(images: Tensor, draws: Draws, chance: float) -> Tensor:
    """Blank one rectangle of a quarter to a half of each side in some of the pictures, in the picture's mean colour."""
    height, width = images.shape[2:]
    drawn = {name: draws[name].to(images.device, non_blocking=True) for name in ("erase", "erase.size", "erase.corner")}
    chosen = drawn["erase"][:, None] < chance
    size = 0.25 + 0.25 * drawn["erase.size"]
    corner = drawn["erase.corner"] * (1 - size)
    y, x = (torch.arange(side, device=images.device) / side for side in (height, width))
    inside_y = (y >= corner[:, :1]) & (y < corner[:, :1] + size[:, :1]) & chosen
    inside_x = (x >= corner[:, 1:]) & (x < corner[:, 1:] + size[:, 1:])
    hole = inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return torch.where(hole, images.mean((2, 3), keepdim=True), images)
