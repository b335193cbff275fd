"""Pictures by address: what is fetched, and everything that is not. Servers on the loopback play the internet.

Names are looked up by a table of the test. 127.0.0.1 counts as public here, 127.0.0.2 and all others as what they are.
"""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import Running, paint_picture, wait_until
from shop import Names, Shop, give, send_for_ever

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from vestiary.client import Answer, AsyncClient, Client
from vestiary.web import fetching


@pytest.fixture
def open_shop() -> Iterator[Callable[..., Shop]]:
    shops: list[Shop] = []

    def make(*args: Any, **options: Any) -> Shop:
        shops.append(Shop(*args, **options))
        return shops[-1]

    yield make
    for shop in shops:
        shop.close()


@pytest.fixture
def shop(open_shop: Callable[..., Shop], photo: bytes) -> Shop:
    shop = open_shop()
    shop.paths["/dress.jpg"] = give(photo)
    return shop


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    is_public = fetching.is_public
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # that nobody is asked to look names up for us
    return Names()


@pytest.fixture
def start(start_service: Callable[..., Running], names: Names) -> Callable[..., Running]:
    """A service that fetches, and looks names up in the table."""

    def make(**settings: object) -> Running:
        running = start_service(fetch_urls=True, **settings)
        assert running.service.fetcher is not None
        running.service.fetcher._look_up = names.look_up
        return running

    return make


def ask(running: Running, url: str, **more: Any) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(f"{running.url}/predict", json={"url": url} | more)


def check(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:vestiary:problem:{code}"), answer.text
    return str(answer.json()["detail"])


def test_nothing_is_fetched_unless_that_is_set(service: Running, shop: Shop) -> None:
    told = check(ask(service, f"http://127.0.0.1:{shop.port}/dress.jpg"), 400, "fetching-off")
    assert "send the picture as 'image'" in told
    assert not shop.asked


def test_a_picture_by_address_is_answered_as_if_it_had_been_sent(
    start: Callable[..., Running], shop: Shop, photo: bytes
) -> None:
    running = start()
    url = f"http://shop.example:{shop.port}/dress.jpg"
    with httpx.Client(base_url=running.url, trust_env=False, timeout=30) as api:
        sent = api.post("/predict", files={"file": photo}).json()
        fetched = api.post("/predict", json={"url": url, "id": "sku-7", "top_k": 1}).json()
        explained = api.post("/explain", json={"url": url, "attribute": "gender"})
    assert (fetched["id"], fetched["predictions"]) == ("sku-7", sent["predictions"])
    assert fetched["image"] == sent["image"]
    assert explained.headers["content-type"] == "image/png"
    assert shop.asked == [(f"shop.example:{shop.port}", "/dress.jpg")] * 2
    wait_until(lambda: running.service.held.n_bytes == 0)


def test_a_batch_of_addresses_keeps_its_order_and_each_has_its_own_fate(
    start: Callable[..., Running], shop: Shop, photo: bytes
) -> None:
    import base64

    shop.paths["/red.png"] = give(paint_picture((200, 0, 0)))
    shop.paths["/page.html"] = give(b"<html>no picture</html>")
    shop.paths["/gone.jpg"] = give(b"gone", 404)
    base = f"http://shop.example:{shop.port}"
    images = [
        *({"url": f"{base}/{name}"} for name in ("red.png", "gone.jpg", "page.html")),
        base64.b64encode(photo).decode(),
        {"url": "http://127.0.0.2/x.jpg", "id": "inside"},
    ]
    answer = httpx.post(f"{start().url}/predict_batch", json={"images": images}, timeout=30, trust_env=False).json()
    statuses = [item["problem"]["status"] if item["status"] == "error" else 200 for item in answer["results"]]
    assert statuses == [200, 422, 415, 200, 400]
    assert [item["id"] for item in answer["results"]] == ["0", "1", "2", "3", "inside"]
    assert answer["results"][0]["image"]["width"] == 12
    assert "status 404" in answer["results"][1]["error"]


def test_both_clients_send_addresses_as_they_send_files(
    start: Callable[..., Running], shop: Shop, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = start()
    url, file = f"http://shop.example:{shop.port}/dress.jpg", tmp_path / "dress.jpg"
    file.write_bytes(photo)

    async def ask_other() -> list[Answer]:
        async with AsyncClient(running.url) as client:
            return [await client.predict(url), *await client.predict_batch([url])]

    with Client(running.url) as client:
        sent = client.predict(file, top_k=2)
        fetched = client.predict(url, top_k=2)
        batch = client.predict_batch([url, file, photo, "HTTP://127.0.0.2/x.jpg"], top_k=2)
        assert client.explain(url, "gender") == client.explain(file, "gender")
    assert fetched.tags == sent.tags
    assert [answer.id for answer in batch] == ["0", "dress.jpg", "2", "3"]
    assert [answer.predictions for answer in batch] == [sent.predictions] * 3 + [{}]
    assert "lead to the public internet" in (batch[3].problem or "")
    assert [answer.predictions for answer in asyncio.run(ask_other())] == [sent.predictions] * 2


@pytest.mark.parametrize(
    "body",
    [{}, {"url": "http://a.example/x", "image": "AAAA"}, {"url": None}, {"url": 7}, {"url": "http://a/" + "x" * 2048}],
)
def test_one_of_image_and_url_is_needed(service: Running, body: dict[str, object]) -> None:
    check(httpx.post(f"{service.url}/predict", json=body), 400, "bad-request")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"),
        *("2002:7f00:1::", "2001:0:4136:e378::1", "no address", ""),
    ],
)
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not fetching.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::200e"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert fetching.is_public(address)


@pytest.mark.parametrize(
    "places",
    [("127.0.0.2",), ("127.0.0.1", "127.0.0.2"), ("::ffff:127.0.0.1",), ("64:ff9b::7f00:2",), ("169.254.169.254",), ()],
)
def test_a_name_that_leads_inside_is_refused_before_anybody_is_asked(
    start: Callable[..., Running], names: Names, open_shop: Callable[..., Shop], places: Sequence[str]
) -> None:
    inside, front = open_shop("127.0.0.2"), open_shop()
    names.table["inside.example"] = [places]
    for port in (inside.port, front.port):
        check(ask(start(), f"http://inside.example:{port}/"), 400, "address-refused")
    assert not inside.asked
    assert not front.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "[::]"])
def test_this_machine_is_refused_in_every_spelling(
    start_service: Callable[..., Running], shop: Shop, host: str
) -> None:
    check(ask(start_service(fetch_urls=True), f"http://{host}:{shop.port}/dress.jpg"), 400, "address-refused")
    assert not shop.asked


def test_a_name_that_does_not_exist_is_refused_in_the_same_words(start: Callable[..., Running], names: Names) -> None:
    names.table["inside.example"] = [("10.0.0.1",)]
    running = start()
    told = {check(ask(running, f"http://{name}/"), 400, "address-refused") for name in ("inside.example", "no.example")}
    assert len(told) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://shop.example/a",
        "file:///etc/passwd",
        "shop.example/a.jpg",
        "//shop.example",
        "http://",
        "http:///a",
        "",
        "http://[::1",
        "http://shop.example:99999/",
        "http://shop.example:0/",
        "http://" + "a" * 300 + ".example/",
        "http://user:secret@shop.example/a",
        "http://user@shop.example/a",
        "https://:secret@shop.example/",
    ],
)
def test_other_schemes_names_that_are_none_and_credentials_are_refused(
    start: Callable[..., Running], names: Names, url: str
) -> None:
    check(ask(start(), url), 400, "address-refused")
    assert all(len(name) > 63 for name in names.asked)  # only what no resolver takes gets so far


def test_a_name_that_leads_elsewhere_the_second_time_changes_nothing(
    start: Callable[..., Running], names: Names, shop: Shop
) -> None:
    names.table["shop.example"] = [("127.0.0.1",), ("127.0.0.2",)]
    assert ask(start(), f"http://shop.example:{shop.port}/dress.jpg").status_code == 200
    assert names.asked == ["shop.example"]
    assert shop.asked == [(f"shop.example:{shop.port}", "/dress.jpg")]


def test_a_server_that_takes_no_connection_is_passed_over_for_the_next(
    start: Callable[..., Running], names: Names, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "is_public", lambda address: ipaddress.ip_address(address).is_loopback)
    names.table["shop.example"] = [("127.0.0.3", "127.0.0.1")]
    assert ask(start(), f"http://shop.example:{shop.port}/dress.jpg").status_code == 200


def test_a_redirect_is_followed_where_a_first_address_would_be(
    start: Callable[..., Running], names: Names, shop: Shop, open_shop: Callable[..., Shop]
) -> None:
    inside = open_shop("127.0.0.2")
    names.table |= {"cdn.example": [("127.0.0.1",)], "inside.example": [("127.0.0.2",)]}
    shop.paths |= {
        "/relative": give(b"", 302, Location="/dress.jpg"),
        "/cdn": give(b"", 307, Location=f"http://cdn.example:{shop.port}/dress.jpg"),
        "/inside": give(b"", 301, Location=f"http://inside.example:{inside.port}/"),
        "/metadata": give(b"", 302, Location=f"http://127.0.0.2:{inside.port}/"),
        "/file": give(b"", 302, Location="file:///etc/passwd"),
        "/login": give(b"", 302, Location=f"http://user:secret@shop.example:{shop.port}/dress.jpg"),
        "/nowhere": give(b"", 302),
    }
    names.table["127.0.0.2"] = [("127.0.0.2",)]
    running = start()
    for path in ("relative", "cdn"):
        assert ask(running, f"http://shop.example:{shop.port}/{path}").status_code == 200
    assert shop.asked[-1] == (f"cdn.example:{shop.port}", "/dress.jpg")
    for path in ("inside", "metadata", "file", "login"):
        check(ask(running, f"http://shop.example:{shop.port}/{path}"), 400, "address-refused")
    assert not inside.asked


def test_redirects_end(start: Callable[..., Running], shop: Shop) -> None:
    shop.paths["/round"] = give(b"", 302, Location="/round")
    told = check(ask(start(), f"http://shop.example:{shop.port}/round"), 422, "not-fetched")
    assert "moved more than 3 times" in told
    assert len(shop.asked) == 4


def test_too_many_bytes_are_cut_while_they_come(start: Callable[..., Running], shop: Shop) -> None:
    shop.paths["/endless"] = send_for_ever(shop)
    running = start(max_body_bytes=1_000_000)
    told = check(ask(running, f"http://shop.example:{shop.port}/endless"), 413, "too-large")
    assert "more than the 1,000,000 bytes" in told
    assert shop.sent < 30_000_000  # what the buffers of both systems hold beside the limit
    wait_until(lambda: running.service.held.n_bytes == 0)


def test_what_is_fetched_counts_among_the_bytes_that_are_held(start: Callable[..., Running], shop: Shop) -> None:
    shop.paths["/endless"] = send_for_ever(shop)
    running = start(max_held_bytes=500_000)
    answer = ask(running, f"http://shop.example:{shop.port}/endless")
    check(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    wait_until(lambda: running.service.held.n_bytes == 0)


@pytest.mark.parametrize("path", ["/silent", "/trickle"])
def test_a_server_that_takes_its_time_is_not_waited_for(start: Callable[..., Running], shop: Shop, path: str) -> None:
    shop.paths["/silent"] = lambda handler: shop.is_over.wait(30) and None
    shop.paths["/trickle"] = send_for_ever(shop, 0.02)
    told = check(ask(start(fetch_timeout_s=0.3), f"http://shop.example:{shop.port}{path}"), 422, "not-fetched")
    assert "after 0.3 seconds" in told


def test_the_deadline_of_the_request_holds_while_pictures_are_fetched(
    start: Callable[..., Running], shop: Shop
) -> None:
    shop.paths["/silent"] = lambda handler: shop.is_over.wait(30) and None
    running = start(fetch_timeout_s=30, deadline_s=0.3)
    check(ask(running, f"http://shop.example:{shop.port}/silent"), 504, "deadline-passed")
    wait_until(lambda: running.service.in_flight == 0)


def test_a_client_that_goes_away_ends_what_is_fetched_for_it(start: Callable[..., Running], shop: Shop) -> None:
    shop.paths["/silent"] = lambda handler: shop.is_over.wait(30) and None
    running = start(fetch_timeout_s=30)
    with pytest.raises(httpx.ReadTimeout), httpx.Client(trust_env=False, timeout=0.5) as client:
        client.post(f"{running.url}/predict", json={"url": f"http://shop.example:{shop.port}/silent"})
    wait_until(lambda: running.service.in_flight == 0)


def test_what_comes_is_a_picture_like_any_other(start: Callable[..., Running], shop: Shop, photo: bytes) -> None:
    shop.paths |= {
        "/page": give(b"<html>secret</html>"),
        "/cut": give(photo[:900]),
        "/packed": give(gzip.compress(photo), Content_Encoding="gzip"),
        "/fault": give(b"secret", 500),
        "/none": give(b"", 204),
    }
    running = start()
    expected = {"page": 415, "cut": 422, "packed": 422, "fault": 422, "none": 422}
    for path, status in expected.items():
        answer = ask(running, f"http://shop.example:{shop.port}/{path}")
        assert answer.status_code == status, path
        assert "secret" not in answer.text
    check(ask(running, "http://shop.example:9/"), 422, "not-fetched")


def test_a_certificate_must_be_good_and_is_asked_for_by_name(
    start: Callable[..., Running], open_shop: Callable[..., Shop], photo: bytes, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=shop.example", "-days", "2"]
    named = ["-addext", "subjectAltName=DNS:shop.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *named], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    wanted: list[str | None] = []
    context.sni_callback = lambda connection, name, own: wanted.append(name)
    shop = open_shop(context=context)
    shop.paths["/dress.jpg"] = give(photo)
    running = start()
    assert running.service.fetcher is not None
    url = f"https://shop.example:{shop.port}/dress.jpg"
    check(ask(running, url), 422, "not-fetched")
    assert not shop.asked
    trusting = ssl.create_default_context(cafile=str(certificate))
    running.service.fetcher._transport = httpx.AsyncHTTPTransport(verify=trusting, trust_env=False)
    assert ask(running, url).status_code == 200
    assert wanted == ["shop.example"] * 2


def test_no_address_is_told_in_logs_or_answers(
    start: Callable[..., Running], names: Names, shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    names.table["secret.example"] = [("10.0.0.1",)]
    running = start(log_requests=True)
    answers = [
        ask(running, url).text
        for url in (f"http://shop.example:{shop.port}/dress.jpg?secret", "http://secret.example/", "http://secret")
    ]
    told = ""

    def has_all_lines() -> bool:
        nonlocal told
        told += capfd.readouterr().err
        return told.count('"event": "request"') == 3

    wait_until(has_all_lines)  # the last line may be written after its answer has left
    assert "secret" not in told + "".join(answers)
    assert "10.0.0.1" not in told + "".join(answers)
