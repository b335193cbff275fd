"""Where errors become HTTP: every one is a problem (RFC 9457), and nothing of an exception's text reaches a client.

``type`` is a stable urn for programs, ``title`` and ``detail`` are for people; ``error`` repeats the detail for
clients of older services, which read only that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError
from starlette.exceptions import HTTPException

from vestiary.tags import Failure

MEDIA_TYPE: Final = "application/problem+json"
_URN: Final = "urn:vestiary:problem:"


@dataclass(eq=False)
class Problem(Exception):
    """A request that gets no answer: what a client is told. ``headers`` go with it."""

    status: int
    code: str
    title: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """The wire form."""
        return {
            "type": _URN + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,
            "request_id": request_id,
        }


def bad_request(detail: str) -> Problem:
    """400: the request is not in a form that can be read."""
    return Problem(400, "bad-request", "The request cannot be read", detail)


def no_image(detail: str) -> Problem:
    """400: there is no picture in the request."""
    return Problem(400, "no-image", "No image", detail)


def unauthorized() -> Problem:
    """401: no API key, or a wrong one."""
    return Problem(
        401,
        "unauthorized",
        "An API key is needed",
        "This service asks for a known API key; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
        {"WWW-Authenticate": 'Bearer, Basic realm="vestiary"'},
    )


def not_found(detail: str) -> Problem:
    """404: what the request names is not there."""
    return Problem(404, "not-found", "Not found", detail)


def body_timeout(seconds: float) -> Problem:
    """408: the sender was too slow."""
    return Problem(
        408,
        "slow-request",
        "The request came too slowly",
        f"The request was not complete after {seconds:g} seconds; send it again, smaller or over a faster line.",
        {"Connection": "close"},
    )


def body_too_large(limit: int) -> Problem:
    """413: more bytes than the limit."""
    return Problem(
        413,
        "body-too-large",
        "The request is too large",
        f"The request has more than the {limit:,} bytes allowed; send smaller or fewer pictures.",
    )


def too_many_images(most: int) -> Problem:
    """413: more pictures than one request may have."""
    return Problem(
        413,
        "too-many-images",
        "Too many pictures",
        f"There are more than the {most:,} pictures allowed; send them in several requests.",
    )


def wrong_content_type(expected: str, what: str = "the picture") -> Problem:
    """415: a body of another kind than the route takes."""
    return Problem(415, "wrong-content-type", "The content type is not read here", f"Send {what} as {expected}.")


def unknown_value(detail: str) -> Problem:
    """422: an attribute or a value that the bundle does not have."""
    return Problem(422, "unknown-value", "No such attribute or value", detail)


def ledger_away(retry_after_s: int) -> Problem:
    """503: the ledger cannot be read or written now."""
    return Problem(
        503,
        "ledger-away",
        "The ledger does not answer",
        f"The ledger cannot be used now, and nothing was written; send again in {retry_after_s} s.",
        {"Retry-After": str(retry_after_s)},
    )


def fetching_is_off() -> Problem:
    """400: an address where pictures are not fetched."""
    return Problem(
        400, "fetching-off", "No pictures are fetched", "This service fetches no pictures; send the picture as 'image'."
    )


def address_refused() -> Problem:
    """400: an address from which nothing is fetched; which of the reasons it was, is not told."""
    return Problem(
        400,
        "address-refused",
        "Nothing is fetched from this address",
        "Pictures are fetched only from http and https addresses without a user name that lead to the public internet.",
    )


def fetched_too_large(limit: int) -> Problem:
    """413: more bytes at an address than the limit."""
    return Problem(
        413,
        "too-large",
        "The picture is too large",
        f"The picture at the address has more than the {limit:,} bytes allowed; make it smaller.",
    )


def not_fetched(reason: str) -> Problem:
    """422: nothing came from an address."""
    return Problem(
        422,
        "not-fetched",
        "The picture could not be fetched",
        f"The picture could not be fetched: {reason}; look whether the address is right, or send the picture itself.",
    )


def rate_exceeded(seconds: int) -> Problem:
    """429: over the caller's rate."""
    return Problem(
        429,
        "rate-exceeded",
        "Too many requests",
        f"The rate that this caller may send is used up; send again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )


def overloaded(retry_after_s: int) -> Problem:
    """503: the queue is full."""
    return Problem(
        503,
        "overloaded",
        "The service is busy",
        f"The service holds as many requests as it can; send again in {retry_after_s} s.",
        {"Retry-After": str(retry_after_s)},
    )


def shutting_down(retry_after_s: int) -> Problem:
    """503: the service is about to stop."""
    return Problem(
        503,
        "shutting-down",
        "The service is stopping",
        f"The service is stopping and takes no new requests; send again in {retry_after_s} s.",
        {"Retry-After": str(retry_after_s), "Connection": "close"},
    )


def deadline_passed(seconds: float) -> Problem:
    """504: no answer in time."""
    return Problem(
        504,
        "deadline-passed",
        "No answer in time",
        f"The answer was not ready within {seconds:g} seconds; send again, or ask for fewer pictures at once.",
    )


_PICTURE_STATUS: Final = {
    "not-a-picture": (415, "Not a picture that is read here"),
    "damaged": (422, "The picture is damaged"),
    "too-large": (413, "The picture is too large"),
    "too-small": (422, "The picture is too small"),
}


def from_failure(failure: Failure) -> Problem:
    """The problem of a picture that could not be read; its sentences hold numbers and no paths."""
    if failure.code not in _PICTURE_STATUS:
        return to_problem(RuntimeError())
    status, title = _PICTURE_STATUS[failure.code]
    return Problem(status, failure.code, title, failure.message)


def to_problem(error: Exception) -> Problem:
    """Any exception as what a client may know of it."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationError):
        return bad_request(describe_validation(error))
    if isinstance(error, HTTPException):
        return _from_http(error)
    return Problem(
        500,
        "internal",
        "Something went wrong here",
        "The service could not answer because of a fault of its own; tell its operator the request_id.",
    )


def describe_validation(error: ValidationError) -> str:
    """The first wrong field and what is wrong with it, without the value that was given."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return "The body is not valid JSON; mend it and send it again."
    reason = first["msg"].removeprefix("Value error, ")
    return f"The field {place!r} cannot be used: {reason[0].lower()}{reason[1:]}." if place else f"{reason}."


def _from_http(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    details = {
        404: "There is nothing at this address; GET /docs lists what there is.",
        405: "This address does not take this method; GET /docs lists what it takes.",
    }
    return Problem(
        error.status_code,
        phrase.lower().replace(" ", "-"),
        phrase,
        details.get(error.status_code, f"{phrase}."),
        dict(error.headers or {}),
    )
