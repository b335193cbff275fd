"""HTTP on one connection: a protocol that waits for no slow sender and says at once when there is no room."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from vestiary.web import errors
from vestiary.web.gate import make_request_id
from vestiary.web.logs import write_line
from vestiary.web.service import Service
from vestiary.web.settings import Settings

LINGER_S: Final = 5.0
"""Seconds for a sender to notice that it was answered before its body was whole; what it still sends is dropped."""
STRAY_BYTES: Final = 16_384
"""Bytes that may come one after another without a whole head or a piece of a body among them, beside the first read."""
MOST_AHEAD: Final = 64
"""Requests that one connection may send before its first is answered."""


class _Joined:
    """A transport that puts together what is written at one go of the event loop: head and body in one packet."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send soon, at the latest when the event loop goes on."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Send what there is, then close."""
        self.flush()
        self._transport.close()

    def write_eof(self) -> None:
        """Send what there is, then the end."""
        self.flush()
        self._transport.write_eof()

    def flush(self) -> None:
        """Send what there is."""
        if self._pieces:
            whole = b"".join(self._pieces)
            self._pieces.clear()
            self._transport.write(whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with limits on the number of connections, on the head's size and time, and on a sender that was refused.

    The parser (llhttp) is quick because it bounds and checks little: what it leaves open is closed here.
    """

    service: Service
    settings: Settings
    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _is_in_message = False
    """Whether a head has come whole and its body has not."""
    _is_over = False
    """Whether what comes is no longer for this protocol: it has refused, or another has the connection."""
    _n_stray = 0
    _read = b""
    """What is being taken apart."""
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection in, or say that there is no room."""
        self._joined = _Joined(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._joined))
        if len(self.connections) > self.settings.max_connections:
            self._refuse(errors.overloaded(self.settings.retry_after_s))
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Pass on what came, and watch over the time and the bytes that a head takes."""
        if self._is_over:
            return
        if self._is_flooded and data.startswith(b"POST ") and self._is_between:
            self._refuse(errors.overloaded(self.settings.retry_after_s))
            return
        self._n_stray += len(data)
        self._read = data
        super().data_received(data)
        if self._is_over:
            return
        if self._n_stray > STRAY_BYTES:
            self.send_400_response("")
        elif self._is_between and not self.transport.is_closing():
            self._await_head()
        elif not self._is_answered_early:
            self._cancel()

    def on_message_begin(self) -> None:
        """Count from here what comes of a head."""
        self._n_stray = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take a request in. Raises ValueError, which is 400, for what HTTP does not allow, as for any fault."""
        if self.parser.get_method() == b"CONNECT":
            raise ValueError("no proxy")
        if self._is_misled:
            return
        n_hosts = sum(name == b"host" for name, _ in self.headers)
        if n_hosts > 1 or (n_hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise ValueError("not one host")
        if len(self.pipeline) >= MOST_AHEAD:
            self._refuse(errors.overloaded(self.settings.retry_after_s))
            raise ValueError("too many requests ahead")
        self._is_in_message = True
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of a head; those that come after a body are nobody's."""
        if not self._is_in_message:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._n_stray = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come whole."""
        if self._is_misled:
            return
        self._is_in_message = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Give the connection away, to what serves those of pages; not while an answer has still to go over it."""
        if not self._is_idle:
            self.send_400_response("")
            return
        self._is_over = True
        self._cancel()
        super().handle_websocket_upgrade()

    @property
    def _is_misled(self) -> bool:
        """Whether the parser, asked for another protocol than those of pages, takes the request's body for that."""
        return self.parser.should_upgrade() and not self._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Read a request again without its wish for another protocol; the parser has stopped at the end of its head."""
        stop = sys.exception()
        assert isinstance(stop, httptools.HttpParserUpgrade)
        first = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        lines = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self._read = b"".join([first, *lines, b"\r\n", self._read[stop.args[0] :]])
        super().data_received(self._read)

    @property
    def _is_idle(self) -> bool:
        """Whether no request waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_between(self) -> bool:
        """Whether a head is what has to come next."""
        return self._is_idle and not self._is_in_message

    @property
    def _is_answered_early(self) -> bool:
        """Whether the sender has its answer and still sends."""
        return self._is_idle and self._is_in_message

    @property
    def _is_flooded(self) -> bool:
        """Whether there are so many that a request is best sent away unread: to read it takes longer than to refuse."""
        most, n_tabs = self.settings.max_in_flight, self.service.n_tabs
        return len(self.tasks) - n_tabs >= most and len(self.connections) - n_tabs > 2 * most

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle  # not always self.cycle, which is that of the last request sent ahead
        super()._start_asgi_task(cycle, app)

    def _abandon(self) -> None:
        """Tell the app, should it be at an answer, that nobody is there for it any more."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel()
        self._abandon()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Send the answer, and give a sender that has not sent everything a moment to read it."""
        self._joined.flush()
        super().on_response_complete()
        if self.transport.is_closing():
            if self.transport.get_write_buffer_size():  # for one who reads slowly, or not at all
                self.loop.call_later(self.settings.body_timeout_s, self.transport.abort)
        elif self._is_answered_early:
            self._cancel()
            self._timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def pause_writing(self) -> None:
        """Cut a client that does not read its answer in time."""
        super().pause_writing()
        self._reading = self.loop.call_later(self.settings.body_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads on."""
        if self._reading is not None:
            self._reading.cancel()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one that does not read what it was sent is cut."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP."""
        if not self._is_over:
            self._refuse(errors.bad_request("This is not a request that HTTP/1.1 allows; mend it and send it again."))

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.settings.header_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_between:
            self._refuse(errors.body_timeout(self.settings.header_timeout_s))

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, problem: errors.Problem) -> None:
        """Answer without asking the app, then close: what the sender still sends is read for a moment and dropped."""
        self._cancel()
        self._is_over = True
        self._abandon()
        if not self.transport.is_closing():
            self.flow.resume_reading()
        self.service.tally.count_refusal(problem.status)
        request_id = make_request_id()
        if self.settings.log_requests:
            write_line("refusal", request_id=request_id, status=problem.status)
        body = json.dumps(problem.to_dict(request_id)).encode()
        headers = problem.headers | {
            "content-type": errors.MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": request_id,
            "connection": "close",
        }
        lines = [f"HTTP/1.1 {problem.status} {problem.title}", *(f"{name}: {value}" for name, value in headers.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(1.0, self.transport.abort)
