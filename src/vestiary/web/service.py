"""The state of one service: model, queue, counts, limits. One object per app, and nothing outside it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from PIL import Image
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from vestiary.bundle import Bundle, open_bundle
from vestiary.errors import BundleError, require
from vestiary.images import Limits
from vestiary.predictor import Predictor, count_cores, count_threads
from vestiary.similar import Index, open_index
from vestiary.web import errors
from vestiary.web.batching import Outcome, Scheduler
from vestiary.web.limits import Held, Rates, read_body
from vestiary.web.payloads import Link, Upload, count_pieces
from vestiary.web.recorder import Recorder, make_recorder
from vestiary.web.settings import Settings
from vestiary.web.tally import Tally
from vestiary.web.visitors import Visitors
from vestiary.web.watch import DriftWatch

if TYPE_CHECKING:
    from vestiary.web.fetching import Fetcher

Result = TypeVar("Result")

INLINE_BYTES: Final = 262_144
"""Bodies up to this size are taken apart on the event loop (0.6 ms for base64, a quarter of it for a form): that is
quicker than handing them to a thread and back."""
INLINE_PIECES: Final = 1_500
"""Values of JSON in such a body at most: more of them take longer."""
INLINE_PARTS: Final = 50
"""Beginnings of parts of a form in such a body at most."""
INLINE_LINE: Final = 256
"""Bytes of the first of them at most."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the workers of one service have in common: files for the tally and the rates, and when it all started."""

    tally: Path
    rates: Path
    salt: bytes
    started_at: float


class Service:
    """Model, queue, counts and limits of one app; started and stopped by the app's lifespan."""

    def __init__(self, settings: Settings, routes: Sequence[str], shared: Shared | None = None) -> None:
        """Open the bundle, load its model and let it answer once.

        Raises BundleError, LedgerError, SimilarError (an index that cannot be used) or UsageError.
        """
        self.settings = settings
        limits = Limits(max_bytes=settings.max_body_bytes, max_pixels=settings.max_pixels)
        self.predictor = Predictor(
            open_bundle(settings.bundle),
            precision=settings.precision,
            decide_on=settings.decide_on,
            threads=1,
            limits=limits,
        )
        self.bundle = self.predictor.bundle
        self._warm_up()
        rows, path, started_at = (settings.workers, shared.tally, shared.started_at) if shared else (1, None, None)
        self.tally = Tally(routes, rows=rows, path=path, started_at=started_at)
        self.rates = Rates(
            per_minute=settings.rate_per_minute,
            burst=settings.rate_burst,
            names=tuple(settings.api_keys),
            path=shared.rates if shared else None,
            salt=shared.salt if shared else b"",
        )
        self.index, self.recorder = open_parts(settings, self.bundle, self.tally)
        self.watch = DriftWatch(self.bundle, settings.ledger_url or None)
        self.held = Held()
        self.visitors: Visitors | None = None
        """Set where there are pages."""
        self.count_uploads: Callable[[], int] = lambda: 0
        """Bytes that wait for a page to take them."""
        self.fetcher = _make_fetcher(settings) if settings.fetch_urls else None
        self.in_flight = 0
        self.n_tabs = 0
        """Connections of pages that somebody looks at; each lasts for hours and asks for nothing."""
        self.is_ready = False
        self.is_draining = False

    async def start(self) -> None:
        """Start the threads; from now on the service is ready."""
        threads = self.settings.threads or count_threads(max(1, count_cores() // self.settings.workers))
        self._talkers = ThreadPoolExecutor(2, thread_name_prefix="vestiary-talk")
        self._painters = ThreadPoolExecutor(1, thread_name_prefix="vestiary-paint")
        self.scheduler = Scheduler(
            self.predictor,
            self.tally,
            category=self.bundle.taxonomy.category,
            threads=threads,
            max_batch=self.settings.max_batch,
        )
        if self.recorder is not None:
            self.recorder.start()
        self.is_ready = True
        self.tally.set_gauge("ready", 1)

    def _warm_up(self) -> None:
        """The first answer, so that no caller pays for first allocations; not counted, since nobody asked."""
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (128, 128, 128)).save(buffer, "JPEG")
        if self.predictor.predict([buffer.getvalue()])[0].failure:
            raise BundleError(f"The bundle {self.bundle.name} does not answer a plain picture; make it again.")

    async def stop(self) -> None:
        """Finish what is begun and let the threads end."""
        self.is_ready = False
        self.tally.set_gauge("ready", 0)
        await asyncio.to_thread(self.scheduler.close)
        if self.fetcher is not None:
            await self.fetcher.close()
        await asyncio.to_thread(self.watch.close)
        self._talkers.shutdown()
        self._painters.shutdown()
        if self.recorder is not None:
            await asyncio.to_thread(self.recorder.stop)

    def drain(self) -> None:
        """Take no new requests from now on; what has been taken is answered."""
        self.is_draining = True
        self.tally.set_gauge("ready", 0)

    def enter(self) -> None:
        """Take a request in. Raises Problem 503 when the service is full or about to stop."""
        if self.is_draining:
            raise errors.shutting_down(self.settings.retry_after_s)
        if self.is_full:
            raise errors.overloaded(self.settings.retry_after_s)
        self.in_flight += 1
        self.tally.set_gauge("in_flight", self.in_flight)

    def leave(self) -> None:
        """Let a request go, however it ended."""
        self.in_flight -= 1
        self.tally.set_gauge("in_flight", self.in_flight)

    @property
    def is_full(self) -> bool:
        """Whether one more request would be refused."""
        return self.in_flight >= self.settings.max_in_flight

    @property
    def keeps_photos(self) -> bool:
        """Whether photos that go to review stay here."""
        return self.recorder is not None and self.recorder.album is not None

    async def receive(self, request: Request, parse: Callable[[bytes | bytearray], Result]) -> Result:
        """The body of a request, taken apart by ``parse``: off the event loop unless it is small.

        Raises Problem for a body that is too large, too slow or not to be read, ClientDisconnect.
        """
        settings = self.settings
        body = await read_body(
            request.scope,
            request.receive,
            self.held,
            max_bytes=settings.max_body_bytes,
            max_held=settings.max_held_bytes,
            seconds=settings.body_timeout_s,
            retry_after_s=settings.retry_after_s,
        )
        request.state.bytes_in = len(body)
        request.state.due = asyncio.get_running_loop().time() + settings.deadline_s
        if _is_quick(body):
            return parse(body)
        return await self.off_loop(lambda: parse(body))

    async def off_loop(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns, from a thread: for taking requests apart and putting answers together."""
        return await asyncio.get_running_loop().run_in_executor(self._talkers, work)

    async def paint(self, request: Request, work: Callable[[], Result]) -> Result:
        """What ``work`` returns, from the one thread that draws pictures, which may take long; as ``in_time``."""
        return await self.in_time(request, asyncio.get_running_loop().run_in_executor(self._painters, work))

    async def fetch(self, request: Request, upload: Upload | Link) -> Upload:
        """The picture that was sent, or the one at the address that was sent instead.

        Raises what ``in_time`` does, and Problem when nothing may or can be fetched, or is too large.
        """
        return upload if isinstance(upload, Upload) else await self.in_time(request, self._fetch(request, upload))

    async def fetch_all(
        self, request: Request, uploads: Sequence[Upload | Link | errors.Problem]
    ) -> list[Upload | errors.Problem]:
        """As ``fetch`` for each of several, with the Problem of one that may not or cannot be had in its place."""

        async def take(link: Link) -> Upload | errors.Problem:
            try:
                return await self._fetch(request, link)
            except errors.Problem as problem:
                return problem

        async def take_all(links: Sequence[Link]) -> list[Upload | errors.Problem]:
            return await asyncio.gather(*(take(link) for link in links))

        links = [upload for upload in uploads if isinstance(upload, Link)]
        taken = iter(await self.in_time(request, take_all(links)) if links else [])
        return [next(taken) if isinstance(upload, Link) else upload for upload in uploads]

    async def _fetch(self, request: Request, link: Link) -> Upload:
        if self.fetcher is None:
            raise errors.fetching_is_off()
        return Upload(None, await self.fetcher.fetch(link.url, lambda n_bytes: self._hold(request, n_bytes)))

    def _hold(self, request: Request, n_bytes: int) -> None:
        """Count bytes that came for a request, beside its body, until it is over."""
        if self.held.n_bytes + n_bytes > self.settings.max_held_bytes:
            raise errors.overloaded(self.settings.retry_after_s)
        self.held.n_bytes += n_bytes
        request.state.bytes_in += n_bytes

    async def answer(self, request: Request, pictures: Sequence[tuple[str, bytes]], top_k: int = 1) -> list[Outcome]:
        """Outcomes of (id, encoded bytes) pairs, in order, on their way to the ledger; raises what ``in_time`` does."""
        outcomes = await self.in_time(request, self.scheduler.answer(pictures, top_k=top_k))
        if self.recorder is not None:
            self.recorder.record(request.state.request_id, pictures, outcomes)
        return outcomes

    async def in_time(self, request: Request, work: Awaitable[Result]) -> Result:
        """What ``work`` gives.

        Raises Problem 504 when it is not there within the deadline, ClientDisconnect when nobody waits any more; in
        both cases the work is cancelled, and pictures leave the queue.
        """
        try:
            async with asyncio.timeout_at(request.state.due):
                return await _unless_gone(request.receive, work)
        except TimeoutError:
            raise errors.deadline_passed(self.settings.deadline_s) from None


def open_parts(settings: Settings, bundle: Bundle, tally: Tally) -> tuple[Index | None, Recorder | None]:
    """What a service has beside its model: the index, and what keeps its answers; None for one that is not wanted.

    Raises LedgerError, SimilarError or UsageError for one that cannot be used.
    """
    index = open_index(settings.index, bundle) if settings.index else None
    place, folder = settings.ledger_url, settings.keep_pictures
    return index, make_recorder(place, bundle_name=bundle.name, tally=tally, keep_pictures=folder)


def _is_quick(body: bytearray) -> bool:
    """Whether a body is taken apart in a moment, whatever its form."""
    if len(body) > INLINE_BYTES:
        return False
    if not body.startswith(b"--"):
        return count_pieces(body) <= INLINE_PIECES and body.count(b"\r\n--") <= INLINE_PARTS
    line_end = body.find(b"\r\n", 0, INLINE_LINE)  # of a form, whose first line stands before each of its parts
    return line_end > 0 and body.count(body[:line_end].rstrip()) <= INLINE_PARTS


def _make_fetcher(settings: Settings) -> Fetcher:
    require("httpx", extra="serve", feature="The setting fetch_urls")
    from vestiary.web.fetching import Fetcher

    return Fetcher(max_bytes=settings.max_body_bytes, seconds=settings.fetch_timeout_s)


async def _unless_gone(receive: Receive, work: Awaitable[Result]) -> Result:
    """What ``work`` gives; it is cancelled, and ClientDisconnect raised, when the client goes away before."""
    own = asyncio.current_task()
    is_gone = is_over = False

    def leave(watcher: asyncio.Task[None]) -> None:
        nonlocal is_gone
        if not is_over and not watcher.cancelled() and own is not None:
            is_gone = True
            own.cancel()

    watcher = asyncio.create_task(_wait_for_disconnect(receive))
    watcher.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if is_gone and own is not None and own.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        is_over = True  # the watcher may have ended already and be about to call
        watcher.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
