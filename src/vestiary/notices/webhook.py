"""A message to a chat, as the JSON that Slack's incoming webhooks take (and Mattermost's, Rocket.Chat's and others').

The address of a webhook is a secret: it is never printed, only the name of its server.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException
from typing import IO
from urllib.parse import urlsplit

from vestiary.errors import DeliveryError, UsageError
from vestiary.notices.reasons import TIMEOUT_S, describe_broken

MAX_TEXT = 4000
"""Letters of a message that Slack shows whole."""


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A webhook that points elsewhere is an error: what is sent is meant for this address."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow no redirect."""


def is_web_address(url: str) -> bool:
    """Whether a request could be sent there: ``http`` or ``https``, a host, a port that is one, and no spaces."""
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")  # as it will be looked up
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    return usable and url.isascii() and url.isprintable() and " " not in url


def check_webhook(url: str) -> None:
    """Raise UsageError when this is no address of a webhook."""
    if not is_web_address(url):
        raise UsageError(
            "The address of the webhook cannot be used; it begins with https://, names a server and holds no spaces."
        )


def send_message(url: str, title: str, text: str) -> None:
    """Post ``{"text": …}`` with the title in bold. Raises DeliveryError when it is not answered with success."""
    check_webhook(url)
    host = urlsplit(url).hostname
    body = f"*{_escape(title)}*\n{_escape(text)}"
    request = urllib.request.Request(
        url,
        json.dumps({"text": body if len(body) <= MAX_TEXT else body[: MAX_TEXT - 1] + "…"}).encode(),
        {"Content-Type": "application/json", "User-Agent": "vestiary"},
    )
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=TIMEOUT_S):
            pass
    except (OSError, HTTPException) as error:
        raise DeliveryError(
            f"The message was not taken by the webhook at {host} ({_describe(error)}); check its address."
        ) from error


def _escape(text: str) -> str:
    """Without the three characters that mean something to Slack (its guide, "Escaping text")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _describe(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        with error:
            return f"it answered {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return describe_broken(reason if isinstance(reason, BaseException) else error)
