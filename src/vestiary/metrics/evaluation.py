"""The figures of a bundle on a catalogue, and the answers they were taken from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vestiary.metrics.outcome import Outcome
from vestiary.metrics.resampling import LEVEL, RESAMPLES, SEED, Interval
from vestiary.metrics.scores import Scores
from vestiary.product import Product


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a bundle on ``n`` products.

    ``attributes`` holds Scores in the taxonomy's order; ``exact_match`` is the share of products with every label
    answered rightly, 0..1, None without labels; ``exact_match_of`` the same of a few attributes, by their names.
    ``view`` names the view in which answers and labels were read (None: as they are), ``left_out`` how many products
    have no place in it, ``plain_accuracy`` the accuracy when the answers are not kept to the values of the view.
    ``outcomes`` are the answers, one row per entry of ``products``.
    """

    bundle: str
    split: str
    n: int
    attributes: dict[str, Scores]
    exact_match: float | None
    exact_match_of: Mapping[str, float | None] = field(default_factory=dict)
    exact_match_interval: Interval | None = None
    view: str | None = None
    left_out: int = 0
    plain_accuracy: float | None = None
    outcomes: Mapping[str, Outcome] = field(default_factory=dict, repr=False, compare=False)
    products: tuple[Product, ...] = field(default=(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the per-value tables."""
        plain: dict[str, Any] = {
            "bundle": self.bundle,
            "split": self.split,
            "n": self.n,
            "attributes": {name: scores.to_brief() for name, scores in self.attributes.items()},
            "exact_match": self.exact_match,
            "exact_match_of": dict(self.exact_match_of),
            "exact_match_interval": self.exact_match_interval,
            "intervals": {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, "by": "group"},
        }
        if self.view is not None:
            plain |= {"view": self.view, "left_out": self.left_out, "plain_accuracy": self.plain_accuracy}
        return plain
