"""What sends requests to a service that is measured: kept connections, fixed times, or all at once."""

from __future__ import annotations

import asyncio
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

CUT = "6f1c0f4e8a7b4d0c9e55a1b2c3d4e5f6"  # as long as clients make it: it is what the body is searched for
FORM = f"multipart/form-data; boundary={CUT}"
HAS_WRK = shutil.which("wrk") is not None


def encode_body(photo: bytes) -> bytes:
    """A form with this photo as its file, of the content type ``FORM``."""
    head = (
        f'--{CUT}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    return head.encode() + photo + f"\r\n--{CUT}--\r\n".encode()


def encode_request(photo: bytes) -> bytes:
    """A whole POST /predict, for a connection that is kept."""
    body = encode_body(photo)
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def send_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[bool, bool]:
    """Send a request on an open connection and read its answer; whether it was a 200, and the connection is kept."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    at = head.index(b"content-length:") + 15
    await reader.readexactly(int(head[at : head.index(b"\r", at)]))
    return head.split(b" ", 2)[1] == b"200", b"\r\nconnection: close" not in head


@dataclass(frozen=True)
class Load:
    """What became of a load in so many seconds: ``answered`` with 200, ``times`` in seconds, ``failed`` otherwise."""

    seconds: float
    answered: int
    times: list[float]
    failed: int


class _Caller:
    """A connection that asks again when it has its answer, and the times that its answers took."""

    def __init__(self, port: int, request: bytes, selector: selectors.BaseSelector) -> None:
        self.port, self.request, self.selector = port, request, selector
        self.times: list[float] = []
        self.failed = 0
        self.open()

    def open(self) -> None:
        """Connect anew and ask."""
        self.connection = socket.create_connection(("127.0.0.1", self.port))
        self.connection.setblocking(False)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.connection, selectors.EVENT_READ, self)
        self.ask()

    def close(self) -> None:
        """End the connection."""
        self.selector.unregister(self.connection)
        self.connection.close()

    def ask(self) -> None:
        """Begin the next request."""
        self.start, self.answer, self.size, self.unsent = time.perf_counter(), b"", 0, memoryview(self.request)
        self.send()

    def send(self) -> None:
        """Send as much of it as goes now."""
        with suppress(OSError):  # full, or broken, which receive finds
            self.unsent = self.unsent[self.connection.send(self.unsent) :]
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
        if self.selector.get_key(self.connection).events != mask:
            self.selector.modify(self.connection, mask, self)

    def receive(self) -> bool:
        """Take in what there is of the answer; whether it is whole. ConnectionError when it ends before."""
        piece = self.connection.recv(262_144)
        if not piece:
            raise ConnectionResetError
        self.answer += piece
        end = self.answer.find(b"\r\n\r\n")
        if not self.size and end >= 0:
            self.head = self.answer[:end].lower() + b"\r"
            at = self.head.index(b"content-length:") + 15
            self.size = end + 4 + int(self.head[at : self.head.index(b"\r", at)])
        return 0 < self.size <= len(self.answer)

    def settle(self) -> bool:
        """Count an answer; whether the connection is kept."""
        if self.head.split(b" ", 2)[1] == b"200":
            self.times.append(time.perf_counter() - self.start)
        else:
            self.failed += 1
        return b"\r\nconnection: close" not in self.head


def load_closed(port: int, request: bytes, connections: int, seconds: float) -> Load:
    """Each of so many connections sends its next request when it has its answer.

    Without asyncio, which would take as much from the cores as a server does: they are the same ones.
    """
    start = time.perf_counter()
    until = start + seconds
    with selectors.DefaultSelector() as selector:
        callers = [_Caller(port, request, selector) for _ in range(connections)]
        while selector.get_map():
            for key, mask in selector.select():
                caller: _Caller = key.data
                is_kept = is_whole = False
                with suppress(OSError):
                    if mask & selectors.EVENT_WRITE:
                        caller.send()
                    is_whole = bool(mask & selectors.EVENT_READ) and caller.receive()
                    is_kept = not is_whole or caller.settle()
                caller.failed += not is_kept and not is_whole
                is_over = time.perf_counter() >= until
                if not is_kept or (is_whole and is_over):
                    caller.close()
                    if not is_over:
                        caller.open()
                elif is_whole:
                    caller.ask()
    times = [taken for caller in callers for taken in caller.times]
    return Load(time.perf_counter() - start, len(times), times, sum(caller.failed for caller in callers))


def load_wrk(port: int, photo: bytes, connections: int, seconds: float) -> Load:
    """The same by wrk, in whole seconds: it is written in C and leaves the server more of the cores that they share.

    What is on its way at the end counts for nothing. wrk adds times that requests would have had which a slow answer
    kept from being sent, and its times are those of all answers, refusals too.
    """
    with tempfile.NamedTemporaryFile() as form:
        form.write(encode_body(photo))
        form.flush()
        words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "-s"]
        words += [str(Path(__file__).with_name("post.lua")), f"http://127.0.0.1:{port}/predict", "--", form.name, FORM]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    found = {line.split()[0]: line.split()[1:] for line in told if line.startswith(("answers ", "broken ", "seconds "))}
    answers, refused = (int(count) for count in found["answers"])
    seen = [line.split()[1:] for line in told if line.startswith("took ")]
    times = [float(microseconds) / 1e6 for microseconds, count in seen for _ in range(int(count))]
    return Load(float(found["seconds"][0]), answers - refused, times, refused + int(found["broken"][0]))


async def load_open(port: int, request: bytes, rate: float, seconds: float) -> Load:
    """A request every 1/rate seconds whatever becomes of the others; times count from when each was due."""
    times: list[float] = []
    failed = 0
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    start = time.perf_counter()

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while idle:
            reader, writer = idle.pop()
            if not reader.at_eof():  # else the server has closed it since, because it was idle
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", port)

    async def send(due: float) -> None:
        nonlocal failed
        try:
            reader, writer = await connect()
            is_good, is_kept = await send_one(reader, writer, request)
        except (OSError, asyncio.IncompleteReadError):
            failed += 1
            return
        if is_kept:
            idle.append((reader, writer))
        else:
            writer.close()
        if is_good:
            times.append(time.perf_counter() - due)
        else:
            failed += 1

    sending = []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sending.append(asyncio.create_task(send(due)))
    await asyncio.gather(*sending)
    for _, writer in idle:
        writer.close()
    return Load(time.perf_counter() - start, len(times), times, failed)


def send_flood(port: int, request: bytes, n: int) -> dict[int, list[float]]:
    """Open so many connections at once, each with its request; seconds to the first byte of each answer, by status.

    Those without an answer after a minute, and those that were cut off, have the status 0.
    """
    selector = selectors.DefaultSelector()
    began: dict[socket.socket, float] = {}
    found: dict[int, list[float]] = {}
    for _ in range(n):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", port))
        selector.register(connection, selectors.EVENT_WRITE)
    until = time.perf_counter() + 60
    while selector.get_map() and time.perf_counter() < until:
        for key, mask in selector.select(1.0):
            connection = cast(socket.socket, key.fileobj)
            head = b""
            with suppress(OSError):
                if mask & selectors.EVENT_WRITE:
                    connection.send(request)
                    began[connection] = time.perf_counter()
                    selector.modify(connection, selectors.EVENT_READ)
                    continue
                head = connection.recv(65_536)
            status = int(head.split(b" ", 2)[1]) if head else 0
            found.setdefault(status, []).append(time.perf_counter() - began.get(connection, time.perf_counter()))
            selector.unregister(connection)
            connection.close()
    found.setdefault(0, []).extend(60.0 for _ in selector.get_map())
    return found
