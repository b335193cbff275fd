"""A batch whose process, disk or ledger goes away at any moment: run again, everything is there exactly once."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batches import Batches, count_files, open_batches, paint_folder
from vestiary.batch import filing, job, pipeline
from vestiary.bundle import Bundle, open_bundle
from vestiary.catalogue.sources import FolderSource
from vestiary.errors import BatchError, LedgerUnavailableError, UsageError
from vestiary.ledger import open_ledger
from vestiary.ledger.jobs import JobItems
from vestiary.predictor import Predictor

NAMES = ["1/shot.png", "2/shot.png", "3/shot.png", "4/shot.png", "bad.png"]
STEPS = ("replace", "link", "unlink", "mkdir")
"""The calls by which a batch changes a disk in a way that others see; before an fsync there is on it what there is
before the step behind it."""


class PowerCutError(BaseException):
    """The machine is off: nothing more is done, not even by code that cleans up."""


class Machine:
    """Counts the steps that a batch takes on the disk and in the ledger, and goes off before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken, self.off_at = 0, 10**9
        for name in STEPS:
            monkeypatch.setattr(os, name, self._guard(getattr(os, name)))
        commit = JobItems.commit

        def commit_and_be_cut(items: JobItems, *given: Any, **more: Any) -> None:
            self.step()
            commit(items, *given, **more)
            self.step()

        monkeypatch.setattr(JobItems, "commit", commit_and_be_cut)

    def _guard(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*given: Any, **more: Any) -> Any:
            self.step()
            return call(*given, **more)

        return guarded

    def step(self) -> None:
        """Take one more step, or be off from now on."""
        self.taken += 1
        if self.taken > self.off_at:
            raise PowerCutError

    def start(self, off_at: int = 10**9) -> None:
        """Count from nothing, and go off behind so many steps."""
        self.taken, self.off_at = 0, off_at


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle())


@pytest.fixture
def batches(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batches]:
    monkeypatch.setattr(job, "BLOCK", 2)
    monkeypatch.setattr(pipeline, "PARCEL", 2)
    opened = open_batches(bundle, tmp_path)
    yield opened
    opened.ledger.close()


def make_photos(folder: Path) -> Path:
    paint_folder(folder, NAMES)
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_cut_off_before_any_step_everything_is_there_once_after_the_next_run(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(job, "BLOCK", 2)
    monkeypatch.setattr(pipeline, "PARCEL", 2)
    monkeypatch.setattr(filing, "THREADS", 1)
    predictor = Predictor(bundle, threads=1)
    monkeypatch.setattr(job, "Predictor", lambda *given, **more: predictor)
    open_ledger(tmp_path / "empty.db").close()
    photographed = make_photos(tmp_path / "photos")
    contents = count_files(photographed)
    machine = Machine(monkeypatch)

    def attempt(number: int) -> bool:
        """Whether the run was cut off before that step; then the next one made all of it good."""
        machine.start()
        place = tmp_path / str(number)
        photos = Path(shutil.copytree(photographed, place / "photos"))
        shutil.copyfile(tmp_path / "empty.db", place / "ledger.db")
        with open_ledger(place / "ledger.db") as ledger:
            batches = Batches(bundle, place / "out", ledger)
            machine.start(number)
            try:
                batches.run(photos, file_by="baseColour", file_mode=mode, threads=1)
                was_cut = False
            except PowerCutError:
                was_cut = True
            machine.start()
            batches.run(photos, file_by="baseColour", file_mode=mode, threads=1)
            batches.check_exact(NAMES)
            assert count_files(batches.out) == contents
            assert count_files(photos) == (Counter() if mode == "move" else contents)
            assert all((batches.out / row["filed"]).is_file() for row in batches.rows())
        return was_cut

    n_steps = 0
    while attempt(n_steps):
        n_steps += 1
    assert n_steps > 30


def test_a_full_disk_stops_the_batch_with_one_sentence_and_the_next_run_goes_on(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "photos")
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            BatchError, match=r"had to stop.*No space left on device.*run the same command again"
        ) as caught:
            batches.run(photos)
    assert caught.value.exit_code == 1
    assert not list(batches.out.rglob(".*.part")), "a half-written file keeps the disk full"
    (kept,) = batches.ledger.jobs()
    assert kept.state == "failed"
    batches.run(photos)
    batches.check_exact(NAMES)


class Outage:
    """A ledger whose writes fail for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: int, failures: int) -> None:
        self.left, self.calls, commit = failures, 0, JobItems.commit

        def fail(items: JobItems, *given: Any, **more: Any) -> None:
            self.calls += 1
            if self.calls > after and self.left > 0:
                self.left -= 1
                raise LedgerUnavailableError("The ledger's server at db does not answer; check that it runs.")
            commit(items, *given, **more)

        monkeypatch.setattr(JobItems, "commit", fail)


def test_a_ledger_that_comes_back_is_waited_for_longer_each_time(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = paint_folder(tmp_path / "photos", NAMES)
    Outage(monkeypatch, after=1, failures=4)
    batches.run(photos)
    batches.check_exact(NAMES)
    assert batches.slept == pytest.approx(1 + 2 + 4 + 8, abs=0.1)


def test_a_ledger_that_stays_away_stops_the_batch_and_nothing_is_lost(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = paint_folder(tmp_path / "photos", NAMES)
    with monkeypatch.context() as patch:
        Outage(patch, after=1, failures=10**6)
        with pytest.raises(BatchError, match=r"does not answer; .* waited for 3\d\d s; everything so far is kept"):
            batches.run(photos)
    batches.run(photos)
    batches.check_exact(NAMES)


def test_a_block_that_was_taken_though_its_answer_was_lost_is_not_taken_twice(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = paint_folder(tmp_path / "photos", NAMES)
    commit, lost = JobItems.commit, []

    def lose_the_answer(items: JobItems, *given: Any, **more: Any) -> None:
        commit(items, *given, **more)
        if not lost:
            lost.append(True)
            raise LedgerUnavailableError("The connection was cut.")

    monkeypatch.setattr(JobItems, "commit", lose_the_answer)
    batches.run(photos)
    batches.check_exact(NAMES)


def test_a_source_that_goes_away_stops_the_batch_and_its_pictures_are_not_given_up(
    batches: Batches, tmp_path: Path
) -> None:
    names = [f"{number:03d}.png" for number in range(60)]
    photos = paint_folder(tmp_path / "photos", names)
    away = tmp_path / "away"

    def unplug(done: int, total: int) -> None:
        if photos.exists():
            photos.rename(away)

    with pytest.raises(BatchError, match=r"photos is no longer there; bring it back"):
        batches.run(photos, show=unplug)
    assert not list(batches.ledger.failures())
    away.rename(photos)
    batches.run(photos)
    batches.check_exact(names)


def test_a_share_that_leaves_its_empty_mount_point_stops_the_batch_until_it_is_back(
    batches: Batches, tmp_path: Path
) -> None:
    names = [f"{number:03d}.png" for number in range(60)]
    photos, away = paint_folder(tmp_path / "photos", names), tmp_path / "away"

    def unmount(done: int, total: int) -> None:
        if not away.exists():
            photos.rename(away)
            photos.mkdir()

    with pytest.raises(BatchError, match=r"photos is no longer there; bring it back and run the same command again"):
        batches.run(photos, show=unmount, threads=1)
    with pytest.raises(
        BatchError, match=r"photos is empty, though \d\d of its pictures are still to be answered; bring"
    ):
        batches.run(photos)
    assert not list(batches.ledger.failures())
    photos.rmdir()
    away.rename(photos)
    batches.run(photos)
    batches.check_exact(names)


def test_an_archive_that_goes_away_stops_the_batch(batches: Batches, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", photos))
    with pytest.raises(BatchError, match=r"packed.zip is no longer there; bring it back"):
        batches.run(archive, show=lambda done, total: archive.unlink(missing_ok=True))
    assert not list(batches.ledger.failures())


@pytest.mark.parametrize("mode", ["copy", "move"])
@pytest.mark.parametrize("watch", [False, True])
def test_a_folder_that_others_empty_is_not_taken_for_a_share_that_is_away(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, watch: bool
) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png", "b.png"])
    read, clock = FolderSource.read, iter(range(1000))

    def empty_and_read(source: FolderSource, name: str, **limits: int) -> bytes:
        for file in photos.iterdir() if name == "b.png" else ():
            file.unlink()
        return read(source, name, **limits)

    monkeypatch.setattr(FolderSource, "read", empty_and_read)
    monkeypatch.setattr(job, "SETTLE_S", 0.0)
    watching = {"watch": True, "is_stopped": lambda: next(clock) > 100} if watch else {}
    batches.run(photos, file_by="baseColour", file_mode=mode, threads=1, **watching)
    batches.check_exact(["a.png", "b.png"])
    assert [(row["id"], row["attempts"]) for row in batches.errors()] == [("b.png", 3)]


class Store:
    """A store in memory that is away for some calls or pictures, and for good once ``left`` pictures were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
        fsspec = pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
        self.place, self.is_away, self.left = "memory://shop", set[str](), 10**6
        self.files = files = fsspec.filesystem("memory")
        for name in NAMES:
            files.pipe_file(f"/shop/{name}", (photos / name).read_bytes())
        for call in ("info", "cat_file"):
            monkeypatch.setattr(type(files), call, self._guard(call, getattr(files, call)))

    def _guard(self, call: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(files: Any, path: str, *given: Any, **more: Any) -> Any:
            self.left -= call == "cat_file"
            if self.left < 0 or {call, path} & self.is_away:
                raise ConnectionError("the network is unreachable")
            return answer(path, *given, **more)

        return guarded


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    opened = Store(monkeypatch, paint_folder(tmp_path / "photos", NAMES))
    yield opened
    opened.is_away.clear()
    opened.files.rm("/shop", recursive=True)


def test_a_store_that_goes_away_stops_the_batch_and_its_pictures_are_not_given_up(
    batches: Batches, store: Store
) -> None:
    store.left = 3
    with pytest.raises(BatchError, match=r"memory://shop is no longer there; bring it back and run the same command"):
        batches.run(store.place)
    assert not list(batches.ledger.failures())
    store.left = 10**6
    batches.run(store.place)
    batches.check_exact(NAMES)


def test_a_store_that_gives_no_pictures_for_minutes_is_waited_for(batches: Batches, store: Store) -> None:
    def sleep(seconds: float) -> None:
        batches.sleep(seconds)
        if batches.slept > 200:
            store.is_away.clear()

    store.is_away.add("cat_file")
    batches.run(store.place, sleep=sleep)
    batches.check_exact(NAMES)
    assert batches.errors() == []


def test_a_picture_that_a_store_never_gives_is_given_up_at_last(batches: Batches, store: Store) -> None:
    store.is_away.add(f"/shop/{NAMES[0]}")
    batches.run(store.place)
    batches.check_exact(NAMES)
    (error,) = batches.errors()
    assert (error["id"], error["attempts"]) == (NAMES[0], 15)
    assert batches.slept == pytest.approx(300, abs=10)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_begun(batches: Batches, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos", NAMES)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"cannot be written \(Not a directory\); check the place"):
        batches.run(photos, out=tmp_path / "file" / "out")
    assert not list(batches.ledger.jobs())
