"""What the names of products say against their labels."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vestiary.catalogue import Catalogue
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.wording import count, list_some, verb
from vestiary.product import Product, fold_name
from vestiary.taxonomy import Attribute

MIXED: Final = frozenset({"multi", "multicolor", "multicoloured", "multicolour", "mixed", "assorted", "printed"})
"""Labels for several colours at once: no colour word in a name contradicts them."""
MIN_AGREEMENT: Final = 0.5
"""A word that agrees with the label in less than this share of its names means no colour there (cold cream, steel) …"""
MIN_NAMES: Final = 10
"""… which is only judged where so many names hold it."""

_COLOUR: Final = frozenset({"colour", "color", "colours", "colors"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""The words of baseColour, base_colour and BASE COLOUR alike."""


def check_same_names(catalogue: Catalogue) -> Iterable[Finding]:
    """Per attribute, products of one name (case and spacing aside) with different labels."""
    by_name: dict[str, list[Product]] = defaultdict(list)
    for product in catalogue.products:
        if product.name.strip():
            by_name[fold_name(product.name)].append(product)
    groups = [own for own in by_name.values() if len(own) > 1]
    for name in catalogue.taxonomy.names:
        split = []
        for own in groups:
            counts = Counter(product.labels[name] for product in own if name in product.labels)
            if len(counts) > 1:
                split.append((own, counts))
        if split:
            yield _tell_disagreement(name, split)


def _tell_disagreement(name: str, split: list[tuple[list[Product], Counter[str]]]) -> Finding:
    split.sort(key=lambda pair: -len(pair[0]))
    ids = []
    for own, counts in split:  # the odd ones of each name first
        ids += [product.id for product in sorted(own, key=lambda product: counts.get(product.labels.get(name, ""), 0))]
    own, counts = split[0]
    values = list_some(f"{value} {n}" for value, n in counts.most_common())
    n = len(split)
    return Finding(
        "labels.same_name",
        Severity.WARNING,
        tuple(ids),
        f"{count(n, 'name')} {verb(n, 'has', 'have')} products that differ in {name} ({len(ids):,} products), "
        f'most of all "{own[0].name}": {values}.',
        "Look at them side by side: real variants want names of their own, the others one label.",
    )


@dataclass(frozen=True, slots=True)
class _Contradiction:
    product: Product
    said: tuple[str, ...]
    label: str


def check_colour_words(catalogue: Catalogue) -> Iterable[Finding]:
    """Per colour attribute, products whose name holds another of its values than the label.

    A colour attribute is one with the word "colour" or "color" in its name or title. Longer values are looked for
    first, so that "Navy Blue" is not taken for "Blue"; a name that is less exact than the label ("Blue", labelled Navy
    Blue) agrees with it.
    """
    for attribute in catalogue.taxonomy.attributes:
        if _is_colour(attribute):
            spellings = {**{value: value for value in attribute.values}, **attribute.aliases}
            contradictions = _find_contradictions(catalogue.products, attribute.name, spellings)
            if contradictions:
                yield _tell_colours(attribute.name, contradictions)


def _is_colour(attribute: Attribute) -> bool:
    """Whether a word of the name or title, as in baseColour, is colour or color; colocation is none."""
    words = _WORD.findall(f"{attribute.name} {attribute.title}")
    return any(word.casefold() in _COLOUR for word in words)


def _find_contradictions(products: Sequence[Product], name: str, spellings: dict[str, str]) -> list[_Contradiction]:
    folded = {spelling.casefold(): value for spelling, value in spellings.items()}
    canonical = {spelling: value for spelling, value in folded.items() if spelling not in MIXED}
    if not canonical:
        return []
    longest_first = sorted(canonical, key=len, reverse=True)
    pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, longest_first)) + r")\b")
    mentions = []
    said_n: Counter[str] = Counter()
    agreed_n: Counter[str] = Counter()
    for product in products:
        label = product.labels.get(name)
        if label is None or label.casefold() in MIXED:
            continue
        said = tuple(dict.fromkeys(canonical[word] for word in pattern.findall(product.name.casefold())))
        mentions.append(_Contradiction(product, said, label))
        for word in said:
            said_n[word] += 1
            agreed_n[word] += _agrees(word, label)
    trusted = {word for word, n in said_n.items() if n < MIN_NAMES or agreed_n[word] >= MIN_AGREEMENT * n}
    found = []
    for mention in mentions:
        said = tuple(word for word in mention.said if word in trusted)
        if said and not any(_agrees(word, mention.label) for word in mention.said):
            found.append(_Contradiction(mention.product, said, mention.label))
    return found


def _agrees(word: str, label: str) -> bool:
    return word.casefold() == label.casefold() or set(word.casefold().split()) < set(label.casefold().split())


def _tell_colours(name: str, contradictions: list[_Contradiction]) -> Finding:
    pairs = Counter((entry.said, entry.label) for entry in contradictions)
    contradictions.sort(key=lambda entry: (-pairs[entry.said, entry.label], entry.said, entry.label))
    told = list_some(
        f"{' and '.join(said)} in the name, {label} as label ({n:,})" for (said, label), n in pairs.most_common()
    )
    n = len(contradictions)
    return Finding(
        "labels.colour_word",
        Severity.WARNING,
        tuple(entry.product.id for entry in contradictions),
        f"The {verb(n, 'name', 'names')} of {count(n, 'product')} {verb(n, 'says', 'say')} another colour "
        f"than {name}: {told}.",
        f"Look at the pictures and correct {name} or the name.",
    )
