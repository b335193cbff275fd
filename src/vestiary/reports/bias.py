"""Whether answers are equally good for everybody: figures by the attribute that is about people, and its labels."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vestiary.metrics import Evaluation, match_all

PEOPLE = ("gender", "sex", "audience", "department", "agegroup")
"""Names of attributes about people, without case, spaces and signs."""

ADULTS = ("men", "women")

_CHILD = re.compile(r"\b(kids?|boys?|girls?|infants?|toddlers?|baby|junior)('?s)?\b", re.IGNORECASE)


@dataclass(frozen=True)
class PeopleGroup:
    """Products with one label of the attribute about people: how often that, the finest attribute and all are right.

    ``others`` are the names of the answers that were wrongly given most often, with their counts.
    """

    value: str
    n: int
    own: float
    finest: float | None
    everything: float
    others: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class AdultLabels:
    """``n`` products whose names speak of children but whose label is of adults; ``answered`` adult by the bundle."""

    attribute: str
    n: int
    answered: int


def find_people(evaluation: Evaluation) -> str | None:
    """The answered attribute that is about people, by its name."""
    for name in evaluation.outcomes:
        if re.sub(r"[^a-z]", "", name.casefold()) in PEOPLE:
            return name
    return None


def find_finest(evaluation: Evaluation, *, without: str) -> str | None:
    """The labelled attribute with the most values, other than ``without``."""
    others = [own for own in evaluation.outcomes.values() if own.attribute != without and own.known.any()]
    return max(others, key=lambda own: len(own.values)).attribute if others else None


def compare_people(evaluation: Evaluation) -> tuple[str, str | None, tuple[PeopleGroup, ...]] | None:
    """The attribute about people, the finest of the others, and the figures of each label, most products first.

    None where no attribute is about people, or none of its values is a label.
    """
    name = find_people(evaluation)
    if name is None:
        return None
    outcome, everything = evaluation.outcomes[name], match_all(evaluation.outcomes)[0]
    finest = find_finest(evaluation, without=name)
    groups = []
    for index, value in enumerate(outcome.values):
        rows = outcome.labels == index
        if not rows.any():
            continue
        told = evaluation.outcomes[finest] if finest is not None else None
        asked = rows & told.known if told is not None else rows
        answers, counts = np.unique(outcome.answers[rows & ~outcome.right], return_counts=True)
        ranked = sorted(zip(answers.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1])
        groups.append(
            PeopleGroup(
                value=value,
                n=int(rows.sum()),
                own=float(outcome.right[rows].mean()),
                finest=float(told.right[asked].mean()) if told is not None and asked.any() else None,
                everything=float(everything[rows].mean()),
                others=tuple((outcome.values[answer], n) for answer, n in ranked[:3]),
            )
        )
    return (name, finest, tuple(sorted(groups, key=lambda own: -own.n))) if groups else None


def count_adult_labels(evaluation: Evaluation) -> AdultLabels | None:
    """Products for children, by their English names, that are labelled as adults'; None where that cannot be asked."""
    name = find_people(evaluation)
    if name is None or not any(value.casefold() in ADULTS for value in evaluation.outcomes[name].values):
        return None
    outcome = evaluation.outcomes[name]
    adult = np.array([value.casefold() in ADULTS for value in outcome.values])
    rows = [
        row
        for row, product in enumerate(evaluation.products)
        if outcome.labels[row] >= 0 and adult[outcome.labels[row]] and _CHILD.search(product.name)
    ]
    return AdultLabels(name, len(rows), int(adult[outcome.answers[rows]].sum()) if rows else 0)
