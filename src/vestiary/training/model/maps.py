"""Class maps: how much each location of a picture says for each value.

The embedding is a mean over locations plus a constant: every location has its *share* of it. A value's map is the
gradient of its logit by the embedding, at this picture, applied to each location's share. For a linear head the gradient
is the head's own row, so that the mean of the map and a constant (the bias) are exactly the logit. For a head with hidden
layers it is that of the picture's side of every ReLU, which is Grad-CAM (Selvaraju et al. 2017) without its cut at zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vestiary.training.model.classifier import Classifier


def map_classes(model: Classifier, features: Tensor, embedding: Tensor) -> list[Tensor]:
    """Maps ``float [n, values, h, w]`` per attribute of features ``float [n, channels, h, w]`` and their embedding."""
    shares = share_locations(model.backbone.norm, features).flatten(2)
    maps = torch.cat([differentiate(chain, embedding) @ shares for chain in model.chains()], dim=1)
    return list(maps.unflatten(2, features.shape[2:]).split(model.sizes, dim=1))


def share_locations(norm: nn.LayerNorm | None, features: Tensor) -> Tensor:
    """Each location's share of the embedding, ``float [n, channels, h, w]``: their mean is the embedding less a constant.

    A norm after the pooling is applied to each location with the deviation of the pooled features, which makes it linear.
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
