"""Training on a Ray cluster: what one process would have trained, also when a process is killed on the way."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
psutil = pytest.importorskip("psutil", reason="the extra 'train' is not installed")

from conftest import Done, Vestiary  # noqa: E402
from test_processes import RECIPE, read_log  # noqa: E402
from vestiary.bundle import open_bundle  # noqa: E402
from vestiary.catalogue import ingest  # noqa: E402
from vestiary.cluster import Cluster  # noqa: E402
from vestiary.errors import RecipeError, TrainingError, UsageError  # noqa: E402
from vestiary.training.on_ray import Listener, Task, train_on_cluster  # noqa: E402
from vestiary.training.progress import FitProgress  # noqa: E402
from vestiary.training.recipe import Phase, load_recipe  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def catalogue(drawn_folder: Path, tmp_path: Path) -> Path:
    ingest(drawn_folder).save(tmp_path / "catalogue")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "catalogue"


def check_same(tmp_path: Path) -> None:
    """Fail unless the runs "one" and "two" went the same way, to rounding."""
    for close, one, two in zip((1e-5, 1e-3, 1e-3), read_log(tmp_path / "one"), read_log(tmp_path / "two"), strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=close)
        assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=close)
    bundles = [open_bundle(tmp_path / name) for name in ("one", "two")]
    assert bundles[0].training["epoch"] == bundles[1].training["epoch"]


def test_two_processes_on_a_cluster_end_where_one_does(
    ray_here: None, vestiary: Vestiary, catalogue: Path, tmp_path: Path
) -> None:
    def train(name: str, *more: object) -> Done:
        words = ("train", catalogue, "--recipe", tmp_path / "recipe.toml", "--out", tmp_path / name, "--threads", 1)
        done = vestiary(*words, *more)
        assert done.code == 0, done.err
        return done

    train("one")
    done = train("two", "--engine", "ray", "--workers", 2)
    assert done.err.count("2 processes train together") == 1
    assert sum(line.startswith("epoch 3/3 ") for line in done.err.splitlines()) == 1
    assert "validation split" in done.out
    check_same(tmp_path)


def test_a_process_that_is_killed_costs_what_came_after_the_last_checkpoint(
    ray_here: None, catalogue: Path, tmp_path: Path
) -> None:
    recipe, said = load_recipe(str(tmp_path / "recipe.toml"), []), []
    killed: list[int] = []

    def kill(progress: FitProgress) -> None:
        if progress.finished_epoch and not killed:
            trainers = [each.pid for each in psutil.process_iter(["cmdline"]) if is_trainer(each.info["cmdline"])]
            killed.append(trainers[-1])
            os.kill(killed[0], 9)

    listen: Callable[[str], None] = said.append
    task = Task(catalogue, recipe, tmp_path / "two")
    train_on_cluster(Cluster(), task, workers=2, listener=Listener(on_progress=kill, on_stage=listen))
    assert killed
    lost = "the cluster lost the run (The actor died unexpectedly before finishing this task); starting again from"
    assert any(line.startswith(lost) for line in said)
    train_on_cluster(Cluster(), Task(catalogue, recipe, tmp_path / "one"), workers=1)
    check_same(tmp_path)


def test_a_machine_that_will_never_have_the_cores_is_told_at_once_and_a_cluster_is_waited_for(
    ray_here: None, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(catalogue, load_recipe(str(tmp_path / "recipe.toml"), []), tmp_path / "out", threads=200)
    with pytest.raises(UsageError, match=r"2 processes of 200 cores need 400, and this machine has \d+; give fewer"):
        train_on_cluster(Cluster("local"), task, workers=2)
    said: list[str] = []

    class Waits(Exception):
        pass

    def give_up(line: str) -> None:
        said.append(line)
        raise Waits

    with pytest.raises(Waits):
        train_on_cluster(Cluster("auto"), task, workers=2, listener=Listener(on_stage=give_up))
    assert re.fullmatch(r"waiting: 2 processes of 200 cores need 400, and the cluster has \d+ now", said[0])


def test_ctrl_c_ends_all_processes_and_leaves_a_checkpoint_to_go_on_from(
    ray_here: None, catalogue: Path, tmp_path: Path
) -> None:
    recipe, said = load_recipe(str(tmp_path / "recipe.toml"), []), []
    recipe = replace(recipe, phases=(Phase(500, 40, 30),))
    pressed: list[int] = []

    def press(progress: FitProgress) -> None:
        if progress.finished_epoch and not pressed:
            pressed.append(progress.step)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    listen: Callable[[str], None] = said.append
    task = Task(catalogue, recipe, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        train_on_cluster(Cluster(), task, workers=2, listener=Listener(on_progress=press, on_stage=listen))
    assert said[-1] == "stopped; go on from the last checkpoint with --resume"
    assert signal.getsignal(signal.SIGINT) is before
    assert sorted(each.name for each in task.work.iterdir()) == ["best.pt", "checkpoint.pt", "lock", "log.csv"]


def is_trainer(command: list[str] | None) -> bool:
    return "RayTrainWorker" in " ".join(command or [])


def test_what_a_process_refuses_is_the_sentence_that_is_told(ray_here: None, catalogue: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(tmp_path / "recipe.toml"), [])
    task = Task(catalogue, recipe, tmp_path / "out")
    unfit = replace(recipe, attribute_weights={"colour": 2.0})
    for wrong, kind, sentence in (
        (replace(task, resume=True), TrainingError, r"out\.training holds no checkpoint to go on from"),
        (replace(task, recipe=unfit), RecipeError, r"^Recipe .*: unknown attribute 'attribute_weights.colour', .*\.$"),
        (replace(task, teachers=["nobody"]), UsageError, r"^There is no bundle at nobody; check the path"),
    ):
        with pytest.raises(kind, match=sentence):
            train_on_cluster(Cluster(), wrong, workers=2)


def test_teachers_are_found_from_the_folder_where_the_command_was_given(
    ray_here: None,
    vestiary: Vestiary,
    catalogue: Path,
    trained_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(trained_bundle.parent)  # after Ray was started: its processes are elsewhere
    words = ("train", catalogue, "--recipe", tmp_path / "recipe.toml", "--out", tmp_path / "pupil")
    phases = "phases=[{ epochs = 1, height = 40, width = 30 }]"
    done = vestiary(*words, "--set", phases, "--engine", "ray", "--workers", 2, "--teacher", trained_bundle.name)
    assert done.code == 0, done.err
    assert done.err.count("taught by tiny (") == 1 and "through its checkpoint" in done.err
    teacher = open_bundle(trained_bundle)
    assert open_bundle(tmp_path / "pupil").training["teachers"] == [
        {"name": "tiny", "fingerprint": teacher.fingerprint, "catalogues": sorted(teacher.learnt_from)}
    ]
