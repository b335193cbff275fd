"""Where the pages meet the service: which addresses are theirs, and the desk that they work at."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from platformdirs import user_data_path
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from vestiary.errors import ServiceError, VestiaryError
from vestiary.web import errors
from vestiary.web.gate import make_request_id
from vestiary.web.logs import JsonLines, describe_fault, write_line
from vestiary.web.service import Service
from vestiary.web.settings import Settings
from vestiary.web.visitors import Visitors, is_pages_path

if TYPE_CHECKING:
    from vestiary.pages.desk import Answered, Desk

RUNNERS_UP: Final = 6
"""Values of each attribute that a page gets beside the first."""
TIDY_S: Final = 3600.0
"""Seconds between two looks for batches to let go of."""
SPARE_S: Final = 5.0
"""Seconds that a page waits for its answer beyond the deadline that the answer has."""


def can_mount(settings: Settings) -> bool:
    """Whether this service has pages: where they are wanted, can be had, and a visitor meets one process only."""
    return settings.pages and settings.workers == 1 and importlib.util.find_spec("streamlit") is not None


def explain_absence(settings: Settings) -> None:
    """Say in the log that several workers have no pages, where there would be some otherwise."""
    if can_mount(settings.model_copy(update={"workers": 1})):
        # A visitor's uploads and their connection have to meet in one process.
        write_line("pages", state="off", reason="the pages need a service with one worker; start one for them")


class PagesRoute(BaseRoute):
    """The pages as a route among those of the API: it takes what is the pages' own and leaves everything else."""

    def __init__(self, service: Service) -> None:
        """Raises RuntimeError when the process has pages already: Streamlit allows one App in each."""
        from vestiary.pages.app import build_app, count_held_bytes

        self.service = service
        service.visitors, service.count_uploads = Visitors(), count_held_bytes
        self.app = build_app(max_upload_bytes=service.settings.max_body_bytes, on_fault=_tell)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """All or nothing, so that no address of the API is hidden."""
        return (Match.FULL, {}) if is_pages_path(scope) else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection of a visitor."""
        from vestiary.pages.look import ICON

        if scope["type"] == "websocket":
            self._refresh()
        elif scope["path"] == "/favicon.png":  # what a browser shows before the page tells it its own
            await FileResponse(ICON, media_type="image/svg+xml")(scope, receive, send)
            return
        await self.app(scope, receive, send)

    @asynccontextmanager
    async def running(self, app: object) -> AsyncIterator[None]:
        """While the pages run; the service runs by then."""
        from vestiary.pages.app import quiet_log
        from vestiary.pages.desk import set_desk

        set_desk(make_desk(self.service, asyncio.get_running_loop()))
        async with self.app.lifespan()(app):
            quiet_log(JsonLines())
            tidying = asyncio.create_task(_tidy_batches())
            try:
                yield
            finally:
                tidying.cancel()

    def _refresh(self) -> None:
        """A ledger that was away at the start is there for whoever comes after it is back."""
        from vestiary.pages.desk import current_desk, set_desk

        recorder, desk = self.service.recorder, current_desk()
        if recorder is not None and recorder.ledger is not desk.ledger:
            set_desk(replace(desk, ledger=recorder.ledger))


async def _tidy_batches() -> None:
    """Let go of old batches of the page, again and again."""
    from vestiary.pages.batch.retention import remove_old_batches
    from vestiary.pages.desk import current_desk

    while True:
        desk = current_desk()
        keep = timedelta(days=desk.jobs_keep_days) if desk.jobs_keep_days else None
        if desk.ledger is not None:
            try:
                if n := await asyncio.to_thread(remove_old_batches, desk.jobs, desk.ledger, keep):
                    write_line("batches", removed=n)
            except (VestiaryError, OSError) as error:
                _tell(error)
        await asyncio.sleep(TIDY_S)


def _tell(error: Exception) -> None:
    write_line("fault", **describe_fault(error))


def make_desk(service: Service, loop: asyncio.AbstractEventLoop) -> Desk:
    """The desk of a service whose event loop is ``loop``."""
    from vestiary.pages.desk import Desk

    settings, recorder = service.settings, service.recorder

    def answer(pictures: Sequence[tuple[str, bytes]]) -> list[Answered]:
        waiting = asyncio.run_coroutine_threadsafe(_answer(service, pictures), loop)
        try:
            return waiting.result(settings.deadline_s + SPARE_S)
        except errors.Problem as problem:
            raise ServiceError(problem.detail, status=problem.status) from None
        except TimeoutError:
            waiting.cancel()
            raise ServiceError(errors.deadline_passed(settings.deadline_s).detail, status=504) from None

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return Desk(
        bundle=service.bundle,
        predictor=service.predictor,
        answer=answer,
        ledger=recorder.ledger if recorder is not None else None,
        album=recorder.album if recorder is not None else None,
        catalogue=settings.catalogue,
        bundles=settings.bundles,
        index=service.index,
        jobs=settings.jobs or default_jobs(),
        jobs_keep_days=settings.jobs_keep_days,
        limits=service.predictor.limits,
        max_upload_files=settings.max_upload_files,
        max_upload_bytes=settings.max_body_bytes,
        public_url=f"http://{host}:{settings.port}",
        needs_key=bool(settings.api_keys),
        settle=recorder.flush if recorder is not None else lambda: False,
    )


def default_jobs() -> Path:
    """The folder of the batches of the page, where none is set."""
    return user_data_path("vestiary", appauthor=False) / "jobs"


async def _answer(service: Service, pictures: Sequence[tuple[str, bytes]]) -> list[Answered]:
    """As for a request of the API: in its queue, counted, within its deadline, recorded. Raises Problem."""
    from vestiary.pages.desk import Answered

    service.enter()
    try:
        async with asyncio.timeout(service.settings.deadline_s):
            outcomes = await service.scheduler.answer(pictures, top_k=RUNNERS_UP)
    except TimeoutError:
        raise errors.deadline_passed(service.settings.deadline_s) from None
    finally:
        service.leave()
    recorder = service.recorder
    ids = recorder.record(make_request_id(), pictures, outcomes) if recorder is not None else [None] * len(outcomes)
    return [
        Answered(outcome.prediction, None if outcome.prediction.failure else prediction_id, outcome.size)
        for outcome, prediction_id in zip(outcomes, ids, strict=True)
    ]
