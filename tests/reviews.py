"""What the tests of the review share: predictions of the tiny bundle, in a ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from vestiary.ledger import PredictionRecord, TagRecord

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_tag(value: str, confidence: float, accepted: bool | None = None, **runners_up: float) -> TagRecord:
    """A tag, accepted from 0.9 on if not said otherwise."""
    rest = [[name, share] for name, share in runners_up.items()]
    is_accepted = confidence >= 0.9 if accepted is None else accepted
    return {"value": value, "confidence": confidence, "accepted": is_accepted, "runners_up": rest}


def make_record(
    number: int, tags: Mapping[str, TagRecord] | None = None, *, data: bytes | None = None, **fields: object
) -> PredictionRecord:
    """An answer: of ``data`` where given, else of a photo of its own; unsure about the colour if not said otherwise."""
    chosen = tags or {"baseColour": make_tag("Red", 0.5, Blue=0.3), "season": make_tag("Summer", 0.95)}
    given = {
        "name": f"{number}.png",
        "source": "service",
        "bundle": "f" * 64,
        "bundle_name": "tiny",
        "accepted": all(tag["accepted"] for tag in chosen.values()),
        "tags": chosen,
        "image_sha256": hashlib.sha256(data if data is not None else str(number).encode()).hexdigest(),
        "at": START + timedelta(minutes=number),
    }
    return PredictionRecord(**(given | fields))  # type: ignore[arg-type]
