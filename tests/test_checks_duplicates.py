"""Identical and near-identical pictures: found, kept apart from others, and without comparing all with all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import draw_shapes, encode_picture
from vestiary.catalogue import Catalogue, ingest
from vestiary.catalogue.preparation import Applied
from vestiary.catalogue.steps import SplitEach
from vestiary.checks import Finding, Severity, measure_pictures
from vestiary.checks.duplicates import BANDS, MAX_DISTANCE, WINDOW, check_duplicates, find_close_hashes
from vestiary.product import Split

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def photo(draw: ModuleType) -> Image.Image:
    picture: Image.Image = draw.draw_photo("Handbags", "Blue", seed=5).convert("RGB")
    return picture.resize((150, 200), Image.Resampling.BICUBIC)


def make_catalogue(make_source: Make, pictures: dict[str, bytes], **labels: dict[str, str]) -> Catalogue:
    rows = [{"id": number, **labels.get(f"p{number}", {})} for number in pictures]
    return ingest(make_source(rows, pictures=pictures))


def others() -> dict[str, bytes]:
    return {str(number): encode_picture(draw_shapes(number)) for number in range(10, 30)}


def in_splits(catalogue: Catalogue, *splits: Split) -> Catalogue:
    own = [replace(product, split=split) for product, split in zip(catalogue.products, splits, strict=False)]
    rest = [replace(product, split=Split.TRAIN) for product in catalogue.products[len(splits) :]]
    return replace(catalogue, products=(*own, *rest))


def find(catalogue: Catalogue) -> list[Finding]:
    return check_duplicates(catalogue, measure_pictures(catalogue))


def test_different_pictures_give_no_finding(make_source: Make) -> None:
    assert find(make_catalogue(make_source, others())) == []


def test_identical_pictures_are_told_once(make_source: Make, photo: Image.Image) -> None:
    same = {number: encode_picture(photo) for number in ("1", "2", "3")}
    (finding,) = find(make_catalogue(make_source, same | others()))
    assert (finding.check, finding.severity) == ("duplicates.identical", Severity.WARNING)
    assert set(finding.products) == {"1", "2", "3"}
    assert "identical pictures." in finding.message


def test_identical_pictures_with_different_labels_say_which(make_source: Make, photo: Image.Image) -> None:
    same = {number: encode_picture(photo) for number in ("1", "2")}
    (finding,) = find(make_catalogue(make_source, same | others(), p1={"season": "Winter"}))
    assert "labelled differently in season" in finding.message
    assert "settle their labels" in finding.remedy


def test_identical_pictures_across_splits_are_an_error(make_source: Make, photo: Image.Image) -> None:
    same = {number: encode_picture(photo) for number in ("1", "2")}
    catalogue = in_splits(make_catalogue(make_source, same | others()), Split.TEST, Split.TRAIN)
    (finding,) = find(catalogue)
    assert (finding.check, finding.severity) == ("duplicates.identical_across_splits", Severity.ERROR)
    assert "in train and test" in finding.message


@pytest.mark.parametrize("change", ["jpeg 90", "jpeg 75", "smaller", "larger", "squashed"])
def test_a_picture_saved_again_is_near_identical(change: str, make_source: Make, photo: Image.Image) -> None:
    again = {
        "jpeg 90": encode_picture(photo, "JPEG", quality=90),
        "jpeg 75": encode_picture(photo, "JPEG", quality=75),
        "smaller": encode_picture(photo.resize((90, 120), Image.Resampling.BICUBIC)),
        "larger": encode_picture(photo.resize((300, 400), Image.Resampling.BICUBIC)),
        "squashed": encode_picture(photo.resize((200, 200), Image.Resampling.BICUBIC)),
    }[change]
    catalogue = make_catalogue(make_source, {"1": encode_picture(photo), "2": again} | others())
    (finding,) = find(in_splits(catalogue))
    assert (finding.check, finding.severity, set(finding.products)) == ("duplicates.near", Severity.INFO, {"1", "2"})
    (finding,) = find(in_splits(catalogue, Split.VALIDATION))
    assert (finding.check, finding.severity) == ("duplicates.near_across_splits", Severity.ERROR)
    assert "in train and validation" in finding.message


def dealt_apart(source: Path) -> Catalogue:
    """The source as ingest splits it, by the first seed that puts products 1 and 2 into two splits."""
    for seed in range(50):
        catalogue = ingest(source, seed=seed)
        if len({product.split for product in catalogue.products if product.id in ("1", "2")}) == 2:
            return catalogue
    raise AssertionError("no seed parts them")


@pytest.mark.parametrize("way", ["one name", "one of them"])
def test_the_remedy_for_near_identical_pictures_across_splits_works(
    way: str, make_source: Make, photo: Image.Image
) -> None:
    pictures = {"1": encode_picture(photo), "2": encode_picture(photo, "JPEG", quality=90)} | others()
    earlier = dealt_apart(make_source([{"id": number} for number in pictures], pictures=pictures))
    (finding,) = find(earlier)
    assert finding.check == "duplicates.near_across_splits"
    assert finding.remedy.startswith(
        "Give them one product name in the source, or remove all but one of them there, and ingest again with --over"
    )
    if way == "one name":
        rows = [{"id": number} | ({"productDisplayName": "One"} if number in "12" else {}) for number in pictures]
    else:
        rows = [{"id": number} for number in pictures if number != "2"]
        del pictures["2"]
    mended = make_source(rows, pictures=pictures, name="mended")
    for again in (ingest(mended, earlier=earlier), ingest(mended)):  # with --overwrite, and into a new place
        assert {finding.check for finding in find(again)} <= {"duplicates.near"}


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"split_by": "what the source says"}, "Put them into one split in the source, or remove all but one"),
        (
            {"split_by": "each product on its own", "applied": (Applied("r1", SplitEach("season"), 0),)},
            "Remove all but one of them from the source and ingest again with --overwrite",
        ),
    ],
)
def test_the_remedy_across_splits_goes_by_who_dealt_them_out(
    options: dict[str, Any], remedy: str, make_source: Make, photo: Image.Image
) -> None:
    same = {number: encode_picture(photo) for number in ("1", "2")}
    catalogue = in_splits(make_catalogue(make_source, same | others()), Split.TEST, Split.TRAIN)
    (finding,) = find(replace(catalogue, **options))
    assert finding.remedy.startswith(remedy)


def test_near_identical_pictures_with_different_labels_are_a_warning(make_source: Make, photo: Image.Image) -> None:
    pictures = {"1": encode_picture(photo), "2": encode_picture(photo, "JPEG", quality=90)}
    (finding,) = find(in_splits(make_catalogue(make_source, pictures | others(), p2={"gender": "Women"})))
    assert (finding.check, finding.severity) == ("duplicates.near", Severity.WARNING)
    assert "labelled differently in gender" in finding.message


def test_the_same_shape_in_another_colour_is_another_picture(make_source: Make) -> None:
    def shirt(colour: tuple[int, int, int]) -> bytes:
        picture = Image.new("RGB", (60, 80), "white")
        picture.paste(colour, (15, 15, 45, 70))
        picture.paste(colour, (5, 15, 55, 30))
        return encode_picture(picture)

    pictures = {"1": shirt((200, 30, 30)), "2": shirt((30, 110, 60)), "3": shirt((80, 80, 80))}
    assert find(make_catalogue(make_source, pictures | others())) == []


def test_a_small_difference_in_one_place_makes_another_picture(make_source: Make, photo: Image.Image) -> None:
    other = photo.copy()
    other.paste((255, 255, 0), (65, 90, 80, 105))
    catalogue = make_catalogue(make_source, {"1": encode_picture(photo), "2": encode_picture(other)} | others())
    assert find(catalogue) == []


def test_a_spot_of_another_colour_but_equal_brightness_makes_another_picture(
    make_source: Make, photo: Image.Image
) -> None:
    red, green = photo.copy(), photo.copy()
    red.paste((200, 40, 60), (65, 90, 77, 102))
    green.paste((40, 122, 56), (65, 90, 77, 102))
    catalogue = make_catalogue(make_source, {"1": encode_picture(red), "2": encode_picture(green)} | others())
    assert find(catalogue) == []


def test_a_picture_that_is_a_little_darker_all_over_is_another(make_source: Make, photo: Image.Image) -> None:
    pictures = {"1": encode_picture(photo), "2": encode_picture(photo.point(lambda level: max(0, level - 12)))}
    assert find(make_catalogue(make_source, pictures | others())) == []


def test_blank_pictures_are_not_near_identical(make_source: Make) -> None:
    pictures = {str(number): encode_picture(Image.new("RGB", (60, 80), (250 + number,) * 3)) for number in range(1, 5)}
    assert find(make_catalogue(make_source, pictures | others())) == []


def test_two_views_of_one_product_may_be_alike(make_source: Make, photo: Image.Image) -> None:
    catalogue = make_catalogue(make_source, {"1": encode_picture(photo), "2": encode_picture(photo)} | others())
    first, second = catalogue.products[:2]
    both = replace(first, images=first.images + second.images, pixel_hashes=first.pixel_hashes + second.pixel_hashes)
    assert find(replace(catalogue, products=(both, *catalogue.products[2:]))) == []


def random_hashes(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


def flip_bits(hashes: NDArray[np.uint8], n: int, seed: int = 1) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    bits = np.unpackbits(hashes, axis=1)
    for row in bits:
        row[rng.choice(256, n, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def test_every_pair_of_close_hashes_is_found_and_no_other() -> None:
    hashes = random_hashes(300)
    close, far = flip_bits(hashes[:100], MAX_DISTANCE), flip_bits(hashes[100:200], MAX_DISTANCE + 1)
    found = find_close_hashes(np.concatenate([hashes, close, far])).pairs
    assert found.tolist() == [[row, 300 + row] for row in range(100)]


def test_few_hashes_are_no_trouble() -> None:
    for n in (0, 1):
        assert find_close_hashes(random_hashes(n)).pairs.shape == (0, 2)
    assert find_close_hashes(np.repeat(random_hashes(1), 2, axis=0)).pairs.tolist() == [[0, 1]]


def count_comparisons(hashes: NDArray[np.uint8]) -> int:
    return find_close_hashes(hashes).n_compared


def clustered_hashes(n: int) -> NDArray[np.uint8]:
    """Alike in three of four bits, as pictures of one kind before one background are."""
    alike = np.uint8(0b11101110)
    hashes = random_hashes(n)
    return (hashes & ~alike) | (hashes[0] & alike)


def crowded_hashes(n: int) -> NDArray[np.uint8]:
    """The worst case: all the same but for a few bits."""
    return flip_bits(np.repeat(random_hashes(1), n, axis=0), 3)


@pytest.mark.parametrize("make", [random_hashes, clustered_hashes, crowded_hashes])
def test_twice_the_pictures_are_at_most_a_little_over_twice_the_comparisons(
    make: Callable[[int], NDArray[np.uint8]],
) -> None:
    counts = [count_comparisons(make(n)) for n in (2000, 4000, 8000)]
    for n, compared in zip((2000, 4000, 8000), counts, strict=True):
        assert compared <= BANDS * WINDOW * n
    if make is not random_hashes:  # those share hardly any band: next to nothing is compared
        assert counts[1] <= 2.3 * counts[0]
        assert counts[2] <= 2.3 * counts[1]
    assert counts[2] < 8000 * 7999 // 2 / 5
