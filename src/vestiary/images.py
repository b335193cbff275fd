"""From the bytes of a picture to the pixels a model sees.

Two steps, and the only copy of either: ``read_picture`` turns untrusted bytes into an upright RGB picture within
limits, ``Preprocess`` turns that picture into the ``uint8 [height, width, 3]`` array that training and serving share.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from vestiary.errors import (
    DamagedPictureError,
    NotAPictureError,
    PictureError,
    PictureTooLargeError,
    PictureTooSmallError,
    UsageError,
)

FORMATS: Final = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF")
"""Pillow's names of the formats that are read, where Pillow has the plug-in; all others are refused unparsed."""

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif"}
)
"""File names that are taken for pictures when a folder or an archive is searched."""

# Limits below are checked by us on the header, before anything is decoded, so Pillow's own warning says nothing new;
# nor do those about broken metadata in a picture that can be read all the same.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_SIGNATURES: Final = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF.{4}WEBP|.{4}ftypavi[fs]", re.DOTALL
)
"""First bytes that tell a damaged picture from what never was one; BMP's two letters are too few to tell."""


MAX_PAGES: Final = 100
"""Pages of a TIFF that are counted."""

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a picture upright, by its EXIF orientation."""

_KEPT: Final = ("icc_profile", "transparency")
"""What else Pillow knows of a picture that was turned; the rest might say that it still is to be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may be. ``max_bytes`` in bytes; the others in pixels."""

    max_bytes: int = 50_000_000
    max_pixels: int = 100_000_000
    min_side: int = 8


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    ``image`` is upright and RGB, perhaps smaller than the original when ``size_hint`` allowed it; ``width`` and
    ``height`` are the original's, upright, in pixels; ``sha256`` (hex) is that of the encoded bytes; ``note`` tells
    what a person might want to know ("animated, 12 frames: the first was used").
    """

    image: Image.Image
    width: int
    height: int
    format: str
    mode: str
    sha256: str
    note: str | None = None

    def hash_pixels(self) -> str:
        """SHA-256 (hex) of size and upright RGB pixels: equal for pictures that look the same to the last pixel."""
        digest = hashlib.sha256(f"{self.image.width}x{self.image.height}:".encode())
        digest.update(self.image.tobytes())
        return digest.hexdigest()


def read_file(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a picture file (or pipe), never more than the limit.

    Raises UsageError for a missing path, a folder or a file that may not be read, PictureTooLargeError over the limit.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise UsageError("This is a folder, not a picture; name the pictures in it or the folder itself.")
        if size > limits.max_bytes:
            raise _too_many_bytes(size, limits)
        with path.open("rb") as file:
            return read_stream(file, limits=limits)  # a pipe or a growing file has more bytes than its size says
    except FileNotFoundError as error:
        raise UsageError("There is no such file; check the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not possible"
        raise UsageError(f"The file cannot be read ({reason}); check its name and permissions.") from error


def read_stream(stream: BinaryIO, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """All bytes of a stream; PictureTooLargeError as soon as there are more than the limit."""
    data = stream.read(limits.max_bytes + 1)
    if len(data) > limits.max_bytes:
        raise PictureTooLargeError(f"The file has more than the {limits.max_bytes:,} bytes allowed; save it smaller.")
    return data


def read_picture(data: bytes, *, limits: Limits = DEFAULT_LIMITS, size_hint: tuple[int, int] | None = None) -> Picture:
    """Decode ``data`` to an upright RGB picture.

    EXIF orientation is applied, colour profiles become sRGB, transparency lies over white, 16-bit becomes 8-bit, and
    of an animation the first frame is taken. With ``size_hint`` (width, height) a JPEG may be decoded at a reduced
    scale that is no smaller than the hint. Raises a PictureError and nothing else: NotAPictureError,
    DamagedPictureError, PictureTooLargeError (bytes, or pixels by the header alone, before anything is decoded),
    PictureTooSmallError.
    """
    if not data:
        raise NotAPictureError("The file is empty (0 bytes); send it again or remove it.")
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(len(data), limits)
    try:
        with Image.open(io.BytesIO(data), formats=_readable_formats()) as image:
            return _decode(image, data, limits, size_hint)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise _too_many_pixels(error, limits) from error
    except Exception as error:  # Pillow's plug-ins raise almost anything on broken bytes
        if isinstance(error, UnidentifiedImageError) and not _SIGNATURES.match(data):
            raise NotAPictureError(
                "The file is not a picture we read; use JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF."
            ) from error
        raise DamagedPictureError(
            "The picture is damaged or cut short and cannot be decoded; save or send it again."
        ) from error


def _too_many_bytes(size: int, limits: Limits) -> PictureTooLargeError:
    return PictureTooLargeError(
        f"The file has {size:,} bytes, more than the {limits.max_bytes:,} allowed; save it smaller."
    )


def _too_many_pixels(error: BaseException, limits: Limits) -> PictureTooLargeError:
    """For a picture that Pillow itself refuses by its header, before we see it; only its message has the number."""
    most = min(limits.max_pixels, 2 * Image.MAX_IMAGE_PIXELS) if Image.MAX_IMAGE_PIXELS else limits.max_pixels
    given = re.search(r"\((\d+) pixels\)", str(error))
    if given is None:
        return PictureTooLargeError("The picture is too large for the memory of this machine; make it smaller.")
    return PictureTooLargeError(
        f"The picture has {int(given[1]):,} pixels, more than the {most:,} allowed; make it smaller."
    )


def _readable_formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _decode(image: Image.Image, data: bytes, limits: Limits, size_hint: tuple[int, int] | None) -> Picture:
    width, height = image.size
    _check_size((width, height), limits)
    note = _describe_frames(image)
    file_format, mode = str(image.format), image.mode
    if size_hint is not None and image.format in ("JPEG", "MPO"):
        longest = max(size_hint)  # orientation is not known yet, so the longer side stands for both
        image.draft("RGB" if mode != "CMYK" else "CMYK", (longest, longest))
    image.load()
    turned = file_format != "TIFF" and _read_orientation(image) in (5, 6, 7, 8)  # Pillow turns TIFFs itself
    return Picture(
        image=_to_rgb(_turn_upright(image)),
        width=height if turned else width,
        height=width if turned else height,
        format=file_format,
        mode=mode,
        sha256=hashlib.sha256(data).hexdigest(),
        note=note,
    )


def _read_orientation(image: Image.Image) -> int:
    """The EXIF orientation of a loaded picture, 1 where EXIF is broken."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # Pillow raises what it raises on a broken picture
        return 1


def _turn_upright(image: Image.Image) -> Image.Image:
    """Not by Pillow's ``exif_transpose``, which writes EXIF anew and fails where one entry of it is broken."""
    turn = _TURNS.get(_read_orientation(image))
    if turn is None:
        return image
    upright = image.transpose(turn)
    upright.info = {key: image.info[key] for key in _KEPT if key in image.info}
    return upright


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise PictureTooLargeError(
            f"The picture has {width}×{height} pixels, more than the {limits.max_pixels:,} allowed; make it smaller."
        )
    if min(width, height) < limits.min_side:
        raise PictureTooSmallError(
            f"The picture has only {width}×{height} pixels; at least {limits.min_side}×{limits.min_side} are needed."
        )


def _describe_frames(image: Image.Image) -> str | None:
    if image.format == "TIFF":
        return _describe_pages(image)
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    return f"animated, {frames} frames: the first was used" if frames > 1 else None


def _describe_pages(image: Image.Image) -> str | None:
    """Pages are not counted to the end: Pillow compares each with all before it, which may take hours."""
    pages = 1
    with contextlib.suppress(EOFError):
        while pages <= MAX_PAGES:
            image.seek(pages)
            pages += 1
    image.seek(0)
    what = f"{pages} pages" if pages <= MAX_PAGES else f"more than {MAX_PAGES} pages"
    return f"{what}: the first was used" if pages > 1 else None


def to_upright_rgb(image: Image.Image, *, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Any Pillow picture as an upright RGB one: the same rules as for ``read_picture``, which uses this.

    Raises PictureTooLargeError or PictureTooSmallError by its size, and whatever Pillow raises on a broken one that was
    opened lazily.
    """
    _check_size(image.size, limits)
    image.load()
    return _to_rgb(_turn_upright(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (16,))  # of TIFFs, a number a channel
        return _from_deep(np.asarray(image), bits=min(bits))
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layers).convert("RGB")
    if image.mode == "P":
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _to_srgb(image, profile)
    return image.convert("RGB")


def _from_deep(pixels: NDArray[Any], *, bits: int) -> Image.Image:
    """One-channel pictures of up to 32 bits: of 0..1, 0..255 and 0..65535 the largest value tells the range.

    Where there are fewer than 16 ``bits``, as in TIFFs of 12, those tell it.
    """
    values = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    if pixels.dtype == np.uint16 or top > 255:
        values = values * 255.0 / (2 ** min(bits, 16) - 1)
    elif pixels.dtype.kind == "f" and top <= 1:
        values = values * 255.0
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours by the embedded profile; a profile that does not fit or cannot be read is ignored, as browsers do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and "srgb" in (ImageCms.getProfileDescription(source) or "").lower():
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return image if converted is None else converted


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The one way from a picture to a model's input.

    The picture is scaled to fit inside ``width`` × ``height`` pixels, its aspect kept, and centred on ``background``
    (an RGB triple, 0..255). Normalisation is the model's own business.
    """

    width: int
    height: int
    background: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self) -> None:
        """Refuse sizes that no picture could have."""
        if not (8 <= self.width <= 4096 and 8 <= self.height <= 4096):
            raise UsageError(f"A model input of {self.width}×{self.height} px is not possible; use 8 to 4096.")

    def read(self, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
        """``read_picture`` at the scale that this preprocess needs: JPEGs at no less than twice the target."""
        return read_picture(data, limits=limits, size_hint=(2 * self.width, 2 * self.height))

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """``uint8 [height, width, 3]`` of an RGB picture of any size."""
        image = image.convert("RGB")
        scale = min(self.width / image.width, self.height / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        if size != image.size:
            image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
        if size != (self.width, self.height):
            canvas = Image.new("RGB", (self.width, self.height), self.background)
            canvas.paste(image, ((self.width - size[0]) // 2, (self.height - size[1]) // 2))
            image = canvas
        return np.asarray(image, dtype=np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        return asdict(self) | {"background": list(self.background)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Preprocess:
        """Read what ``to_dict`` wrote."""
        red, green, blue = (int(part) for part in plain["background"])
        return cls(width=int(plain["width"]), height=int(plain["height"]), background=(red, green, blue))
