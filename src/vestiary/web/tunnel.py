"""A public address for a service that runs here: a tunnel by ngrok, which needs an account with it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vestiary.errors import UsageError, first_sentence, require
from vestiary.web.server import describe_address
from vestiary.web.settings import Settings


def load_tunnels(settings: Settings) -> Any:
    """The module that opens tunnels.

    Raises UsageError where everybody could call the service without a key, MissingExtraError without pyngrok.
    """
    if not settings.api_keys:
        raise UsageError(
            "--share would let anybody on the internet call a service without an API key; make one with "
            "vestiary serve --new-key NAME, and set VESTIARY_API_KEYS to what it prints."
        )
    return require("pyngrok.ngrok", extra="share", feature="--share")


@contextmanager
def open_tunnel(ngrok: Any, listener: socket.socket) -> Iterator[str]:
    """The public address of a listening socket, for as long as this lasts. Raises UsageError when there is none."""
    host, port = listener.getsockname()[:2]
    target = str(port) if host in ("0.0.0.0", "::") else describe_address(listener)
    try:
        # ngrok would keep what passes, pictures and keys, for a page of its own.
        tunnel = ngrok.connect(target, "http", inspect=False)
    except (ngrok.PyngrokError, OSError) as error:
        raise UsageError(
            f"ngrok opened no public address ({first_sentence(error)}); set the token of your account in "
            "NGROK_AUTHTOKEN, and look whether this machine reaches the internet."
        ) from error
    try:
        yield str(tunnel.public_url)
    finally:
        ngrok.kill()
