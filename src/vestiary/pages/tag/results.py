"""What the page Tag does, without the page: answers, corrections, and their forms for copying."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import select

from vestiary.bundle import Bundle
from vestiary.errors import LedgerError, UsageError, VestiaryError
from vestiary.images import Limits
from vestiary.ledger import Ledger, Verdict, schema
from vestiary.pages.desk import Answered, Desk
from vestiary.pages.thumbnails import make_thumbnail
from vestiary.similar import Neighbour, find_similar
from vestiary.tags import Tag, flatten, list_columns, to_cell

SHOWN: Final = 900
"""Pixels of the longer side of a photo as it is shown and explained; the original is not kept."""

ALIKE: Final = 6
"""Similar products that are shown."""
RUNNERS_UP: Final = 5
"""Values of each attribute that are kept beside the first."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person said of a tag."""

    value: str
    reviewer: str


@dataclass(frozen=True, slots=True)
class Alike:
    """A product that looks like a photo: what the catalogue says of it, and its picture where it can still be read."""

    product_id: str
    labels: Mapping[str, str]
    thumbnail: bytes | None


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
    alike: list[Alike] | None = None
    """The most similar products; None until somebody looked."""

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
        return [tag.attribute for tag in self.tags if tag.needs_look and tag.attribute not in self.corrections]

    def value_of(self, attribute: str) -> str:
        """The value that counts: the corrected one, else the answered one."""
        corrected = self.corrections.get(attribute)
        return corrected.value if corrected else next(tag.value for tag in self.tags if tag.attribute == attribute)


def answer_photos(desk: Desk, photos: Sequence[tuple[str, bytes]], *, first_number: int) -> list[Result]:
    """A result for each (name, encoded bytes) pair, in order, with what was corrected before for the same photos.

    While the ledger is away there are answers without it. Raises ServiceError when the service cannot answer now.
    """
    answers = [_shorten(answered) for answered in desk.answer(photos)]
    results = []
    for place, ((name, data), answered) in enumerate(zip(photos, answers, strict=True)):
        photo = make_thumbnail(data, desk.limits, longest=SHOWN) if answered.prediction.failure is None else None
        thumbnail = make_thumbnail(photo, desk.limits) if photo else None
        results.append(Result(first_number + place, name, answered, photo, thumbnail))
    if desk.ledger is not None:
        with contextlib.suppress(LedgerError):
            _recall(desk.ledger, results)
    return results


def _shorten(answered: Answered) -> Answered:
    """The answer with the best few values of each attribute."""
    tags = tuple(replace(tag, runners_up=tag.runners_up[:RUNNERS_UP]) for tag in answered.prediction.tags)
    return replace(answered, prediction=replace(answered.prediction, tags=tags))


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


def find_alike(desk: Desk, result: Result) -> list[Alike]:
    """The products of the index that look most like a photo, nearest first; looked for once. [] without an index."""
    if result.alike is None:
        result.alike = []
        if desk.index is not None and result.photo is not None:
            [found] = find_similar(desk.index, desk.predictor, [(result.name, result.photo)], top_k=ALIKE)
            result.alike = [_picture(neighbour, desk.limits) for neighbour in found.neighbours]
    return result.alike


def _picture(neighbour: Neighbour, limits: Limits) -> Alike:
    try:
        thumbnail = make_thumbnail(neighbour.picture(), limits)
    except VestiaryError:
        thumbnail = None
    return Alike(neighbour.product_id, neighbour.labels, thumbnail)


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
    """The answer JSON-ready, as ``vestiary tag --format json`` gives it, with what was corrected in place.

    A value that a person gave has no confidence: the model's is in what was ``answered``.
    """
    wire = result.answered.prediction.to_dict() | {"id": result.name}
    for name, given in result.corrections.items():
        own = wire["tags"][name]
        said = {"value": given.value, "confidence": None, "accepted": True, "answered": own["value"]}
        wire["tags"][name] = own | said
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
