"""Between the routes and the predictor: pictures wait here, and form batches while all threads are busy.

Each thread does one thing at a time: it takes the pictures that are next, decodes them, and sends them through the
model together. A lone picture is taken at once, since a thread is free; under load pictures gather while the threads
are busy, and one that has done its own takes its share of them before anybody has been told of them. So nothing ever
waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from vestiary.predictor import Predictor, Prepared
from vestiary.priority import ANSWERING, step_back
from vestiary.tags import Prediction
from vestiary.web.tally import Tally

BATCH_BYTES = 4_000_000
"""Encoded bytes from which on no further picture joins a batch: one that takes long to decode makes few wait."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that one picture waited, was decoded, and was in the model (with the whole batch it was part of)."""

    queue: float
    decode: float
    infer: float

    def to_dict(self) -> dict[str, float]:
        """The wire form, in milliseconds."""
        return {name: round(1000 * getattr(self, name), 2) for name in ("decode", "queue", "infer")}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A prediction, the picture's upright size in pixels (None: not readable), and where its time went."""

    prediction: Prediction
    size: tuple[int, int] | None
    timing: Timing


@dataclass(slots=True, eq=False)
class _Ticket:
    """A picture in the queue."""

    id: str
    data: bytes
    top_k: int
    future: asyncio.Future[Outcome]
    since: float = field(default_factory=time.perf_counter)


class Scheduler:
    """The queue and the threads of one service. Made and used on one event loop."""

    def __init__(self, predictor: Predictor, tally: Tally, *, category: str, threads: int, max_batch: int) -> None:
        self._predictor, self._tally, self._max_batch = predictor, tally, max_batch
        self._category = category
        self._threads = [ThreadPoolExecutor(1, "vestiary", step_back, (ANSWERING,)) for _ in range(threads)]
        self._free = list(self._threads)
        self._waiting: deque[_Ticket] = deque()
        self._lock = threading.Lock()  # of what waits and who is free: the loop and the threads take from both
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Pictures that no thread has begun yet."""
        return len(self._waiting)

    async def answer(self, pictures: Sequence[tuple[str, bytes]], *, top_k: int) -> list[Outcome]:
        """Outcomes of (id, encoded bytes) pairs, in order; a caller that is cancelled takes its pictures with it.

        Of the category every value is ranked, of each other attribute at least ``top_k``.
        """
        loop = asyncio.get_running_loop()
        tickets = [_Ticket(name, data, top_k, loop.create_future()) for name, data in pictures]
        with self._lock:
            self._waiting.extend(tickets)
        try:
            self._start_batches()
            return [await ticket.future for ticket in tickets]
        except BaseException:
            for ticket in tickets:
                ticket.future.cancel()
            with self._lock:
                self._waiting = deque(ticket for ticket in self._waiting if not ticket.future.cancelled())
            self._tally.set_gauge("waiting", self.waiting)
            raise

    def close(self) -> None:
        """Let the threads end; what they are at is finished."""
        with self._lock:
            self._is_closed = True
        for thread in self._threads:
            thread.shutdown()

    def _start_batches(self) -> None:
        """Give what waits to the free threads, first to the one that was busy last: its core knows the model best."""
        loop = asyncio.get_running_loop()
        with self._lock:
            while self._free and self._waiting and not self._is_closed:
                thread = self._free.pop()
                thread.submit(self._run, loop, thread, self._take_batch())
        self._tally.set_gauge("waiting", self.waiting)

    def _take_batch(self) -> list[_Ticket]:
        """The next pictures: a thread's fair share of those that wait, within the limits of a batch."""
        share = -(-len(self._waiting) // (len(self._free) + 1))
        batch = [self._waiting.popleft()]
        size = len(batch[0].data)
        while self._waiting and len(batch) < min(share, self._max_batch):
            size += len(self._waiting[0].data)
            if size > BATCH_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _run(self, loop: asyncio.AbstractEventLoop, thread: ThreadPoolExecutor, batch: list[_Ticket]) -> None:
        """Answer a batch, tell the loop, and go on with what waits until nothing does; runs in a thread."""
        while True:
            try:
                found: list[Outcome] | Exception = self._work(batch)
            except Exception as error:
                found = error
            with self._lock:
                following = self._take_batch() if self._waiting and not self._is_closed else []
                if not following:
                    self._free.append(thread)
            loop.call_soon_threadsafe(self._finish, batch, found)
            if not following:
                return
            batch = following

    def _finish(self, batch: list[_Ticket], found: list[Outcome] | Exception) -> None:
        self._tally.set_gauge("waiting", self.waiting)
        if isinstance(found, Exception):
            for ticket in batch:
                if not ticket.future.done():
                    ticket.future.set_exception(found)
                    ticket.future.exception()  # its caller may be gone: the error is told by whoever is still there
            return
        self._tally.observe("batch", len(found))
        for ticket, outcome in zip(batch, found, strict=True):
            self._settle(ticket, outcome)

    def _settle(self, ticket: _Ticket, outcome: Outcome) -> None:
        for stage in ("queue", "decode", "infer"):
            self._tally.observe(stage, getattr(outcome.timing, stage))
        self._tally.count_picture(success=outcome.prediction.failure is None)
        if not ticket.future.done():
            ticket.future.set_result(outcome)

    def _work(self, batch: Sequence[_Ticket]) -> list[Outcome]:
        """Decode and answer a batch; runs in a thread."""
        begun = time.perf_counter()
        prepared: list[Prepared] = []
        seconds: list[float] = []
        for ticket in batch:
            start = time.perf_counter()
            prepared.append(self._predictor.prepare(ticket.id, ticket.data))
            seconds.append(time.perf_counter() - start)
        decoded = time.perf_counter()
        taxonomy = self._predictor.bundle.taxonomy
        top_k = dict.fromkeys(taxonomy.names, max(ticket.top_k for ticket in batch))
        top_k[self._category] = len(taxonomy[self._category].values)
        predictions = self._predictor.answer(prepared, top_k=top_k)
        infer = time.perf_counter() - decoded
        mates = decoded - begun
        return [
            Outcome(prediction, entry.size, Timing(begun - ticket.since + mates - own, own, infer))
            for ticket, prediction, entry, own in zip(batch, predictions, prepared, seconds, strict=True)
        ]
