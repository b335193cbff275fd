"""Which photos are worth most to look at first."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from vestiary.bundle import Bundle
from vestiary.ledger import PredictionRecord, needs_look

NOVELTY: Final[float] = 0.5
"""What the next photo of a kind is worth, beside the one before it."""


class Candidate(NamedTuple):
    """A prediction, and the attributes of it that need a look."""

    record: PredictionRecord
    open: tuple[str, ...]


class Rarity:
    """How rare each value is among the pictures that a bundle was calibrated on; without these all are alike.

    The weight of a value is 1/√(1 + n) for its ``n`` pictures, and 1 at most: between every picture counting alike and
    every value counting alike, as Mahajan et al. (2018) and others draw the training pictures of long-tailed classes.
    """

    def __init__(self, bundle: Bundle) -> None:
        reference = bundle.reference
        self._n: Mapping[str, Mapping[str, float]] = (
            {}
            if reference is None
            else {
                name: dict(zip(values, reference.sums[reference.layout.blocks["values", name]].tolist(), strict=True))
                for name, values in reference.values.items()
            }
        )

    def weigh(self, record: PredictionRecord, attribute: str) -> float:
        """The expected weight of the true value: over the value and its runners-up, by their confidences."""
        tag = record.tags[attribute]
        counts = self._n.get(attribute)
        if counts is None:
            return 1.0
        ranked: list[tuple[str, float]] = [(tag["value"], tag["confidence"])]
        ranked += [(value, share) for value, share in tag["runners_up"]]
        return sum(share / math.sqrt(1 + counts.get(value, 0.0)) for value, share in ranked)


def rank_by_value(
    candidates: Iterable[Candidate], rarity: Rarity, seen: Sequence[PredictionRecord] = ()
) -> Iterator[Candidate]:
    """The candidates, the one of most value first; what was ``seen`` last makes others of its kind worth less.

    The value of a photo is the sum, over the tags that need a look, of uncertainty × rarity × diversity:

        uncertainty   1 − confidence, the chance that the tag is wrong (least confidence: Lewis & Gale 1994)
        rarity        the expected rarity of its true value (``Rarity.weigh``)
        diversity     NOVELTYᵏ, after k photos with this value of this attribute (the gain of α-nDCG: Clarke et al.
                      2008, for documents that repeat what was shown before)
    """
    shown = Counter((name, tag["value"]) for record in seen for name, tag in record.tags.items() if needs_look(tag))
    entries = [(own, [(name, _doubt(own.record, name, rarity)) for name in own.open]) for own in candidates]

    def weigh(number: int) -> tuple[float, int]:
        """What a heap sorts by: minus the value, and of equal ones the first."""
        own, doubts = entries[number]
        tags = own.record.tags
        return -sum(doubt * NOVELTY ** shown[name, tags[name]["value"]] for name, doubt in doubts), number

    left = [weigh(number) for number in range(len(entries))]
    heapq.heapify(left)
    while left:  # values only ever fall, so one that is still the best when it is told anew is the best of all
        _, number = left[0]
        if left[0] != (told := weigh(number)):
            heapq.heapreplace(left, told)
            continue
        heapq.heappop(left)
        chosen, _ = entries[number]
        shown.update((name, chosen.record.tags[name]["value"]) for name in chosen.open)
        yield chosen


def _doubt(record: PredictionRecord, attribute: str, rarity: Rarity) -> float:
    return (1 - record.tags[attribute]["confidence"]) * rarity.weigh(record, attribute)
