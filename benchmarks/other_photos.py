"""How a bundle holds up beyond the pictures of its test split: larger ones of the same products, and phone snapshots.

    python benchmarks/other_photos.py CATALOGUE [--bundle B] --medium ZIP --full ZIP --wild ZIP

CATALOGUE is what ``vestiary ingest`` made of the small set. Prints Markdown tables: the accuracy on products of the
test split in their small and their larger pictures (only those that have both), the same for the originals (whatever
their split, since there are 20), and for snapshots how many are answered rightly, accepted, right among the accepted,
and called unfamiliar. A class of snapshots stands for several article types; any of them is right (``WILD_TYPES``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from vestiary import Predictor, open_bundle
from vestiary.catalogue import Catalogue, load_catalogue
from vestiary.catalogue.sources import find_pictures, open_source
from vestiary.product import Product, Split

WILD_TYPES: dict[str, tuple[str, ...]] = {
    "dress": ("Dresses", "Night suits", "Nightdress"),
    "hat": ("Caps", "Hat"),
    "longsleeve": ("Tshirts", "Tops", "Sweatshirts", "Sweaters"),
    "outwear": (
        "Jackets",
        "Sweaters",
        "Sweatshirts",
        "Blazers",
        "Rain Jacket",
        "Nehru Jackets",
        "Waistcoat",
        "Shrug",
    ),
    "pants": (
        "Trousers",
        "Jeans",
        "Track Pants",
        "Leggings",
        "Jeggings",
        "Tights",
        "Churidar",
        "Patiala",
        "Salwar",
    ),
    "shirt": ("Shirts", "Tops"),
    "shoes": (
        "Casual Shoes",
        "Sports Shoes",
        "Formal Shoes",
        "Heels",
        "Flats",
        "Sandals",
        "Flip Flops",
        "Sports Sandals",
    ),
    "shorts": ("Shorts", "Capris"),
    "skirt": ("Skirts",),
    "t-shirt": ("Tshirts", "Tops"),
}
"""The article types that a class of the snapshots may be."""


def answer(predictor: Predictor, pictures: Sequence[Callable[[], bytes]]) -> list[dict[str, str]]:
    """The value said of each attribute, per picture."""
    return [{tag.attribute: tag.value for tag in prediction.tags} for prediction in predictor.predict(pictures)]


def compare_sizes(predictor: Predictor, catalogue: Catalogue, archive: Path, products: Sequence[Product]) -> None:
    """Print the accuracy per attribute on the pictures of the catalogue and on those of the archive."""
    source, others = catalogue.open_source(), open_source(archive)
    members = {PurePosixPath(name).stem: name for name in find_pictures(others)}
    both = [product for product in products if product.id in members and product.images]
    small = answer(predictor, [partial(source.read, product.images[0]) for product in both])
    larger = answer(predictor, [partial(others.read, members[product.id]) for product in both])
    print(f"\n{archive.stem}: {len(both):,} products\n")
    print("| attribute | small pictures | these | difference | answers that differ |")
    print("|---|---:|---:|---:|---:|")
    for name in predictor.bundle.taxonomy.names:
        rows = [
            (product.labels[name], one.get(name), other.get(name))
            for product, one, other in zip(both, small, larger, strict=True)
            if name in product.labels
        ]
        before = 100 * sum(label == one for label, one, _ in rows) / len(rows)
        after = 100 * sum(label == other for label, _, other in rows) / len(rows)
        differ = 100 * sum(one != other for _, one, other in rows) / len(rows)
        print(f"| {name} | {before:.1f} % | {after:.1f} % | {after - before:+.1f} | {differ:.1f} % |")


def measure_snapshots(predictor: Predictor, archive: Path) -> None:
    """Print, per class of the snapshots' ``validation/``, how the article types said of them fare."""
    source = open_source(archive)
    names = [name for name in find_pictures(source) if name.startswith("validation/")]
    predictions = predictor.predict([partial(source.read, name) for name in names])
    rows = []
    for name, prediction in zip(names, predictions, strict=True):
        kind = PurePosixPath(name).parts[1]
        tag = next(tag for tag in prediction.tags if tag.attribute == "articleType")
        flagged = prediction.unfamiliar is not None and prediction.unfamiliar.flag
        rows.append((kind, tag.value in WILD_TYPES[kind], tag.accepted, flagged))
    print(f"\n{archive.stem}: {len(rows):,} snapshots (validation/), article type\n")
    print("| class | photos | right | accepted | right among accepted | unfamiliar |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in [*WILD_TYPES, "all"]:
        own = [row for row in rows if kind in (row[0], "all")]
        accepted = [right for _, right, is_accepted, _ in own if is_accepted]
        shares = [
            f"{100 * sum(row[1] for row in own) / len(own):.1f} %",
            f"{100 * len(accepted) / len(own):.1f} %",
            f"{100 * sum(accepted) / len(accepted):.1f} %" if accepted else "–",
            f"{100 * sum(row[3] for row in own) / len(own):.1f} %",
        ]
        print(f"| {kind} | {len(own)} | {' | '.join(shares)} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--medium", type=Path)
    parser.add_argument("--full", type=Path)
    parser.add_argument("--wild", type=Path)
    options = parser.parse_args()
    catalogue = load_catalogue(options.catalogue)
    predictor = Predictor(open_bundle(options.bundle) if options.bundle else None)
    if options.medium:
        compare_sizes(predictor, catalogue, options.medium, catalogue.select(Split.TEST))
    if options.full:
        compare_sizes(predictor, catalogue, options.full, catalogue.products)
    if options.wild:
        measure_snapshots(predictor, options.wild)


if __name__ == "__main__":
    main()
