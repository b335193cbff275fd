"""Attention on a map of features: which channels matter and, with CBAM, also which places."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole picture holds (squeeze-and-excitation, Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(channels // reduction, 8))
        self.excite = nn.Linear(max(channels // reduction, 8), channels)

    def forward(self, x: Tensor) -> Tensor:
        """``float [n, channels, h, w]`` of the same shape."""
        return x * torch.sigmoid(self.score(x.mean((2, 3))))[:, :, None, None]

    def score(self, pooled: Tensor) -> Tensor:
        """The weights of the channels before their sigmoid, from ``float [n, channels]`` of the same shape."""
        scores: Tensor = self.excite(F.relu(self.squeeze(pooled)))
        return scores


class Cbam(nn.Module):
    """Weighs channels by their means and maxima, then places by theirs (Woo et al. 2018, section 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = SqueezeExcite(channels)
        self.places = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``float [n, channels, h, w]`` of the same shape."""
        scores = self.channels.score(x.mean((2, 3))) + self.channels.score(x.amax((2, 3)))
        x = x * torch.sigmoid(scores)[:, :, None, None]
        return x * torch.sigmoid(self.places(torch.stack([x.mean(1), x.amax(1)], 1)))


def make_attention(kind: str, channels: int) -> nn.Module:
    """The attention that a recipe names: none, se or cbam."""
    if kind == "none":
        return nn.Identity()
    return Cbam(channels) if kind == "cbam" else SqueezeExcite(channels)
