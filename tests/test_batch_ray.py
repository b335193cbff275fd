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
from vestiary.cluster import Cluster
from vestiary.errors import BatchError, MissingExtraError, UsageError

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


def test_the_bundle_goes_to_the_nodes_by_itself(ray_here: None, batches: Batches, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", ["bad.png", "good.png"])
    shutil.rmtree(tmp_path / "bundle")
    batches.run(photos, cluster=Cluster())
    batches.check_exact(["bad.png", "good.png"])


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
