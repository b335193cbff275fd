"""What the ledger keeps, as plain values: one class per table, whose fields are the table's columns."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NotRequired, TypedDict

from vestiary.tags import Prediction, Tag

Source = Literal["service", "batch"]
"""Who asked."""
JobState = Literal["running", "finished", "stopped", "failed"]
"""How a job stands; "stopped" and "failed" ones can be resumed."""

MAX_RUNNERS_UP: Final = 5
"""So many of the next best values of a tag are kept."""


class TagRecord(TypedDict):
    """A tag as it is stored; ``runners_up`` are [value, confidence] pairs, best first, five at most.

    ``decides`` is only there, and false, where the decision on the picture did not wait for it.
    """

    value: str
    confidence: float
    accepted: bool
    runners_up: list[list[Any]]
    decides: NotRequired[bool]


def make_id() -> str:
    """A new id: 32 hex digits, the first 12 the milliseconds since 1970, so that ids sort by time; the rest chance."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def now() -> datetime:
    """The present time, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRecord:
    """One picture that was answered.

    ``name`` is its path within its source or the caller's id, ``bundle`` the fingerprint of what answered; ``width``
    and ``height`` are pixels of the upright picture; ``unfamiliar_score``, ``brightness`` and ``background`` are 0..1;
    ``features`` is float16, little-endian; ``latency_ms`` is what the answer took;
    ``request_id`` names the service's request. The picture itself is never kept.
    """

    name: str
    source: Source
    bundle: str
    bundle_name: str
    accepted: bool
    tags: Mapping[str, TagRecord]
    job_id: str | None = None
    image_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    unfamiliar_score: float | None = None
    unfamiliar: bool | None = None
    brightness: float | None = None
    background: float | None = None
    features: bytes | None = None
    latency_ms: float | None = None
    request_id: str | None = None
    id: str = field(default_factory=make_id)
    at: datetime = field(default_factory=now)

    @classmethod
    def from_prediction(
        cls,
        prediction: Prediction,
        *,
        source: Source,
        bundle_name: str,
        job_id: str | None = None,
        request_id: str | None = None,
        latency_ms: float | None = None,
        at: datetime | None = None,
    ) -> PredictionRecord:
        """The record of an answer, named by its id. Raises ValueError for a failure, which has a record of its own."""
        if prediction.failure is not None:
            raise ValueError("a failure is no prediction; make a FailureRecord of it")
        seen, unfamiliar = prediction.observed, prediction.unfamiliar
        return cls(
            name=prediction.id,
            source=source,
            bundle=prediction.bundle,
            bundle_name=bundle_name,
            accepted=prediction.accepted,
            tags={tag.attribute: _record_tag(tag) for tag in prediction.tags},
            job_id=job_id,
            image_sha256=prediction.image_sha256,
            width=seen.width if seen else None,
            height=seen.height if seen else None,
            unfamiliar_score=unfamiliar.score if unfamiliar else None,
            unfamiliar=unfamiliar.flag if unfamiliar else None,
            brightness=seen.brightness if seen else None,
            background=seen.background if seen else None,
            features=seen.features if seen else None,
            latency_ms=latency_ms,
            request_id=request_id,
            at=at or now(),
        )

    @property
    def confidence(self) -> float | None:
        """The least confidence of the tags, 0..1: what a review queue sorts by; None without tags."""
        return min((tag["confidence"] for tag in self.tags.values()), default=None)


def needs_look(tag: TagRecord) -> bool:
    """Whether a person was to look at it: the decision waited for it, and it was not accepted."""
    return tag.get("decides", True) and not tag["accepted"]


def _record_tag(tag: Tag) -> TagRecord:
    record: TagRecord = {
        "value": tag.value,
        "confidence": tag.confidence,
        "accepted": tag.accepted,
        "runners_up": [list(entry) for entry in tag.runners_up[:MAX_RUNNERS_UP]],
    }
    if not tag.decides:
        record["decides"] = False
    return record


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRecord:
    """One picture that could not be answered: ``code`` for scripts, ``message`` for people.

    ``attempts`` tells how often it was tried, ``quarantined`` that it will not be tried again.
    """

    name: str
    source: Source
    code: str
    message: str
    job_id: str | None = None
    attempts: int = 1
    quarantined: bool = False
    id: str = field(default_factory=make_id)
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task over many pictures, which may be taken up again each night.

    ``owner`` is host:pid of who works at it, ``heartbeat_at`` its last sign of life; ``state`` and ``ended_at`` are of
    the newest run, ``last_finished_at`` is when a run last ended well, whatever has become of it since.
    """

    kind: str
    source: str
    out: str
    bundle: str
    options: Mapping[str, Any] = field(default_factory=dict)
    state: JobState = "running"
    started_at: datetime = field(default_factory=now)
    ended_at: datetime | None = None
    heartbeat_at: datetime | None = None
    n_total: int | None = None
    n_done: int = 0
    n_failed: int = 0
    owner: str | None = None
    last_finished_at: datetime | None = None
    id: str = field(default_factory=make_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A person's answer: ``value`` is right; ``previous_value`` is what the model had said."""

    prediction_id: str
    attribute: str
    value: str
    previous_value: str
    reviewer: str
    note: str | None = None
    id: str = field(default_factory=make_id)
    at: datetime = field(default_factory=now)
