"""One network, one linear head per attribute on pooled features."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from vestiary.taxonomy import Taxonomy
from vestiary.training.model.residual import ResidualBackbone
from vestiary.training.recipe import Recipe

# Mean and deviation of ImageNet's training pictures on a 0..255 scale (0.485, 0.456, 0.406 / 0.229, 0.224, 0.225).
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)


class Classifier(nn.Module):
    """Backbone, mean over locations, dropout, and one linear head per attribute (all heads in one matrix)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, recipe: Recipe, taxonomy: Taxonomy) -> None:
        super().__init__()
        self.backbone = ResidualBackbone(recipe.stem, recipe.stages)
        self.dropout = nn.Dropout(recipe.dropout)
        self.sizes = [len(attribute.values) for attribute in taxonomy.attributes]
        self.heads = nn.Linear(self.backbone.channels, sum(self.sizes))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> Self:
        """As for any module, but a backbone that is held still keeps the statistics of its norms."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def features(self, pixels: Tensor) -> Tensor:
        """``float [n, 3, height, width]`` in 0..255 → ``float [n, channels, h, w]``."""
        features: Tensor = self.backbone((pixels - self.mean) / self.deviation)
        return features

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Logits ``float [n, values]`` per attribute, in the taxonomy's order, of pictures as for ``features``."""
        embedding = self.dropout(self.features(pixels).mean((2, 3)))
        return list(self.heads(embedding).split(self.sizes, dim=1))


def to_pixels(images: Tensor) -> Tensor:
    """``uint8 [n, height, width, 3]`` → ``float [n, 3, height, width]`` in 0..255."""
    return images.permute(0, 3, 1, 2).float()
