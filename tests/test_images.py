"""Bytes in, upright RGB or one plain sentence out: odd, broken and hostile pictures, all made here."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, features

from vestiary.errors import (
    DamagedPictureError,
    NotAPictureError,
    PictureError,
    PictureTooLargeError,
    PictureTooSmallError,
    UsageError,
)
from vestiary.images import FORMATS, Limits, Picture, Preprocess, read_file, read_picture

# vestiary.images silences the same warnings in a user's process; pytest puts its own filters before those.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")

HAS_AVIF = features.check("avif")
CORNERS = {(0, 0): (255, 0, 0), (1, 0): (0, 255, 0), (0, 1): (0, 0, 255), (1, 1): (0, 0, 0)}
UNDO = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What turns an upright picture into the one that a camera stores with each EXIF orientation."""


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def draw_corners(width: int = 48, height: int = 80) -> Image.Image:
    """White, with a block of another colour in each corner: no two of the eight orientations look alike."""
    image = Image.new("RGB", (width, height), "white")
    for (right, low), colour in CORNERS.items():
        image.paste(
            colour, (right * (width - 16), low * (height - 16), *(right * (width - 16) + 16, low * (height - 16) + 16))
        )
    return image


def draw_scene(width: int, height: int) -> Image.Image:
    """Slopes of colour and a dark figure with hard edges, as in a product photo."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    image = Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype(np.uint8))
    image.paste((30, 20, 60), (width // 4, height // 5, width // 2, height // 2))
    return image


def draw_noise(width: int = 40, height: int = 24) -> Image.Image:
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def pixels_of(data: bytes, **options: Any) -> NDArray[np.int64]:
    return np.asarray(read_picture(data, **options).image).astype(np.int64)


def orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def make_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_huge(file_format: str, width: int, height: int) -> bytes:
    """A small file whose header claims ``width`` × ``height`` pixels."""
    if file_format == "PNG":
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        parts = make_chunk(b"IHDR", header), make_chunk(b"IDAT", zlib.compress(b"")), make_chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    data = bytearray(encode(Image.new("RGB", (16, 16)), file_format))
    if file_format == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif file_format == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    elif file_format == "TIFF":
        for tag, number in ((256, width), (257, height)):
            at = next(data.index(entry) for kind in (3, 4) if (entry := struct.pack("<HHI", tag, kind, 1)) in data)
            data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, number)
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def swap_red_and_green() -> bytes:
    """An RGB colour profile that calls red what sRGB calls green, and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    return profile.replace("sRGB".encode("utf-16-be"), "Test".encode("utf-16-be"))


def assert_plain(error: BaseException) -> None:
    """One sentence for a person: what was found; what to do. No trace of the libraries below."""
    message = str(error)
    assert re.fullmatch(r"[A-Z][^\n]*; [^\n]*[\w)]\.", message), message
    assert ". " not in message
    jargon = (
        r"PIL|Pillow|Errno|\w+Error|Exception|object at|0x|codec|bytes-like|buffer|None|\bstream|truncated|Unidentified"
    )
    assert not re.search(jargon, message), message


def assert_refused(data: bytes, kind: type[PictureError], **options: Any) -> str:
    with pytest.raises(PictureError) as refusal:
        read_picture(data, **options)
    assert type(refusal.value) is kind
    assert_plain(refusal.value)
    return str(refusal.value)


def assert_picture_or_refusal(data: bytes) -> None:
    try:
        picture = read_picture(data, limits=Limits(max_pixels=1_000_000))
    except PictureError as error:
        assert_plain(error)
    else:
        assert picture.image.mode == "RGB"
        assert picture.image.size == (picture.width, picture.height)


# What is no picture, or too much, or too little


def test_zero_bytes_are_no_picture() -> None:
    assert "empty (0 bytes)" in assert_refused(b"", NotAPictureError)


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this is no picture",
        b"\0" * 5000,
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"BMW, 3 doors",
    ],
    ids=["text", "zeros", "pdf", "svg", "text that begins with BM"],
)
def test_other_files_are_no_pictures_and_the_message_names_what_is(data: bytes) -> None:
    assert "JPEG, PNG, WebP" in assert_refused(data, NotAPictureError)


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "TGA", "PCX", "JPEG2000"])
def test_formats_off_the_list_are_refused_though_the_library_could_read_them(file_format: str) -> None:
    assert_refused(encode(draw_noise(32, 32), file_format), NotAPictureError)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_picture_cut_short_is_damaged(file_format: str, kept: float) -> None:
    data = encode(draw_noise(120, 90), file_format)
    assert "cut short" in assert_refused(data[: max(10, int(len(data) * kept))], DamagedPictureError)


def test_a_png_cut_right_after_its_header_is_damaged_not_an_unknown_format() -> None:
    assert_refused(encode(draw_noise(), "PNG")[:33], DamagedPictureError)


def test_a_jpeg_without_its_end_mark_is_damaged() -> None:
    assert_refused(encode(draw_noise(), "JPEG")[:-2], DamagedPictureError)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7)])
def test_a_picture_with_a_side_under_8_pixels_is_too_small(size: tuple[int, int]) -> None:
    message = assert_refused(encode(Image.new("RGB", size), "PNG"), PictureTooSmallError)
    assert f"{size[0]}×{size[1]}" in message
    assert "8×8" in message


def test_a_side_of_8_pixels_is_enough() -> None:
    assert read_picture(encode(Image.new("RGB", (8, 8)), "PNG")).image.size == (8, 8)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "JPEG", "GIF", "TIFF"])
@pytest.mark.parametrize(
    ("width", "height", "found"),
    [(30_000, 30_000, "900,000,000"), (12_000, 9_000, "12000×9000")],
    ids=["900 MP", "108 MP"],
)
def test_a_header_with_too_many_pixels_is_refused_before_decoding(
    file_format: str, width: int, height: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[object] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", loads.append)
    message = assert_refused(make_huge(file_format, width, height), PictureTooLargeError)
    assert found in message
    assert "100,000,000" in message
    assert loads == []


def test_the_pixel_limit_itself_is_allowed_and_one_more_is_not() -> None:
    data = encode(draw_noise(40, 24), "PNG")
    assert read_picture(data, limits=Limits(max_pixels=40 * 24)).width == 40
    message = assert_refused(data, PictureTooLargeError, limits=Limits(max_pixels=40 * 24 - 1))
    assert "40×24" in message
    assert "959" in message


def test_the_byte_limit_itself_is_allowed_and_one_more_is_not() -> None:
    data = encode(draw_noise(), "PNG")
    assert read_picture(data, limits=Limits(max_bytes=len(data))).width == 40
    message = assert_refused(data, PictureTooLargeError, limits=Limits(max_bytes=len(data) - 1))
    assert f"{len(data):,}" in message
    assert f"{len(data) - 1:,}" in message


def test_broken_metadata_spoils_no_picture_and_prints_nothing(tmp_path: Path) -> None:
    plain = encode(draw_noise(), "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    path = tmp_path / "odd.jpg"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    assert np.array_equal(pixels_of(path.read_bytes()), pixels_of(plain))
    script = "import sys, vestiary.images as v; print(v.read_picture(open(sys.argv[1], 'rb').read()).width)"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("40", "")


def test_a_broken_exif_block_spoils_no_png_or_webp() -> None:
    plain, broken = encode(draw_noise(), "PNG"), b"eXIfno TIFF at all"
    chunk = struct.pack(">I", len(broken) - 4) + broken + struct.pack(">I", zlib.crc32(broken))
    assert np.array_equal(pixels_of(plain[:33] + chunk + plain[33:]), pixels_of(plain))
    webp = encode(draw_noise(), "WEBP", lossless=True, exif=b"Exif\0\0no TIFF at all")
    assert np.array_equal(pixels_of(webp), pixels_of(plain))
    with pytest.raises(DamagedPictureError):
        read_picture(plain[:33] + chunk + plain[33:-200])


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_an_exif_entry_of_the_wrong_kind_does_not_keep_a_picture_from_being_turned(file_format: str) -> None:
    turn, resolution = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHI4s", 0x011A, 2, 2, b"7")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + turn + resolution + bytes(4)
    picture = read_picture(encode(draw_corners().transpose(UNDO[6]), file_format, exif=exif))
    assert picture.image.size == draw_corners().size
    assert np.abs(np.asarray(picture.image).astype(int) - np.asarray(draw_corners())).mean() < 4
    assert picture.image.getexif() == {}


# Odd but sound pictures


@pytest.mark.parametrize(("pages", "told"), [(2, "2 pages"), (100, "100 pages"), (101, "more than 100 pages")])
def test_of_a_tiff_the_first_page_is_used_and_pages_are_counted_to_a_hundred(pages: int, told: str) -> None:
    first, others = draw_noise(16, 16), [Image.new("L", (8, 8))] * (pages - 1)
    picture = read_picture(encode(first, "TIFF", save_all=True, append_images=others))
    assert np.array_equal(np.asarray(picture.image), np.asarray(first))
    assert picture.note == f"{told}: the first was used"


@pytest.mark.parametrize(
    "file_format",
    ["GIF", "PNG", "WEBP", pytest.param("AVIF", marks=pytest.mark.skipif(not HAS_AVIF, reason="no AVIF"))],
)
def test_of_an_animation_the_first_frame_is_used_and_the_note_says_so(file_format: str) -> None:
    red, green, blue = (Image.new("RGB", (20, 20), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    picture = read_picture(encode(red, file_format, save_all=True, append_images=[green, blue]))
    assert np.abs(np.asarray(picture.image).astype(int) - (255, 0, 0)).max() <= 6
    assert picture.note is not None
    assert "3 frames" in picture.note
    assert "first" in picture.note


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "JPEG", "MPO"])
def test_a_still_picture_needs_no_note(file_format: str) -> None:
    more = {"save_all": True, "append_images": [draw_noise()]} if file_format == "MPO" else {}
    assert read_picture(encode(draw_noise(), file_format, **more)).note is None


def test_the_picture_tells_size_format_mode_and_the_hash_of_its_bytes() -> None:
    data = encode(draw_noise(40, 24).convert("L"), "PNG")
    picture = read_picture(data)
    assert (picture.width, picture.height, picture.format, picture.mode) == (40, 24, "PNG", "L")
    assert picture.sha256 == hashlib.sha256(data).hexdigest()


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    for colour in ((255, 0, 0), (0, 128, 0), (255, 255, 255), (0, 0, 0)):
        data = encode(Image.new("RGB", (32, 32), colour).convert("CMYK"), "JPEG", quality=95)
        assert read_picture(data).mode == "CMYK"
        assert np.abs(pixels_of(data) - colour).max() <= 6


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_becomes_8_bit_grey(file_format: str) -> None:
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    data = encode(Image.fromarray(grey * 257), file_format)
    assert read_picture(data).mode.startswith("I;16")
    assert np.array_equal(pixels_of(data), grey[..., None].repeat(3, 2))


def test_a_nearly_black_16_bit_picture_stays_nearly_black() -> None:
    assert pixels_of(encode(Image.fromarray(np.full((16, 16), 200, np.uint16)), "PNG")).max() == 0


def test_12_bit_grey_becomes_8_bit_grey() -> None:
    """Two values of 12 bits in three bytes, a form that Pillow reads but does not write."""
    pixels = bytes.fromhex("fff808") * (16 * 8)
    tags = ((256, 16), (257, 16), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 16), (279, len(pixels)))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = head + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert set(pixels_of(data)[:, ::2].ravel()) == {255}
    assert set(pixels_of(data)[:, 1::2].ravel()) == {0x808 * 255 // 4095}


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_pictures_are_read_in_the_range_they_use(top: float) -> None:
    slope = np.linspace(0, top, 256, dtype=np.float32).reshape(16, 16)
    data = encode(Image.fromarray(slope), "TIFF")
    assert read_picture(data).mode == "F"
    assert np.abs(pixels_of(data)[..., 0].ravel() - np.arange(256)).max() <= 1


def test_a_float_picture_with_holes_is_still_read() -> None:
    values = np.full((16, 16), 0.5, np.float32)
    values[0, :4] = (np.nan, np.inf, -np.inf, -3)
    pixels = pixels_of(encode(Image.fromarray(values), "TIFF"))
    assert pixels[0, :4].max() == 0
    assert set(pixels[1:].ravel()) == {127}


def test_transparency_lies_over_white_in_a_palette_picture() -> None:
    image = Image.new("P", (24, 24), 0)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.paste(1, (8, 0, 16, 24))
    image.paste(2, (16, 0, 24, 24))
    pixels = pixels_of(encode(image, "PNG", transparency=bytes([0, 128, 255])))
    assert [tuple(pixels[5, x]) for x in (2, 10, 20)] == [(255, 255, 255), (255, 127, 127), (0, 0, 255)]


def test_transparency_lies_over_white_in_a_grey_picture() -> None:
    image = Image.new("LA", (24, 24), (0, 0))
    image.paste((0, 255), (12, 0, 24, 24))
    pixels = pixels_of(encode(image, "PNG"))
    assert tuple(pixels[5, 2]) == (255, 255, 255)
    assert tuple(pixels[5, 20]) == (0, 0, 0)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_transparency_lies_over_white_in_a_colour_picture(file_format: str) -> None:
    image = Image.new("RGBA", (24, 24), (10, 20, 30, 0))
    image.paste((200, 100, 50, 255), (12, 0, 24, 24))
    pixels = pixels_of(encode(image, file_format, **({"lossless": True} if file_format == "WEBP" else {})))
    assert tuple(pixels[5, 2]) == (255, 255, 255)
    assert tuple(pixels[5, 20]) == (200, 100, 50)


def test_a_colour_marked_as_transparent_becomes_white() -> None:
    image = Image.new("RGB", (24, 24), (1, 2, 3))
    image.paste((200, 100, 50), (12, 0, 24, 24))
    pixels = pixels_of(encode(image, "PNG", transparency=(1, 2, 3)))
    assert [tuple(pixels[5, x]) for x in (2, 20)] == [(255, 255, 255), (200, 100, 50)]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_and_white_and_grey_become_rgb(mode: str) -> None:
    image = draw_corners().convert(mode, dither=Image.Dither.NONE)
    assert np.array_equal(pixels_of(encode(image, "PNG")), np.asarray(image.convert("RGB")))


LOSSLESS = [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})]
LOSSY = [("JPEG", {"quality": 95}), ("AVIF", {"quality": 95})]


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize(("file_format", "options"), LOSSLESS + LOSSY, ids=lambda value: str(value))
def test_every_exif_orientation_is_turned_upright(number: int, file_format: str, options: dict[str, Any]) -> None:
    if file_format == "AVIF" and not HAS_AVIF:
        pytest.skip("no AVIF")
    upright = draw_corners()
    undo = UNDO[number]
    stored = upright if undo is None else upright.transpose(undo)
    picture = read_picture(encode(stored, file_format, exif=orientation(number), **options))
    assert picture.image.size == (picture.width, picture.height) == upright.size
    difference = np.abs(np.asarray(picture.image).astype(int) - np.asarray(upright).astype(int))
    if (file_format, options) in LOSSLESS:
        assert difference.max() == 0
    for x, y in ((4, 4), (43, 4), (4, 75), (43, 75)):
        assert difference[y, x].max() <= 12


@pytest.mark.parametrize("number", [0, 9, 77])
def test_an_impossible_exif_orientation_is_ignored(number: int) -> None:
    upright = draw_corners()
    assert np.array_equal(pixels_of(encode(upright, "PNG", exif=orientation(number))), np.asarray(upright))


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "RGB"), ("JPEG", "RGB"), ("PNG", "P"), ("PNG", "RGBA")])
def test_an_embedded_profile_changes_the_colours_to_srgb(file_format: str, mode: str) -> None:
    image = Image.new("RGB", (16, 16), (255, 0, 0)).convert(mode)
    assert np.abs(pixels_of(encode(image, file_format, icc_profile=swap_red_and_green())) - (0, 255, 0)).max() <= 3


def test_an_embedded_srgb_profile_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(pixels_of(encode(draw_noise(), "PNG", icc_profile=srgb)), np.asarray(draw_noise()))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("profile", ["broken", "cut", "lab"])
def test_a_profile_that_is_broken_or_of_another_kind_is_ignored(mode: str, profile: str) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    bodies = {"broken": b"no profile at all", "cut": swap_red_and_green()[:200], "lab": lab}
    image = draw_noise().convert(mode)
    data = encode(image, "PNG", icc_profile=bodies[profile])
    assert np.array_equal(pixels_of(data), np.asarray(image.convert("RGB")))


# Reduced decoding


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_size_hint_decodes_a_jpeg_smaller_but_no_smaller_than_the_hint(mode: str) -> None:
    data = encode(draw_scene(1600, 1200).convert(mode), "JPEG")
    picture = read_picture(data, size_hint=(150, 200))
    assert picture.image.mode == "RGB"
    assert 200 <= picture.image.width < 1600
    assert 200 <= picture.image.height < 1200
    assert (picture.width, picture.height) == (1600, 1200)


def test_a_turned_picture_decoded_smaller_still_tells_its_upright_size() -> None:
    picture = read_picture(encode(draw_scene(1600, 1200), "JPEG", exif=orientation(6)), size_hint=(150, 200))
    assert (picture.width, picture.height) == (1200, 1600)
    assert picture.image.width < picture.image.height


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    width=st.integers(8, 400),
    height=st.integers(8, 400),
    hint=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    turn=st.sampled_from([1, 6]),
)
def test_no_hint_makes_a_picture_smaller_than_the_hint(
    width: int, height: int, hint: tuple[int, int], turn: int
) -> None:
    data = encode(Image.new("RGB", (width, height), "navy"), "JPEG", exif=orientation(turn))
    picture = read_picture(data, size_hint=hint)
    assert picture.image.width >= min(picture.width, hint[0])
    assert picture.image.height >= min(picture.height, hint[1])


@pytest.mark.parametrize("size", [(1080, 1440), (1440, 1080), (500, 2000), (301, 399), (60, 80), (30, 40)])
@pytest.mark.parametrize("target", [(60, 80), (224, 224)])
def test_reduced_decoding_hardly_changes_what_the_model_sees(size: tuple[int, int], target: tuple[int, int]) -> None:
    data = encode(draw_scene(*size), "JPEG", quality=92)
    preprocess = Preprocess(*target)
    full = preprocess(read_picture(data).image).astype(int)
    reduced = preprocess(preprocess.read(data).image).astype(int)
    assert np.abs(full - reduced).mean() < 3


def test_preprocess_reads_within_the_limits_it_is_given() -> None:
    with pytest.raises(PictureTooLargeError):
        Preprocess(60, 80).read(encode(draw_noise(), "JPEG"), limits=Limits(max_pixels=100))


# Files


def test_a_picture_file_is_read_whole_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"x" * 100)
    assert read_file(path, limits=Limits(max_bytes=100)) == b"x" * 100


def test_a_file_over_the_limit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"x" * 1234)
    with pytest.raises(PictureTooLargeError, match=r"1,234 bytes.*1,233 allowed") as refusal:
        read_file(path, limits=Limits(max_bytes=1233))
    assert_plain(refusal.value)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device that never ends")
def test_a_file_that_never_ends_is_refused_at_the_limit() -> None:
    with pytest.raises(PictureTooLargeError, match=r"more than the 1,000 bytes") as refusal:
        read_file(Path("/dev/zero"), limits=Limits(max_bytes=1000))
    assert_plain(refusal.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "folder"),
        ("missing.jpg", "no such file"),
        ("file/below.jpg", "cannot be read"),
        ("a\0b.jpg", "cannot be read"),
    ],
    ids=["folder", "missing", "below a file", "impossible name"],
)
def test_a_path_that_is_no_file_is_a_mistake_in_use(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UsageError, match=says) as refusal:
        read_file(tmp_path / name)
    assert_plain(refusal.value)


# The hash of the pixels


def test_the_pixel_hash_depends_on_the_pixels_not_on_the_file() -> None:
    image = draw_noise()
    expected = read_picture(encode(image, "PNG")).hash_pixels()
    assert re.fullmatch(r"[0-9a-f]{64}", expected)
    for file_format, options in (
        ("BMP", {}),
        ("TIFF", {}),
        ("PNG", {"compress_level": 1}),
        ("WEBP", {"lossless": True}),
    ):
        assert read_picture(encode(image, file_format, **options)).hash_pixels() == expected
    assert read_picture(encode(image.convert("RGBA"), "PNG")).hash_pixels() == expected
    turned = encode(image.transpose(Image.Transpose.ROTATE_90), "PNG", exif=orientation(6))
    assert read_picture(turned).hash_pixels() == expected


def test_the_pixel_hash_tells_one_changed_pixel_and_another_shape() -> None:
    plain = Image.new("RGB", (40, 24), (9, 9, 9))
    changed = plain.copy()
    changed.putpixel((39, 23), (9, 9, 10))
    pictures = (plain, changed, Image.new("RGB", (24, 40), (9, 9, 9)))
    assert len({read_picture(encode(image, "PNG")).hash_pixels() for image in pictures}) == 3


# Preprocess


@pytest.mark.parametrize("size", [(60, 80), (100, 50), (50, 100), (8, 8), (3000, 9), (9, 3000), (1, 1)])
def test_a_model_input_always_has_the_same_shape_and_type(size: tuple[int, int]) -> None:
    pixels = Preprocess(48, 64)(Image.new("RGB", size, "navy"))
    assert pixels.shape == (64, 48, 3)
    assert pixels.dtype == np.uint8


def test_a_picture_of_the_right_size_passes_unchanged() -> None:
    image = draw_noise(60, 80)
    assert np.array_equal(Preprocess(60, 80)(image), np.asarray(image))


def test_a_wide_picture_keeps_its_aspect_between_white_bands() -> None:
    pixels = Preprocess(40, 40)(Image.new("RGB", (100, 50), (200, 0, 0)))
    assert (pixels[10:30] == (200, 0, 0)).all()
    assert (pixels[:10] == 255).all()
    assert (pixels[30:] == 255).all()


def test_a_tall_picture_keeps_its_aspect_between_white_bands() -> None:
    pixels = Preprocess(40, 40)(Image.new("RGB", (5, 10), (0, 0, 200)))
    assert (pixels[:, 10:30] == (0, 0, 200)).all()
    assert (pixels[:, :10] == 255).all()
    assert (pixels[:, 30:] == 255).all()


def test_the_bands_take_the_background_asked_for() -> None:
    assert tuple(Preprocess(40, 40, background=(1, 2, 3))(Image.new("RGB", (100, 50)))[0, 0]) == (1, 2, 3)


def test_preprocess_survives_json() -> None:
    preprocess = Preprocess(60, 80, background=(1, 2, 3))
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize(("width", "height"), [(0, 80), (60, 0), (-60, 80), (7, 80), (60, 7), (4097, 80), (60, 4097)])
def test_an_impossible_model_input_is_refused(width: int, height: int) -> None:
    with pytest.raises(UsageError, match=f"{width}×{height}") as refusal:
        Preprocess(width, height)
    assert_plain(refusal.value)


# Whatever the bytes


def make_samples() -> list[bytes]:
    """One small sound picture of each kind that is read."""
    image, other = draw_noise(), Image.new("RGB", (40, 24), "red")
    animated: dict[str, Any] = {"save_all": True, "append_images": [other]}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("JPEG", {"exif": orientation(6)}),
        ("JPEG", {"progressive": True, "icc_profile": swap_red_and_green()}),
        ("MPO", animated),
        ("PNG", {"exif": orientation(6), "icc_profile": swap_red_and_green()}),
        ("PNG", animated),
        ("WEBP", {}),
        ("WEBP", animated),
        ("GIF", {}),
        ("GIF", animated),
        ("TIFF", {"exif": orientation(6)}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        *([("AVIF", {})] if HAS_AVIF else []),
    ]
    return [encode(image, file_format, **options) for file_format, options in kinds]


SAMPLES = make_samples()
MAGICS = sorted({data[:16] for data in SAMPLES} | {data[:4] for data in SAMPLES} | {data[:40] for data in SAMPLES})
fuzz = settings(derandomize=True, deadline=None, max_examples=250)


def test_the_samples_are_sound_and_of_every_format() -> None:
    pictures = [read_picture(data) for data in SAMPLES]
    assert all(isinstance(picture, Picture) for picture in pictures)
    assert {picture.format for picture in pictures} == set(FORMATS) - {"HEIF"} - (set() if HAS_AVIF else {"AVIF"})


@fuzz
@given(st.binary(max_size=300))
def test_random_bytes_are_a_picture_or_a_refusal(data: bytes) -> None:
    assert_picture_or_refusal(data)


@fuzz
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_random_bytes_behind_the_first_bytes_of_a_format_are_a_picture_or_a_refusal(magic: bytes, data: bytes) -> None:
    assert_picture_or_refusal(magic + data)


@fuzz
@given(st.sampled_from(SAMPLES), st.floats(0, 1))
def test_a_picture_cut_anywhere_is_a_picture_or_a_refusal(data: bytes, kept: float) -> None:
    assert_picture_or_refusal(data[: int(len(data) * kept)])


@fuzz
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 7)), min_size=1, max_size=6))
def test_a_picture_with_flipped_bits_is_a_picture_or_a_refusal(data: bytes, flips: list[tuple[int, int]]) -> None:
    broken = bytearray(data)
    for place, bit in flips:
        broken[place % len(broken)] ^= 1 << bit
    assert_picture_or_refusal(bytes(broken))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.sampled_from([data for data in SAMPLES if len(data) > 100]), st.integers(0, 99), st.integers(0, 255))
def test_a_picture_with_a_changed_header_is_a_picture_or_a_refusal(data: bytes, place: int, byte: int) -> None:
    assert_picture_or_refusal(data[:place] + bytes([byte]) + data[place + 1 :])
