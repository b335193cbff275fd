"""A run's figures in TensorBoard and MLflow, for who has them; ``log.csv`` is written in any case."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from vestiary.errors import TrainingError, UsageError, first_sentence, require
from vestiary.training.recipe import Recipe

LOGS = ("tensorboard", "mlflow")
FORBIDDEN = re.compile(r"[^\w. -]")
"""What MLflow lets into no name of a metric, and the slash, which it lets into some."""


def check_logs(names: Sequence[str]) -> None:
    """Raise UsageError for a name that is no log, MissingExtraError when its package is not installed."""
    for name in names:
        if name not in LOGS:
            raise UsageError(f"There is no log {name!r}; write one of: {', '.join(LOGS)}.")
        require(name, extra="tracking", feature=f"The log {name!r}")


class Tracker(Protocol):
    """Takes a run's figures."""

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name at a step."""

    def close(self, *, finished: bool) -> None:
        """Nothing more comes: the run is ``finished``, or was stopped."""


def open_trackers(names: Sequence[str], work: Path, recipe: Recipe, *, step: int) -> list[Tracker]:
    """Trackers for logs that ``check_logs`` let through; they go on at ``step`` where ``work`` holds a run."""
    makers: dict[str, Callable[[Path, Recipe, int], Tracker]] = {"tensorboard": _TensorBoard, "mlflow": _MLflow}
    return [makers[name](work, recipe, step) for name in names]


class _TensorBoard:
    """Events in ``tensorboard/`` of the run's folder; figures after ``step`` of what went before are hidden."""

    def __init__(self, work: Path, recipe: Recipe, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(work / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name.replace(".", "/"), value, step)
        self._writer.flush()

    def close(self, *, finished: bool) -> None:
        self._writer.close()


class _MLflow:
    """A run where ``MLFLOW_TRACKING_URI`` says, or in ``mlflow.db`` of the run's folder."""

    def __init__(self, work: Path, recipe: Recipe, step: int) -> None:
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(work / 'mlflow.db').resolve()}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own database models
            with _explain(address):
                self._client = mlflow.MlflowClient(address)
                self._run = self._open_run(work / "mlflow-run.txt", recipe, goes_on=bool(step))
        self._address = address

    def _open_run(self, note: Path, recipe: Recipe, *, goes_on: bool) -> str:
        """The id of the run, new or the one that was noted."""
        if goes_on and note.exists():
            run = note.read_text(encoding="utf-8").strip()
            self._client.update_run(run, "RUNNING")
            return run
        experiment = self._client.get_experiment_by_name("vestiary")
        number = experiment.experiment_id if experiment else self._client.create_experiment("vestiary")
        run = str(self._client.create_run(number, run_name=recipe.name).info.run_id)
        for name, value in recipe.to_dict().items():
            self._client.log_param(run, name, value)
        note.write_text(f"{run}\n", encoding="utf-8")
        return run

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        with _explain(self._address):
            for name, value in figures.items():
                self._client.log_metric(self._run, FORBIDDEN.sub("_", name), value, step=step)

    def close(self, *, finished: bool) -> None:
        with _explain(self._address):
            self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


@contextmanager
def _explain(address: str) -> Iterator[None]:
    """Tell in a sentence why MLflow could not be written to."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TrainingError(
            f"MLflow at {address} cannot be written to ({first_sentence(error)}); correct MLFLOW_TRACKING_URI, or "
            "leave mlflow out of --log."
        ) from error


def figures_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a log line."""
    return {name: float(value) for name, value in line.items() if name != "epoch"}
