"""From the body of a request to pictures and options: multipart forms, and JSON with base64 or data URLs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from python_multipart.multipart import parse_options_header

from vestiary.web import errors
from vestiary.web.schemas import MAX_ID, BatchRequest, ExplainRequest, Options, Pictured, PictureRequest, SimilarRequest

Form = TypeVar("Form", bound=BaseModel)
Json = TypeVar("Json", PictureRequest, ExplainRequest, SimilarRequest)
Model = TypeVar("Model", bound=BaseModel)

MAX_TEXT: Final = 10_000
"""Bytes of all fields of a form together that are no pictures."""
MAX_PARTS: Final = 20_000
MAX_PART_HEAD: Final = 4_096
MAX_PART_LINES: Final = 8
"""Bytes and lines of one part of a form before its content."""
MAX_PIECES: Final = 100_000
"""Values of a JSON body, with those that nobody asked for: while millions are read nobody is heard for 0.4 s, since the
reader of JSON lets no other thread go on."""
MAX_SEMICOLONS: Final = 64
"""In a line that says what a body or a part is: the time to read one grows with the square of their number."""
_BEGINNING: Final = 100_000
"""Bytes of a body with too many values that are looked at for what is wrong with it."""
_PICTURES: Final = ("file", "files", "image", "images")
_DATA_URL: Final = re.compile(rb"data:[^,]{0,200},", re.IGNORECASE)
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r]*)")
_REST: Final = re.compile(rb"--|[ \t]*\r\n")
_SPACE: Final = b" \t\r\n"
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class Upload:
    """One encoded picture: what the sender calls it (None: nothing), and its bytes."""

    filename: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """One picture that is yet to be fetched from an address."""

    url: str


def read_upload(
    body: bytes | bytearray, content_type: str, *, form: type[Form], json: type[Json]
) -> tuple[Upload | Link, Form | Json]:
    """The one picture of a request and what is asked of it: ``form`` for a multipart body, ``json`` for a JSON one.

    Raises Problem: 400 for a body without a picture or in no readable form, 415 for another content type.
    """
    kind, boundary = _read_content_type(body, content_type)
    if kind == "application/json":
        asked = _validate_json(json, body)
        return _take(asked), asked
    fields = _parse_multipart(body, boundary)
    parts = [part for part in fields if part.name in ("file", "image")]
    if not parts or not parts[0].data:
        raise errors.no_image("The form has no picture, or an empty file; put one into the field 'file' or 'image'.")
    if len(parts) > 1:
        raise errors.bad_request("The form has several pictures; send one, or all of them to /predict_batch.")
    return Upload(parts[0].filename, parts[0].data), _read_options(form, fields)


def read_uploads(
    body: bytes | bytearray, content_type: str, *, max_images: int
) -> tuple[list[tuple[Upload | Link | errors.Problem, str | None]], Options]:
    """The pictures of a batch, each with the id that was given for it, and the options for all of them.

    A picture whose base64 cannot be read has a Problem in its place. Raises Problem as ``read_upload`` does, and 413
    for more than ``max_images``.
    """
    kind, boundary = _read_content_type(body, content_type)
    if kind == "application/json":
        asked = _validate_json(BatchRequest, body, max_images)
        _check_number(len(asked.images), max_images)
        return [(_try_take(entry), None if isinstance(entry, str) else entry.id) for entry in asked.images], asked
    fields = _parse_multipart(body, boundary)
    parts = [part for part in fields if part.name in _PICTURES and (part.filename or part.data)]
    _check_number(len(parts), max_images)
    return [(Upload(part.filename, part.data), None) for part in parts], _read_options(Options, fields)


def decode_base64(text: str) -> bytes:
    """The bytes of base64 (standard or URL-safe, with or without padding and line breaks) or of a data URL.

    Raises Problem 400 for an empty or any other text.
    """
    data = text.encode("utf-8", "surrogatepass")
    if url := _DATA_URL.match(data):
        data = data[url.end() :]
    data = data.translate(_URL_SAFE, _SPACE).rstrip(b"=")
    if not data:
        raise errors.no_image("The field 'image' is empty; send the picture as base64 or as a data URL.")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error:
        raise errors.bad_request(
            "The field 'image' is not valid base64; send the picture's bytes as base64 or as a data URL."
        ) from None


def _take(asked: Pictured | str) -> Upload | Link:
    if isinstance(asked, Pictured) and "url" in asked.model_fields_set:
        return Link(asked.url)
    return Upload(None, decode_base64(asked if isinstance(asked, str) else asked.image))


def _try_take(asked: Pictured | str) -> Upload | Link | errors.Problem:
    try:
        return _take(asked)
    except errors.Problem as problem:
        return problem


def _check_number(n: int, most: int) -> None:
    if not n:
        raise errors.no_image("There are no pictures; put them into the field 'files', or into 'images' of the JSON.")
    if n > most:
        raise errors.too_many_images(most)


def read_json(
    model: type[Model], body: bytes | bytearray, content_type: str, *, max_images: int, also: Sequence[str] = ()
) -> Model:
    """A JSON body, under its own content type or one of ``also``. Raises Problem as ``read_uploads`` does."""
    _read_content_type(body, content_type, kinds=(b"application/json", *(kind.encode() for kind in also)))
    return _validate_json(model, body, max_images)


def read_plain_json(model: type[Model], body: bytes | bytearray, content_type: str, what: str) -> Model:
    """A JSON body without a picture as a value of ``model``; ``what`` is what it is called in a Problem."""
    if not body:
        raise errors.bad_request(f"The body is empty; send {what} as JSON.")
    if _read_options_header(content_type)[0] != b"application/json":
        raise errors.wrong_content_type("application/json", what)
    return _validate_json(model, body)


def _read_content_type(
    body: bytes | bytearray, content_type: str, kinds: Sequence[bytes] = (b"multipart/form-data", b"application/json")
) -> tuple[str, bytes]:
    if not body:
        raise errors.no_image("The body is empty; send a picture as a multipart form or as JSON with base64.")
    kind, options = _read_options_header(content_type)
    if kind not in kinds:
        several = b"multipart/form-data" in kinds
        raise errors.wrong_content_type(
            "multipart/form-data, or as application/json with base64" if several else "application/json with base64"
        )
    return kind.decode(), options.get(b"boundary", b"")


def _read_options_header(line: str | bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """What comes before the first semicolon, and the options after it."""
    if (line.count(";") if isinstance(line, str) else line.count(b";")) > MAX_SEMICOLONS:
        raise errors.bad_request(
            f"A Content-Type or Content-Disposition has more than {MAX_SEMICOLONS} semicolons; send fewer, also in the "
            "names of files."
        )
    return parse_options_header(line)


def count_pieces(body: bytes | bytearray) -> int:
    """How many values a JSON body has, or a few more."""
    return sum(body.count(mark) for mark in b",[{")


def _validate_json(model: type[Model], body: bytes | bytearray, max_images: int = 1) -> Model:
    try:
        if count_pieces(body) <= MAX_PIECES:
            return model.model_validate_json(body, strict=True)
        model.model_validate(_read_beginning(body), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "too_long" and first["loc"][-1] in ("images", "data"):
            raise errors.too_many_images(max_images) from None
        raise errors.to_problem(error) from None
    raise errors.bad_request("The JSON has too many values; send fewer.")


def _read_beginning(body: bytes | bytearray) -> Any:
    """What the first bytes of a JSON body say; None where they are no JSON."""
    try:
        return from_json(bytes(body[:_BEGINNING]), allow_partial=True)
    except ValueError:
        return None


def _read_options(model: type[Form], fields: Sequence[_Part]) -> Form:
    texts = {part.name: part.data.decode("utf-8", "replace") for part in fields if part.name in model.model_fields}
    try:
        return model.model_validate(texts)
    except ValidationError as error:
        raise errors.to_problem(error) from None


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    filename: str | None
    data: bytes


def _parse_multipart(body: bytes | bytearray, boundary: bytes) -> list[_Part]:
    """The parts of a form (RFC 7578), with nothing but line breaks before the first.

    All of it is there, so that its parts are found by searching; a reader of streams looks at every byte.
    """
    if body[:1] in (b"\r", b"\n"):
        body = body.lstrip(b"\r\n")
    parts: list[_Part] = []
    delimiter, whole = b"\r\n--" + boundary, memoryview(body)
    rest = _REST.match(body, len(delimiter) - 2)
    if not boundary or not body.startswith(delimiter[2:]) or rest is None:
        raise _damaged()
    while rest[0] != b"--":
        start = rest.end()
        head_end = body.find(b"\r\n\r\n", start - 2, start + MAX_PART_HEAD)
        if head_end < 0:
            raise _damaged()
        if len(parts) >= MAX_PARTS:
            raise errors.bad_request("The form has too many fields; send fewer.")
        end, rest = _find_delimiter(body, delimiter, head_end + 4)
        parts.append(_Part(*_read_head(bytes(whole[start:head_end])), bytes(whole[head_end + 4 : end])))
    if sum(len(part.data) for part in parts if part.filename is None and part.name not in _PICTURES) > MAX_TEXT:
        raise errors.bad_request("The text fields of the form are too long; shorten them.")
    return parts


def _find_delimiter(body: bytes | bytearray, delimiter: bytes, start: int) -> tuple[int, re.Match[bytes]]:
    """Where the next delimiter begins, and the rest of its line; what only begins like one belongs to a part."""
    while (at := body.find(delimiter, start)) >= 0:
        if rest := _REST.match(body, at + len(delimiter)):
            return at, rest
        start = at + 1
    raise _damaged()


def _read_head(head: bytes) -> tuple[str, str | None]:
    """Name and file name of a part."""
    name, filename = "", None
    lines = [_LINE.fullmatch(line) for line in head.split(b"\r\n")] if head else []
    if len(lines) > MAX_PART_LINES or None in lines:
        raise _damaged()
    for line in filter(None, lines):
        if line[1].lower() == b"content-disposition":
            _, options = _read_options_header(line[2])
            name = options.get(b"name", b"").decode("utf-8", "replace")
            given = options.get(b"filename")
            filename = None if given is None else given.decode("utf-8", "replace")[:MAX_ID]
    return name, filename


def _damaged() -> errors.Problem:
    return errors.bad_request("The multipart form is damaged or cut short; send it again.")
