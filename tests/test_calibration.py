"""Temperatures and thresholds: recovered, applied and never harmful."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vestiary.calibration import (
    MIN_ACCEPTED,
    Calibration,
    calibrate,
    decide,
    fit_temperature,
    fit_threshold,
    softmax,
)
from vestiary.metrics import expected_calibration_error
from vestiary.taxonomy import MISSING, UNKNOWN


def _draw(temperature: float, *, n: int = 6000, size: int = 6) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and labels drawn from softmax(logits / temperature)."""
    random = np.random.default_rng(7)
    logits = random.normal(0, 2.0 * temperature, (n, size))
    shares = softmax(logits, temperature).cumsum(axis=1)
    labels = (random.random(n)[:, None] > shares).sum(axis=1)
    return logits, np.minimum(labels, size - 1).astype(np.int64)


def _error(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    probabilities = softmax(logits, temperature)
    return expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def _answers(
    confidence: list[float] | NDArray[np.float64], right: list[bool] | NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two-valued probabilities whose answers have the given confidence and are right or wrong as given."""
    sure = np.asarray(confidence, dtype=np.float64)
    return np.stack([sure, 1 - sure], axis=1), np.where(np.asarray(right, dtype=bool), 0, 1).astype(np.int64)


def _widest(confidence: list[float], right: list[bool], target: float) -> float | None:
    """By trying every confidence: the threshold that accepts most while enough of what it accepts is right."""
    good = []
    for threshold in set(confidence):
        accepted = [ok for sure, ok in zip(confidence, right, strict=True) if sure >= threshold]
        if len(accepted) >= MIN_ACCEPTED and sum(accepted) / len(accepted) >= target:
            good.append((len(accepted), threshold))
    return max(good)[1] if good else None


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found_again(temperature: float) -> None:
    logits, labels = _draw(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_dividing_by_the_fitted_temperature_brings_the_calibration_error_down() -> None:
    logits, labels = _draw(3.0)
    before, after = _error(logits, labels, 1.0), _error(logits, labels, fit_temperature(logits, labels))
    assert before > 0.15
    assert after < 0.03


def test_calibration_never_changes_an_answer() -> None:
    logits, labels = _draw(2.5, n=500)
    calibration = calibrate({"colour": logits}, {"colour": labels})
    answers = calibration.probabilities("colour", logits).argmax(axis=1)
    assert (answers == logits.argmax(axis=1)).all()


@pytest.mark.parametrize("negative", [MISSING, UNKNOWN])
def test_products_without_a_usable_label_do_not_move_the_temperature(negative: int) -> None:
    logits, labels = _draw(2.0, n=300)
    more = np.concatenate([logits, 50 * np.ones((200, logits.shape[1]))])
    padded = np.concatenate([labels, np.full(200, negative)])
    assert fit_temperature(more, padded) == fit_temperature(logits, labels)


@pytest.mark.parametrize("labels", [[], [MISSING, UNKNOWN]])
def test_the_temperature_is_one_without_any_label(labels: list[int]) -> None:
    assert fit_temperature(np.ones((len(labels), 3)), np.array(labels, dtype=np.int64)) == 1.0


def test_the_temperature_stays_within_its_bounds_when_every_answer_is_right_or_wrong() -> None:
    logits = np.eye(4) * 3
    assert fit_temperature(logits, np.arange(4)) == pytest.approx(0.05)
    assert fit_temperature(logits, (np.arange(4) + 1) % 4) == pytest.approx(20)


@settings(max_examples=150, deadline=None)
@given(
    answers=st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.75, 0.8, 0.9, 0.95, 1.0]), st.booleans()), max_size=60),
    sure_and_right=st.integers(0, 60),
    target=st.sampled_from([0.5, 0.75, 0.8, 0.9, 0.95, 1.0]),
)
def test_the_threshold_is_the_widest_that_reaches_the_target(
    answers: list[tuple[float, bool]], sure_and_right: int, target: float
) -> None:
    answers = answers + [(0.97, True)] * sure_and_right
    confidence, right = [sure for sure, _ in answers], [ok for _, ok in answers]
    found = fit_threshold(*_answers(confidence, right), target_precision=target)
    assert found == _widest(confidence, right, target)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), target=st.floats(0.6, 0.99))
def test_what_the_threshold_accepts_is_right_as_often_as_asked(seed: int, target: float) -> None:
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1, 200)
    right = random.random(200) < confidence
    threshold = fit_threshold(*_answers(confidence, right), target_precision=target)
    assert threshold == _widest(confidence.tolist(), right.tolist(), target)
    if threshold is not None:
        assert right[confidence >= threshold].mean() >= target


def test_answers_of_one_confidence_are_accepted_all_or_none() -> None:
    # The first 30 of these 40 equals are right, but no threshold can take them alone.
    tied, mixed = [0.8] * 40, [True] * 30 + [False] * 10
    assert fit_threshold(*_answers(tied, mixed), target_precision=0.9) is None
    assert fit_threshold(*_answers(tied, mixed), target_precision=0.75) == 0.8
    better = [0.99] * 25
    assert fit_threshold(*_answers(better + tied, [True] * 25 + mixed), target_precision=0.95) == 0.99


def test_too_few_answers_earn_no_trust() -> None:
    enough, few = MIN_ACCEPTED, MIN_ACCEPTED - 1
    assert fit_threshold(*_answers([0.9] * enough, [True] * enough)) == 0.9
    assert fit_threshold(*_answers([0.9] * few, [True] * few)) is None


def test_no_threshold_when_none_reaches_the_target_or_nothing_is_labelled() -> None:
    assert fit_threshold(*_answers([0.9] * 100, [True, False] * 50)) is None
    assert fit_threshold(np.empty((0, 3)), np.empty(0, dtype=np.int64)) is None
    assert fit_threshold(np.full((40, 2), 0.5), np.full(40, MISSING)) is None


def test_the_threshold_leaves_missing_labels_out_and_counts_unknown_ones_as_wrong() -> None:
    probabilities, labels = _answers([0.9] * 40, [True] * 40)
    assert fit_threshold(probabilities, np.where(np.arange(40) < 10, MISSING, labels)) == 0.9
    assert fit_threshold(probabilities, np.where(np.arange(40) < 10, UNKNOWN, labels)) is None


def test_decide_accepts_from_the_threshold_on_and_never_without_one() -> None:
    assert decide(confidence=0.8, threshold=0.8)
    assert decide(confidence=0.9, threshold=0.8)
    assert not decide(confidence=0.79999, threshold=0.8)
    assert not decide(confidence=1.0, threshold=None)


def test_calibrate_fits_every_attribute_on_its_own() -> None:
    wide, wide_labels = _draw(3.0)
    plain, plain_labels = _draw(1.0, size=4)
    calibration = calibrate(
        {"colour": wide, "season": plain}, {"colour": wide_labels, "season": plain_labels}, target_precision=0.9
    )
    assert calibration.temperatures == pytest.approx({"colour": 3.0, "season": 1.0}, rel=0.05)
    assert calibration.target_precision == 0.9
    for name, logits, labels in (("colour", wide, wide_labels), ("season", plain, plain_labels)):
        probabilities, threshold = calibration.probabilities(name, logits), calibration.thresholds[name]
        assert threshold is not None
        accepted = probabilities.max(axis=1) >= threshold
        assert accepted.any() and (probabilities.argmax(axis=1) == labels)[accepted].mean() >= 0.9


def test_a_calibration_survives_json_exactly() -> None:
    calibration = Calibration({"colour": 1.1 / 3, "season": 2.0}, {"colour": 0.1 + 0.2, "season": None}, 0.9)
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


def test_a_neutral_calibration_changes_nothing_and_accepts_nothing() -> None:
    neutral = Calibration.neutral(("colour",))
    logits = np.array([[1.0, 2.0, 0.5]])
    assert neutral.probabilities("colour", logits) == pytest.approx(softmax(logits))
    assert neutral.thresholds == {"colour": None}


def test_probabilities_are_double_precision_and_sum_to_one() -> None:
    logits = np.random.default_rng(1).normal(0, 9, (50, 7)).astype(np.float32)
    probabilities = softmax(logits, 0.7)
    assert probabilities.dtype == np.float64
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(50))


def test_huge_logits_give_sound_numbers() -> None:
    logits = np.array([[3e38, -3e38, 0.0], [-3e38, -3e38, -3e38], [1e30, 1e30, -1e30]], dtype=np.float32)
    for temperature in (0.05, 1.0, 20.0):
        probabilities = softmax(logits, temperature)
        assert probabilities == pytest.approx(np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]))
    fitted = fit_temperature(np.repeat(logits, 20, axis=0), np.repeat(np.array([0, 1, 1]), 20))
    assert 0.05 <= fitted <= 20.001
