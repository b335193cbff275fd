"""What a person with a browser sees: upload form, result, list of routes. No script, and nothing from outside."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import jinja2
from fastapi import APIRouter, Request
from PIL import Image
from starlette.responses import Response

from vestiary import __version__
from vestiary.images import Limits, read_picture
from vestiary.web import answers, errors
from vestiary.web.batching import Outcome
from vestiary.web.payloads import Upload, read_upload
from vestiary.web.routes import described
from vestiary.web.routes.health import find_status
from vestiary.web.routes.prediction import name_picture
from vestiary.web.schemas import Named, PictureRequest, Summary
from vestiary.web.service import Service
from vestiary.web.visitors import ENTRANCE

router = APIRouter(tags=["pages"])

PAGES: Final = frozenset({"/", "/uploader", "/docs", ENTRANCE})
"""The addresses that browsers are sent to; what goes wrong there is told by a page too."""
THUMBNAIL: Final = 420
"""Pixels of the longer side of the picture on a result page."""
POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_SHOWN: Final = 3
_BANDS: Final = ((0.8, "high"), (0.6, "middle"), (0.0, "low"))

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("vestiary.web"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FORMATS: Final = "image/jpeg,image/png,image/webp,image/gif,image/tiff,image/bmp,image/avif"
_HTML: Final = {"text/html": {"schema": {"type": "string"}}}
_ENDPOINTS: Final = {
    "POST /predict": "tags of one picture",
    "POST /predict_base64": "the same for a picture sent as JSON",
    "POST /predict_batch": "tags of several pictures",
    "POST /explain": "where in the picture a value was seen",
    "POST /similar": "the products of a catalogue most like one picture",
    "POST /uploader": "tags of one picture as a page",
    "POST /feedback": "a verdict on an earlier answer",
    "GET /classes": "values of every attribute",
    "GET /info": "the bundle and the limits",
    "GET /stats": "counts since the start",
    "GET /metrics": "counts for Prometheus",
    "GET /health": "summary; /livez and /readyz for load balancers",
    "GET /v2": "Open Inference Protocol",
    "GET /docs": "all of these with examples",
}


@router.get(
    "/",
    summary="The upload page, or a summary as JSON",
    responses=described.success(
        Summary,
        {
            "service": "vestiary",
            "version": __version__,
            "status": "running",
            "model": "default 1.0",
            "endpoints": {"POST /predict": "tags of one picture"},
        },
        **_HTML,
    ),
)
async def front(request: Request) -> Response:
    """HTML for a client that accepts it, JSON for any other."""
    service: Service = request.app.state.service
    if "text/html" in request.headers.get("accept", ""):
        titles = [title.lower() for title in service.bundle.taxonomy.titles.values()]
        return render_page(
            "upload.html.j2",
            bundle=service.bundle,
            limits=service.settings,
            titles=titles,
            formats=_FORMATS,
            keeps_photos=service.keeps_photos,
        )
    status = {"ready": "running", "full": "running"}.get(find_status(service), find_status(service))
    model = f"{service.bundle.name} {service.bundle.version}"
    return answers.render_json(
        {
            "service": "vestiary",
            "version": __version__,
            "status": status,
            "model": model,
            "endpoints": _ENDPOINTS,
        }
    )


@router.post(
    "/uploader",
    summary="The tags of one picture as a page",
    response_class=Response,
    responses=described.page("The result page.") | described.problems(*described.ASKING),
    openapi_extra=described.request_body(described.form_body(("file", "image"), Named)),
)
async def uploader(request: Request) -> Response:
    """The picture, its category (NA when it is not sure enough), the three likeliest, and every other tag."""
    service: Service = request.app.state.service
    kind = request.headers.get("content-type", "")
    sent, asked = await service.receive(request, lambda body: read_upload(body, kind, form=Named, json=PictureRequest))
    upload = await service.fetch(request, sent)
    name = name_picture(upload, asked.id, "picture")
    [outcome] = await service.answer(request, [(name, upload.data)])
    if outcome.prediction.failure:
        raise errors.from_failure(outcome.prediction.failure)
    return await service.paint(request, lambda: _render_result(service, upload, outcome, name))


@router.get(
    "/docs",
    summary="This list",
    response_class=Response,
    responses=described.page("The list as a page.") | described.problems(401),
)
async def docs(request: Request) -> Response:
    """Every route with its requests, answers and errors, from the OpenAPI document at /openapi.json."""
    documents: Documents = request.app.state.documents
    return _send_page(documents.page)


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    documents: Documents = request.app.state.documents
    return Response(documents.openapi, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Documents:
    """The OpenAPI document as JSON, and as a page."""

    openapi: bytes
    page: bytes


def render_documents(document: Mapping[str, Any]) -> Documents:
    """Both forms of an OpenAPI document; made once, since it takes long, like the templates of all pages."""
    for name in _TEMPLATES.list_templates():
        _TEMPLATES.get_template(name)
    page = _TEMPLATES.get_template("docs.html.j2").render(document=document)
    return Documents(json.dumps(document, ensure_ascii=False).encode(), page.encode())


def render_refusal(request: Request, problem: errors.Problem) -> Response:
    """What tells of a problem: a page to a browser that asked for one of the pages, problem+json to anybody else."""
    request_id = request.state.request_id
    if request.scope["path"] not in PAGES or "text/html" not in request.headers.get("accept", ""):
        return answers.render_problem(problem, request_id)
    phrase = HTTPStatus(problem.status).phrase
    values = {"problem": problem, "phrase": phrase, "request_id": request_id}
    return render_page("problem.html.j2", status=problem.status, headers=problem.headers, **values)


def _render_result(service: Service, upload: Upload, outcome: Outcome, name: str) -> Response:
    taxonomy = service.bundle.taxonomy
    category = taxonomy.category
    tags = {tag.attribute: tag for tag in outcome.prediction.tags}
    own = tags.pop(category)
    titles = taxonomy.titles
    is_sure = own.confidence >= service.settings.uploader_min_confidence
    unfamiliar = outcome.prediction.unfamiliar
    return render_page(
        "result.html.j2",
        name=name,
        picture=_draw_thumbnail(upload.data, service.predictor.limits),
        label=own.value if is_sure else "NA",
        is_sure=is_sure,
        is_unfamiliar=unfamiliar is not None and unfamiliar.flag,
        score=own.confidence,
        band=_find_band(own.confidence),
        title=titles[category],
        best=answers.rank(own)[:_SHOWN],
        others=[(titles[name], tag, _find_band(tag.confidence)) for name, tag in tags.items()],
        note=outcome.prediction.note,
        keeps_photos=service.keeps_photos,
    )


def _find_band(score: float) -> str:
    return next(name for least, name in _BANDS if score >= least)


def _draw_thumbnail(data: bytes, limits: Limits) -> str:
    """The picture as a small upright JPEG, as a data URL."""
    image = read_picture(data, limits=limits, size_hint=(THUMBNAIL, THUMBNAIL)).image
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def render_page(template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any) -> Response:
    """A template as a page that loads nothing."""
    html = _TEMPLATES.get_template(template).render(**values)
    return _send_page(html.encode("utf-8", "replace"), status, headers)


def _send_page(html: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    own = {"content-security-policy": POLICY, "referrer-policy": "no-referrer", "cache-control": "no-store"}
    return Response(html, status, headers=own | (headers or {}), media_type="text/html")
