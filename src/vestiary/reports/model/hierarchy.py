"""Order that the parent rules give: confusion matrices by category, and answers that contradict each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestiary.catalogue import Catalogue, load_groups
from vestiary.charts import Band
from vestiary.metrics import Evaluation, Outcome, count_pairs
from vestiary.reports.figures import find_levels
from vestiary.taxonomy import Attribute, Taxonomy

MAX_VALUES = 300
"""The most values of a confusion matrix; of more, the commonest are drawn."""

SHOWN = 5
GROUP, COLOUR_GROUPS = "group", "colour-groups"


@dataclass(frozen=True)
class Matrix:
    """Labels against answers: ``counts[row][column]`` of the ``values`` that occur, those of one parent together.

    ``bands`` are the values of the topmost parent, ``lines`` the places where a lower one changes, ``levels`` the
    attributes that order it; ``n_folded`` values are too rare to be drawn.
    """

    values: tuple[str, ...]
    counts: NDArray[np.int64]
    bands: tuple[Band, ...]
    lines: tuple[int, ...]
    levels: tuple[str, ...]
    n_folded: int


@dataclass(frozen=True)
class Agreement:
    """How many of ``n`` products are answered (or, ``labels``, labelled) against one parent rule, and how most often.

    ``examples`` are (child value, parent value, products), commonest first.
    """

    child: str
    parent: str
    n: int
    answers: int
    labels: int
    examples: tuple[tuple[str, str, int], ...]


def build_matrix(name: str, taxonomy: Taxonomy, catalogue: Catalogue, outcome: Outcome) -> Matrix:
    """The confusion matrix of one attribute, ordered by its parents where it has any."""
    pairs = count_pairs(outcome.select(outcome.known))
    used = pairs.sum(axis=0) + pairs.sum(axis=1)
    kept = sorted(np.argsort(-used, kind="stable")[:MAX_VALUES].tolist())
    kept = [index for index in kept if used[index]]
    levels = _levels_above(name, taxonomy)
    above = _usual_parents(name, levels, catalogue) if levels else _find_groups(taxonomy[name])
    if not levels and above:
        levels = (GROUP,)
    keys = {index: above.get(outcome.values[index], ("",) * len(levels)) for index in kept}
    order = sorted(kept, key=lambda index: (*keys[index], outcome.values[index])) if levels else kept
    places = [keys[index] for index in order]
    titles = taxonomy.titles
    return Matrix(
        values=tuple(outcome.values[index] for index in order),
        counts=pairs[np.ix_(order, order)],
        bands=_find_bands([key[0] for key in places]) if levels else (),
        lines=tuple(place for place in range(1, len(places)) if places[place] != places[place - 1]),
        levels=tuple(titles.get(level, level) for level in levels),
        n_folded=int((used > 0).sum()) - len(order),
    )


def check_agreement(taxonomy: Taxonomy, evaluation: Evaluation) -> tuple[Agreement, ...]:
    """Per parent rule whose attributes were both answered: the products whose answers break it."""
    found = []
    for rule in taxonomy.parents:
        child, parent = evaluation.outcomes.get(rule.child), evaluation.outcomes.get(rule.parent)
        if child is None or parent is None:
            continue
        broken: Counter[tuple[str, str]] = Counter()
        for own, above in zip(child.answers.tolist(), parent.answers.tolist(), strict=True):
            labels = {rule.child: child.values[own], rule.parent: parent.values[above]}
            if not rule.allows(labels):
                broken[labels[rule.child], labels[rule.parent]] += 1
        found.append(
            Agreement(
                child=rule.child,
                parent=rule.parent,
                n=evaluation.n,
                answers=broken.total(),
                labels=sum(not rule.allows(product.labels) for product in evaluation.products),
                examples=tuple((*pair, n) for pair, n in broken.most_common(SHOWN)),
            )
        )
    return tuple(found)


def _levels_above(name: str, taxonomy: Taxonomy) -> tuple[str, ...]:
    """The attributes above ``name``, topmost first; none when it has no parents."""
    levels = find_levels(taxonomy)
    return tuple(levels[: levels.index(name)]) if name in levels else ()


def _usual_parents(name: str, levels: Sequence[str], catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """For each value the combination of parents that most of its products have."""
    counts: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for product in catalogue.products:
        if name in product.labels and all(level in product.labels for level in levels):
            counts[product.labels[name]][tuple(product.labels[level] for level in levels)] += 1
    return {value: own.most_common(1)[0][0] for value, own in counts.items()}


def _find_groups(attribute: Attribute) -> dict[str, tuple[str, ...]]:
    """The group of each value, as the attribute has them; base colours in those that ship."""
    shipped = load_groups(COLOUR_GROUPS)
    groups = attribute.groups or (shipped.groups if shipped.attribute == attribute.name else {})
    return {value: (group,) for group, members in groups.items() for value in members if value in attribute.values}


def _find_bands(tops: Sequence[str]) -> tuple[Band, ...]:
    starts = [place for place in range(len(tops)) if place == 0 or tops[place] != tops[place - 1]]
    ends = [*starts[1:], len(tops)]
    return tuple(Band(tops[start], start, end - start) for start, end in zip(starts, ends, strict=True))
