"""Two bundles on the same products: who answers better, and on what."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestiary.errors import CatalogueError
from vestiary.metrics.evaluation import Evaluation
from vestiary.metrics.outcome import Outcome
from vestiary.metrics.resampling import Interval, Resamples, divide


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A label on ``n`` products, of which ``before`` and ``after`` were answered rightly."""

    value: str
    n: int
    before: int
    after: int

    @property
    def change(self) -> int:
        """How many more are right after."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class AttributeComparison:
    """One attribute on ``n`` labelled products; ``before`` is the bundle compared against, ``after`` the one asked.

    ``difference`` is accuracy after minus before, with its 95 % interval by group; ``gained`` and ``lost`` are how many
    products only one of the two answers rightly; ``p_value`` is that of ``mcnemar_p_value``; ``values`` are the labels
    whose right answers differ in number, from the largest gain to the largest loss.
    """

    attribute: str
    n: int
    before: float
    after: float
    difference: float
    interval: Interval | None
    gained: int
    lost: int
    p_value: float
    values: tuple[ValueChange, ...]

    @property
    def better(self) -> tuple[ValueChange, ...]:
        """Values with more right answers, the largest gain first."""
        return tuple(own for own in self.values if own.change > 0)

    @property
    def worse(self) -> tuple[ValueChange, ...]:
        """Values with fewer right answers, the largest loss first."""
        return tuple(own for own in reversed(self.values) if own.change < 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two bundles, by fingerprint, on the same ``n`` products of a split.

    ``attributes`` are those that both answer and that any product has a label for, by name.
    """

    bundle: str
    against: str
    split: str
    n: int
    attributes: Mapping[str, AttributeComparison]
    view: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare(evaluation: Evaluation, against: Evaluation) -> Comparison:
    """Compare two evaluations of the same products.

    Raises CatalogueError when they share no attribute, or were made on different products.
    """
    if [own.id for own in evaluation.products] != [own.id for own in against.products]:
        raise CatalogueError("The two bundles were not asked about the same products; evaluate both on one catalogue.")
    names = [name for name in evaluation.outcomes if name in against.outcomes]
    if not names:
        raise CatalogueError(
            f"The bundles share no attribute: one answers {', '.join(evaluation.outcomes)}, the other "
            f"{', '.join(against.outcomes)}; compare bundles of one taxonomy."
        )
    resamples = Resamples([own.group for own in evaluation.products])
    return Comparison(
        bundle=evaluation.bundle,
        against=against.bundle,
        split=evaluation.split,
        n=evaluation.n,
        attributes={
            name: _compare_attribute(name, evaluation, against, resamples)
            for name in names
            if evaluation.outcomes[name].known.any()
        },
        view=evaluation.view,
    )


def mcnemar_p_value(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's test (1947) in its exact conditional form.

    Products that only one bundle answers rightly are tosses of a fair coin when the two are equally good, so their
    number is binomial (Fagerland, Lydersen & Laake 2013). Products are taken as independent, which those of one group
    are not: the interval of the difference, drawn by group, is the more careful figure.
    """
    n, fewer = gained + lost, min(gained, lost)
    term = total = 1
    for k in range(1, fewer + 1):
        term = term * (n - k + 1) // k
        total += term
    return min(1.0, 2 * total / (1 << n)) if n else 1.0


def _compare_attribute(name: str, new: Evaluation, old: Evaluation, resamples: Resamples) -> AttributeComparison:
    after, before = new.outcomes[name], old.outcomes[name]
    known = after.known
    now, then = after.right & known, before.right & known
    columns = np.stack([now.astype(float) - then, known.astype(float)], axis=1)
    n = int(known.sum())
    gained, lost = int((now & ~then).sum()), int((then & ~now).sum())
    return AttributeComparison(
        attribute=name,
        n=n,
        before=float(then.sum() / n),
        after=float(now.sum() / n),
        difference=(gained - lost) / n,
        interval=resamples.interval(columns, lambda sums: divide(sums[:, 0], sums[:, 1])),
        gained=gained,
        lost=lost,
        p_value=mcnemar_p_value(gained, lost),
        values=_find_changes(after, before, now, then),
    )


def _find_changes(
    new: Outcome, old: Outcome, now: NDArray[np.bool_], then: NDArray[np.bool_]
) -> tuple[ValueChange, ...]:
    """Changes by label; one that only the old bundle has a value for counts as well."""
    labels = [
        new.values[own] if own >= 0 else old.values[other] if other >= 0 else None
        for own, other in zip(new.labels.tolist(), old.labels.tolist(), strict=True)
    ]
    n, after, before = (Counter(itertools.compress(labels, rows.tolist())) for rows in (np.ones_like(now), now, then))
    changes = [
        ValueChange(value, n[value], before[value], after[value])
        for value in dict.fromkeys([*new.values, *old.values])
        if after[value] != before[value]
    ]
    return tuple(sorted(changes, key=lambda own: -own.change))
