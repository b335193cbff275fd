from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import Running

pytest.importorskip("httpx", reason="the extra 'serve' is not installed")

import httpx

from vestiary import client as client_module
from vestiary.client import AsyncClient, Client
from vestiary.errors import ServiceError, UsageError


@pytest.fixture
def photo_file(photo: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "dress.jpg"
    path.write_bytes(photo)
    return path


def test_both_clients_give_typed_answers(service: Running, photo_file: Path, photo: bytes) -> None:
    async def ask() -> Any:
        async with AsyncClient(service.url) as client:
            return await asyncio.gather(
                client.predict(photo_file, top_k=2),
                client.predict_batch([photo, b"no picture"]),
                client.explain(photo, "gender"),
                client.info(),
            )

    with Client(service.url) as client:
        one = client.predict(photo_file, top_k=2)
        batch = client.predict_batch([photo, b"no picture"])
        drawn = client.explain(photo, "gender")
        info = client.info()
    assert one.id == "dress.jpg"
    assert one.decision in ("auto", "review")
    tag = one.tags["gender"]
    assert one.predictions["gender"] == tag.value == tag.top_k[0][0]
    assert len(tag.top_k) == 2
    assert batch[0].predictions == one.predictions
    assert (batch[1].problem or "").startswith("The file is not a picture")
    assert [answer.id for answer in batch] == ["0", "1"]  # a verdict tells them apart by it
    assert not batch[1].tags
    assert Image.open(io.BytesIO(drawn)).size == (300, 400)
    assert info["model"]["name"] == "default"
    same = asyncio.run(ask())
    assert same[0].predictions == one.predictions
    assert [answer.predictions for answer in same[1]] == [answer.predictions for answer in batch]
    assert same[2] == drawn
    assert same[3] == info


def test_a_refusal_is_an_error_with_status_and_request_id(service: Running) -> None:
    with Client(service.url) as client, pytest.raises(ServiceError, match="not a picture") as caught:
        client.predict(b"no picture")
    assert caught.value.status == 415
    assert caught.value.request_id


def test_the_key_is_sent(start_service: Callable[..., Running], photo: bytes) -> None:
    from vestiary.web.limits import make_key

    key, digest = make_key()
    running = start_service(api_keys={"shop": digest})
    with Client(running.url, api_key=key) as client:
        assert client.predict(photo).predictions
    with Client(running.url) as client, pytest.raises(ServiceError) as caught:
        client.predict(photo)
    assert caught.value.status == 401


@pytest.mark.parametrize("key", ["secret\n", "secret\r\n", "schlüssel"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_key_that_no_request_can_carry_is_told_as_such(kind: type[Client | AsyncClient], key: str) -> None:
    with pytest.raises(UsageError, match="The API key holds a line break") as caught:
        kind("http://127.0.0.1:8000", api_key=key)
    assert key.strip() not in str(caught.value)


def test_any_number_of_photos_may_be_asked_about_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are connections are read and sent, the others wait without being told of a silent service."""
    photos = [Path(f"{number}.jpg") for number in range(3 * client_module.AT_ONCE)]
    read: list[Path] = []
    under_way: list[int] = []
    answered = 0

    def read_bytes(path: Path) -> bytes:
        read.append(path)
        return b"photo"

    monkeypatch.setattr(Path, "read_bytes", read_bytes)

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal answered
        await asyncio.sleep(0)
        under_way.append(len(read) - answered)
        answered += 1
        return httpx.Response(200, json={"id": "photo", "request_id": "1", "attributes": {}})

    async def ask() -> Any:
        async with AsyncClient("http://elsewhere") as client:
            client._http = httpx.AsyncClient(base_url="http://elsewhere", transport=httpx.MockTransport(answer))
            return await asyncio.gather(*map(client.predict, photos))

    assert len(asyncio.run(ask())) == len(photos)
    assert max(under_way) == client_module.AT_ONCE


def test_what_was_shed_is_sent_again_after_retry_after(
    start_service: Callable[..., Running], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_service(retry_after_s=7, max_in_flight=1)
    service = running.service
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            service.in_flight = 0

    service.in_flight = 1
    monkeypatch.setattr(client_module.time, "sleep", pause)
    with Client(running.url) as client:
        assert client.predict(photo).predictions
    assert pauses == [7.0, 7.0]


def test_a_service_that_stays_full_is_an_error_in_the_end(
    start_service: Callable[..., Running], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_service(max_in_flight=1)
    running.service.in_flight = 1
    monkeypatch.setattr(client_module.time, "sleep", lambda seconds: None)
    with (
        Client(running.url, retries=2) as client,
        pytest.raises(ServiceError, match="as many requests as it can") as caught,
    ):
        client.predict(photo)
    assert caught.value.status == 503
    assert 'route="/predict",status="503"} 3.0' in httpx.get(f"{running.url}/metrics").text
    running.service.in_flight = 0


def test_a_service_that_asks_for_a_long_pause_is_not_asked_before_it_is_over(
    start_service: Callable[..., Running], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_service(retry_after_s=3600, max_in_flight=1)
    running.service.in_flight = 1
    pauses: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    with Client(running.url) as client, pytest.raises(ServiceError, match="3600 s"):
        client.predict(photo)
    running.service.in_flight = 0
    assert not pauses


@pytest.mark.parametrize("content", [b"<html>Welcome</html>", b"[]", b'{"id": 7, "attributes": 3}'])
def test_another_server_at_the_address_is_told(photo: bytes, content: bytes) -> None:
    with Client("http://elsewhere") as client:
        answer = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
        client._http = httpx.Client(base_url="http://elsewhere", transport=answer)
        for ask in (lambda: client.predict(photo), lambda: client.predict_batch([photo])):
            with pytest.raises(ServiceError, match="is not the service") as caught:
                ask()
            assert caught.value.status == 200


def test_no_pictures_have_no_answers(service: Running) -> None:
    with Client(service.url) as client:
        assert client.predict_batch([]) == []


def test_nobody_there_is_told_after_the_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    pauses: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", retries=2) as client,
        pytest.raises(ServiceError, match="3 tries") as caught,
    ):
        client.info()
    assert caught.value.status is None
    assert len(pauses) == 2
    assert pauses[1] > pauses[0]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are always text here")
def test_a_file_whose_name_is_no_text_is_sent_all_the_same(service: Running, photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"dr\xffess.jpg")
    path.write_bytes(photo)
    with Client(service.url) as client:
        assert client.predict(path).id == "dr?ess.jpg"


def test_a_path_without_a_file_is_named(service: Running, tmp_path: Path) -> None:
    with Client(service.url) as client:
        with pytest.raises(UsageError, match=r"none\.jpg"):
            client.predict(tmp_path / "none.jpg")
        with pytest.raises(UsageError, match="list"):
            client.predict_batch(str(tmp_path))
