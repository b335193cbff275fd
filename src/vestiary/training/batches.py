"""What each step of a run sees: a function of the seed and the step, however it is shared out."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vestiary.product import Split
from vestiary.training.augment import Draws, augment, draw_changes
from vestiary.training.dataset import Pictures
from vestiary.training.losses import Targets
from vestiary.training.mixing import Mix, draw_mix
from vestiary.training.model import to_pixels
from vestiary.training.processes import Processes
from vestiary.training.recipe import Phase, Recipe

VALIDATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a step's pictures, ``float [m, 3, height, width]`` in 0..255, ready for the network.

    ``counts`` (``float [attributes]``) are the labels of the whole step, ``share`` (0..1) is how much of it this is.
    ``shown`` are the pictures as teachers see them: at the full resolution, where the batches were asked for it.
    """

    pixels: Tensor
    shown: Tensor
    targets: Targets
    counts: Tensor
    share: float


class Batches:
    """A run's batches. ``per_epoch`` steps are an epoch; a step's pictures go through in ``accumulate`` parts.

    With ``taught`` pictures are changed at the full resolution and averaged down to the phase's then.
    """

    def __init__(self, recipe: Recipe, pictures: Pictures, processes: Processes, *, taught: bool = False) -> None:
        self.recipe, self.pictures, self.processes = recipe, pictures, processes
        self.full = Phase(recipe.epochs, recipe.height, recipe.width) if taught else None
        self.train_rows = pictures.samples.rows[Split.TRAIN]
        self.pictures_per_step = recipe.batch_size * recipe.accumulate
        n = len(self.train_rows)
        # One picture left over at the end of an epoch, another each time, is let go: alone it has no statistics.
        self.per_epoch = math.ceil(n / self.pictures_per_step) - (n > 1 and n % self.pictures_per_step == 1)
        self.steps = self.per_epoch * recipe.epochs
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    def phase(self, step: int) -> Phase:
        """The phase of the recipe that a step belongs to."""
        epochs = 0
        for phase in self.recipe.phases:
            epochs += phase.epochs
            if step < epochs * self.per_epoch:
                return phase
        return self.recipe.phases[-1]

    def rows(self, step: int) -> NDArray[np.int64]:
        """Sample numbers of a step, in the order they lie in: a function of seed and step alone."""
        epoch, number = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.recipe.seed, epoch]).permutation(self.train_rows))
        return np.sort(self._order[1][number * self.pictures_per_step : (number + 1) * self.pictures_per_step])

    def parts(self, step: int) -> Iterator[Part]:
        """This process's parts of a step, augmented and mixed; torch's own generator is seeded for each step."""
        rows, phase = self.rows(step), self.phase(step)
        drawn_at = self.full or phase
        n, size = len(rows), (drawn_at.height, drawn_at.width)
        generator = seed_everything(self.recipe.seed, step, self.processes.rank)
        draws = draw_changes(n, self.recipe, generator)
        mix = draw_mix(n, size, self.recipe, generator)
        labels = self.pictures.labels(rows)
        whole = Targets(labels)
        if mix is not None:
            whole = Targets(
                labels,
                labels[mix.partner.to(labels.device, non_blocking=True)],
                mix.share.to(labels.device, non_blocking=True),
            )
        counts = whole.count()
        for positions, share in self._share_out(n):
            shown = self._change(rows, positions, draws, mix, drawn_at)
            pixels = resize(shown, phase).contiguous(memory_format=torch.channels_last)
            targets = whole.take(positions.to(labels.device, non_blocking=True))
            yield Part(pixels, shown, targets, counts, share)

    def _change(
        self, rows: NDArray[np.int64], positions: Tensor, draws: Draws, mix: Mix | None, phase: Phase
    ) -> Tensor:
        """The pictures at some positions of a step, augmented as drawn, and mixed with their partners."""
        needed, own, other = positions, None, None
        if mix is not None:
            needed, where = torch.unique(torch.cat([positions, mix.partner[positions]]), return_inverse=True)
            own, other = where[: len(positions)], where[len(positions) :]
        pixels = resize(to_pixels(self.pictures.pixels(rows[needed.numpy()])), phase)
        pixels = augment(pixels, self.recipe, {name: drawn[needed] for name, drawn in draws.items()})
        if mix is None or own is None or other is None:
            return pixels
        mine = pixels if len(needed) == len(positions) else pixels[own.to(pixels.device, non_blocking=True)]
        return mix.apply(mine, pixels[other.to(pixels.device, non_blocking=True)], positions)

    def _share_out(self, n: int) -> Iterator[tuple[Tensor, float]]:
        """Positions of this process's parts among ``n`` pictures, and what each counts for.

        Where there are fewer pictures than processes, each process sees all and counts for its share.
        """
        everyone = self.processes.count
        if n < everyone:
            yield torch.arange(n), 1 / everyone
            return
        parts = min(math.ceil(n / self.recipe.batch_size), n // everyone) * everyone
        for first in range(self.processes.rank, parts, everyone):
            positions = torch.arange(first, n, parts)
            yield positions, len(positions) / n

    def validation(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's part of the validation split at the phase's resolution: pixels and labels, as they are."""
        rows = self.pictures.samples.rows[Split.VALIDATION][self.processes.rank :: self.processes.count]
        for start in range(0, len(rows), VALIDATION_BATCH):
            chosen = rows[start : start + VALIDATION_BATCH]
            pixels = resize(to_pixels(self.pictures.pixels(chosen)), self.phase(step))
            yield pixels.contiguous(memory_format=torch.channels_last), self.pictures.labels(chosen)


def seed_everything(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """Seed torch (dropout) from seed, step and process, and give a generator that all processes share."""
    number = random.Random(f"{seed}:{step}").getrandbits(63)
    torch.manual_seed(number ^ rank << 32)
    return torch.Generator().manual_seed(number ^ 1)


def resize(pixels: Tensor, phase: Phase) -> Tensor:
    """``float [n, 3, h, w]`` averaged down to the phase's size."""
    size = (phase.height, phase.width)
    return pixels if tuple(pixels.shape[2:]) == size else F.interpolate(pixels, size=size, mode="area")
