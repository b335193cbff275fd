"""Actors and whole nodes of a Ray cluster that are lost in the middle of a batch: each picture still counts once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

from batches import Batches, open_batches, paint_folder
from vestiary.batch import lookout, on_ray
from vestiary.bundle import open_bundle
from vestiary.cluster import QUIET, Cluster
from vestiary.errors import BatchError

# Ray warns of its own settings, and leaves files and sockets to the end of the process.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

NAMES = [f"{number:04d}.png" for number in range(3000)]
STORE_BYTES = 100_000_000


@pytest.fixture
def batches(make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batches]:
    monkeypatch.setattr(on_ray, "PORTION", on_ray.PARCEL)
    opened = open_batches(open_bundle(make_bundle()), tmp_path)
    yield opened
    opened.ledger.close()


class Nodes:
    """A cluster of several nodes on this machine, which this process belongs to."""

    def __init__(self) -> None:
        import ray
        from ray.cluster_utils import Cluster as Simulated

        self.ray = ray
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        self.simulated = Simulated(initialize_head=True, head_node_args=head)
        self.workers: list[Any] = []
        self.ray.init(address=self.simulated.address, log_to_driver=False, logging_level="ERROR")

    def add(self) -> None:
        for tries_left in reversed(range(3)):  # a busy machine may start one too slowly
            try:
                self.workers.append(self.simulated.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
                return
            except Exception as error:
                if not tries_left or "timed out" not in str(error):
                    raise

    def kill_one(self) -> None:
        self.simulated.remove_node(self.workers.pop(), allow_graceful=False)

    def close(self) -> None:
        self.ray.shutdown()
        self.simulated.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes with one core each beside the head, which has none; a busy machine may start one too slowly."""
    for tries_left in reversed(range(5)):
        with contextlib.ExitStack() as stack:
            try:
                started = Nodes()
                stack.callback(started.close)
                for _ in range(2):
                    started.add()
            except Exception as error:
                if not tries_left or "timed out" not in str(error):
                    raise
                continue
            yield started
            return


def find_actors() -> list[int]:
    """The processes in which actors answer pictures."""
    psutil = pytest.importorskip("psutil", reason="the extra 'train' is not installed")
    return [each.pid for each in psutil.process_iter(["cmdline"]) if "Answerer" in " ".join(each.info["cmdline"] or [])]


def test_an_actor_that_is_killed_in_the_middle_costs_no_picture_and_counts_none_twice(
    nodes: Nodes, batches: Batches, tmp_path: Path
) -> None:
    photos, killed = paint_folder(tmp_path / "photos", NAMES), []

    def kill(done: int, total: int) -> None:
        if not killed and done < total / 2:
            killed.extend(find_actors()[:1])
            os.kill(killed[0], 9)

    batches.run(photos, cluster=Cluster(), show=kill)
    assert killed
    batches.check_exact(NAMES)


def test_a_node_that_is_lost_in_the_middle_costs_no_picture_and_counts_none_twice(
    nodes: Nodes, batches: Batches, tmp_path: Path
) -> None:
    photos, lost = paint_folder(tmp_path / "photos", NAMES), []

    def lose(done: int, total: int) -> None:
        if not lost and done < total / 2:
            lost.append(len(find_actors()))
            nodes.kill_one()
            nodes.add()

    batches.run(photos, cluster=Cluster(), show=lose)
    assert lost == [2]
    batches.check_exact(NAMES)


def test_a_cluster_without_any_room_is_given_up_and_the_batch_goes_on_elsewhere(
    nodes: Nodes, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "IDLE_S", 5)
    photos = paint_folder(tmp_path / "photos", NAMES[:20])
    with pytest.raises(
        BatchError, match=r"none came for \d+ s: none of its nodes \(3\) has the 64 cores that an actor"
    ):
        batches.run(photos, cluster=Cluster(), threads=64)
    batches.run(photos)
    batches.check_exact(NAMES[:20])


def test_actors_that_are_killed_again_and_again_as_for_lack_of_memory_end_the_batch_and_it_can_go_on(
    nodes: Nodes, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "IDLE_S", 20)
    photos, is_over, killed = paint_folder(tmp_path / "photos", NAMES[:20]), threading.Event(), []

    def kill_all() -> None:
        while not is_over.wait(0.2):
            for pid in find_actors():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
                    killed.append(pid)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(BatchError, match=r"lack of memory: take fewer .*\); everything so far is kept") as caught:
            batches.run(photos, cluster=Cluster())
    finally:
        is_over.set()
        killer.join()
    assert caught.value.exit_code == 1 and killed
    batches.run(photos, cluster=Cluster())
    batches.check_exact(NAMES[:20])


def test_a_node_that_has_no_memory_for_any_actor_ends_the_batch_and_it_can_go_on(
    nodes: Nodes, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own memory monitor kills whatever is begun there: to it, a machine in use is a full one."""
    monkeypatch.setattr(lookout, "IDLE_S", 20)
    photos = paint_folder(tmp_path / "photos", NAMES[:20])
    while nodes.workers:
        nodes.kill_one()
    with monkeypatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", "0.001")
        patch.setenv("RAY_memory_monitor_refresh_ms", "50")
        nodes.add()
    with pytest.raises(BatchError, match=r"memory: take fewer .*--actors, or nodes with more memory\)") as caught:
        batches.run(photos, cluster=Cluster())
    assert caught.value.exit_code == 1
    nodes.kill_one()
    nodes.add()
    batches.run(photos, cluster=Cluster())
    batches.check_exact(NAMES[:20])


def test_a_cluster_that_loses_all_its_nodes_is_given_up_and_the_batch_goes_on_elsewhere(
    nodes: Nodes, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "IDLE_S", 20)
    photos = paint_folder(tmp_path / "photos", NAMES)

    def lose_all(done: int, total: int) -> None:
        while nodes.workers and 0 < done < total / 2:
            nodes.kill_one()

    with pytest.raises(BatchError, match=r"none came for \d+ s.*; everything so far is kept: run the same command"):
        batches.run(photos, cluster=Cluster(), show=lose_all)
    nodes.add()
    batches.run(photos, cluster=Cluster())
    batches.check_exact(NAMES)
