"""Which products are for learning, for choosing and calibrating, and for the final figures.

Products that would give each other away, because they share a name or a picture, form a group and stay together.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from vestiary.product import Split

RATIOS: Mapping[Split, float] = {Split.TRAIN: 0.70, Split.VALIDATION: 0.15, Split.TEST: 0.15}
SEED = 42


def group_products(ids: Sequence[str], clues: Sequence[Sequence[str]]) -> list[str]:
    """The group of each product: products with a clue in common, directly or through others, share one.

    ``clues`` holds, per product, what must not stand on both sides of a split (its name, the hashes of its pictures).
    A group is named by the smallest id in it, so that the order of the rows does not matter.
    """
    parent = list(range(len(ids)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[str, int] = {}
    for index, own_clues in enumerate(clues):
        for clue in own_clues:
            other = find(first_with.setdefault(clue, index))
            parent[find(index)] = other
    names: dict[int, str] = {}
    for index, product_id in enumerate(ids):
        root = find(index)
        names[root] = min(names.get(root, product_id), product_id, key=lambda text: (len(text), text))
    return [names[find(index)] for index in range(len(ids))]


def assign_splits(
    groups: Sequence[str],
    strata: Sequence[str],
    *,
    ratios: Mapping[Split, float] = RATIOS,
    seed: int = SEED,
    earlier: Mapping[str, Split] | None = None,
) -> list[Split]:
    """The split of each product, one for a whole group, stratified as far as the groups allow.

    ``strata`` is the value (of the attribute to keep in proportion) of each product; a group belongs to the commonest
    one among its products. Within a stratum the largest groups go first, equals in an order drawn by ``seed``, each to
    the split that lacks most against ``ratios``. Where many strata are too small to be divided, that would starve the
    smaller splits: then the small strata are dealt out together, by the smallest bound that keeps the whole within a
    point of ``ratios``. Groups in ``earlier`` keep their split, and new ones are dealt out by stratum alone. The
    result depends on the set of products, not on their order.
    """
    sizes = Counter(groups)
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for group, stratum in zip(groups, strata, strict=True):
        members[group][stratum] += 1
    home = {group: min(counts, key=lambda name: (-counts[name], name)) for group, counts in members.items()}
    order = sorted(sizes, key=lambda group: _order(group, sizes, earlier, seed))
    chosen: dict[str, Split] = {}
    for least in _SMALL_STRATA[:1] if earlier else _SMALL_STRATA:
        chosen = _deal(order, sizes, _pool_small_strata(home, sizes, least), ratios, earlier or {})
        if _is_balanced(chosen, sizes, ratios):
            break
    return [chosen[group] for group in groups]


_SMALL_STRATA = (1, 7, 20, 100, sys.maxsize)
"""Bounds, in products, below which strata are dealt out together; the first that keeps the ratios is taken."""


def _pool_small_strata(home: Mapping[str, str], sizes: Mapping[str, int], least: int) -> dict[str, list[str]]:
    """Groups by stratum; those of strata with fewer products than ``least`` under one name of their own."""
    totals: Counter[str] = Counter()
    for group, stratum in home.items():
        totals[stratum] += sizes[group]
    by_stratum: dict[str, list[str]] = defaultdict(list)
    for group, stratum in home.items():
        by_stratum[stratum if totals[stratum] >= least else "\0small"].append(group)
    return by_stratum


def _deal(
    order: Sequence[str],
    sizes: Mapping[str, int],
    by_stratum: Mapping[str, list[str]],
    ratios: Mapping[Split, float],
    earlier: Mapping[str, Split],
) -> dict[str, Split]:
    place = {group: number for number, group in enumerate(order)}
    chosen: dict[str, Split] = {}
    overall: Counter[Split] = Counter()
    for stratum in sorted(by_stratum, key=lambda name: (-len(by_stratum[name]), name)):
        here: Counter[Split] = Counter()
        for group in sorted(by_stratum[stratum], key=place.__getitem__):
            split = earlier.get(group) or _neediest(here, overall, sizes[group], ratios)
            chosen[group] = split
            here[split] += sizes[group]
            overall[split] += sizes[group]
    return chosen


def _is_balanced(chosen: Mapping[str, Split], sizes: Mapping[str, int], ratios: Mapping[Split, float]) -> bool:
    """Whether each split is within a point, or within one product, of its share."""
    held: Counter[Split] = Counter()
    for group, split in chosen.items():
        held[split] += sizes[group]
    total = held.total()
    return all(abs(held[split] - share * total) <= max(0.01 * total, 1) for split, share in ratios.items())


def _order(
    group: str, sizes: Mapping[str, int], earlier: Mapping[str, Split] | None, seed: int
) -> tuple[bool, int, str]:
    draw = hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
    return (group not in (earlier or {}), -sizes[group], draw)


def _neediest(here: Counter[Split], overall: Counter[Split], size: int, ratios: Mapping[Split, float]) -> Split:
    """The split that lacks most products, in this stratum and then overall, if the group joined."""

    def lack(split: Split) -> tuple[float, float]:
        return (
            ratios[split] * (here.total() + size) - here[split],
            ratios[split] * (overall.total() + size) - overall[split],
        )

    return max(ratios, key=lack)
