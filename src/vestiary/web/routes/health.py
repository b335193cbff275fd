"""Whether the service lives and would answer: for load balancers, and for older clients."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from vestiary.web import answers
from vestiary.web.routes import described
from vestiary.web.schemas import Alive, Health, Readiness
from vestiary.web.service import Service

router = APIRouter(tags=["health"])

_READY = {"status": "ready", "workers": {"wanted": 1, "ready": 1}}
_STOPPING = {"status": "stopping", "workers": {"wanted": 1, "ready": 0}}


@router.get("/livez", summary="Whether the process lives", responses=described.success(Alive, {"status": "alive"}))
async def livez() -> Response:
    """Says so as long as the process answers at all."""
    return answers.render_json({"status": "alive"})


@router.get(
    "/readyz",
    summary="Whether a request would be taken now",
    responses=described.success(Readiness, _READY)
    | {
        503: {
            "model": Readiness,
            "description": "Not ready: starting, full, or stopping.",
            "content": {"application/json": {"example": _STOPPING}},
        }
    },
)
async def readyz(request: Request) -> Response:
    """200 when the model is loaded and warmed and there is room; 503 otherwise.

    With several workers, `degraded` says that one of them is being replaced: requests are answered by the others.
    """
    service: Service = request.app.state.service
    status = find_status(service)
    wanted, ready = service.tally.rows, int(service.tally.gauge("ready"))
    if status == "ready" and ready < wanted:
        status = "degraded"
    code = 200 if status in ("ready", "degraded") else 503
    return answers.render_json({"status": status, "workers": {"wanted": wanted, "ready": ready}}, status=code)


@router.get(
    "/health",
    summary="Summary for older clients",
    responses=described.success(
        Health, {"status": "healthy", "model_loaded": True, "classes": 141, "timestamp": described.TIME}
    ),
)
async def health(request: Request) -> Response:
    """`classes` is the number of values of the category."""
    service: Service = request.app.state.service
    category = service.bundle.taxonomy.category
    return answers.render_json(
        {
            "status": "healthy" if find_status(service) in ("ready", "full") else "unhealthy",
            "model_loaded": service.is_ready,
            "classes": len(service.bundle.taxonomy[category].values),
            "timestamp": answers.timestamp(),
        }
    )


def find_status(service: Service) -> str:
    """What this worker is at: "starting", "stopping", "full" or "ready"."""
    if service.is_draining:
        return "stopping"
    if not service.is_ready:
        return "starting"
    return "full" if service.is_full else "ready"
