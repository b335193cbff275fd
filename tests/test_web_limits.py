"""What the service refuses, cuts and times out, over real sockets: each test fails without its defence."""

from __future__ import annotations

import base64
import contextlib
import json
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from PIL import Image

from conftest import Running, encode_picture, wait_until

StartService = Callable[..., Running]


def open_connection(running: Running, seconds: float = 30) -> socket.socket:
    connection = socket.create_connection(running.address, timeout=seconds)
    connection.settimeout(seconds)
    return connection


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            break
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    return int(lines[0].split()[1]), headers, json.loads(body)


def read_memory() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


@contextlib.contextmanager
def held_up(running: Running) -> Iterator[threading.Event]:
    """While this lasts, no batch gets beyond the model until the event is set."""
    predictor = running.service.predictor
    go_on, answer = threading.Event(), predictor.answer

    def wait_and_answer(*args: Any, **options: Any) -> Any:
        go_on.wait(30)
        return answer(*args, **options)

    predictor.answer = wait_and_answer  # type: ignore[method-assign]
    try:
        yield go_on
    finally:
        go_on.set()
        del predictor.answer  # type: ignore[method-assign]


def test_a_body_over_the_limit_is_refused_by_its_head_alone(start_service: StartService) -> None:
    running = start_service(max_body_bytes=100_000)
    with open_connection(running) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
        status, _, problem = read_answer(connection)
    assert (status, problem["type"]) == (413, "urn:vestiary:problem:body-too-large")


def test_a_body_without_a_length_is_cut_at_the_limit_and_never_held(start_service: StartService) -> None:
    running = start_service(max_body_bytes=1_000_000)
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n"
    before = read_memory()
    with open_connection(running) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 200_000_000:
                connection.sendall(piece)
                sent += 65_536
        status, _, _ = read_answer(connection)
    assert status == 413
    assert read_memory() - before < 50_000_000
    wait_until(lambda: running.service.held.n_bytes == 0)


def test_all_bodies_together_have_a_limit(start_service: StartService, photo: bytes) -> None:
    running = start_service(max_body_bytes=200_000, max_held_bytes=100_000)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n"
    with open_connection(running) as one, open_connection(running) as other:
        one.sendall(head + bytes(60_000))
        wait_until(lambda: running.service.held.n_bytes == 60_000)
        other.sendall(head + bytes(60_000))
        status, headers, _ = read_answer(other)
        assert (status, headers["retry-after"]) == (503, "1")
    wait_until(lambda: running.service.held.n_bytes == 0)
    assert httpx.post(f"{running.url}/predict", files={"file": photo}).status_code == 200


def test_a_huge_header_is_refused_without_decoding(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    from test_web_bad_input import draw_huge_header

    decoded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: decoded.append(image.size) or load(image))
    with httpx.Client(base_url=service.url, timeout=30) as api:
        assert api.post("/predict", files={"file": draw_huge_header()}).status_code == 413
        assert not decoded
        assert api.post("/predict", files={"file": encode_picture(Image.new("RGB", (9, 9)))}).status_code == 200
        assert set(decoded) == {(9, 9)}


def test_a_head_that_does_not_come_is_not_waited_for(start_service: StartService) -> None:
    running = start_service(header_timeout_s=0.2)
    with open_connection(running) as silent, open_connection(running) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHo")
        for connection in (silent, slow):
            status, _, problem = read_answer(connection)
            assert (status, problem["type"]) == (408, "urn:vestiary:problem:slow-request")
            assert connection.recv(1) == b""


def test_a_second_head_on_a_connection_is_not_waited_for_either(start_service: StartService) -> None:
    running = start_service(header_timeout_s=1)
    with open_connection(running) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[0] == 200
        connection.sendall(b"GET /livez HTT")
        assert read_answer(connection)[0] == 408


def test_a_body_that_does_not_come_is_not_waited_for(start_service: StartService) -> None:
    running = start_service(body_timeout_s=0.2)
    with open_connection(running) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        status, _, problem = read_answer(connection)
        assert (status, problem["type"]) == (408, "urn:vestiary:problem:slow-request")
        assert connection.recv(1) == b""
    wait_until(lambda: running.service.in_flight == 0)


def test_a_connection_that_idles_is_closed(start_service: StartService) -> None:
    running = start_service(keep_alive_s=1)
    with open_connection(running) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[0] == 200
        assert connection.recv(1) == b""


def test_what_takes_long_is_not_done_on_the_event_loop(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestiary.web import answers, payloads

    places: dict[str, str] = {}
    take, describe = payloads.decode_base64, answers.describe_outcome

    def note(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            places[what] = threading.current_thread().name
            return work(*args)

        return run

    monkeypatch.setattr(payloads, "decode_base64", note("taken apart", take))
    monkeypatch.setattr(answers, "describe_outcome", note("put together", describe))
    running = start_service()
    predictor = running.service.predictor
    monkeypatch.setattr(predictor, "prepare", note("decoded", predictor.prepare))
    large = base64.b64encode(encode_picture(Image.effect_noise((700, 700), 90))).decode()
    answer = httpx.post(f"{running.url}/predict_batch", json={"images": [large]}, timeout=30)
    assert answer.json()["successful"] == 1
    assert set(places) == {"taken apart", "decoded", "put together"}
    assert all(place.startswith("vestiary") for place in places.values()), places


def test_what_is_no_http_is_400_in_the_same_form(service: Running) -> None:
    with open_connection(service) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00hello\r\n\r\n")
        status, headers, problem = read_answer(connection)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert problem["request_id"] == headers["x-request-id"]


def test_a_full_service_sheds_at_once_and_says_when_to_come_back(start_service: StartService, photo: bytes) -> None:
    running = start_service(max_in_flight=2, retry_after_s=7)
    with held_up(running) as go_on, ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(httpx.post, f"{running.url}/predict", files={"file": photo}) for _ in range(2)]
        wait_until(lambda: running.service.in_flight == 2)
        shed = httpx.post(f"{running.url}/predict", files={"file": photo})
        assert (shed.status_code, shed.headers["retry-after"]) == (503, "7")
        ready = httpx.get(f"{running.url}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "full")
        assert httpx.get(f"{running.url}/livez").status_code == 200
        go_on.set()
        assert [each.result().status_code for each in accepted] == [200, 200]
    assert httpx.get(f"{running.url}/readyz").status_code == 200


def encode_request(photo: bytes) -> bytes:
    """A whole POST /predict with a photo, as bytes for a socket."""
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + photo + b"\r\n--x--\r\n"
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_500_connections_at_once_are_all_answered_or_told_to_come_back(
    start_service: StartService, photo: bytes
) -> None:
    from vestiary.web.workers import _allow_files

    _allow_files(1_200)  # both ends of every connection are in this process
    running = start_service(max_in_flight=20, max_connections=300)
    request = encode_request(photo)
    with contextlib.ExitStack() as stack:
        go_on = stack.enter_context(held_up(running))
        connections = [stack.enter_context(open_connection(running)) for _ in range(500)]
        for connection in connections:
            with contextlib.suppress(OSError):  # refused already
                connection.sendall(request)
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                selector.register(connection, selectors.EVENT_READ)
            early: list[socket.socket] = []  # who is told while nobody can be answered yet
            wait_until(lambda: early.extend(collect(selector)) or len(early) >= 480)
        go_on.set()
        answers = {connection: read_answer(connection) for connection in connections}
    told = [answers[connection] for connection in early]
    assert [status for status, _, _ in told] == [503] * 480
    assert all(headers["retry-after"] == "1" for _, headers, _ in told)
    assert [status for status, _, _ in answers.values()].count(200) == 20
    wait_until(lambda: running.service.in_flight == 0)
    assert httpx.post(f"{running.url}/predict", files={"file": photo}).status_code == 200


def collect(selector: selectors.BaseSelector) -> list[socket.socket]:
    """Connections on which something has come, which are then no longer looked at."""
    ready = [cast(socket.socket, key.fileobj) for key, _ in selector.select(0.1)]
    for connection in ready:
        selector.unregister(connection)
    return ready


def test_a_stop_answers_what_was_taken_and_sends_all_others_away(start_service: StartService, photo: bytes) -> None:
    running = start_service()
    with held_up(running) as go_on, ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(httpx.post, f"{running.url}/predict", files={"file": photo}, timeout=30)
        wait_until(lambda: running.service.in_flight == 1)
        with open_connection(running) as idle:
            running.server.handle_exit(signal.SIGTERM, None)
            shed = httpx.post(f"{running.url}/predict", files={"file": photo})
            assert (shed.status_code, shed.headers["retry-after"]) == (503, "1")
            assert shed.json()["type"] == "urn:vestiary:problem:shutting-down"
            ready = httpx.get(f"{running.url}/readyz")
            assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
            go_on.set()
            assert accepted.result().status_code == 200
            wait_until(lambda: not running.server._listeners)
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_answer(idle)[0] == 200
    running.thread.join(30)
    assert not running.thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url)


def test_a_stop_needs_nothing_that_the_event_loop_of_windows_lacks(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("vestiary.web.server.sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(socket.socket, "accept", refuse)
    running = start_service()
    running.server.handle_exit(signal.SIGTERM, None)
    running.thread.join(30)
    assert not running.service.is_ready


def test_a_stop_waits_for_nobody_beyond_its_time(start_service: StartService) -> None:
    running = start_service(shutdown_s=300, body_timeout_s=300)
    with open_connection(running) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        wait_until(lambda: running.service.in_flight == 1)
        running.server.handle_exit(signal.SIGTERM, None)
        running.server._stop_at = time.monotonic()
        running.thread.join(60)
        assert not running.thread.is_alive()


def test_a_connection_too_many_is_told_to_come_back_before_it_asks(start_service: StartService) -> None:
    running = start_service(max_connections=2)
    with contextlib.ExitStack() as stack:
        open_ones = [stack.enter_context(open_connection(running)) for _ in range(2)]
        wait_until(lambda: len(running.server.server_state.connections) == 2)
        with open_connection(running) as excess:
            status, headers, _ = read_answer(excess)
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        open_ones[0].close()
        wait_until(lambda: len(running.server.server_state.connections) == 1)
        assert httpx.get(f"{running.url}/livez").status_code == 200


def test_what_is_refused_before_there_is_a_request_is_counted_and_logged(
    start_service: StartService, capfd: pytest.CaptureFixture[str]
) -> None:
    running = start_service(max_connections=2, header_timeout_s=0.2, log_requests=True)
    with open_connection(running) as slow, open_connection(running) as wrong:
        wait_until(lambda: len(running.server.server_state.connections) == 2)
        with open_connection(running) as excess:
            refused = [read_answer(excess)]
        wrong.sendall(b"no HTTP\r\n\r\n")
        refused += [read_answer(wrong), read_answer(slow)]
    assert [status for status, _, _ in refused] == [503, 400, 408]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = {line["request_id"]: line["status"] for line in lines if line["event"] == "refusal"}
    assert told == {problem["request_id"]: status for status, _, problem in refused}
    wait_until(lambda: not running.server.server_state.connections)
    figures = httpx.get(f"{running.url}/metrics").text
    for status in (400, 408, 503):
        assert f'vestiary_refused_connections_total{{status="{status}"}} 1.0' in figures
    assert 'route="no request"' not in figures


def test_a_browser_is_told_by_a_page_what_the_gate_refuses_and_a_program_by_a_problem(
    start_service: StartService, photo: bytes
) -> None:
    from vestiary.web.limits import hash_key

    running = start_service(api_keys={"shop": hash_key("1")}, rate_per_minute=1, rate_burst=1, max_in_flight=1)

    def upload(accept: str, key: str) -> httpx.Response:
        headers = {"Accept": accept, "X-API-Key": key}
        return httpx.post(f"{running.url}/uploader", files={"file": photo}, headers=headers)

    def check(status: int, title: str, key: str, header: str) -> None:
        page = upload("text/html,application/xhtml+xml,*/*;q=0.8", key)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert f"<h1>{title}</h1>" in page.text
        assert page.headers["x-request-id"] in page.text
        assert header in page.headers
        told = upload("*/*", key)
        assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")
        assert header in told.headers

    check(401, "An API key is needed", "wrong", "www-authenticate")
    running.service.in_flight = 1
    running.service.rates.take = lambda caller: 0  # type: ignore[method-assign]
    check(503, "The service is busy", "1", "retry-after")
    running.service.in_flight = 0
    running.service.rates.take = lambda caller: 7  # type: ignore[method-assign]
    check(429, "Too many requests", "1", "retry-after")
    page = httpx.get(f"{running.url}/uploader", headers={"Accept": "text/html", "X-API-Key": "1"})
    assert (page.status_code, "<h1>Method Not Allowed</h1>" in page.text) == (405, True)


def test_a_client_that_does_not_read_its_answers_is_cut(start_service: StartService) -> None:
    running = start_service(body_timeout_s=0.3, keep_alive_s=60)
    with open_connection(running) as connection:
        connection.setblocking(False)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                connection.send(request * 50)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
        wait_until(lambda: not running.server.server_state.connections)


def test_an_answer_that_takes_too_long_is_504_and_leaves_the_queue(start_service: StartService, photo: bytes) -> None:
    running = start_service(deadline_s=0.2, threads=1)
    with held_up(running):
        first = httpx.post(f"{running.url}/predict", files={"file": photo})
        second = httpx.post(f"{running.url}/predict", files={"file": photo})
        assert (first.status_code, second.status_code) == (504, 504)
        assert running.service.scheduler.waiting == 0
    wait_until(lambda: running.service.in_flight == 0)
    assert httpx.post(f"{running.url}/predict", files={"file": photo}, timeout=30).status_code in (200, 504)


def test_a_client_that_goes_away_frees_its_place(start_service: StartService, photo: bytes) -> None:
    running = start_service(threads=1, max_in_flight=3)
    with held_up(running) as go_on:
        connections = [open_connection(running) for _ in range(3)]
        for connection in connections:
            connection.sendall(encode_request(photo))
        wait_until(lambda: running.service.in_flight == 3)
        wait_until(lambda: running.service.scheduler.waiting == 2)
        for connection in connections:
            connection.close()
        wait_until(lambda: running.service.in_flight == 0)
        assert running.service.scheduler.waiting == 0
        go_on.set()
    answer = httpx.post(f"{running.url}/predict", files={"file": photo})
    assert answer.status_code == 200
    gone = 'vestiary_requests_total{route="/predict",status="499"} 3.0'
    assert gone in httpx.get(f"{running.url}/metrics").text


def test_answers_are_sent_without_waiting_for_more_to_send(service: Running) -> None:
    with httpx.Client(base_url=service.url) as api:
        api.get("/livez")
        [*connections] = service.server.server_state.connections
        assert connections
        for connection in connections:
            own = connection.transport.get_extra_info("socket")
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
