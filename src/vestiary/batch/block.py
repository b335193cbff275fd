"""From the answers of one block to what is kept of them: rows of a part, outcomes and records for the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from vestiary.batch.pipeline import Answered
from vestiary.bundle import Bundle
from vestiary.ledger import FailureRecord, PredictionRecord, now
from vestiary.ledger.jobs import Outcome, identify

ATTEMPTS = 3
"""How often a picture is tried before it is given up."""
ATTEMPTS_TO_REACH = 15
"""The same where its store gives nothing for now: with the pauses between them, five minutes."""


@dataclass
class Block:
    """What is kept of some answers: ``rows`` of those that are settled, answered or given up."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    predictions: list[PredictionRecord] = field(default_factory=list)
    failures: list[FailureRecord] = field(default_factory=list)


def build_block(answers: Iterable[Answered], *, job_id: str, bundle: Bundle, moves: bool = False) -> Block:
    """Decide what becomes of each picture: answered, given up after ATTEMPTS, or to be tried again.

    What ``moves`` away when settled is known by its name alone: whatever comes under that name is another picture.
    """
    block = Block()
    at = now()
    for answered in answers:
        item, failure = answered.item, answered.prediction.failure
        attempts = item.attempts + 1
        most = ATTEMPTS_TO_REACH if answered.is_unreached else ATTEMPTS
        given_up = failure is not None and (attempts >= most or item.refused is not None)
        identity = identify(item.name, answered.stamp) if answered.stamp is not None else None
        if moves and (failure is None or given_up):
            identity = identify(item.name, None)
        if failure is None:
            block.outcomes.append(Outcome(item.position, identity, "done", attempts))
            record = PredictionRecord.from_prediction(
                answered.prediction,
                source="batch",
                bundle_name=bundle.name,
                job_id=job_id,
                latency_ms=answered.latency_ms,
                at=at,
            )
            block.predictions.append(record)
        else:
            state = "quarantined" if given_up else "failed"
            block.outcomes.append(Outcome(item.position, identity, state, attempts, failure.message))
            if not given_up:
                continue
            block.failures.append(
                FailureRecord(
                    **asdict(failure),
                    name=item.name,
                    source="batch",
                    job_id=job_id,
                    attempts=attempts,
                    quarantined=True,
                    at=at,
                )
            )
        row = answered.prediction.to_dict() | {"at": at.isoformat(timespec="milliseconds"), "filed": None}
        block.rows.append(row if failure is None else row | {"attempts": attempts})
    return block
