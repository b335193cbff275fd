"""What the parser of HTTP leaves open and the service closes, over real sockets."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Callable

import httpx
import pytest

from conftest import Running, wait_until
from test_web_limits import held_up, open_connection, read_answer

ALIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def ask(running: Running, data: bytes) -> int:
    """The status of the first answer to these bytes."""
    with open_connection(running) as connection:
        connection.sendall(data)
        return read_answer(connection)[0]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET /liv\xe9z HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
        b"GET /livez HTTP/3.7\r\nHost: x\r\n\r\n",
    ],
)
def test_a_head_that_http_does_not_allow_is_400(service: Running, head: bytes) -> None:
    assert ask(service, head) == 400


def test_what_older_and_newer_clients_send_is_answered(service: Running) -> None:
    assert ask(service, b"GET /livez HTTP/1.0\r\n\r\n") == 200
    assert ask(service, b"GET http://x/livez HTTP/1.1\r\nHost: x\r\n\r\n") == 200


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ", b"x" * 4096),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"X-Many: x\r\n" * 100),
        (b"GET /", b"x" * 4096),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 4096),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Late: x\r\n" * 100),
    ],
    ids=["a line", "lines", "an address", "a chunk's length", "lines after a body"],
)
def test_a_head_without_an_end_is_cut(service: Running, head: bytes, piece: bytes) -> None:
    before = service.service.tally.refusals().get(400, 0)
    with open_connection(service) as connection, contextlib.suppress(OSError):
        connection.sendall(head + piece * (1_000_000 // len(piece)))
        wait_until(lambda: service.service.tally.refusals().get(400, 0) == before + 1)
    wait_until(lambda: service.service.in_flight == 0)


def test_a_body_in_small_pieces_is_whole(service: Running, photo: bytes) -> None:
    def cut() -> list[bytes]:
        head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        whole = head + photo + b"\r\n--cut--\r\n"
        return [whole[at : at + 7] for at in range(0, len(whole), 7)]

    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    whole = httpx.post(f"{service.url}/predict", files={"file": ("a.jpg", photo)}).json()
    answer = httpx.post(f"{service.url}/predict", content=iter(cut()), headers=headers)
    assert answer.json()["image"] == whole["image"]


def test_lines_after_a_body_are_not_those_of_the_next_request(service: Running) -> None:
    with open_connection(service) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"0\r\nX-Request-ID: smuggled\r\n\r\n")
        assert read_answer(connection)[0] == 400  # an empty body
        connection.sendall(ALIVE)
        assert read_answer(connection)[1]["x-request-id"] != "smuggled"


def test_requests_sent_ahead_are_answered_in_their_order_and_only_so_many(
    start_service: Callable[..., Running], photo: bytes
) -> None:
    running = start_service()
    request = httpx.Request("POST", f"{running.url}/predict", files={"file": photo})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    first = f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + request.read()
    with held_up(running) as go_on, open_connection(running) as patient, open_connection(running) as greedy:
        patient.sendall(first + ALIVE * 3)
        wait_until(lambda: running.service.in_flight == 1)
        greedy.sendall(first + ALIVE * 1_000)
        assert read_answer(greedy)[0] == 503
        wait_until(lambda: running.service.in_flight == 1)
        go_on.set()
        found = b""
        while found.count(b"HTTP/1.1 200") < 4 and (piece := patient.recv(65_536)):
            found += piece
    assert found.index(b"articleType") < found.index(b"alive")


def test_what_is_no_http_behind_a_request_ends_it(start_service: Callable[..., Running], photo: bytes) -> None:
    running = start_service()
    request = httpx.Request("POST", f"{running.url}/predict", files={"file": photo})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with held_up(running), open_connection(running) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + request.read())
        wait_until(lambda: running.service.in_flight == 1)
        connection.sendall(b"no HTTP\r\n\r\n")
        assert read_answer(connection)[0] == 400
        wait_until(lambda: running.service.in_flight == 0)


def write_upgrade(body: bytes, *, chunked: bool = False, protocol: bytes = b"h2c") -> tuple[bytes, bytes]:
    """Head and body of a request for a prediction that would rather speak another protocol, as Java's client sends."""
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol
    head += b"\r\nHTTP2-Settings: AAMAAABk\r\nContent-Type: application/json\r\n" + length + b"\r\n\r\n"
    return head, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_a_request_that_would_rather_speak_another_protocol_keeps_its_body(
    start_service: Callable[..., Running], photo: bytes, protocol: bytes, chunked: bool, apart: bool
) -> None:
    running = start_service()
    picture = json.dumps({"image": base64.b64encode(photo).decode()}).encode()
    head, body = write_upgrade(picture, chunked=chunked, protocol=protocol)
    with open_connection(running) as connection:
        connection.sendall(head if apart else head + body)
        if apart:
            wait_until(lambda: running.service.in_flight == 1)
            connection.sendall(body)
        assert read_answer(connection)[0] == 200
        connection.sendall(ALIVE)
        assert read_answer(connection)[0] == 200


def test_a_body_is_no_request_however_it_begins(service: Running) -> None:
    head, body = write_upgrade(ALIVE)
    with open_connection(service) as connection:
        connection.sendall(head + body)
        assert read_answer(connection)[0] == 400  # it is no JSON
        connection.sendall(head)
        connection.sendall(body)
        assert read_answer(connection)[0] == 400
        connection.sendall(b"GET /classes HTTP/1.1\r\nHost: x\r\n\r\n")
        assert "classes" in read_answer(connection)[2]


def test_requests_that_would_rather_speak_another_protocol_may_be_sent_ahead(service: Running) -> None:
    head, body = write_upgrade(b"{}")
    with open_connection(service) as connection:
        connection.sendall((head + body) * 3 + ALIVE)
        found = b""
        while b"alive" not in found and (piece := connection.recv(65_536)):
            found += piece
    assert found.count(b"HTTP/1.1 400") == 3
    assert b"HTTP/1.1 200" in found
    assert ask(service, (head + body) * 1_000) == 503


@pytest.mark.parametrize("length", [b"0" * 5_000 + b"2", b"2"])
def test_the_digits_of_a_length_may_be_many(service: Running, length: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    assert ask(service, head + length + b"\r\n\r\n{}") == 400


def test_a_client_that_leaves_its_last_answer_unread_is_cut(start_service: Callable[..., Running]) -> None:
    running = start_service(body_timeout_s=0.5, keep_alive_s=600)
    for listener in running.server._listeners:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    connections = running.server.server_state.connections
    with socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
        idle.connect(running.address)
        ask = b"GET /classes HTTP/1.1\r\nHost: x\r\n"
        idle.sendall((ask + b"\r\n") * 9 + ask + b"Connection: close\r\n\r\n")
        wait_until(lambda: any(each.transport.get_write_buffer_size() for each in connections))
        wait_until(lambda: not connections)
