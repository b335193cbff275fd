"""One network: backbone, attention, pooling, neck, and a head per attribute."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vestiary.taxonomy import Taxonomy
from vestiary.training.model.attention import make_attention
from vestiary.training.model.backbone import build_backbone
from vestiary.training.recipe import Recipe


class Classifier(nn.Module):
    """Backbone, attention, mean over locations, its norm, hidden layers for all, then a head per attribute.

    Heads are linear, all in one matrix, unless the recipe gives an attribute a hidden layer of its own. Raises what
    ``build_backbone`` raises.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, recipe: Recipe, taxonomy: Taxonomy) -> None:
        super().__init__()
        built = build_backbone(recipe)
        self.backbone, self.origin = built.network, built.origin
        self.attention = make_attention(recipe.attention, self.backbone.channels)
        self.dropout = nn.Dropout(recipe.dropout)
        widths = [self.backbone.channels, *recipe.neck]
        self.neck = nn.ModuleList([nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths)])
        self.sizes = [len(attribute.values) for attribute in taxonomy.attributes]
        self.heads: nn.Linear | nn.ModuleList
        if recipe.head_widths:
            own = [recipe.head_widths.get(name) for name in taxonomy.names]
            self.heads = nn.ModuleList([_make_head(widths[-1], *entry) for entry in zip(own, self.sizes, strict=True)])
        else:
            self.heads = nn.Linear(widths[-1], sum(self.sizes))
        for name in ("mean", "deviation"):
            numbers = torch.tensor(getattr(built.normalisation, name))[:, None, None]
            self.register_buffer(name, numbers, persistent=False)

    def describe(self) -> str:
        """One line for people: kind and size of the backbone, and where its weights come from."""
        size = sum(parameter.numel() for parameter in self.backbone.parameters())
        return f"backbone {self.backbone.kind}, {size / 1e6:.1f} million parameters: {self.origin}"

    def train(self, mode: bool = True) -> Self:
        """As for any module, but a backbone that is held still keeps the statistics of its norms."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def features(self, pixels: Tensor) -> Tensor:
        """``float [n, 3, height, width]`` in 0..255 → ``float [n, channels, h, w]``, attention applied."""
        features: Tensor = self.attention(self.backbone((pixels - self.mean) / self.deviation))
        return features

    def embed(self, features: Tensor) -> Tensor:
        """The mean over locations, ``float [n, channels]``, normalised where the backbone has a norm for it."""
        pooled = features.mean((2, 3))
        return pooled if self.backbone.norm is None else self.backbone.norm(pooled)

    def answer(self, embedding: Tensor) -> list[Tensor]:
        """Logits ``float [n, values]`` per attribute, in the taxonomy's order."""
        hidden = self.dropout(embedding)
        for layer in self.neck:
            hidden = self.dropout(F.relu(layer(hidden)))
        if isinstance(self.heads, nn.Linear):
            return list(self.heads(hidden).split(self.sizes, dim=1))
        return [head(hidden) for head in self.heads]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Logits per attribute, as ``answer`` gives them, of pictures as for ``features``."""
        return self.answer(self.embed(self.features(pixels)))

    def chains(self) -> list[list[nn.Linear]]:
        """The linear layers from embedding to logits, with ReLU between them: one chain, or one per attribute."""
        heads = [self.heads] if isinstance(self.heads, nn.Linear) else list(self.heads)
        return [
            [layer for part in (self.neck, head) for layer in part.modules() if isinstance(layer, nn.Linear)]
            for head in heads
        ]


def _make_head(inputs: int, width: int | None, values: int) -> nn.Module:
    if width is None:
        return nn.Linear(inputs, values)
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, values))


def to_pixels(images: Tensor) -> Tensor:
    """``uint8 [n, height, width, 3]`` → ``float [n, 3, height, width]`` in 0..255."""
    return images.permute(0, 3, 1, 2).float()
