"""Batches that are begun from the page, and how each batch of the ledger stands.

A batch is a ``vestiary batch`` of its own process: it goes on when the visitor leaves, it cannot take the service down
with it, and it is taken up again by the same command. Below the folder of the jobs lie

    inbox/                  folders and zips that the operator puts there, for visitors to choose from
    batches/<job>/          one batch: ``ask.json`` (what was asked), the photos that were sent, ``out/``, ``log.txt``
    bundles/<fingerprint>/  the bundle that the service answers with, as the processes open it
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Literal, Protocol

from filelock import FileLock

from vestiary.batch.claim import KIND, is_held, reserve_job
from vestiary.batch.filing import choose_place, to_folder
from vestiary.bundle import Bundle
from vestiary.catalogue import open_source
from vestiary.catalogue.sources import find_pictures, hide_password
from vestiary.errors import UsageError, VestiaryError
from vestiary.images import SUFFIXES
from vestiary.ledger import Job, Ledger, now
from vestiary.ledger.opening import VARIABLE
from vestiary.ledger.progress import list_newest_jobs
from vestiary.ledger.summaries import is_silent
from vestiary.predictor import count_cores
from vestiary.priority import BACKGROUND

State = Literal["starting", "running", "finished", "stopped", "failed", "lost"]
"""As the ledger has it, and: "starting" before the ledger knows of the process, "lost" when nobody is at it."""

INBOX: Final = "inbox"
BATCHES: Final = "batches"
DRAFT: Final = ".new-"
"""What the name of a folder begins with that is no batch yet."""
ASKED: Final = "ask.json"
LOG: Final = "log.txt"
MOST_AT_WORK: Final = 4
"""Batches that visitors may have at work at once: each is a process with a model of its own."""
SPARE_BYTES: Final = 500_000_000
"""Bytes of the disk that stay free for the answers, the ledger and the rest of the server."""
MOST_LISTED: Final = 100
"""Batches that are listed, the newest ones."""
ZIP: Final = ".zip"
_SAID: Final = re.compile(r"^vestiary: (?:error: )?(.+)$", re.MULTILINE)


class Upload(Protocol):
    """A file that a visitor sent."""

    @property
    def name(self) -> str:
        """What the visitor calls it."""

    @property
    def size(self) -> int:
        """Bytes of it."""

    def read(self, n: int = ..., /) -> bytes:
        """The next bytes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a batch stands.

    ``id`` is that of the ledger's job, ``folder`` where it lies when it was begun from the page, ``reason`` why its
    process ended when that is all that is known of it.
    """

    id: str
    title: str
    state: State
    started_at: datetime
    job: Job | None = None
    folder: Path | None = None
    reason: str | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether a process is at it."""
        return self.state in ("starting", "running")

    @property
    def n_settled(self) -> int:
        """Photos that are answered or given up."""
        return self.job.n_done + self.job.n_failed if self.job is not None else 0

    @property
    def n_total(self) -> int | None:
        """Photos in all; None before they are counted."""
        return self.job.n_total if self.job is not None else None


class Jobs:
    """The batches of one service. Threads may share it.

    ``place`` is the folder of the jobs; ``precision`` is that of the service's model, ``decide_on`` as for a Predictor.
    """

    def __init__(
        self,
        place: Path,
        ledger: Ledger,
        bundle: Bundle,
        *,
        precision: str = "fp32",
        decide_on: Collection[str] = (),
    ) -> None:
        self.place, self._ledger, self._bundle = place.absolute(), ledger, bundle
        self._precision, self._decide_on = precision, decide_on
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def list_inbox(self) -> list[str]:
        """Folders and zips that the operator put into ``inbox/``: the only places of the server that visitors reach."""
        try:
            entries = sorted((self.place / INBOX).iterdir())
        except OSError:
            return []
        return [one.name for one in entries if not one.name.startswith(".") and (one.is_dir() or _is_zip(one.name))]

    def begin_inbox(self, name: str) -> str:
        """Begin a batch over what lies in ``inbox/`` under this name; its id. UsageError for any other name."""
        if name not in self.list_inbox():
            raise UsageError(f"There is no {name!r} in the folder {INBOX}; choose one of those that are listed.")
        with self._draft(0) as folder:
            return self._begin(folder, str(self.place / INBOX / name), title=name)

    def begin_uploads(self, uploads: Sequence[Upload], *, most: int) -> str:
        """Begin a batch over what a visitor sent, one zip or at most ``most`` photos; its id.

        Raises UsageError for too many, for a mixture, for files without any photo in them, and when they would fill
        the disk.
        """
        zips = [one for one in uploads if _is_zip(one.name)]
        if not uploads:
            raise UsageError("No photo was chosen; drop a zip or photos first.")
        if zips and len(uploads) > 1:
            raise UsageError("A zip came together with other files; drop one zip alone, or photos alone.")
        if len(uploads) > most:
            raise UsageError(
                f"{len(uploads):,} photos are more than the {most:,} that can be dropped; put them in a zip."
            )
        with self._draft(sum(one.size for one in uploads)) as folder:
            source = _keep_zip(zips[0], folder) if zips else _keep_photos(uploads, folder)
            title = PurePosixPath(zips[0].name).name if zips else _count_photos(len(uploads))
            return self._begin(folder, source, title=title)

    @contextmanager
    def _draft(self, n_bytes: int) -> Iterator[Path]:
        """A folder for so many bytes, gone afterwards unless it was given another name.

        UsageError when too many are at work, or when the disk has no room for it.
        """
        with self._lock:
            self._require_room()
        self._batches.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._batches).free < n_bytes + SPARE_BYTES:
            what = f"these {n_bytes / 1e6:,.1f} MB and the answers" if n_bytes else "the answers"
            raise UsageError(
                f"The disk of the server is almost full: it has no room for {what}; remove older batches from the "
                "server, or ask the operator for room."
            )
        with tempfile.TemporaryDirectory(dir=self._batches, prefix=DRAFT) as draft:
            folder = Path(draft) / "batch"
            folder.mkdir(mode=0o700)  # photos that were sent are for the service alone
            yield folder

    def _begin(self, folder: Path, source: str, *, title: str) -> str:
        job_id = reserve_job(folder / "out")
        asked = {"source": source, "title": title, "at": now().isoformat(timespec="seconds")}
        asked |= {"precision": self._precision, "decide_on": ",".join(self._decide_on)}
        (folder / ASKED).write_text(json.dumps(asked), encoding="utf-8")
        os.rename(folder, self._batches / job_id)
        self.go_on(job_id)
        return job_id

    def go_on(self, job_id: str) -> None:
        """Start the process of a batch that was begun here; nothing where it is at work already.

        Raises UsageError when too many are.
        """
        folder = self._batches / job_id
        asked = read_asked(folder)  # a service that was started anew may have other settings than the batch
        source = folder / str(asked["source"])
        bundle = self._keep_bundle()
        with self._lock:
            if self._runs(job_id):
                return
            self._require_room()
            command = [sys.executable, "-m", "vestiary", "batch", str(source), "--out", str(folder / "out")]
            command += ["--bundle", str(bundle), "--precision", asked.get("precision", self._precision)]
            command += ["--max-failure-rate", "1"]
            if deciding := asked.get("decide_on"):
                command += ["--decide-on", deciding]
            command += ["--threads", str(max(1, count_cores() // 2))]
            with (folder / LOG).open("wb") as log:
                self._processes[job_id] = subprocess.Popen(
                    [*_step_back(), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=os.environ | {VARIABLE: self._ledger.engine.url.render_as_string(hide_password=False)},
                    start_new_session=True,
                )

    def stop(self, job_id: str) -> None:
        """Ask the process of a batch to stop; what it has answered is kept. Nothing where this service started none."""
        with self._lock:
            if self._runs(job_id):
                self._processes[job_id].terminate()

    def can_stop(self, job_id: str) -> bool:
        """Whether this service started the process that is at the batch."""
        with self._lock:
            return self._runs(job_id)

    def remove(self, job_id: str) -> None:
        """Delete the photos and files of a batch that was begun here; its answers stay in the ledger.

        Raises UsageError while it is at work.
        """
        folder = self._batches / job_id
        if is_held(folder / "out") or self.can_stop(job_id):
            raise UsageError("This batch is at work; stop it first.")
        discard(folder)

    def has_removed(self, standing: Standing) -> bool:
        """Whether the files of a batch that was begun here were deleted."""
        return (
            standing.folder is None
            and standing.job is not None
            and Path(standing.job.out).parent == (self._batches / standing.id).resolve()
        )

    def list_all(self) -> list[Standing]:
        """The batches of the ledger, whoever started them, and those that it does not know yet; the newest first."""
        known = {job.id: job for job in list_newest_jobs(self._ledger, KIND, MOST_LISTED)}
        found = [self._judge(job) for job in known.values()]
        for folder in self._batches.iterdir() if self._batches.is_dir() else ():
            if folder.name not in known and not folder.name.startswith("."):
                found += self._judge_unknown(folder)
        return sorted(found, key=lambda one: one.started_at, reverse=True)[:MOST_LISTED]

    def _judge(self, job: Job) -> Standing:
        folder = self._batches / job.id
        own = folder if (folder / ASKED).is_file() else None
        title = str(read_asked(folder)["title"]) if own is not None else PurePosixPath(hide_password(job.source)).name
        state: State = job.state
        with self._lock:
            runs = self._runs(job.id)
        if job.state == "running" and not runs:
            is_here = Path(job.out).is_dir()
            state = "running" if (is_held(Path(job.out)) if is_here else not is_silent(job, now())) else "lost"
        elif job.state != "running" and runs:
            state = "starting"
        reason = _read_reason(folder) if own is not None and state in ("failed", "lost") else None
        return Standing(job.id, title, state, job.started_at, job, own, reason)

    def _judge_unknown(self, folder: Path) -> list[Standing]:
        """A batch whose process has not told the ledger of it, or ended before it could."""
        try:
            asked = read_asked(folder)
        except (OSError, ValueError):
            return []
        with self._lock:
            state: State = "starting" if self._runs(folder.name) or is_held(folder / "out") else "failed"
            if folder.name in self._processes and self._processes[folder.name].returncode == -signal.SIGTERM:
                state = "stopped"
        reason = _read_reason(folder) if state == "failed" else None
        at = datetime.fromisoformat(asked["at"]).astimezone(UTC)
        return [Standing(folder.name, str(asked["title"]), state, at, None, folder, reason)]

    def _require_room(self) -> None:
        n = sum(self._runs(job_id) for job_id in self._processes)
        if n >= MOST_AT_WORK:
            raise UsageError(f"{n} batches are at work already; begin another when one of them has ended.")

    def _runs(self, job_id: str) -> bool:
        process = self._processes.get(job_id)
        return process is not None and process.poll() is None

    def _keep_bundle(self) -> Path:
        """The service's bundle as files."""
        place = self.place / "bundles" / self._bundle.fingerprint
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.parent / "lock"):
            if not place.is_dir():
                self._bundle.write(place)
        return place

    @property
    def _batches(self) -> Path:
        return self.place / BATCHES


def _is_zip(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() == ZIP


def _count_photos(n: int) -> str:
    return f"{n:,} photo{'' if n == 1 else 's'}"


def _step_back() -> list[str]:
    """What makes a process let the service go first, where the system has it."""
    nice = shutil.which("nice")
    return [nice, "-n", str(BACKGROUND)] if nice else []


def _keep_zip(upload: Upload, folder: Path) -> str:
    place = folder / "photos.zip"
    with place.open("wb") as file:
        _copy(upload, file)
    if not zipfile.is_zipfile(place):
        raise UsageError(f"{upload.name} is no zip that can be read; pack it again.")
    try:
        n = len(find_pictures(open_source(place)))
    except VestiaryError:
        n = 0
    if not n:
        raise UsageError(f"{upload.name} holds no photo; pack JPEG, PNG or WebP files into it.")
    return place.name


def _keep_photos(uploads: Sequence[Upload], folder: Path) -> str:
    taken: set[str] = set()
    (folder / "photos").mkdir()
    for upload in uploads:
        name = to_folder(PurePosixPath(upload.name.replace("\\", "/")).name)
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            raise UsageError(f"{upload.name} is no photo; take it out, and use JPEG, PNG or WebP.")
        with (folder / choose_place(f"photos/{name}", taken)).open("wb") as file:
            _copy(upload, file)
    return "photos"


def _copy(upload: Upload, file: BinaryIO) -> None:
    while block := upload.read(1 << 20):
        file.write(block)


def discard(folder: Path) -> None:
    """Delete the folder of a batch. What a process that is killed meanwhile leaves is a draft, which goes later."""
    shutil.rmtree(folder.rename(folder.with_name(f"{DRAFT}{folder.name}")))


def read_asked(folder: Path) -> dict[str, Any]:
    """What was asked of the batch in a folder. Raises OSError and ValueError where there is none."""
    return dict(json.loads((folder / ASKED).read_text(encoding="utf-8")))


def _read_reason(folder: Path) -> str:
    """The last sentence that the process said to people, without where on the server the batches lie."""
    try:
        said = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        said = ""
    sentences = _SAID.findall(said)
    if not sentences:  # of an exception nothing is shown: it may tell anything
        return f"Its process ended without a plain word; go on, or ask the operator, who finds more in its {LOG}."
    return str(sentences[-1]).replace(f"{folder.parents[1]}{os.sep}", "")
