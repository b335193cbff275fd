"""Batches begun from the page: processes of their own that outlive the visitor and the service."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("streamlit", reason="the extra 'ui' is not installed")

from batches import paint_folder
from conftest import paint_picture, wait_until
from vestiary.batch.claim import hold_folder
from vestiary.bundle import open_bundle
from vestiary.errors import UsageError
from vestiary.ledger import Job, Ledger, PredictionRecord, now, open_ledger
from vestiary.ledger.progress import measure_rate
from vestiary.pages.batch.jobs import Jobs, Standing
from vestiary.pages.batch.retention import remove_old_batches
from vestiary.pages.batch.rows import read_rows

RED = paint_picture((250, 5, 5))


@dataclass
class Sent(io.BytesIO):
    """A file as a visitor sends it."""

    name: str
    data: bytes

    def __post_init__(self) -> None:
        super().__init__(self.data)

    @property
    def size(self) -> int:
        return len(self.data)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def jobs(make_bundle: Callable[..., Path], ledger: Ledger, tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "jobs", ledger, open_bundle(make_bundle()))


@pytest.fixture
def unstarted(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """The same, but what is begun gets no process."""
    monkeypatch.setattr(Jobs, "go_on", lambda self, job_id: None)
    return jobs


def find(jobs: Jobs, job_id: str) -> Standing:
    return next(one for one in jobs.list_all() if one.id == job_id)


def pack(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


def test_dropped_photos_are_answered_by_a_process_and_found_again(jobs: Jobs, ledger: Ledger) -> None:
    sent = [Sent("shop/red.png", RED), Sent("red.png", paint_picture((251, 5, 5))), Sent("..hidden.png", RED)]
    job_id = jobs.begin_uploads(sent, most=10)
    assert find(jobs, job_id).is_at_work
    wait_until(lambda: not find(jobs, job_id).is_at_work, 120)
    standing = find(jobs, job_id)
    assert (standing.state, standing.title, standing.n_settled, standing.n_total) == ("finished", "3 photos", 3, 3)
    assert {row.name for row in read_rows(ledger, job_id)} == {"red.png", "red_1.png", "hidden.png"}
    assert {row.value("baseColour") for row in read_rows(ledger, job_id)} == {"Red"}
    assert standing.job is not None
    assert standing.job.bundle == next(ledger.predictions()).bundle
    jobs.remove(job_id)
    assert standing.folder is not None and not standing.folder.exists()
    assert find(jobs, job_id).folder is None, "the answers stay in the ledger"


def test_a_process_that_cannot_begin_says_why(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "jobs" / "inbox").mkdir(parents=True)
    (tmp_path / "jobs" / "inbox" / "broken.zip").write_bytes(b"no zip")
    job_id = jobs.begin_inbox("broken.zip")
    wait_until(lambda: not find(jobs, job_id).is_at_work, 120)
    standing = find(jobs, job_id)
    assert standing.state == "failed"
    assert standing.reason is not None
    assert standing.reason.startswith("inbox/broken.zip is neither a folder nor a zip archive")


def test_what_was_sent_is_for_the_service_alone_and_an_exception_for_the_operator(unstarted: Jobs) -> None:
    job_id = unstarted.begin_uploads([Sent("a.png", RED)], most=10)
    folder = find(unstarted, job_id).folder
    assert folder is not None
    if sys.platform != "win32":
        assert folder.stat().st_mode & 0o077 == 0
    (folder / "log.txt").write_text("Traceback (most recent call last):\n  …\nValueError: a photo of Ada\n")
    reason = find(unstarted, job_id).reason
    assert reason is not None
    assert reason.startswith("Its process ended without a plain word")


def test_visitors_cannot_start_processes_without_end(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vestiary.pages.batch.jobs.MOST_AT_WORK", 1)
    first = jobs.begin_uploads([Sent("a.png", RED)], most=10)
    with pytest.raises(UsageError, match="batches are at work already; begin another when one"):
        jobs.begin_uploads([Sent("b.png", RED)], most=10)
    assert [one.id for one in jobs.list_all()] == [first], "nothing is left of what was refused"
    wait_until(lambda: not find(jobs, first).is_at_work, 120)
    second = jobs.begin_uploads([Sent("b.png", RED)], most=10)
    wait_until(lambda: not find(jobs, second).is_at_work, 120)


def test_a_batch_is_found_by_a_new_service_and_one_that_was_killed_is_called_so(
    jobs: Jobs, ledger: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "elsewhere"
    ledger.start_job(Job(id="a" * 32, kind="batch", source="/photos/spring.zip", out=str(out), bundle="b"))
    assert find(jobs, "a" * 32).title == "spring.zip"
    assert find(jobs, "a" * 32).state == "running", "another machine may be at it"
    with hold_folder(out):
        assert find(jobs, "a" * 32).state == "running"
    assert find(jobs, "a" * 32).state == "lost"


def test_the_newest_batch_comes_first_whoever_began_it(jobs: Jobs, ledger: Ledger) -> None:
    for number, days in enumerate((3, 1, 2)):
        at = now() - timedelta(days=days)
        ledger.start_job(
            Job(id=str(number), kind="batch", source="s", out="/o", bundle="b", state="finished", started_at=at)
        )
    assert [one.id for one in jobs.list_all()] == ["1", "2", "0"]


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ([], "drop a zip or photos"),
        ([Sent("a.zip", b""), Sent("b.png", RED)], "one zip alone"),
        ([Sent("a.zip", b"PK nonsense")], "a.zip is no zip"),
        ([Sent("a.zip", pack(notes=b"text"))], "a.zip holds no photo"),
        ([Sent("a.png", RED), Sent("notes.txt", b"text")], "notes.txt is no photo"),
        ([Sent("a.png", RED)] * 4, "more than the 3"),
    ],
)
def test_what_is_no_batch_is_refused_and_leaves_nothing(unstarted: Jobs, sent: list[Sent], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        unstarted.begin_uploads(sent, most=3)
    assert unstarted.list_all() == []
    assert not list(unstarted.place.glob("batches/*")) and not list(unstarted.place.glob("batches/.new*"))


def test_a_zip_is_kept_as_it_is(unstarted: Jobs) -> None:
    data = pack(deep__red__png=RED, **{"blue.jpg": RED})
    job_id = unstarted.begin_uploads([Sent("Spring.ZIP", data)], most=3)
    standing = find(unstarted, job_id)
    assert standing.title == "Spring.ZIP" and standing.folder is not None
    assert (standing.folder / "photos.zip").read_bytes() == data


def test_of_the_server_only_what_the_operator_put_into_the_inbox_is_reached(unstarted: Jobs, tmp_path: Path) -> None:
    assert unstarted.list_inbox() == []
    inbox = tmp_path / "jobs" / "inbox"
    paint_folder(inbox / "march", ["a.png"])
    paint_folder(tmp_path / "secret", ["a.png"])
    (inbox / "spring.zip").write_bytes(pack())
    (inbox / "notes.txt").write_text("no source")
    assert unstarted.list_inbox() == ["march", "spring.zip"]
    for name in ("../../secret", str(tmp_path / "secret"), "notes.txt", "", ".", ".."):
        with pytest.raises(UsageError, match="choose one of those"):
            unstarted.begin_inbox(name)
    assert find(unstarted, unstarted.begin_inbox("march")).title == "march"


def test_the_rate_is_told_from_the_blocks_after_the_first(ledger: Ledger) -> None:
    at = now()

    def add(seconds_ago: float, n: int, job_id: str = "j") -> None:
        made = {"source": "batch", "bundle": "b", "bundle_name": "b", "accepted": True, "tags": {}, "job_id": job_id}
        when = at - timedelta(seconds=seconds_ago)
        ledger.add([PredictionRecord(name=str(n), at=when, **made) for n in range(n)])  # type: ignore[arg-type]

    add(600, 50)
    assert measure_rate(ledger, "j", at) is None
    add(20, 5)
    add(3, 100, job_id="another")
    assert measure_rate(ledger, "j", at) is None
    add(10, 40)
    add(0, 60)
    assert measure_rate(ledger, "j", at) == pytest.approx(5.0)


def test_old_batches_go_and_their_answers_stay(unstarted: Jobs, ledger: Ledger) -> None:
    old, new, unknown, busy = (unstarted.begin_uploads([Sent("a.png", RED)], most=1) for _ in range(4))
    long_ago = now() - timedelta(days=31)
    for job_id, at in ((old, long_ago), (new, now()), (busy, long_ago)):
        job = Job(id=job_id, kind="batch", source="s", out="o", bundle="b", state="finished", started_at=long_ago)
        ledger.start_job(replace(job, ended_at=at))
    (unstarted.place / "batches" / "notes").mkdir()
    for name, days in ((".new-killed", 2), (".new-arriving", 0)):
        (unstarted.place / "batches" / name).mkdir()
        at = (now() - timedelta(days=days)).timestamp()
        os.utime(unstarted.place / "batches" / name, (at, at))

    def left() -> set[str]:
        return {folder.name for folder in (unstarted.place / "batches").iterdir()}

    assert remove_old_batches(unstarted.place, ledger, None) == 1
    assert left() == {old, new, unknown, busy, "notes", ".new-arriving"}
    with hold_folder(unstarted.place / "batches" / busy / "out"):
        assert remove_old_batches(unstarted.place, ledger, timedelta(days=30)) == 1
    assert left() == {new, unknown, busy, "notes", ".new-arriving"}
    assert find(unstarted, old).folder is None, "the ledger knows it still"
    assert remove_old_batches(unstarted.place / "nowhere", ledger, timedelta(days=30)) == 0


def test_what_a_kill_leaves_of_a_removed_batch_goes_later(unstarted: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = unstarted.begin_uploads([Sent("a.png", RED)], most=1)

    def break_off(folder: Path) -> None:
        (folder / "ask.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", break_off)
        unstarted.remove(job_id)
    assert not unstarted.list_all()
    (left,) = (unstarted.place / "batches").iterdir()
    long_ago = (now() - timedelta(days=2)).timestamp()
    os.utime(left, (long_ago, long_ago))
    assert remove_old_batches(unstarted.place, unstarted._ledger, None) == 1
    assert not left.exists()


def test_a_batch_whose_files_were_removed_is_known_through_a_link_too(
    make_bundle: Callable[..., Path], ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "jobs").symlink_to(tmp_path / "disk")
    jobs = Jobs(tmp_path / "jobs", ledger, open_bundle(make_bundle()))
    for name, is_own in (("mine", True), ("other", False)):
        out = tmp_path / "disk" / ("batches" if is_own else "elsewhere") / name / "out"
        job = Job(id=name, kind="batch", source="s", out=str(out), bundle="b", state="failed", ended_at=now())
        ledger.start_job(job)
        assert jobs.has_removed(find(jobs, name)) is is_own


def test_a_batch_goes_on_with_the_settings_it_was_begun_with(jobs: Jobs, ledger: Ledger, tmp_path: Path) -> None:
    paint_folder(tmp_path / "jobs" / "inbox" / "few", ["a.png"])
    job_id = jobs.begin_inbox("few")
    wait_until(lambda: not find(jobs, job_id).is_at_work, 120)
    again = Jobs(jobs.place, ledger, open_bundle(tmp_path / "bundle"), decide_on=("season",))
    again.go_on(job_id)
    wait_until(lambda: not find(again, job_id).is_at_work, 120)
    assert "holds a batch" not in (jobs.place / "batches" / job_id / "log.txt").read_text("utf-8")


def test_what_would_fill_the_disk_is_refused_before_it_is_written(
    unstarted: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 500_000_000 + len(RED)
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=left))
    unstarted.begin_uploads([Sent("a.png", RED)], most=2)
    with pytest.raises(UsageError, match=r"almost full: it has no room for these 0\.\d MB .* remove older batches"):
        unstarted.begin_uploads([Sent("a.png", RED), Sent("b.png", RED)], most=2)
    left = 0
    paint_folder(unstarted.place / "inbox" / "many", ["a.png"])
    with pytest.raises(UsageError, match="it has no room for the answers;"):
        unstarted.begin_inbox("many")
    assert len(unstarted.list_all()) == 1


def test_a_stopped_batch_goes_on(jobs: Jobs, ledger: Ledger, tmp_path: Path) -> None:
    paint_folder(tmp_path / "jobs" / "inbox" / "many", [f"{number}.png" for number in range(30)])
    job_id = jobs.begin_inbox("many")
    jobs.stop(job_id)
    wait_until(lambda: not find(jobs, job_id).is_at_work, 120)
    assert find(jobs, job_id).state == "stopped"
    jobs.go_on(job_id)
    with pytest.raises(UsageError, match="stop it first"):
        jobs.remove(job_id)
    wait_until(lambda: not find(jobs, job_id).is_at_work, 120)
    assert (find(jobs, job_id).state, find(jobs, job_id).n_settled) == ("finished", 30)
