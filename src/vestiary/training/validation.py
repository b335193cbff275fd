"""How a run stands on the validation split, to watch it by; the figures that count come from the bundle."""

from __future__ import annotations

import torch

from vestiary.taxonomy import MISSING, Taxonomy
from vestiary.training.batches import Batches
from vestiary.training.losses import AttributeLoss
from vestiary.training.model import Classifier


@torch.inference_mode()
def validate(
    model: Classifier, taxonomy: Taxonomy, batches: Batches, step: int, loss: AttributeLoss
) -> dict[str, float]:
    """``validation_loss``, summed over the attributes, and ``accuracy.<attribute>`` (0..1) of each.

    The pictures have the resolution of the phase that ``step`` belongs to.
    """
    model.eval()
    lost, right, known = torch.zeros(3, len(taxonomy.names), device=batches.processes.device)
    for pixels, labels in batches.validation(step):
        logits = model(pixels)
        lost += loss.sum_plain(logits, labels)
        answers = torch.stack([scores.argmax(1) for scores in logits], 1)
        right += (answers == labels).sum(0)
        known += (labels != MISSING).sum(0)
    lost, right, known = batches.processes.sum(torch.stack([lost, right, known])).cpu().double()
    n = known.clamp(min=1)
    shares = zip(taxonomy.names, (right / n).tolist(), strict=True)
    accuracies = {f"accuracy.{name}": round(share, 5) for name, share in shares}
    return {"validation_loss": round(float((lost / n).sum()), 5)} | accuracies
