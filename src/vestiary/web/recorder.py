"""Writes what the service answered to the ledger, from a thread of its own, so that no answer waits for a disk.

Answers wait in memory, where there is room for a bounded number of them. The thread takes them together, about twice
a second, and writes them in one transaction. While the ledger cannot be used they go on waiting, and it is tried again
ever more rarely; what finds no room any more is not recorded, and counted. A stop writes all that waits.

Where there is an album, the photos whose answers are for review are put there by the same thread, before their records
are written. A photo that finds no room in memory or on the disk is missing there, and counted; its record is not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from vestiary.album import Album
from vestiary.errors import LedgerError, LedgerUnavailableError
from vestiary.ledger import FailureRecord, Ledger, PredictionRecord, make_id, now, open_ledger
from vestiary.ledger.opening import NO_LEDGER, hide_place
from vestiary.web.batching import Outcome
from vestiary.web.logs import describe_fault, write_line
from vestiary.web.tally import Tally

ROOM: Final = 20_000
"""Answers that may wait; about 5 kB each."""
PAUSE_S: Final = 0.5
"""Seconds between two transactions: what a worker that is killed has answered in that time is not recorded."""
AT_ONCE: Final = 500
"""Answers of one transaction."""
PHOTO_ROOM: Final = 200_000_000
"""Bytes of photos that may wait for the album."""
_LONGEST_PAUSE_S: Final = 30.0
_FLUSH_S: Final = 5.0
STOP_S: Final = 15.0
"""Seconds that a stop waits for the ledger; longer than a file may be held by another process."""


@dataclass(frozen=True, slots=True)
class _Answered:
    id: str
    request_id: str
    at: datetime
    outcome: Outcome
    photo: bytes | None


def open_if_kept(place: str | None) -> Ledger | None:
    """The ledger at ``place`` (None: where the variable or the default says); None when it does not answer now.

    Raises LedgerError or UsageError for one that cannot be used until somebody does something about it.
    """
    try:
        return open_ledger(place)
    except LedgerUnavailableError:
        return None


class Recorder:
    """The queue and the thread. ``record`` is for the event loop, everything else for any other thread."""

    def __init__(self, place: str | None, *, bundle_name: str, tally: Tally, album: Album | None = None) -> None:
        """Open the ledger; ``album`` gets the photos that go to review. Raises what ``open_if_kept`` does."""
        self._place, self._bundle_name, self._tally, self.album = place, bundle_name, tally, album
        self.ledger = open_if_kept(place)
        self._waiting: deque[_Answered] = deque()
        self._begun: list[PredictionRecord | FailureRecord] = []
        self._asking: deque[Future[bool]] = deque()
        self._photos_in = self._photos_out = 0  # bytes; each is counted by one thread alone
        self._wake = threading.Event()
        self._is_stopping = self._is_away = self._is_album_away = False
        self._thread = threading.Thread(target=self._run, name="vestiary-ledger", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def record(
        self, request_id: str, pictures: Sequence[tuple[str, bytes]], outcomes: Sequence[Outcome]
    ) -> list[str | None]:
        """Take in the answers to these (id, encoded bytes), or count those that find no room; returns at once.

        The ids that their records will have, None for one that found no room.
        """
        at = now()
        ids: list[str | None] = []
        for (_, data), outcome in zip(pictures, outcomes, strict=True):
            if len(self._waiting) >= ROOM:
                self._tally.count("records_dropped")
                ids.append(None)
            else:
                entry = _Answered(make_id(), request_id, at, outcome, self._hold_photo(data, outcome))
                self._waiting.append(entry)
                ids.append(entry.id)
        return ids

    def _hold_photo(self, data: bytes, outcome: Outcome) -> bytes | None:
        """The photo, where the album is to have it and there is room for it until then."""
        prediction = outcome.prediction
        if self.album is None or prediction.image_sha256 is None or prediction.accepted:
            return None
        if self._photos_in - self._photos_out + len(data) > PHOTO_ROOM:
            self._tally.count("photos_lost")
            return None
        self._photos_in += len(data)
        return data

    def flush(self) -> bool:
        """Wait until what was taken in before is written; whether it was, in the time that there is for it."""
        is_written: Future[bool] = Future()
        self._asking.append(is_written)
        self._wake.set()
        try:
            return is_written.result(_FLUSH_S)
        except TimeoutError:
            return False

    def stop(self) -> None:
        """Write what waits and let the thread end; what the ledger does not take is counted and told in the log."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join(STOP_S)
        lost = len(self._waiting) + len(self._begun)
        if lost:
            self._tally.count("records_lost", lost)
            write_line("ledger", state="stopped", lost=lost)
        if self.ledger is not None and not self._thread.is_alive():
            self.ledger.close()

    def _run(self) -> None:
        pause = PAUSE_S
        is_last = False
        while not is_last:
            self._wake.wait(pause)
            self._wake.clear()
            is_last = self._is_stopping
            asking = len(self._asking)  # who asks from now on may mean what comes too late for this time
            is_written = self._write_waiting()
            for _ in range(asking):
                self._asking.popleft().set_result(is_written)
            pause = PAUSE_S if is_written else min(2 * pause, _LONGEST_PAUSE_S)

    def _write_waiting(self) -> bool:
        """Whether the ledger took all that waited."""
        while self._waiting or self._begun:
            self._begin()
            try:
                self._write()
            except LedgerError as error:
                self._tell("away", hide_place(str(error), self._place))
                return False
            except Exception as error:  # a fault of ours must not keep all that comes after from being recorded
                self._tally.count("records_lost", len(self._begun))
                write_line("fault", **describe_fault(error))
            self._begun = []
        return True

    def _begin(self) -> None:
        """Make records of what waits, where there are none that the ledger has yet to take."""
        while self._waiting and len(self._begun) < AT_ONCE:
            entry = self._waiting.popleft()
            try:
                self._begun.append(self._make_record(entry))
            except Exception as error:  # of one, so that the others are recorded
                self._tally.count("records_lost")
                write_line("fault", **describe_fault(error))

    def _keep_photo(self, sha256: str, photo: bytes) -> None:
        self._photos_out += len(photo)
        if self.album is None:
            return
        try:
            self.album.keep(sha256, photo)
        except OSError as error:
            self._tally.count("photos_lost")
            if not self._is_album_away:
                write_line("album", state="away", reason=f"It cannot be written ({error.strerror}).")
            self._is_album_away = True
            return
        self._tally.count("photos_kept")
        if self._is_album_away:
            write_line("album", state="back")
        self._is_album_away = False

    def _make_record(self, entry: _Answered) -> PredictionRecord | FailureRecord:
        prediction, timing = entry.outcome.prediction, entry.outcome.timing
        if prediction.failure is not None:
            code, message = prediction.failure.code, prediction.failure.message
            return FailureRecord(name=prediction.id, source="service", code=code, message=message, at=entry.at)
        if entry.photo is not None and prediction.image_sha256 is not None:
            self._keep_photo(prediction.image_sha256, entry.photo)
        record = PredictionRecord.from_prediction(
            prediction,
            source="service",
            bundle_name=self._bundle_name,
            request_id=entry.request_id,
            latency_ms=round(1000 * (timing.queue + timing.decode + timing.infer), 3),
            at=entry.at,
        )
        return replace(record, id=entry.id)

    def _write(self) -> None:
        if self.ledger is None:
            self.ledger = open_ledger(self._place)
        self.ledger.add(
            [record for record in self._begun if isinstance(record, PredictionRecord)],
            [record for record in self._begun if isinstance(record, FailureRecord)],
        )
        self._tally.count("records_written", len(self._begun))
        self._tell("back")

    def _tell(self, state: str, reason: str | None = None) -> None:
        """Write a line to the log when the ledger goes away and when it is back."""
        if (state == "away") != self._is_away:
            self._is_away = state == "away"
            write_line("ledger", state=state, reason=reason)


def make_recorder(place: str, *, bundle_name: str, tally: Tally, keep_pictures: Path | None) -> Recorder | None:
    """A recorder for the ledger and the album that the settings name; None where they say that there is no ledger.

    UsageError for an album that is a file, or that cannot be made or written.
    """
    if place == NO_LEDGER:
        return None
    album = Album(keep_pictures).require_writable() if keep_pictures is not None else None
    return Recorder(place or None, bundle_name=bundle_name, tally=tally, album=album)
