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


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_begun(batches: Batches, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos", NAMES)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"cannot be written \(Not a directory\); check the place"):
        batches.run(photos, out=tmp_path / "file" / "out")
    assert not list(batches.ledger.jobs())
