"""What the service is and what it has done: values, bundle, limits, counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from vestiary import __version__
from vestiary.web import answers, telemetry
from vestiary.web.routes import described
from vestiary.web.schemas import Classes, Info, Stats
from vestiary.web.service import Service

router = APIRouter(tags=["about"])

ASKING: Final = (
    "/predict",
    "/predict_base64",
    "/predict_batch",
    "/uploader",
    "/explain",
    "/similar",
    "/v2/models/{name}/infer",
    "/v2/models/{name}/versions/{version}/infer",
)
"""Routes whose requests count in ``/stats``."""

_SHIRT: dict[str, Any] = {"title": "Article type", "n_values": 3, "threshold": 0.87, "validation": {"accuracy": 0.86}}


@router.get(
    "/classes",
    summary="The values of every attribute",
    responses=described.success(
        Classes,
        {"classes": ["Shirts", "Tops"], "total": 2, "attributes": {"articleType": ["Shirts", "Tops"]}},
    )
    | described.problems(401),
)
async def classes(request: Request) -> Response:
    """`classes` and `total` tell the category's values, `attributes` those of every attribute."""
    taxonomy = request.app.state.service.bundle.taxonomy
    category = taxonomy[taxonomy.category].values
    attributes = {attribute.name: list(attribute.values) for attribute in taxonomy.attributes}
    return answers.render_json({"classes": list(category), "total": len(category), "attributes": attributes})


@router.get(
    "/info",
    summary="The bundle and the limits",
    responses=described.success(
        Info,
        {
            "service": "vestiary",
            "version": __version__,
            "model": described.MODEL,
            "made_at": described.TIME,
            "licence": "MIT",
            "precision": "fp32",
            "input": {"width": 60, "height": 80},
            "category": "articleType",
            "attributes": {"articleType": _SHIRT},
            "limits": {
                "max_body_bytes": 20_000_000,
                "max_pixels": 50_000_000,
                "max_images": 64,
                "deadline_s": 10.0,
                "rate_per_minute": 0,
            },
        },
    )
    | described.problems(401),
)
async def info(request: Request) -> Response:
    """Which bundle answers, how good it was on validation, and what a request may be."""
    service: Service = request.app.state.service
    bundle, settings = service.bundle, service.settings
    scores = bundle.int8.scores if bundle.int8 and settings.precision == "int8" else bundle.scores
    validation = scores.get("validation", {})
    limits = ("max_body_bytes", "max_pixels", "max_images", "deadline_s", "rate_per_minute")
    return answers.render_json(
        {
            "service": "vestiary",
            "version": __version__,
            "model": answers.describe_model(bundle),
            "made_at": bundle.created_at,
            "licence": bundle.licence,
            "precision": settings.precision,
            "input": {"width": bundle.preprocess.width, "height": bundle.preprocess.height},
            "category": bundle.taxonomy.category,
            "attributes": {
                attribute.name: {
                    "title": bundle.taxonomy.titles[attribute.name],
                    "n_values": len(attribute.values),
                    "threshold": bundle.calibration.thresholds[attribute.name],
                    "validation": _take_figures(validation.get(attribute.name, {})),
                }
                for attribute in bundle.taxonomy.attributes
            },
            "limits": {name: getattr(settings, name) for name in limits},
        }
    )


def _take_figures(scores: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an attribute as a whole, without those of its values and pairs, which are many."""
    return {name: value for name, value in scores.items() if isinstance(value, (int, float))}


@router.get(
    "/stats",
    summary="Counts since the start",
    responses=described.success(
        Stats,
        {
            "uptime_seconds": 7261,
            "uptime_human": "2h 1m 1s",
            "total_requests": 120,
            "total_images_processed": 130,
            "successful_predictions": 128,
            "failed_predictions": 2,
            "success_rate": 0.9846,
            "model_loaded": True,
            "timestamp": described.TIME,
        },
    )
    | described.problems(401),
)
async def stats(request: Request) -> Response:
    """Counts over all workers; `total_requests` are those that sent pictures, `success_rate` is a share, 0..1."""
    service: Service = request.app.state.service
    counts = telemetry.summarise(service.tally, ASKING)
    return answers.render_json({**counts, "model_loaded": service.is_ready, "timestamp": answers.timestamp()})


@router.get(
    "/metrics",
    summary="Counts for Prometheus",
    response_class=Response,
    responses=described.page(
        "Prometheus' text format, over all workers.",
        "text/plain",
        'vestiary_requests_total{route="/predict",status="200"} 118.0\n',
    )
    | described.problems(401),
)
async def metrics(request: Request) -> Response:
    """Counts and times are the same whichever worker is asked; drift is measured by each, every few minutes at most."""
    service: Service = request.app.state.service
    drift = service.watch.latest()
    content = await service.off_loop(lambda: telemetry.render_metrics(service.tally, service.bundle, drift))
    return Response(content, headers={"content-type": telemetry.CONTENT_TYPE})
