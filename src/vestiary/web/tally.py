"""What the service counts, in one table of numbers: a row per worker, summed by whoever asks.

Each worker writes only its own row, so nothing is locked; with several workers the table is a file that all of them
map, and any of them tells the figures of all. A worker's row outlives it: its replacement goes on counting there, and
only the gauges start at nothing. A row is held by a lock that the system releases when its holder dies, whatever the
way, so that who is alive is never a matter of belief.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

STATUSES: Final = (200, 400, 401, 404, 405, 408, 413, 415, 422, 429, 499, 500, 503, 504)
"""Every status that the service answers with; 499 stands for a client that went away."""
SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the histograms of times, in seconds."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128)
"""Upper bounds of the histogram of pictures in a batch."""
HISTOGRAMS: Final = {"total": SECONDS, "queue": SECONDS, "decode": SECONDS, "infer": SECONDS, "batch": SIZES}
GAUGES: Final = ("ready", "in_flight", "waiting")
COUNTERS: Final = (
    *("successes", "failures", "bytes_in", "records_written", "records_dropped", "records_lost"),
    *("photos_kept", "photos_lost"),
)

_OTHER: Final = "other"
_REFUSED: Final = "no request"
_BYTE: Final = 8


class Tally:
    """The counts of one service. ``routes`` are the addresses that are counted apart, all others as "other".

    ``rows`` is the number of workers; for more than one, ``path`` names the file that they share. ``started_at``
    (seconds since 1970) is when the service started, for a worker that joins it later.
    """

    def __init__(
        self, routes: Sequence[str], *, rows: int = 1, path: Path | None = None, started_at: float | None = None
    ) -> None:
        self.started_at = time.time() if started_at is None else started_at
        self.routes = (*routes, _OTHER)
        names = [(route, status) for route in (*self.routes, _REFUSED) for status in STATUSES]
        self._requests = {key: place for place, key in enumerate(names)}
        start = len(names)
        self._counters = {name: start + place for place, name in enumerate(COUNTERS)}
        start += len(COUNTERS)
        self._histograms = {}
        for name, bounds in HISTOGRAMS.items():
            self._histograms[name] = start
            start += len(bounds) + 2  # one count over all bounds, and the sum
        self._gauges = {name: start + place for place, name in enumerate(GAUGES)}
        self.rows, self._width = rows, start + len(GAUGES)
        self._file: int | None = None
        self._table = self._open(path)
        self.row = 0 if path is None else self._claim_row()
        self._own = self._table[self.row]
        self._own[list(self._gauges.values())] = 0

    def _open(self, path: Path | None) -> NDArray[np.float64]:
        if path is None:
            return np.zeros((self.rows, self._width))
        self._file = os.open(path, os.O_RDWR)
        size = self.rows * self._width * _BYTE
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, size)
        table = np.frombuffer(mmap.mmap(self._file, size), dtype=np.float64)
        return table.reshape(self.rows, self._width)

    def _claim_row(self) -> int:
        for _ in range(100):
            for row in range(self.rows):
                if self._lock(row, alone=True):
                    return row
            time.sleep(0.01)  # a reader holds a row for a moment while it looks whether anybody else does
        raise RuntimeError("every row of the tally is taken")

    def _lock(self, row: int, *, alone: bool) -> bool:
        """Whether this process has the row now: ``alone``, or with others that only look whether anybody holds it."""
        import fcntl

        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.lockf(self._file, kind | fcntl.LOCK_NB, 1, row)  # type: ignore[arg-type]
        except OSError:
            return False
        return True

    def _is_held(self, row: int) -> bool:
        if self._file is None or row == self.row:
            return True
        if not self._lock(row, alone=False):
            return True
        import fcntl

        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, row)
        return False

    def count_request(self, route: str, status: int, seconds: float, bytes_in: int) -> None:
        """One request that is over."""
        self._own[self._requests[route, status if status in STATUSES else 500]] += 1
        self._own[self._counters["bytes_in"]] += bytes_in
        self.observe("total", seconds)

    def count_refusal(self, status: int) -> None:
        """One connection that was answered before there was a request: no room, no head in time, no HTTP."""
        self._own[self._requests[_REFUSED, status]] += 1

    def count_picture(self, *, success: bool) -> None:
        """One picture that was answered or could not be."""
        self._own[self._counters["successes" if success else "failures"]] += 1

    def count(self, counter: str, n: int = 1) -> None:
        """So many more of what a counter counts."""
        self._own[self._counters[counter]] += n

    def observe(self, histogram: str, value: float) -> None:
        """One value of a histogram."""
        bounds, start = HISTOGRAMS[histogram], self._histograms[histogram]
        place = next((number for number, bound in enumerate(bounds) if value <= bound), len(bounds))
        self._own[start + place] += 1
        self._own[start + len(bounds) + 1] += value

    def set_gauge(self, name: str, value: float) -> None:
        """The present value of this worker."""
        self._own[self._gauges[name]] = value

    def gauge(self, name: str) -> float:
        """The present value of all living workers together."""
        alive = [row for row in range(self.rows) if self._is_held(row)]
        return float(self._table[alive, self._gauges[name]].sum())

    def counter(self, name: str) -> int:
        """The count of all workers since the service started."""
        return int(self._table[:, self._counters[name]].sum())

    def requests(self) -> dict[tuple[str, int], int]:
        """Requests by route and status, those that occurred."""
        return {key: n for key, n in self._sum_requests().items() if key[0] != _REFUSED}

    def refusals(self) -> dict[int, int]:
        """Connections that were answered before there was a request, by status, those that occurred."""
        return {status: n for (route, status), n in self._sum_requests().items() if route == _REFUSED}

    def _sum_requests(self) -> dict[tuple[str, int], int]:
        sums = self._table.sum(axis=0)
        return {key: int(sums[place]) for key, place in self._requests.items() if sums[place]}

    def histogram(self, name: str) -> tuple[list[tuple[str, float]], float]:
        """Upper bounds with the number of values up to them, and the sum of all values."""
        bounds, start = HISTOGRAMS[name], self._histograms[name]
        sums = self._table[:, start : start + len(bounds) + 2].sum(axis=0)
        counts = np.cumsum(sums[:-1])
        labels = [*(str(float(bound)) for bound in bounds), "+Inf"]
        return [(label, float(count)) for label, count in zip(labels, counts, strict=True)], float(sums[-1])
