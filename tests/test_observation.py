"""What a prediction keeps of its picture apart from the tags, so that drift can be told later."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vestiary.bundle import open_bundle
from vestiary.calibration import fit_familiarity
from vestiary.drift import FEATURES, measure_background, measure_brightness, pack_features, unpack_features
from vestiary.predictor import Predictor


def _encode(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_brightness_is_the_mean_luma_that_pillow_finds() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 12, 3), dtype=np.uint8)
    pixels[1] //= 4
    lumas = [np.asarray(Image.fromarray(one).convert("L")).mean() / 255 for one in pixels]
    assert measure_brightness(pixels) == pytest.approx(lumas, abs=0.003)
    plain = np.stack([np.full((16, 12, 3), level, dtype=np.uint8) for level in (0, 255)])
    assert measure_brightness(plain) == pytest.approx([0, 1])


def test_background_is_the_share_of_the_outermost_pixels_that_are_near_white() -> None:
    pixels = np.zeros((4, 10, 6, 3), dtype=np.uint8)
    pixels[0] = 250  # white throughout
    pixels[1, 1:-1, 1:-1] = 255  # white only inside
    pixels[2, 0] = 255  # one short side: 6 of 28 pixels
    pixels[3] = (250, 250, 200)  # yellowish
    assert measure_background(pixels) == pytest.approx([1, 0, 6 / 28, 0])


def test_features_come_back_as_they_were_to_half_precision() -> None:
    points = np.random.default_rng(0).normal(0, 30, (5, 48))
    points[0, 0] = 1e9
    packed = pack_features(points)
    assert {len(one) for one in packed} == {2 * FEATURES}
    found = unpack_features(packed)
    assert found[1:] == pytest.approx(points[1:, :FEATURES], rel=1e-3)
    assert found[0, 0] == 65504
    assert unpack_features([]).shape == (0, FEATURES)


def test_a_prediction_says_what_its_picture_is_like(make_bundle: Callable[..., Path]) -> None:
    predictor = Predictor(open_bundle(make_bundle()))
    white = Image.new("RGB", (240, 320), (255, 255, 255))
    dark = Image.new("RGB", (32, 24), (51, 51, 51))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    bright, turned, given, broken = predictor.predict([_encode(white), _encode(dark, exif=exif), np.asarray(dark), b""])
    assert bright.observed is not None and turned.observed is not None and given.observed is not None
    assert (bright.observed.width, bright.observed.height) == (240, 320)
    assert (bright.observed.brightness, bright.observed.background) == pytest.approx((1, 1))
    assert (turned.observed.width, turned.observed.height) == (24, 32)
    assert (turned.observed.brightness, turned.observed.background) == pytest.approx((0.2, 0))
    assert (given.observed.width, given.observed.height) == (32, 24)
    assert bright.observed.features is None
    assert broken.observed is None
    assert "observed" not in bright.to_dict()


def test_features_are_the_place_among_the_training_pictures(make_bundle: Callable[..., Path]) -> None:
    random = np.random.default_rng(0)
    embeddings = random.random((600, 3)).astype(np.float32)
    familiarity = fit_familiarity(embeddings, {"baseColour": embeddings.argmax(axis=1).astype(np.int64)})
    assert familiarity is not None
    bundle = open_bundle(make_bundle(familiarity=familiarity.limited(embeddings)))
    picture = np.full((16, 12, 3), (200, 40, 90), dtype=np.uint8)
    (prediction,) = Predictor(bundle).predict([picture])
    assert prediction.observed is not None and prediction.observed.features is not None
    place = familiarity.project(np.array([[200, 40, 90]], dtype=np.float32) / 255)
    assert unpack_features([prediction.observed.features]) == pytest.approx(place, rel=1e-2, abs=1e-2)


def test_the_first_components_tell_pictures_apart_the_most() -> None:
    random = np.random.default_rng(0)
    kinds = random.integers(0, 4, 4000)
    centres = random.normal(0, 5, (4, 40)) * (np.arange(40) % 8 == 7)  # only five channels tell kinds apart
    points = centres[kinds] + random.normal(0, 1, (4000, 40)) * np.linspace(0.5, 3, 40)
    familiarity = fit_familiarity(points, {"kind": kinds})
    assert familiarity is not None
    spreads = familiarity.project(points).var(axis=0)
    assert (np.diff(spreads) < 0.01).all()
    assert spreads[0] > 3 * spreads[FEATURES]
