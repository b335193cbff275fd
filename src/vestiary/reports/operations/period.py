"""Calendar days in a time zone, and the points in time where they begin."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vestiary.errors import UsageError


@dataclass(frozen=True)
class Period:
    """Whole days of a calendar, the first and the last included.

    ``starts`` are where the days begin, UTC, and where the last one ends: one more than there are days. ``zone`` is
    None for the machine's own time.
    """

    days: tuple[date, ...]
    starts: tuple[datetime, ...]
    zone: tzinfo | None
    zone_name: str

    @property
    def since(self) -> datetime:
        """Where the first day begins, UTC."""
        return self.starts[0]

    @property
    def until(self) -> datetime:
        """Where the last day ends, UTC."""
        return self.starts[-1]

    def find_day(self, at: datetime) -> int:
        """The position of the day that a point in time within the period belongs to."""
        return bisect_right(self.starts, at) - 1

    def to_local(self, at: datetime) -> datetime:
        """A point in time as the clocks of the zone show it."""
        return at.astimezone(self.zone)

    def describe(self) -> str:
        """``15 to 21 November 2026``, with no more than is needed."""
        first, last = self.days[0], self.days[-1]
        end = f"{last.day} {last:%B %Y}"
        if first == last:
            return end
        if first.year != last.year:
            return f"{first.day} {first:%B %Y} to {end}"
        return f"{first.day} to {end}" if first.month == last.month else f"{first.day} {first:%B} to {end}"


def choose_period(
    n_days: int, *, last: date | None = None, zone: str | None = None, now: datetime | None = None
) -> Period:
    """``n_days`` calendar days up to ``last`` (today when left out), in a zone such as ``Europe/Berlin``.

    Without ``zone`` days begin when the machine's own clock says so. Raises UsageError for an unknown zone, and for
    days that no calendar has.
    """
    own = _find_zone(zone)
    end = last or (now or datetime.now(UTC)).astimezone(own).date()
    try:
        days = tuple(end - timedelta(days=before) for before in range(n_days - 1, -1, -1))
        starts = tuple(_find_start(day, own) for day in (*days, end + timedelta(days=1)))
    except (OverflowError, ValueError):
        raise UsageError(
            f"The days up to {end} that were asked for ({n_days:,}) are more than the calendar has; ask for fewer, or "
            "for later ones."
        ) from None
    return Period(days, starts, own, zone or starts[-1].astimezone().tzname() or "local time")


def _find_zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"The time zone {name!r} is not known here; write it as Europe/Berlin (on Windows: pip install tzdata)."
        ) from None


def _find_start(day: date, zone: ZoneInfo | None) -> datetime:
    """Midnight, or the first moment of the day where clocks go forward over midnight."""
    midnight = datetime(day.year, day.month, day.day)
    return (midnight.replace(tzinfo=zone) if zone is not None else midnight).astimezone(UTC)
