"""Values that are probably one and the same, written in two ways."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations, product
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
        for entry in catalogue.products:
            if attribute.name in entry.labels:
                holders[entry.labels[attribute.name]].append(entry.id)
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
    distinct = list(dict.fromkeys(values))
    by_key: dict[str, list[int]] = defaultdict(list)
    by_words: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, value in enumerate(distinct):
        by_key[spelling_key(value)].append(index)
        by_words[tuple(_words(value)) or (value,)].append(index)
    pairs = {pair for alike in (*by_key.values(), *by_words.values()) for pair in combinations(alike, 2)}
    for left, right in _find_slips(by_key):
        pairs |= {(min(pair), max(pair)) for pair in product(by_key[left], by_key[right])}
    for first, second in sorted(pairs):
        yield distinct[first], distinct[second]


def _find_slips(keys: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of distinct long keys one letter apart.

    Two such keys are equal once the right letter is left out of one or of both, so only keys that meet in what is left
    (never without their first letter or a digit, see ``is_one_edit``) are compared.
    """
    meeting: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        if len(key) >= MIN_EDIT_LETTERS:
            rests = {key[:place] + key[place + 1 :] for place in range(1, len(key)) if not key[place].isdigit()}
            for rest in (key, *rests):
                meeting[rest].append(key)
    candidates = {pair for own in meeting.values() for pair in combinations(own, 2)}
    return {(left, right) for left, right in candidates if is_one_edit(left, right)}


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
