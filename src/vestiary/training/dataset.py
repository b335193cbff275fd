"""Pictures decoded once into a memory-mapped array, and the labels beside them."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vestiary.catalogue import Catalogue, Progress, Source
from vestiary.errors import TrainingError, VestiaryError
from vestiary.images import Preprocess
from vestiary.product import Product, Split

COPIED_AT_ONCE = 4096
"""Pictures."""


@dataclass(frozen=True)
class Samples:
    """Every view of every product, ready for the model.

    ``pixels`` is ``uint8 [n, height, width, 3]``, memory-mapped; ``labels`` is ``int64 [n, attributes]`` with −1 for a
    missing label; ``rows`` maps each split to the sample numbers in it.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: dict[Split, NDArray[np.int64]]


class Pictures:
    """Samples by number, on a device.

    ``resident`` copies the pixels of training and validation there once, as they are; otherwise they are fetched from
    the memory-mapped file batch by batch.
    """

    def __init__(self, samples: Samples, device: torch.device, *, resident: bool) -> None:
        self.samples, self.device = samples, device
        self._labels = torch.from_numpy(samples.labels).to(device)
        self._resident: Tensor | None = None
        if resident:
            rows = np.concatenate([samples.rows[Split.TRAIN], samples.rows[Split.VALIDATION]])
            self._resident = torch.empty((len(rows), *samples.pixels.shape[1:]), dtype=torch.uint8, device=device)
            for start in range(0, len(rows), COPIED_AT_ONCE):
                chosen = rows[start : start + COPIED_AT_ONCE]
                self._resident[start : start + len(chosen)] = torch.from_numpy(samples.pixels[chosen])
            self._place = np.full(len(samples.pixels), -1, dtype=np.int64)
            self._place[rows] = np.arange(len(rows))

    def pixels(self, rows: NDArray[np.int64]) -> Tensor:
        """``uint8 [n, height, width, 3]`` of samples of the training and validation split."""
        if self._resident is None:
            return torch.from_numpy(self.samples.pixels[rows]).to(self.device, non_blocking=True)
        return self._resident[torch.from_numpy(self._place[rows]).to(self.device, non_blocking=True)]

    def labels(self, rows: NDArray[np.int64]) -> Tensor:
        """``int64 [n, attributes]``, −1 for a missing label."""
        return self._labels[torch.from_numpy(rows).to(self.device, non_blocking=True)]


def fits_on(device: torch.device, samples: Samples) -> bool:
    """Whether the pixels take less than half of a GPU's free memory; the processor's memory has them as a file."""
    return device.type == "cuda" and samples.pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2


def open_samples(
    catalogue: Catalogue, preprocess: Preprocess, cache: Path, *, progress: Progress | None = None
) -> Samples:
    """The catalogue's samples, decoded into ``cache`` unless the same pictures, so preprocessed, are there already.

    Raises TrainingError when a picture cannot be read any more, or ``cache`` not be written to.
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
    """Write a new cache file, under another name until it is whole.

    Not through a mapping: when the disk is full, the write to a mapped page kills the process.
    """
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
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for number, decoded in enumerate(pool.map(decode, views), start=1):
                file.write(decoded.tobytes())
                if progress is not None:
                    progress(number, len(views))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise TrainingError(
            f"Decoded pictures cannot be written to {path.parent} ({error.strerror}); make room there or mend the "
            "place, and start again."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
