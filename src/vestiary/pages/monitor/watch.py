"""What the monitor page tells, read from the ledger again and again, at the ledger's own pace."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vestiary.bundle import Bundle
from vestiary.health import Bars, Check, check_batch, check_disk, check_failures, check_ledger
from vestiary.ledger import FailureRecord, Ledger
from vestiary.ledger.summaries import find_last_job
from vestiary.pages.background import Chore, Chores
from vestiary.reports.operations import Kind, OperationsReport, Period, build_operations_report

TICK_S: Final = 5.0
"""Seconds between two looks."""
REST: Final = 10.0
"""So many times as long as reading took the ledger is left alone afterwards."""
NEWEST: Final = 10
"""Failures that are listed."""
FIRST_S: Final = 1.5
"""Seconds that a look is waited for before the page shows the one before, or says that it is still reading."""


@dataclass(frozen=True)
class Sight:
    """One look at the ledger: ``took_s`` seconds, over at ``over_s`` of the machine's monotonic clock."""

    report: OperationsReport
    checks: tuple[Check, ...]
    failures: tuple[FailureRecord, ...]
    took_s: float
    over_s: float


def look(ledger: Ledger, bundle: Bundle, period: Period) -> Sight:
    """Read everything that the page tells of a period. Raises LedgerError when the ledger cannot be read."""
    began = time.monotonic()
    report = build_operations_report(ledger, Kind.MONITORING, period, bundle=bundle)
    newest = deque(ledger.failures(period.since, period.until), maxlen=NEWEST) if report.n_failed else ()
    checks = tuple(check_health(ledger))
    over = time.monotonic()
    return Sight(report, checks, tuple(reversed(newest)), over - began, over)


def check_health(ledger: Ledger, now: datetime | None = None) -> list[Check]:
    """The checks of ``vestiary health`` that need nobody but the ledger; batches only where there are any."""
    now, bars = now or datetime.now(UTC), Bars()
    checks = [check_ledger(ledger)]
    if find_last_job(ledger, "batch") is not None:
        checks.append(check_batch(ledger, bars.max_age, now))
    checks.append(check_failures(ledger, bars.max_failure_rate, bars.window, now))
    if "://" not in ledger.place:
        checks.append(check_disk((Path(ledger.place).parent,), bars.min_free))
    return checks


class Watch:
    """Looks at the ledger in the background, for all visitors together; the last look stands until the next is over."""

    def __init__(self) -> None:
        self._chores = Chores(kept=8)
        self._last: dict[object, Sight] = {}

    def latest(self, ledger: Ledger, bundle: Bundle, period: Period) -> Sight | None:
        """The last look at a period; None when the first is not over yet. Begins another when it is time.

        Raises LedgerError when the last one could not read the ledger.
        """
        key = (ledger.place, period.since, period.until)

        def ask() -> Chore[Sight]:
            return self._chores.ask(key, lambda progress: look(ledger, bundle, period))

        chore = ask()
        is_stale = chore.is_done and not chore.has_failed and self._is_stale(chore.result())
        if is_stale:
            self._chores.forget(key)
            chore = ask()
        if is_stale or key not in self._last:
            chore.wait(FIRST_S)  # nobody may have looked for hours: the old look is for when this one takes long
        if chore.is_done:
            if chore.has_failed:
                self._chores.forget(key)
            self._last = {key: chore.result()} if len(self._last) > 20 else self._last | {key: chore.result()}
        return self._last.get(key)

    def _is_stale(self, sight: Sight) -> bool:
        return time.monotonic() - sight.over_s >= max(TICK_S - 1, REST * sight.took_s)
