"""A batch on a Ray cluster: the answers of one machine, and each picture once when actors, nodes or shards are lost."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytest.importorskip("pyarrow", reason="the extra 'ray' is not installed")

from batches import Batches, open_batches, paint_folder
from conftest import Vestiary
from vestiary.batch import lookout, on_ray
from vestiary.bundle import Bundle, open_bundle
from vestiary.cluster import Cluster
from vestiary.errors import BatchError, MissingExtraError, UsageError
from vestiary.ledger.jobs import Item

# Ray warns of its own settings, and leaves files and sockets to the end of the process.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAMES = ["bad.png", os.fsdecode(b"\xff.png"), *(f"{number // 20}/{number:03d}.png" for number in range(58))]


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


def test_a_cluster_gives_the_rows_of_one_machine_and_either_goes_on_with_the_other(
    ray_here: None, batches: Batches, bundle: Bundle, tmp_path: Path
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
    ray_here: None, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, empty = make_photos(tmp_path / "photos"), tmp_path / "empty"
    empty.mkdir()
    order = on_ray.Order

    def mistake(place: Path) -> Callable[..., on_ray.Order]:
        return lambda bundle, precision, decide_on, _, threads: order(bundle, precision, decide_on, place, threads)

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


def test_the_bundle_goes_to_the_nodes_by_itself(
    ray_here: None, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is at an address may change or go meanwhile: all nodes answer by what was there at the start."""
    pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    batches.bundle = open_bundle(f"file://{tmp_path / 'bundle'}")
    photos = make_photos(tmp_path / "photos", ["bad.png", "good.png"])
    shutil.rmtree(tmp_path / "bundle")
    shutil.rmtree(tmp_path / "cache")
    batches.run(photos, cluster=Cluster())
    batches.check_exact(["bad.png", "good.png"])


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """``pretend(then)``: a cluster that answers the first portion in this process, and does ``then`` for the second."""
    import pyarrow
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "put", lambda thing: thing)
    monkeypatch.setattr(ray, "get", lambda thing: thing)

    monkeypatch.setattr(lookout.Lookout, "_look", lambda self: None)
    monkeypatch.setattr(lookout.Lookout, "find_reason", lambda self: None)

    def set_up(then: Callable[[], object]) -> None:
        def answer(pipeline: on_ray.RayPipeline, shard: list[Item]) -> Iterator[Any]:
            portion = pickle.dumps(shard[: on_ray.PORTION])
            yield on_ray.Answerer(pipeline._order)(pyarrow.table({"portion": [portion]}))
            then()

        def plan(pipeline: on_ray.RayPipeline, shard: list[Item]) -> Any:
            return SimpleNamespace(iter_batches=lambda **given: answer(pipeline, shard))

        monkeypatch.setattr(on_ray.RayPipeline, "_plan", plan)

    return set_up


LOST = [
    ("OutOfMemoryError", ("killed",), "a node ran out of memory: take fewer actors with --actors, or nodes with more"),
    ("ActorDiedError", (), "actors died, mostly for lack of memory: take fewer of them with --actors, or nodes with"),
    ("ActorUnavailableError", ("away", None), "actors died, mostly for lack of memory"),
    ("ObjectLostError", ("00", None, ""), "a node was lost together with answers that were kept on it"),
    ("RaySystemError", ("the raylet is gone",), "the raylet is gone"),
]


@pytest.mark.parametrize(("kind", "given", "reason"), LOST)
def test_what_a_cluster_loses_is_one_sentence_and_the_batch_goes_on_where_it_was(
    pretend: Callable[[Callable[[], object]], None],
    batches: Batches,
    tmp_path: Path,
    kind: str,
    given: tuple[Any, ...],
    reason: str,
) -> None:
    from ray import exceptions
    from ray.data.exceptions import SystemException

    def lose() -> None:
        raise getattr(exceptions, kind)(*given) from SystemException()  # as Ray Data does

    pretend(lose)
    photos = make_photos(tmp_path / "photos")
    with pytest.raises(BatchError) as caught:
        batches.run(photos, cluster=Cluster())
    text = str(caught.value)
    assert text.startswith("The Ray cluster gave no answer to pictures that were on their way (") and reason in text
    assert text.endswith("); everything so far is kept: run the same command again.")
    assert caught.value.exit_code == 1
    batches.run(photos)
    batches.check_exact(NAMES)


def test_a_cluster_that_cannot_even_be_looked_at_is_one_sentence(
    pretend: Callable[[Callable[[], object]], None], batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import exceptions

    def fail(waiting: lookout.Lookout) -> None:
        raise exceptions.RpcError("the head does not answer")

    pretend(lambda: None)
    monkeypatch.setattr(lookout.Lookout, "_look", fail)
    with pytest.raises(BatchError, match=r"\(the head does not answer\); everything so far is kept"):
        batches.run(make_photos(tmp_path / "photos"), cluster=Cluster())


def test_a_batch_that_waits_for_a_cluster_can_be_stopped_and_keeps_what_it_has(
    pretend: Callable[[Callable[[], object]], None], batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "BEAT_S", 0.001)
    monkeypatch.setattr(lookout, "LEAVE_S", 0.001)
    photos, never = make_photos(tmp_path / "photos"), threading.Event()
    waited: list[int] = []
    hangs_at: list[int] = []
    monkeypatch.setattr(lookout.Lookout, "find_reason", lambda self: waited.append(1))

    def hang() -> None:
        hangs_at.append(len(waited))
        never.wait()

    pretend(hang)
    stopped = batches.run(
        photos, cluster=Cluster(), is_stopped=lambda: bool(hangs_at) and len(waited) > hangs_at[0] + 3
    )
    never.set()
    n_done = stopped.tally.pictures
    assert stopped.is_stopped and 0 < n_done <= on_ray.PORTION and stopped.left == len(NAMES) - n_done
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
