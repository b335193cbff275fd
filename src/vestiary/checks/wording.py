"""How findings put numbers and names into a sentence."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 3
"""How many examples a message names before it says how many more there are."""


def count(n: int, what: str) -> str:
    """``1 product``, ``2,000 products``; ``what`` is the singular of a word that takes an s (or -y, -ies)."""
    if n == 1:
        return f"1 {what}"
    return f"{n:,} {what[:-1]}ies" if what.endswith("ry") else f"{n:,} {what}s"


def verb(n: int, one: str, many: str) -> str:
    """The form of a verb for ``n`` things."""
    return one if n == 1 else many


def list_some(items: Iterable[str], shown: int = SHOWN) -> str:
    """The first few items with commas, then how many more."""
    everything = list(items)
    rest = len(everything) - shown
    text = ", ".join(everything[:shown])
    return f"{text} and {rest:,} more" if rest > 0 else text


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """Each item once, in the order of its first appearance."""
    return tuple(dict.fromkeys(items))
