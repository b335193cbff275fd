"""One look at every picture of a catalogue: what the checks of files and duplicates, and the report, need to know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vestiary.catalogue import Catalogue, Progress, Source
from vestiary.catalogue.sources import name_place
from vestiary.errors import AddressUnreachableError, PictureError, UsageError
from vestiary.images import read_picture
from vestiary.tags import Failure

MEASURE_SIDE: Final = 128
"""Pictures are measured with their longer side at this many pixels at most, so that figures do not depend on size."""

BACKGROUND_TOLERANCE: Final = 12
"""A pixel is background when no channel is further from the border's median colour than this, of 255."""

HASH_BITS: Final = 256
THUMBNAIL_SIDE: Final = 24

_HASH_SIDE: Final = 32
_CHUNK: Final = 2048
_COSINES: Final[NDArray[np.float64]] = np.cos(
    np.pi * np.arange(16)[:, None] * (2 * np.arange(_HASH_SIDE)[None, :] + 1) / (2 * _HASH_SIDE)
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture looks like, measured at no more than MEASURE_SIDE pixels on its longer side.

    ``brightness`` is the mean luma (ITU-R 601), ``highlights`` its 95th percentile, both 0..255; ``contrast`` the
    largest standard deviation of a colour channel, 0..127.5; ``background`` the share of pixels, 0..1, that have the
    colour of the border; ``sharpness`` see ``measure_sharpness``; ``hash`` the 32 bytes of ``hash_picture``;
    ``thumbnail`` the bytes of ``uint8 [24, 24, 3]`` RGB pixels, the aspect not kept.
    """

    brightness: float
    highlights: float
    contrast: float
    background: float
    sharpness: float
    hash: bytes
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One picture of a product: ``image`` is its name in the source, ``n_bytes`` the size of the file.

    ``width`` and ``height`` are the upright picture's, in pixels; ``format`` and ``mode`` are Pillow's words ("JPEG",
    "RGB"). Where the picture cannot be used ``failure`` says why (code "missing", "unreadable" or that of a
    PictureError), ``look`` is None and sizes are 0.
    """

    product: str
    image: str
    n_bytes: int = 0
    width: int = 0
    height: int = 0
    format: str = ""
    mode: str = ""
    look: Look | None = None
    failure: Failure | None = None


def measure_pictures(catalogue: Catalogue, *, progress: Progress | None = None) -> list[PictureFacts]:
    """Decode and measure every picture once: one PictureFacts a picture, product by product in catalogue order.

    A picture that cannot be read has a ``failure`` and stops nothing. About 2 KB of memory a picture. Raises
    CatalogueError when the whole source is gone, AddressError when its store does not answer.
    """
    source = catalogue.open_source()
    present = frozenset(source.names())
    wanted = [(product.id, image) for product in catalogue.products for image in product.images]

    def look(entry: tuple[str, str]) -> PictureFacts:
        return _measure_file(source, present, *entry)

    facts: list[PictureFacts] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(wanted), _CHUNK):
            for found in pool.map(look, wanted[start : start + _CHUNK]):
                facts.append(found)
                if progress is not None:
                    progress(len(facts), len(wanted))
    return facts


def _measure_file(source: Source, present: frozenset[str], product: str, image: str) -> PictureFacts:
    if image not in present and not source.exists(image):  # those that came with corrections are in no listing
        place = name_place(source.path)
        return PictureFacts(product, image, failure=Failure("missing", f"{image} is not in {place}."))
    data = b""
    try:
        data = source.read(image)
        picture = read_picture(data, size_hint=(MEASURE_SIDE, MEASURE_SIDE))
    except PictureError as error:
        return PictureFacts(product, image, n_bytes=len(data), failure=Failure(error.code, str(error)))
    except AddressUnreachableError:  # nothing is wrong with the picture
        raise
    except UsageError as error:
        return PictureFacts(product, image, failure=Failure("unreadable", str(error)))
    return PictureFacts(
        product=product,
        image=image,
        n_bytes=len(data),
        width=picture.width,
        height=picture.height,
        format=picture.format,
        mode=picture.mode,
        look=measure_look(picture.image),
    )


def measure_look(image: Image.Image) -> Look:
    """Measure an upright RGB picture of any size."""
    scale = MEASURE_SIDE / max(image.size)
    if scale < 1:
        size = (max(3, round(image.width * scale)), max(3, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX)
    grey = image.convert("L")
    luma = np.asarray(grey, dtype=np.float32)
    pixels = np.asarray(image, dtype=np.uint8)
    thumbnail = image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BICUBIC)
    return Look(
        brightness=float(luma.mean()),
        highlights=float(np.percentile(luma, 95)),
        contrast=float(pixels.reshape(-1, 3).std(axis=0, dtype=np.float32).max()),
        background=_measure_background(pixels),
        sharpness=measure_sharpness(luma),
        hash=hash_picture(grey),
        thumbnail=thumbnail.tobytes(),
    )


def measure_sharpness(luma: NDArray[np.float32]) -> float:
    """Variance of the Laplacian over the variance of the luma ``float32 [height, width]``; 0 for a single tone.

    The variance of the Laplacian is the focus measure LAPV of Pech-Pacheco et al. (2000), "Diatom autofocusing in
    brightfield microscopy: a comparative study"; divided by the variance of the picture itself it does not depend on
    contrast, so that a plain white shirt on white is not taken for a blurred one.
    """
    variance = float(luma.var())
    if variance < 1e-6:
        return 0.0
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(laplacian.var()) / variance


def hash_picture(grey: Image.Image) -> bytes:
    """256 bits, as 32 bytes, that few changes but those of the content turn: a perceptual hash by cosine transform.

    The picture is scaled to 32×32, transformed (DCT-II), and each of the 16×16 lowest frequencies gives a bit: above
    the median of them or not. This is the DCT hash of Zauner (2010), "Implementation and benchmarking of perceptual
    image hash functions", with four times its bits.
    """
    small = np.asarray(grey.resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.BICUBIC), dtype=np.float64)
    waves = (_COSINES @ small @ _COSINES.T).ravel().round(3)  # so that rounding errors turn no bits
    return np.packbits(waves > np.median(waves)).tobytes()


def stack_bytes(rows: Sequence[bytes]) -> NDArray[np.uint8]:
    """``uint8 [n, bytes]`` of hashes or thumbnails."""
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), -1)


def _measure_background(pixels: NDArray[np.uint8]) -> float:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = np.median(border, axis=0).astype(np.int16)
    return float((np.abs(pixels.astype(np.int16) - colour).max(axis=2) <= BACKGROUND_TOLERANCE).mean())
