"""From a prediction to what is sent: one picture, one of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from vestiary.bundle import Bundle
from vestiary.tags import Tag
from vestiary.web.batching import Outcome
from vestiary.web.errors import MEDIA_TYPE, Problem
from vestiary.web.schemas import Options


def describe_model(bundle: Bundle) -> dict[str, str]:
    """Which bundle answered."""
    return {"name": bundle.name, "version": bundle.version, "fingerprint": bundle.fingerprint}


def timestamp() -> str:
    """The present time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def describe_outcome(outcome: Outcome, asked: Options, bundle: Bundle) -> dict[str, Any]:
    """What is said about one picture that was answered, alone or in a batch."""
    prediction = outcome.prediction
    tags = {tag.attribute: tag for tag in prediction.tags}
    category = tags[bundle.taxonomy.category]
    attributes = {name: _describe_tag(tag, asked) for name, tag in tags.items()}
    needs_look = any(tag.decides and not attributes[name]["accepted"] for name, tag in tags.items())
    width, height = outcome.size or (0, 0)
    unfamiliar = prediction.unfamiliar
    return {
        "id": prediction.id,
        "predictions": {name: tag.value for name, tag in tags.items()},
        "confidences": {name: tag.confidence for name, tag in tags.items()},
        "attributes": attributes,
        "decision": "review" if needs_look else "auto",
        "category": category.value,
        "confidence": category.confidence,
        "unfamiliar": unfamiliar and {"score": round(unfamiliar.score, 6), "flag": unfamiliar.flag},
        "note": prediction.note,
        "image": {"width": width, "height": height, "sha256": prediction.image_sha256},
        "timing_ms": outcome.timing.to_dict(),
    }


def describe_alone(outcome: Outcome, asked: Options, bundle: Bundle, request_id: str) -> dict[str, Any]:
    """The answer to one picture."""
    category = next(tag for tag in outcome.prediction.tags if tag.attribute == bundle.taxonomy.category)
    return {
        "status": "success",
        "request_id": request_id,
        **describe_outcome(outcome, asked, bundle),
        "all_probabilities": dict(rank(category)),
        "model": describe_model(bundle),
        "timestamp": timestamp(),
    }


def describe_failed(problem: Problem, name: str, filename: str | None, request_id: str) -> dict[str, Any]:
    """What is said about one picture of a batch that could not be answered."""
    return {
        "status": "error",
        "filename": filename,
        "id": name,
        "error": problem.detail,
        "problem": problem.to_dict(request_id),
    }


def rank(tag: Tag) -> list[tuple[str, float]]:
    """All values that the tag knows with their confidences, best first."""
    return [(tag.value, tag.confidence), *tag.runners_up]


def render_json(content: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; the order of its keys is kept."""
    return Response(to_json(content), status, headers=dict(headers or {}), media_type="application/json")


def render_problem(problem: Problem, request_id: str) -> Response:
    """The response for a problem."""
    return Response(
        to_json(problem.to_dict(request_id)), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def _describe_tag(tag: Tag, asked: Options) -> dict[str, Any]:
    return {
        "value": tag.value,
        "confidence": tag.confidence,
        "accepted": tag.accepted and tag.confidence >= asked.min_confidence,
        "candidates": tag.candidates,
        "top_k": [{"value": value, "confidence": score} for value, score in rank(tag)[: asked.top_k]],
    }
