"""Who may call, how often and from where, and what is written down of it: over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from PIL import Image

from conftest import Running, encode_picture

StartService = Callable[..., Running]


def test_without_a_known_key_nothing_but_health_is_told(start_service: StartService, photo: bytes) -> None:
    from vestiary.web.limits import make_key

    (shop, shop_hash), (_, erp_hash) = make_key(), make_key()
    running = start_service(api_keys={"shop": shop_hash, "erp": erp_hash})
    with httpx.Client(base_url=running.url) as api:
        for path in ("/", "/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"):
            assert api.get(path).status_code == 200
        for path in ("/info", "/classes", "/stats", "/metrics", "/docs", "/openapi.json", "/v2", "/nothing"):
            assert api.get(path).status_code == 401, path
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": f"Bearer {shop_hash}"}, {"X-API-Key": ""}):
            refused = api.post("/predict", files={"file": photo}, headers=headers)
            assert refused.status_code == 401
            assert "Bearer" in refused.headers["www-authenticate"]
        for headers in ({"X-API-Key": shop}, {"Authorization": f"Bearer {shop}"}):
            assert api.post("/predict", files={"file": photo}, headers=headers).status_code == 200
        assert api.get("/info", auth=("anybody", shop)).status_code == 200


def test_a_key_is_compared_with_every_hash_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    from vestiary.web.limits import find_caller, hash_key

    seen = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: seen.append(b) or compare(a, b))
    keys = {name: hash_key(name) for name in "abc"}
    assert find_caller({"type": "http", "headers": [(b"x-api-key", b"a")]}, keys) == "a"
    assert seen == list(keys.values())


def test_each_key_has_a_rate_of_its_own(start_service: StartService, photo: bytes) -> None:
    from vestiary.web.limits import hash_key

    running = start_service(api_keys={"one": hash_key("1"), "two": hash_key("2")}, rate_per_minute=2, rate_burst=2)
    with httpx.Client(base_url=running.url) as api:
        statuses = [api.post("/predict", files={"file": photo}, headers={"X-API-Key": "1"}) for _ in range(3)]
        assert [answer.status_code for answer in statuses] == [200, 200, 429]
        assert 1 <= int(statuses[-1].headers["retry-after"]) <= 30
        assert api.post("/predict", files={"file": photo}, headers={"X-API-Key": "2"}).status_code == 200
        assert api.get("/info", headers={"X-API-Key": "1"}).status_code == 200


def test_without_keys_the_rate_is_that_of_an_address(start_service: StartService, photo: bytes) -> None:
    running = start_service(rate_per_minute=1, rate_burst=1)
    answers = [httpx.post(f"{running.url}/predict", files={"file": photo}).status_code for _ in range(2)]
    assert answers == [200, 429]


def test_a_rate_fills_again_with_time() -> None:
    from vestiary.web.limits import Rates

    now = 1000.0
    rates = Rates(per_minute=60, burst=3, clock=lambda: now)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 1]
    now += 1
    assert [rates.take("a") for _ in range(2)] == [0, 1]
    now += 100
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 1]
    assert rates.take("b") == 0


def test_pages_of_other_origins_are_let_in_only_when_set(start_service: StartService, photo: bytes) -> None:
    running = start_service(cors_origins=("https://shop.example",), max_pixels=100)
    shut = start_service()
    for origin, allowed in (("https://shop.example", True), ("https://evil.example", False)):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        before = httpx.options(f"{running.url}/predict", headers=asked)
        assert ("access-control-allow-origin" in before.headers) == allowed
        problem = httpx.post(f"{running.url}/predict", files={"file": photo}, headers={"Origin": origin})
        assert ("access-control-allow-origin" in problem.headers) == allowed
    assert "access-control-allow-origin" not in httpx.get(shut.url, headers={"Origin": "https://shop.example"}).headers


def test_a_forwarded_address_is_believed_only_from_a_trusted_proxy(start_service: StartService, photo: bytes) -> None:
    for trusted, expected in (((), [200, 429]), (("127.0.0.1",), [200, 200])):
        running = start_service(rate_per_minute=1, rate_burst=1, trusted_proxies=trusted)
        answers = [
            httpx.post(f"{running.url}/predict", files={"file": photo}, headers={"X-Forwarded-For": f"203.0.113.{n}"})
            for n in range(2)
        ]
        assert [answer.status_code for answer in answers] == expected


def test_logs_tell_what_happened_and_nothing_of_what_was_sent(
    start_service: StartService, photo: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    running = start_service(log_requests=True)
    secret = encode_picture(Image.new("RGB", (20, 20)))
    httpx.post(f"{running.url}/predict?q=secret", files={"file": ("secret.jpg", photo)}, headers={"X-Request-ID": "r1"})
    httpx.post(f"{running.url}/secret", files={"file": ("secret.jpg", secret)})
    predictor = running.service.predictor
    predictor.answer = lambda *args, **options: 1 / 0  # type: ignore[method-assign]
    failed = httpx.post(f"{running.url}/predict", files={"file": ("secret.jpg", photo)})
    assert failed.status_code == 500
    assert "division" not in failed.text
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    first = next(line for line in lines if line.get("request_id") == "r1")
    assert (first["route"], first["status"], first["method"]) == ("/predict", 200, "POST")
    assert first["bytes_in"] > len(photo)
    [fault] = [line for line in lines if line["event"] == "fault"]
    assert fault["kind"] == "ZeroDivisionError"
    assert any(place.startswith("web/batching.py:") for place in fault["through"])
    assert "secret" not in json.dumps(lines)
    assert "division" not in json.dumps(lines)


def test_by_default_only_this_machine_is_served() -> None:
    from vestiary.web.settings import Settings

    assert Settings().host == "127.0.0.1"
