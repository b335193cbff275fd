"""Join the sets the default model learns from into one table with pictures, ready for ``vestiary ingest``.

    python examples/default_catalogue.py SMALL.zip --medium MEDIUM.zip --wild WILD.zip --out FOLDER
    vestiary ingest FOLDER/products.csv --images FOLDER/pictures --taxonomy CATALOGUE --split-column split --out JOINED

SMALL is the Fashion Product Images (Small) set. MEDIUM holds larger pictures of some of the same products: each becomes
a product of its own, beside its small twin, in the same split, so that calibration sees both sizes. WILD is the small
clothing data set (a folder per class under ``train/``): its photos join the training split with the likeliest labels of
their class. The test split is exactly that of ``vestiary ingest SMALL.zip``; half of its validation groups learn.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vestiary.catalogue import Catalogue, ingest
from vestiary.product import Product, Split

WILD_LABELS: dict[str, tuple[str, str, str]] = {
    "dress": ("Apparel", "Dress", "Dresses"),
    "hat": ("Accessories", "Headwear", "Caps"),
    "longsleeve": ("Apparel", "Topwear", "Tshirts"),
    "outwear": ("Apparel", "Topwear", "Jackets"),
    "pants": ("Apparel", "Bottomwear", "Trousers"),
    "shirt": ("Apparel", "Topwear", "Shirts"),
    "shoes": ("Footwear", "Shoes", "Casual Shoes"),
    "shorts": ("Apparel", "Bottomwear", "Shorts"),
    "skirt": ("Apparel", "Bottomwear", "Skirts"),
    "t-shirt": ("Apparel", "Topwear", "Tshirts"),
}
"""masterCategory, subCategory and articleType of a class: the commonest of the types it may be."""


def split_of(product: Product) -> Split:
    """The split of a product: its own, but every second group of validation learns."""
    digest = hashlib.sha256(product.group.encode()).digest()
    return Split.TRAIN if product.split == Split.VALIDATION and digest[0] % 2 else product.split


def find_pictures(archive: Path, top: str = "") -> Iterator[str]:
    """Names of the JPEGs in a zip, under a folder of it."""
    with zipfile.ZipFile(archive) as opened:
        yield from (name for name in opened.namelist() if name.startswith(top) and name.lower().endswith(".jpg"))


def unpack(archive: Path, out: Path) -> None:
    """Unpack the pictures of a zip."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(out, members=find_pictures(archive))


def product_rows(catalogue: Catalogue, medium: Path | None) -> Iterator[dict[str, str]]:
    """A row per product and picture size."""
    larger = {PurePosixPath(name).stem: name for name in find_pictures(medium)} if medium else {}
    for product in catalogue.products:
        row = {**product.labels, "productDisplayName": product.name, "split": split_of(product)}
        yield {"id": product.id, "image": f"small/{product.images[0]}", **row}
        if product.id in larger:
            yield {"id": f"{product.id}-medium", "image": f"medium/{larger[product.id]}", **row}


def wild_rows(wild: Path) -> Iterator[dict[str, str]]:
    """A row per wild photo that may be learnt from."""
    for name in find_pictures(wild, "train/"):
        path = PurePosixPath(name)
        labels = zip(("masterCategory", "subCategory", "articleType"), WILD_LABELS[path.parent.name], strict=True)
        yield {"id": f"wild-{path.stem}", "image": f"wild/{name}", **dict(labels), "split": Split.TRAIN}


def main() -> None:
    """Write ``products.csv`` and ``pictures/`` into the folder asked for."""
    parser = argparse.ArgumentParser(description="Join the sets that the default model learns from.")
    parser.add_argument("small", type=Path)
    parser.add_argument("--medium", type=Path)
    parser.add_argument("--wild", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    catalogue = ingest(options.small)
    for name, archive in (("small", options.small), ("medium", options.medium), ("wild", options.wild)):
        if archive:
            unpack(archive, options.out / "pictures" / name)
    rows = [*product_rows(catalogue, options.medium), *(wild_rows(options.wild) if options.wild else ())]
    with (options.out / "products.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(
            table, ["id", "image", *catalogue.taxonomy.names, "productDisplayName", "split"], restval=""
        )
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows):,} rows written to {options.out / 'products.csv'}.")


if __name__ == "__main__":
    main()
