"""A batch on a Ray cluster: the answers of one machine, and each picture once when actors, nodes or shards are lost."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

from batches import Batches, open_batches, paint_folder
from conftest import Vestiary
from vestiary.batch import on_ray
from vestiary.bundle import Bundle, open_bundle
from vestiary.cluster import QUIET, Cluster
from vestiary.errors import BatchError, MissingExtraError, UsageError

NAMES = ["bad.png", os.fsdecode(b"\xff.png"), *(f"{number // 20}/{number:03d}.png" for number in range(58))]
STORE_BYTES = 100_000_000


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle())


@pytest.fixture
def batches(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batches]:
    monkeypatch.setattr(on_ray, "PORTION", on_ray.PARCEL)
    opened = open_batches(bundle, tmp_path)
    yield opened
    opened.ledger.close()


def make_photos(folder: Path, names: list[str] = NAMES) -> Path:
    paint_folder(folder, names)
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


def answers_of(batches: Batches) -> list[dict[str, Any]]:
    """All rows but for the time."""
    return [{name: value for name, value in row.items() if name != "at"} for row in batches.rows()]


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
        self.workers.append(self.simulated.add_node(num_cpus=1, object_store_memory=STORE_BYTES))

    def kill_one(self) -> None:
        self.simulated.remove_node(self.workers.pop(), allow_graceful=False)

    def close(self) -> None:
        self.ray.shutdown()
        self.simulated.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes with one core each beside the head, which has none."""
    started = Nodes()
    for _ in range(2):
        started.add()
    yield started
    started.close()


def find_actors() -> list[int]:
    """The processes in which actors answer pictures."""
    psutil = pytest.importorskip("psutil", reason="the extra 'train' is not installed")
    return [each.pid for each in psutil.process_iter(["cmdline"]) if "Answerer" in " ".join(each.info["cmdline"] or [])]


def test_a_cluster_gives_the_rows_of_one_machine_and_either_goes_on_with_the_other(
    nodes: Nodes, batches: Batches, bundle: Bundle, tmp_path: Path
) -> None:
    photos = make_photos(tmp_path / "photos")
    here = open_batches(bundle, tmp_path / "here")
    here.run(photos)
    begun: list[int] = []
    stopped = batches.run(
        photos, cluster=Cluster(), is_stopped=lambda: bool(begun), show=lambda done, total: begun.append(done)
    )
    assert 0 < stopped.tally.pictures < len(NAMES)
    batches.run(photos, cluster=Cluster(), actors=1)
    batches.check_exact(NAMES)
    assert answers_of(batches) == answers_of(here)
    assert batches.errors()[0]["attempts"] == 3 and "bad.png" in batches.errors()[0]["id"]
    paint_folder(photos, ["new.png"])
    batches.run(photos)
    batches.check_exact([*NAMES, "new.png"])
    here.ledger.close()


def test_a_node_that_does_not_see_the_pictures_stops_the_batch_and_nobody_counts_as_failed(
    nodes: Nodes, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, empty = make_photos(tmp_path / "photos"), tmp_path / "empty"
    empty.mkdir()
    order = on_ray.Order

    def mistake(place: Path) -> Callable[..., on_ray.Order]:
        return lambda bundle, precision, _, threads: order(bundle, precision, place, threads)

    for place, message in (
        (tmp_path / "nowhere", r"Node [\d.]+ of the Ray cluster answers no pictures: .*nowhere does not exist"),
        (empty, r"does not see .*\.png in .*photos, which is there on this machine; put the pictures where all nodes"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(on_ray, "Order", mistake(place))
            with pytest.raises(BatchError, match=message) as caught:
                batches.run(photos, cluster=Cluster())
            assert caught.value.exit_code == 1
    assert not list(batches.ledger.failures())
    batches.run(photos)
    batches.check_exact(NAMES)


def test_the_bundle_goes_to_the_nodes_by_itself(nodes: Nodes, batches: Batches, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", ["bad.png", "good.png"])
    shutil.rmtree(tmp_path / "bundle")
    batches.run(photos, cluster=Cluster())
    batches.check_exact(["bad.png", "good.png"])


@pytest.mark.slow
def test_an_actor_that_is_killed_in_the_middle_costs_no_picture_and_counts_none_twice(
    nodes: Nodes, batches: Batches, tmp_path: Path
) -> None:
    names = [f"{number:04d}.png" for number in range(3000)]
    photos, killed = paint_folder(tmp_path / "photos", names), []

    def kill(done: int, total: int) -> None:
        if not killed and done < total / 2:
            killed.extend(find_actors()[:1])
            os.kill(killed[0], 9)

    batches.run(photos, cluster=Cluster(), show=kill)
    assert killed
    batches.check_exact(names)


@pytest.mark.slow
def test_a_node_that_is_lost_in_the_middle_costs_no_picture_and_counts_none_twice(
    nodes: Nodes, batches: Batches, tmp_path: Path
) -> None:
    names = [f"{number:04d}.png" for number in range(3000)]
    photos, lost = paint_folder(tmp_path / "photos", names), []

    def lose(done: int, total: int) -> None:
        if not lost and done < total / 2:
            lost.append(len(find_actors()))
            nodes.kill_one()
            nodes.add()

    batches.run(photos, cluster=Cluster(), show=lose)
    assert lost == [2]
    batches.check_exact(names)


@pytest.mark.slow
def test_a_cluster_without_any_room_is_given_up_and_the_batch_goes_on_elsewhere(
    nodes: Nodes, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "IDLE_S", 5)
    photos = make_photos(tmp_path / "photos")
    with pytest.raises(BatchError, match=r"gave no answer .*none came for 5 s: there may be no room"):
        batches.run(photos, cluster=Cluster(), threads=64)
    batches.run(photos)
    batches.check_exact(NAMES)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nobody.invalid:6379"])
def test_an_address_that_does_not_answer_is_told_in_seconds(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    pytest.importorskip("grpc", reason="the extra 'ray' is not installed")
    monkeypatch.setattr("vestiary.cluster.ANSWER_S", 0.5)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    photos = make_photos(tmp_path / "photos")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        place = address.format(port=deaf.getsockname()[1])
        with pytest.raises(UsageError, match=rf"No Ray cluster answers at {place} within 0.5 s; check the address"):
            batches.run(photos, cluster=Cluster(place))
    assert not list(batches.ledger.jobs())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "spark"], "--engine spark is not known; choose one of: local, ray."),
        (["--ray-address", "head:6379"], "--ray-address is for a Ray cluster; add --engine ray, or leave it out."),
        (["--actors", "2"], "--actors is for a Ray cluster; add --engine ray, or leave it out."),
        (["--engine", "ray", "--watch"], "A folder is watched by one machine, not by a cluster"),
        (["--engine", "ray", "--ray-address", "ray://head:10001"], "ray://head:10001 is no address of a Ray cluster"),
    ],
)
def test_wrong_use_is_told_before_anything_is_begun(
    vestiary: Vestiary,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    photos = make_photos(tmp_path / "photos")
    done = vestiary("batch", photos, "--out", tmp_path / "out", "--bundle", tmp_path / "bundle", *words)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_without_ray_the_engine_says_what_to_install(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    photos = make_photos(tmp_path / "photos")
    with pytest.raises(MissingExtraError, match=r"The engine ray needs the package 'ray'.*vestiary\[ray\]"):
        batches.run(photos, cluster=Cluster())
    batches.run(photos)
    batches.check_exact(NAMES)
