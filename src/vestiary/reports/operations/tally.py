"""One walk through the ledger: every figure of a report about the answers, added up as they pass."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from vestiary.ledger import PredictionRecord
from vestiary.reports.operations.period import Period

BINS = 20
"""Bins of a histogram of confidences, each a twentieth wide."""


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds that half, 95 % and 99 % of the answers took at most, and of how many it is known."""

    p50: float
    p95: float
    p99: float
    n: int


@dataclass(frozen=True)
class Day:
    """What happened on one day; ``review`` are answers that a person should look at.

    ``unfamiliar`` are pictures unlike those of training, among the ``judged``: not every bundle tells.
    """

    date: str
    accepted: int
    review: int
    failed: int
    judged: int
    unfamiliar: int
    latency: Percentiles | None

    @property
    def answered(self) -> int:
        """Pictures that have an answer."""
        return self.accepted + self.review


@dataclass(frozen=True)
class AttributeTally:
    """The answers to one question: pictures by value (the commonest first), how many were accepted, mean confidence."""

    name: str
    title: str
    n: int
    n_accepted: int
    confidence: float
    counts: tuple[tuple[str, int], ...]


@dataclass
class Stretch:
    """The work of one job on one day: from its first answer to its last, both UTC; ``n_later`` came after the first.

    Answers are written in blocks of one time each, and what the first block took is not known.
    """

    first_at: datetime
    last_at: datetime
    n: int = 0
    n_later: int = 0


@dataclass
class _Attribute:
    n_accepted: int = 0
    confidence: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class _Day:
    accepted: int = 0
    review: int = 0
    judged: int = 0
    unfamiliar: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))


class Tally:
    """The sums of the answers of a period; ``add`` them, then read."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self.sources: Counter[str] = Counter()
        self.bundles: Counter[tuple[str, str]] = Counter()
        self.histogram = [0] * BINS
        self.stretches: dict[tuple[str, int], Stretch] = {}
        self._days = [_Day() for _ in period.days]
        self._attributes: dict[str, _Attribute] = defaultdict(_Attribute)

    def add(self, records: Iterable[PredictionRecord]) -> None:
        """Count these, which come in the order of their times."""
        for record in records:
            place = self.period.find_day(record.at)
            day = self._days[place]
            if record.job_id is not None:
                own = self.stretches.setdefault((record.job_id, place), Stretch(record.at, record.at))
                own.last_at, own.n = record.at, own.n + 1
                own.n_later += record.at > own.first_at
            if record.accepted:
                day.accepted += 1
            else:
                day.review += 1
            day.unfamiliar += bool(record.unfamiliar)
            day.judged += record.unfamiliar is not None
            if record.latency_ms is not None:
                day.latencies.append(record.latency_ms)
            self.sources[record.source] += 1
            self.bundles[record.bundle_name, record.bundle] += 1
            self._add_tags(record)

    def _add_tags(self, record: PredictionRecord) -> None:
        if (least := record.confidence) is not None:
            self.histogram[min(int(least * BINS), BINS - 1)] += 1
        for name, tag in record.tags.items():
            own = self._attributes[name]
            own.counts[tag["value"]] += 1
            own.n_accepted += tag["accepted"]
            own.confidence += tag["confidence"]

    def days(self, failed: Counter[int]) -> tuple[Day, ...]:
        """Every day of the period; ``failed`` counts failures by its position."""
        return tuple(
            Day(
                date.isoformat(),
                own.accepted,
                own.review,
                failed[place],
                own.judged,
                own.unfamiliar,
                _measure(own.latencies),
            )
            for place, (date, own) in enumerate(zip(self.period.days, self._days, strict=True))
        )

    def latency(self) -> Percentiles | None:
        """The percentiles of all days; None when no answer says what it took."""
        together = array("d")
        for day in self._days:
            together.extend(day.latencies)
        return _measure(together)

    def attributes(self, titles: Mapping[str, str]) -> tuple[AttributeTally, ...]:
        """Every question that was answered, in the order of the answers, with its title where it has one."""
        return tuple(
            AttributeTally(
                name,
                titles.get(name) or name,
                n,
                own.n_accepted,
                own.confidence / n,
                tuple(sorted(own.counts.items(), key=lambda entry: (-entry[1], entry[0]))),
            )
            for name, own in self._attributes.items()
            if (n := own.counts.total())
        )


def _measure(latencies: array[float]) -> Percentiles | None:
    if not latencies:
        return None
    p50, p95, p99 = (float(own) for own in np.percentile(np.frombuffer(latencies), (50, 95, 99)))
    return Percentiles(p50, p95, p99, len(latencies))
