"""``/similar``: the products of a catalogue that look most like a photo."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from vestiary.similar import find_similar
from vestiary.web import answers, errors
from vestiary.web.payloads import read_upload
from vestiary.web.routes import described
from vestiary.web.routes.prediction import name_picture
from vestiary.web.schemas import SimilarAnswer, SimilarOptions, SimilarRequest
from vestiary.web.service import Service

router = APIRouter(tags=["prediction"])

_EXAMPLE: Final = {
    "status": "success",
    "request_id": described.REQUEST_ID,
    "id": "shirt.jpg",
    "neighbours": [
        {"product_id": "15970", "distance": 0.021, "labels": {"articleType": "Shirts", "baseColour": "Navy Blue"}},
        {"product_id": "39386", "distance": 0.034, "labels": {"articleType": "Shirts", "baseColour": "Blue"}},
    ],
    "index": {"products": 39721, "catalogue": "b0393568…"},
    "model": described.MODEL,
    "timestamp": described.TIME,
}
_ASKED: Final = {"image": described.PIXEL, "top_k": 2, "exclude_same": True}
_NO_INDEX: Final = "This service has no index of similar products; ask its operator to set VESTIARY_INDEX."


@router.post(
    "/similar",
    summary="The products most like one picture",
    responses=described.success(SimilarAnswer, _EXAMPLE)
    | described.problems(*described.ASKING)
    | described.problems(404, own=(errors.not_found(_NO_INDEX),)),
    openapi_extra=described.request_body(
        described.form_body(("file", "image"), SimilarOptions), described.json_body(SimilarRequest, _ASKED)
    ),
)
async def find_neighbours(request: Request) -> Response:
    """The picture as in /predict; the products of the service's index, nearest first, each with its labels.

    `distance` is 0 for the same picture and at most 2. `exclude_same` leaves out products that have this very picture,
    to the last pixel, `exclude` the product of that id.
    """
    service: Service = request.app.state.service
    kind = request.headers.get("content-type", "")
    sent, asked = await service.receive(
        request, lambda body: read_upload(body, kind, form=SimilarOptions, json=SimilarRequest)
    )
    index = service.index
    if index is None:
        raise errors.not_found(_NO_INDEX)
    upload = await service.fetch(request, sent)
    name = name_picture(upload, asked.id, request.state.request_id)
    exclude = () if asked.exclude is None else (asked.exclude,)
    [found] = await service.paint(
        request,
        lambda: find_similar(
            index,
            service.predictor,
            [(name, upload.data)],
            top_k=asked.top_k,
            exclude=exclude,
            exclude_same=asked.exclude_same,
        ),
    )
    service.tally.count_picture(success=found.failure is None)
    if found.failure:
        raise errors.from_failure(found.failure)
    return answers.render_json(
        {
            "status": "success",
            "request_id": request.state.request_id,
            "id": name,
            "neighbours": [neighbour.to_dict() for neighbour in found.neighbours],
            "index": {"products": index.n_products, "catalogue": index.catalogue},
            "model": answers.describe_model(service.bundle),
            "timestamp": answers.timestamp(),
        }
    )
