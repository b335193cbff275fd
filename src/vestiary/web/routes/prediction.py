"""``/predict``, ``/predict_base64`` and ``/predict_batch``: pictures in, tags out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vestiary.web import answers, errors
from vestiary.web.batching import Outcome
from vestiary.web.payloads import Upload, read_upload, read_uploads
from vestiary.web.routes import described
from vestiary.web.schemas import Answer, BatchAnswer, BatchRequest, Options, PictureOptions, PictureRequest
from vestiary.web.service import Service


class PlainRoute(APIRoute):
    """A route whose function takes the request and gives the response: nothing is looked up or kept open for it."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **described: Any) -> None:
        super().__init__(path, endpoint, **described)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = answer


router = APIRouter(tags=["prediction"], route_class=PlainRoute)

_JSON = described.json_body(PictureRequest, {"image": described.PIXEL, "id": "shirt-17", "top_k": 3})


@router.post(
    "/predict",
    summary="Tags of one picture",
    responses=described.success(Answer, described.ANSWER) | described.problems(*described.ASKING),
    openapi_extra=described.request_body(described.form_body(("file", "image"), PictureOptions), _JSON),
)
async def predict(request: Request) -> Response:
    """One picture in the form field `file` or `image`, or as base64 or a data URL in the `image` of a JSON body."""
    return await _predict(request)


@router.post(
    "/predict_base64",
    summary="Tags of one picture sent as JSON",
    responses=described.success(Answer, described.ANSWER) | described.problems(*described.ASKING),
    openapi_extra=described.request_body(_JSON),
)
async def predict_base64(request: Request) -> Response:
    """The same as /predict under the name that older clients know."""
    return await _predict(request)


@router.post(
    "/predict_batch",
    summary="Tags of several pictures",
    responses=described.success(BatchAnswer, described.BATCH) | described.problems(*described.ASKING),
    openapi_extra=described.request_body(
        described.form_body(("files",), Options, several=True),
        described.json_body(BatchRequest, {"images": [described.PIXEL, {"image": described.PIXEL, "id": "shirt-17"}]}),
    ),
)
async def predict_batch(request: Request) -> Response:
    """Several pictures, as repeated form fields `files` or as the list `images` of a JSON body.

    The answers are in the pictures' order, each with a status of its own: one that cannot be read spoils no other.
    """
    service: Service = request.app.state.service
    kind, most = request.headers.get("content-type", ""), service.settings.max_images
    entries, asked = await service.receive(request, lambda body: read_uploads(body, kind, max_images=most))
    uploads, names = await service.fetch_all(request, [upload for upload, _ in entries]), [name for _, name in entries]
    told = list(zip(uploads, names, strict=True))
    good = [
        (name_picture(upload, given, str(number)), upload.data)
        for number, (upload, given) in enumerate(told)
        if isinstance(upload, Upload)
    ]
    outcomes = await service.answer(request, good, asked.top_k)
    return await service.off_loop(lambda: _render_batch(service, told, asked, outcomes, request.state.request_id))


async def _predict(request: Request) -> Response:
    service: Service = request.app.state.service
    request_id: str = request.state.request_id
    kind = request.headers.get("content-type", "")
    sent, asked = await service.receive(
        request, lambda body: read_upload(body, kind, form=PictureOptions, json=PictureRequest)
    )
    upload = await service.fetch(request, sent)
    name = name_picture(upload, asked.id, request_id)
    [outcome] = await service.answer(request, [(name, upload.data)], asked.top_k)
    if outcome.prediction.failure:
        raise errors.from_failure(outcome.prediction.failure)
    return answers.render_json(answers.describe_alone(outcome, asked, service.bundle, request_id))


def name_picture(upload: Upload | errors.Problem, given: str | None, otherwise: str) -> str:
    """What an answer is called: the id that was given, else the file's name, else ``otherwise``."""
    filename = upload.filename if isinstance(upload, Upload) else None
    return given or filename or otherwise


def _render_batch(
    service: Service,
    entries: Sequence[tuple[Upload | errors.Problem, str | None]],
    asked: Options,
    outcomes: Sequence[Outcome],
    request_id: str,
) -> Response:
    answered = iter(outcomes)
    results: list[dict[str, Any]] = []
    for number, (upload, given) in enumerate(entries):
        filename = upload.filename if isinstance(upload, Upload) else None
        name = name_picture(upload, given, str(number))
        told: Outcome | errors.Problem = next(answered) if isinstance(upload, Upload) else upload
        if isinstance(told, Outcome) and told.prediction.failure:
            told = errors.from_failure(told.prediction.failure)
        if isinstance(told, Outcome):
            facts = answers.describe_outcome(told, asked, service.bundle)
            results.append({"status": "success", "filename": filename, **facts})
        else:
            results.append(answers.describe_failed(told, name, filename, request_id))
    failed = sum(item["status"] == "error" for item in results)
    return answers.render_json(
        {
            "status": "success",
            "request_id": request_id,
            "results": results,
            "total_processed": len(results),
            "successful": len(results) - failed,
            "failed": failed,
            "model": answers.describe_model(service.bundle),
            "timestamp": answers.timestamp(),
        }
    )
