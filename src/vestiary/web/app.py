"""The app: everything of one service, put together in sight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from vestiary import __version__
from vestiary.web.errors import Problem, to_problem
from vestiary.web.gate import Envelope, Gate
from vestiary.web.mounting import PagesRoute, can_mount
from vestiary.web.routes import ROUTERS, entrance
from vestiary.web.routes.described import list_schemas
from vestiary.web.routes.pages import render_documents, render_refusal
from vestiary.web.service import Service, Shared
from vestiary.web.settings import Settings


def create_app(settings: Settings, shared: Shared | None = None) -> FastAPI:
    """A new app with a service of its own. Raises BundleError or UsageError when the bundle cannot be used."""
    app = FastAPI(
        title="Vestiary",
        version=__version__,
        description="Product photos in, catalogue attributes out.",
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # It would tell exceptions' texts to whomever the environment names.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    # Put in as they are: what include_router adds is looked up again at every request.
    app.router.routes.extend(route for router in ROUTERS for route in router.routes)
    service = Service(
        settings,
        sorted({route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}),
        shared,
    )
    app.state.service = service
    app.state.pages = _mount_pages(app, service) if can_mount(settings) else None
    for kind in (Problem, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer_problem)
    app.add_middleware(Gate, service=service)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Envelope, service=service)
    return app


def _mount_pages(app: FastAPI, service: Service) -> PagesRoute:
    """Put the pages before the routes of the API, of which they hide none."""
    pages = PagesRoute(service)
    app.router.routes.insert(0, pages)
    if service.settings.api_keys:
        app.router.routes.extend(entrance.router.routes)
    return pages


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    app.state.documents = await asyncio.to_thread(lambda: render_documents(_describe(app, service.settings)))
    await service.start()
    try:
        async with AsyncExitStack() as stack:
            if app.state.pages is not None:
                await stack.enter_async_context(app.state.pages.running(app))
            yield
    finally:
        await service.stop()


async def _answer_problem(request: Request, error: Exception) -> Response:
    return render_refusal(request, to_problem(error))


def _describe(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI document, with the ways to send a key."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for methods in document["paths"].values():
        for route in methods.values():
            if "application/json" in route["responses"].get("422", {}).get("content", {}):
                del route["responses"]["422"]  # FastAPI's own: our routes check their input themselves
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    document["components"]["schemas"] |= list_schemas()
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    if settings.api_keys:
        document["security"] = [{"bearer": []}, {"header": []}]
    return document
