"""Pictures that could not be answered, by reason, and shown where their source still has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vestiary.catalogue import Source
from vestiary.ledger import FailureRecord, Job
from vestiary.ledger.places import find_source
from vestiary.reports.gallery import Photo
from vestiary.reports.operations.period import Period
from vestiary.reports.photos import load_broken, to_data_url

SHOWN = 12
"""Pictures of one reason that are shown or named: the newest of batches, then those of the service."""


@dataclass(frozen=True)
class FailureGroup:
    """Failures with one code: how many, how many of them are given up, and the newest of them."""

    code: str
    n: int
    n_quarantined: int
    message: str
    photos: tuple[Photo, ...]


@dataclass
class _Group:
    n: int = 0
    n_quarantined: int = 0
    by_source: dict[str, list[FailureRecord]] = field(default_factory=dict)

    @property
    def newest(self) -> list[FailureRecord]:
        """Batches first: only of theirs is it known where the picture lies."""
        return [record for name in sorted(self.by_source) for record in self.by_source[name]][:SHOWN]


class Failures:
    """Counts of failures by code and day; ``add`` them in the order of their times, then read."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self.by_day: Counter[int] = Counter()
        self.by_job: Counter[tuple[str, int]] = Counter()
        self._groups: dict[str, _Group] = {}

    def add(self, records: Iterable[FailureRecord]) -> None:
        """Count these."""
        for record in records:
            place = self.period.find_day(record.at)
            self.by_day[place] += 1
            if record.job_id is not None:
                self.by_job[record.job_id, place] += 1
            group = self._groups.setdefault(record.code, _Group())
            group.n += 1
            group.n_quarantined += record.quarantined
            group.by_source[record.source] = [record, *group.by_source.get(record.source, [])[: SHOWN - 1]]

    def groups(self, jobs: Mapping[str, Job]) -> tuple[FailureGroup, ...]:
        """The commonest reason first; ``jobs`` tell where the pictures lie."""
        sources: dict[str, Source | None] = {}
        ranked = sorted(self._groups.items(), key=lambda entry: (-entry[1].n, entry[0]))
        return tuple(
            FailureGroup(
                code,
                own.n,
                own.n_quarantined,
                own.newest[0].message,
                tuple(_show(record, jobs, sources) for record in own.newest),
            )
            for code, own in ranked
        )


def _show(record: FailureRecord, jobs: Mapping[str, Job], sources: dict[str, Source | None]) -> Photo:
    job = jobs.get(record.job_id) if record.job_id is not None else None
    image = None
    if job is not None:
        if job.id not in sources:
            sources[job.id] = find_source(job)
        source = sources[job.id]
        image = load_broken(source, record.name) if source is not None else None
    if image is None:
        return Photo(None, 0, 0, record.name, record.name, record.message)
    return Photo(to_data_url(image), image.width, image.height, record.name, record.name, record.message)
