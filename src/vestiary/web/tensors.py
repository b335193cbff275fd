"""Bodies of the Open Inference Protocol: tensors in JSON, or behind it as its binary tensor extension puts them.

With the extension the JSON is as long as the header ``Inference-Header-Content-Length`` says, and the tensors whose
``binary_data_size`` it tells follow in their order. An element of BYTES is there its length, four bytes little-endian,
and itself; of FP32 four bytes little-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
from pydantic_core import to_json
from starlette.responses import Response

from vestiary.web import answers, errors
from vestiary.web.payloads import decode_base64, read_json
from vestiary.web.schemas import InferInput, InferRequest

LENGTH_HEADER: Final = "Inference-Header-Content-Length"
BINARY: Final = "application/octet-stream"
_LENGTH: Final = struct.Struct("<I")

Output = tuple[str, Sequence[str] | Sequence[float]]
"""Name and elements: texts are BYTES, numbers FP32."""


def read_tensor(
    body: bytes | bytearray, content_type: str, length: str | None, *, max_images: int
) -> tuple[InferRequest, list[bytes]]:
    """A request and its pictures; ``length`` is the value of LENGTH_HEADER.

    Raises Problem: 400 for a body that is not as it says, 413 for more than ``max_images``, 415 for another content
    type.
    """
    binary = b""
    if length is not None:
        if not (length.isascii() and length.isdigit() and len(length) < 20 and int(length) <= len(body)):
            raise errors.bad_request(f"The header {LENGTH_HEADER} must be the number of bytes of the JSON in the body.")
        body, binary = body[: int(length)], bytes(body[int(length) :])
    also = () if length is None else (BINARY,)
    asked = read_json(InferRequest, body, content_type, max_images=max_images, also=also)
    [tensor] = asked.inputs
    n = math.prod(tensor.shape)
    if n > max_images:
        raise errors.too_many_images(max_images)
    pictures = list(islice(_read_pictures(tensor, binary), n + 1))
    if n != len(pictures) or tensor.shape[1:] not in ([], [1]):
        raise errors.bad_request("The shape of 'image' must be [n] or [n, 1], with n the number of its elements.")
    return asked, pictures


def _read_pictures(tensor: InferInput, binary: bytes) -> Iterator[bytes]:
    size = tensor.parameters.binary_data_size
    if size is None:
        if binary:
            raise errors.bad_request("There are bytes behind the JSON that no tensor has as its binary_data_size.")
        yield from map(decode_base64, tensor.data)
        return
    if size != len(binary):
        raise errors.bad_request("The binary_data_size of 'image' is not the number of bytes behind the JSON.")
    at = 0
    while at < size:
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(binary, at)[0] if start <= size else size + 1
        if at > size:
            raise errors.bad_request("The last element of 'image' is cut short; each is its length and its bytes.")
        yield binary[start:at]


def render_tensors(asked: InferRequest, outputs: Sequence[Output], **facts: str) -> Response:
    """The outputs that were asked for (all, where none are named), each in JSON or behind it, as was asked.

    ``facts`` are told beside them. Raises Problem 400 for an output that there is not.
    """
    known = dict(outputs)
    as_binary = asked.parameters.binary_data_output
    wanted = {name: as_binary for name in known}
    if asked.outputs:
        given = {output.name: output.parameters.binary_data for output in asked.outputs}
        wanted = {name: as_binary if binary is None else binary for name, binary in given.items()}
    if not wanted.keys() <= known.keys():
        raise errors.bad_request("There is no output of one of the names asked for; the model's metadata lists them.")
    described: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for name, is_binary in wanted.items():
        elements = known[name]
        datatype = "BYTES" if isinstance(elements[0], str) else "FP32"
        described.append({"name": name, "datatype": datatype, "shape": [len(elements)]})
        if is_binary:
            behind.append(_pack(elements))
            described[-1]["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            described[-1]["data"] = elements
    told = {**facts, "outputs": described}
    if not behind:
        return answers.render_json(told)
    head = to_json(told)
    return Response(b"".join([head, *behind]), headers={LENGTH_HEADER: str(len(head))}, media_type=BINARY)


def _pack(elements: Sequence[str] | Sequence[float]) -> bytes:
    if isinstance(elements[0], str):
        texts = [str(element).encode() for element in elements]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    return np.asarray(elements, dtype="<f4").tobytes()
