"""The Open Inference Protocol as its clients speak it: JSON tensors, the binary extension, versions."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from conftest import Running

MODEL = "/v2/models/default"


@pytest.fixture(scope="module")
def api(service: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def alone(api: httpx.Client, photo: bytes) -> dict[str, Any]:
    """What /predict says of the photo."""
    return dict(api.post("/predict", files={"file": photo}).json())


def in_json(pictures: Sequence[bytes], shape: Sequence[int] | None = None, **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(picture).decode() for picture in pictures]
    tensor = {"name": "image", "datatype": "BYTES", "shape": list(shape or [len(data)]), "data": data}
    return {"inputs": [tensor]} | more


def in_binary(pictures: Sequence[bytes], **more: Any) -> tuple[dict[str, Any], bytes]:
    binary = b"".join(struct.pack("<I", len(picture)) + picture for picture in pictures)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(pictures)]}
    return {"inputs": [tensor | {"parameters": {"binary_data_size": len(binary)}}]} | more, binary


def send(
    api: httpx.Client, asked: Mapping[str, Any], binary: bytes, length: str | None = None, path: str = f"{MODEL}/infer"
) -> httpx.Response:
    head = json.dumps(asked).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)) if length is None else length,
    }
    return api.post(path, content=head + binary, headers=headers)


def read_outputs(answer: httpx.Response) -> dict[str, list[Any]]:
    """Every output by name, wherever it is in the answer, as a client of the extension reads it."""
    length = answer.headers.get("inference-header-content-length")
    head = answer.content if length is None else answer.content[: int(length)]
    behind = b"" if length is None else answer.content[int(length) :]
    found: dict[str, list[Any]] = {}
    for output in json.loads(head)["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = output["data"]
            continue
        own, behind = behind[:size], behind[size:]
        if output["datatype"] == "FP32":
            found[output["name"]] = np.frombuffer(own, "<f4").tolist()
        else:
            found[output["name"]] = []
            while own:
                (n,) = struct.unpack("<I", own[:4])
                found[output["name"]].append(own[4 : 4 + n].decode())
                own = own[4 + n :]
    assert not behind
    return found


def check_outputs(found: Mapping[str, list[Any]], alone: Mapping[str, Any], n: int) -> None:
    for name, value in alone["predictions"].items():
        assert found[name] == [value] * n
        assert found[f"{name}.confidence"] == pytest.approx([alone["confidences"][name]] * n, abs=1e-4)


def test_the_server_and_its_model_describe_themselves(api: httpx.Client, service: Running) -> None:
    server = api.get("/v2").json()
    assert (server["name"], server["extensions"]) == ("vestiary", ["binary_tensor_data"])
    assert api.get("/v2/health/live").json() == {"live": True}
    assert api.get("/v2/health/ready").json() == {"ready": True}
    version = service.service.bundle.version
    for path in (MODEL, f"{MODEL}/versions/{version}"):
        model = api.get(path).json()
        assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
        assert model["versions"] == [version]
        assert api.get(f"{path}/ready").json() == {"name": "default", "ready": True}


def test_another_model_or_version_is_not_found(api: httpx.Client, photo: bytes) -> None:
    for path in ("/v2/models/other", f"{MODEL}/versions/99"):
        assert api.get(path).status_code == 404
        assert api.get(f"{path}/ready").status_code == 404
        assert api.post(f"{path}/infer", json=in_json([photo])).status_code == 404


def test_pictures_in_json_are_answered_for_each_attribute(
    api: httpx.Client, alone: dict[str, Any], photo: bytes, service: Running
) -> None:
    outputs = [output["name"] for output in api.get(MODEL).json()["outputs"]]
    for path in (MODEL, f"{MODEL}/versions/{service.service.bundle.version}"):
        for shape in ([2], [2, 1]):
            answer = api.post(f"{path}/infer", json=in_json([photo] * 2, shape, id="r-1"))
            told = answer.json()
            assert (told["id"], told["model_name"]) == ("r-1", "default")
            assert told["model_version"] == service.service.bundle.version
            assert [output["name"] for output in told["outputs"]] == outputs
            check_outputs(read_outputs(answer), alone, 2)


def test_pictures_behind_the_json_are_answered_alike(api: httpx.Client, alone: dict[str, Any], photo: bytes) -> None:
    answer = send(api, *in_binary([photo] * 3))
    assert answer.headers["content-type"] == "application/json"
    check_outputs(read_outputs(answer), alone, 3)


def test_outputs_come_behind_the_json_when_asked_for(api: httpx.Client, alone: dict[str, Any], photo: bytes) -> None:
    answer = send(api, *in_binary([photo], parameters={"binary_data_output": True}))
    assert answer.headers["content-type"] == "application/octet-stream"
    check_outputs(read_outputs(answer), alone, 1)
    check_outputs(read_outputs(api.post(f"{MODEL}/infer", json=in_json([photo]))), alone, 1)


def test_only_the_outputs_that_are_named_come_each_as_it_was_asked_for(
    api: httpx.Client, alone: dict[str, Any], photo: bytes
) -> None:
    wanted = [{"name": "season", "parameters": {"binary_data": True}}, {"name": "gender.confidence"}]
    answer = api.post(f"{MODEL}/infer", json=in_json([photo], outputs=wanted))
    head = json.loads(answer.content[: int(answer.headers["inference-header-content-length"])])
    assert [("data" in output) for output in head["outputs"]] == [False, True]
    found = read_outputs(answer)
    assert list(found) == ["season", "gender.confidence"]
    assert found["season"] == [alone["predictions"]["season"]]
    refused = api.post(f"{MODEL}/infer", json=in_json([photo], outputs=[{"name": "fabric"}]))
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:vestiary:problem:bad-request")


def test_requests_by_version_count_like_the_others(start_service: Callable[..., Running], photo: bytes) -> None:
    running = start_service()
    path = f"/v2/models/default/versions/{running.service.bundle.version}/infer"
    with httpx.Client(base_url=running.url) as api:
        assert api.post(path, json=in_json([photo])).status_code == 200
        assert api.get("/stats").json()["total_requests"] == 1


@pytest.mark.parametrize("length", ["", "-1", "x", "1.5", "²", "999999999", "9" * 30, "0", "7"])
def test_a_length_of_the_json_that_is_none_is_400(api: httpx.Client, photo: bytes, length: str) -> None:
    head = json.dumps(in_json([photo])).encode()
    headers = [(b"content-type", b"application/octet-stream"), (b"inference-header-content-length", length.encode())]
    answer = api.post(f"{MODEL}/infer", content=head, headers=headers)
    assert answer.status_code == 400, answer.text


def test_bytes_that_are_no_tensor_are_400(api: httpx.Client, photo: bytes) -> None:
    asked, binary = in_binary([photo])
    for body in (binary + b"x", binary[:-1], b"", struct.pack("<I", len(photo) + 9) + photo):
        answer = send(api, asked, body)
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:vestiary:problem:bad-request")
    lying, cut = in_binary([photo, b"x"])
    for end in (-1, -2, -4):
        lying["inputs"][0]["parameters"]["binary_data_size"] = len(cut[:end])
        assert send(api, lying, cut[:end]).status_code == 400
    assert send(api, in_json([photo]), b"more").status_code == 400
    assert api.post(f"{MODEL}/infer", json=asked).status_code == 400
    assert api.post(f"{MODEL}/infer", json=in_json([], [0])).json()["type"] == "urn:vestiary:problem:no-image"


def test_behind_the_json_too_the_number_of_pictures_is_limited(api: httpx.Client, service: Running) -> None:
    most = service.service.settings.max_images
    answer = send(api, *in_binary([b"x"] * (most + 1)))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:vestiary:problem:too-many-images")


def test_bytes_without_the_length_of_their_json_are_another_content_type(api: httpx.Client, photo: bytes) -> None:
    answer = api.post(f"{MODEL}/infer", content=photo, headers={"Content-Type": "application/octet-stream"})
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:vestiary:problem:wrong-content-type")
