"""The photos of one batch as rows of a table: read from the ledger, chosen, put in order, corrected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from vestiary.errors import UsageError
from vestiary.ledger import FailureRecord, Ledger, PredictionRecord, Verdict, needs_look
from vestiary.ledger.progress import list_job_verdicts
from vestiary.taxonomy import Attribute, Taxonomy

Decision = Literal["sure", "review", "failed"]
"""A photo whose answers all hold, by their confidence or by a person's word; one to look at; one without answers."""
DECISIONS: Final[tuple[Decision, ...]] = ("sure", "review", "failed")
WORDS: Final[dict[Decision, str]] = {"sure": "sure", "review": "for review", "failed": "not answered"}
Order = Literal["name", "least sure", "value"]


@dataclass(frozen=True, slots=True)
class Row:
    """One photo: what the model said of it, or why it said nothing, and what people said since, newest by attribute."""

    record: PredictionRecord | FailureRecord
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the photo is called in its source."""
        return self.record.name

    @property
    def answer(self) -> PredictionRecord | None:
        """What the model said; None for a photo that could not be answered."""
        return self.record if isinstance(self.record, PredictionRecord) else None

    @property
    def problem(self) -> str | None:
        """Why there is no answer."""
        return self.record.message if isinstance(self.record, FailureRecord) else None

    def value(self, attribute: str) -> str | None:
        """The value as it stands: a person's, else the model's; None where there is none."""
        if attribute in self.verdicts:
            return self.verdicts[attribute].value
        tag = self.answer.tags.get(attribute) if self.answer is not None else None
        return None if tag is None else tag["value"]

    def confidence(self, attribute: str | None = None) -> float | None:
        """The model's confidence 0..1 in a value, or the least one of all; None where no value is the model's."""
        if self.answer is None:
            return None
        own = {name: tag["confidence"] for name, tag in self.answer.tags.items() if name not in self.verdicts}
        return own.get(attribute) if attribute is not None else min(own.values(), default=None)

    @property
    def decision(self) -> Decision:
        """Whether somebody should look at it."""
        if self.answer is None:
            return "failed"
        is_open = any(needs_look(tag) and name not in self.verdicts for name, tag in self.answer.tags.items())
        return "review" if is_open else "sure"

    def to_wire(self) -> dict[str, Any]:
        """The row as ``Prediction.to_dict`` has it, and its time; a person's value is accepted, without confidence."""
        at = self.record.at.isoformat(timespec="milliseconds")
        head = {"id": self.name, "note": None, "at": at}
        if isinstance(self.record, FailureRecord):
            error = {"code": self.record.code, "message": self.record.message}
            return head | {"status": "error", "error": error}
        tags = {name: dict(tag) for name, tag in self.record.tags.items()}
        for name, verdict in self.verdicts.items():
            tags[name] = {"value": verdict.value, "confidence": None, "accepted": True}
        score, flag = self.record.unfamiliar_score, self.record.unfamiliar
        return head | {
            "status": "success",
            "tags": tags,
            "decision": "auto" if self.decision == "sure" else "review",
            "unfamiliar": None if score is None else {"score": round(score, 4), "flag": flag},
            "image_sha256": self.record.image_sha256,
            "bundle": self.record.bundle,
        }


def read_rows(ledger: Ledger, job_id: str) -> Iterator[Row]:
    """Every photo of a batch: those that were given up, then those answered, as the ledger gives them: a stream."""
    yield from map(Row, ledger.failures(job=job_id))
    said: dict[str, dict[str, Verdict]] = {}
    for verdict in list_job_verdicts(ledger, job_id):
        said.setdefault(verdict.prediction_id, {})[verdict.attribute] = verdict
    for record in ledger.predictions(job=job_id):
        yield Row(record, said.get(record.id, {}))


@dataclass(frozen=True)
class Wanted:
    """Which rows are wanted; what is left as it is wants all.

    ``confidence`` is a range 0..1 of the attribute's confidence, or of the least one where no attribute is chosen;
    ``words`` stand somewhere in the photo's name.
    """

    decisions: frozenset[Decision] = frozenset(DECISIONS)
    attribute: str | None = None
    values: frozenset[str] = frozenset()
    confidence: tuple[float, float] = (0.0, 1.0)
    only_corrected: bool = False
    words: str = ""

    def keeps(self, row: Row) -> bool:
        """Whether a row is wanted."""
        if row.decision not in self.decisions or (self.only_corrected and not row.verdicts):
            return False
        if self.words.casefold() not in row.name.casefold():
            return False
        if self.attribute is not None and self.values and row.value(self.attribute) not in self.values:
            return False
        if self.confidence == (0.0, 1.0):
            return True
        confidence = row.confidence(self.attribute)
        return confidence is not None and self.confidence[0] <= confidence <= self.confidence[1]


def choose_rows(
    rows: Iterable[Row], wanted: Wanted, *, order: Order = "name", attribute: str | None = None, is_down: bool = False
) -> list[Row]:
    """The wanted rows in order: by name, by confidence (that of ``attribute``, or the least), or by its value.

    Rows that have no such confidence or value come last, either way.
    """

    def find_key(row: Row) -> Any:
        if order == "name":
            return row.name
        return row.confidence(attribute) if order == "least sure" else row.value(attribute or "")

    by_name = sorted((row for row in rows if wanted.keeps(row)), key=lambda row: row.name)
    told = [row for row in by_name if find_key(row) is not None]
    told.sort(key=find_key, reverse=is_down)
    return told + [row for row in by_name if find_key(row) is None]


def count_decisions(rows: Iterable[Row]) -> dict[Decision, int]:
    """How many rows there are of each decision."""
    counts: dict[Decision, int] = dict.fromkeys(DECISIONS, 0)
    for row in rows:
        counts[row.decision] += 1
    return counts


def list_values(rows: Iterable[Row], attribute: str) -> list[str]:
    """The values that the rows have, the commonest first."""
    counts: dict[str, int] = {}
    for row in rows:
        if (value := row.value(attribute)) is not None:
            counts[value] = counts.get(value, 0) + 1
    return sorted(counts, key=lambda value: (-counts[value], value))


def find_taxonomy(rows: Iterable[Row], known: Taxonomy) -> Taxonomy:
    """The questions that the rows answer: those of ``known``, and where they are others, with the values seen."""
    seen: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, tag in row.answer.tags.items() if row.answer is not None else ():
            seen.setdefault(name, {}).setdefault(tag["value"])
    if not seen.keys() - set(known.names):
        return known
    return Taxonomy(
        tuple(known[name] if name in known.names else Attribute(name, tuple(seen[name]), name) for name in seen)
    )


def save_edits(
    ledger: Ledger,
    rows: Sequence[Row],
    edits: Mapping[int, Mapping[str, Any]],
    *,
    taxonomy: Taxonomy,
    reviewer: str,
) -> int:
    """Write edited cells, by position of the row and attribute, as verdicts of ``reviewer``; how many there were.

    Raises UsageError, before anything is written, without a reviewer's name, for a photo without an answer for the
    attribute and for a value that it does not have; LedgerError when the ledger does not take them.
    """
    if not reviewer.strip():
        raise UsageError("A correction needs a name; write yours into the field Your name, and correct it again.")
    verdicts = []
    for place, changes in edits.items():
        row = rows[place]
        for attribute, value in changes.items():
            if row.answer is None:
                raise UsageError(f"{row.name} could not be answered, so there is nothing to correct in it.")
            if attribute not in row.answer.tags:
                raise UsageError(
                    f"{row.name} has no answer for {taxonomy.titles[attribute]}, which the bundle of this batch did "
                    "not know; answer the photos again in a new batch."
                )
            if value not in taxonomy[attribute].values:
                raise UsageError(f"{taxonomy.titles[attribute]} has no value {value!r}; choose one of the list.")
            verdicts.append(
                Verdict(
                    prediction_id=row.answer.id,
                    attribute=attribute,
                    value=str(value),
                    previous_value=row.answer.tags[attribute]["value"],
                    reviewer=reviewer.strip(),
                )
            )
    for verdict in verdicts:
        ledger.add_verdict(verdict)
    return len(verdicts)
