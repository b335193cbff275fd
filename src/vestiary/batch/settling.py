"""Which pictures of a folder have stopped growing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vestiary.batch.pictures import Found


@dataclass(slots=True)
class _Seen:
    stamp: str | None
    since: float
    is_told: bool = False


class Settling:
    """Tells each picture once, when it has been the same for ``seconds``; a picture that then changes is told again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, _Seen] = {}

    def settle(self, found: Iterable[Found], at: float) -> Iterator[Found]:
        """Those of one look into the folder, made ``at`` seconds, that have settled and were not told before."""
        before, self._seen = self._seen, {}
        for picture in found:
            seen = before.get(picture.name)
            if seen is None or seen.stamp != picture.stamp:
                seen = _Seen(picture.stamp, at)
            self._seen[picture.name] = seen
            if not seen.is_told and at - seen.since >= self._seconds:
                seen.is_told = True
                yield picture
