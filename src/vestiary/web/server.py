"""One process that serves: its socket, and a server that stops without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any, Final

import uvicorn

from vestiary.errors import UsageError
from vestiary.web.app import create_app
from vestiary.web.logs import SERVER_LOGGING
from vestiary.web.protocol import Protocol
from vestiary.web.service import Service, Shared
from vestiary.web.settings import Settings

BACKLOG: Final = 2048
MESSAGE_BYTES: Final = 4_000_000
"""Of one message of a page's connection; the longest names as many photos as may be handed over at once."""
STEADY_TICKS: Final = 3
"""Tenths of a second for which a server that has closed its port waits for requests that are already on their way."""


class Server(uvicorn.Server):
    """A server that, told to stop, says so at once, answers what it has taken, and leaves with exit code 0."""

    def __init__(self, settings: Settings, shared: Shared | None = None) -> None:
        """Load the model. Raises BundleError or UsageError when the bundle cannot be used."""
        app = create_app(settings, shared)
        self.service: Service = app.state.service
        protocol = type("SetProtocol", (Protocol,), {"service": self.service, "settings": settings})
        config = uvicorn.Config(
            app,
            loop="auto",  # uvloop, where there is one
            http=protocol,
            # Only pages have connections of that kind.
            ws="none" if self.service.visitors is None else "websockets-sansio",
            ws_max_size=MESSAGE_BYTES,
            lifespan="on",
            log_config=SERVER_LOGGING,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies) or None,
            backlog=BACKLOG,
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=settings.shutdown_s,
        )
        super().__init__(config)
        self._stop_at: float | None = None
        self._quiet_ticks = 0
        self._listeners: list[socket.socket] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        self._listeners = sockets or []
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second Ctrl-C stops at once."""
        if self._stop_at is not None:
            if sig == signal.SIGINT:
                self.should_exit = self.force_exit = True
            return
        self._stop_at = time.monotonic() + self.service.settings.shutdown_s
        self.service.drain()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether everything that was taken is answered.

        While something is not, new requests are still heard and told to come back. Then nobody is listened to any more,
        and those who had just connected get their answer too.
        """
        if self._stop_at is not None:
            self._quiet_ticks = 0 if self.service.in_flight else self._quiet_ticks + 1
            if self._quiet_ticks and self._listeners:
                await self._stop_listening()
                self._quiet_ticks = 0
            if self._quiet_ticks >= STEADY_TICKS or time.monotonic() > self._stop_at:
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; whoever is still busy has what is left of the time for stopping, and not all of it again."""
        if self._stop_at is not None:
            self.config.timeout_graceful_shutdown = max(1, math.ceil(self._stop_at - time.monotonic()))
        await super().shutdown(sockets)

    async def _stop_listening(self) -> None:
        """Take in whoever has connected already, whom the system would cut off otherwise, and close the port."""
        waiting = []
        for listener in self._listeners if sys.platform != "win32" else ():  # where the loop has taken them in itself
            with contextlib.suppress(OSError):  # nobody is waiting any more, or one has gone or cannot be had
                while True:
                    waiting.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        self._listeners = []
        for connection in waiting:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._make_protocol, connection)

    def _make_protocol(self) -> Protocol:
        state = self.lifespan.state
        made: Protocol = self.config.http_protocol_class(  # type: ignore[call-arg, assignment]
            config=self.config, server_state=self.server_state, app_state=state
        )
        return made


def open_socket(settings: Settings) -> socket.socket:
    """A listening socket. Raises UsageError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every answer would take 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # where it would let a second process take a port that is in use
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The service cannot listen on {settings.host} port {settings.port} ({error.strerror}); "
            "choose another with --host and --port."
        ) from error
    listener.set_inheritable(True)
    return listener


def describe_address(listener: socket.socket) -> str:
    """The URL at which a socket is reached."""
    host, port = listener.getsockname()[:2]
    shown: Any = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
