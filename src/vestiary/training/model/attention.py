"""Attention on a map of features: what to look at, and with CBAM also where."""

from __future__ import annotations

import torch
from torch import Tensor, nn

REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Every channel is scaled by a factor that depends on the means of all of them (Hu et al. 2018, section 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = _make_gate(channels)

    def forward(self, features: Tensor) -> Tensor:
        """``float [n, channels, h, w]`` → the same."""
        return features * torch.sigmoid(self.gate(features.mean((2, 3))))[:, :, None, None]


class Cbam(nn.Module):
    """Channels are scaled by their means and maxima, then locations by theirs (Woo et al. 2018, section 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = _make_gate(channels)
        self.place = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """``float [n, channels, h, w]`` → the same."""
        weights = self.gate(features.mean((2, 3))) + self.gate(features.amax((2, 3)))
        features = features * torch.sigmoid(weights)[:, :, None, None]
        seen = torch.stack([features.mean(1), features.amax(1)], 1)
        return features * torch.sigmoid(self.place(seen))


def _make_gate(channels: int) -> nn.Sequential:
    hidden = max(1, channels // REDUCTION)
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))


def make_attention(kind: str, channels: int) -> nn.Module:
    """The attention that a recipe names: none, se or cbam."""
    return {"none": nn.Identity, "se": SqueezeExcitation, "cbam": Cbam}[kind](channels)
