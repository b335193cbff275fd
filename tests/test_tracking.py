"""Logs beside the CSV, read back with the packages they are for."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from vestiary.errors import MissingExtraError, TrainingError, UsageError  # noqa: E402
from vestiary.product import Split  # noqa: E402
from vestiary.taxonomy import Attribute, Taxonomy  # noqa: E402
from vestiary.training.dataset import Samples  # noqa: E402
from vestiary.training.fit import fit  # noqa: E402
from vestiary.training.progress import FitProgress  # noqa: E402
from vestiary.training.recipe import Phase, Recipe  # noqa: E402

TAXONOMY = Taxonomy((Attribute("kind", ("Shirt", "Shoe")),))
RECIPE = Recipe(
    name="tracked", width=8, height=8, phases=(Phase(3, 8, 8),), stem=4, stages=((8, 1),), batch_size=16
)  # fmt: skip


class Stopped(Exception):
    """The end of a run that is taken up again."""


def make_samples() -> Samples:
    rng = np.random.default_rng(0)
    rows = {Split.TRAIN: np.arange(40), Split.VALIDATION: np.arange(40, 60), Split.TEST: np.arange(0)}
    return Samples(rng.integers(0, 255, (60, 8, 8, 3), np.uint8), np.arange(60)[:, None] % 2, rows)


def run_twice(work: Path, log: str) -> list[dict[str, Any]]:
    """A run stopped after its first epoch and resumed, with a log; the lines of the CSV."""

    def stop(progress: FitProgress) -> None:
        if progress.finished_epoch:
            raise Stopped

    with pytest.raises(Stopped):
        fit(RECIPE, TAXONOMY, make_samples(), work, logs=[log], on_progress=stop)
    return fit(RECIPE, TAXONOMY, make_samples(), work, logs=[log], resume=True)[1].log


def test_tensorboard_shows_every_figure_of_every_epoch_of_a_resumed_run(tmp_path: Path) -> None:
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    log = run_twice(tmp_path, "tensorboard")
    events = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    names = {name.replace(".", "/") for name in log[0]} - {"epoch"}
    assert set(events.Tags()["scalars"]) == names
    for name in ("train_loss", "validation_loss", "accuracy/kind"):
        points = events.Scalars(name)
        assert [point.step for point in points] == [3, 6, 9]
        assert [point.value for point in points] == pytest.approx([line[name.replace("/", ".")] for line in log])


def test_tensorboard_does_not_show_a_run_that_was_discarded(tmp_path: Path) -> None:
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    run_twice(tmp_path, "tensorboard")
    short = replace(RECIPE, phases=(Phase(1, 8, 8),))
    fit(short, TAXONOMY, make_samples(), tmp_path, logs=["tensorboard"], overwrite=True)
    events = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("train_loss")] == [3]


@pytest.mark.parametrize("named", [False, True])
def test_mlflow_holds_one_run_with_recipe_and_figures(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    address = f"sqlite:///{tmp_path / 'elsewhere.db'}" if named else f"sqlite:///{tmp_path / 'work' / 'mlflow.db'}"
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log = run_twice(tmp_path / "work", "mlflow")
    assert (tmp_path / "work" / "mlflow.db").exists() is not named
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("vestiary")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["batch_size"] == "16"
    assert run.data.params["name"] == "tracked"
    points = client.get_metric_history(run.info.run_id, "validation_loss")
    assert [(point.step, point.value) for point in points] == [
        (step, line["validation_loss"]) for step, line in zip((3, 6, 9), log, strict=True)
    ]


def test_mlflow_takes_attributes_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    taxonomy = Taxonomy((Attribute("Größe (EU) & fit: a//b/", ("Shirt", "Shoe")),))
    fit(replace(RECIPE, phases=(Phase(1, 8, 8),)), taxonomy, make_samples(), tmp_path, logs=["mlflow"])
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("vestiary").experiment_id])
    assert run.info.status == "FINISHED"
    assert "accuracy.Größe _EU_ _ fit_ a__b_" in run.data.metrics


def test_mlflow_tells_a_stopped_run_from_a_finished_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'runs.db'}")

    def stop(progress: FitProgress) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        fit(RECIPE, TAXONOMY, make_samples(), tmp_path / "work", logs=["mlflow"], on_progress=stop)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("vestiary").experiment_id])
    assert run.info.status == "KILLED"


def test_an_mlflow_that_cannot_be_reached_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://runs")
    with pytest.raises(TrainingError, match=r"^MLflow at nowhere://runs cannot be .*; correct MLFLOW_TRACKING_URI, "):
        fit(RECIPE, TAXONOMY, make_samples(), tmp_path, logs=["mlflow"])


def test_a_log_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    fit(RECIPE, TAXONOMY, make_samples(), tmp_path)
    with pytest.raises(UsageError, match=r"There is no log 'wandb'; write one of: tensorboard, mlflow\."):
        fit(RECIPE, TAXONOMY, make_samples(), tmp_path, logs=["wandb"], overwrite=True)
    assert (tmp_path / "log.csv").exists()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_without_its_package_the_extra_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def refuse(module: str, *rest: Any) -> Any:
        if module == name:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", refuse)
    sentence = rf"The log '{name}' needs the package '{name}', which is not installed; .*'vestiary\[tracking\]'"
    with pytest.raises(MissingExtraError, match=sentence):
        fit(replace(RECIPE, name="x"), TAXONOMY, make_samples(), tmp_path, logs=[name])
