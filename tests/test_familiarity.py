"""Pictures unlike the training split are told, and never accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import vestiary.calibration.familiarity as familiarity_module
from vestiary.bundle import open_bundle
from vestiary.calibration import Familiarity, fit_familiarity
from vestiary.errors import BundleError
from vestiary.predictor import Predictor

CHANNELS = 12


def _embed(n: int, seed: int) -> tuple[NDArray[np.float32], dict[str, NDArray[np.int64]]]:
    """Embeddings in five narrow clouds, far from each other, that ``kind`` names and ``season`` does not."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 3, (5, CHANNELS))
    kind = random.integers(0, 5, n)
    spread = np.linspace(0.1, 1.0, CHANNELS)
    points = centres[kind] + random.normal(0, 1, (n, CHANNELS)) * spread
    return (7 * points).astype(np.float32), {"kind": kind, "season": random.integers(0, 4, n)}


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    fitted = fit_familiarity(*_embed(4000, 1))
    assert fitted is not None
    return fitted.limited(_embed(3000, 2)[0], false_alarms=0.02)


def test_fresh_pictures_of_the_same_kinds_raise_as_many_alarms_as_stated(familiarity: Familiarity) -> None:
    assert familiarity.is_unfamiliar(_embed(20_000, 3)[0]).mean() == pytest.approx(0.02, abs=0.006)


def test_the_attribute_is_the_one_whose_values_lie_apart(familiarity: Familiarity) -> None:
    assert familiarity.attribute == "kind"


def test_distances_count_by_how_far_training_pictures_spread(familiarity: Familiarity) -> None:
    embeddings = _embed(2000, 4)[0]
    narrow, wide = embeddings.copy(), embeddings.copy()
    narrow[:, 0] += 7 * 0.8  # eight times what pictures of one kind spread there
    wide[:, -1] += 7 * 0.8
    assert familiarity.is_unfamiliar(narrow).mean() > 0.95
    assert familiarity.is_unfamiliar(wide).mean() < 0.1


def test_distances_are_those_to_the_nearest_crowd(familiarity: Familiarity) -> None:
    points, means = familiarity.project(_embed(300, 4)[0]), familiarity.means.astype(np.float64)
    exact = ((points[:, None] - means) ** 2).sum(axis=2).min(axis=1)
    assert familiarity.distances(_embed(300, 4)[0]) == pytest.approx(exact)


def test_crowds_are_the_middles_of_training_pictures() -> None:
    points = np.repeat([[0.0, 0.0, 9.0], [5.0, 0.0, 0.0], [0.0, 7.0, 0.0]], 40, axis=0)
    points += np.random.default_rng(0).normal(0, 0.1, points.shape)
    fitted = fit_familiarity(points, {"kind": np.repeat(np.arange(3), 40)})
    assert fitted is not None
    assert len(fitted.means) == 12
    assert np.median(fitted.distances(points)) < 3
    assert fitted.distances(points[::40] + 2).min() > 100


def test_crowds_lie_nearer_to_the_pictures_than_any_sample_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = _embed(3000, 1)
    crowds = fit_familiarity(embeddings, labels)
    monkeypatch.setattr(familiarity_module, "ROUNDS", 0)
    sample = fit_familiarity(embeddings, labels)
    assert crowds is not None and sample is not None
    fresh = _embed(3000, 2)[0]
    assert crowds.distances(fresh).mean() < 0.9 * sample.distances(fresh).mean()


def test_what_lies_between_the_kinds_is_unfamiliar_although_the_middle_of_all(familiarity: Familiarity) -> None:
    middle = _embed(4000, 1)[0].mean(axis=0, keepdims=True)
    assert familiarity.is_unfamiliar(middle).all()
    assert familiarity.scores(middle)[0] > 0.8


def test_scores_grow_with_the_distance_and_half_is_the_limit(familiarity: Familiarity) -> None:
    embeddings = _embed(3000, 2)[0]
    scores, flags = familiarity.scores(embeddings), familiarity.is_unfamiliar(embeddings)
    assert ((scores > 0.5) == flags).all() and flags.any()
    assert scores.min() >= 0 and scores.max() <= 1
    order = np.argsort(familiarity.distances(embeddings))
    assert (np.diff(scores[order]) >= 0).all()


def test_it_survives_json_exactly_and_is_small(familiarity: Familiarity) -> None:
    again = Familiarity.from_dict(json.loads(json.dumps(familiarity.to_dict())))
    assert again == familiarity != replace(familiarity, limit=1.0)
    embeddings = _embed(50, 5)[0]
    assert (again.distances(embeddings) == familiarity.distances(embeddings)).all()
    many, _ = _embed(8000, 6)
    wide = np.tile(many, 30)[:, :320] + np.random.default_rng(0).normal(0, 0.1, (8000, 320)).astype(np.float32)
    large = fit_familiarity(wide, {"kind": np.arange(8000) % 150})
    assert large is not None
    assert len(json.dumps(large.limited(wide).to_dict())) < 120_000


def test_without_anything_to_tell_apart_there_is_no_familiarity() -> None:
    embeddings, labels = _embed(50, 1)
    assert fit_familiarity(np.ones((50, 3), dtype=np.float32), {"kind": labels["kind"]}) is None
    assert fit_familiarity(embeddings, {"kind": np.full(50, -1)}) is None
    assert fit_familiarity(embeddings, {"own": np.arange(50)}) is None


def test_embeddings_that_have_collapsed_to_a_point_per_value_give_sound_numbers() -> None:
    kind = np.arange(600) % 6
    points = (np.eye(6)[kind] + 1e-9 * np.random.default_rng(0).normal(0, 1, (600, 6))).astype(np.float32)
    fitted = fit_familiarity(points, {"kind": kind})
    assert fitted is not None
    limited = fitted.limited(points)
    assert np.isfinite(limited.scores(points)).all()
    assert limited.is_unfamiliar((points[:6] + points.mean(axis=0)) / 2).all()


def test_labels_that_are_missing_and_values_of_one_picture_do_no_harm() -> None:
    embeddings, labels = _embed(1000, 1)
    kind = labels["kind"].copy()
    kind[:300] = -1
    kind[300] = 5
    fitted = fit_familiarity(embeddings, {"kind": kind})
    assert fitted is not None
    assert np.isfinite(fitted.limited(embeddings).scores(embeddings)).all()


def _colours(n: int, seed: int) -> tuple[NDArray[np.float32], dict[str, NDArray[np.int64]]]:
    """What the tiny bundle's embedding, the mean colour, is for pictures nearly all red, green or blue."""
    random = np.random.default_rng(seed)
    colour = random.integers(0, 3, n)
    return (np.eye(3)[colour] * 0.8 + random.uniform(0, 0.2, (n, 3))).astype(np.float32), {"baseColour": colour}


@pytest.fixture
def predictor(make_bundle: Callable[..., Path]) -> Predictor:
    fitted = fit_familiarity(*_colours(500, 1))
    assert fitted is not None
    return Predictor(open_bundle(make_bundle(familiarity=fitted.limited(_colours(500, 2)[0]))), threads=1)


def _plain(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    return np.full((32, 24, 3), (red, green, blue), dtype=np.uint8)


def test_an_unfamiliar_picture_is_answered_and_never_accepted(predictor: Predictor) -> None:
    usual, violet, broken = predictor.predict([_plain(230, 25, 25), _plain(255, 0, 180), b"no picture"])
    assert usual.unfamiliar is not None and not usual.unfamiliar.flag and usual.accepted
    assert violet.unfamiliar is not None and violet.unfamiliar.flag and not violet.accepted
    # Without the flag its season, for one, would be accepted: 6 · 255 / 255 against 6 · 180 / 255 in logits.
    assert [tag.value for tag in violet.tags] == ["Red", "Summer"] and not any(tag.accepted for tag in violet.tags)
    assert broken.unfamiliar is None and "unfamiliar" not in broken.to_dict()


def test_the_wire_form_of_the_unfamiliar(predictor: Predictor, make_bundle: Callable[..., Path]) -> None:
    usual, violet = (one.to_dict() for one in predictor.predict([_plain(230, 25, 25), _plain(255, 0, 180)]))
    assert sorted(usual["unfamiliar"]) == ["flag", "score"]
    assert usual["unfamiliar"]["flag"] is False and 0 <= usual["unfamiliar"]["score"] < 0.5
    assert violet["unfamiliar"]["flag"] is True and 0.5 < violet["unfamiliar"]["score"] <= 1
    assert (usual["decision"], violet["decision"]) == ("auto", "review")
    before = Predictor(open_bundle(make_bundle(overwrite=True)), threads=1)
    assert before.predict([_plain(230, 25, 25)])[0].to_dict()["unfamiliar"] is None


def _refuse(make_bundle: Callable[..., Path], familiarity: Any) -> str:
    with pytest.raises(BundleError) as caught:
        Predictor(open_bundle(make_bundle(familiarity=familiarity, overwrite=True)))
    text = str(caught.value)
    assert text.endswith("make the bundle again.") and ". " not in text
    return text


def test_a_reference_that_does_not_fit_the_model_is_refused(
    make_bundle: Callable[..., Path], familiarity: Familiarity
) -> None:
    assert "gives embeddings of 3 numbers" in _refuse(make_bundle, familiarity)
    assert "cannot be used" in _refuse(make_bundle, replace(familiarity, means=familiarity.means.ravel()[:-1]))


def draw_no_clothes(kind: str, seed: int, size: tuple[int, int] = (120, 160)) -> Image.Image:
    """Blurred noise, a page of text, a landscape, a chessboard."""
    random = np.random.default_rng(seed)
    width, height = size
    if kind == "clouds":
        small = random.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
        return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    if kind == "chessboard":
        step = int(random.integers(4, 16))
        rows, columns = np.mgrid[:height, :width]
        dark = ((rows // step + columns // step) % 2)[..., None]
        return Image.fromarray(np.where(dark, *random.integers(0, 256, (2, 3))).astype(np.uint8))
    picture = Image.new("RGB", size, "white" if kind == "text" else (160, 200, 255))
    pen = ImageDraw.Draw(picture)
    if kind == "text":
        for top in range(8, height - 8, int(random.integers(6, 12))):
            left = 8
            while left < width - 12:
                word = int(random.integers(3, 14))
                pen.rectangle((left, top, left + word, top + 3), fill=(20, 20, 20))
                left += word + 4
        return picture
    for layer in range(3):
        ground = height * (0.45 + 0.18 * layer)
        wave, start = random.uniform(12, 40), random.uniform(0, 6)
        hills = [(x, ground + 15 * np.sin(x / wave + start)) for x in range(0, width + 1, 4)]
        green = tuple(int(part) for part in random.integers((20, 90, 20), (90, 170, 90)))
        pen.polygon([(0, height), *hills, (width, height)], fill=green)
    return picture


@pytest.mark.parametrize("kind", ["clouds", "text", "landscape", "chessboard"])
def test_pictures_that_are_no_clothes_are_unfamiliar_to_the_bundle_that_ships(kind: str) -> None:
    bundle = open_bundle()
    if bundle.familiarity is None:
        pytest.skip("the bundle that ships has no reference of familiar pictures yet")
    predictions = Predictor(bundle, threads=1).predict([draw_no_clothes(kind, seed) for seed in range(20)])
    flagged = [prediction.unfamiliar is not None and prediction.unfamiliar.flag for prediction in predictions]
    assert np.mean(flagged) >= 0.8
    assert not any(one.accepted for one, flag in zip(predictions, flagged, strict=True) if flag)


def test_drawn_product_photos_are_mostly_familiar_to_the_bundle_that_ships() -> None:
    bundle = open_bundle()
    if bundle.familiarity is None:
        pytest.skip("the bundle that ships has no reference of familiar pictures yet")
    photos = sorted((Path(__file__).parents[1] / "examples" / "photos").glob("*.jpg"))
    predictions = Predictor(bundle, threads=1).predict(photos)
    assert sum(one.unfamiliar is not None and one.unfamiliar.flag for one in predictions) <= len(photos) // 4
