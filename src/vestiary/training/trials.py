"""What a run tries out before it starts, where the recipe leaves it open: the learning rate and the batch size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import psutil
import torch
from torch import Tensor, nn

RATE_STEPS = 100
LOWEST_RATE = 1e-6
SMOOTHING = 0.9
WORSE = 4.0
"""The range test ends when the smoothed loss is this many times its lowest."""

LARGEST_BATCH = 1024
LEAST_STEPS = 8
"""An epoch shall keep so many steps, however much memory there is."""
MEMORY_SHARE = 0.5
TEMPORARY = 2.0
"""Memory of a step as a multiple of what the backward pass needs of the forward one; measured, then rounded up."""


def find_learning_rate(
    take_step: Callable[[int, float], float], *, highest: float
) -> tuple[float, list[dict[str, float]]]:
    """The range test of Smith (2017): steps at a rate that rises from 1e-6 to ``highest``, each ten times a tenth.

    ``take_step(number, rate)`` trains one step and gives its loss. The rate found is a tenth of the one at which the
    smoothed loss was lowest, as it is customary; with it the curve: rate, loss and smoothed loss of each step.
    """
    curve: list[dict[str, float]] = []
    mean, lowest = 0.0, math.inf
    for number in range(RATE_STEPS):
        rate = LOWEST_RATE * (highest / LOWEST_RATE) ** (number / (RATE_STEPS - 1))
        loss = take_step(number, rate)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed = mean / (1 - SMOOTHING ** (number + 1))
        if not math.isfinite(smoothed):
            break
        curve.append({"learning_rate": rate, "loss": loss, "smoothed_loss": smoothed})
        lowest = min(lowest, smoothed)
        if smoothed > WORSE * lowest:
            break
    best = min(curve, key=lambda point: point["smoothed_loss"])["learning_rate"] if curve else LOWEST_RATE
    return float(f"{best / 10:.2g}"), curve


def find_batch_size(fits: Callable[[int], bool], *, pictures: int) -> int:
    """The largest power of two up to 1,024 for which ``fits`` is true and an epoch keeps eight steps; at least 1."""
    size: int = 2 ** math.floor(math.log2(max(1, min(LARGEST_BATCH, pictures // LEAST_STEPS))))
    while size > 1 and not fits(size):
        size //= 2
    return size


def fits_into_memory(
    size: int, compute: Callable[[int], Any], parameters: list[nn.Parameter], device: torch.device
) -> bool:
    """Whether a forward and backward pass of ``size`` pictures, done by ``compute(size)``, fits.

    On a GPU it is tried. On the processor, where too much would end the process, what two pictures leave for the
    backward pass is measured and held against half of the memory that is available.
    """
    if device.type == "cuda":
        return _is_possible(lambda: compute(size))
    available: int = psutil.virtual_memory().available
    return measure_bytes(lambda: compute(2), parameters) / 2 * size * TEMPORARY <= available * MEMORY_SHARE


def _is_possible(compute: Callable[[], Any]) -> bool:
    try:
        compute()
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def measure_bytes(compute: Callable[[], Any], parameters: list[nn.Parameter]) -> int:
    """Bytes that ``compute`` keeps for its backward pass, without the parameters themselves."""
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        compute()
    return sum(kept.values())
