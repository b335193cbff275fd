"""The search for a better recipe: one training run per trial, in a study that survives being killed."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_type_hints

import numpy as np
import optuna
import torch
from filelock import FileLock, Timeout
from optuna.trial import Trial, TrialState

from vestiary import __version__
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import TrainingError, TrainingUnwritableError, UsageError, VestiaryError
from vestiary.product import Split
from vestiary.taxonomy import Taxonomy
from vestiary.training.dataset import Samples, open_samples
from vestiary.training.fit import fit
from vestiary.training.model import Classifier
from vestiary.training.progress import FitProgress
from vestiary.training.rare import settle_rare_values
from vestiary.training.recipe import Recipe, check_catalogue, parse_recipe
from vestiary.training.settings import suggest
from vestiary.training.space import Choices, Range
from vestiary.training.study import (
    PRUNERS,
    STUDY,
    Search,
    TrialResult,
    decode_parameters,
    open_study,
    rank_results,
    retry_stopped,
    to_result,
)
from vestiary.training.train import refuse_attributes, refuse_missing_answers

BEST: Final = "best.toml"
LOCK: Final = "lock"

OnTrial = Callable[[TrialResult, TrialResult | None], None]
"""Called when a trial has ended, with the best one so far, if any came to its end."""


def tune(
    catalogue: Catalogue,
    search: Search,
    out: Path,
    *,
    cache: Path,
    trials: int,
    resume: bool = False,
    threads: int = 0,
    on_decode: Progress | None = None,
    on_progress: Callable[[int, FitProgress], None] | None = None,
    on_trial: OnTrial = lambda result, best: None,
) -> list[TrialResult]:
    """Run trials until the study in ``out`` has ``trials`` of them, and write the best recipe there; all, best first.

    Parameters are drawn by Optuna's TPE (Bergstra et al. 2011) from the recipe's seed, the place of the trial and the
    figures of those before it. A trial that was running when the study was killed counts as failed; its parameters
    are tried again, from its last checkpoint. A trial that cannot be trained (its loss is no longer a number) is
    failed, and the search goes on. The test split is not touched. Raises UsageError for an unknown objective or
    pruner, when ``out`` holds a study and ``resume`` is not set, another study or none to resume; RecipeError when a
    recipe does not fit the catalogue, what ``Classifier`` raises, and TrainingError when every trial failed, or when a
    file cannot be written: the study can be gone on with then.
    """
    _check_words(search, catalogue.taxonomy)
    _check_place(out, resume=resume)
    if threads:
        torch.set_num_threads(threads)
    for recipe in _list_recipes(search):
        check_catalogue(recipe, catalogue)
    if "backbone" not in search.space:
        Classifier(search.recipe, catalogue.taxonomy)  # refuses once what every trial would stumble over
    refuse_attributes(catalogue)
    samples = _take_share(open_samples(catalogue, search.recipe.preprocess, cache, progress=on_decode), search)
    refuse_missing_answers(catalogue, samples)
    out.mkdir(parents=True, exist_ok=True)
    with _alone_in(out):
        study = open_study(search, catalogue, out)
        retry_stopped(study)
        runner = _Runner(search, catalogue.taxonomy, samples, out, study, on_progress)
        results = rank_results(study, search)
        while len(results) < trials:
            result = runner.run(len(results) + 1)
            results = rank_results(study, search)
            on_trial(result, _write_best(results, search, out))
        if _write_best(results, search, out) is None:
            raise TrainingError(
                f"None of the {len(results)} trials could be trained, change the recipe or the search; "
                f"the first of them: {results[0].reason}"
            )
    return results


class _Runner:
    """Trains one trial after another on the same decoded pictures."""

    def __init__(
        self,
        search: Search,
        taxonomy: Taxonomy,
        samples: Samples,
        out: Path,
        study: optuna.Study,
        on_progress: Callable[[int, FitProgress], None] | None,
    ) -> None:
        self.search, self.taxonomy, self.samples, self.out = search, taxonomy, samples, out
        self.study, self.on_progress = study, on_progress
        self.distributions = {key: _to_distribution(key, entry) for key, entry in search.space.items()}

    def run(self, number: int) -> TrialResult:
        """Draw the parameters of trial ``number`` and train with them; how it ended, as the study now has it."""
        seed = zlib.crc32(f"{self.search.recipe.seed}:{number}".encode())
        self.study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = self.study.ask(self.distributions)
        trial.set_user_attr("number", number)
        try:
            value = self._train(trial, self.out / f"trial-{number:03}")
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except TrainingUnwritableError:
            raise  # no fault of these parameters: they are tried again when the study is gone on with
        except (VestiaryError, torch.OutOfMemoryError) as error:
            short = "The device has too little memory for it."
            trial.set_user_attr("reason", str(error) if isinstance(error, VestiaryError) else short)
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, value)
        for weights in (self.out / f"trial-{number:03}").glob("*.pt"):
            weights.unlink()
        return to_result(self.study.trials[trial.number])

    def _train(self, trial: Trial, work: Path) -> float:
        """Fit the trial's recipe, watched by the pruner; the objective at the weights that its recipe would ship."""
        recipe = parse_recipe(self.search.trial_recipe.to_dict() | decode_parameters(trial.params))
        resume = "stopped" in trial.user_attrs and (work / "checkpoint.pt").exists()
        if not resume:
            shutil.rmtree(work, ignore_errors=True)
        for line in _read_log(work):
            trial.report(self._measure(line), int(line["epoch"]))

        def watch(progress: FitProgress) -> None:
            line = progress.finished_epoch
            if line is not None:
                trial.report(self._measure(line), line["epoch"])
                if line["epoch"] < progress.epochs and trial.should_prune():
                    raise optuna.TrialPruned
            if self.on_progress is not None:
                self.on_progress(trial.user_attrs["number"], progress)

        samples, _ = settle_rare_values(self.samples, self.taxonomy, recipe)
        fit(recipe, self.taxonomy, samples, work, resume=resume, on_progress=watch)
        log = _read_log(work)
        trial.set_user_attr("seconds", float(log[-1]["seconds"]))
        shipped = min(log, key=lambda line: float(line["validation_loss"])) if recipe.keep == "best" else log[-1]
        return self._measure(shipped)

    def _measure(self, line: Mapping[str, Any]) -> float:
        """The objective of a line of the log."""
        if self.search.objective == "validation_loss":
            return float(line["validation_loss"])
        names = self.taxonomy.names if self.search.objective == "accuracy" else (self.search.objective,)
        return sum(float(line[f"accuracy.{name}"]) for name in names) / len(names)


def _to_distribution(key: str, entry: Range | Choices) -> optuna.distributions.BaseDistribution:
    if isinstance(entry, Choices):
        return optuna.distributions.CategoricalDistribution([json.dumps(value) for value in entry.values])
    if get_type_hints(Recipe)[key] is int:
        return optuna.distributions.IntDistribution(int(entry.low), int(entry.high), log=entry.log)
    return optuna.distributions.FloatDistribution(entry.low, entry.high, log=entry.log)


def _check_words(search: Search, taxonomy: Taxonomy) -> None:
    objectives = ("accuracy", "validation_loss", *taxonomy.names)
    if search.pruner not in PRUNERS:
        raise UsageError(f"--pruner {search.pruner} is not known; choose one of: {', '.join(PRUNERS)}.")
    if search.objective not in objectives:
        remedy = suggest(search.objective, objectives, otherwise=f"choose one of: {', '.join(objectives)}")
        raise UsageError(f"--objective {search.objective} is not known; {remedy}.")


def _list_recipes(search: Search) -> Iterator[Recipe]:
    """The recipe, and with each of the values that a key is chosen from."""
    yield search.recipe
    for key, entry in search.space.items():
        for value in entry.values if isinstance(entry, Choices) else ():
            yield parse_recipe(search.recipe.to_dict() | {key: value})


def _check_place(out: Path, *, resume: bool) -> None:
    if resume and not (out / STUDY).exists():
        raise UsageError(f"{out} holds no study to go on with; leave --resume out to start one.")
    if (out / STUDY).exists() and not resume:
        raise UsageError(f"{out} already holds a study; add --resume to go on with it, or choose another place.")
    if not resume and out.exists() and (not out.is_dir() or any(entry.name != LOCK for entry in out.iterdir())):
        raise UsageError(f"{out} exists and holds no study; choose another place.")


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    try:
        with FileLock(out / LOCK, timeout=0):
            yield
    except Timeout as error:
        raise TrainingError(f"Another search is writing to {out}; wait for it or choose another place.") from error


def _take_share(samples: Samples, search: Search) -> Samples:
    """The training and validation pictures that trials see: of the former a share, drawn from the recipe's seed."""
    for split in (Split.TRAIN, Split.VALIDATION):
        if not len(samples.rows[split]):
            raise TrainingError(f"The {split} split has no pictures to try recipes on; ingest a larger catalogue.")
    rows = samples.rows[Split.TRAIN]
    n = max(round(search.share * len(rows)), 1)
    chosen = np.sort(np.random.default_rng(search.recipe.seed).permutation(rows)[:n])
    return replace(samples, rows={Split.TRAIN: chosen, Split.VALIDATION: samples.rows[Split.VALIDATION]})


def _write_best(results: list[TrialResult], search: Search, out: Path) -> TrialResult | None:
    """Put the best recipe so far into ``out``, with the recipe's own phases: what ``vestiary train`` takes.

    The trial it is of, None when none is complete.
    """
    complete = [result for result in results if result.state == "complete"]
    if not complete:
        return None
    best = complete[0]
    name = f"{search.recipe.name}-tuned"
    recipe = parse_recipe(search.recipe.to_dict() | best.parameters | {"name": name})
    lines = [
        f"# The best of {len(complete)} complete trials of vestiary tune {__version__} (trial {best.number}): "
        f"{search.objective} {best.value:.4f} on validation.",
        *(f"{key} = {_to_toml(value)}" for key, value in recipe.choices.items()),
    ]
    part = out / f"{BEST}.part"
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(part, out / BEST)
    return best


def _to_toml(value: Any) -> str:
    """A recipe's value as TOML writes it."""
    if isinstance(value, Mapping):
        names = [key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key) for key in value]
        return (
            "{ "
            + ", ".join(f"{name} = {_to_toml(own)}" for name, own in zip(names, value.values(), strict=True))
            + " }"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_to_toml, value)) + "]"
    return json.dumps(value)


def _read_log(work: Path) -> list[dict[str, str]]:
    """The lines of a run's log so far."""
    path = work / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))
