"""Pictures by address, for a service that is set to fetch them: from public addresses only, and so many bytes at most.

A name is looked up once, everything it leads to is checked, and the connection goes to what was checked: a name that
leads elsewhere a moment later changes nothing. A redirect is an address like the first one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from vestiary import __version__
from vestiary.web import errors

REDIRECTS: Final = 3
"""How often a picture may have moved."""
AT_ONCE: Final = 8
"""Pictures that one worker fetches at a time."""
_MOVED: Final = (301, 302, 303, 307, 308)
_UNICAST: Final = ipaddress.ip_network("2000::/3")
_HEADERS: Final = {
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # what is unpacked could grow beyond every limit
    "Connection": "close",
    "User-Agent": f"vestiary/{__version__}",
}

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
Hold = Callable[[int], None]
"""Counts bytes that are now in memory; raises Problem 503 when there are too many."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, and to no network of somebody's own.

    Of IPv6 only global unicast is let through, without the forms that hold an IPv4 address which a router nearby would
    connect to: mapped, NAT64, 6to4, Teredo.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        return found in _UNICAST and found.is_global and found.sixtofour is None and found.teredo is None
    return found.is_global and not found.is_multicast


async def look_up(host: str, port: int) -> list[str]:
    """The IP addresses that a name leads to, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Fetches pictures by address. Made and used on one event loop."""

    def __init__(self, *, max_bytes: int, seconds: float, look_up: LookUp = look_up) -> None:
        self._max_bytes, self._seconds, self._look_up = max_bytes, seconds, look_up
        self._places = asyncio.Semaphore(AT_ONCE)
        # Without the environment's proxies, which would look names up themselves; and no connection is kept, since it
        # is one to an IP address and must not serve another name.
        self._transport = httpx.AsyncHTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    async def fetch(self, address: str, hold: Hold) -> bytes:
        """The bytes at an address; ``hold`` is told of each piece as it comes.

        Raises Problem: 400 for an address that may not be fetched from, 413 for too many bytes, 422 when they cannot
        be had.
        """
        async with self._places:
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._follow(address, hold)
            except TimeoutError:
                raise errors.not_fetched(f"it had not come after {self._seconds:g} seconds") from None
            except (httpx.TransportError, OSError):
                raise errors.not_fetched("no server gave it") from None

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def _follow(self, address: str, hold: Hold) -> bytes:
        url = _read_url(address)
        for _ in range(REDIRECTS + 1):
            response = await self._ask(url)
            try:
                if response.status_code in _MOVED:
                    url = _read_url(response.headers.get("location", ""), url)
                elif response.status_code == 200:
                    return await self._read(response, hold)
                else:
                    raise errors.not_fetched(f"its server answered with the status {response.status_code}")
            finally:
                await response.aclose()
        raise errors.not_fetched(f"it had moved more than {REDIRECTS} times")

    async def _ask(self, url: httpx.URL) -> httpx.Response:
        """The head of an answer, from the first of the checked IP addresses that takes the connection."""
        host = url.raw_host.decode()
        port = url.port or (443 if url.scheme == "https" else 80)
        headers = _HEADERS | {"Host": url.netloc.decode()}
        failure: httpx.TransportError = httpx.ConnectError("")
        for place in await self._find(host, port):
            # The certificate is checked for the name, the connection made to the place.
            pinned, extensions = url.copy_with(host=place), {"sni_hostname": host}
            try:
                return await self._transport.handle_async_request(
                    httpx.Request("GET", pinned, headers=headers, extensions=extensions)
                )
            except httpx.ConnectError as error:
                failure = error
        raise failure

    async def _find(self, host: str, port: int) -> Sequence[str]:
        try:
            places = await self._look_up(host, port)
        except (OSError, UnicodeError):  # as an address inside is refused: who asks does not learn which names exist
            raise errors.address_refused() from None
        if not places or not all(is_public(place) for place in places):
            raise errors.address_refused()
        return places

    async def _read(self, response: httpx.Response, hold: Hold) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise errors.not_fetched("its server sent it packed")
        data = bytearray()
        async for piece in response.aiter_raw():
            if len(data) + len(piece) > self._max_bytes:
                raise errors.fetched_too_large(self._max_bytes)
            hold(len(piece))
            data += piece
        return bytes(data)


def _read_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """An address in parts, relative ones from ``base``. Raises Problem 400 for any that is not fetched from."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
    except (httpx.InvalidURL, ValueError):
        raise errors.address_refused() from None
    is_odd = url.userinfo or (url.port is not None and not 0 < url.port < 65_536)
    if url.scheme not in ("http", "https") or not url.host or is_odd:
        raise errors.address_refused()
    return url
