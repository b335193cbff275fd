"""Around every request: its id, its log line and its count (Envelope); keys, rates and room for it (Gate)."""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vestiary.web import errors
from vestiary.web.limits import find_caller, find_length
from vestiary.web.logs import describe_fault, write_line
from vestiary.web.routes.entrance import render_entrance
from vestiary.web.routes.pages import render_refusal
from vestiary.web.service import Service
from vestiary.web.visitors import ENTRANCE, is_of_other_origin, is_page, is_pages_path

CLIENT_GONE: Final = 499
"""Stands in logs and counts for a client that went away; nobody is there to receive it."""
OPEN: Final = frozenset({"/", "/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"})
"""What may be asked without a key, for load balancers and for the upload page itself."""
PAGES_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; frame-src 'self' blob:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
"""What the pages may load: what this service sends, and nothing else, whoever wrote it into a page."""
GOING_AWAY: Final = 1012
NOT_ALLOWED: Final = 1008
"""Why a connection of the pages is not taken, as WebSockets number it."""
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def make_request_id() -> str:
    """A new id: unlikely to be met again, and no secret."""
    return f"{random.getrandbits(128):032x}"


class Envelope:
    """Gives each request an id (its own, if it brings a plain one), and counts and logs it when it is over."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else make_request_id()
        state = scope.setdefault("state", {})
        state |= {"request_id": request_id, "caller": None, "bytes_in": 0}
        status, bytes_out = CLIENT_GONE, 0

        async def send_marked(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(message, request_id)
            bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, send_marked)
        finally:
            if not _is_visit(scope, self.service):  # else a page's hundred files would drown what callers do
                self._account(scope, status, time.perf_counter() - start, bytes_out)

    def _mark(self, message: Message, request_id: str) -> None:
        headers = MutableHeaders(scope=message)
        if headers.get("content-type", "").startswith("text/html"):
            headers.setdefault("content-security-policy", PAGES_POLICY)
            headers.setdefault("referrer-policy", "no-referrer")
        headers["x-request-id"] = request_id
        headers["x-content-type-options"] = "nosniff"
        if self.service.is_draining:
            headers["connection"] = "close"

    def _account(self, scope: Scope, status: int, seconds: float, bytes_out: int) -> None:
        route = getattr(scope.get("route"), "path", scope["path"])  # refused before it was routed, or not known
        route = route if route in self.service.tally.routes else "other"
        state = scope["state"]
        self.service.tally.count_request(route, status, seconds, state["bytes_in"])
        if self.service.settings.log_requests:
            write_line(
                "request",
                request_id=state["request_id"],
                method=scope["method"] if scope["method"].isalpha() else "other",
                route=route,
                status=status,
                ms=round(1000 * seconds, 2),
                bytes_in=state["bytes_in"],
                bytes_out=bytes_out,
                caller=state["caller"],
            )


class Gate:
    """Lets a request in when its key, its rate and the room there is allow it; turns every error into an answer."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the connection of a page."""
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_started = False

        async def send_watched(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._pass(scope, receive, send_watched)
        except ClientDisconnect:
            return
        except Exception as error:
            if has_started:
                raise
            problem = errors.to_problem(error)
            if problem.status == 500:
                write_line("fault", request_id=scope["state"]["request_id"], **describe_fault(error))
            await render_refusal(Request(scope), problem)(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A page's connection, which lasts as long as somebody looks at it."""
        if not _is_visit(scope, self.service) or is_of_other_origin(scope) or not self._knows(scope):
            await send({"type": "websocket.close", "code": NOT_ALLOWED})
        elif self.service.is_draining:
            await send({"type": "websocket.close", "code": GOING_AWAY})
        else:
            self.service.n_tabs += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.service.n_tabs -= 1

    def _knows(self, scope: Scope) -> bool:
        """Whether a visitor may come in: nobody needs a key, or they have shown one."""
        keys, visitors = self.service.settings.api_keys, self.service.visitors
        if not keys or visitors is None:
            return True
        return (find_caller(scope, keys) or visitors.find(scope)) is not None

    async def _receive_visitor(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request of the pages: the key is asked for as a page, and uploads have the limits of any body."""
        if not self._knows(scope):
            if not is_page(scope):
                raise errors.unauthorized()
            await render_entrance(self.service)(scope, receive, send)
        elif scope["method"] == "PUT":
            await self._take_upload(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _take_upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, settings = self.service, self.service.settings
        n_bytes = find_length(scope)
        if n_bytes is None:
            raise errors.bad_request("An upload must say its length; send it with Content-Length.")
        if service.held.n_bytes + service.count_uploads() + n_bytes > settings.max_held_bytes:
            raise errors.overloaded(settings.retry_after_s)
        service.enter()
        service.held.n_bytes += n_bytes
        try:
            async with asyncio.timeout(settings.body_timeout_s):
                await self.app(scope, receive, send)
        except TimeoutError:
            raise errors.body_timeout(settings.body_timeout_s) from None
        finally:
            service.held.n_bytes -= n_bytes
            service.leave()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, settings = self.service, self.service.settings
        if _is_visit(scope, service):
            await self._receive_visitor(scope, receive, send)
            return
        is_open = scope["path"] in OPEN or (service.visitors is not None and scope["path"] == ENTRANCE)
        if settings.api_keys and not is_open:
            scope["state"]["caller"] = find_caller(scope, settings.api_keys)
            if scope["state"]["caller"] is None:
                raise errors.unauthorized()
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        if settings.rate_per_minute:
            caller = scope["state"]["caller"] or (scope["client"] or ("",))[0]
            if wait := service.rates.take(caller):
                raise errors.rate_exceeded(wait)
        service.enter()
        try:
            await self.app(scope, receive, send)
        finally:
            service.leave()
            service.held.n_bytes -= scope["state"]["bytes_in"]


def _is_visit(scope: Scope, service: Service) -> bool:
    """Whether a request or connection is for the pages, where there are any."""
    return service.visitors is not None and is_pages_path(scope)
