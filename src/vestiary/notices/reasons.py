"""Why a server was not reached, in words that may be put into a sentence; nothing that it said is repeated."""

from __future__ import annotations

import socket
import ssl

TIMEOUT_S = 30.0
"""Seconds that a server has for each answer."""


def describe_broken(error: BaseException, timeout_s: float = TIMEOUT_S) -> str:
    """What came between, for the errors of a connection that any protocol may meet."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return "it did not answer with TLS on this port"
        case TimeoutError():
            return f"no answer within {timeout_s:.0f} s"
        case socket.gaierror() | UnicodeError():  # the latter for what can be no name
            return "no machine has this name"
        case OSError() if error.strerror:
            return error.strerror.lower()
        case _:
            return "it broke the connection off"
