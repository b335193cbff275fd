"""Pictures decoded once into a memory-mapped array, and the labels beside them."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestiary.catalogue import Catalogue, Progress, Source
from vestiary.errors import TrainingError, VestiaryError
from vestiary.images import Preprocess
from vestiary.product import Product, Split


@dataclass(frozen=True)
class Samples:
    """Every view of every product, ready for the model.

    ``pixels`` is ``uint8 [n, height, width, 3]``, memory-mapped; ``labels`` is ``int64 [n, attributes]`` with −1 for a
    missing label; ``rows`` maps each split to the sample numbers in it.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: dict[Split, NDArray[np.int64]]


def open_samples(
    catalogue: Catalogue, preprocess: Preprocess, cache: Path, *, progress: Progress | None = None
) -> Samples:
    """The catalogue's samples, decoded into ``cache`` unless the same pictures, so preprocessed, are there already.

    Raises TrainingError when a picture cannot be read any more.
    """
    views = [(product, view) for product in catalogue.products for view in range(len(product.images))]
    path = cache / f"{_cache_key(views, preprocess)}.npy"
    shape = (len(views), preprocess.height, preprocess.width, 3)
    if not _is_whole(path, shape):
        _decode_all(catalogue.open_source(), views, preprocess, path, shape, progress)
    splits = np.array([product.split for product, _ in views])
    labels = [list(catalogue.taxonomy.encode(product.labels).values()) for product, _ in views]
    return Samples(
        pixels=np.load(path, mmap_mode="r"),
        labels=np.array(labels, dtype=np.int64),
        rows={split: np.flatnonzero(splits == split) for split in Split},
    )


def _cache_key(views: list[tuple[Product, int]], preprocess: Preprocess) -> str:
    """Names the content: the pictures' pixels in order, and what is done to them."""
    digest = hashlib.sha256(json.dumps(preprocess.to_dict(), sort_keys=True).encode())
    for product, view in views:
        digest.update(bytes.fromhex(product.pixel_hashes[view]))
    return digest.hexdigest()[:32]


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a cache file is there and can be used; one that was cut short is as good as absent."""
    try:
        pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(pixels.shape == shape and pixels.dtype == np.uint8)


def _decode_all(
    source: Source,
    views: list[tuple[Product, int]],
    preprocess: Preprocess,
    path: Path,
    shape: tuple[int, ...],
    progress: Progress | None,
) -> None:
    """Fill a new cache file, under another name until it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")

    def decode(entry: tuple[Product, int]) -> NDArray[np.uint8]:
        product, view = entry
        try:
            return preprocess(preprocess.read(source.read(product.images[view])).image)
        except VestiaryError as error:
            raise TrainingError(
                f"The picture {product.images[view]} of product {product.id} could be read at ingest but not now "
                f"({error}) Ingest the source again."
            ) from error

    try:
        pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for number, decoded in enumerate(pool.map(decode, views)):
                pixels[number] = decoded
                if progress is not None:
                    progress(number + 1, len(views))
        pixels.flush()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
