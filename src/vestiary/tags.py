"""What a model says of a picture: plain values and their wire form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tag:
    """A predicted answer: ``confidence`` is calibrated, 0..1; ``accepted`` means that it needs no person's eye."""

    attribute: str
    value: str
    confidence: float
    accepted: bool
    runners_up: tuple[tuple[str, float], ...] = ()
    """The next best (value, confidence) pairs, best first."""
    candidates: tuple[str, ...] = ()
    """The conformal set, best first: the true value is among them as often as the bundle promises for photos like those
    it was calibrated on. Empty for a bundle that promises nothing."""


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
        """Whether every tag is accepted, so that no person needs to look."""
        return self.failure is None and all(tag.accepted for tag in self.tags)

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
        "confidence": round(tag.confidence, 6),
        "accepted": tag.accepted,
        "runners_up": [{"value": value, "confidence": round(score, 6)} for value, score in tag.runners_up],
        "candidates": list(tag.candidates),
    }


def _unfamiliar_to_dict(unfamiliar: Unfamiliar | None) -> Mapping[str, Any] | None:
    return {"score": round(unfamiliar.score, 4), "flag": unfamiliar.flag} if unfamiliar is not None else None
