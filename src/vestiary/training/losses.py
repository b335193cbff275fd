"""The training loss: one term per attribute over labels and what teachers say, weighted as the recipe says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vestiary.taxonomy import MISSING, Taxonomy
from vestiary.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Targets:
    """Labels of a batch, ``int64 [n, attributes]``, −1 for a missing one.

    A mixed picture also has the labels of the ``other`` picture in it; ``share`` (``float [n]``, 0..1) is what its own
    labels count for.
    """

    labels: Tensor
    other: Tensor | None = None
    share: Tensor | None = None

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Labels and what they count for, ``float [n]``; one pair, or two for mixed pictures."""
        if self.other is None or self.share is None:
            yield self.labels, torch.ones(len(self.labels), device=self.labels.device)
        else:
            yield self.labels, self.share
            yield self.other, 1 - self.share

    def take(self, positions: Tensor) -> Targets:
        """Those of the pictures at some positions."""
        if self.other is None or self.share is None:
            return Targets(self.labels[positions])
        return Targets(self.labels[positions], self.other[positions], self.share[positions])

    def count(self) -> Tensor:
        """How many labels each attribute has, ``float [attributes]``; those of mixed pictures by their share."""
        return torch.stack([((labels != MISSING) * share[:, None]).sum(0) for labels, share in self.parts()]).sum(0)


class AttributeLoss(nn.Module):
    """Weighted sum over attributes of the mean loss of the labelled pictures.

    A missing label adds nothing, and an attribute without any label in the batch adds zero. Where there are teachers,
    their share of each term is T² times the divergence of the network's probabilities at temperature T from theirs, a
    mean over all pictures (Hinton et al. 2015, section 2.1). Its parameters, if any, are the learnt weights of
    attributes; they are trained with the network.
    """

    importance: Tensor

    def __init__(self, recipe: Recipe, taxonomy: Taxonomy, labels: NDArray[np.int64]) -> None:
        """``labels`` (``int64 [n, attributes]``) are those of the training split; frequencies are counted in them."""
        super().__init__()
        self.recipe = recipe
        counts = count_values(taxonomy, labels)
        for number, own in enumerate(counts):
            self.register_buffer(f"weights_{number}", torch.from_numpy(weigh_values(own, recipe)), persistent=False)
            self.register_buffer(f"prior_{number}", torch.from_numpy(log_prior(own)), persistent=False)
        importance = torch.tensor([recipe.attribute_weights.get(name, 1.0) for name in taxonomy.names])
        self.register_buffer("importance", importance, persistent=False)
        self.log_variance = nn.Parameter(torch.zeros(len(counts))) if recipe.learn_attribute_weights else None

    def forward(
        self,
        logits: list[Tensor],
        targets: Targets,
        counts: Tensor,
        *,
        part: float = 1.0,
        taught: list[Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch, or of a part of one.

        ``logits`` holds ``float [n, values]`` per attribute. ``counts`` is what ``Targets.count`` says of the whole
        batch, and ``part`` the share of it that this is: losses of all parts add up to that of the whole. ``taught`` is
        what ``teach`` gives for these pictures.
        """
        sums = torch.stack([self._sum(number, scores, targets) for number, scores in enumerate(logits)])
        terms = sums / counts.clamp(min=1)
        told = counts > 0
        if taught is not None:
            pairs = enumerate(zip(logits, taught, strict=True))
            apart = torch.stack([self._compare(number, scores, said) for number, (scores, said) in pairs])
            terms = (1 - self.recipe.teaching) * terms + self.recipe.teaching * part * apart
            told = torch.ones_like(told)
        if self.log_variance is not None:  # Kendall, Gal, Cipolla 2018, equation 10, with s = log σ²
            terms = (torch.exp(-self.log_variance) * terms + part * self.log_variance / 2) * told
        return (self.importance * terms).sum()

    def _compare(self, number: int, scores: Tensor, taught: Tensor) -> Tensor:
        """T² times the mean divergence of one attribute's probabilities from those taught."""
        temperature = self.recipe.teaching_temperature
        own = (self._adjust(number, scores) / temperature).log_softmax(1)
        return temperature**2 * F.kl_div(own, taught, reduction="batchmean")

    def _sum(self, number: int, scores: Tensor, targets: Targets) -> Tensor:
        """The loss of one attribute, summed over the batch."""
        scores = self._adjust(number, scores)
        total = scores.new_zeros(())
        for labels, share in targets.parts():
            target = labels[:, number]
            losses = F.cross_entropy(
                scores, target, ignore_index=MISSING, label_smoothing=self.recipe.label_smoothing, reduction="none"
            )
            if self.recipe.loss == "focal":  # Lin et al. 2017, equation 4
                right = scores.softmax(1).gather(1, target.clamp(min=0)[:, None])[:, 0]
                losses = (1 - right) ** self.recipe.focal_gamma * losses
            if self.recipe.class_weights != "none":
                losses = self.get_buffer(f"weights_{number}")[target.clamp(min=0)] * losses
            total = total + (losses * share).sum()
        return total

    def _adjust(self, number: int, scores: Tensor) -> Tensor:
        """Logits plus τ · log frequency (Menon et al. 2021, equation 10): what is common must not be learnt again."""
        strength = self.recipe.logit_adjustment
        return scores.float() + strength * self.get_buffer(f"prior_{number}") if strength else scores.float()

    def sum_plain(self, logits: list[Tensor], labels: Tensor) -> Tensor:
        """Cross-entropy summed over the labelled pictures, ``float [attributes]``, to watch a run by.

        Without smoothing, focus or weights, so that runs can be compared; the logits are adjusted as in training.
        """
        return torch.stack(
            [
                F.cross_entropy(self._adjust(number, scores), labels[:, number], ignore_index=MISSING, reduction="sum")
                for number, scores in enumerate(logits)
            ]
        )


def count_values(taxonomy: Taxonomy, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """How many of ``int64 [n, attributes]`` labels each value of each attribute has."""
    return [
        np.bincount(column[column != MISSING], minlength=len(attribute.values))
        for attribute, column in zip(taxonomy.attributes, labels.T, strict=True)
    ]


def weigh_values(counts: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float32]:
    """What a picture of each value counts for, ``float32 [values]``; 1 on average over the training pictures.

    ``inverse``: to the number of pictures. ``effective``: to (1 − βⁿ) / (1 − β), the effective number of Cui et al.
    2019, equation 2. A value that no training picture has gets 1.
    """
    n = np.maximum(counts, 1).astype(np.float64)
    if recipe.class_weights == "inverse":
        weights = 1 / n
    elif recipe.class_weights == "effective":
        weights = (1 - recipe.effective_beta) / (1 - recipe.effective_beta**n)
    else:
        weights = np.ones(len(n))
    total = float((weights * counts).sum())
    scaled = weights * (counts.sum() / total if total else 1)
    return np.asarray(np.where(counts > 0, scaled, 1), dtype=np.float32)


def log_prior(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log frequency of each value in training, ``float32 [values]``; one never seen counts as seen once."""
    n = np.maximum(counts, 1)
    return np.asarray(np.log(n / n.sum()), dtype=np.float32)


def describe_weights(recipe: Recipe, taxonomy: Taxonomy, labels: NDArray[np.int64]) -> list[str]:
    """Lines for people about what the recipe does for rare values; none where it does nothing."""
    lines = []
    counted = zip(taxonomy.attributes, count_values(taxonomy, labels), strict=True)
    for attribute, counts in counted if recipe.class_weights != "none" else ():
        weights = np.where(counts > 0, weigh_values(counts, recipe), np.nan)
        low, high = int(np.nanargmin(weights)), int(np.nanargmax(weights))
        lines.append(
            f"{attribute.name}: a picture counts for {weights[low]:.2g} ({attribute.values[low]}, {counts[low]:,} "
            f"pictures) to {weights[high]:.2g} ({attribute.values[high]}, {counts[high]:,})"
        )
    if recipe.logit_adjustment:
        lines.append(f"logits are adjusted by {recipe.logit_adjustment:g} × the log frequency of their value")
    return lines
