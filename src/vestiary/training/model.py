"""One network, one linear head per attribute on pooled features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vestiary.taxonomy import Taxonomy
from vestiary.training.recipe import Recipe

# Mean and deviation of ImageNet's training pictures on a 0..255 scale (0.485, 0.456, 0.406 / 0.229, 0.224, 0.225).
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole picture holds (squeeze-and-excitation, Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(channels // reduction, 8))
        self.excite = nn.Linear(max(channels // reduction, 8), channels)

    def forward(self, x: Tensor) -> Tensor:
        """``float [n, channels, h, w]`` of the same shape."""
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2015); a halving one averages (ResNet-D, He et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, squeeze: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.attention: nn.Module = SqueezeExcite(outputs) if squeeze else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """``float [n, inputs, h, w]`` → ``float [n, outputs, ⌈h/stride⌉, ⌈w/stride⌉]``."""
        inner = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.relu(self.attention(inner) + self.shortcut(x))


class ResidualBackbone(nn.Sequential):
    """A stem at full resolution, then stages of residual blocks, each stage halving the resolution."""

    def __init__(self, stem: int, stages: tuple[tuple[int, int], ...], squeezed: int = 0) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU()]
        channels = stem
        for number, (width, blocks) in enumerate(stages):
            squeeze = number >= len(stages) - squeezed
            for block in range(blocks):
                layers.append(ResidualBlock(channels, width, stride=2 if block == 0 else 1, squeeze=squeeze))
                channels = width
        super().__init__(*layers)
        self.channels = channels


class Classifier(nn.Module):
    """Backbone, mean over locations, dropout, and one linear head per attribute (all heads in one matrix)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, recipe: Recipe, taxonomy: Taxonomy) -> None:
        super().__init__()
        self.backbone = ResidualBackbone(recipe.stem, recipe.stages, recipe.squeezed)
        self.dropout = nn.Dropout(recipe.dropout)
        self.sizes = [len(attribute.values) for attribute in taxonomy.attributes]
        self.heads = nn.Linear(self.backbone.channels, sum(self.sizes))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

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
