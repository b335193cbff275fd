"""Labels that are missing, values that are rare or unused, rows that had no place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from vestiary.catalogue import Catalogue, RejectReason
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.wording import count, list_some, unique, verb

MISSING_WARNING: Final = 0.05
"""The share of products without a label from which on it is more than good to know."""

_TOLD_ELSEWHERE: Final = (RejectReason.NO_PICTURE, RejectReason.UNREADABLE_PICTURE, RejectReason.NO_ROW)
"""Faults of pictures, which the findings about files tell."""
_DECIDED: Final = (RejectReason.LEFT_OUT,)
"""What the user left out on purpose is no fault."""


def check_values(catalogue: Catalogue, *, min_count: int) -> list[Finding]:
    """Missing labels, rare and unused values, rejected rows."""
    findings = list(_check_rejects(catalogue))
    for attribute in catalogue.taxonomy.attributes:
        counts = Counter(
            product.labels[attribute.name] for product in catalogue.products if attribute.name in product.labels
        )
        findings += _check_missing(catalogue, attribute.name)
        findings += _check_rare(catalogue, attribute.name, counts, min_count)
        findings += _check_unused(attribute.name, attribute.values, counts)
    return findings


def _check_rejects(catalogue: Catalogue) -> Iterable[Finding]:
    for reason in RejectReason:
        rejects = [reject for reject in catalogue.rejects if reject.reason == reason]
        if rejects and reason not in _TOLD_ELSEWHERE + _DECIDED:
            n, first = len(rejects), rejects[0]
            yield Finding(
                "labels.rejected_row",
                Severity.WARNING,
                unique(reject.id for reject in rejects),
                f"{count(n, 'row')} {verb(n, 'was', 'were')} left out at ingest: {reason} "
                f"(line {first.line}: {first.detail}).",
                "Correct these rows (rejects.csv lists them all) and ingest again.",
            )


def _check_missing(catalogue: Catalogue, name: str) -> Iterable[Finding]:
    ids = tuple(product.id for product in catalogue.products if name not in product.labels)
    if ids:
        share = len(ids) / len(catalogue.products)
        n = len(ids)
        yield Finding(
            "labels.missing",
            Severity.WARNING if share >= MISSING_WARNING else Severity.INFO,
            ids,
            f"{count(n, 'product')} ({100 * share:.1f} %) {verb(n, 'has', 'have')} no {name}.",
            "Training and figures leave them out; fill them in where you can.",
        )


def _check_rare(catalogue: Catalogue, name: str, counts: Counter[str], min_count: int) -> Iterable[Finding]:
    rare = sorted((value for value in counts if counts[value] < min_count), key=lambda value: (counts[value], value))
    if rare:
        order = {value: place for place, value in enumerate(rare)}
        products = [product for product in catalogue.products if product.labels.get(name) in order]
        products.sort(key=lambda product: order[product.labels[name]])
        yield Finding(
            "labels.rare",
            Severity.WARNING,
            tuple(product.id for product in products),
            f"{len(rare)} of {len(counts)} values of {name} {verb(len(rare), 'has', 'have')} fewer than {min_count} "
            f"products: {list_some(f'{value} ({counts[value]})' for value in rare)}.",
            "Collect more of them, merge them into others, or drop them: so few teach a model nothing reliable.",
        )


def _check_unused(name: str, values: Iterable[str], counts: Counter[str]) -> Iterable[Finding]:
    unused = [value for value in values if value not in counts]
    if unused:
        n = len(unused)
        yield Finding(
            "labels.unused",
            Severity.INFO,
            (),
            f"{count(n, 'value')} of {name} {verb(n, 'has', 'have')} no product at all: {list_some(unused)}.",
            "Drop them from the taxonomy, or collect products: a model cannot learn them.",
        )
