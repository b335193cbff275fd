"""What an index knows of its products (rows) and their pictures (views)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vestiary.product import Product


class Entries:
    """What an index knows of its products (rows) and their pictures (views)."""

    def __init__(self, plain: Mapping[str, Any]) -> None:
        """Read what ``describe_products`` made. Raises KeyError, TypeError or ValueError for anything else."""
        self.ids: list[str] = plain["ids"]
        self.images: list[str] = plain["images"]
        self.owners: list[int] = np.repeat(np.arange(len(self.ids)), plain["n_views"]).tolist()
        self.labels: dict[str, tuple[list[str], list[int]]] = {
            name: (own["values"], own["codes"]) for name, own in plain["labels"].items()
        }
        columns = [codes for _, codes in self.labels.values()]
        if len(self.owners) != len(self.images) or any(len(codes) != len(self.ids) for codes in columns):
            raise ValueError("its lists do not fit each other")
        self.rows_of_hash: dict[str, list[int]] = {}
        for row, pixel_hash in zip(self.owners, plain["pixel_hashes"], strict=True):
            rows = self.rows_of_hash.setdefault(pixel_hash, [])
            if rows[-1:] != [row]:  # rows come in order, so a look at all of them would find no more
                rows.append(row)

    def labels_of(self, row: int) -> dict[str, str]:
        """The labels of a product; no entry where it has none."""
        return {name: values[codes[row]] for name, (values, codes) in self.labels.items() if codes[row] >= 0}


def describe_products(products: Sequence[Product], names: Sequence[str]) -> dict[str, Any]:
    """Plain values for JSON; ``Entries`` reads them. Each label is the position of its value, -1 for none."""
    labels = {}
    for name in names:
        values = sorted({product.labels[name] for product in products if name in product.labels})
        codes = {value: code for code, value in enumerate(values)}
        labels[name] = {
            "values": values,
            "codes": [codes.get(product.labels.get(name, ""), -1) for product in products],
        }
    return {
        "ids": [product.id for product in products],
        "n_views": [len(product.images) for product in products],
        "labels": labels,
        "images": [image for product in products for image in product.images],
        "pixel_hashes": [pixel_hash for product in products for pixel_hash in product.pixel_hashes],
    }
