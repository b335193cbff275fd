"""Class maps: how much each location of a picture says for each value.

The embedding is the mean over locations of each one's *share* of it, plus a constant. A value's map is the gradient of
its logit by the embedding, at this picture, applied to each location's share. For a linear head that gradient is the
head's own row, so the mean of the map plus a constant (the bias) is exactly the logit. For a head with hidden layers it
is the gradient on this picture's side of every ReLU: Grad-CAM (Selvaraju et al. 2017) without its cut at zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vestiary.training.model.classifier import Classifier


def map_classes(model: Classifier, features: Tensor, embedding: Tensor) -> list[Tensor]:
    """Maps ``float [n, values, h, w]`` per attribute of features ``float [n, channels, h, w]`` and their embedding."""
    shares = share_locations(model.backbone.norm, features).flatten(2)
    maps: Tensor = torch.cat([differentiate(chain, embedding) @ shares for chain in model.chains()], dim=1)
    return list(torch.split(maps.reshape(*maps.shape[:2], *features.shape[2:]), model.sizes, dim=1))


def share_locations(norm: nn.LayerNorm | None, features: Tensor) -> Tensor:
    """Each location's share of the embedding, ``float [n, channels, h, w]``: their mean and a constant give it.

    A norm after the pooling is applied to each location with the deviation of the pooled features: so it is linear.
    """
    if norm is None:
        return features
    deviation = (features.mean((2, 3)).var(1, correction=0) + norm.eps).sqrt()
    centred = (features - features.mean(1, keepdim=True)) / deviation[:, None, None, None]
    return centred * norm.weight[:, None, None]


def differentiate(layers: list[nn.Linear], embedding: Tensor) -> Tensor:
    """The gradient of each output by the embedding, ``float [n or 1, outputs, channels]``, with ReLU between layers."""
    hidden, active = embedding, []
    for layer in layers[:-1]:
        hidden = F.relu(layer(hidden))
        active.append((hidden > 0).to(hidden.dtype)[:, None])
    gradient = layers[-1].weight[None]
    for layer, open_units in zip(reversed(layers[:-1]), reversed(active), strict=True):
        gradient = (gradient * open_units) @ layer.weight
    return gradient
