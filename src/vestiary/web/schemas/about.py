"""What the service says of itself: its state, its bundle, its counts and limits."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from vestiary.web.schemas.requests import Share


class ModelFacts(BaseModel):
    """The bundle that answered."""

    name: str
    version: str
    fingerprint: str


class Summary(BaseModel):
    """What the service is."""

    service: str
    version: str
    status: Literal["running", "starting", "stopping"]
    model: str
    endpoints: dict[str, str]


class Health(BaseModel):
    """The summary that older clients read; ``classes`` is the number of values of the category."""

    status: Literal["healthy", "unhealthy"]
    model_loaded: bool
    classes: int
    timestamp: str


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class Workers(BaseModel):
    """Processes that the service wants, and those that answer now."""

    wanted: int
    ready: int


class Readiness(BaseModel):
    """Whether a request would be taken now; "degraded" while a worker is being replaced."""

    status: Literal["ready", "degraded", "starting", "stopping", "full"]
    workers: Workers


class Classes(BaseModel):
    """The values of the category under the keys of older services, and those of every attribute."""

    classes: list[str]
    total: int
    attributes: dict[str, list[str]]


class Stats(BaseModel):
    """Counts since the service started, over all workers."""

    uptime_seconds: int
    uptime_human: str
    total_requests: int
    total_images_processed: int
    successful_predictions: int
    failed_predictions: int
    success_rate: Share
    model_loaded: bool
    timestamp: str


class AttributeFacts(BaseModel):
    """One question that the bundle answers; ``threshold`` None: a person always looks."""

    title: str
    n_values: int
    threshold: float | None
    validation: dict[str, float]


class ServiceLimits(BaseModel):
    """What a request may be."""

    max_body_bytes: int
    max_pixels: int
    max_images: int
    deadline_s: float
    rate_per_minute: int


class Info(BaseModel):
    """The bundle and the limits."""

    service: str
    version: str
    model: ModelFacts
    made_at: str
    licence: str
    precision: Literal["fp32", "int8"]
    input: dict[str, int]
    category: str
    attributes: dict[str, AttributeFacts]
    limits: ServiceLimits
