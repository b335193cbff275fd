"""How far what the ledger holds of late has drifted from the bundle's reference, for those who watch the service."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from vestiary.bundle import Bundle
from vestiary.drift import DriftReport, Reference, compare_window
from vestiary.errors import VestiaryError
from vestiary.ledger import open_ledger
from vestiary.ledger.opening import NO_LEDGER, hide_place
from vestiary.ledger.windows import read_window
from vestiary.web.logs import describe_fault, write_line

SPAN: Final = timedelta(days=7)
"""What counts as of late."""
PERIOD_S: Final = 300.0
"""Seconds for which a measurement stands before another is begun."""
MOST_PICTURES: Final = 5000
"""Pictures that are compared at most, so that answers do not wait for it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A drift report, and when it was made (seconds since 1970)."""

    report: DriftReport
    at: float


class DriftWatch:
    """Measures drift in a thread of its own, when somebody asks and the last measurement is old.

    ``ledger_url`` is as for ``open_ledger``, or "none". Nothing is measured then, nor for a bundle without a reference.
    """

    def __init__(self, bundle: Bundle, ledger_url: str | None = None) -> None:
        self._bundle, self._url = bundle, ledger_url
        self._reference = bundle.reference if ledger_url != NO_LEDGER else None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vestiary-drift")
        self._running: Future[Measured | None] | None = None
        self._last: Measured | None = None
        self._begun = float("-inf")

    def latest(self) -> Measured | None:
        """The last measurement, at once; None before there is one, and where none can be made. Begins a new one.

        One that failed leaves the last one standing, whose time then tells how old it is.
        """
        if self._reference is None:
            return None
        if self._running is not None and self._running.done():
            over, self._running = self._running, None
            self._last = over.result() or self._last
        if self._running is None and time.monotonic() - self._begun >= PERIOD_S:
            self._begun = time.monotonic()
            self._running = self._pool.submit(self._measure, self._reference)
        return self._last

    def _measure(self, reference: Reference) -> Measured | None:
        """Runs in the thread; a ledger that cannot be read is told in the log, and so is a fault of ours."""
        since = datetime.now(UTC) - SPAN
        try:
            with open_ledger(self._url) as ledger:
                window = read_window(ledger, reference, self._bundle.fingerprint, since=since, most=MOST_PICTURES)
            return Measured(compare_window(reference, window), time.time())
        except VestiaryError as error:
            write_line("drift", message=hide_place(str(error), self._url))
        except Exception as error:  # what is counted must be told even where drift cannot
            write_line("fault", **describe_fault(error))
        return None

    def close(self) -> None:
        """Let the thread end; what it is at is finished."""
        self._pool.shutdown(cancel_futures=True)
