"""Values and their parents: one under two, or under one that the taxonomy does not allow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from vestiary.catalogue import Catalogue
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.wording import count, verb
from vestiary.product import Product
from vestiary.taxonomy import ParentRule

HIERARCHY_SHARE: Final = 0.98
"""Where the taxonomy has no parent rules: the share of products that the commonest parent of their value explains …"""
HIERARCHY_GAIN: Final = 0.1
"""… and by how much more than the commonest parent of all does, for two attributes to be child and parent."""

Pairs = dict[str, Counter[str]]
"""How often each child value goes with each parent."""


def check_parents(catalogue: Catalogue) -> Iterable[Finding]:
    """Labels against the taxonomy's parent rules, then values under several parents that no rule objects to."""
    rules = catalogue.taxonomy.parents
    told: set[tuple[str, str]] = set()
    for rule in rules:
        yield from _check_rule(catalogue.products, rule, told)
    pairs = list(dict.fromkeys((rule.child, rule.parent) for rule in rules)) or find_hierarchy(catalogue)
    for child, parent in pairs:
        own = next((rule for rule in rules if (rule.child, rule.parent) == (child, parent)), None)
        yield from _check_two_parents(catalogue.products, child, parent, own)


def find_hierarchy(catalogue: Catalogue) -> list[tuple[str, str]]:
    """(child, parent) pairs of attributes where knowing the child all but tells the parent."""
    attributes = catalogue.taxonomy.attributes
    pairs = []
    for child in attributes:
        for parent in attributes:
            if len(child.values) <= len(parent.values) or len(parent.values) < 2:
                continue
            counts = _count_pairs(catalogue.products, child.name, parent.name)
            total = sum(own.total() for own in counts.values())
            explained = sum(max(own.values()) for own in counts.values())
            overall: Counter[str] = Counter()
            for own in counts.values():  # adding counters up would copy the sum for each
                overall.update(own)
            commonest = max(overall.values(), default=0)
            if total and explained >= HIERARCHY_SHARE * total and explained - commonest >= HIERARCHY_GAIN * total:
                pairs.append((child.name, parent.name))
    return pairs


def _count_pairs(products: Iterable[Product], child: str, parent: str) -> Pairs:
    counts: Pairs = defaultdict(Counter)
    for product in products:
        own, above = product.labels.get(child), product.labels.get(parent)
        if own is not None and above is not None:
            counts[own][above] += 1
    return counts


def _check_rule(products: Sequence[Product], rule: ParentRule, told: set[tuple[str, str]]) -> Iterable[Finding]:
    """Products against one rule; ``told`` holds product and child of those told before, who are not told again."""
    wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
    for product in products:
        if (product.id, rule.child) not in told and not rule.allows(product.labels):
            told.add((product.id, rule.child))
            wrong[product.labels[rule.child], product.labels[rule.parent]].append(product.id)
    for (own, above), ids in sorted(wrong.items(), key=lambda item: (-len(item[1]), item[0])):
        allowed = " or ".join(rule.allowed[own]) or "none at all"
        n = len(ids)
        yield Finding(
            "labels.wrong_parent",
            Severity.WARNING,
            tuple(ids),
            f"{count(n, 'product')} with {rule.child} {own} {verb(n, 'has', 'have')} {rule.parent} {above}, "
            f"where the taxonomy allows {allowed}.",
            f"Correct {rule.parent} or {rule.child} of {verb(n, 'this product', 'these products')}, "
            "or allow the pair in the taxonomy.",
        )


def _check_two_parents(
    products: Sequence[Product], child: str, parent: str, rule: ParentRule | None
) -> Iterable[Finding]:
    """Children seen under several parents, those parents that the rule forbids left out: they are told elsewhere."""
    members: dict[str, list[Product]] = defaultdict(list)
    for product in products:
        if child in product.labels and parent in product.labels:
            members[product.labels[child]].append(product)
    for own, counts in sorted(_count_pairs(products, child, parent).items()):
        allowed = frozenset(rule.allowed.get(own, counts) if rule is not None else counts)
        parents = [(above, n) for above, n in counts.most_common() if above in allowed]
        if len(parents) < 2:
            continue
        rank = {above: -n for above, n in parents}
        holders = [product for product in members[own] if product.labels[parent] in rank]
        holders.sort(key=lambda product: rank[product.labels[parent]], reverse=True)
        told = " and ".join(f"{above} ({n:,})" for above, n in parents)
        yield Finding(
            "labels.two_parents",
            Severity.WARNING,
            tuple(product.id for product in holders),
            f"{child} {own} stands under {len(parents)} values of {parent}: {told}.",
            f"Choose one {parent} for each such {child} and write it into the taxonomy's parents.",
        )
