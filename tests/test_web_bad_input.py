"""The table of bad input, every row over a real socket: which status, in which form, and what is not told."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from conftest import Running, encode_picture, paint_picture


@pytest.fixture(scope="module")
def api(service: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def draw_huge_header(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few bytes whose header promises gigabytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "error", "request_id"}
    assert problem["type"] == f"urn:vestiary:problem:{code}"
    assert problem["status"] == status
    assert problem["error"] == problem["detail"]
    assert problem["detail"].endswith(".")
    assert problem["request_id"] == answer.headers["x-request-id"]
    for leaked in ("Traceback", "Error:", "/src/", ".py", "site-packages", "object at 0x"):
        assert leaked not in answer.text


JSON = {"Content-Type": "application/json"}
GOOD = base64.b64encode(paint_picture((1, 2, 3))).decode()
JSON_ROWS = {
    "empty body": (b"", "no-image"),
    "malformed JSON": (b'{"image": ', "bad-request"),
    "JSON that is no object": (b"[1, 2]", "bad-request"),
    "no image": (b"{}", "bad-request"),
    "image is null": (b'{"image": null}', "bad-request"),
    "image is a number": (b'{"image": 7}', "bad-request"),
    "image is empty": (b'{"image": ""}', "no-image"),
    "only a data URL's head": (b'{"image": "data:image/png;base64,"}', "no-image"),
    "bad base64": (b'{"image": "@@@@"}', "bad-request"),
    "base64 cut in a group": (b'{"image": "AAAAA"}', "bad-request"),
    "top_k of 0": (json.dumps({"image": GOOD, "top_k": 0}).encode(), "bad-request"),
    "top_k no number": (json.dumps({"image": GOOD, "top_k": "many"}).encode(), "bad-request"),
    "min_confidence over 1": (json.dumps({"image": GOOD, "min_confidence": 2}).encode(), "bad-request"),
    "min_confidence NaN": (b'{"image": "AAAA", "min_confidence": NaN}', "bad-request"),
    "an endless id": (json.dumps({"image": GOOD, "id": "x" * 300}).encode(), "bad-request"),
    "nested very deeply": (b'{"image": ' + b"[" * 5_000, "bad-request"),
    "no UTF-8": (b'{"image": "\xff\xfe"}', "bad-request"),
}


@pytest.mark.parametrize(("body", "code"), JSON_ROWS.values(), ids=JSON_ROWS)
@pytest.mark.parametrize("route", ["/predict", "/predict_base64"])
def test_json_that_cannot_be_read_is_400(api: httpx.Client, route: str, body: bytes, code: str) -> None:
    check_problem(api.post(route, content=body, headers=JSON), 400, code)


FORM_ROWS = {
    "no body": (b"", "multipart/form-data; boundary=x", "no-image"),
    "no boundary": (b"--x--", "multipart/form-data", "bad-request"),
    "no parts": (b"--x--\r\n", "multipart/form-data; boundary=x", "no-image"),
    "another boundary": (b"--y\r\n\r\n\r\n--y--\r\n", "multipart/form-data; boundary=x", "bad-request"),
    "cut short": (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
        "multipart/form-data; boundary=x",
        "bad-request",
    ),
    "another field": (
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nabc\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
        "no-image",
    ),
    "empty file": (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
        "no-image",
    ),
    "a boundary of semicolons": (b"--x--\r\n", 'multipart/form-data; boundary="' + ";" * 15_000, "bad-request"),
    "a name of semicolons": (
        (b'--x\r\nContent-Disposition: form-data; name="' + b";" * 3_900 + b'"\r\n\r\n\r\n') * 50 + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        "bad-request",
    ),
    "a part without a name": (b"--x\r\nA: b\r\n\r\nabc\r\n--x--\r\n", "multipart/form-data; boundary=x", "no-image"),
}


@pytest.mark.parametrize(("body", "kind", "code"), FORM_ROWS.values(), ids=FORM_ROWS)
def test_a_form_that_cannot_be_read_is_400(api: httpx.Client, body: bytes, kind: str, code: str) -> None:
    for route in ("/predict", "/predict_batch", "/uploader"):
        check_problem(api.post(route, content=body, headers={"Content-Type": kind}), 400, code)


@pytest.mark.parametrize(
    ("before", "padding", "after"),
    [(b"", b"", b""), (b"\r\n", b"", b""), (b"", b" \t", b""), (b"", b"", b"\r\nwhat nobody reads")],
    ids=["plain", "a line before", "padded lines", "text after"],
)
def test_a_form_is_read_as_it_was_sent(api: httpx.Client, before: bytes, padding: bytes, after: bytes) -> None:
    picture = paint_picture((9, 8, 7)) + b"\r\n--cutter\r\n--cut\r--cu\r\n\r\n--"
    line = b"--cut" + padding + b"\r\n"
    body = before + line + b'content-disposition:form-data; name="file"; filename="a.png"\r\n\r\n' + picture + b"\r\n"
    body += line + b'Content-Disposition: form-data; name="id"\r\n\r\nshirt\r\n--cut--' + after
    answer = api.post("/predict", content=body, headers={"Content-Type": "multipart/form-data; boundary=cut"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["image"]["sha256"] == hashlib.sha256(picture).hexdigest()
    assert answer.json()["id"] == "shirt"


def test_two_pictures_where_one_belongs_are_400(api: httpx.Client, photo: bytes) -> None:
    answer = api.post("/predict", files=[("file", photo), ("file", photo)])
    check_problem(answer, 400, "bad-request")
    assert "/predict_batch" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "image/jpeg", "application/x-www-form-urlencoded", "nonsense", ""])
def test_another_content_type_is_415(api: httpx.Client, photo: bytes, kind: str) -> None:
    check_problem(api.post("/predict", content=photo, headers={"Content-Type": kind}), 415, "wrong-content-type")


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"BM",
        bytes(999),
    ],
    ids=["text", "PDF", "SVG", "EPS", "two letters", "zeros"],
)
def test_what_is_no_picture_is_415(api: httpx.Client, data: bytes) -> None:
    check_problem(api.post("/predict", files={"file": ("a.jpg", data, "image/jpeg")}), 415, "not-a-picture")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_picture_that_is_cut_short_is_422(api: httpx.Client, file_format: str) -> None:
    whole = encode_picture(Image.effect_noise((64, 64), 90).convert("RGB"), file_format)
    check_problem(api.post("/predict", files={"file": whole[: len(whole) // 3]}), 422, "damaged")


def test_a_picture_of_a_few_pixels_is_422(api: httpx.Client) -> None:
    tiny = encode_picture(Image.new("RGB", (2, 2)))
    check_problem(api.post("/predict", files={"file": tiny}), 422, "too-small")


def test_a_picture_over_the_pixel_limit_is_413_before_it_is_decoded(api: httpx.Client) -> None:
    for size in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (7_100, 7_100)):
        answer = api.post("/predict", files={"file": draw_huge_header(*size)})
        check_problem(answer, 413, "too-large")
        assert "50,000,000" in answer.json()["detail"]


def test_too_many_pictures_in_a_batch_are_413_and_none_is_400(api: httpx.Client, service: Running) -> None:
    most = service.service.settings.max_images
    check_problem(api.post("/predict_batch", json={"images": [GOOD] * (most + 1)}), 413, "too-many-images")
    check_problem(api.post("/predict_batch", json={"images": []}), 400, "no-image")


LISTS = {
    "numbers for pictures": ("/predict_batch", b'{"images": [', b"1,", b"1]}", 400),
    "empty objects for pictures": ("/predict_batch", b'{"images": [', b"{},", b"{}]}", 400),
    "a million pictures": ("/predict_batch", b'{"images": [', b'"",', b'""]}', 413),
    "numbers in a tensor": (
        "/v2/models/default/infer",
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [',
        b"1,",
        b"1]}]}",
        400,
    ),
    "a million elements in a tensor": (
        "/v2/models/default/infer",
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [',
        b'"",',
        b'""]}]}',
        413,
    ),
    "numbers for outputs": (
        "/v2/models/default/infer",
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [0]}], "outputs": [',
        b"1,",
        b"1]}",
        400,
    ),
}


@pytest.mark.parametrize(("route", "head", "entry", "end", "status"), LISTS.values(), ids=LISTS)
def test_an_endless_list_is_refused_at_its_first_entry_too_many_or_wrong(
    api: httpx.Client, route: str, head: bytes, entry: bytes, end: bytes, status: int
) -> None:
    from test_web_limits import read_memory

    before = read_memory()
    body = head + entry * 1_000_000 + end
    answer = api.post(route, content=body, headers=JSON)
    check_problem(answer, status, "bad-request" if status == 400 else "too-many-images")
    assert read_memory() - before < 100_000_000


def test_small_bodies_of_many_pieces_are_not_taken_apart_on_the_event_loop(
    start_service: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestiary.web import payloads

    places: list[str] = []
    validate, parse = payloads._validate_json, payloads._parse_multipart

    def note(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            places.append(threading.current_thread().name)
            return work(*args)

        return run

    monkeypatch.setattr(payloads, "_validate_json", note(validate))
    monkeypatch.setattr(payloads, "_parse_multipart", note(parse))
    url = f"{start_service().url}/predict_batch"
    assert httpx.post(url, json={"images": [""] * 2_000}).status_code == 413
    assert httpx.post(url, content=b'{"x": [' + (b"[" * 100 + b"]" * 100 + b",") * 100 + b"1]}", headers=JSON).is_error
    assert httpx.post(url, files=[("note", b"x")] * 100).status_code == 400
    assert all(place.startswith("vestiary-talk") for place in places), places
    assert len(places) == 3


@pytest.mark.parametrize("piece", [b"1,", b"{},", b"[" * 50 + b"]" * 50 + b","], ids=["numbers", "objects", "nested"])
def test_a_body_of_very_many_values_that_nobody_asked_for_is_not_read(api: httpx.Client, piece: bytes) -> None:
    from vestiary.web.schemas import PictureRequest

    body = b'{"image": "' + GOOD.encode() + b'", "x": [' + piece * (8_000_000 // len(piece)) + b"1]}"
    assert PictureRequest.model_validate_json(body, strict=True).image
    answer = api.post("/predict", content=body, headers=JSON)
    check_problem(answer, 400, "bad-request")
    assert "too many values" in answer.json()["detail"]


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "image", "datatype": "BYTES", "shape": [2], "data": [GOOD]},
        {"name": "image", "datatype": "BYTES", "shape": [1, 3], "data": [GOOD] * 3},
        {"name": "image", "datatype": "FP32", "shape": [1], "data": [GOOD]},
        {"name": "pixels", "datatype": "BYTES", "shape": [1], "data": [GOOD]},
        {"name": "image", "datatype": "BYTES", "shape": [-1], "data": [GOOD]},
        {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["@@@"]},
    ],
)
def test_a_tensor_that_does_not_fit_is_400(api: httpx.Client, tensor: dict[str, object]) -> None:
    answer = api.post("/v2/models/default/infer", json={"inputs": [tensor]})
    check_problem(answer, 400, "bad-request")


def test_unknown_addresses_and_methods(api: httpx.Client) -> None:
    check_problem(api.get("/nothing"), 404, "not-found")
    check_problem(api.get("/predict/"), 404, "not-found")
    answer = api.get("/predict")
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def test_the_upload_page_tells_a_person_what_is_wrong(api: httpx.Client) -> None:
    answer = api.post("/uploader", files={"file": b"<script>alert(1)</script>"}, headers={"Accept": "text/html"})
    assert answer.status_code == 415
    assert "The file is not a picture we read" in answer.text
    assert "<script" not in answer.text


def test_names_that_a_sender_chooses_are_escaped(api: httpx.Client, photo: bytes) -> None:
    files = {"file": ("<img src=x onerror=alert(1)>.jpg", photo)}
    page = api.post("/uploader", files=files).text
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in page


def test_a_request_id_that_could_break_a_log_is_replaced(api: httpx.Client) -> None:
    for bad in ("x" * 65, "a b", '"quoted"', ""):
        given = api.get("/livez", headers={"X-Request-ID": bad}).headers["x-request-id"]
        assert given != bad
        assert given.isalnum()
