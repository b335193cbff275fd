"""``/v2``: the Open Inference Protocol (KServe v2, REST), with the picture as a BYTES tensor."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from vestiary import __version__
from vestiary.web import answers, errors
from vestiary.web.batching import Outcome
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
from vestiary.web.tensors import BINARY, LENGTH_HEADER, Output, read_tensor, render_tensors

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

EXTENSIONS: Final = ["binary_tensor_data"]
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
_DESCRIBED_METADATA = described.success(ModelMetadata, _METADATA) | described.problems(401, 404)
_DESCRIBED_READY = (
    described.success(ModelReady, {"name": "default", "ready": True})
    | described.problems(401, 404)
    | {
        503: {
            "model": ModelReady,
            "content": {"application/json": {"example": {"name": "default", "ready": False}}},
        }
    }
)
_FILE = {"schema": {"type": "string", "format": "binary"}}
_DESCRIBED_ANSWER = described.success(
    InferAnswer,
    {"model_name": "default", "model_version": "1.0", "id": described.REQUEST_ID, "outputs": _OUTPUTS},
    **{BINARY: _FILE},
) | described.problems(*described.ASKING, 404)
_DESCRIBED_REQUEST = described.request_body(described.json_body(InferRequest, _ASKED), {BINARY: _FILE}) | {
    "parameters": [
        {
            "name": LENGTH_HEADER,
            "in": "header",
            "schema": {"type": "integer", "minimum": 0},
            "description": "Bytes of the JSON, when tensors follow behind it.",
        }
    ]
}


@router.get(
    "",
    summary="Server metadata",
    responses=described.success(ServerMetadata, {"name": "vestiary", "version": __version__, "extensions": EXTENSIONS})
    | described.problems(401),
)
async def server_metadata() -> Response:
    """Name and version of the server."""
    return answers.render_json({"name": "vestiary", "version": __version__, "extensions": EXTENSIONS})


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


@router.get("/models/{name}", summary="Model metadata", responses=_DESCRIBED_METADATA)
async def model_metadata(request: Request, name: str) -> Response:
    """The picture goes in as BYTES; for each attribute its value and its confidence come out."""
    return _tell_metadata(_find_model(request, name))


@router.get("/models/{name}/versions/{version}", summary="Metadata of a version", responses=_DESCRIBED_METADATA)
async def version_metadata(request: Request, name: str, version: str) -> Response:
    """The same for the version that is served, which is the bundle's."""
    return _tell_metadata(_find_model(request, name, version))


@router.get("/models/{name}/ready", summary="Model ready", responses=_DESCRIBED_READY)
async def model_ready(request: Request, name: str) -> Response:
    """200 when a request would be taken now, 503 otherwise."""
    return _tell_ready(_find_model(request, name))


@router.get("/models/{name}/versions/{version}/ready", summary="Version ready", responses=_DESCRIBED_READY)
async def version_ready(request: Request, name: str, version: str) -> Response:
    """The same for the version that is served."""
    return _tell_ready(_find_model(request, name, version))


@router.post(
    "/models/{name}/infer",
    summary="Tags of one or several pictures",
    responses=_DESCRIBED_ANSWER,
    openapi_extra=_DESCRIBED_REQUEST,
)
async def infer(request: Request, name: str) -> Response:
    """Pictures in one BYTES tensor `image` of shape [n] or [n, 1]; one that cannot be read refuses all.

    In JSON each is base64; behind the JSON, by the binary tensor extension, each is the file as it is.
    """
    return await _infer(request, _find_model(request, name))


@router.post(
    "/models/{name}/versions/{version}/infer",
    summary="Tags of one or several pictures by a version",
    responses=_DESCRIBED_ANSWER,
    openapi_extra=_DESCRIBED_REQUEST,
)
async def infer_by_version(request: Request, name: str, version: str) -> Response:
    """The same for the version that is served."""
    return await _infer(request, _find_model(request, name, version))


def _find_model(request: Request, name: str, version: str | None = None) -> Service:
    service: Service = request.app.state.service
    if name != service.bundle.name:
        raise errors.not_found("There is no model of this name; GET /info tells the name of the one that is served.")
    if version not in (None, service.bundle.version):
        raise errors.not_found("There is no such version of the model; GET /info tells the one that is served.")
    return service


def _tell_metadata(service: Service) -> Response:
    bundle = service.bundle
    outputs = [
        entry
        for attribute in bundle.taxonomy.names
        for entry in (
            {"name": attribute, "datatype": "BYTES", "shape": [-1]},
            {"name": f"{attribute}.confidence", "datatype": "FP32", "shape": [-1]},
        )
    ]
    return answers.render_json(
        {
            "name": bundle.name,
            "versions": [bundle.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_IMAGE],
            "outputs": outputs,
        }
    )


def _tell_ready(service: Service) -> Response:
    is_ready = find_status(service) == "ready"
    return answers.render_json({"name": service.bundle.name, "ready": is_ready}, status=200 if is_ready else 503)


async def _infer(request: Request, service: Service) -> Response:
    kind, length = request.headers.get("content-type", ""), request.headers.get(LENGTH_HEADER)
    most = service.settings.max_images
    asked, pictures = await service.receive(request, lambda body: read_tensor(body, kind, length, max_images=most))
    if not pictures:
        raise errors.no_image("The tensor 'image' has no elements; put a picture into each.")
    outcomes = await service.answer(request, [(str(number), data) for number, data in enumerate(pictures)])
    for outcome in outcomes:
        if outcome.prediction.failure:
            raise errors.from_failure(outcome.prediction.failure)
    return render_tensors(
        asked,
        _list_outputs(service, outcomes),
        model_name=service.bundle.name,
        model_version=service.bundle.version,
        id=asked.id or request.state.request_id,
    )


def _list_outputs(service: Service, outcomes: list[Outcome]) -> list[Output]:
    outputs: list[Output] = []
    for place, name in enumerate(service.bundle.taxonomy.names):
        tags = [outcome.prediction.tags[place] for outcome in outcomes]
        outputs.append((name, [tag.value for tag in tags]))
        outputs.append((f"{name}.confidence", [tag.confidence for tag in tags]))
    return outputs
