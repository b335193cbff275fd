"""Who comes with a browser: which addresses are the pages', and how a visitor shows the key where keys are set."""

from __future__ import annotations

import re
import secrets
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from vestiary.web.limits import Rates

PAGES: Final = frozenset({"/batch", "/review", "/catalogue", "/model", "/monitor"})
"""The addresses of the pages beside "/"."""
SOCKET: Final = "/_stcore/stream"
UPLOADS: Final = "/_stcore/upload_file/"
ENTRANCE: Final = "/enter"
"""Where a visitor's key is sent."""
COOKIE: Final = "vestiary_visitor"
STAY_S: Final = 12 * 3600
"""Seconds after which a visitor is asked for the key again."""
TRIES_PER_MINUTE: Final = 20
"""Keys that may be tried from one address, whatever the rates of the API."""
_FILES: Final = ("/static/", "/media/", "/_stcore/bidi-components/", UPLOADS)
_SINGLE: Final = frozenset({"/favicon.png", "/_stcore/health", "/_stcore/host-config", SOCKET})
_READING: Final = frozenset({"GET", "HEAD"})
_ORIGIN: Final = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")


def is_page(scope: Scope) -> bool:
    """Whether a browser asks for a page to look at."""
    if scope["type"] != "http" or scope["method"] not in _READING:
        return False
    accept = dict(scope["headers"]).get(b"accept", b"")
    return (scope["path"] == "/" or scope["path"] in PAGES) and b"text/html" in accept


def is_pages_path(scope: Scope) -> bool:
    """Whether a request or connection is the pages' own: a page, or what a page loads, sends and is connected by.

    Only what they need is theirs: everything else that Streamlit would answer (sign-in, figures, agents) is not there.
    """
    path = scope["path"]
    if scope["type"] == "websocket":
        return bool(path == SOCKET)
    page, mark, rest = path.partition("/_stcore/")
    if page in PAGES:  # where a browser looks first, and finds nothing
        path = mark + rest
    return path in _SINGLE or path.startswith(_FILES) or is_page(scope)


def is_of_other_origin(scope: Scope) -> bool:
    """Whether a browser asks for a page of another origin than the address that it asks.

    To be asked before Streamlit is: to judge an origin that is not its own, Streamlit looks up this machine's address
    on the web, and everybody waits until that is over.
    """
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is None:  # no browser
        return False
    return not _ORIGIN.fullmatch(origin) or origin.partition("://")[2] != headers.get("host")


class Visitors:
    """Visitors who have shown a key: their cookie names it, signed with a secret that lives as long as this process.

    So a cookie is worth nothing after a restart, by which alone keys are changed, and nothing in the settings can forge
    one. The key itself is never stored.
    """

    def __init__(self) -> None:
        from itsdangerous import TimestampSigner

        self._signer = TimestampSigner(secrets.token_bytes(32))
        self.tries = Rates(per_minute=TRIES_PER_MINUTE, burst=TRIES_PER_MINUTE // 2)

    def find(self, scope: Scope) -> str | None:
        """The name of the key that the visitor has shown; None for none, a forged cookie and one that is too old."""
        from itsdangerous import BadSignature

        # Among cookies of other services of this host, which may be anything.
        cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
        try:
            return self._signer.unsign(cookies.get(COOKIE, ""), max_age=STAY_S).decode()
        except BadSignature:
            return None

    def make_cookie(self, caller: str, *, is_secure: bool) -> str:
        """The value of Set-Cookie for whoever has shown the key of that name."""
        value = self._signer.sign(caller).decode()
        return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if is_secure else "")
