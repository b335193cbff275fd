"""What the internet sends: requests made from the OpenAPI document, and pictures that were tampered with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from conftest import Running, encode_picture

pytest.importorskip("schemathesis", reason="schemathesis is not installed")

import hypothesis
import schemathesis
from schemathesis import checks

PHOTOS = sorted((Path(__file__).parents[1] / "examples" / "photos").glob("*.jpg"))
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
MAGIC = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"MM\0*", b"RIFF\0\0\0\0WEBP", b"BM", b"%PDF")
DOCUMENTED = {200, 400, 413, 415, 422, 503, 504}


def mutate(picture: bytes, rng: random.Random) -> bytes:
    """Bit flips, bytes overwritten, cut out, repeated, put in; another format's first bytes; a cut anywhere."""
    data = bytearray(picture)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        place = min(int(rng.paretovariate(0.4)) - 1, len(data) - 1) if rng.random() < 0.6 else rng.randrange(len(data))
        kind = rng.randrange(7)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        elif kind == 2:
            del data[place : place + rng.randrange(1, 64)]
        elif kind == 3:
            data[place:place] = data[place : place + rng.randrange(1, 64)] * rng.randrange(1, 4)
        elif kind == 4:
            data[place:place] = rng.randbytes(rng.randrange(1, 16))
        elif kind == 5:
            magic = rng.choice(MAGIC)
            data[: len(magic)] = magic
        else:
            del data[rng.randrange(1, len(data) + 1) :]
        if not data:
            return b"\0"
    return bytes(data)


def make_seeds() -> list[bytes]:
    seeds = []
    for path in PHOTOS[:4]:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((60, 80))
        seeds += [encode_picture(small, name) for name in FORMATS]
        seeds += [encode_picture(small.convert(mode), name) for mode, name in (("CMYK", "JPEG"), ("P", "PNG"))]
        seeds.append(encode_picture(small, "JPEG", progressive=True))
    return seeds


def make_requests(n: int, seed: int) -> Iterator[dict[str, object]]:
    """Tampered pictures in every way that the routes take them, some under a wrong content type."""
    rng, seeds = random.Random(seed), make_seeds()
    for _ in range(n):
        data = mutate(rng.choice(seeds), rng)
        kind = rng.choice(("image/jpeg", "image/png", "text/html", "application/octet-stream", ""))
        if rng.random() < 0.05:
            yield {"url": "/predict", "content": data, "headers": {"Content-Type": kind or "application/json"}}
        elif rng.random() < 0.1:
            yield {"url": "/predict_batch", "files": [("files", ("x", data, kind)), ("files", ("y", data[::-1], kind))]}
        else:
            yield {"url": rng.choice(("/predict", "/uploader")), "files": {"file": ("x", data, kind)}}


def send_mutated(service: Running, n: int, seed: int) -> dict[int, int]:
    """Send them and count the statuses; each answer must be a documented one and tell nothing of the inside."""
    counts: dict[int, int] = {}
    with httpx.Client(base_url=service.url, timeout=60) as api:
        for request in make_requests(n, seed):
            answer = api.post(**request)  # type: ignore[arg-type]
            assert answer.status_code in DOCUMENTED, request
            assert "Traceback" not in answer.text
            counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
        assert api.get("/readyz").status_code == 200
    return counts


def test_tampered_pictures_get_documented_answers(service: Running) -> None:
    counts = send_mutated(service, 400, seed=1)
    assert sum(counts.values()) == 400
    assert counts[200] > 20
    assert counts[415] + counts[422] > 100


@pytest.mark.slow
def test_10_000_tampered_pictures_get_documented_answers_and_memory_stays_flat(service: Running) -> None:
    from test_web_limits import read_memory

    send_mutated(service, 1_000, seed=2)
    before = read_memory()
    counts = send_mutated(service, 10_000, seed=3)
    assert sum(counts.values()) == 10_000
    assert read_memory() - before < 60_000_000


def send_generated(service: Running, max_examples: int) -> tuple[set[str], set[int]]:
    """Requests made from the OpenAPI document, valid and wrong ones, to every route; returns routes and statuses.

    Each answer must have a documented status, content type, headers and form, and must not be a server's error. That
    a valid request succeeds is not asked: a text that the document allows need not be a picture.
    """
    tried: set[str] = set()
    statuses: set[int] = set()

    def send(operation: Any, mode: schemathesis.GenerationMode) -> None:
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=max_examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        def check(case: Any) -> None:
            response = case.call()
            statuses.add(response.status_code)
            unfit = [checks.positive_data_acceptance]
            if case.media_type == "multipart/form-data":
                unfit.append(checks.negative_data_rejection)
            case.validate_response(response, excluded_checks=unfit)

        check()

    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        send(operation, schemathesis.GenerationMode.POSITIVE)
        if operation.body:
            send(operation, schemathesis.GenerationMode.NEGATIVE)
        tried.add(operation.label)
    return tried, statuses


def test_requests_made_from_the_document_get_documented_answers(service: Running) -> None:
    tried, statuses = send_generated(service, 5)
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    assert tried == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert {200, 400, 404} <= statuses
    assert not statuses & {500, 502}


@pytest.mark.slow
def test_many_requests_made_from_the_document_get_documented_answers(service: Running) -> None:
    send_generated(service, 300)
