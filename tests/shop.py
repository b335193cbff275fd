"""A web server on the loopback that plays a shop of the internet, and a table of names that leads to it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Shop:
    """A web server with a function for each of its paths; it notes what it is asked, and how much it could send."""

    def __init__(self, address: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        shop = self
        self.paths: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, str]] = []
        self.sent = 0
        self.is_over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.asked.append((self.headers["Host"], self.path))
                shop.paths[self.path](self)

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # clients that are cut off, and handshakes that fail, are what is tried here

        self.server = Quiet((address, 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.is_over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def give(body: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """What answers with these bytes; a header's underscores stand for hyphens."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Names:
    """The table of names, which notes what is looked up."""

    def __init__(self) -> None:
        self.table: dict[str, list[Sequence[str]]] = {"shop.example": [("127.0.0.1",)]}
        self.asked: list[str] = []

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        entries = self.table.get(host)
        if entries is None:
            raise OSError("no such name")
        return entries.pop(0) if len(entries) > 1 else entries[0]


def send_for_ever(shop: Shop, pause_s: float = 0.0) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not shop.is_over.wait(pause_s):
            handler.wfile.write(bytes(65_536 if not pause_s else 1))
            shop.sent += 65_536

    return answer
