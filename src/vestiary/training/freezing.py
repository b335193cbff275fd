"""Which weights learn in an epoch, and how fast: heads first, then the backbone, its early parts slowest."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import nn

from vestiary.training.model import Classifier
from vestiary.training.recipe import Recipe

RATE = "rate"
"""Key of a parameter group: the factor on the learning rate of the schedule."""


def parameter_groups(model: Classifier, recipe: Recipe) -> list[dict[str, Any]]:
    """The optimiser's groups, each with its ``weight_decay`` and its ``rate``, a factor on the learning rate.

    Matrices and kernels decay, norms and biases do not. Heads, neck and attention have the rate 1, the last part of
    the backbone ``backbone_rate``, each part before it ``layer_decay`` times the next (Clark et al. 2020).
    """
    parts = model.backbone.number_parts()
    last = max(parts.values())
    groups: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        part = parts.get(name.removeprefix("backbone.")) if name.startswith("backbone.") else None
        rate = 1.0 if part is None else recipe.backbone_rate * recipe.layer_decay ** (last - part)
        groups[rate, parameter.ndim > 1].append(parameter)
    fastest_first = sorted(groups.items(), key=lambda entry: entry[0], reverse=True)
    return [
        {"params": parameters, "weight_decay": recipe.weight_decay if decays else 0.0, RATE: rate}
        for (rate, decays), parameters in fastest_first
    ]


def set_trainable(model: Classifier, recipe: Recipe, epoch: int) -> None:
    """Let the backbone learn in this epoch (counted from 0), or hold it still, as the recipe says.

    A backbone that is held still also keeps the statistics of its batch norms, see ``Classifier.train``.
    """
    learns = recipe.train_backbone == "all" or (recipe.train_backbone == "staged" and epoch >= recipe.frozen_epochs)
    model.backbone.requires_grad_(learns)
