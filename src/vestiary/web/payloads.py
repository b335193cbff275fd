"""From the body of a request to pictures and options: multipart forms, and JSON with base64 or data URLs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vestiary.web import errors
from vestiary.web.schemas import MAX_ID, BatchRequest, ExplainRequest, Options, Pictured, PictureRequest, SimilarRequest

Form = TypeVar("Form", bound=BaseModel)
Json = TypeVar("Json", PictureRequest, ExplainRequest, SimilarRequest)
Model = TypeVar("Model", bound=BaseModel)

MAX_TEXT: Final = 10_000
"""Bytes of all fields of a form together that are no pictures."""
MAX_PARTS: Final = 20_000
_PICTURES: Final = ("file", "files", "image", "images")
_DATA_URL: Final = re.compile(rb"data:[^,]{0,200},", re.IGNORECASE)
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
    return Upload(parts[0].filename, bytes(parts[0].data)), _read_options(form, fields)


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
    return [(Upload(part.filename, bytes(part.data)), None) for part in parts], _read_options(Options, fields)


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
    if parse_options_header(content_type)[0] != b"application/json":
        raise errors.wrong_content_type("application/json", what)
    return _validate_json(model, body)


def _read_content_type(
    body: bytes | bytearray, content_type: str, kinds: Sequence[bytes] = (b"multipart/form-data", b"application/json")
) -> tuple[str, bytes]:
    if not body:
        raise errors.no_image("The body is empty; send a picture as a multipart form or as JSON with base64.")
    kind, options = parse_options_header(content_type)
    if kind not in kinds:
        several = b"multipart/form-data" in kinds
        raise errors.wrong_content_type(
            "multipart/form-data, or as application/json with base64" if several else "application/json with base64"
        )
    return kind.decode(), options.get(b"boundary", b"")


def _validate_json(model: type[Model], body: bytes | bytearray, max_images: int = 1) -> Model:
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "too_long" and first["loc"][-1] in ("images", "data"):
            raise errors.too_many_images(max_images) from None
        raise errors.to_problem(error) from None


def _read_options(model: type[Form], fields: Sequence[_Part]) -> Form:
    texts = {part.name: part.data.decode("utf-8", "replace") for part in fields if part.name in model.model_fields}
    try:
        return model.model_validate(texts)
    except ValidationError as error:
        raise errors.to_problem(error) from None


@dataclass(slots=True)
class _Part:
    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


class _Reader:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.is_complete = False
        self._part = _Part()
        self._field = self._value = b""

    def on_part_begin(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise errors.bad_request("The form has too many fields; send fewer.")
        self._part = _Part()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._part.data += memoryview(data)[start:end]

    def on_part_end(self) -> None:
        self.parts.append(self._part)

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            filename = options.get(b"filename")
            self._part.filename = None if filename is None else filename.decode("utf-8", "replace")[:MAX_ID]
        self._field = self._value = b""

    def on_end(self) -> None:
        self.is_complete = True


def _parse_multipart(body: bytes | bytearray, boundary: bytes) -> list[_Part]:
    reader = _Reader()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.on_part_begin,
                "on_part_data": reader.on_part_data,
                "on_part_end": reader.on_part_end,
                "on_header_field": reader.on_header_field,
                "on_header_value": reader.on_header_value,
                "on_header_end": reader.on_header_end,
                "on_end": reader.on_end,
            },
        )
        parser.write(bytes(body))
        parser.finalize()
    except (FormParserError, ValueError):
        reader.is_complete = False
    if not boundary or not reader.is_complete:
        raise errors.bad_request("The multipart form is damaged or cut short; send it again.")
    if sum(len(part.data) for part in reader.parts if part.filename is None and part.name not in _PICTURES) > MAX_TEXT:
        raise errors.bad_request("The text fields of the form are too long; shorten them.")
    return reader.parts
