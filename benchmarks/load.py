"""What sends requests to a service that is measured: kept connections, fixed times, or all at once."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from contextlib import suppress
from typing import cast


def encode_request(photo: bytes) -> bytes:
    """A whole POST /predict, for a connection that is kept."""
    cut = b"6f1c0f4e8a7b4d0c9e55a1b2c3d4e5f6"  # as long as clients make it: it is what the body is searched for
    body = b"--" + cut + b'\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
    body += b"Content-Type: image/jpeg\r\n\r\n" + photo + b"\r\n--" + cut + b"--\r\n"
    head = "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary="
    return f"{head}{cut.decode()}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def send_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[bool, bool]:
    """Send a request on an open connection and read its answer; whether it was a 200, and the connection is kept."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    at = head.index(b"content-length:") + 15
    await reader.readexactly(int(head[at : head.index(b"\r", at)]))
    return head.split(b" ", 2)[1] == b"200", b"\r\nconnection: close" not in head


async def load_closed(port: int, request: bytes, connections: int, seconds: float) -> tuple[list[float], int]:
    """Each of so many connections sends its next request when it has its answer."""
    times: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds

    async def keep_sending() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < until:
            try:
                is_good, is_kept = await send_one(reader, writer, request)
            except (OSError, asyncio.IncompleteReadError):
                is_good = is_kept = False
            if is_good:
                times.append(time.perf_counter() - start)
            else:
                failed += 1
            if not is_kept:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    await asyncio.gather(*(keep_sending() for _ in range(connections)))
    return times, failed


async def load_open(port: int, request: bytes, rate: float, seconds: float) -> tuple[list[float], int]:
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
    return times, failed


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
