"""Values that are probably one and the same, written in two ways."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Final

from vestiary.catalogue import Catalogue
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.wording import count

MIN_EDIT_LETTERS: Final = 6
"""Letters (without a plural s) from which on one letter's difference is a slip: Shirt and Short are two things."""


def check_spellings(catalogue: Catalogue) -> Iterable[Finding]:
    """One finding for each pair of values of an attribute that read alike."""
    for attribute in catalogue.taxonomy.attributes:
        holders: dict[str, list[str]] = {value: [] for value in attribute.values}
        for product in catalogue.products:
            if attribute.name in product.labels:
                holders[product.labels[attribute.name]].append(product.id)
        counts = Counter({value: len(ids) for value, ids in holders.items()})
        for left, right in find_alike(attribute.values):
            rare, common = sorted((left, right), key=lambda value: (counts[value], value))
            yield Finding(
                "labels.near_equal",
                Severity.WARNING,
                (*holders[rare], *holders[common]),
                f"{attribute.name} has both {common!r} ({count(counts[common], 'product')}) and {rare!r} "
                f"({count(counts[rare], 'product')}), which read alike.",
                f"If they mean the same, make {rare!r} an alias of {common!r} in the taxonomy and ingest again.",
            )


def find_alike(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of values that differ in case, spacing, punctuation, plural, order of words, or a letter of a long word."""
    keys = {value: spelling_key(value) for value in values}
    lengths = {value: len(key) for value, key in keys.items()}
    words = {value: _words(value) or [value] for value in keys}
    for left, right in combinations(keys, 2):
        long_enough = min(lengths[left], lengths[right]) >= MIN_EDIT_LETTERS
        slip = long_enough and abs(lengths[left] - lengths[right]) <= 1 and is_one_edit(keys[left], keys[right])
        if slip or keys[left] == keys[right] or words[left] == words[right]:
            yield left, right


def spelling_key(value: str) -> str:
    """A value without case, spacing, punctuation and plural: ``T-Shirt`` and ``Tshirts`` both give ``tshirt``."""
    bare = "".join(_singular(word) for word in re.findall(r"\w+", value.casefold()))
    return bare.replace("_", "") or value


def is_one_edit(left: str, right: str) -> bool:
    """Whether one letter added, dropped, changed, or swapped with its neighbour makes one text the other.

    A difference in digits is none: sizes and model numbers are meant to differ. Nor is one in the first letter, where
    people hardly ever slip: Leggings and Jeggings are two things.
    """
    if left[:1] != right[:1]:
        return False
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    a, b = left[start:], right[start:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    if any(letter.isdigit() for letter in a + b):
        return False
    return max(len(a), len(b)) == 1 or (len(a) == 2 and a == b[::-1])


def _words(value: str) -> list[str]:
    return sorted(_singular(word) for word in re.findall(r"\w+", value.casefold()))


def _singular(word: str) -> str:
    """English plurals as far as catalogue words need them: dresses, accessories, shirts; not glass."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word
