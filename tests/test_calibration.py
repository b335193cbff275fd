"""Temperatures and thresholds: recovered, applied and never harmful."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vestiary.calibration import (
    MIN_ACCEPTED,
    Calibration,
    Curve,
    Hierarchy,
    answer,
    calibrate,
    fit_temperature,
    fit_threshold,
    softmax,
)
from vestiary.metrics import expected_calibration_error
from vestiary.taxonomy import MISSING, UNKNOWN, Attribute, ParentRule, Taxonomy

APART = Hierarchy(())
"""Every attribute answered on its own."""


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


def _lower(p: float, n: int) -> float:
    """Lower end of the one-sided 90 % Wilson interval, from its definition: (p - true)² n = z² true (1 - true)."""
    z = 1.2815515655446004
    a, b, c = n + z**2, -(2 * n * p + z**2), n * p**2
    return (-b - math.sqrt(b * b - 4 * a * c)) / (2 * a)


def _widest(confidence: list[float], right: list[bool], target: float) -> float | None:
    """By trying every confidence: the threshold that accepts most while what it accepts is surely right enough."""
    good = []
    for threshold in set(confidence):
        accepted = [ok for sure, ok in zip(confidence, right, strict=True) if sure >= threshold]
        n = len(accepted)
        if n >= MIN_ACCEPTED and _lower(sum(accepted) / n, n) >= target:
            good.append((n, threshold))
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


def test_mean_confidence_becomes_the_share_of_right_answers() -> None:
    logits, labels = _draw(3.0)
    confidence = softmax(logits, fit_temperature(logits, labels)).max(axis=1)
    assert confidence.mean() == pytest.approx((logits.argmax(axis=1) == labels).mean(), abs=1e-4)


def test_calibration_changes_no_answer_of_an_attribute_that_stands_alone() -> None:
    logits, labels = _draw(2.5, n=500)
    taxonomy = Taxonomy((Attribute("colour", tuple("abcdef")),))
    calibration = calibrate({"colour": logits}, {"colour": labels}, taxonomy)
    answers = answer({"colour": logits}, calibration, APART)["colour"].indices
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
def test_what_the_threshold_accepts_is_right_more_often_than_asked(seed: int, target: float) -> None:
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1, 200)
    right = random.random(200) < confidence
    threshold = fit_threshold(*_answers(confidence, right), target_precision=target)
    assert threshold == _widest(confidence.tolist(), right.tolist(), target)
    if threshold is not None:
        assert right[confidence >= threshold].mean() > target


def test_the_target_is_met_on_fresh_products_nine_times_in_ten() -> None:
    random = np.random.default_rng(5)
    met = []
    for _ in range(300):
        confidence = random.uniform(0.8, 1, 400)
        threshold = fit_threshold(*_answers(confidence, random.random(400) < confidence), target_precision=0.95)
        # Answers are right as often as they are sure, so the share above a threshold is its mean with 1.
        met.append(threshold is None or (threshold + 1) / 2 >= 0.95)
    assert np.mean(met) >= 0.85


def test_products_of_one_group_count_as_less_evidence() -> None:
    confidence = np.repeat(np.linspace(0.5, 1, 80), 10)
    right = np.repeat(np.arange(80) % 10 > 1, 10) | (confidence > 0.75)
    groups = np.repeat(np.arange(80), 10)
    alone = fit_threshold(*_answers(confidence, right), target_precision=0.9)
    grouped = fit_threshold(*_answers(confidence, right), target_precision=0.9, groups=groups)
    each = fit_threshold(*_answers(confidence, right), target_precision=0.9, groups=np.arange(800))
    assert alone is not None and grouped is not None
    assert each == alone < grouped


def test_answers_of_one_confidence_are_accepted_all_or_none() -> None:
    # The first 300 of these 400 equals are right, but no threshold can take them alone.
    tied, mixed = [0.8] * 400, [True] * 300 + [False] * 100
    assert fit_threshold(*_answers(tied, mixed), target_precision=0.9) is None
    assert fit_threshold(*_answers(tied, mixed), target_precision=0.7) == 0.8
    better = [0.99] * 250
    assert fit_threshold(*_answers(better + tied, [True] * 250 + mixed), target_precision=0.95) == 0.99


def test_too_few_answers_earn_no_trust() -> None:
    enough, few = MIN_ACCEPTED, MIN_ACCEPTED - 1
    assert fit_threshold(*_answers([0.9] * enough, [True] * enough), target_precision=0.8) == 0.9
    assert fit_threshold(*_answers([0.9] * few, [True] * few), target_precision=0.8) is None
    # For 95 % even all of twenty are not enough: with 90 % assurance it takes 32.
    assert fit_threshold(*_answers([0.9] * 31, [True] * 31)) is None
    assert fit_threshold(*_answers([0.9] * 32, [True] * 32)) == 0.9


def test_no_threshold_when_none_reaches_the_target_or_nothing_is_labelled() -> None:
    assert fit_threshold(*_answers([0.9] * 100, [True, False] * 50)) is None
    assert fit_threshold(np.empty((0, 3)), np.empty(0, dtype=np.int64)) is None
    assert fit_threshold(np.full((40, 2), 0.5), np.full(40, MISSING)) is None


def test_the_threshold_leaves_missing_labels_out_and_counts_unknown_ones_as_wrong() -> None:
    probabilities, labels = _answers([0.9] * 60, [True] * 60)
    assert fit_threshold(probabilities, np.where(np.arange(60) < 20, MISSING, labels)) == 0.9
    assert fit_threshold(probabilities, np.where(np.arange(60) < 20, UNKNOWN, labels)) is None


def test_answers_are_accepted_from_the_threshold_on_and_never_without_one() -> None:
    logits = np.log(np.array([[0.75, 0.25], [0.74, 0.26], [0.25, 0.75]]))

    def accepted(threshold: float | None, unfamiliar: list[bool] | None = None) -> list[bool]:
        calibration = Calibration({"colour": 1.0}, {"colour": threshold})
        flags = None if unfamiliar is None else np.array(unfamiliar)
        found: list[bool] = answer({"colour": logits}, calibration, APART, unfamiliar=flags)["colour"].accepted.tolist()
        return found

    assert accepted(0.75 - 1e-12) == [True, False, True]
    assert accepted(None) == [False] * 3
    assert accepted(0.5, [True, False, True]) == [False, True, False]


def test_calibrate_fits_every_attribute_on_its_own() -> None:
    wide, wide_labels = _draw(3.0)
    plain, plain_labels = _draw(1.0, size=4)
    taxonomy = Taxonomy((Attribute("colour", tuple("abcdef")), Attribute("season", tuple("abcd"))))
    logits, labels = {"colour": wide, "season": plain}, {"colour": wide_labels, "season": plain_labels}
    calibration = calibrate(logits, labels, taxonomy, target_precision=0.9, set_coverage=0.8)
    assert calibration.temperatures == pytest.approx({"colour": 3.0, "season": 1.0}, rel=0.05)
    assert (calibration.target_precision, calibration.set_coverage, calibration.joint) == (0.9, 0.8, False)
    for name, own in answer(logits, calibration, APART).items():
        assert own.accepted.any() and (own.indices == labels[name])[own.accepted].mean() >= 0.9
        assert own.candidates is not None
        assert own.candidates[np.arange(6000), labels[name]].mean() == pytest.approx(0.8, abs=0.001)


def test_an_attribute_without_labels_is_left_for_review() -> None:
    logits, _ = _draw(1.0, n=300)
    taxonomy = Taxonomy((Attribute("colour", tuple("abcdef")),))
    calibration = calibrate({"colour": logits}, {"colour": np.full(300, MISSING)}, taxonomy)
    (own,) = answer({"colour": logits}, calibration, APART).values()
    assert calibration.temperatures == {"colour": 1.0}
    assert not own.accepted.any()
    assert own.candidates is not None and own.candidates.all()


def test_a_calibration_survives_json_exactly() -> None:
    calibration = Calibration({"colour": 1.1 / 3, "season": 2.0}, {"colour": 0.1 + 0.2, "season": None}, 0.9)
    rich = replace(calibration, joint=True, limits={"colour": 0.1 + 0.7, "season": 0.0}, set_coverage=1 / 3)
    curved = replace(rich, curves={"colour": Curve((0.1, 1 / 3, 0.9), (0.2, 0.3, 0.95))})
    for one in (calibration, rich, curved):
        assert Calibration.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_a_calibration_of_before_is_read_as_it_was_meant() -> None:
    plain = {"temperatures": {"colour": 2}, "thresholds": {"colour": 0.5}, "target_precision": 0.95}
    read = Calibration.from_dict(plain)
    assert (read.joint, read.limits) == (False, None)
    assert read.to_dict() == plain


def test_a_neutral_calibration_changes_nothing_and_accepts_nothing() -> None:
    neutral = Calibration.neutral(("colour",))
    logits = np.array([[1.0, 2.0, 0.5]])
    assert neutral.probabilities({"colour": logits}, APART)["colour"] == pytest.approx(softmax(logits))
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


def _draw_unsure(n: int = 4000, *, bent: bool) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of two values and labels; bent: what is said with more than 80 % is surer than that, the rest less."""
    rng = np.random.default_rng(4)
    told = rng.uniform(0.5, 0.99, n)
    true = np.where(told > 0.8, 0.97, 0.6) if bent else told
    first = rng.random(n) < 0.5
    logits = np.log(np.stack([np.where(first, told, 1 - told), np.where(first, 1 - told, told)], 1))
    return logits, np.where(rng.random(n) < true, ~first, first).astype(np.int64)


def test_a_curve_makes_confidences_true_where_a_temperature_cannot_and_keeps_every_answer() -> None:
    logits, labels = _draw_unsure(bent=True)
    taxonomy = Taxonomy((Attribute("colour", ("Red", "Blue")),))
    fitted = calibrate({"colour": logits[::2]}, {"colour": labels[::2]}, taxonomy)
    assert set(fitted.curves) == {"colour"}
    errors = {}
    for name, own in (("with", fitted), ("without", replace(fitted, curves={}))):
        (answers,) = answer({"colour": logits[1::2]}, own, APART).values()
        assert answers.indices.tolist() == logits[1::2].argmax(axis=1).tolist()
        assert answers.probabilities.sum(axis=1) == pytest.approx(np.ones(2000))
        errors[name] = expected_calibration_error(answers.confidence, answers.indices == labels[1::2])
    assert errors["without"] > 0.08
    assert errors["with"] < 0.7 * errors["without"]


def test_no_curve_is_drawn_where_a_temperature_is_enough_or_products_are_few() -> None:
    taxonomy = Taxonomy((Attribute("colour", ("Red", "Blue")),))
    logits, labels = _draw_unsure(bent=False)
    assert calibrate({"colour": logits}, {"colour": labels}, taxonomy).curves == {}
    logits, labels = _draw_unsure(bent=True)
    repeated = np.arange(4000) // 10  # ten pictures of each design say no more than one
    assert calibrate({"colour": logits}, {"colour": labels}, taxonomy, groups=repeated).curves == {}


def test_the_best_value_stays_the_best_however_far_a_curve_falls() -> None:
    curve = Curve((0.3, 0.6), (0.05, 0.1))
    found = curve.apply(np.array([[0.5, 0.3, 0.2], [0.25, 0.4, 0.35], [1.0, 0.0, 0.0]]))
    assert found.argmax(axis=1).tolist() == [0, 1, 0]
    assert found.sum(axis=1) == pytest.approx(np.ones(3))
    assert found[0, 1] / found[0, 2] == pytest.approx(1.5)
    with pytest.raises(ValueError, match="does not rise"):
        Curve((0.3, 0.2), (0.1, 0.2))


def test_attributes_that_are_answered_together_are_as_sure_as_right_on_average() -> None:
    rule = ParentRule("type", "kind", {"Boot": ("Shoe",), "Heel": ("Shoe",), "Tote": ("Bag",), "Clutch": ("Bag",)})
    kind, articles = Attribute("kind", ("Shoe", "Bag")), Attribute("type", ("Boot", "Heel", "Tote", "Clutch"))
    taxonomy = Taxonomy((kind, articles), (rule,))
    rng = np.random.default_rng(5)
    true = rng.integers(4, size=400)
    evidence = 6.0 * np.eye(4)[true] + rng.normal(0, 2.0, (400, 4))
    named = np.where(rng.random(400) < 0.05, true ^ 1, true)  # staff take one for the other, however plain the photo
    sorted_as = np.where(rng.random(400) < 0.05, 1 - true // 2, true // 2)
    logits = {"kind": np.stack([evidence[:, :2].max(1), evidence[:, 2:].max(1)], 1), "type": evidence}
    labels = {"kind": sorted_as.astype(np.int64), "type": named.astype(np.int64)}
    found = answer(logits, calibrate(logits, labels, taxonomy), Hierarchy.of(taxonomy))
    sure = np.concatenate([own.confidence for own in found.values()])
    right = np.concatenate([own.indices == labels[name] for name, own in found.items()])
    assert sure.mean() == pytest.approx(right.mean(), abs=0.002)
    assert (found["kind"].confidence >= found["type"].confidence).all()
