"""What a training run tells while it goes on, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vestiary.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class FitProgress:
    """Where a run stands; ``finished_epoch`` is the log line just written, if any."""

    step: int
    steps: int
    epochs: int
    seconds_left: float
    finished_epoch: dict[str, Any] | None = None


OnProgress = Callable[[FitProgress], None]
OnStage = Callable[[str], None]
"""Called with a short line for people."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run came to: seconds, the epoch whose weights are given, the log, and what the recipe had left open."""

    seconds: float
    epoch: int
    log: list[dict[str, Any]]
    batch_size: int
    learning_rate: float
    attribute_weights: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Stopwatch:
    """Seconds of a run over all its parts; ``before`` are those of earlier ones, which reached ``first_step``."""

    before: float = 0.0
    first_step: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds of training, those before a stop included."""
        return self.before + time.monotonic() - self.started

    def seconds_left(self, step: int, per_epoch: int, recipe: Recipe) -> float:
        """From the pixels still to be seen and the rate at which they were seen since this start."""
        ends = np.cumsum([0, *(phase.epochs * per_epoch for phase in recipe.phases)])
        areas = [phase.height * phase.width for phase in recipe.phases]
        seen = np.cumsum([0.0, *(np.diff(ends) * areas)])
        at_start, now, at_end = np.interp([self.first_step, step, ends[-1]], ends, seen)
        rate = (now - at_start) / max(time.monotonic() - self.started, 1e-9)
        return float((at_end - now) / max(rate, 1e-9))
