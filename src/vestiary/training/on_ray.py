"""Training on a Ray cluster: Ray Train starts the processes, and each does what ``accelerate launch`` would have it do.

The catalogue, the pictures it names, the folder of the bundle and its teachers must be where every node reaches them
under the same path. The process that was started only listens; what it hears is what ``train`` tells its first process.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vestiary.bundle import Bundle, check_writable, open_bundle
from vestiary.catalogue import Progress, load_catalogue
from vestiary.cluster import LOCAL, Cluster, keep_handler
from vestiary.errors import TrainingError, UsageError, VestiaryError, first_sentence, require
from vestiary.metrics import Scores
from vestiary.training.processes import HasLeftError
from vestiary.training.progress import FitProgress, OnProgress, OnStage
from vestiary.training.recipe import Recipe
from vestiary.training.train import train

ATTEMPTS: Final = 3
"""How often the processes are started, when actors or nodes are lost; each time from the last checkpoint."""
TELL_S: Final = 0.5
"""Seconds between two words about progress."""


@dataclass(frozen=True)
class Task:
    """What each process is to do; see ``train``. ``threads`` are the cores of each, at least 1."""

    folder: Path
    recipe: Recipe
    out: Path
    resume: bool = False
    overwrite: bool = False
    licence: str = "unspecified"
    threads: int = 1
    logs: Sequence[str] = ()
    teachers: Sequence[str] = ()

    @property
    def work(self) -> Path:
        """Where ``train`` keeps checkpoints."""
        return self.out.with_name(f"{self.out.name}.training")


@dataclass
class _Heard:
    """What the first process has told so far."""

    error: VestiaryError | None = None
    scores: dict[str, Scores] | None = None
    has_begun: bool = False


@dataclass(frozen=True)
class Listener:
    """Whom to tell of progress; see ``train``."""

    on_decode: Progress = lambda done, total: None
    on_progress: OnProgress = lambda progress: None
    on_calibrate: Progress = lambda done, total: None
    on_stage: OnStage = lambda line: None


def train_on_cluster(
    cluster: Cluster, task: Task, *, workers: int, listener: Listener | None = None
) -> tuple[Bundle, dict[str, Scores]]:
    """As ``train``, by so many processes of a cluster, on a GPU each where it has any.

    A process or node that is lost costs what was learnt since the last checkpoint. Raises what ``train`` raises,
    UsageError for a number of workers or an address that cannot be, and TrainingError when the cluster loses the run
    ATTEMPTS times. Ctrl-C ends the processes, leaves the last checkpoint and raises KeyboardInterrupt.
    """
    if workers < 1:
        raise UsageError("A cluster trains with as many processes as you say; add --workers with a number from 1.")
    teachers = [str(Path(name).resolve()) if Path(name).exists() else name for name in task.teachers]
    task = replace(task, folder=task.folder.resolve(), out=task.out.resolve(), teachers=teachers)
    check_writable(task.out, overwrite=task.overwrite or task.resume)
    listener = listener or Listener()
    with cluster.join() as ray:
        _check_room(ray, cluster, workers, task.threads, listener)
        try:
            heard = _keep_trying(ray, task, workers, listener)
        finally:
            shutil.rmtree(task.work / "ray", ignore_errors=True)
    try:
        return open_bundle(task.out), heard.scores or {}
    except UsageError as error:
        raise TrainingError(
            f"The run is over, but its bundle is not at {task.out} on this machine; name a folder with --out that all "
            "nodes reach under the same path."
        ) from error


def _check_room(ray: Any, cluster: Cluster, workers: int, threads: int, listener: Listener) -> None:
    """Ray waits in silence until there are cores enough: say so, or raise UsageError where there never will be."""
    wanted, there = workers * threads, int(ray.cluster_resources().get("CPU", 0))
    if wanted <= there:
        return
    if cluster.place == LOCAL:
        raise UsageError(
            f"{workers} processes of {threads} cores need {wanted}, and this machine has {there}; give fewer --workers "
            "or --threads, or name a cluster with --ray-address."
        )
    listener.on_stage(f"waiting: {workers} processes of {threads} cores need {wanted}, and the cluster has {there} now")


def _keep_trying(ray: Any, task: Task, workers: int, listener: Listener) -> _Heard:
    """Start the processes until a run comes to an end of its own."""
    heard = _Heard()
    for left in reversed(range(ATTEMPTS)):
        reason = _run(ray, task, workers, listener, heard)
        if heard.error is not None:
            raise heard.error
        if heard.scores is not None:
            return heard
        if left and heard.has_begun and (task.work / "checkpoint.pt").exists():
            task = replace(task, resume=True, overwrite=False)
        if left:
            listener.on_stage(f"the cluster lost the run ({reason}); starting again from the last checkpoint")
    raise TrainingError(
        f"The Ray cluster lost the run {ATTEMPTS} times ({reason}); mend that and go on with --resume, or start again "
        "with --overwrite."
    )


def _run(ray: Any, task: Task, workers: int, listener: Listener, heard: _Heard) -> str:
    """One go of all processes; why it ended early, if it did."""
    train_package = require("ray.train", extra="ray", feature="Training on Ray")
    torch_package = require("ray.train.torch", extra="ray", feature="Training on Ray")
    queues = require("ray.util.queue", extra="ray", feature="Training on Ray")
    strategies = require("ray.util.scheduling_strategies", extra="ray", feature="Training on Ray")
    here = strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    told = queues.Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})  # no other node is needed for it
    trainer = torch_package.TorchTrainer(
        _work,
        train_loop_config={"task": task, "told": told},
        scaling_config=train_package.ScalingConfig(
            num_workers=workers,
            use_gpu=ray.cluster_resources().get("GPU", 0) >= workers,
            resources_per_worker={"CPU": task.threads},
        ),
        run_config=train_package.RunConfig(
            name="run",
            storage_path=str(task.work / "ray"),
            logging_config=train_package.LoggingConfig(log_level="ERROR"),
        ),
    )
    ears = threading.Thread(target=_listen, args=(told, listener, heard))
    ears.start()
    reason = ""
    try:
        with keep_handler(signal.SIGINT):
            trainer.fit()
    except train_package.TrainingFailedError as error:
        reason = _find_reason(error)
    except SystemExit as error:  # how Ray leaves after Ctrl-C, when the processes have ended
        if (task.work / "checkpoint.pt").exists():
            listener.on_stage("stopped; go on from the last checkpoint with --resume")
        raise KeyboardInterrupt from error
    finally:
        told.put(("end", None))
        ears.join()
        told.shutdown()
    return reason


def _find_reason(error: BaseException) -> str:
    """What one of the processes died of; where none did, what the first of them raised."""
    failures = list(getattr(error, "worker_failures", {}).values())
    deaths = [own for failure in failures if (own := getattr(failure, "health_check_failure", None)) is not None]
    if deaths or not failures:
        return first_sentence(deaths[0] if deaths else error)
    return str(failures[0]).strip().rpartition("\n")[2].rstrip(".")  # the last line of a traceback


def _listen(told: Any, listener: Listener, heard: _Heard) -> None:
    """Pass on what is told, until the end."""
    pass_on: dict[str, Callable[..., None]] = {
        "decode": lambda counts: listener.on_decode(*counts),
        "progress": listener.on_progress,
        "calibrate": lambda counts: listener.on_calibrate(*counts),
        "stage": listener.on_stage,
    }
    while True:
        kind, value = told.get()
        if kind == "end":
            return
        if kind in pass_on:
            heard.has_begun |= kind == "progress"
            pass_on[kind](value)
        else:
            setattr(heard, kind, value)


def _work(given: dict[str, Any]) -> None:
    """One process, in an actor of Ray Train."""
    task: Task = given["task"]
    mouth = _Mouth(given["told"])
    try:
        _, scores = train(
            load_catalogue(task.folder),
            task.recipe,
            task.out,
            cache=task.folder / "cache",
            resume=task.resume,
            overwrite=task.overwrite,
            licence=task.licence,
            threads=task.threads,
            teachers=task.teachers,
            logs=task.logs,
            hosted=True,
            on_decode=mouth.tell_counts("decode"),
            on_progress=mouth.tell_progress,
            on_calibrate=mouth.tell_counts("calibrate"),
            on_stage=lambda line: mouth.tell("stage", line),
        )
    except HasLeftError:
        return
    except VestiaryError as error:
        mouth.tell("error", error)
        raise
    mouth.tell("scores", scores)


@dataclass
class _Mouth:
    """Tells the process that was started; counts not more often than it can be seen."""

    told: Any
    spoke_at: dict[str, float] = field(default_factory=dict)

    def tell(self, kind: str, value: object) -> None:
        """Say it now."""
        self.told.put((kind, value))

    def tell_counts(self, kind: str) -> Progress:
        """What tells counts: the last of them, and some before."""

        def tell(done: int, total: int) -> None:
            if done == total or self._is_time(kind):
                self.tell(kind, (done, total))

        return tell

    def tell_progress(self, progress: FitProgress) -> None:
        """Every epoch, the first step, and some of the others."""
        if progress.finished_epoch is not None or self._is_time("progress"):
            self.tell("progress", progress)

    def _is_time(self, kind: str) -> bool:
        is_time = time.monotonic() - self.spoke_at.get(kind, -TELL_S) >= TELL_S
        if is_time:
            self.spoke_at[kind] = time.monotonic()
        return is_time
