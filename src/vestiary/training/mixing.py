"""Pictures mixed with one another, whole (mixup) or by a rectangle (cutmix)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vestiary.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Mix:
    """Who is mixed with whom in a batch of ``n``.

    ``partner`` (``int64 [n]``) is the number of the other picture, ``share`` (``float [n]``, 0..1) what is left of the
    own one; ``box`` is the exchanged rectangle (top, bottom, left, right; pixels) of cutmix, None for mixup.
    """

    partner: Tensor
    share: Tensor
    box: tuple[int, int, int, int] | None

    def apply(self, images: Tensor, others: Tensor, positions: Tensor) -> Tensor:
        """``images`` mixed with ``others``, both ``float [m, 3, height, width]`` and at ``positions`` of the batch."""
        if self.box is None:
            share = self.share[positions].to(images.device, non_blocking=True)[:, None, None, None]
            return share * images + (1 - share) * others
        top, bottom, left, right = self.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return mixed


def draw_mix(n: int, size: tuple[int, int], recipe: Recipe, generator: torch.Generator) -> Mix | None:
    """The mix for a batch of ``n`` pictures of ``size`` (height, width; pixels); None where nothing is mixed.

    Cutmix takes its share of batches (Yun et al. 2019, its rectangle's area drawn evenly), mixup those that are left
    (Zhang et al. 2018, with a share of its own for every picture).
    """
    if recipe.cutmix and float(torch.rand(1, generator=generator)) < recipe.cutmix:
        return _draw_rectangle(n, size, generator)
    if recipe.mixup:
        partner = torch.randperm(n, generator=generator)
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        share = torch.from_numpy(rng.beta(recipe.mixup, recipe.mixup, n).astype(np.float32))
        return Mix(partner, share, None)
    return None


def _draw_rectangle(n: int, size: tuple[int, int], generator: torch.Generator) -> Mix:
    height, width = size
    side = math.sqrt(float(torch.rand(1, generator=generator)))
    y, x = (torch.rand(2, generator=generator) * torch.tensor([height, width])).tolist()
    top, bottom = (round(min(max(y + sign * side * height / 2, 0), height)) for sign in (-1, 1))
    left, right = (round(min(max(x + sign * side * width / 2, 0), width)) for sign in (-1, 1))
    own = 1 - (bottom - top) * (right - left) / (height * width)
    return Mix(torch.randperm(n, generator=generator), torch.full((n,), own), (top, bottom, left, right))
