"""``/explain``: where in the picture the model saw a value."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from vestiary.errors import UsageError
from vestiary.predictor.heatmap import Explained, draw_over, explain
from vestiary.tags import Failure
from vestiary.web import answers, errors
from vestiary.web.payloads import read_upload
from vestiary.web.routes import described
from vestiary.web.schemas import ExplainOptions, ExplainRequest, Explanation
from vestiary.web.service import Service

router = APIRouter(tags=["prediction"])

_EXAMPLE = {
    "status": "success",
    "request_id": described.REQUEST_ID,
    "attribute": "articleType",
    "value": "Tshirts",
    "confidence": 0.92,
    "grid": [[0.0, 0.4], [0.7, 1.0]],
    "box": [0.0, 0.0, 1.0, 1.0],
    "model": described.MODEL,
}
_ASKED = {"image": described.PIXEL, "attribute": "articleType"}


@router.post(
    "/explain",
    summary="Where in the picture a value was seen",
    responses=described.success(
        Explanation, _EXAMPLE, **{"image/png": {"schema": {"type": "string", "format": "binary"}}}
    )
    | described.problems(*described.ASKING, 404),
    openapi_extra=described.request_body(
        described.form_body(("file", "image"), ExplainOptions), described.json_body(ExplainRequest, _ASKED)
    ),
)
async def explain_picture(request: Request) -> Response:
    """A PNG of the photo with a heat map over it; with `Accept: application/json` the numbers.

    `value` is the predicted one when it is left out.
    """
    service: Service = request.app.state.service
    request_id: str = request.state.request_id
    kind = request.headers.get("content-type", "")
    sent, asked = await service.receive(
        request, lambda body: read_upload(body, kind, form=ExplainOptions, json=ExplainRequest)
    )
    attribute = _check_asked(service, asked)
    upload = await service.fetch(request, sent)
    as_json = "application/json" in request.headers.get("accept", "")

    def work() -> tuple[Explained | Failure, bytes]:
        found = explain(service.predictor, upload.data, attribute, asked.value)
        if as_json or isinstance(found, Failure):
            return found, b""
        return found, draw_over(found, upload.data, service.predictor.limits)

    try:
        found, drawn = await service.paint(request, work)
    except UsageError:
        raise errors.not_found(f"The model has no maps for {attribute}; ask for another attribute.") from None
    service.tally.count_picture(success=isinstance(found, Explained))
    if isinstance(found, Failure):
        raise errors.from_failure(found)
    if not as_json:
        return Response(drawn, media_type="image/png")
    return answers.render_json(
        {
            "status": "success",
            "request_id": request_id,
            "attribute": attribute,
            "value": found.value,
            "confidence": found.confidence,
            "grid": found.grid.round(4).tolist(),
            "box": [round(edge, 4) for edge in found.box],
            "model": answers.describe_model(service.bundle),
        }
    )


def _check_asked(service: Service, asked: ExplainOptions) -> str:
    """The attribute that is asked for. Raises Problem 404 when the bundle lacks it or its value."""
    taxonomy = service.bundle.taxonomy
    if asked.attribute not in taxonomy.names:
        raise errors.not_found("The bundle has no such attribute; GET /classes lists what it has.")
    if asked.value is not None and asked.value not in taxonomy[asked.attribute].values:
        raise errors.not_found(f"{asked.attribute} has no such value; GET /classes lists those it has.")
    return asked.attribute
