"""Whether everything runs as it should: one check each, one line each, and none that hides another.

ok           it is as it should be
failed       a person should look
not checked  it does not apply here, or is switched off; the line says why
"""

from __future__ import annotations

import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from vestiary.bundle import Bundle
from vestiary.drift import compare_window
from vestiary.errors import VestiaryError
from vestiary.ledger import Ledger
from vestiary.ledger.summaries import count_outcomes, find_last_finish, find_last_job, is_silent, last_sign
from vestiary.ledger.windows import read_window
from vestiary.notices.reasons import describe_broken

TIMEOUT_S = 10.0
"""Seconds that the service has for its answer."""
_NEWEST = {
    "running": "one that is running gave its last sign of life {age} ago",
    "stopped": "one was stopped {age} ago",
    "failed": "one failed {age} ago",
}
LEAST_ANSWERS = 20
"""Of fewer pictures a failure rate says nothing."""


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, how it ended, and one line that says why."""

    name: str
    state: State
    line: str

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return {"check": self.name, "state": str(self.state), "line": self.line}


@dataclass(frozen=True, slots=True)
class Bars:
    """What is still well: the age of the last batch, the failed share (0..1) within ``window``, free bytes."""

    max_age: timedelta = timedelta(hours=26)
    max_failure_rate: float = 0.1
    window: timedelta = timedelta(hours=24)
    drift_window: timedelta = timedelta(days=7)
    min_free: int = 1_000_000_000


def check_service(url: str | None) -> Check:
    """Whether the service at ``url`` would take a request now; None: there is none to ask."""
    if url is None:
        return Check("service", State.NOT_CHECKED, "no address was given; name it with --url.")
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/readyz", timeout=TIMEOUT_S) as response:
            told = json.loads(response.read(10_000))["status"]
            if told not in ("ready", "degraded"):
                raise ValueError("the service says nothing else when it takes requests")
    except urllib.error.HTTPError as error:
        with error:
            return Check("service", State.FAILED, f"{host} answers {error.code} {_read_status(error)}".rstrip() + ".")
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        words = describe_broken(reason if isinstance(reason, BaseException) else error, TIMEOUT_S)
        return Check("service", State.FAILED, f"{host} does not answer ({words}); start it with vestiary serve.")
    except (ValueError, LookupError, TypeError):
        return Check("service", State.FAILED, f"what answers at {host} is not the service; check the address.")
    return Check("service", State.OK, f"{host} is {told}.")


def _read_status(error: urllib.error.HTTPError) -> str:
    try:
        told = json.loads(error.read(10_000))["status"]
    except (ValueError, LookupError, TypeError, OSError):
        return ""
    return f"({told})" if isinstance(told, str) else ""


def check_ledger(ledger: Ledger) -> Check:
    """Whether the ledger can be written."""
    try:
        ledger.check_writable()
    except VestiaryError as error:
        return Check("ledger", State.FAILED, _uncapitalise(str(error)))
    return Check("ledger", State.OK, f"{ledger.place} can be written.")


def check_batch(ledger: Ledger, max_age: timedelta, now: datetime) -> Check:
    """Whether a batch ended well within ``max_age``, or one is at work and gives signs of life."""
    done_at, last = find_last_finish(ledger, "batch"), find_last_job(ledger, "batch")
    if last is None:
        return Check("batch", State.FAILED, "no batch has run yet.")
    told = "none has ended well" if done_at is None else f"the last one ended well {_ago(now - done_at)} ago"
    state = State.OK if done_at is not None and now - done_at <= max_age else State.FAILED
    if last.state != "finished":
        told += f"; {_NEWEST[last.state].format(age=_ago(now - last_sign(last)))}"
        if last.state == "running" and not is_silent(last, now):
            state = State.OK
    late = f"; more than {_ago(max_age)} is too long, see its log" if state is State.FAILED else ""
    return Check("batch", state, f"{told}{late}.")


def check_failures(ledger: Ledger, bar: float, window: timedelta, now: datetime) -> Check:
    """Whether few enough of the newest pictures failed."""
    answered, failed = count_outcomes(ledger, now - window, now)
    total = answered + failed
    if total < LEAST_ANSWERS:
        line = f"{total:,} pictures in the last {_ago(window)} are too few to tell; {LEAST_ANSWERS} are needed."
        return Check("failures", State.NOT_CHECKED, line)
    state = State.FAILED if failed > bar * total else State.OK
    word = "over" if state is State.FAILED else "within"
    told = f"{failed:,} of {total:,} pictures in the last {_ago(window)} failed ({100 * failed / total:.1f} %)"
    return Check("failures", state, f"{told}, {word} the bar of {100 * bar:g} %.")


def check_disk(folders: tuple[Path, ...], min_free: int) -> Check:
    """Whether there is room where things are written; the one with the least is told."""
    if not folders:
        return Check("disk", State.NOT_CHECKED, "the ledger is on a server; name folders to look at with --disk.")
    try:
        free, folder = min((shutil.disk_usage(folder).free, folder) for folder in folders)
    except OSError as error:
        return Check("disk", State.FAILED, f"{error.filename} cannot be looked at ({error.strerror}).")
    state = State.FAILED if free < min_free else State.OK
    need = f", and {_bytes(min_free)} are needed; make room" if state is State.FAILED else ""
    return Check("disk", state, f"{_bytes(free)} are free at {folder}{need}.")


def check_drift(ledger: Ledger, bundle: Bundle, window: timedelta, now: datetime) -> Check:
    """Whether what comes in still looks like what the bundle was fitted on."""
    if bundle.reference is None:
        line = f"the bundle {bundle.name} has no reference; vestiary calibrate makes a bundle that has."
        return Check("drift", State.NOT_CHECKED, line)
    seen = read_window(ledger, bundle.reference, bundle.fingerprint, since=now - window, until=now)
    report = compare_window(bundle.reference, seen)
    line = _uncapitalise(report.summary())
    if not report.is_judged:
        return Check("drift", State.NOT_CHECKED, line)
    if report.alarm:
        return Check("drift", State.FAILED, f"{line.rstrip('.')}: {report.alarms[0]}")
    return Check("drift", State.OK, line)


NAMES = ("service", "ledger", "batch", "failures", "disk", "drift")
"""Every check, in the order that they are told."""


def check_all(
    open_it: Callable[[], Ledger],
    *,
    bundle: Callable[[], Bundle],
    url: str | None = None,
    disks: tuple[Path, ...] = (),
    bars: Bars | None = None,
    skip: frozenset[str] = frozenset(),
    now: datetime | None = None,
) -> list[Check]:
    """Every check of NAMES; those in ``skip`` are told as switched off.

    ``open_it`` opens the ledger: when that fails, so do that check and all that need it. ``disks`` are looked at beside
    the folder of the ledger.
    """
    bars, now = bars or Bars(), now or datetime.now(UTC)
    makers: dict[str, Callable[[], Check]] = {"service": lambda: check_service(url)}
    ledger = None
    try:
        ledger = open_it() if set(NAMES) - skip - {"service"} else None
    except VestiaryError as error:
        line = _uncapitalise(str(error))
        makers["ledger"] = lambda: Check("ledger", State.FAILED, line)
    if ledger is not None:
        open_ledger = ledger
        makers |= {
            "ledger": lambda: check_ledger(open_ledger),
            "batch": lambda: check_batch(open_ledger, bars.max_age, now),
            "failures": lambda: check_failures(open_ledger, bars.max_failure_rate, bars.window, now),
            "drift": lambda: check_drift(open_ledger, bundle(), bars.drift_window, now),
        }
        if "://" not in ledger.place:
            disks = (Path(ledger.place).parent, *disks)
    if disks or ledger is not None:
        makers["disk"] = lambda: check_disk(disks, bars.min_free)
    try:
        return [_make(name, makers, skip) for name in NAMES]
    finally:
        if ledger is not None:
            ledger.close()


def _make(name: str, makers: dict[str, Callable[[], Check]], skip: frozenset[str]) -> Check:
    if name in skip:
        return Check(name, State.NOT_CHECKED, "switched off.")
    if name not in makers:
        return Check(name, State.FAILED, "the ledger cannot be opened.")
    try:
        return makers[name]()
    except VestiaryError as error:
        return Check(name, State.FAILED, _uncapitalise(str(error)))


def _uncapitalise(sentence: str) -> str:
    """For the middle of a line; the name of a variable, which is in capitals, stays as it is."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


def _ago(length: timedelta) -> str:
    """A length of time in its largest unit: "40 min", "26 h", "9 d"."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 3 * 86400 else f"{seconds // 86400} d"


def _bytes(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 100_000_000 else f"{n / 1e6:,.1f} MB"
