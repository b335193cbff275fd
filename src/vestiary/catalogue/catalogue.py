"""A catalogue in memory and on disk.

On disk it is a folder: ``catalogue.json`` (format, source, taxonomy, counts, how it was split), ``products.jsonl`` (one
product a line) and ``rejects.csv``. The pictures stay where they are and are read from there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vestiary.catalogue.rows import Reject, RejectReason
from vestiary.catalogue.sources import Source, open_source
from vestiary.errors import CatalogueError, TaxonomyError, UsageError
from vestiary.product import Product, Split
from vestiary.taxonomy import Taxonomy

FORMAT = 1
_FILES = ("catalogue.json", "products.jsonl", "rejects.csv")


@dataclass(frozen=True)
class Catalogue:
    """Products, the questions about them, and every reject.

    ``source`` is the folder or zip with the pictures, ``n_rows`` the number of table rows read:
    always ``len(products)`` plus the rejects that name a row.
    """

    taxonomy: Taxonomy
    products: tuple[Product, ...]
    rejects: tuple[Reject, ...]
    source: Path
    n_rows: int
    split_seed: int

    def select(self, split: Split | None) -> tuple[Product, ...]:
        """The products of one split, or all of them for None, in catalogue order."""
        return tuple(product for product in self.products if split is None or product.split == split)

    def open_source(self) -> Source:
        """Where the pictures lie. CatalogueError when it is gone since the catalogue was made."""
        if not self.source.exists():
            raise CatalogueError(
                f"The pictures of this catalogue were in {self.source}, which is not there; "
                "put it back or ingest again."
            )
        return open_source(self.source)

    @property
    def counts(self) -> dict[str, Any]:
        """Rows, products, rejects by reason, products by split: whole numbers that add up."""
        rejects = Counter(str(reject.reason) for reject in self.rejects if reject.line is not None)
        return {
            "rows": self.n_rows,
            "products": len(self.products),
            "rejected_rows": rejects.total(),
            "rejected_by_reason": dict(sorted(rejects.items())),
            "pictures_without_a_row": sum(reject.line is None for reject in self.rejects),
            "groups": len({product.group for product in self.products}),
            "splits": {str(split): len(self.select(split)) for split in Split},
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of questions, products, labels and splits: equal for equal training material."""
        return hashlib.sha256(self.taxonomy.fingerprint.encode() + self._products_text().encode()).hexdigest()

    def _products_text(self) -> str:
        lines = (json.dumps(asdict(product), ensure_ascii=False, sort_keys=True) for product in self.products)
        return "".join(f"{line}\n" for line in lines)

    def _rejects_text(self) -> str:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # else a lone \r is not quoted
        writer.writerow(["line", "id", "reason", "detail"])
        writer.writerows([reject.line, reject.id, reject.reason, reject.detail] for reject in self.rejects)
        return table.getvalue()

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the catalogue, whole or not at all. UsageError when ``folder`` holds something and may not be replaced.

        Other files in the folder (a cache of pixels, a report) stay.
        """
        if not overwrite and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} already exists; choose another place or add --overwrite.")
        products = self._products_text()
        head = {
            "format": FORMAT,
            "source": str(self.source.resolve()),
            "fingerprint": self.fingerprint,
            "products_sha256": hashlib.sha256(products.encode()).hexdigest(),
            "split": {"seed": self.split_seed, "by": "product name and identical pictures"},
            "counts": self.counts,
            "taxonomy": self.taxonomy.to_dict(),
        }
        texts = (json.dumps(head, ensure_ascii=False, indent=1) + "\n", products, self._rejects_text())
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made ({error.strerror}); choose another place.") from error
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as staging:
            for name, text in zip(_FILES, texts, strict=True):
                (Path(staging) / name).write_text(text, encoding="utf-8", newline="")
            for name in reversed(_FILES):  # catalogue.json last: without it there is no catalogue
                shutil.move(Path(staging) / name, folder / name)


def load_catalogue(folder: Path | str) -> Catalogue:
    """Read a catalogue folder that ``ingest`` wrote.

    Raises UsageError when there is none, CatalogueError when its format is another or its products were changed by
    hand.
    """
    folder = Path(folder)
    path = folder / "catalogue.json"
    if not path.is_file():
        raise UsageError(
            f"{folder} holds no catalogue (no catalogue.json); make one with: vestiary ingest SOURCE --out DIR."
        )
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        if head["format"] != FORMAT:
            raise CatalogueError(
                f"{path} has format {head['format']}, but this version reads format {FORMAT}; ingest the source again."
            )
        text = (folder / "products.jsonl").read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() != head["products_sha256"]:
            raise CatalogueError(
                f"{folder / 'products.jsonl'} was changed since it was written, so its splits cannot be trusted; "
                "correct the source and ingest again with --overwrite."
            )
        return Catalogue(
            taxonomy=Taxonomy.from_dict(head["taxonomy"]),
            products=tuple(_read_product(json.loads(line)) for line in text.split("\n") if line),
            rejects=_read_rejects(folder / "rejects.csv"),
            source=Path(head["source"]),
            n_rows=int(head["counts"]["rows"]),
            split_seed=int(head["split"]["seed"]),
        )
    except (OSError, ValueError, KeyError, TypeError, csv.Error, TaxonomyError) as error:
        raise CatalogueError(f"{folder} holds a broken catalogue ({error}); ingest its source again.") from error


def _read_product(plain: dict[str, Any]) -> Product:
    return Product(
        **plain
        | {
            "images": tuple(plain["images"]),
            "pixel_hashes": tuple(plain["pixel_hashes"]),
            "split": Split(plain["split"]),
        }
    )


def _read_rejects(path: Path) -> tuple[Reject, ...]:
    with path.open(encoding="utf-8", newline="") as table:
        return tuple(
            Reject(int(row["line"]) if row["line"] else None, row["id"], RejectReason(row["reason"]), row["detail"])
            for row in csv.DictReader(table)
        )
