"""``/v2``: the Open Inference Protocol (KServe v2, REST), with the picture as a BYTES tensor."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from vestiary import __version__
from vestiary.web import answers, errors
from vestiary.web.batching import Outcome
from vestiary.web.payloads import decode_base64, read_json
from vestiary.web.routes import described
from vestiary.web.routes.health import find_status
from vestiary.web.schemas import (
    InferAnswer,
    InferRequest,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from vestiary.web.service import Service

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_IMAGE = {"name": "image", "datatype": "BYTES", "shape": [-1]}
_ASKED = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [described.PIXEL]}]}
_OUTPUTS = [
    {"name": "season", "datatype": "BYTES", "shape": [1], "data": ["Summer"]},
    {"name": "season.confidence", "datatype": "FP32", "shape": [1], "data": [0.81]},
]
_METADATA = {
    "name": "default",
    "versions": ["1.0"],
    "platform": "onnxruntime_onnx",
    "inputs": [_IMAGE],
    "outputs": [{"name": "season", "datatype": "BYTES", "shape": [-1]}],
}


@router.get(
    "",
    summary="Server metadata",
    responses=described.success(ServerMetadata, {"name": "vestiary", "version": __version__, "extensions": []})
    | described.problems(401),
)
async def server_metadata() -> Response:
    """Name and version of the server."""
    return answers.render_json({"name": "vestiary", "version": __version__, "extensions": []})


@router.get("/health/live", summary="Server live", responses=described.success(ServerLive, {"live": True}))
async def live() -> Response:
    """The process answers."""
    return answers.render_json({"live": True})


@router.get(
    "/health/ready",
    summary="Server ready",
    responses=described.success(ServerReady, {"ready": True})
    | {503: {"model": ServerReady, "content": {"application/json": {"example": {"ready": False}}}}},
)
async def ready(request: Request) -> Response:
    """200 when a request would be taken now, 503 otherwise."""
    is_ready = find_status(request.app.state.service) == "ready"
    return answers.render_json({"ready": is_ready}, status=200 if is_ready else 503)


@router.get(
    "/models/{name}",
    summary="Model metadata",
    responses=described.success(ModelMetadata, _METADATA) | described.problems(401, 404),
)
async def model_metadata(request: Request, name: str) -> Response:
    """The picture goes in as BYTES; for each attribute its value and its confidence come out."""
    service = _find_model(request, name)
    outputs = [
        entry
        for attribute in service.bundle.taxonomy.names
        for entry in (
            {"name": attribute, "datatype": "BYTES", "shape": [-1]},
            {"name": f"{attribute}.confidence", "datatype": "FP32", "shape": [-1]},
        )
    ]
    bundle = service.bundle
    return answers.render_json(
        {
            "name": bundle.name,
            "versions": [bundle.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_IMAGE],
            "outputs": outputs,
        }
    )


@router.get(
    "/models/{name}/ready",
    summary="Model ready",
    responses=described.success(ModelReady, {"name": "default", "ready": True})
    | described.problems(401, 404)
    | {
        503: {
            "model": ModelReady,
            "content": {"application/json": {"example": {"name": "default", "ready": False}}},
        }
    },
)
async def model_ready(request: Request, name: str) -> Response:
    """200 when a request would be taken now, 503 otherwise."""
    service = _find_model(request, name)
    is_ready = find_status(service) == "ready"
    return answers.render_json({"name": service.bundle.name, "ready": is_ready}, status=200 if is_ready else 503)


@router.post(
    "/models/{name}/infer",
    summary="Tags of one or several pictures",
    responses=described.success(
        InferAnswer,
        {"model_name": "default", "model_version": "1.0", "id": described.REQUEST_ID, "outputs": _OUTPUTS},
    )
    | described.problems(*described.ASKING, 404),
    openapi_extra=described.request_body(described.json_body(InferRequest, _ASKED)),
)
async def infer(request: Request, name: str) -> Response:
    """Pictures as base64 in one BYTES tensor `image` of shape [n] or [n, 1]; one that cannot be read refuses all."""
    service = _find_model(request, name)
    kind = request.headers.get("content-type", "")
    most = service.settings.max_images
    asked, pictures = await service.receive(request, lambda body: _read(body, kind, most))
    outcomes = await service.answer(request, [(str(number), data) for number, data in enumerate(pictures)])
    for outcome in outcomes:
        if outcome.prediction.failure:
            raise errors.from_failure(outcome.prediction.failure)
    return answers.render_json(
        {
            "model_name": service.bundle.name,
            "model_version": service.bundle.version,
            "id": asked.id or request.state.request_id,
            "outputs": _describe_outputs(service, outcomes),
        }
    )


def _find_model(request: Request, name: str) -> Service:
    service: Service = request.app.state.service
    if name != service.bundle.name:
        raise errors.not_found("There is no model of this name; GET /info tells the name of the one that is served.")
    return service


def _read(body: bytes | bytearray, kind: str, most: int) -> tuple[InferRequest, list[bytes]]:
    asked = read_json(InferRequest, body, kind)
    [tensor] = asked.inputs
    size = 1
    for length in tensor.shape:
        size *= length
    if size != len(tensor.data) or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
        raise errors.bad_request("The shape of 'image' must be [n] or [n, 1], with n the number of its elements.")
    if size > most:
        raise errors.too_many_images(size, most)
    return asked, [decode_base64(text) for text in tensor.data]


def _describe_outputs(service: Service, outcomes: list[Outcome]) -> list[dict[str, Any]]:
    shape = [len(outcomes)]
    outputs: list[dict[str, Any]] = []
    for place, name in enumerate(service.bundle.taxonomy.names):
        tags = [outcome.prediction.tags[place] for outcome in outcomes]
        scores = [round(tag.confidence, 6) for tag in tags]
        outputs += [
            {"name": name, "datatype": "BYTES", "shape": shape, "data": [tag.value for tag in tags]},
            {"name": f"{name}.confidence", "datatype": "FP32", "shape": shape, "data": scores},
        ]
    return outputs
