"""Which job of the ledger a folder belongs to, and that only one run is at it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vestiary.batch.results import ERRORS, STATE, SUMMARY, find_parts, write_whole
from vestiary.bundle import Bundle
from vestiary.errors import BatchError, UsageError
from vestiary.ledger import Job, Ledger, make_id, now
from vestiary.ledger.jobs import find_job

KIND = "batch"


@contextmanager
def hold_folder(out: Path) -> Iterator[None]:
    """Keep every other run away from the folder, which is made where it is missing.

    The lock goes with the process, however that ends. Raises BatchError when another run holds it, UsageError for a
    folder that cannot be written.
    """
    state = out / STATE
    lock = FileLock(state / "lock", timeout=0)
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BatchError(
            f"Another run ({_read_owner(state)}) is at the batch in {out}; this one leaves it alone. "
            "Wait for that one, or name another folder with --out."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror}); check the place and its permissions, or name another --out."
        ) from error
    try:
        (state / "owner").write_text(name_owner(), encoding="utf-8")
        yield
    finally:
        lock.release()


def is_held(out: Path) -> bool:
    """Whether a run is at the batch in the folder now, as far as this machine can tell."""
    lock = FileLock(out / STATE / "lock", timeout=0)
    if not Path(lock.lock_file).exists():
        return False
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def reserve_job(out: Path) -> str:
    """The id of the folder's job, which the first run in it will begin; the folder is made where it is missing."""
    marker = _locate_marker(out)
    if not marker.exists():
        marker.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(marker) as file:
            file.write_text(json.dumps({"job": make_id()}), encoding="utf-8")
    return str(json.loads(marker.read_text(encoding="utf-8"))["job"])


def holds_job(out: Path) -> bool:
    """Whether a batch was begun in the folder."""
    return _locate_marker(out).exists()


def claim_job(
    ledger: Ledger,
    out: Path,
    *,
    place: str,
    bundle: Bundle,
    options: Mapping[str, Any],
    final: Path,
    resume: bool = False,
) -> Job:
    """The job of the folder, now running.

    Raises UsageError when the folder holds results of something else: of no job, of one that the ledger does not
    know, of another source or bundle, or with other options. With ``resume`` the ledger must know the job even where
    there are no results of it yet.
    """
    marker = _locate_marker(out)
    is_used = any((out / name).exists() for name in (final.name, ERRORS, SUMMARY))
    is_used = is_used or bool(find_parts(out))
    if is_used and not marker.exists():
        raise UsageError(f"{out} holds results that no batch left there; name another folder with --out.")
    job_id = reserve_job(out)
    job = find_job(ledger, job_id)
    if job is not None:
        _refuse_other(job, out, place=place, bundle=bundle, options=options)
        ledger.change_job(job_id, state="running", ended_at=None, heartbeat_at=now(), owner=name_owner())
        return job
    if is_used or resume:
        raise UsageError(
            f"{out} belongs to job {job_id}, which the ledger {ledger.place} does not know; "
            "name the ledger it was begun with, or another folder with --out."
        )
    job = Job(
        id=job_id,
        kind=KIND,
        source=place,
        out=str(out),
        bundle=bundle.fingerprint,
        options=options,
        heartbeat_at=now(),
        owner=name_owner(),
    )
    ledger.start_job(job)
    return job


def name_owner() -> str:
    """This process, for people: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _locate_marker(out: Path) -> Path:
    return out / STATE / "job.json"


def _refuse_other(job: Job, out: Path, *, place: str, bundle: Bundle, options: Mapping[str, Any]) -> None:
    asked = {"source": place, "bundle": bundle.fingerprint, **options}
    known = {"source": job.source, "bundle": job.bundle, **job.options}
    for name, value in asked.items():
        if known.get(name) != value:
            word = name if name in ("source", "bundle") else f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{out} holds a batch with {word} {_show(known.get(name))}, not {_show(value)}; "
                "ask for the same again, or name another folder with --out."
            )


def _show(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text[:16] if len(text) == 64 else text


def _read_owner(state: Path) -> str:
    try:
        return (state / "owner").read_text(encoding="utf-8")
    except OSError:
        return "of which nothing is known"
