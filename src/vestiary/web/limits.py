"""Who may call, how often and with how much: API keys, rates, and bodies that are cut while they stream."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from vestiary.web import errors

KEY_BYTES: Final = 32
BUCKETS: Final = 65_536
"""Callers without a key share this many buckets by the hash of their address."""


def make_key() -> tuple[str, str]:
    """A new API key, and the SHA-256 (hex) that stands for it in the settings.

    A plain hash is enough: the key has 256 random bits, so that nothing is gained by trying likely ones.
    """
    key = secrets.token_urlsafe(KEY_BYTES)
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """SHA-256 (hex) of an API key."""
    return hashlib.sha256(key.encode()).hexdigest()


def find_caller(scope: Scope, keys: Mapping[str, str]) -> str | None:
    """The name of the key that a request carries; None for none or an unknown one."""
    return find_name(_read_key(scope), keys)


def find_name(key: str, keys: Mapping[str, str]) -> str | None:
    """The name of a key; None for an unknown one.

    Every hash is compared in full, whichever fits, so that the time taken tells nothing.
    """
    given = hash_key(key)
    found = None
    for name, digest in keys.items():
        if hmac.compare_digest(given, digest):
            found = name
    return found


def _read_key(scope: Scope) -> str:
    """From ``X-API-Key``, or from ``Authorization`` as a bearer token or as the password that a browser asks for."""
    headers = dict(scope["headers"])
    if plain := headers.get(b"x-api-key"):
        return str(plain.decode("latin-1")).strip()
    kind, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() == "bearer":
        return str(value).strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


class Rates:
    """A bucket per caller: it fills at a steady rate, and each request takes one token.

    With several workers the buckets are in a file that all map, one short lock (which a dying process drops) around
    each look. Callers with a key have a bucket each; without keys the address is hashed, with a salt of the service's
    own, to one of BUCKETS.
    """

    def __init__(
        self,
        *,
        per_minute: int,
        burst: int,
        names: tuple[str, ...] = (),
        path: Path | None = None,
        salt: bytes = b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s, self._burst, self._clock = per_minute / 60, float(burst), clock
        self._names = {name: place for place, name in enumerate(names)}
        self._salt = salt or secrets.token_bytes(16)
        self._file = path.open("r+b", buffering=0) if path is not None else None
        self._own: dict[int, tuple[float, float]] = {}

    def take(self, caller: str) -> int:
        """Take one token. 0 when there was one, else the seconds (at least 1) until there is one again."""
        place = self._names.get(caller)
        if place is None:
            digest = hashlib.blake2b(caller.encode(), key=self._salt, digest_size=8).digest()
            place = len(self._names) + int.from_bytes(digest) % BUCKETS
        if self._file is None:
            wait, self._own[place] = self._spend(*self._own.get(place, (0.0, 0.0)))
            return wait
        import fcntl

        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            self._file.seek(place * 16)
            stored = self._file.read(16)
            wait, bucket = self._spend(*(struct.unpack("dd", stored) if len(stored) == 16 else (0.0, 0.0)))
            self._file.seek(place * 16)
            self._file.write(struct.pack("dd", *bucket))
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        return wait

    def _spend(self, used: float, at: float) -> tuple[int, tuple[float, float]]:
        """``used`` tokens are missing since ``at``; a bucket of zeros is a full one."""
        now = self._clock()
        used = max(0.0, used - (now - at) * self._per_s)
        if used + 1 <= self._burst:
            return 0, (used + 1, now)
        return max(1, -int(-(used + 1 - self._burst) // self._per_s)), (used, now)


@dataclass(slots=True)
class Held:
    """Bytes of all bodies that are in memory now."""

    n_bytes: int = 0


def find_length(scope: Scope) -> int | None:
    """What the head of a request says of the length of its body; None for nothing.

    A number may have any number of digits, of which Python would read 4,300; lengths that nobody can send are cut.
    """
    given = dict(scope["headers"]).get(b"content-length", b"")
    return int(given.lstrip(b"0")[:20] or b"0") if given.isdigit() else None


async def read_body(
    scope: Scope, receive: Receive, held: Held, *, max_bytes: int, max_held: int, seconds: float, retry_after_s: int
) -> bytearray:
    """The whole body of a request, whose bytes count as held until the caller gives them back.

    Raises Problem: 413 as soon as there are more than ``max_bytes`` (at once when the head says so), 408 when it is not
    whole after ``seconds``, 503 when all bodies together have more than ``max_held``; ClientDisconnect when it ends
    early. What has come so far is dropped then.
    """
    if (find_length(scope) or 0) > max_bytes:
        raise errors.body_too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if _add(body, message, held, max_bytes, max_held, retry_after_s):
                    return body
    except BaseException as error:
        held.n_bytes -= len(body)
        if isinstance(error, TimeoutError):
            raise errors.body_timeout(seconds) from None
        raise


def _add(body: bytearray, message: Message, held: Held, max_bytes: int, max_held: int, retry_after_s: int) -> bool:
    """Add a piece to ``body``; whether it was the last one."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    piece = message.get("body", b"")
    if len(body) + len(piece) > max_bytes:
        raise errors.body_too_large(max_bytes)
    if held.n_bytes + len(piece) > max_held:
        raise errors.overloaded(retry_after_s)
    body += piece
    held.n_bytes += len(piece)
    return not message.get("more_body", False)
