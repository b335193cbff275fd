"""What a model says of a picture: plain values and their wire form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Tag:
    """A predicted answer: ``confidence`` is calibrated, 0..1; ``accepted`` means that it needs no person's eye.

    The predictor gives confidences to six digits, in which they are told everywhere.
    """

    attribute: str
    value: str
    confidence: float
    accepted: bool
    runners_up: tuple[tuple[str, float], ...] = ()
    """The next best (value, confidence) pairs, best first."""
    candidates: tuple[str, ...] = ()
    """The conformal set, best first: the true value is among them as often as the bundle promises for photos like those
    it was calibrated on. Empty for a bundle that promises nothing."""
    decides: bool = True
    """Whether the decision on the whole picture waits for this answer."""

    @property
    def needs_look(self) -> bool:
        """Whether a person is to look at it: it decides, and is not accepted."""
        return self.decides and not self.accepted

    @property
    def is_left_open(self) -> bool:
        """Whether it is not accepted, and nobody is asked about it."""
        return not (self.decides or self.accepted)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a picture has no tags: a stable ``code`` for scripts, one plain sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unfamiliar:
    """How unlike the training pictures a picture is: ``score`` is 0..1, ``flag`` says that it is too unlike (over 0.5).

    Nothing is accepted of a flagged picture.
    """

    score: float
    flag: bool


@dataclass(frozen=True, slots=True)
class Observation:
    """What a picture is like apart from its tags: kept beside a prediction so that drift can be told later.

    ``width`` and ``height`` are those of the upright picture in pixels. The rest is measured on what the model sees,
    its padding included: ``brightness`` is the mean luma 0..1, ``background`` the share of its outermost pixels that
    are near white, 0..1. ``features`` are the first 16 components of the picture's place among the training pictures
    (``Familiarity.project``) as little-endian float16, None for a bundle that cannot tell what is familiar.
    """

    width: int
    height: int
    brightness: float
    background: float
    features: bytes | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture: exactly one of ``tags`` and ``failure`` is there.

    ``image_sha256`` is that of the picture's encoded bytes (None for pixels given directly, and for a failure),
    ``bundle`` the fingerprint of the bundle that answered, ``note`` something a person may want to know,
    ``unfamiliar`` how unlike the training pictures it is (None for a failure, and for a bundle that cannot tell),
    ``observed`` what the picture is like apart from that (None for a failure); it is no part of the wire form.
    """

    id: str
    bundle: str
    image_sha256: str | None = None
    tags: tuple[Tag, ...] = ()
    failure: Failure | None = None
    note: str | None = None
    unfamiliar: Unfamiliar | None = None
    observed: Observation | None = None

    @property
    def accepted(self) -> bool:
        """Whether every tag that decides is accepted, so that no person needs to look."""
        return self.failure is None and not any(tag.needs_look for tag in self.tags)

    def to_dict(self) -> dict[str, Any]:
        """The wire form: JSON-ready, ``tags`` by attribute name, ``status`` either "success" or "error"."""
        head: dict[str, Any] = {"id": self.id, "status": "error" if self.failure else "success"}
        if self.failure is not None:
            head["error"] = asdict(self.failure)
        else:
            head["tags"] = {tag.attribute: _tag_to_dict(tag) for tag in self.tags}
            head["decision"] = "auto" if self.accepted else "review"
            head["unfamiliar"] = _unfamiliar_to_dict(self.unfamiliar)
        return head | {"note": self.note, "image_sha256": self.image_sha256, "bundle": self.bundle}


def _tag_to_dict(tag: Tag) -> Mapping[str, Any]:
    return {
        "value": tag.value,
        "confidence": tag.confidence,
        "accepted": tag.accepted,
        "runners_up": [{"value": value, "confidence": score} for value, score in tag.runners_up],
        "candidates": list(tag.candidates),
    }


def _unfamiliar_to_dict(unfamiliar: Unfamiliar | None) -> Mapping[str, Any] | None:
    return {"score": round(unfamiliar.score, 4), "flag": unfamiliar.flag} if unfamiliar is not None else None


KEPT_COLUMNS: Final = frozenset({"unfamiliar_score", "image_sha256", "bundle", "at", "filed"})
"""Columns that the tables of a batch have beside those of ``list_columns``."""


def list_columns(attributes: Iterable[str]) -> list[str]:
    """The columns of ``flatten`` in order."""
    own = [f"{name}{part}" for name in attributes for part in ("", "_confidence", "_accepted")]
    return ["id", "status", "decision", "unfamiliar", *own, "error", "note"]


def find_clash(attributes: Sequence[str]) -> str | None:
    """An attribute whose name is that of another column in tables of answers, if there is one."""
    counts = Counter([*list_columns(attributes), *KEPT_COLUMNS])
    return next((name for name in attributes if counts[name] > 1), None)


def flatten(wire: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a table from what ``Prediction.to_dict`` gave; columns that say nothing of this picture are absent."""
    row = {"id": wire["id"], "status": wire["status"], "decision": wire.get("decision"), "note": wire["note"]}
    if "error" in wire:
        row["error"] = wire["error"]["message"]
    if wire.get("unfamiliar"):
        row["unfamiliar"] = wire["unfamiliar"]["flag"]
    for name, tag in wire.get("tags", {}).items():
        row |= {name: tag["value"], f"{name}_confidence": tag["confidence"], f"{name}_accepted": tag["accepted"]}
    return row


def to_cell(value: Any) -> str:
    """A value of ``flatten`` as text in a CSV: yes and no, four decimals, nothing for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
