"""The study of a search on disk: what was asked for, every trial so far and how it ended, in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL

from vestiary.catalogue import Catalogue
from vestiary.errors import UsageError
from vestiary.training.recipe import Phase, Recipe
from vestiary.training.space import Space

STUDY: Final = "study.db"
WATCHED_TRIALS: Final = 4
"""Trials that run to their end before the median of earlier ones stops any."""

STATES: Final = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
"""How a trial ends, best first."""

PRUNERS: Final[Mapping[str, Callable[[int], optuna.pruners.BasePruner]]] = {
    "median": lambda epochs: optuna.pruners.MedianPruner(WATCHED_TRIALS, n_warmup_steps=epochs // 4),
    "halving": lambda epochs: optuna.pruners.SuccessiveHalvingPruner(min_resource=max(epochs // 8, 1)),
    "none": lambda epochs: optuna.pruners.NopPruner(),
}
"""What stops trials that fall behind others at the same epoch: their median, or successive halving (Li et al. 2018)."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial: its place in the study (from 1), how it ended, its figure, and the recipe keys it tried.

    ``value`` is the objective at the end, or when it was pruned (0..1 for accuracies), None for a failed one, whose
    ``reason`` says why.
    """

    number: int
    state: str
    value: float | None
    epochs: int
    seconds: float
    parameters: dict[str, Any]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """Everything that decides what a study's trials are; a study is resumed with the same.

    ``objective`` is "accuracy" (the mean over attributes), an attribute's name, or "validation_loss"; ``share`` the
    part of the training pictures that trials learn from, ``epochs`` how many they do, None for the recipe's.
    """

    recipe: Recipe
    space: Space
    objective: str = "accuracy"
    share: float = 1.0
    epochs: int | None = None
    pruner: str = "median"

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Which values of the objective are better."""
        return "minimize" if self.objective == "validation_loss" else "maximize"

    @property
    def trial_recipe(self) -> Recipe:
        """The recipe that trials start from: with as many epochs as they do, as large a part of them frozen."""
        if self.epochs is None:
            return self.recipe
        frozen = max(round(self.recipe.frozen_epochs * self.epochs / self.recipe.epochs), 1)
        return replace(self.recipe, phases=shorten_phases(self.recipe.phases, self.epochs), frozen_epochs=frozen)


def open_study(search: Search, catalogue: Catalogue, out: Path) -> optuna.Study:
    """The study in ``out``, new or as it was left; UsageError when that had other settings."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            storage=URL.create("sqlite", database=str(out / STUDY)).render_as_string(),
            study_name="study",
            direction=search.direction,
            pruner=PRUNERS[search.pruner](search.trial_recipe.epochs),
            load_if_exists=True,
        )
    except Exception as error:  # SQLAlchemy and Alembic raise many kinds for a broken file
        raise UsageError(f"{out / STUDY} is damaged and cannot be gone on with; start another study.") from error
    settings = {
        "recipe": search.recipe.choices,
        "search": {key: asdict(entry) for key, entry in search.space.items()},
        "objective": search.objective,
        "share": search.share,
        "epochs": search.epochs,
        "pruner": search.pruner,
        "catalogue": catalogue.fingerprint,
    }
    settings = json.loads(json.dumps(settings))
    stored = study.user_attrs.get("settings")
    if stored is None:
        study.set_user_attr("settings", settings)
    elif stored != settings:
        other = [name for name, value in settings.items() if stored.get(name) != value]
        raise UsageError(
            f"The study in {out} was started with another {', '.join(other)}; "
            "resume it with what it was started with, or choose another place."
        )
    return study


def retry_stopped(study: optuna.Study) -> None:
    """Mark trials that were running when the study was killed as failed, and put their parameters up again."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={"stopped": trial.number})


def rank_results(study: optuna.Study, search: Search) -> list[TrialResult]:
    """Trials that came to an end of their own: complete ones first, the best of them before others."""

    def rank(result: TrialResult) -> tuple[int, float]:
        value = result.value if result.value is not None else 0.0
        return tuple(STATES.values()).index(result.state), value if search.direction == "minimize" else -value

    ended = [trial for trial in study.trials if trial.state in STATES and not _was_killed(trial)]
    return sorted(map(to_result, ended), key=rank)


def to_result(trial: FrozenTrial) -> TrialResult:
    """What a trial came to, as its study has it."""
    began, ended = trial.datetime_start, trial.datetime_complete
    wall = (ended - began).total_seconds() if began is not None and ended is not None else 0.0
    return TrialResult(
        number=int(trial.user_attrs["number"]),
        state=STATES[trial.state],
        value=trial.value,
        epochs=max(trial.intermediate_values, default=0),
        seconds=round(trial.user_attrs.get("seconds", wall), 1),
        parameters=decode_parameters(trial.params),
        reason=trial.user_attrs.get("reason"),
    )


def decode_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe values of a trial's parameters: choices are kept as JSON, since the study stores plain words alone."""
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in parameters.items()}


def shorten_phases(phases: tuple[Phase, ...], epochs: int) -> tuple[Phase, ...]:
    """The phases with ``epochs`` in all, each with about its share of them; the last one, at full size, has one."""
    shares = np.cumsum([phase.epochs for phase in phases]) / sum(phase.epochs for phase in phases)
    latest = epochs - np.arange(len(phases))[::-1]
    ends = np.maximum(np.minimum(np.rint(shares * epochs).astype(int), latest), 0)
    counts = np.diff(ends, prepend=0)
    return tuple(replace(phase, epochs=int(n)) for phase, n in zip(phases, counts, strict=True) if n > 0)


def _was_killed(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and "reason" not in trial.user_attrs
