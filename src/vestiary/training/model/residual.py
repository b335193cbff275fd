"""The residual backbone: small, from random weights, made for small pictures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vestiary.training.model.attention import SqueezeExcite


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

    kind = "residual"
    norm: nn.LayerNorm | None = None

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

    def number_parts(self) -> dict[str, int]:
        """The part that each parameter belongs to, by name: 0 for the stem, then one per block."""
        return {name: max(0, int(name.partition(".")[0]) - 2) for name, _ in self.named_parameters()}
