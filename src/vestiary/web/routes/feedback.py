"""``/feedback``: what a person says of an earlier answer."""

from __future__ import annotations

import asyncio
import difflib
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from vestiary.errors import LedgerError, UsageError
from vestiary.ledger import Ledger, PredictionRecord, Verdict
from vestiary.taxonomy import Attribute, Taxonomy
from vestiary.web import answers, errors
from vestiary.web.payloads import read_plain_json
from vestiary.web.recorder import PAUSE_S, Recorder
from vestiary.web.routes import described
from vestiary.web.schemas import FeedbackAnswer, FeedbackRequest
from vestiary.web.service import Service

router = APIRouter(tags=["feedback"])

_ASKED: Final = {
    "request_id": described.REQUEST_ID,
    "attribute": "articleType",
    "value": "Tops",
    "reviewer": "ada",
    "note": "Short sleeves, but no T-shirt.",
}
_EXAMPLE: Final = {
    "status": "success",
    "request_id": "b1946ac92492d2347c6235b4d2611184",
    "prediction_id": "019b7f8a2c10d3a9c1f05e7b8844e6aa",
    "attribute": "articleType",
    "value": "Tops",
    "previous_value": "Tshirts",
    "timestamp": described.TIME,
}
_UNKNOWN: Final = (
    "No prediction is known by this id; send the request_id of an answer that the ledger still holds, or send it again "
    "in a moment if it was answered just now."
)
_NO_LEDGER: Final = "This service keeps no ledger and takes no verdicts; ask its operator to set VESTIARY_LEDGER_URL."
_PROBLEMS: Final = (
    errors.bad_request("The body is not valid JSON; mend it and send it again."),
    errors.wrong_content_type("application/json", "the verdict"),
    errors.not_found(_UNKNOWN),
    errors.unknown_value("articleType has no such value; did you mean 'Tshirts'?"),
    errors.body_too_large(20_000_000),
    errors.ledger_away(1),
    errors.overloaded(1),
    errors.shutting_down(1),
)


@router.post(
    "/feedback",
    summary="A verdict on an earlier answer",
    responses=described.success(FeedbackAnswer, _EXAMPLE)
    | described.problems(400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504, own=_PROBLEMS),
    openapi_extra=described.request_body(described.json_body(FeedbackRequest, _ASKED)),
)
async def give_feedback(request: Request) -> Response:
    """The right value of one attribute of a picture that was answered before; it is kept in the ledger.

    The picture is named by the `request_id` of its answer, and among several of one request also by its `id`. Who says
    it again, says it anew: the last verdict of a reviewer on a tag counts.
    """
    service: Service = request.app.state.service
    kind = request.headers.get("content-type", "")
    asked = await service.receive(request, lambda body: read_plain_json(FeedbackRequest, body, kind, "the verdict"))
    recorder = service.recorder
    if recorder is None:
        raise errors.not_found(_NO_LEDGER)
    reviewer = asked.reviewer or request.state.caller or ""
    try:
        verdict = await service.in_time(request, _give(service, recorder, asked, reviewer))
    except LedgerError:
        raise errors.ledger_away(service.settings.retry_after_s) from None
    return answers.render_json(
        {
            "status": "success",
            "request_id": request.state.request_id,
            "prediction_id": verdict.prediction_id,
            "attribute": verdict.attribute,
            "value": verdict.value,
            "previous_value": verdict.previous_value,
            "timestamp": verdict.at.isoformat(timespec="milliseconds"),
        }
    )


async def _give(service: Service, recorder: Recorder, asked: FeedbackRequest, reviewer: str) -> Verdict:
    verdict = await asyncio.to_thread(_try_to_give, service, recorder, asked, reviewer)
    if verdict is None:  # another worker or replica may have answered it just now
        await asyncio.sleep(PAUSE_S)
        verdict = await asyncio.to_thread(_try_to_give, service, recorder, asked, reviewer)
    if verdict is None:
        raise errors.not_found(_UNKNOWN)
    return verdict


def _try_to_give(service: Service, recorder: Recorder, asked: FeedbackRequest, reviewer: str) -> Verdict | None:
    """The verdict as it is kept; None while the ledger holds no prediction that it can be about."""
    attribute, value = _check_value(service.bundle.taxonomy, asked)
    ledger = recorder.ledger
    if ledger is None:
        raise errors.ledger_away(service.settings.retry_after_s)
    found = _find(ledger, asked)
    if not found:  # it may have been answered just now
        if not recorder.flush():
            raise errors.ledger_away(service.settings.retry_after_s)
        found = _find(ledger, asked)
    if not found:
        return None
    record = _choose(found)
    if attribute not in record.tags:
        raise errors.unknown_value(f"That prediction has no tag for {attribute}; it was made by another bundle.")
    verdict = Verdict(
        prediction_id=record.id,
        attribute=attribute,
        value=value,
        previous_value=record.tags[attribute]["value"],
        reviewer=reviewer,
        note=asked.note,
    )
    try:
        ledger.add_verdict(verdict)
    except UsageError:
        raise errors.not_found(_UNKNOWN) from None  # pruned since it was found
    return verdict


def _find(ledger: Ledger, asked: FeedbackRequest) -> list[PredictionRecord]:
    """What the request can mean, the newest first."""
    if asked.request_id is not None:
        return ledger.find_request(asked.request_id, asked.id)
    record = ledger.find_prediction(asked.id or "")
    return [] if record is None else [record]


def _choose(found: list[PredictionRecord]) -> PredictionRecord:
    """The one prediction that is meant; of the same picture sent again under the same name, the newest."""
    if len({(record.name, record.image_sha256) for record in found}) > 1:
        raise errors.bad_request("That request had several pictures; name the one that is meant by its 'id', too.")
    return found[0]


def _check_value(taxonomy: Taxonomy, asked: FeedbackRequest) -> tuple[str, str]:
    """Attribute and value as the bundle writes them. Raises Problem 422 that names the nearest when it has no such."""
    if asked.attribute not in taxonomy.names:
        raise errors.unknown_value(f"There is no such attribute{_suggest(asked.attribute, taxonomy.names)}")
    attribute: Attribute = taxonomy[asked.attribute]
    place = attribute.index_of(asked.value)
    if place < 0:
        raise errors.unknown_value(f"{attribute.name} has no such value{_suggest(asked.value, attribute.values)}")
    return attribute.name, attribute.values[place]


def _suggest(given: str, known: tuple[str, ...]) -> str:
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(given.casefold(), folded, n=1)
    return f"; did you mean '{folded[near[0]]}'?" if near else "; GET /classes lists those there are."
