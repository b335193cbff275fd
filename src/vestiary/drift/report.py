"""A window against the reference: every figure, and one plain sentence for each that says too much has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from vestiary.drift.distances import measure_all
from vestiary.drift.reference import LEAST_WINDOW, Reference
from vestiary.drift.sums import Key, Sighting, Sums

_AT_ONCE: Final = 2000
_TITLES: Final = {
    "jensen_shannon": "Jensen–Shannon distance",
    "psi": "PSI",
    "confidence": "confidence moved by",
    "unfamiliar": "unfamiliar share up by",
    "embedding": "Fréchet distance",
    "brightness": "brightness moved by",
    "background": "background moved by",
    "width": "width moved (doublings)",
    "height": "height moved (doublings)",
}
_TOLD: Final = 3
"""Values that a sentence names."""


@dataclass(frozen=True, eq=False)
class Window:
    """Pictures that were answered in some time: their number, and their sums in the layout of a reference.

    ``n`` pictures were taken of ``of``; ``others`` more were answered by other bundles and cannot be compared.
    """

    n: int
    sums: Sums
    of: int
    others: int = 0

    @classmethod
    def from_sightings(
        cls, reference: Reference, sightings: Iterable[Sighting], *, of: int | None = None, others: int = 0
    ) -> Window:
        """Add up any number of pictures, a few at a time; without ``of`` they are all that there are."""
        n, sums, waiting = 0, np.zeros(reference.layout.width), iter(sightings)
        while block := list(islice(waiting, _AT_ONCE)):
            n += len(block)
            sums += reference.layout.encode(block).sum(axis=0)
        return cls(n, sums, n if of is None else of, others)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the report: how far a window is from the reference in it, and how far it may be by chance.

    ``name`` is "jensen_shannon" (0..1), "psi", "confidence" (moved by so much of 0..1), "unfamiliar" (the share has
    grown by so much), "embedding" (in spreads of the pictures of one value), "brightness", "background" (0..1),
    "width" or "height" (in doublings); ``attribute`` is "" for what belongs to none. ``distance`` is None where the
    window or the reference knows nothing of it.
    """

    name: str
    attribute: str
    distance: float | None
    limit: float

    @property
    def title(self) -> str:
        """Its name for people."""
        return _TITLES[self.name]

    @property
    def alarm(self) -> bool:
        """Whether it is over the limit."""
        return self.distance is not None and self.distance > self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        distance = None if self.distance is None else round(self.distance, 6)
        return {
            "figure": self.name,
            "attribute": self.attribute or None,
            "distance": distance,
            "limit": round(self.limit, 6),
            "alarm": self.alarm,
        }


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What ``compare_window`` finds: ``n`` pictures compared of the ``of`` in the window, ``n_reference`` referred to.

    ``others`` pictures of the window were answered by other bundles. ``figures`` is empty where the window has too few
    pictures. ``alarms`` has a sentence for each thing that has changed. ``false_alarms`` is the share of reports with
    an alarm where nothing has changed.
    """

    n: int
    of: int
    others: int
    n_reference: int
    false_alarms: float
    figures: tuple[Figure, ...] = ()
    alarms: tuple[str, ...] = ()

    @property
    def alarm(self) -> bool:
        """Whether anything has changed more than chance explains."""
        return bool(self.alarms)

    @property
    def is_judged(self) -> bool:
        """Whether the window had enough pictures to say anything."""
        return bool(self.figures)

    def summary(self) -> str:
        """The outcome in one sentence."""
        if not self.is_judged:
            return f"Too few pictures to say anything: {self.n:,}, and at least {LEAST_WINDOW} are needed."
        if not self.alarm:
            return f"Nothing has changed more than chance explains in {self.n:,} pictures."
        things = "One thing" if len(self.alarms) == 1 else f"{len(self.alarms)} things"
        return f"{things} changed more than chance explains in {self.n:,} pictures."

    def remarks(self) -> list[str]:
        """What a reader should know of the pictures compared, one sentence each."""
        found = []
        if self.of > self.n:
            found.append(f"{self.n:,} of {self.of:,} pictures were compared, evenly spaced in time.")
        if self.others:
            found.append(f"{self.others:,} pictures that other bundles answered are left out.")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pictures": self.n,
            "pictures_in_window": self.of,
            "pictures_of_other_bundles": self.others,
            "reference_pictures": self.n_reference,
            "judged": self.is_judged,
            "alarm": self.alarm,
            "summary": self.summary(),
            "alarms": list(self.alarms),
            "false_alarms": self.false_alarms,
            "figures": [figure.to_dict() for figure in self.figures],
        }


def compare_window(reference: Reference, window: Window) -> DriftReport:
    """Every figure of a window, and the alarms; of a window under LEAST_WINDOW pictures nothing is said."""
    if window.n < LEAST_WINDOW:
        return DriftReport(window.n, window.of, window.others, reference.n, reference.false_alarms)
    found = measure_all(reference.layout, reference.sums[None], window.sums[None])
    figures = tuple(
        Figure(*key, None if np.isnan(values[0]) else float(values[0]), reference.limit(key, window.n))
        for key, values in found.items()
    )
    over = {(figure.name, figure.attribute): figure for figure in figures if figure.alarm}
    alarms = tuple(dict.fromkeys(_describe(key, over, reference, window) for key in over))
    return DriftReport(window.n, window.of, window.others, reference.n, reference.false_alarms, figures, alarms)


def _describe(key: Key, over: Mapping[Key, Figure], reference: Reference, window: Window) -> str:
    """The sentence for a figure over its limit; the same one for both that compare an attribute's answers."""
    what, attribute = key
    if what in ("jensen_shannon", "psi"):
        measured = [over[name, attribute] for name in ("jensen_shannon", "psi") if (name, attribute) in over]
        told = ", ".join(f"{figure.title} {figure.distance:.3f}, limit {figure.limit:.3f}" for figure in measured)
        return (
            f"The answers for {attribute} come in other shares ({told}): {_name_changes(reference, window, attribute)}."
        )
    limit = over[key].limit
    if what == "embedding":
        told = f"Fréchet distance {over[key].distance:.3f}, limit {limit:.3f}"
        return f"The pictures as a whole look different to the model ({told})."
    if what == "unfamiliar":
        before, after = (_find_share(sums, reference) for sums in (reference.sums, window.sums))
        told = f"{100 * before:.1f} % in the reference (limit {100 * limit:.1f} points more)"
        return f"{100 * after:.1f} % of the pictures are unfamiliar, {told}."
    before, after = (_find_mean(sums[reference.layout.blocks[key]]) for sums in (reference.sums, window.sums))
    if what in ("width", "height"):
        moved = f"from {2**before:.0f} to {2**after:.0f} px on average"
        return f"The {what} of pictures has moved {moved} (limit {limit:.2f} doublings)."
    subject = _SUBJECTS.get(what) or f"Confidence in {attribute}"
    moved = f"by {over[key].distance:.3f}, from {before:.2f} to {after:.2f} on average"
    return f"{subject} has moved {moved} (limit {limit:.3f})."


_SUBJECTS: Final = {
    "brightness": "The brightness of pictures",
    "background": "The share of near-white pixels around pictures",
}


def _name_changes(reference: Reference, window: Window, attribute: str) -> str:
    """The values whose shares changed most, by how much."""
    block = reference.layout.blocks["values", attribute]
    before, after = (sums[block] / sums[block].sum() for sums in (reference.sums, window.sums))
    most = np.argsort(-np.abs(after - before), kind="stable")[:_TOLD]
    values = reference.values[attribute]
    return ", ".join(f"{values[index]} {100 * before[index]:.1f} → {100 * after[index]:.1f} %" for index in most)


def _find_mean(block: Sums) -> float:
    return float(block[-1] / block[:-1].sum())


def _find_share(sums: Sums, reference: Reference) -> float:
    familiar, unfamiliar = sums[reference.layout.blocks["unfamiliar", ""]]
    return float(unfamiliar / (familiar + unfamiliar))
