"""What the page Tag does, without the page: answers, corrections, and their forms for copying."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select

from vestiary.bundle import Bundle
from vestiary.errors import PictureError, UsageError
from vestiary.images import Limits
from vestiary.ledger import Ledger, Verdict, schema
from vestiary.pages.desk import Answered, Desk
from vestiary.pages.look import make_thumbnail
from vestiary.tags import Tag, flatten, list_columns, to_cell

SHOWN: Final = 900
"""Pixels of the longer side of a photo as it is shown and explained; the original is not kept."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person said of a tag."""

    value: str
    reviewer: str


@dataclass(slots=True)
class Result:
    """One photo of a visit: its answer, a reduced copy to look at, and what was corrected.

    ``corrections`` are by attribute; ``photo`` and ``thumbnail`` are None for one that cannot be read.
    """

    number: int
    name: str
    answered: Answered
    photo: bytes | None = None
    thumbnail: bytes | None = None
    corrections: dict[str, Correction] = field(default_factory=dict)

    @property
    def tags(self) -> tuple[Tag, ...]:
        """The tags as they were answered."""
        return self.answered.prediction.tags

    @property
    def refusal(self) -> str | None:
        """Why there is no answer, in a sentence; None when there is one."""
        failure = self.answered.prediction.failure
        return failure.message if failure is not None else None

    @property
    def open_attributes(self) -> list[str]:
        """Attributes that are for review and that nobody has corrected."""
        return [tag.attribute for tag in self.tags if not tag.accepted and tag.attribute not in self.corrections]

    def value_of(self, attribute: str) -> str:
        """The value that counts: the corrected one, else the answered one."""
        corrected = self.corrections.get(attribute)
        return corrected.value if corrected else next(tag.value for tag in self.tags if tag.attribute == attribute)


def answer_photos(desk: Desk, photos: Sequence[tuple[str, bytes]], *, first_number: int) -> list[Result]:
    """A result for each (name, encoded bytes) pair, in order, with what was corrected before for the same photos.

    Raises ServiceError when the service cannot answer now.
    """
    answers = desk.answer(photos)
    results = []
    for place, ((name, data), answered) in enumerate(zip(photos, answers, strict=True)):
        photo = _reduce(data, desk.limits, SHOWN) if answered.prediction.failure is None else None
        thumbnail = _reduce(photo, desk.limits, 320) if photo else None
        results.append(Result(first_number + place, name, answered, photo, thumbnail))
    if desk.ledger is not None:
        _recall(desk.ledger, results)
    return results


def _reduce(data: bytes, limits: Limits, longest: int) -> bytes | None:
    try:
        return make_thumbnail(data, limits, longest=longest)
    except PictureError:
        return None


def _recall(ledger: Ledger, results: Iterable[Result]) -> None:
    by_hash: dict[str, list[Result]] = {}
    for result in results:
        if sha256 := result.answered.prediction.image_sha256:
            by_hash.setdefault(sha256, []).append(result)
    for sha256, found in find_corrections(ledger, by_hash).items():
        for result in by_hash[sha256]:
            known = {tag.attribute for tag in result.tags}
            result.corrections |= {name: given for name, given in found.items() if name in known}


def find_corrections(ledger: Ledger, hashes: Collection[str]) -> dict[str, dict[str, Correction]]:
    """By SHA-256 of a photo and attribute, what was last said of photos with these hashes, whoever sent them."""
    verdicts, predictions = schema.verdicts, schema.predictions
    # Not a join, which might walk all predictions: there are few verdicts, and each knows its prediction.
    its = select(predictions.c.image_sha256).where(predictions.c.id == verdicts.c.prediction_id).scalar_subquery()
    query = (
        select(verdicts.c.attribute, verdicts.c.value, verdicts.c.reviewer, its.label("sha256"))
        .where(its.in_(hashes))
        .order_by(verdicts.c.at, verdicts.c.id)
    )
    found: dict[str, dict[str, Correction]] = {}
    with ledger.reading() as connection:
        for attribute, value, reviewer, sha256 in connection.execute(query):
            found.setdefault(sha256, {})[attribute] = Correction(value, reviewer)
    return found


def correct(desk: Desk, result: Result, attribute: str, value: str, reviewer: str) -> None:
    """Keep what a person says of a tag as a verdict. Raises UsageError or LedgerError, each with what to do."""
    if not reviewer:
        raise UsageError("Type your name first: it is kept beside the correction.")
    if desk.ledger is None or result.answered.prediction_id is None:
        raise UsageError("This service keeps no ledger, so nothing can be corrected here; ask its operator for one.")
    if desk.ledger.find_prediction(result.answered.prediction_id) is None:
        desk.settle()
    said = next(tag.value for tag in result.tags if tag.attribute == attribute)
    desk.ledger.add_verdict(
        Verdict(
            prediction_id=result.answered.prediction_id,
            attribute=attribute,
            value=value,
            previous_value=said,
            reviewer=reviewer,
        )
    )
    result.corrections[attribute] = Correction(value, reviewer)


def describe(result: Result) -> dict[str, Any]:
    """The answer JSON-ready, as ``vestiary tag --format json`` gives it, with what was corrected in place."""
    wire = result.answered.prediction.to_dict() | {"id": result.name}
    for name, given in result.corrections.items():
        own = wire["tags"][name]
        wire["tags"][name] = {**own, "value": given.value, "accepted": True, "answered": own["value"]}
    if result.corrections:
        wire["decision"] = "review" if result.open_attributes else "auto"
    return wire


def render_json(results: Sequence[Result]) -> str:
    """One photo as an object, several as a list."""
    content = [describe(result) for result in results]
    return json.dumps(content[0] if len(content) == 1 else content, ensure_ascii=False, indent=1)


def render_csv(results: Sequence[Result], bundle: Bundle) -> str:
    """A row for each photo, with a head."""
    buffer = io.StringIO()
    columns = list_columns(bundle.taxonomy.names)
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = flatten(describe(result))
        writer.writerow({name: to_cell(row.get(name)) for name in columns})
    return buffer.getvalue()


def render_curl(address: str, *, needs_key: bool) -> str:
    """The command that asks the same of the service at ``address``."""
    key = '-H "X-API-Key: $VESTIARY_KEY" ' if needs_key else ""
    return f"curl {key}-F file=@photo.jpg {address}/predict"
