"""``POST /similar`` and the client's ``similar``, over a real socket to a running service."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Running, paint_picture
from test_similar import COLOURS, make_catalogue

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

import httpx

from vestiary.bundle import open_bundle
from vestiary.client import AsyncClient, Client
from vestiary.errors import ServiceError, SimilarError, UsageError
from vestiary.predictor import Predictor
from vestiary.similar import Index, build_index, find_similar

RED = paint_picture((220, 0, 0))


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


@pytest.fixture
def index(bundle: Path, tmp_path: Path) -> Index:
    catalogue = make_catalogue(tmp_path / "photos", COLOURS)  # type: ignore[arg-type]
    return build_index(catalogue, Predictor(open_bundle(bundle), threads=1), tmp_path / "index")


@pytest.fixture
def running(start_service: Callable[..., Running], bundle: Path, index: Index, tmp_path: Path) -> Running:
    return start_service(bundle=bundle, index=tmp_path / "index")


@pytest.fixture
def api(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


def test_an_answer_is_that_of_the_index(api: httpx.Client, index: Index, bundle: Path) -> None:
    answer = api.post(
        "/similar", files={"file": ("mine.png", RED)}, data={"top_k": "3"}, headers={"X-Request-ID": "mine-1"}
    ).json()
    [expected] = find_similar(index, Predictor(index.bundle, threads=1), [("", RED)], top_k=3)
    assert [entry["product_id"] for entry in answer["neighbours"]] == ["red", "dark red", "orange"]
    assert answer["neighbours"] == expected.to_dict()["neighbours"]
    assert (answer["status"], answer["id"], answer["request_id"]) == ("success", "mine.png", "mine-1")
    assert answer["index"] == {"products": 5, "catalogue": index.catalogue}
    assert answer["model"]["fingerprint"] == open_bundle(bundle).fingerprint


def test_the_picture_may_be_sent_as_json_and_products_left_out(api: httpx.Client) -> None:
    told = {"image": base64.b64encode(RED).decode(), "id": "sku-7", "top_k": 1}

    def ask(**more: object) -> str:
        answer = api.post("/similar", json=told | more).json()
        assert answer["id"] == "sku-7"
        [entry] = answer["neighbours"]
        return str(entry["product_id"])

    assert ask() == "red"
    assert ask(exclude_same=True) == "dark red"
    assert ask(exclude="red") == "dark red"
    form = {"exclude_same": "true", "exclude": "dark red", "top_k": "1"}
    answer = api.post("/similar", files={"image": RED}, data=form).json()
    assert answer["neighbours"][0]["product_id"] == "orange"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"files": {"file": b"no picture"}}, 415),
        ({"files": {"file": RED}, "data": {"top_k": "0"}}, 400),
        ({"files": {"file": RED}, "data": {"top_k": "1001"}}, 400),
        ({"json": {"top_k": 3}}, 400),
        ({"content": b""}, 400),
    ],
    ids=["no picture", "none wanted", "too many wanted", "nothing sent", "empty"],
)
def test_what_cannot_be_answered_is_a_problem(api: httpx.Client, request_: dict[str, object], status: int) -> None:
    answer = api.post("/similar", **request_)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_service_without_an_index_says_so(service: Running, photo: bytes) -> None:
    answer = httpx.post(f"{service.url}/similar", files={"file": photo})
    assert answer.status_code == 404
    assert "VESTIARY_INDEX" in answer.json()["detail"]


def test_the_documents_name_the_route_and_its_refusal(service: Running) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    route = document["paths"]["/similar"]["post"]
    assert route["responses"]["200"]["content"]["application/json"]["example"]["neighbours"]
    [refusal] = route["responses"]["404"]["content"]["application/problem+json"]["examples"].values()
    assert "VESTIARY_INDEX" in refusal["value"]["detail"]
    assert "POST /similar" in httpx.get(f"{service.url}/").json()["endpoints"]


def test_both_clients_give_typed_products(running: Running, service: Running, tmp_path: Path) -> None:
    file = tmp_path / "mine.png"
    file.write_bytes(RED)

    async def ask() -> object:
        async with AsyncClient(running.url) as client:
            return await client.similar(file, top_k=2, exclude="red")

    with Client(running.url) as client:
        found = client.similar(file, top_k=2, exclude="red")
        assert client.similar(RED, top_k=1, exclude_same=True)[0].product_id == "dark red"
    assert [product.product_id for product in found] == ["dark red", "orange"]
    assert found[0].labels == {"baseColour": "Red"}
    assert 0 < found[0].distance < found[1].distance
    assert asyncio.run(ask()) == found
    with Client(service.url) as client, pytest.raises(ServiceError, match="VESTIARY_INDEX") as caught:
        client.similar(RED)
    assert caught.value.status == 404


def test_a_service_starts_only_with_an_index_that_it_can_use(
    start_service: Callable[..., Running], index: Index, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="holds no index"):
        start_service(index=tmp_path / "photos")
    with pytest.raises(SimilarError, match="does not fit other"):
        start_service(bundle=make_bundle(tmp_path / "other", name="other"), index=tmp_path / "index")


def test_requests_count_as_pictures(running: Running, api: httpx.Client) -> None:
    api.post("/similar", files={"file": RED})
    api.post("/similar", files={"file": b"no picture"})
    stats = api.get("/stats").json()
    assert (stats["total_requests"], stats["successful_predictions"], stats["failed_predictions"]) == (2, 1, 1)
