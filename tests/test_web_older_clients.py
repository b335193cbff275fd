"""Clients written for older services, as they are in the wild: their exact requests, and the exact keys they read."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from conftest import Running, encode_picture, paint_picture


def post_form(url: str, field: str, pictures: list[tuple[str, bytes]]) -> tuple[int, bytes]:
    """A form as browsers and older libraries encode it, through the standard library."""
    body = b""
    for filename, data in pictures:
        head = f'Content-Disposition: form-data; name="{field}"; filename="{filename}"\r\nContent-Type: image/jpeg'
        body += b"------Boundary7MA4YWxk\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"
    body += b"------Boundary7MA4YWxk--\r\n"
    kind = "multipart/form-data; boundary=----Boundary7MA4YWxk"
    return send(urllib.request.Request(url, body, {"Content-Type": kind}))


def post_json(url: str, content: Any) -> tuple[int, bytes]:
    return send(urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"}))


def send(request: str | urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.request.HTTPError as error:
        with error:
            return error.code, error.read()


class TestFourAttributes:
    """The Flask service with `image` fields and `predictions` and `confidences` by attribute."""

    def test_health(self, service: Running) -> None:
        status, body = send(f"{service.url}/health")
        assert status == 200
        assert json.loads(body)["status"] == "healthy"
        assert json.loads(body)["model_loaded"] is True

    def test_predict_with_the_field_image(self, service: Running, photo: bytes) -> None:
        status, body = post_form(f"{service.url}/predict", "image", [("dress.jpg", photo)])
        answer = json.loads(body)
        assert (status, answer["status"]) == (200, "success")
        for attribute in ("baseColour", "articleType", "season", "gender"):
            assert isinstance(answer["predictions"][attribute], str)
            assert 0 <= answer["confidences"][attribute] <= 1

    @pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
    def test_predict_base64(self, service: Running, photo: bytes, prefix: str) -> None:
        image = prefix + base64.b64encode(photo).decode()
        status, body = post_json(f"{service.url}/predict_base64", {"image": image})
        assert (status, json.loads(body)["status"]) == (200, "success")
        _, by_form = post_form(f"{service.url}/predict", "image", [("dress.jpg", photo)])
        assert json.loads(body)["predictions"] == json.loads(by_form)["predictions"]

    def test_a_missing_field_is_400_with_error(self, service: Running, photo: bytes) -> None:
        for status, body in (
            post_form(f"{service.url}/predict", "picture", [("dress.jpg", photo)]),
            post_json(f"{service.url}/predict_base64", {"picture": "x"}),
        ):
            assert status == 400
            assert isinstance(json.loads(body)["error"], str)


class TestUploadPage:
    """The page that takes `file` at /uploader and shows picture, label or NA, percentage and the top three."""

    def test_the_form_leads_to_the_uploader(self, service: Running) -> None:
        request = urllib.request.Request(service.url, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        status, body = send(request)
        page = body.decode()
        assert status == 200
        assert re.search(r'<form action="/uploader" method="post" enctype="multipart/form-data">', page)
        assert re.search(r'<input[^>]* type="file" name="file"', page)

    def test_a_sure_answer_is_named_with_its_percentage_and_the_top_three(
        self, start_service: Callable[..., Running], photo: bytes
    ) -> None:
        running = start_service(uploader_min_confidence=0.0)
        answer = httpx.post(f"{running.url}/predict", files={"file": photo}, data={"top_k": "3"}).json()
        status, body = post_form(f"{running.url}/uploader", "file", [("dress.jpg", photo)])
        page = body.decode()
        assert status == 200
        assert f'<p class="label">{answer["category"]}</p>' in page
        assert f"{100 * answer['confidence']:.1f} %" in page
        for entry in answer["attributes"]["articleType"]["top_k"]:
            assert f"<td>{entry['value']}</td>" in page
        shown = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)
        assert shown is not None
        assert base64.b64decode(shown[1]).startswith(b"\xff\xd8")

    def test_an_unsure_answer_is_na(self, start_service: Callable[..., Running]) -> None:
        running = start_service(uploader_min_confidence=1.0)
        grey = encode_picture(Image.new("RGB", (60, 80), (127, 127, 127)), "JPEG")
        _, body = post_form(f"{running.url}/uploader", "file", [("grey.jpg", grey)])
        assert '<p class="label">NA</p>' in body.decode()

    def test_a_photo_unlike_all_others_is_told_apart_from_an_unsure_answer(
        self, start_service: Callable[..., Running], make_bundle: Callable[..., object]
    ) -> None:
        pytest.importorskip("onnx", reason="the extra 'train' is not installed")
        from vestiary.calibration import Familiarity

        axes = np.eye(3, dtype=np.float16)
        reddish = Familiarity("baseColour", 1.0, np.zeros(3, np.float16), axes, axes[:1], 0.1, 0.02)
        running = start_service(bundle=make_bundle(familiarity=reddish))
        pages = [
            post_form(f"{running.url}/uploader", "file", [("a.png", paint_picture(colour))])[1].decode()
            for colour in ((255, 0, 0), (0, 0, 255))
        ]
        assert ["unlike those that the model has learnt from" in page for page in pages] == [False, True]
        assert "not sure enough" not in "".join(pages)


class TestTenClasses:
    """The service with `category` and `all_probabilities`, batches and counters."""

    def test_front(self, service: Running) -> None:
        answer = json.loads(send(service.url)[1])
        assert {"service", "version", "status", "model", "endpoints"} <= set(answer)

    def test_health_and_classes(self, service: Running) -> None:
        health = json.loads(send(f"{service.url}/health")[1])
        assert {"status", "model_loaded", "classes", "timestamp"} <= set(health)
        classes = json.loads(send(f"{service.url}/classes")[1])
        assert classes["total"] == len(classes["classes"]) == health["classes"]

    def test_predict_by_form_and_by_json(self, service: Running, photo: bytes) -> None:
        by_form = json.loads(post_form(f"{service.url}/predict", "file", [("a.jpg", photo)])[1])
        image = base64.b64encode(photo).decode()
        by_json = json.loads(post_json(f"{service.url}/predict", {"image": image})[1])
        for answer in (by_form, by_json):
            assert {"category", "confidence", "all_probabilities", "timestamp"} <= set(answer)
            scores = list(answer["all_probabilities"].values())
            assert scores == sorted(scores, reverse=True)
            assert max(answer["all_probabilities"], key=answer["all_probabilities"].get) == answer["category"]
        assert by_form["category"] == by_json["category"]

    def test_predict_batch_by_form_and_by_json(self, service: Running, photo: bytes) -> None:
        by_form = json.loads(
            post_form(f"{service.url}/predict_batch", "files", [("a.jpg", photo), ("b.jpg", b"broken")])[1]
        )
        assert by_form["total_processed"] == 2
        assert "timestamp" in by_form
        good, bad = by_form["results"]
        assert good["filename"] == "a.jpg"
        assert isinstance(good["category"], str)
        assert 0 <= good["confidence"] <= 1
        assert (bad["filename"], bad["status"]) == ("b.jpg", "error")
        image = base64.b64encode(photo).decode()
        by_json = json.loads(post_json(f"{service.url}/predict_batch", {"images": [image, image]})[1])
        assert [item["category"] for item in by_json["results"]] == [good["category"]] * 2

    def test_stats(self, service: Running) -> None:
        stats = json.loads(send(f"{service.url}/stats")[1])
        assert {
            "uptime_seconds",
            "uptime_human",
            "total_requests",
            "total_images_processed",
            "successful_predictions",
            "failed_predictions",
            "success_rate",
            "model_loaded",
            "timestamp",
        } <= set(stats)

    def test_the_category_is_the_only_attribute_of_a_bundle_with_one(
        self, start_service: Callable[..., Running], make_bundle: Callable[..., object], photo: bytes
    ) -> None:
        pytest.importorskip("onnx", reason="the extra 'train' is not installed")
        from vestiary.taxonomy import Attribute, Taxonomy

        taxonomy = Taxonomy((Attribute("kind", ("Bright", "Dark")),))
        rule = {"kind": ((5.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))}
        running = start_service(bundle=make_bundle(taxonomy=taxonomy, rule=rule))
        answer = httpx.post(f"{running.url}/predict", files={"file": photo}).json()
        assert answer["category"] == answer["predictions"]["kind"]
        assert set(answer["all_probabilities"]) == {"Bright", "Dark"}
        assert httpx.get(f"{running.url}/classes").json()["classes"] == ["Bright", "Dark"]
