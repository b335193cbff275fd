"""The pictures of the catalogue report: samples per class, measured colours, the products of findings."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vestiary.catalogue import Catalogue, Progress, Source
from vestiary.checks import Finding, sort_findings
from vestiary.product import Product
from vestiary.reports.figures import Distribution
from vestiary.reports.photos import THUMBNAIL, load_small, measure_colour, to_data_url

MAX_COLOURS, PER_COLOUR, CHIPS = 60, 48, 10
MAX_FINDINGS, PER_FINDING = 24, 6
"""The most findings shown, and the most pictures of each."""


@dataclass(frozen=True)
class Photo:
    """A small copy of a product's first picture (a ``data:`` URL, None when it cannot be shown), and words for it."""

    url: str | None
    width: int
    height: int
    alt: str
    product_id: str
    name: str


@dataclass(frozen=True)
class Swatch:
    """The colour of a value as its pictures show it.

    ``colour`` (``#rrggbb``) is the median over products of each one's own colour, ``chips`` are single products from
    dark to light, ``n_measured`` says how many were looked at; ``colour`` is None when none stood out.
    """

    value: str
    n: int
    colour: str | None
    chips: tuple[str, ...]
    n_measured: int


@dataclass(frozen=True)
class SampleRow:
    """A few pictures of one value, drawn at random."""

    value: str
    n: int
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class ShownFinding:
    """A finding with pictures of the first products it is about."""

    finding: Finding
    photos: tuple[Photo, ...]


def show_product(source: Source, product: Product, size: tuple[int, int] = THUMBNAIL) -> Photo:
    """The small copy of a product's first picture, with words that tell what it is; ``size`` is as for load_small."""
    image = load_small(source, product.images[0], size) if product.images else None
    name = product.name or f"Product {product.id}"
    if image is None:
        return Photo(None, 0, 0, name, product.id, name)
    return Photo(to_data_url(image), image.width, image.height, name, product.id, name)


def sample_classes(
    catalogue: Catalogue,
    source: Source,
    distribution: Distribution,
    *,
    classes: int,
    per_class: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[SampleRow, ...]:
    """``per_class`` products of each of the commonest ``classes`` values, the same for the same seed."""
    shown = [(value, n) for value, n in distribution.counts if n][:classes]
    members = _group(catalogue.products, distribution.name, {value for value, _ in shown})
    rows = []
    for value, n in shown:
        chosen = _draw(members[value], per_class, f"{seed}:{value}")
        rows.append(SampleRow(value, n, tuple(show_product(source, product) for product in chosen)))
        if progress is not None:
            progress(len(rows), len(shown))
    return tuple(rows)


def is_colour(distribution: Distribution) -> bool:
    """Whether an attribute is about colour, by its name or title."""
    words = f"{distribution.name} {distribution.title}".casefold()
    return "colour" in words or "color" in words


def measure_swatches(
    catalogue: Catalogue, source: Source, distribution: Distribution, *, seed: int, progress: Progress | None = None
) -> tuple[Swatch, ...]:
    """The measured colour of the commonest values, each from at most PER_COLOUR products drawn at random."""
    shown = [(value, n) for value, n in distribution.counts if n][:MAX_COLOURS]
    members = _group(catalogue.products, distribution.name, {value for value, _ in shown})
    swatches = []
    for value, n in shown:
        chosen = _draw(members[value], PER_COLOUR, f"{seed}:{value}")
        swatches.append(_make_swatch(value, n, source, chosen))
        if progress is not None:
            progress(len(swatches), len(shown))
    return tuple(swatches)


def _make_swatch(value: str, n: int, source: Source, products: Iterable[Product]) -> Swatch:
    images = (load_small(source, product.images[0]) for product in products if product.images)
    colours = [colour for image in images if image is not None and (colour := measure_colour(image)) is not None]
    if not colours:
        return Swatch(value, n, None, (), 0)
    chips = sorted(colours[:CHIPS], key=sum)
    typical = tuple(statistics.median(part) for part in zip(*colours, strict=True))
    return Swatch(value, n, _to_hex(typical), tuple(map(_to_hex, chips)), len(colours))


def show_findings(catalogue: Catalogue, source: Source, findings: Iterable[Finding]) -> tuple[ShownFinding, ...]:
    """The worst finding of every kind, then the second of each, until there are enough; errors first, with pictures."""
    ranked = sort_findings(findings)
    so_far: Counter[str] = Counter()
    places = []
    for rank, finding in enumerate(ranked):
        so_far[finding.check] += 1
        places.append((so_far[finding.check], rank))
    shown = [ranked[rank] for rank in sorted(rank for _, rank in sorted(places)[:MAX_FINDINGS])]
    products = {product.id: product for product in catalogue.products}
    return tuple(
        ShownFinding(
            finding,
            tuple(show_product(source, products[own]) for own in finding.products[:PER_FINDING] if own in products),
        )
        for finding in shown
    )


def _group(products: Iterable[Product], attribute: str, values: set[str]) -> dict[str, list[Product]]:
    members: dict[str, list[Product]] = {value: [] for value in values}
    for product in products:
        value = product.labels.get(attribute)
        if value in members:
            members[value].append(product)
    return members


def _draw(products: Sequence[Product], n: int, seed: str) -> list[Product]:
    """``n`` products at random, of different designs as long as there are any."""
    shuffled = random.Random(seed).sample(products, len(products))
    first: dict[str, Product] = {}
    for product in shuffled:
        first.setdefault(product.group, product)
    fresh = list(first.values())[:n]
    known = {product.id for product in fresh}
    return (fresh + [product for product in shuffled if product.id not in known])[:n]


def _to_hex(colour: Iterable[float]) -> str:
    return "#" + "".join(f"{round(part):02x}" for part in colour)
