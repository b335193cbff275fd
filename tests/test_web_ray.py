"""The service on Ray Serve answers what the ordinary service answers."""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("ray.serve", reason="the extra 'ray' is not installed")
pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from conftest import Running, paint_picture, wait_until
from vestiary.bundle import open_bundle
from vestiary.errors import BundleError, UsageError
from vestiary.ledger import open_ledger
from vestiary.web.ray_app import build

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def serve_app(ray_here: None) -> Iterator[Callable[..., str]]:
    """``serve_app(**given)``: the address of a Ray Serve on this machine with such an application."""
    from ray import serve

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})

    def run(**given: Any) -> str:
        serve.run(build(given), name="vestiary")
        return f"http://127.0.0.1:{port}"

    yield run
    serve.shutdown()


def strip(body: Any) -> Any:
    """An answer without what differs from one request to the next."""
    if isinstance(body, dict):
        passing = ("request_id", "prediction_id", "timing_ms", "timestamp", "processing_time_ms", "instance")
        return {name: strip(value) for name, value in body.items() if name not in passing}
    return [strip(one) for one in body] if isinstance(body, list) else body


def read(answer: httpx.Response) -> Any:
    """Status and body."""
    return answer.status_code, strip(answer.json())


def ask_all(url: str) -> list[Any]:
    """What a service says to a good picture, a bad one, both at once, and to whom nobody knows."""
    red, bad = paint_picture((250, 5, 5)), b"no picture"
    pictures = [("files", ("red.png", red, "image/png")), ("files", ("bad.png", bad, "image/png"))]
    return [
        read(httpx.get(f"{url}/readyz", timeout=60)),
        read(httpx.post(f"{url}/predict", files={"file": ("red.png", red)}, timeout=60)),
        read(httpx.post(f"{url}/predict", json={"image": base64.b64encode(red).decode(), "id": "mine"}, timeout=60)),
        read(httpx.post(f"{url}/predict", files={"file": ("bad.png", bad)}, timeout=60)),
        read(httpx.post(f"{url}/predict_batch", files=pictures, timeout=60)),
        read(httpx.get(f"{url}/nowhere", timeout=60)),
        read(httpx.get(f"{url}/openapi.json", timeout=60)),
    ]


@pytest.mark.slow
def test_replicas_answer_as_the_ordinary_service_and_keep_it_in_the_ledger(
    serve_app: Callable[..., str],
    start_service: Callable[..., Running],
    make_bundle: Callable[..., Path],
    tmp_path: Path,
) -> None:
    bundle = make_bundle()
    plain = start_service(bundle=bundle, ledger_url="none")
    url = serve_app(bundle=str(bundle), replicas="2", ledger_url=str(tmp_path / "ray.db"), log_requests=False)
    on_ray, here = ask_all(url), ask_all(plain.url)
    assert [status for status, _ in here] == [200, 200, 200, 415, 200, 404, 200]
    assert on_ray == here
    with open_ledger(tmp_path / "ray.db") as ledger:
        wait_until(lambda: len(list(ledger.predictions())) == 3 and len(list(ledger.failures())) == 2)
    assert httpx.get(f"{url}/", timeout=60).text == httpx.get(f"{plain.url}/", timeout=60).text


@pytest.fixture
def start_replica(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], Any]]:
    """``start_replica(**given)``: what Ray would call on the node of each replica of such a deployment."""
    from ray import serve

    builders: list[Callable[[], Any]] = []

    class Nothing:
        """In the place of what Ray makes of it."""

    def keep(builder: Callable[[], Any]) -> Callable[[], Any]:
        builders.append(builder)
        return lambda: Nothing

    monkeypatch.setattr(serve, "ingress", keep)

    def run(**given: Any) -> Callable[[], Any]:
        build(given)
        return builders[-1]

    return run


def test_each_replica_fetches_the_bundle_and_refuses_another_in_its_place(
    start_replica: Callable[..., Callable[[], Any]],
    make_bundle: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    bundle = make_bundle()
    address, fingerprint = f"file://{bundle}", open_bundle(bundle).fingerprint
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    make_app = start_replica(bundle=address, ledger_url="none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))  # another machine
    assert make_app().state.service.bundle.fingerprint == fingerprint
    assert (tmp_path / "node" / "vestiary" / "bundles" / fingerprint).is_dir()
    shutil.rmtree(bundle)
    shutil.copytree(make_bundle(tmp_path / "newer", version="2.0"), bundle)
    with pytest.raises(BundleError) as caught:
        make_app()
    assert str(caught.value) == (
        f"The bundle at {address} is not the one that this service was deployed with; deploy it again, so that all "
        "replicas answer by the same one."
    )


def test_rates_count_the_callers_behind_a_proxy_that_is_trusted(
    start_replica: Callable[..., Callable[[], Any]], make_bundle: Callable[..., Path]
) -> None:
    make_app = start_replica(
        bundle=str(make_bundle()), ledger_url="none", rate_per_minute=1, rate_burst=1, trusted_proxies="10.0.0.5"
    )

    async def ask(app: Any, proxy: str) -> list[int]:
        async with app.router.lifespan_context(app):
            # What Ray's proxies hand over: the address that asked them, and what it says of others.
            transport = httpx.ASGITransport(app, client=(proxy, 4000))
            async with httpx.AsyncClient(transport=transport, base_url="http://ray") as client:
                said = [{"X-Forwarded-For": f"203.0.113.{n}"} for n in range(2)]
                files = {"file": paint_picture((250, 5, 5))}
                return [(await client.post("/predict", files=files, headers=own)).status_code for own in said]

    assert asyncio.run(ask(make_app(), "10.0.0.5")) == [200, 200]
    assert asyncio.run(ask(make_app(), "10.0.0.6")) == [200, 429]


def test_a_bundle_that_cannot_be_had_is_told_before_anything_is_deployed(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=r"manifest.json is not at file://.*nowhere; check the address"):
        build({"bundle": f"file://{tmp_path / 'nowhere'}"})

    def refuse(*given: Any, **more: Any) -> None:
        raise PermissionError("denied")

    for name in ("info", "cat_file", "_open"):
        monkeypatch.setattr(fsspec.get_filesystem_class("memory"), name, refuse)
    with pytest.raises(UsageError, match=r"The store does not let memory://shop/tiny be read: no credentials were"):
        build({"bundle": "memory://shop/tiny"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replicas": "none"}, "replicas=none cannot be; give a number from 1, or auto."),
        ({"cores": 0}, "cores=0 cannot be; give a number from 1."),
        ({"port": "80"}, "port is up to Ray's proxies"),
        ({"pages": "true"}, "There are no pages on Ray, where each request may meet another replica; leave pages out"),
        ({"decide_on": "colour"}, "colour"),
        ({"colour": "red"}, "colour .* is no setting"),
    ],
)
def test_settings_that_cannot_be_are_told_before_anything_is_deployed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(given)
