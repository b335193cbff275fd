"""A catalogue in memory and on disk.

On disk it is a folder: ``catalogue.json`` (format, source, taxonomy, counts, how it was split), ``products.jsonl`` (one
product a line) and ``rejects.csv``; with corrections ``corrections.csv``, which tells what became of each. The pictures
stay where they are and are read from there.

    format 1   all pictures lie in the source
    format 2   some lie beside the corrections that they came with; written only where that is so
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from vestiary.catalogue.corrections import Correction, Effect, count_effects
from vestiary.catalogue.preparation import Applied
from vestiary.catalogue.rows import Reject, RejectReason
from vestiary.catalogue.sources import HUB, FolderSource, JoinedSource, Source, is_address, open_source
from vestiary.errors import CatalogueError, TaxonomyError, UsageError
from vestiary.product import Product, Split
from vestiary.taxonomy import Taxonomy

FORMATS = (1, 2)
BY_GROUP = "product name and identical pictures"
"""How products are split unless the source or a preparation says otherwise."""
BY_SOURCE = "what the source says"
"""How products are split when the splits of the source are kept."""

DAMAGED = "holds a damaged catalogue; move it away and ingest the source again."
"""What is said of a folder whose catalogue cannot be read."""

_FILES = ("catalogue.json", "products.jsonl", "rejects.csv")
CORRECTIONS = "corrections.csv"


@dataclass(frozen=True)
class Catalogue:
    """Products, the questions about them, and every reject.

    ``source`` is the folder or zip with the pictures, or the address of one; ``n_rows`` the number of table rows read:
    ``len(products)``, the rejects that name a row, and the rows that only added a view to a product. ``split_by`` tells
    what the split goes by, ``reading`` how the source was read, ``applied`` what was done to the catalogue since,
    ``corrections`` what people said of its products, and ``additions`` the folder with the pictures they came with.
    """

    taxonomy: Taxonomy
    products: tuple[Product, ...]
    rejects: tuple[Reject, ...]
    source: Path | str
    n_rows: int
    split_seed: int
    split_by: str = BY_GROUP
    reading: Mapping[str, Any] = field(default_factory=dict)
    applied: tuple[Applied, ...] = ()
    corrections: tuple[Correction, ...] = ()
    additions: Path | None = None

    def select(self, split: Split | None) -> tuple[Product, ...]:
        """The products of one split, or all of them for None, in catalogue order."""
        return tuple(product for product in self.products if split is None or product.split == split)

    def open_source(self) -> Source:
        """Where the pictures lie. CatalogueError when it is gone since the catalogue was made."""
        if isinstance(self.source, Path) and not self.source.exists():
            raise CatalogueError(
                f"The pictures of this catalogue were in {self.source}, which is not there; "
                "put it back or ingest again."
            )
        main = open_source(self.source)
        if self.additions is None:
            return main
        if not self.additions.is_dir():
            raise CatalogueError(
                f"Pictures of this catalogue came with corrections in {self.additions}, which is not there; "
                "put it back or ingest again."
            )
        return JoinedSource(main, FolderSource(self.additions))

    @property
    def counts(self) -> dict[str, Any]:
        """Rows, products, rejects by reason, products by split: whole numbers that add up."""
        rejects = Counter(str(reject.reason) for reject in self.rejects if reject.line is not None)
        return {
            "rows": self.n_rows,
            "products": len(self.products),
            "rejected_rows": rejects.total(),
            "rejected_by_reason": dict(sorted(rejects.items())),
            "rows_as_further_views": self.n_rows - len(self.products) - rejects.total(),
            "pictures_without_a_row": sum(reject.line is None for reject in self.rejects),
            "groups": len({product.group for product in self.products}),
            "splits": {str(split): len(self.select(split)) for split in Split},
        } | ({"corrections": count_effects(self.corrections)} if self.corrections else {})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of questions, products, labels and splits: equal for equal training material."""
        digest = hashlib.sha256(self.taxonomy.fingerprint.encode())
        for line in self._product_lines():
            digest.update(line.encode())
        return digest.hexdigest()

    def _product_lines(self) -> Iterator[str]:
        """One line of JSON per product, made as it is asked for: a million at once would take half a gigabyte."""
        for product in self.products:
            plain = {name: getattr(product, name) for name in Product.__slots__}
            yield json.dumps(plain, ensure_ascii=False, sort_keys=True) + "\n"

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the catalogue. UsageError when ``folder`` holds something and may not be replaced.

        Nothing half-written ever bears a final name; a kill between the last renames of an ``overwrite`` leaves a
        catalogue that refuses to load. Other files in the folder (a cache of pixels, a report) stay; with a
        ``corrections.csv`` that a catalogue did not write, nothing is written at all.
        """
        check_place(folder, overwrite=overwrite)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made ({error.strerror}); choose another place.") from error
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as staging:
            digest = _write_lines(Path(staging) / "products.jsonl", self._product_lines())
            _write_lines(Path(staging) / "rejects.csv", [_to_csv(_list_names(Reject), self.rejects)])
            head = json.dumps(self._head(digest, folder), ensure_ascii=False, indent=1) + "\n"
            _write_lines(Path(staging) / "catalogue.json", [head])
            if self.corrections:
                _write_lines(Path(staging) / CORRECTIONS, [_to_csv(_list_names(Correction), self.corrections)])
                shutil.move(Path(staging) / CORRECTIONS, folder / CORRECTIONS)
            else:
                (folder / CORRECTIONS).unlink(missing_ok=True)
            for name in reversed(_FILES):  # catalogue.json last: without it there is no catalogue
                shutil.move(Path(staging) / name, folder / name)

    def _head(self, products_sha256: str, folder: Path) -> dict[str, Any]:
        """What stands in ``catalogue.json``."""
        return {
            "format": 1 if self.additions is None else 2,
            **describe_source(self.source, folder),
            **({} if self.additions is None else _tell_additions(self.additions, folder)),
            "reading": dict(self.reading),
            "fingerprint": self.fingerprint,
            "products_sha256": products_sha256,
            "split": {"seed": self.split_seed, "by": self.split_by},
            "preparation": [step.to_dict() for step in self.applied],
            "counts": self.counts,
            "taxonomy": self.taxonomy.to_dict(),
        }


def check_place(folder: Path, *, overwrite: bool) -> None:
    """Raise UsageError when a catalogue may not be written to ``folder``: only a catalogue is ever replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise UsageError(f"{folder} already exists; choose another place or add --overwrite.")
    if folder.is_dir() and (folder / "catalogue.json").exists() and not _is_catalogue(folder):
        raise UsageError(f"{folder} {DAMAGED}")
    files = (*_FILES, CORRECTIONS)
    if not folder.is_dir() or (any((folder / name).exists() for name in files) and not _is_catalogue(folder)):
        raise UsageError(f"{folder} exists and is no catalogue; choose another place.")
    if (folder / CORRECTIONS).exists() and not _is_told(folder / CORRECTIONS):
        raise UsageError(f"{folder / CORRECTIONS} is not what the catalogue wrote there; move it to another folder.")


def _is_catalogue(folder: Path) -> bool:
    try:
        head = json.loads((folder / "catalogue.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(head, dict) and "products_sha256" in head


def _is_told(corrections: Path) -> bool:
    """Whether a file tells what became of corrections, as a catalogue does, rather than being those themselves."""
    try:
        with corrections.open("rb") as file:
            return file.readline() == _to_csv(_list_names(Correction), []).encode()
    except OSError:
        return False


def _list_names(kind: type[Reject] | type[Correction]) -> list[str]:
    return [column.name for column in fields(kind)]


def _to_csv(names: Sequence[str], rows: Iterable[object]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # else a lone \r is not quoted
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return table.getvalue()


def _write_lines(path: Path, lines: Iterable[str]) -> str:
    """Write a text file line by line; returns the SHA-256 (hex) of its bytes."""
    digest = hashlib.sha256()
    with path.open("w", encoding="utf-8", newline="") as file:
        for line in lines:
            file.write(line)
            digest.update(line.encode())
    return digest.hexdigest()


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
        if head["format"] not in FORMATS:
            raise CatalogueError(
                f"{path} has format {head['format']}, but this version reads formats 1 and 2; "
                f"move {folder} away and ingest the source again."
            )
        with (folder / "products.jsonl").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != head["products_sha256"]:
            raise CatalogueError(
                f"{folder / 'products.jsonl'} is not as it was written, so its splits cannot be trusted; "
                f"move {folder} away and ingest the source again."
            )
        return Catalogue(
            taxonomy=Taxonomy.from_dict(head["taxonomy"]),
            products=_read_products(folder / "products.jsonl"),
            rejects=_read_rejects(folder / "rejects.csv"),
            source=find_source(head, folder),
            n_rows=int(head["counts"]["rows"]),
            split_seed=int(head["split"]["seed"]),
            split_by=str(head["split"]["by"]),
            reading=dict(head.get("reading", {})),
            applied=tuple(Applied.from_dict(step) for step in head.get("preparation", [])),
            corrections=_read_corrections(folder / CORRECTIONS) if "corrections" in head["counts"] else (),
            additions=_find_beside(str(head["additions"]), folder, head["additions_from_here"])
            if "additions" in head
            else None,
        )
    except (OSError, ValueError, KeyError, TypeError, csv.Error, TaxonomyError) as error:
        raise CatalogueError(f"{folder} {DAMAGED}") from error


def describe_source(source: Path | str, folder: Path) -> dict[str, Any]:
    """Where the pictures lie, as it is written down in ``folder``; ``find_source`` reads it back."""
    here = isinstance(source, Path)
    return {
        "source": str(Path(source).resolve() if here else source),
        "source_from_here": _tell_way(source, folder) if here else None,
    }


def _tell_way(place: Path | str, folder: Path) -> str | None:
    try:
        return os.path.relpath(place, folder)
    except ValueError:  # on Windows there is no way from one drive to another
        return None


def find_source(head: Mapping[str, Any], folder: Path) -> Path | str:
    """Where the pictures lie; a source that was moved together with the ``folder`` that tells of it is found too."""
    text = str(head["source"])
    if is_address(text) or text.startswith(HUB):
        return text
    return _find_beside(text, folder, head.get("source_from_here"))


def _find_beside(text: str, folder: Path, way: str | None) -> Path:
    beside = folder / way if way is not None else None
    return beside.resolve() if beside is not None and not Path(text).exists() and beside.exists() else Path(text)


def _tell_additions(additions: Path, folder: Path) -> dict[str, str | None]:
    return {"additions": str(additions.resolve()), "additions_from_here": _tell_way(additions, folder)}


def _read_products(path: Path) -> tuple[Product, ...]:
    """The products, equal labels and pictures shared between them."""
    shared: dict[Any, Any] = {}
    products = []
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            plain = json.loads(line)
            labels = plain["labels"]
            parts = {
                "images": tuple(plain["images"]),
                "pixel_hashes": tuple(plain["pixel_hashes"]),
                "labels": shared.setdefault(tuple(labels.items()), labels),
                "group": shared.setdefault(plain["group"], plain["group"]),
                "split": Split(plain["split"]),
            }
            parts |= {key: shared.setdefault(parts[key], parts[key]) for key in ("images", "pixel_hashes")}
            products.append(Product(**plain | parts))
    return tuple(products)


def _read_rejects(path: Path) -> tuple[Reject, ...]:
    return tuple(
        Reject(int(row["line"]) if row["line"] else None, row["id"], RejectReason(row["reason"]), row["detail"])
        for row in _read_csv(path)
    )


def _read_corrections(path: Path) -> tuple[Correction, ...]:
    return tuple(Correction(int(row.pop("line")), Effect(row.pop("effect")), **row) for row in _read_csv(path))


def _read_csv(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table of ours, whatever the length of a field: a source may have values as long."""
    usual = csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8", newline="") as table:
            yield from csv.DictReader(table)
    finally:
        csv.field_size_limit(usual)
