"""Every route as a client sees it: requests over a real socket to a running service."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

import vestiary
from conftest import Running, encode_picture, paint_picture
from vestiary.bundle import Int8


@pytest.fixture(scope="module")
def api(service: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_an_answer_is_that_of_the_predictor_with_every_documented_key(api: httpx.Client, photo: bytes) -> None:
    answer = api.post("/predict", files={"file": ("dress.jpg", photo)}, headers={"X-Request-ID": "mine-1"}).json()
    [expected] = vestiary.Predictor().predict([photo])
    assert answer["predictions"] == {tag.attribute: tag.value for tag in expected.tags}
    for tag in expected.tags:
        assert answer["confidences"][tag.attribute] == pytest.approx(tag.confidence, abs=1e-4)
        assert answer["attributes"][tag.attribute]["accepted"] == tag.accepted
        assert answer["attributes"][tag.attribute]["candidates"] == list(tag.candidates)
    if expected.unfamiliar is None:
        assert answer["unfamiliar"] is None
    else:
        assert answer["unfamiliar"]["score"] == pytest.approx(expected.unfamiliar.score, abs=1e-4)
        assert answer["unfamiliar"]["flag"] == expected.unfamiliar.flag
    assert answer["decision"] == ("auto" if expected.accepted else "review")
    assert answer["status"] == "success"
    assert (answer["id"], answer["request_id"]) == ("dress.jpg", "mine-1")
    assert answer["image"] == {"width": 300, "height": 400, "sha256": hashlib.sha256(photo).hexdigest()}
    assert answer["model"]["fingerprint"] == expected.bundle
    assert set(answer["timing_ms"]) == {"decode", "queue", "infer"}
    assert all(value >= 0 for value in answer["timing_ms"].values())


def test_all_probabilities_are_every_value_of_the_category_in_descending_order(
    api: httpx.Client, photo: bytes, service: Running
) -> None:
    answer = api.post("/predict", files={"image": photo}).json()
    scores = list(answer["all_probabilities"].values())
    assert scores == sorted(scores, reverse=True)
    assert set(answer["all_probabilities"]) == set(service.service.bundle.taxonomy["articleType"].values)
    assert next(iter(answer["all_probabilities"].items())) == (answer["category"], answer["confidence"])
    assert answer["category"] == answer["predictions"]["articleType"]


@pytest.mark.parametrize(
    "encode",
    [
        as_base64,
        lambda data: "data:image/jpeg;base64," + as_base64(data),
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
        lambda data: base64.encodebytes(data).decode(),
    ],
    ids=["base64", "data URL", "URL-safe without padding", "with line breaks"],
)
@pytest.mark.parametrize("route", ["/predict", "/predict_base64"])
def test_json_takes_every_usual_form_of_base64(
    api: httpx.Client, photo: bytes, route: str, encode: Callable[[bytes], str]
) -> None:
    answer = api.post(route, json={"image": encode(photo), "id": "sku-7", "top_k": 2}).json()
    assert answer["image"]["sha256"] == hashlib.sha256(photo).hexdigest()
    assert answer["id"] == "sku-7"
    assert all(len(entry["top_k"]) == 2 for entry in answer["attributes"].values())


def test_min_confidence_sends_more_to_review_and_never_less(api: httpx.Client, photo: bytes) -> None:
    lax = api.post("/predict", files={"file": photo}, data={"min_confidence": "0"}).json()
    strict = api.post("/predict", files={"file": photo}, data={"min_confidence": "1"}).json()
    assert any(entry["accepted"] for entry in lax["attributes"].values())
    assert strict["decision"] == "review"
    assert not any(entry["accepted"] for entry in strict["attributes"].values())
    assert strict["predictions"] == lax["predictions"]


MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"),
    "BMP": ("1", "L", "P", "RGB"),
    "AVIF": ("RGB", "RGBA"),
}


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name, modes in MODES.items() for mode in modes])
def test_every_format_that_is_promised_is_answered(api: httpx.Client, name: str, mode: str) -> None:
    picture = encode_picture(Image.new("RGB", (24, 32), (200, 30, 30)).convert("RGBA").convert(mode), name)
    answer = api.post("/predict", files={"file": picture})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["image"]["width"], answer.json()["image"]["height"]) == (24, 32)


def test_a_service_is_ready_only_after_the_model_has_answered(
    start_service: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestiary.errors import BundleError
    from vestiary.tags import Failure, Prediction

    predict, asked = vestiary.Predictor.predict, []
    monkeypatch.setattr(vestiary.Predictor, "predict", lambda own, *args: asked.append(args) or predict(own, *args))
    assert start_service().service.tally.counter("successes") == 0
    assert len(asked) == 1
    failed = [Prediction("", "", failure=Failure("damaged", "x"))]
    monkeypatch.setattr(vestiary.Predictor, "predict", lambda own, *args: failed)
    with pytest.raises(BundleError, match="does not answer a plain picture"):
        start_service()


def test_a_batch_keeps_the_order_and_tells_each_picture_its_own_fate(api: httpx.Client, photo: bytes) -> None:
    red = paint_picture((200, 0, 0))
    files = [("files", ("a.jpg", photo)), ("files", ("b.txt", b"no picture")), ("files", ("c.png", red))]
    answer = api.post("/predict_batch", files=files)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [item["filename"] for item in results] == ["a.jpg", "b.txt", "c.png"]
    assert [item["status"] for item in results] == ["success", "error", "success"]
    assert results[0]["image"]["sha256"] == hashlib.sha256(photo).hexdigest()
    assert results[1]["problem"]["status"] == 415
    assert results[2]["image"] == {"width": 12, "height": 16, "sha256": hashlib.sha256(red).hexdigest()}
    assert (answer.json()["total_processed"], answer.json()["successful"], answer.json()["failed"]) == (3, 2, 1)


def test_a_json_batch_takes_texts_and_objects_and_survives_one_bad_text(api: httpx.Client, photo: bytes) -> None:
    images = [as_base64(photo), {"image": as_base64(photo), "id": "sku-2"}, "!!"]
    results = api.post("/predict_batch", json={"images": images}).json()["results"]
    assert [item["id"] for item in results] == ["0", "sku-2", "2"]
    assert [item["status"] for item in results] == ["success", "success", "error"]
    assert results[0]["predictions"] == results[1]["predictions"]
    assert results[2]["problem"]["status"] == 400


def test_a_batch_answers_what_single_requests_answer(api: httpx.Client, photo: bytes) -> None:
    pictures = [photo, *(paint_picture(colour) for colour in ((250, 0, 0), (0, 0, 250), (10, 200, 10), (9, 9, 9)))] * 4
    batch = api.post("/predict_batch", files=[("files", picture) for picture in pictures]).json()["results"]
    for picture, item in zip(pictures[:5], batch[:5], strict=True):
        alone = api.post("/predict", files={"file": picture}).json()
        assert item["predictions"] == alone["predictions"]
        for name, score in alone["confidences"].items():
            assert item["confidences"][name] == pytest.approx(score, abs=1e-4)


def test_a_rotated_photo_is_told_by_its_upright_size_and_an_animation_by_a_note(api: httpx.Client) -> None:
    image = Image.new("RGB", (30, 20), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = api.post("/predict", files={"file": encode_picture(image, "JPEG", exif=exif)}).json()
    assert (turned["image"]["width"], turned["image"]["height"]) == (20, 30)
    frames = [Image.new("RGB", (20, 20), (shade, 0, 0)) for shade in (10, 200)]
    animated = encode_picture(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert "2 frames" in api.post("/predict", files={"file": animated}).json()["note"]


def test_the_front_is_a_page_for_browsers_and_a_summary_for_programs(api: httpx.Client) -> None:
    page = api.get("/", headers={"Accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert 'action="/uploader"' in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    summary = api.get("/").json()
    assert summary["status"] == "running"
    assert set(summary) == {"service", "version", "status", "model", "endpoints"}
    for entry in summary["endpoints"]:
        method, path = entry.split()
        assert api.request(method, path).status_code in ((200,) if method == "GET" else (400,)), entry


def test_classes_and_info_tell_the_bundle(api: httpx.Client, service: Running) -> None:
    taxonomy = service.service.bundle.taxonomy
    classes = api.get("/classes").json()
    assert classes["classes"] == list(taxonomy["articleType"].values)
    assert classes["total"] == len(classes["classes"])
    assert list(classes["attributes"]) == list(taxonomy.names)
    info = api.get("/info").json()
    assert info["model"]["fingerprint"] == service.service.bundle.fingerprint
    assert info["category"] == "articleType"
    assert info["attributes"]["gender"]["n_values"] == len(taxonomy["gender"].values)
    figures = info["attributes"]["gender"]["validation"]
    assert figures["accuracy"] == service.service.bundle.scores["validation"]["gender"]["accuracy"]
    assert all(isinstance(figure, (int, float)) for figure in figures.values())
    assert info["limits"]["max_body_bytes"] == service.service.settings.max_body_bytes


def test_stats_and_metrics_count_what_was_sent(start_service: Callable[..., Running], photo: bytes) -> None:
    running = start_service()
    with httpx.Client(base_url=running.url) as api:
        for _ in range(3):
            assert api.post("/predict", files={"file": photo}).status_code == 200
        assert api.post("/predict", files={"file": b"no picture"}).status_code == 415
        assert api.post("/predict_batch", files=[("files", photo)] * 4).status_code == 200
        stats, metrics = api.get("/stats").json(), api.get("/metrics").text.splitlines()
    assert stats["total_requests"] == 5
    assert (stats["total_images_processed"], stats["successful_predictions"], stats["failed_predictions"]) == (8, 7, 1)
    assert stats["success_rate"] == 0.875
    assert stats["model_loaded"] is True
    assert 'vestiary_requests_total{route="/predict",status="200"} 3.0' in metrics
    assert 'vestiary_requests_total{route="/predict",status="415"} 1.0' in metrics
    assert 'vestiary_pictures_total{outcome="success"} 7.0' in metrics
    assert 'vestiary_stage_seconds_count{stage="decode"} 8.0' in metrics
    assert 'vestiary_workers{state="ready"} 1.0' in metrics


def test_two_services_in_one_process_share_nothing(start_service: Callable[..., Running], photo: bytes) -> None:
    one, other = start_service(max_pixels=100), start_service()
    assert httpx.post(f"{one.url}/predict", files={"file": photo}).status_code == 413
    assert httpx.post(f"{other.url}/predict", files={"file": photo}).status_code == 200
    assert httpx.get(f"{one.url}/stats").json()["failed_predictions"] == 1
    assert httpx.get(f"{other.url}/stats").json()["failed_predictions"] == 0


def test_an_explanation_is_a_picture_over_the_photo_or_its_numbers(api: httpx.Client, photo: bytes) -> None:
    asked = {"attribute": "articleType"}
    drawn = api.post("/explain", files={"file": photo}, data=asked)
    assert drawn.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(drawn.content)).size == (300, 400)
    told = api.post("/explain", files={"file": photo}, data=asked, headers={"Accept": "application/json"}).json()
    grid = np.array(told["grid"])
    assert (grid.min(), grid.max()) == (0, 1)
    assert told["value"] == api.post("/predict", files={"file": photo}).json()["predictions"]["articleType"]
    other = api.post(
        "/explain",
        json={"image": as_base64(photo), "attribute": "articleType", "value": "Watches"},
        headers={"Accept": "application/json"},
    ).json()
    assert other["value"] == "Watches"
    assert other["confidence"] < told["confidence"]
    assert other["grid"] != told["grid"]


def test_a_heat_map_is_bright_where_the_model_looks(
    start_service: Callable[..., Running], make_bundle: Callable[..., object]
) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    image = Image.new("RGB", (24, 32), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 24, 16))
    running = start_service(bundle=make_bundle())
    picture = encode_picture(image)
    asked = {"attribute": "baseColour", "value": "Red"}
    send = {"files": {"file": picture}, "data": asked}
    told = httpx.post(f"{running.url}/explain", headers={"Accept": "application/json"}, **send).json()
    grid = np.array(told["grid"])
    assert grid[: len(grid) // 3].min() > 0.9
    assert grid[-len(grid) // 3 :].max() < 0.1
    heat = np.asarray(Image.open(io.BytesIO(httpx.post(f"{running.url}/explain", **send).content)), dtype=float)
    assert heat[:8].mean() > heat[-8:].mean() + 40


def test_a_model_without_maps_says_so(
    start_service: Callable[..., Running],
    make_bundle: Callable[..., object],
    make_model: Callable[..., bytes],
    photo: bytes,
) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    model = onnx.load_from_string(make_model())
    kept = [output for output in model.graph.output if not output.name.endswith(".map")]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    running = start_service(bundle=make_bundle(model=model.SerializeToString()))
    answer = httpx.post(f"{running.url}/explain", files={"file": photo}, data={"attribute": "season"})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:vestiary:problem:not-found")
    assert "no maps for season" in answer.json()["detail"]


def test_the_precision_that_is_set_answers(
    start_service: Callable[..., Running], make_bundle: Callable[..., object], make_model: Callable[..., bytes]
) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    swapped = {
        "baseColour": ((0.0, 8.0, 0.0, 0.0), (8.0, 0.0, 0.0, 0.0), (0.0, 0.0, 8.0, 0.0)),
        "season": ((6.0, 6.0, 0.0, 0.0), (0.0, 0.0, 6.0, 0.0)),
    }
    scores = {"validation": {"season": {"accuracy": 0.5}}}
    bundle = make_bundle(int8=Int8(make_model(swapped), scores, {}))
    for precision, expected, accuracy in (("fp32", "Red", 1.0), ("int8", "Green", 0.5)):
        running = start_service(bundle=bundle, precision=precision)
        answer = httpx.post(f"{running.url}/predict", files={"file": paint_picture((255, 0, 0))}).json()
        assert answer["predictions"]["baseColour"] == expected
        info = httpx.get(f"{running.url}/info").json()
        assert info["precision"] == precision
        assert info["attributes"]["season"]["validation"]["accuracy"] == accuracy


@pytest.mark.parametrize("asked", [{"attribute": "fabric"}, {"attribute": "gender", "value": "Nobody"}])
def test_explaining_what_the_bundle_does_not_know_is_not_found(
    api: httpx.Client, photo: bytes, asked: dict[str, str]
) -> None:
    answer = api.post("/explain", files={"file": photo}, data=asked)
    assert answer.status_code == 404
    assert "/classes" in answer.json()["detail"]


def test_health_routes_of_a_ready_service(api: httpx.Client) -> None:
    assert api.get("/livez").json() == {"status": "alive"}
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "workers": {"wanted": 1, "ready": 1}})
    assert api.get("/health").json()["status"] == "healthy"


def test_the_documentation_names_every_route_and_loads_nothing_from_outside(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    page = api.get("/docs").text
    for path, methods in document["paths"].items():
        assert f"{next(iter(methods)).upper()} {path}" in page
    assert "://" not in page.replace("http://127.0.0.1:8000/predict", "")
    assert "<script" not in page
    assert "<link" not in page


def test_a_form_promises_only_fields_that_change_the_answer(api: httpx.Client) -> None:
    fields = {
        path: set(methods["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"])
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        if "multipart/form-data" in methods.get("post", {}).get("requestBody", {}).get("content", {})
    }
    assert fields == {
        "/predict": {"file", "id", "top_k", "min_confidence"},
        "/predict_batch": {"files", "top_k", "min_confidence"},
        "/explain": {"file", "attribute", "value"},
        "/similar": {"file", "id", "top_k", "exclude_same", "exclude"},
        "/uploader": {"file", "id"},
    }


def test_every_route_has_an_example_of_its_answer_and_of_every_error(api: httpx.Client) -> None:
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        for method, route in methods.items():
            for status, answer in route["responses"].items():
                for kind, media in answer["content"].items():
                    if kind in ("application/json", "application/problem+json"):
                        assert "example" in media or media["examples"], f"{method} {path} {status} {kind}"
            if method == "post":
                assert {"200", "400", "401", "413", "415", "422", "429", "503", "504"} <= set(route["responses"]), path
                assert all("schema" in media for media in route["requestBody"]["content"].values())
