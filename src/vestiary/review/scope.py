"""Which tags a person is to look at: those that were not accepted, those of a band, or those short of a precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import ColumnElement, or_, select

from vestiary.bundle import Bundle
from vestiary.errors import UsageError
from vestiary.ledger import Ledger, PredictionRecord, TagRecord, needs_look
from vestiary.ledger.schema import predictions

MOST_PICTURES: Final = 20_000
"""Answers that thresholds are taken from at most, the newest."""


@dataclass(frozen=True, slots=True)
class Band:
    """Tags whose confidence is ``low`` or more, and less than ``high``."""

    name: str
    low: float
    high: float


BANDS: Final = (Band("review", 0.0, 0.70), Band("medium", 0.70, 0.85), Band("automatic", 0.85, float("inf")))
"""The bands of an older returns desk: all of the first is looked at, of the second what time allows, of the third
nothing."""


def find_band(confidence: float | None) -> str:
    """The name of the band that a confidence of 0..1 lies in; an answer without tags is for review."""
    return next(band.name for band in BANDS if (confidence or 0.0) < band.high)


@dataclass(frozen=True)
class Scope:
    """Which tags are asked about: those of ``attributes`` that ``needs_look`` says of.

    ``bands`` are names of BANDS; ``thresholds`` the least confidence, by attribute, that needs no look (None: all do).
    Without either it is what the bundle that answered decided.
    """

    attributes: tuple[str, ...]
    bands: frozenset[str] | None = None
    thresholds: Mapping[str, float | None] | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """What every prediction with such a tag fulfils in the database; not all that fulfil it have one."""
        if self.bands is not None:
            high = max(band.high for band in BANDS if band.name in self.bands)
            return [predictions.c.confidence < high] if high < 1 else []
        if self.thresholds is not None:
            limits = [self.thresholds[name] for name in self.attributes]
            known = [limit for limit in limits if limit is not None]
            return (
                [or_(predictions.c.unfamiliar.is_(True), predictions.c.confidence < max(known))]
                if known == limits
                else []
            )
        return [predictions.c.accepted.is_(False)]

    def find_open(self, record: PredictionRecord) -> tuple[str, ...]:
        """The attributes of its tags that need a look."""
        named = ((name, record.tags[name]) for name in self.attributes if name in record.tags)
        return tuple(name for name, tag in named if self.needs_look(name, tag, unfamiliar=bool(record.unfamiliar)))

    def needs_look(self, attribute: str, tag: TagRecord, *, unfamiliar: bool) -> bool:
        """Whether a person is to look at this tag."""
        if self.bands is not None:
            return find_band(tag["confidence"]) in self.bands
        if self.thresholds is not None:
            limit = self.thresholds[attribute]
            return unfamiliar or limit is None or tag["confidence"] < limit
        return needs_look(tag)


def make_scope(
    ledger: Ledger,
    bundle: Bundle,
    *,
    attribute: str | None = None,
    bands: Collection[str] | None = None,
    target_precision: float | None = None,
) -> Scope:
    """The scope that is asked for. UsageError for an attribute or band that is not there, or both ways at once."""
    names = bundle.taxonomy.names
    if attribute is not None and attribute not in names:
        raise UsageError(f"The bundle answers no {attribute!r}; review one of: {', '.join(names)}.")
    if bands is not None and target_precision is not None:
        raise UsageError("Bands and a target precision both say what needs a look; name one of them.")
    attributes = names if attribute is None else (attribute,)
    if target_precision is not None:
        return Scope(attributes, thresholds=fit_thresholds(ledger, bundle, target_precision))
    known = [band.name for band in BANDS]
    for name in bands or ():
        if name not in known:
            raise UsageError(f"There is no band {name!r}; choose from: {', '.join(known)}.")
    return Scope(attributes, frozenset(bands) if bands else None)


def fit_thresholds(ledger: Ledger, bundle: Bundle, target_precision: float) -> dict[str, float | None]:
    """The least confidence, by attribute, from which on tags are expected to be right in ``target_precision`` of cases.

    At the precision that the bundle was calibrated for these are its own thresholds. At another they come from its
    newest answers in the ledger: a calibrated confidence is the chance to be right, so the expected precision of all
    tags from a threshold on is the mean of their confidences (Guo et al. 2017 on calibration; Chow 1970 on refusing).
    None where no threshold gets there, and without answers. UsageError for a precision that is not between 0 and 1.
    """
    if not 0 < target_precision < 1:
        raise UsageError(f"The target precision is {target_precision:g}, but must be between 0 and 1.")
    calibration = bundle.calibration
    if target_precision == calibration.target_precision:
        return dict(calibration.thresholds)
    known = (predictions.c.bundle == bundle.fingerprint, predictions.c.unfamiliar.is_not(True))
    query = select(predictions.c.tags).where(*known).order_by(predictions.c.at.desc()).limit(MOST_PICTURES)
    with ledger.reading() as connection:
        answers = connection.scalars(query).all()
    found: dict[str, float | None] = {}
    for name in bundle.taxonomy.names:
        ranked = np.sort([tags[name]["confidence"] for tags in answers if name in tags])[::-1]
        precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
        good = np.flatnonzero(precision >= target_precision)
        found[name] = float(ranked[good[-1]]) if len(good) else None
    return found
