"""A training step of the default network in bf16 against fp32, at both resolutions of its recipe.

Medians of alternating steps in one process, on pictures of noise (the arithmetic does not depend on them):

    python benchmarks/training_precision.py
"""

from __future__ import annotations

import statistics
import time

import torch

from vestiary.taxonomy import Attribute, Taxonomy
from vestiary.training.losses import AttributeLoss, Targets
from vestiary.training.model import Classifier
from vestiary.training.recipe import load_recipe

STEPS = 12
VALUES = {"articleType": 141, "baseColour": 46, "subCategory": 45}


def main() -> None:
    """Print seconds a step and the ratio."""
    recipe = load_recipe("default")
    taxonomy = Taxonomy(tuple(Attribute(name, tuple(map(str, range(n)))) for name, n in VALUES.items()))
    model = Classifier(recipe, taxonomy)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    labels = torch.stack([torch.randint(0, n, (recipe.batch_size,)) for n in VALUES.values()], 1)
    targets, loss = Targets(labels), AttributeLoss(recipe, taxonomy, labels.numpy())
    for phase in recipe.phases:
        pixels = torch.rand(recipe.batch_size, 3, phase.height, phase.width) * 255
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for step in range(2 * STEPS + 4):
            low = bool(step % 2)
            started = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
                logits = model(pixels)
            optimiser.zero_grad()
            loss(logits, targets, targets.count()).backward()
            optimiser.step()
            seconds[low].append(time.perf_counter() - started)
        fp32, bf16 = (statistics.median(seconds[low][2:]) for low in (False, True))
        size = f"{phase.width}×{phase.height} px"
        print(f"{size}: fp32 (rival) {fp32:.3f} s a step, bf16 {bf16:.3f} s, {fp32 / bf16:.2f} × as fast")


if __name__ == "__main__":
    main()
