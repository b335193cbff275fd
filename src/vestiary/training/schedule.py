"""The learning rate at each step, and the optimiser that uses it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vestiary.training.freezing import parameter_groups
from vestiary.training.model import Classifier
from vestiary.training.recipe import Recipe

MOMENTUM = 0.9
"""Of stochastic gradient descent."""


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """The rate at a step of ``steps``.

    Every schedule rises from 1/25 of its peak along a cosine in the ``warmup`` share of the steps. Then ``constant``
    stays, ``cosine`` falls to zero along one (Loshchilov & Hutter 2017), ``one-cycle`` to 1/250,000 (Smith 2018).
    """
    rising, high = recipe.warmup * steps, recipe.learning_rate
    low = high / 25
    if step < rising:
        return high + (low - high) * (1 + math.cos(math.pi * step / rising)) / 2
    if recipe.schedule == "constant":
        return high
    end = low / 1e4 if recipe.schedule == "one-cycle" else 0.0
    return end + (high - end) * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1))) / 2


def make_optimiser(model: Classifier, extra: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over the network and ``extra`` parameters; norms, biases and those do not decay."""
    groups = parameter_groups(model, recipe)
    groups += [{"params": [parameter], "weight_decay": 0.0} for parameter in extra]
    options: dict[str, Any] = {"lr": recipe.learning_rate, "fused": True}
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=MOMENTUM, **options)
    return (torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam)(groups, **options)


def make_average(model: Classifier, decay: float) -> AveragedModel:
    """The exponential moving average of weights and of the norms' statistics."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
