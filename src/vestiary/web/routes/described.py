"""What ``/openapi.json`` tells about requests, answers and errors, with an example of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vestiary.tags import Failure
from vestiary.web import errors
from vestiary.web.schemas import (
    BatchRequest,
    ExplainRequest,
    FeedbackRequest,
    InferRequest,
    PictureRequest,
    ProblemAnswer,
    SimilarRequest,
)

REQUEST_ID: Final = "6f1c0f4e8a7b4d0c9e55a1b2c3d4e5f6"
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAHElEQVR42mO4YONFEmIY1TCqYVTD"
    "qIZRDSNUAwCu7oAQ2H0tKwAAAABJRU5ErkJggg=="
)
"""A PNG of 16×16 pixels."""

_REF: Final = "#/components/schemas/{model}"
_PICTURES: Final = {
    "not-a-picture": "The file is not a picture we read; use JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF.",
    "damaged": "The picture is damaged or cut short and cannot be decoded; save or send it again.",
    "too-large": "The picture has 20000×20000 pixels, more than the 50,000,000 allowed; make it smaller.",
    "too-small": "The picture has only 2×2 pixels; at least 8×8 are needed.",
}
_PROBLEMS: Final = (
    errors.no_image("The form has no picture, or an empty file; put one into the field 'file' or 'image'."),
    errors.bad_request("The body is not valid JSON; mend it and send it again."),
    errors.unauthorized(),
    errors.not_found("The bundle has no such attribute; GET /classes lists what it has."),
    errors.fetching_is_off(),
    errors.address_refused(),
    errors.not_fetched("its server answered with the status 404"),
    errors.body_timeout(30),
    errors.body_too_large(20_000_000),
    errors.too_many_images(64),
    errors.wrong_content_type("multipart/form-data, or as application/json with base64"),
    *(errors.from_failure(Failure(code, message)) for code, message in _PICTURES.items()),
    errors.rate_exceeded(3),
    errors.to_problem(RuntimeError()),
    errors.overloaded(1),
    errors.shutting_down(1),
    errors.deadline_passed(10),
)
ASKING: Final = (400, 401, 408, 413, 415, 422, 429, 500, 503, 504)
"""Statuses of a route that takes pictures, beside 200."""


Responses = dict[int | str, dict[str, Any]]


def success(model: type[BaseModel], example: Any, **others: dict[str, Any]) -> Responses:
    """The answer of a route as JSON, and under ``others`` what other media types it can have."""
    content = {"application/json": {"example": example}} | others
    return {200: {"model": model, "description": model.__doc__, "content": content}}


def page(description: str, kind: str = "text/html", example: str | None = None) -> Responses:
    """The answer of a route that is text."""
    content: dict[str, Any] = {"schema": {"type": "string"}}
    return {200: {"description": description, "content": {kind: content | ({"example": example} if example else {})}}}


def problems(*statuses: int, own: Sequence[errors.Problem] = ()) -> Responses:
    """The errors of a route, each with an example of every problem that has this status: of its ``own``, if any do."""
    described: Responses = {}
    for status in statuses:
        told = [problem for problem in own if problem.status == status]
        told = told or [problem for problem in _PROBLEMS if problem.status == status]
        examples = {problem.code: {"value": problem.to_dict(REQUEST_ID)} for problem in told}
        schema = {"$ref": _REF.format(model=ProblemAnswer.__name__)}
        described[status] = {
            "description": "; ".join(problem.title for problem in told),
            "content": {errors.MEDIA_TYPE: {"schema": schema, "examples": examples}},
        }
        names = sorted({name for problem in told for name in problem.headers if name != "Connection"})
        if names:
            described[status]["headers"] = {name: {"schema": {"type": "string"}} for name in names}
    return described


def json_body(model: type[BaseModel], example: Any) -> dict[str, Any]:
    """A body that is JSON, as a media type of a request."""
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}, "example": example}}


def form_body(names: tuple[str, ...], options: type[BaseModel], *, several: bool = False) -> dict[str, Any]:
    """A multipart body with the picture in one of the fields ``names``, as a media type of a request."""
    picture: dict[str, Any] = {"type": "string", "format": "binary"}
    field = {"type": "array", "items": picture, "minItems": 1} if several else picture
    own = options.model_json_schema()
    texts = {name: schema for name, schema in own["properties"].items() if name not in names}
    chosen = {"required": [names[0], *own.get("required", [])]}
    schema = {"type": "object", "properties": {names[0]: field} | texts, **chosen}
    return {"multipart/form-data": {"schema": schema}}


def request_body(*contents: dict[str, Any]) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads its body itself."""
    merged = {kind: described for content in contents for kind, described in content.items()}
    return {"requestBody": {"required": True, "content": merged}}


def list_schemas() -> dict[str, Any]:
    """The schemas that are referred to here and that FastAPI does not see in the signatures of the routes."""
    models = (
        BatchRequest,
        ExplainRequest,
        FeedbackRequest,
        InferRequest,
        PictureRequest,
        ProblemAnswer,
        SimilarRequest,
    )
    _, described = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return dict(described["$defs"])


MODEL: Final = {"name": "default", "version": "1.0", "fingerprint": "9c2f…"}
_TAG: Final = {
    "value": "Tshirts",
    "confidence": 0.92,
    "accepted": True,
    "candidates": ["Tshirts", "Tops"],
    "top_k": [{"value": "Tshirts", "confidence": 0.92}, {"value": "Tops", "confidence": 0.05}],
}
_FACTS: Final = {
    "predictions": {"articleType": "Tshirts"},
    "confidences": {"articleType": 0.92},
    "attributes": {"articleType": _TAG},
    "decision": "auto",
    "unfamiliar": {"score": 0.1, "flag": False},
    "category": "Tshirts",
    "confidence": 0.92,
    "note": None,
    "image": {"width": 1080, "height": 1440, "sha256": "2c26b46b68ffc68f…"},
    "timing_ms": {"decode": 4.1, "queue": 0.8, "infer": 3.2},
}
TIME: Final = "2026-01-01T12:00:00.000+00:00"
ANSWER: Final = {
    "status": "success",
    "request_id": REQUEST_ID,
    "id": "shirt.jpg",
    **_FACTS,
    "all_probabilities": {"Tshirts": 0.92, "Tops": 0.05, "Shirts": 0.03},
    "model": MODEL,
    "timestamp": TIME,
}
BATCH: Final = {
    "status": "success",
    "request_id": REQUEST_ID,
    "results": [
        {"status": "success", "filename": "shirt.jpg", "id": "shirt.jpg", **_FACTS},
        {
            "status": "error",
            "filename": "notes.txt",
            "id": "notes.txt",
            "error": _PICTURES["not-a-picture"],
            "problem": errors.from_failure(Failure("not-a-picture", _PICTURES["not-a-picture"])).to_dict(REQUEST_ID),
        },
    ],
    "total_processed": 2,
    "successful": 1,
    "failed": 1,
    "model": MODEL,
    "timestamp": TIME,
}
