"""The training loop: seeded by step, checkpointed, resumable with the same result as an unbroken run."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from vestiary.errors import TrainingError
from vestiary.interruption import catch_interrupt
from vestiary.product import Split
from vestiary.taxonomy import Taxonomy
from vestiary.training.batches import Batches, seed_everything
from vestiary.training.checkpoint import describe_damage, identify, read_state, write_log, write_state
from vestiary.training.dataset import Pictures, Samples, fits_on
from vestiary.training.freezing import RATE, set_trainable
from vestiary.training.losses import AttributeLoss, Targets
from vestiary.training.model import Classifier
from vestiary.training.processes import Processes, join_processes
from vestiary.training.progress import FitProgress, OnProgress, OnStage, RunFacts, Stopwatch
from vestiary.training.recipe import Recipe
from vestiary.training.schedule import learning_rate, make_average, make_optimiser
from vestiary.training.teaching import Teacher, check_pupil, teach
from vestiary.training.tracking import Tracker, check_logs, figures_of, open_trackers
from vestiary.training.trials import find_batch_size, find_learning_rate, fits_into_memory
from vestiary.training.validation import validate

CHECKPOINT_EVERY_S = 120.0
CHECKPOINT_EVERY_GPU_S = 15.0
"""The same for the end of an epoch on a GPU, where an epoch may take less time than its checkpoint."""
FETCHED_AT_ONCE = 50
"""Steps after which a GPU is asked for its losses; asking makes it wait."""


def fit(
    recipe: Recipe,
    taxonomy: Taxonomy,
    samples: Samples,
    work: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    processes: Processes | None = None,
    teachers: Sequence[Teacher] = (),
    logs: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    on_stage: OnStage = lambda line: None,
) -> tuple[Classifier, RunFacts]:
    """Train a Classifier, writing ``checkpoint.pt``, ``best.pt`` and ``log.csv`` into ``work``.

    Every random choice is drawn from the seed and the step, so a run resumed from its checkpoint ends, on the same
    processor and number of threads, with the very weights of one that was never stopped. Ctrl-C writes a checkpoint
    and then raises KeyboardInterrupt. ``logs`` names further logs, as ``check_logs`` knows them. Raises
    TrainingError when ``work`` holds a run and neither ``resume`` nor ``overwrite`` is set, when there is none to
    resume or it had another recipe, catalogue or teachers, when a split has no pictures, when a file cannot be written,
    or when the loss is no longer a number (the last checkpoint stays).
    """
    check_logs(logs)
    run = _Run(recipe, taxonomy, samples, work, processes or join_processes(), on_stage, teachers)
    run.start(resume=resume, overwrite=overwrite)
    run.trackers = open_trackers(logs, work, recipe, step=run.step) if run.processes.is_main else []
    is_finished = False
    try:
        with catch_interrupt() as is_interrupted:
            while not run.is_over():
                run.train_step()
                finished = run.end_epoch() if run.epoch_is_over() else None
                if on_progress is not None:
                    on_progress(run.progress(finished))
                if is_interrupted():
                    run.save()
                    on_stage(f"stopped at step {run.step:,} of {run.batches.steps:,}; go on with --resume")
                    raise KeyboardInterrupt
        if run.saved_step < run.step:
            run.save()
        is_finished = True
    finally:
        for tracker in run.trackers:
            tracker.close(finished=is_finished)
    return run.finish(), run.facts()


class _Run:
    """State of one training run: everything in ``checkpoint`` is what a resumed run needs."""

    def __init__(
        self,
        recipe: Recipe,
        taxonomy: Taxonomy,
        samples: Samples,
        work: Path,
        processes: Processes,
        say: OnStage,
        teachers: Sequence[Teacher] = (),
    ) -> None:
        self.teachers = teachers
        self.asked, self.recipe, self.taxonomy, self.samples, self.work = recipe, recipe, taxonomy, samples, work
        self.processes, self.device, self.say = processes, processes.device, say
        self.checkpoint, self.best = work / "checkpoint.pt", work / "best.pt"
        for split in (Split.TRAIN, Split.VALIDATION):
            if not len(samples.rows[split]):
                raise TrainingError(f"The {split} split has no pictures; ingest a larger catalogue.")
        self.train_rows = samples.rows[Split.TRAIN]
        self.identity = identify(recipe, taxonomy, samples)
        self.pictures = Pictures(samples, self.device, resident=fits_on(self.device, samples))
        torch.backends.cudnn.benchmark = self.device.type == "cuda"  # shapes hardly change, so trying kernels out pays
        seed_everything(recipe.seed, 0)
        self.model = Classifier(recipe, taxonomy).to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        processes.share_norms(self.model)
        self.loss = AttributeLoss(recipe, taxonomy, samples.labels[self.train_rows]).to(self.device)
        self.optimiser = make_optimiser(self.model, self.loss.parameters(), recipe)
        self.average = make_average(self.model, recipe.ema) if recipe.ema else None
        self.step = 0
        self.losses: list[float] = []
        self.waiting: list[tuple[int, Tensor]] = []  # losses that the device has not been asked for yet
        self.log: list[dict[str, Any]] = []
        self.trackers: list[Tracker] = []
        self.watch, self.saved_at, self.saved_step = Stopwatch(), time.monotonic(), -1

    @property
    def shipped(self) -> Classifier:
        """What is measured and shipped: the moving average where there is one."""
        return cast(Classifier, self.average.module) if self.average is not None else self.model

    @property
    def asks_at_once(self) -> bool:
        """Whether a loss is at hand without making a device wait."""
        return self.device.type == "cpu"

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [*self.model.parameters(), *self.loss.parameters()]

    def start(self, *, resume: bool, overwrite: bool) -> None:
        """Begin at the checkpoint when that is wanted, else at step 0."""
        if resume:
            self._load()
            return
        if self.checkpoint.exists() and not overwrite:
            raise TrainingError(
                f"{self.work} holds a run that was started before; add --resume to go on with it, "
                "or --overwrite to discard it."
            )
        if self.processes.is_main:
            self.work.mkdir(parents=True, exist_ok=True)
            for name in ("checkpoint.pt", "best.pt", "log.csv", "range_test.csv"):
                (self.work / name).unlink(missing_ok=True)
        self._settle(self.recipe.batch_size or self._find_batch_size())
        if self.asked.batch_size == 0:
            steps = self.batches.per_epoch
            self.say(f"batch size {self.recipe.batch_size}: it fits into memory, and an epoch keeps {steps} steps")
        if self.recipe.learning_rate == 0:
            self.recipe = replace(self.recipe, learning_rate=self._find_learning_rate())

    def _settle(self, batch_size: int) -> None:
        self.recipe = replace(self.recipe, batch_size=batch_size)
        self.batches = Batches(self.recipe, self.pictures, self.processes, taught=bool(self.teachers))

    def _find_batch_size(self) -> int:
        """The largest that fits, at the full resolution."""
        sizes = (len(self.taxonomy.names), self.recipe.height, self.recipe.width)

        def compute(n: int) -> None:
            labels = torch.zeros(n, sizes[0], dtype=torch.int64, device=self.device)
            pixels = torch.full((n, 3, *sizes[1:]), 255.0, device=self.device)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            counts = Targets(labels).count()
            self._loss_of(pixels, Targets(labels), counts, 1.0).backward()  # type: ignore[no-untyped-call]
            self.optimiser.zero_grad(set_to_none=True)

        def fits(size: int) -> bool:
            own = size // self.processes.count or 1
            return bool(self.processes.least(fits_into_memory(own, compute, self.parameters, self.device)))

        before = self._snapshot()
        size = find_batch_size(fits, pictures=len(self.train_rows) // self.recipe.accumulate)
        self._restore(before)
        return size

    def _find_learning_rate(self) -> float:
        """By the range test, after which everything is as it was; its curve is written to ``range_test.csv``."""
        before = self._snapshot()
        rate, curve = find_learning_rate(self._try_step, highest=10.0 if self.recipe.optimiser == "sgd" else 1.0)
        self._restore(before)
        if self.processes.is_main and curve:
            write_log(curve, self.work / "range_test.csv")
        self.say(f"learning rate {rate:g} found; the curve is in {self.work / 'range_test.csv'}")
        return rate

    def _try_step(self, number: int, rate: float) -> float:
        loss = self._compute_gradients(number % self.batches.steps)
        self._apply_gradients(rate)
        return float(loss)

    def _snapshot(self) -> dict[str, Any]:
        return copy.deepcopy({"model": self.model.state_dict(), "loss": self.loss.state_dict()})

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimiser = make_optimiser(self.model, self.loss.parameters(), self.recipe)

    def _load(self) -> None:
        missing = f"{self.work} holds no checkpoint to go on from; leave --resume out to start."
        state = read_state(self.checkpoint, missing=missing)
        check_pupil(state.get("teachers", []), self.teachers, self.work)
        if state["identity"] != self.identity:
            raise TrainingError(
                f"{self.work} holds a run with another recipe or catalogue; resume it with those, or add --overwrite."
            )
        try:
            found = state.get("found", {})
            self.recipe = replace(self.recipe, learning_rate=found.get("learning_rate", self.asked.learning_rate))
            self._settle(found.get("batch_size", self.asked.batch_size))
            self.model.load_state_dict(state["model"])
            self.loss.load_state_dict(state.get("loss", {}))
            self.optimiser.load_state_dict(state["optimiser"])
            if self.average is not None:
                self.average.load_state_dict(state["ema"])
            self.step, self.losses, self.log = int(state["step"]), state["losses"], json.loads(state["log"])
            self.saved_step = self.step
            self.watch = Stopwatch(before=float(state["seconds"]), first_step=self.step)
        except Exception as error:  # torch raises many kinds for what does not fit
            raise describe_damage(self.checkpoint) from error

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and never one that holds no numbers."""
        self._fetch_losses()
        if not self.processes.is_main:
            return
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            raise self._describe_divergence(self.step, "A weight")
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.average.state_dict() if self.average is not None else None,
            "found": {"batch_size": self.recipe.batch_size, "learning_rate": self.recipe.learning_rate},
            "step": self.step,
            "losses": self.losses,
            "teachers": [teacher.to_dict() for teacher in self.teachers],
            "log": json.dumps(self.log),
            "seconds": self.watch.seconds,
        }
        write_state(state, self.checkpoint)
        self.saved_at, self.saved_step = time.monotonic(), self.step

    def train_step(self) -> None:
        """One step of the optimiser, and a checkpoint where one is due."""
        loss = self._compute_gradients(self.step)
        self.waiting.append((self.step, loss))
        if self.asks_at_once:
            self._fetch_losses()
        self._apply_gradients(learning_rate(self.step, self.batches.steps, self.recipe))
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        if len(self.waiting) >= FETCHED_AT_ONCE:
            self._fetch_losses()
        if time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S and not self.epoch_is_over():
            self.save()

    def _compute_gradients(self, step: int) -> Tensor:
        """Gradients of a step's loss, summed over its parts and all processes; the loss."""
        set_trainable(self.model, self.recipe, step // self.batches.per_epoch)
        self.model.train()
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(self.batches.parts(step)):
            taught = teach(self.teachers, part.shown, self.recipe.teaching_temperature)
            loss = self._loss_of(part.pixels, part.targets, part.counts, part.share, taught)
            if number == 0:  # not before: memory that is given back and taken again at once costs nothing
                self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach()
        self.processes.sum_gradients(self.parameters)
        return self.processes.sum(total)

    def _loss_of(
        self, pixels: Tensor, targets: Targets, counts: Tensor, share: float, taught: list[Tensor] | None = None
    ) -> Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            logits = self.model(pixels)
        loss: Tensor = self.loss(logits, targets, counts, part=share, taught=taught)
        return loss

    def _apply_gradients(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get(RATE, 1.0)  # a checkpoint of a version without rates has none
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimiser.step()

    def _fetch_losses(self) -> None:
        """Take the losses from the device, and stop the run where one is no number."""
        if not self.waiting:
            return
        values = torch.stack([loss for _, loss in self.waiting]).tolist()
        for (step, _), value in zip(self.waiting, values, strict=True):
            if not math.isfinite(value):
                raise self._describe_divergence(step, "The loss")
            self.losses.append(value)
        self.waiting = []

    def _describe_divergence(self, step: int, what: str) -> TrainingError:
        return TrainingError(
            f"{what} is no longer a number at step {step:,} of {self.batches.steps:,}; lower learning_rate or set "
            f"clip, and start again with --overwrite (until then, what was written to {self.work} stays)."
        )

    def epoch_is_over(self) -> bool:
        """Whether the last step was the last of its epoch."""
        return self.step % self.batches.per_epoch == 0

    def is_over(self) -> bool:
        """Whether all steps are done, or an epoch is and the last ``patience`` had no better validation loss."""
        waited = len(self.log) - self._best_epoch()
        stopped = self.epoch_is_over() and 0 < self.recipe.patience <= waited
        if stopped and self.step < self.batches.steps:
            self.say(f"stopped after epoch {len(self.log)}: no better validation loss since epoch {self._best_epoch()}")
        return stopped or self.step >= self.batches.steps

    def _best_epoch(self) -> int:
        """The first epoch of the lowest validation loss, counted from 1; 0 before there is one."""
        losses = [line["validation_loss"] for line in self.log]
        return losses.index(min(losses)) + 1 if losses else 0

    def end_epoch(self) -> dict[str, Any]:
        """Measure on validation, write the log and the checkpoints; the log line."""
        self._fetch_losses()
        line: dict[str, Any] = {
            "epoch": self.step // self.batches.per_epoch,
            "seconds": round(self.watch.seconds, 1),
            "learning_rate": learning_rate(self.step - 1, self.batches.steps, self.recipe),
            "train_loss": round(sum(self.losses) / len(self.losses), 5),
        } | validate(self.shipped, self.taxonomy, self.batches, self.step - 1, self.loss)
        if not math.isfinite(line["validation_loss"]):
            raise self._describe_divergence(self.step, "The validation loss")
        self.log.append(line)
        self.losses = []
        if self.processes.is_main:
            write_log(self.log, self.work / "log.csv")
            if self._best_epoch() == len(self.log):
                state = {"identity": self.identity, "epoch": len(self.log), "model": self.shipped.state_dict()}
                write_state(state, self.best)
        waited_s = time.monotonic() - self.saved_at
        if self.asks_at_once or waited_s > CHECKPOINT_EVERY_GPU_S or not self.checkpoint.exists():
            self.save()
        for tracker in self.trackers:
            tracker.add(self.step, figures_of(line))
        return line

    def finish(self) -> Classifier:
        """The network to ship: of the last epoch or of the best one, as the recipe says."""
        if self.recipe.keep == "best" and self.processes.is_main:
            missing = f"{self.best}, with the weights of the best epoch, is gone; start again with --overwrite."
            state = read_state(self.best, missing=missing)
            if state["identity"] != self.identity:
                raise describe_damage(self.best)
            self.shipped.load_state_dict(state["model"])
        return self.shipped.eval()

    def facts(self) -> RunFacts:
        """What to tell of the run when it is over."""
        learnt = self.loss.log_variance
        weights = [] if learnt is None else torch.exp(-learnt.detach()).tolist()
        return RunFacts(
            seconds=self.watch.seconds,
            epoch=self._best_epoch() if self.recipe.keep == "best" else len(self.log),
            log=self.log,
            batch_size=self.recipe.batch_size,
            learning_rate=self.recipe.learning_rate,
            attribute_weights=dict(zip(self.taxonomy.names, (round(own, 4) for own in weights), strict=False)),
        )

    def progress(self, finished_epoch: dict[str, Any] | None) -> FitProgress:
        """Where the run stands."""
        return FitProgress(
            step=self.step,
            steps=self.batches.steps,
            epochs=self.recipe.epochs,
            seconds_left=self.watch.seconds_left(self.step, self.batches.per_epoch, self.recipe),
            finished_epoch=finished_epoch,
        )
