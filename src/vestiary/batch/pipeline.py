"""Pictures in, predictions out, in order: each thread reads, decodes and answers a few pictures at a time.

There is a thread for each core and one more (``count_threads``), and a thread does all of the work on its pictures:
while one decodes, another is in the model, and no core waits for a queue or the interpreter. At most AHEAD parcels a
thread are on their way, so that memory does not grow with the number of pictures, and a slow parcel does not stop the
others at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from vestiary.batch.pictures import Pictures
from vestiary.errors import AddressUnreachableError, UsageError
from vestiary.ledger.jobs import Item
from vestiary.predictor import Predictor
from vestiary.tags import Prediction

Thing = TypeVar("Thing")

PARCEL = 16
"""Pictures that go through the model together."""
AHEAD = 8
TOP_K = 6
"""Answers told per attribute, the tag itself included."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A picture and what came of it.

    ``stamp`` is that of the bytes that were looked at; ``latency_ms`` is the share of one picture in the milliseconds
    that its parcel took, from reading to the answer. ``is_unreached`` tells of a store that gave nothing for now.
    """

    item: Item
    prediction: Prediction
    stamp: str | None
    latency_ms: float
    is_unreached: bool = False


class _Reading:
    """Gives the bytes of one picture when they are wanted, and remembers their stamp."""

    def __init__(self, pictures: Pictures, item: Item) -> None:
        self.stamp: str | None = None
        self.is_unreached = False
        self._pictures, self._item = pictures, item

    def __call__(self) -> bytes:
        if self._item.refused is not None:
            raise UsageError(self._item.refused)
        try:
            data, self.stamp = self._pictures.read(self._item.name)
        except AddressUnreachableError:
            self.is_unreached = True
            raise
        return data


class Pipeline:
    """The threads of one batch; ``close`` ends them."""

    def __init__(self, predictor: Predictor, pictures: Pictures, *, threads: int) -> None:
        self._predictor, self._pictures = predictor, pictures
        self._ahead = AHEAD * threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="vestiary-batch")

    def answer(self, items: Iterable[Item]) -> Iterator[list[Answered]]:
        """Parcels of answers, in the order of ``items``, which are taken as they are needed."""
        waiting: deque[Future[list[Answered]]] = deque()
        try:
            for parcel in cut(items, PARCEL):
                waiting.append(self._pool.submit(self._work, parcel))
                if len(waiting) >= self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, parcel: Sequence[Item]) -> list[Answered]:
        start = time.perf_counter()
        readings = [_Reading(self._pictures, item) for item in parcel]
        prepared = [self._predictor.prepare(item.name, reading) for item, reading in zip(parcel, readings, strict=True)]
        predictions = self._predictor.answer(prepared, top_k=TOP_K)
        latency_ms = 1000 * (time.perf_counter() - start) / len(parcel)
        return [
            Answered(item, prediction, reading.stamp, latency_ms, reading.is_unreached)
            for item, prediction, reading in zip(parcel, predictions, readings, strict=True)
        ]


def cut(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """Lists of ``size``, the last one perhaps shorter."""
    rest = iter(things)
    while parcel := list(islice(rest, size)):
        yield parcel
