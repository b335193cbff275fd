"""Findings about labels: their values, their parents, and what names say against them."""

from __future__ import annotations

from vestiary.catalogue import Catalogue
from vestiary.checks.finding import Finding
from vestiary.checks.labels.names import check_colour_words, check_same_names
from vestiary.checks.labels.parents import check_parents
from vestiary.checks.labels.spellings import check_spellings
from vestiary.checks.labels.values import check_values

__all__ = ["check_labels"]


def check_labels(catalogue: Catalogue, *, min_count: int = 10) -> list[Finding]:
    """Every finding about labels; values with fewer than ``min_count`` products are rare."""
    return [
        *check_values(catalogue, min_count=min_count),
        *check_spellings(catalogue),
        *check_parents(catalogue),
        *check_same_names(catalogue),
        *check_colour_words(catalogue),
    ]
