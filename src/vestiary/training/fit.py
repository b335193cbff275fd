"""The training loop: seeded by step, checkpointed, resumable with the same result as an unbroken run."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vestiary.errors import TrainingError
from vestiary.product import Split
from vestiary.taxonomy import MISSING, Taxonomy
from vestiary.training.augment import augment, cut_and_mix
from vestiary.training.dataset import Samples
from vestiary.training.freezing import RATE, parameter_groups, set_trainable
from vestiary.training.losses import multi_attribute_loss
from vestiary.training.model import Classifier, to_pixels
from vestiary.training.recipe import AFTER_TRAINING, Phase, Recipe

CHECKPOINT_EVERY_S = 120.0


@dataclass(frozen=True, slots=True)
class FitProgress:
    """Where a run stands; ``finished_epoch`` is the log line just written, if any."""

    step: int
    steps: int
    epochs: int
    seconds_left: float
    finished_epoch: dict[str, Any] | None = None


OnProgress = Callable[[FitProgress], None]


def fit(
    recipe: Recipe,
    taxonomy: Taxonomy,
    samples: Samples,
    work: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[Classifier, float]:
    """Train a Classifier, writing ``checkpoint.pt`` and ``log.csv`` into ``work``; the network and its seconds.

    Every random choice is drawn from the seed and the step, so a run resumed from its checkpoint ends, on the same
    processor and number of threads, with the very weights of one that was never stopped. Raises TrainingError when
    ``work`` holds a run and neither ``resume`` nor ``overwrite`` is set, when there is none to resume or it had another
    recipe or catalogue, when a split has no pictures, or when the loss is no longer a number (the last checkpoint
    stays).
    """
    run = _Run(recipe, taxonomy, samples, work)
    run.start(resume=resume, overwrite=overwrite)
    while run.step < run.steps:
        run.train_step()
        if on_progress is not None:
            on_progress(run.progress(run.end_epoch() if run.epoch_is_over() else None))
        elif run.epoch_is_over():
            run.end_epoch()
    return run.best_model.eval(), run.seconds_so_far


class _Run:
    """State of one training run: everything in ``checkpoint`` is what a resumed run needs."""

    def __init__(self, recipe: Recipe, taxonomy: Taxonomy, samples: Samples, work: Path) -> None:
        self.recipe, self.taxonomy, self.samples, self.work = recipe, taxonomy, samples, work
        for split in (Split.TRAIN, Split.VALIDATION):
            if not len(samples.rows[split]):
                raise TrainingError(f"The {split} split has no pictures; ingest a larger catalogue.")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        _seed_everything(recipe.seed, 0)
        self.model = Classifier(recipe, taxonomy).to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = _make_optimiser(self.model, recipe)
        self.average = _average(self.model, recipe.ema) if recipe.ema else None
        self.train_rows = samples.rows[Split.TRAIN]
        self.batches = math.ceil(len(self.train_rows) / recipe.batch_size)
        self.steps = self.batches * recipe.epochs
        self.step = 0
        self.losses: list[float] = []
        self.log: list[dict[str, Any]] = []
        self.order: np.ndarray[Any, np.dtype[np.int64]] = np.empty(0, dtype=np.int64)
        self.started, self.started_step, self.saved_at = time.monotonic(), 0, time.monotonic()
        self.seconds = 0.0

    @property
    def best_model(self) -> Classifier:
        """What is measured and shipped: the moving average where there is one."""
        return cast(Classifier, self.average.module) if self.average is not None else self.model

    @property
    def checkpoint(self) -> Path:
        return self.work / "checkpoint.pt"

    @property
    def seconds_so_far(self) -> float:
        return self.seconds + time.monotonic() - self.started

    @property
    def epoch(self) -> int:
        return self.step // self.batches

    def start(self, *, resume: bool, overwrite: bool) -> None:
        """Begin at the checkpoint when that is wanted, else at step 0."""
        if resume:
            self._load()
        elif self.checkpoint.exists() and not overwrite:
            raise TrainingError(
                f"{self.work} holds a run that was started before; add --resume to go on with it, "
                "or --overwrite to discard it."
            )
        else:
            self.work.mkdir(parents=True, exist_ok=True)
            for old in (self.checkpoint, self.work / "log.csv"):
                old.unlink(missing_ok=True)

    def _load(self) -> None:
        if not self.checkpoint.exists():
            raise TrainingError(f"{self.work} holds no checkpoint to go on from; leave --resume out to start.")
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            identity = state["identity"]
            if identity == self._identity():
                self.model.load_state_dict(state["model"])
                self.optimiser.load_state_dict(state["optimiser"])
                if self.average is not None:
                    self.average.load_state_dict(state["ema"])
                self.step = self.started_step = int(state["step"])
                self.losses, self.log, self.seconds = state["losses"], json.loads(state["log"]), state["seconds"]
        except Exception as error:  # torch raises many kinds for a broken file
            raise TrainingError(
                f"{self.checkpoint} is damaged and cannot be gone on from; start again with --overwrite."
            ) from error
        if identity != self._identity():
            raise TrainingError(
                f"{self.work} holds a run with another recipe or catalogue; resume it with those, or add --overwrite."
            )
        self._shuffle()

    def _identity(self) -> str:
        """What must be equal for a resumed run to make sense."""
        choices = {key: value for key, value in self.recipe.choices.items() if key not in AFTER_TRAINING}
        digest = hashlib.sha256(json.dumps(choices, sort_keys=True).encode())
        digest.update(self.taxonomy.fingerprint.encode())
        digest.update(np.ascontiguousarray(self.samples.labels).tobytes())
        digest.update(self.train_rows.tobytes())
        return digest.hexdigest()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        part = self.checkpoint.with_suffix(".part")
        state = {
            "identity": self._identity(),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.average.state_dict() if self.average is not None else None,
            "step": self.step,
            "losses": self.losses,
            "log": json.dumps(self.log),
            "seconds": self.seconds_so_far,
        }
        try:
            torch.save(state, part)
            os.replace(part, self.checkpoint)
        except (OSError, RuntimeError) as error:
            part.unlink(missing_ok=True)
            raise TrainingError(
                f"The checkpoint cannot be written to {self.work}; make room there and add --resume to go on."
            ) from error
        self.saved_at = time.monotonic()

    def _shuffle(self) -> None:
        """The order of this epoch's samples: a function of seed and epoch alone."""
        self.order = np.random.default_rng([self.recipe.seed, self.epoch]).permutation(self.train_rows)

    def train_step(self) -> None:
        if self.step % self.batches == 0:
            self._shuffle()
        number = self.step % self.batches
        chosen = np.sort(self.order[number * self.recipe.batch_size : (number + 1) * self.recipe.batch_size])
        generator = _seed_everything(self.recipe.seed, self.step)
        pixels = _resize(to_pixels(self._to_device(self.samples.pixels[chosen])), self._phase(self.step))
        pixels, mix = cut_and_mix(augment(pixels, self.recipe, generator), self.recipe.cutmix, generator)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        for group in self.optimiser.param_groups:
            # a checkpoint of a version without rates has none
            group["lr"] = one_cycle(self.step, self.steps, self.recipe) * group.get(RATE, 1.0)
        set_trainable(self.model, self.recipe, self.epoch)
        self.model.train()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            logits = self.model(pixels)
        labels = self._to_device(self.samples.labels[chosen])
        loss = multi_attribute_loss(logits, labels, label_smoothing=self.recipe.label_smoothing)
        if mix is not None:
            other, own = mix
            strange = multi_attribute_loss(logits, labels[other], label_smoothing=self.recipe.label_smoothing)
            loss = own * loss + (1 - own) * strange
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is no longer a number at step {self.step} of {self.steps}; lower learning_rate and start "
                f"again with --overwrite (until then, what was written to {self.work} stays)."
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.losses.append(value)
        self.step += 1
        if time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S and not self.epoch_is_over():
            self.save()

    def _to_device(self, array: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _phase(self, step: int) -> Phase:
        epochs = 0
        for phase in self.recipe.phases:
            epochs += phase.epochs
            if step < epochs * self.batches:
                return phase
        return self.recipe.phases[-1]

    def epoch_is_over(self) -> bool:
        return self.step % self.batches == 0

    def end_epoch(self) -> dict[str, Any]:
        """Measure on validation, write the log and the checkpoint; the log line."""
        line: dict[str, Any] = {
            "epoch": self.epoch,
            "seconds": round(self.seconds_so_far, 1),
            "learning_rate": one_cycle(self.step - 1, self.steps, self.recipe),
            "train_loss": round(sum(self.losses) / len(self.losses), 5),
        } | self._validate()
        self.log.append(line)
        self.losses = []
        part = self.work / "log.part"
        with part.open("w", newline="", encoding="utf-8") as table:
            writer = csv.DictWriter(table, fieldnames=list(line), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.log)
        os.replace(part, self.work / "log.csv")
        self.save()
        return line

    @torch.inference_mode()
    def _validate(self) -> dict[str, float]:
        """Loss and accuracy on the validation split at the phase's resolution, to watch a run by.

        The figures that count come from the bundle.
        """
        phase = self._phase(self.step - 1)
        model = self.best_model.eval()
        rows = self.samples.rows[Split.VALIDATION]
        right, counted, loss = np.zeros(len(model.sizes)), np.zeros(len(model.sizes)), 0.0
        for start in range(0, len(rows), 256):
            chosen = rows[start : start + 256]
            labels = self._to_device(self.samples.labels[chosen])
            pixels = _resize(to_pixels(self._to_device(self.samples.pixels[chosen])), phase)
            logits = model(pixels.contiguous(memory_format=torch.channels_last))
            loss += float(multi_attribute_loss(logits, labels, label_smoothing=0.0)) * len(chosen)
            for column, scores in enumerate(logits):
                known = labels[:, column] != MISSING
                right[column] += int((scores.argmax(1) == labels[:, column])[known].sum())
                counted[column] += int(known.sum())
        accuracies = {
            f"accuracy.{name}": round(float(good / max(n, 1)), 5)
            for name, good, n in zip(self.taxonomy.names, right, counted, strict=True)
        }
        return {"validation_loss": round(loss / len(rows), 5)} | accuracies

    def progress(self, finished_epoch: dict[str, Any] | None) -> FitProgress:
        return FitProgress(
            step=self.step,
            steps=self.steps,
            epochs=self.recipe.epochs,
            seconds_left=self._seconds_left(self.step - self.started_step),
            finished_epoch=finished_epoch,
        )

    def _seconds_left(self, done: int) -> float:
        """From the pixels still to be seen and the rate at which they were seen since this start."""
        ends = np.cumsum([0, *(phase.epochs * self.batches for phase in self.recipe.phases)])
        areas = [phase.height * phase.width for phase in self.recipe.phases]
        seen = np.cumsum([0.0, *(np.diff(ends) * areas)])
        at_start, now, at_end = np.interp([self.step - done, self.step, self.steps], ends, seen)
        rate = (now - at_start) / max(time.monotonic() - self.started, 1e-9)
        return float((at_end - now) / max(rate, 1e-9))


def one_cycle(step: int, steps: int, recipe: Recipe) -> float:
    """Learning rate at a step: up from 1/25 of the peak along a cosine, then down to 1/10,000 of that (Smith 2018)."""
    rising = recipe.warmup * steps
    low, high = recipe.learning_rate / 25, recipe.learning_rate
    if step < rising:
        return high + (low - high) * (1 + math.cos(math.pi * step / rising)) / 2
    return low / 1e4 + (high - low / 1e4) * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1))) / 2


def _average(model: Classifier, decay: float) -> AveragedModel:
    """The moving average of weights and of the norms' statistics."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def _make_optimiser(model: Classifier, recipe: Recipe) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameter_groups(model, recipe), lr=recipe.learning_rate, fused=True)


def _seed_everything(seed: int, step: int) -> torch.Generator:
    """Seed torch (dropout) from seed and step, and give a generator of its own to the augmentation."""
    number = random.Random(f"{seed}:{step}").getrandbits(63)
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number ^ 1)


def _resize(pixels: Tensor, phase: Phase) -> Tensor:
    size = (phase.height, phase.width)
    return pixels if tuple(pixels.shape[2:]) == size else F.interpolate(pixels, size=size, mode="area")
