"""The training loss: cross-entropy per attribute, over the labels that are there."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vestiary.taxonomy import MISSING


def multi_attribute_loss(logits: list[Tensor], labels: Tensor, *, label_smoothing: float) -> Tensor:
    """Sum over attributes of the mean cross-entropy of the labelled samples.

    ``logits`` holds ``float [n, values]`` per attribute, ``labels`` is ``int64 [n, attributes]``, −1 for a missing
    label: such a sample adds nothing for that attribute, and an attribute without any label in the batch adds zero.
    """
    total = logits[0].new_zeros(())
    for column, scores in enumerate(logits):
        target = labels[:, column]
        summed = F.cross_entropy(
            scores.float(), target, ignore_index=MISSING, label_smoothing=label_smoothing, reduction="sum"
        )
        total = total + summed / (target != MISSING).sum().clamp(min=1)
    return total
