"""From a catalogue to an index on disk."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from vestiary.bundle import Bundle
from vestiary.catalogue import Catalogue, Progress, describe_source
from vestiary.errors import CatalogueError, UsageError, first_sentence
from vestiary.predictor import Predictor, collect_outputs
from vestiary.product import Product
from vestiary.similar.entries import describe_products
from vestiary.similar.files import FORMAT, HEAD, check_place, hash_file, name_file, require_usearch
from vestiary.similar.index import Index, open_index
from vestiary.similar.place import locate

CONNECTIVITY: Final = 16
EXPANSION: Final = 128
"""Links of each picture in the graph, and candidates that are kept while it is put in."""
BLOCK: Final = 16_384
"""Pictures whose outputs are in memory at a time."""


def build_index(
    catalogue: Catalogue,
    predictor: Predictor,
    folder: Path,
    *,
    products: Sequence[Product] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Index:
    """Build an index of ``products`` (None: all of the catalogue) with every view of each, write it and open it.

    ``progress`` is told the pictures done and all. Raises UsageError when ``folder`` holds something and may not be
    replaced, CatalogueError when there are no products or a picture cannot be read any more. Nothing is in ``folder``
    before all is done.
    """
    check_place(folder, overwrite=overwrite)
    require_usearch()
    chosen = catalogue.products if products is None else tuple(products)
    if not chosen:
        raise CatalogueError("This catalogue holds no products; ingest a source that has some.")
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as staging:
            files = {
                "products": _write_products(chosen, catalogue, Path(staging)),
                "vectors": _write_vectors(chosen, catalogue, predictor, Path(staging), progress),
            }
            _write_head(catalogue, predictor.bundle, files, Path(staging), folder)
            _put_in_place(Path(staging), folder, [*(name_file(what, digest) for what, digest in files.items()), HEAD])
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); choose another place.") from error
    return open_index(folder, predictor.bundle)


def _write_head(catalogue: Catalogue, bundle: Bundle, files: Mapping[str, str], staging: Path, folder: Path) -> None:
    head = {
        "format": FORMAT,
        "bundle": {"name": bundle.name, "fingerprint": bundle.fingerprint},
        "catalogue": catalogue.fingerprint,
        **describe_source(catalogue.source, folder),
        "files": files,
    }
    (staging / HEAD).write_text(json.dumps(head, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _write_products(products: Sequence[Product], catalogue: Catalogue, staging: Path) -> str:
    plain = describe_products(products, catalogue.taxonomy.names)
    data = json.dumps(plain, ensure_ascii=False).encode()
    digest = hashlib.sha256(data).hexdigest()
    (staging / name_file("products", digest)).write_bytes(data)
    return digest


def _write_vectors(
    products: Sequence[Product],
    catalogue: Catalogue,
    predictor: Predictor,
    staging: Path,
    progress: Progress | None,
) -> str:
    """The graph of all views, in their order: the same pictures give the same file."""
    usearch = require_usearch()
    views = [replace(product, images=(image,)) for product in products for image in product.images]
    graph: Any = None
    for start in range(0, len(views), BLOCK):

        def tell(done: int, total: int, start: int = start) -> None:
            if progress is not None:
                progress(start + done, len(views))

        block = views[start : start + BLOCK]
        points = locate(predictor.bundle, collect_outputs(predictor, catalogue, block, progress=tell))
        if graph is None:
            graph = usearch.Index(
                ndim=points.shape[1],
                metric="cos",
                dtype="f16",
                connectivity=CONNECTIVITY,
                expansion_add=EXPANSION,
                enable_key_lookups=False,
            )
        graph.add(np.arange(start, start + len(points), dtype=np.uint64), points, threads=1)
    part = staging / "vectors"
    try:
        graph.save(part)
    except RuntimeError as error:  # usearch's word for a full disk
        raise UsageError(
            f"{staging.parent} cannot be written to ({first_sentence(error)}); make room there or choose another place."
        ) from error
    digest = hash_file(part)
    part.replace(staging / name_file("vectors", digest))
    return digest


def _put_in_place(staging: Path, folder: Path, names: Sequence[str]) -> None:
    """Move the files, the last of which makes them count, and then remove those of an index that was there before."""
    folder.mkdir(exist_ok=True)
    before = {file.name for file in folder.iterdir()}
    for name in names:
        os.replace(staging / name, folder / name)
    for name in before - set(names):
        with suppress(OSError):  # a service on Windows may hold it
            (folder / name).unlink()
