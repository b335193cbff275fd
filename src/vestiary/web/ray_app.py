"""The service on Ray Serve: each replica is one ordinary app, with the same routes; Ray's proxies stand in front.

    serve run vestiary.web.ray_app:build replicas=2 cores=1 bundle=/shared/bundle

``build`` takes ``replicas`` (a number, or "auto": Ray adds and removes them with the load), ``cores`` of each replica,
and every setting of docs/settings.md by its name. What a proxy does instead of us is not asked: host, port, workers,
and the limits on connections and heads. There are no pages: a visitor would meet one replica now and another then.
Counts, rates and readiness are those of one replica; what is kept is in the ledger, which must be a PostgreSQL server
as soon as there are replicas on two machines.

The bundle is opened where ``build`` runs, so that one that cannot be had is told before anything is deployed; each
replica then opens it on its own node (one at an address through the cache there), and refuses any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from vestiary.bundle import DEFAULT, open_bundle
from vestiary.catalogue.sources import hide_password
from vestiary.errors import BundleError, UsageError, require
from vestiary.web.app import create_app
from vestiary.web.settings import Settings, load_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

NOT_OURS: Final = ("host", "port", "workers", "max_connections", "header_timeout_s", "keep_alive_s")
"""Settings of the connection, which Ray's proxies hold."""


def build(given: Mapping[str, Any]) -> Any:
    """The Serve application, for ``serve run`` and ``serve.run``.

    Raises UsageError for a setting that is none, MissingExtraError without Ray, and what ``open_bundle`` raises.
    """
    serve = require("ray.serve", extra="ray", feature="The service on Ray")
    chosen = dict(given)
    replicas, cores = _read_replicas(chosen.pop("replicas", 1)), _read_number("cores", chosen.pop("cores", 1))
    if wrong := sorted(chosen.keys() & set(NOT_OURS)):
        raise UsageError(f"{', '.join(wrong)} is up to Ray's proxies; set it there (serve.start, http_options).")
    if "pages" in chosen:
        raise UsageError(
            "There are no pages on Ray, where each request may meet another replica; leave pages out, and start "
            "vestiary ui beside it for them."
        )
    settings = load_settings(**({"threads": cores} | chosen), workers=1, pages=False)
    plain = settings.model_dump()
    bundle = open_bundle(settings.bundle)
    bundle.choose_model(settings.precision)
    bundle.choose_attributes(settings.decide_on)
    fingerprint, name = bundle.fingerprint, hide_password(str(settings.bundle or DEFAULT))

    def make_app() -> FastAPI:
        app = create_app(Settings(**plain))
        if app.state.service.bundle.fingerprint != fingerprint:
            raise BundleError(
                f"The bundle at {name} is not the one that this service was deployed with; deploy it "
                "again, so that all replicas answer by the same one."
            )
        if trusted := plain["trusted_proxies"]:
            app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(trusted))
        return app

    deployment = serve.deployment(
        serve.ingress(make_app)(),
        name="vestiary",
        num_replicas=replicas,
        ray_actor_options={"num_cpus": cores},
        max_ongoing_requests=settings.max_in_flight,
        max_queued_requests=settings.max_in_flight,
        graceful_shutdown_timeout_s=settings.shutdown_s,
    )
    return deployment.bind()


def _read_replicas(given: Any) -> int | str:
    return "auto" if given == "auto" else _read_number("replicas", given)


def _read_number(name: str, given: Any) -> int:
    text = str(given)
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name}={given} cannot be; give a number from 1{', or auto' * (name == 'replicas')}.")
    return int(text)
