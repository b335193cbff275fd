"""Figures against small cases worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from vestiary.metrics import (
    ECE_BINS,
    Confusion,
    Scores,
    ValueScores,
    exact_match,
    expected_calibration_error,
    score,
)
from vestiary.taxonomy import MISSING, UNKNOWN

VALUES = ("a", "b", "c")


def _indices(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _answering(answers: Sequence[int], confidence: float | Sequence[float] = 0.8, size: int = 3) -> NDArray[np.float64]:
    """Probabilities with the given answers; the rest is shared equally among the other values."""
    sure = np.broadcast_to(np.asarray(confidence, dtype=np.float64), len(answers))
    table = np.repeat(((1 - sure) / (size - 1))[:, None], size, axis=1)
    table[np.arange(len(answers)), answers] = sure
    return table


def _score_from(
    threshold: float, probabilities: NDArray[np.float64], labels: NDArray[np.int64], **options: int
) -> Scores:
    """Scores where every answer from a confidence of ``threshold`` on is accepted."""
    accepted = probabilities.max(axis=1) >= threshold
    return score("colour", VALUES, probabilities, labels, accepted=accepted, **options)


def _score(answers: Sequence[int], labels: Sequence[int], threshold: float = 0.5) -> Scores:
    return _score_from(threshold, _answering(answers), _indices(*labels))


def test_accuracy_is_the_share_of_right_answers() -> None:
    scores = _score([0, 0, 1, 2], [0, 1, 1, 1])
    assert (scores.attribute, scores.n, scores.accuracy) == ("colour", 4, 0.5)


def test_macro_f1_is_the_mean_over_the_values_among_labels_or_answers() -> None:
    # a: 1 hit, 2 answers, 1 label: 2/3. b: 1 hit, 1 answer, 3 labels: 1/2. c: answered once, never true: 0.
    assert _score([0, 0, 1, 2], [0, 1, 1, 1]).macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_macro_f1_leaves_out_a_value_that_neither_occurs_nor_is_answered() -> None:
    # a: 2 hits, 2 answers, 3 labels: 4/5. b: 1 hit, 2 answers, 1 label: 2/3. c does not occur.
    assert _score([0, 0, 1, 1], [0, 0, 0, 1]).macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_macro_f1_counts_a_value_that_is_true_but_never_answered_as_zero() -> None:
    assert _score([0, 0], [0, 2]).macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_precision_and_recall_of_each_value_in_the_order_of_the_values() -> None:
    assert _score([0, 0, 1, 2], [0, 1, 1, 1]).values == (
        ValueScores("a", 1, 0.5, 1.0),
        ValueScores("b", 3, 1.0, pytest.approx(1 / 3)),
        ValueScores("c", 0, 0.0, None),
    )


def test_precision_is_none_for_a_value_that_is_never_answered() -> None:
    assert _score([0, 0], [0, 2]).values[2] == ValueScores("c", 1, None, 0.0)


def test_confusions_come_commonest_first_and_without_right_answers() -> None:
    scores = _score([1, 0, 0, 2, 2], [1, 1, 1, 0, 2])
    assert scores.confusions == (Confusion("b", "a", 2), Confusion("a", "c", 1))


def test_confusions_keep_only_as_many_as_asked_for() -> None:
    probabilities, labels = _answering([0, 0, 0, 1]), _indices(1, 1, 2, 2)
    scores = _score_from(1.1, probabilities, labels, n_confusions=1)
    assert scores.confusions == (Confusion("b", "a", 2),)


def test_top5_holds_the_label_among_the_five_best_answers() -> None:
    values = tuple("abcdefg")
    falling = np.array([[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]] * 7)
    scores = score("letter", values, falling, np.arange(7), accepted=np.zeros(7, dtype=bool))
    assert (scores.top5, scores.accuracy) == (pytest.approx(5 / 7), pytest.approx(1 / 7))


def test_top5_is_one_when_there_are_no_more_than_five_values() -> None:
    assert _score([0, 0, 0], [0, 1, 2]).top5 == 1.0


def test_calibration_error_weighs_the_gap_of_each_bin_by_its_size() -> None:
    # Bin of 0.9: three answers, two right, gap |2/3 - 0.9|. Bin of 0.55: one answer, right, gap 0.45.
    confidence, right = np.array([0.9, 0.9, 0.9, 0.55]), np.array([True, True, False, True])
    assert expected_calibration_error(confidence, right) == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.45)


def test_calibration_error_has_fifteen_equal_bins() -> None:
    assert ECE_BINS == 15
    # In one bin an over- and an underconfident answer cancel out; across its border they add up.
    within, across = np.array([0.605, 0.655]), np.array([0.655, 0.675])
    right = np.array([False, True])
    assert expected_calibration_error(within, right) == pytest.approx(abs(1.26 - 1) / 2)
    assert expected_calibration_error(across, right) == pytest.approx((0.655 + 0.325) / 2)


def test_calibration_error_is_zero_for_certain_right_answers_and_one_for_certain_wrong_ones() -> None:
    assert expected_calibration_error(np.ones(4), np.ones(4, dtype=bool)) == 0.0
    assert expected_calibration_error(np.ones(4), np.zeros(4, dtype=bool)) == 1.0


def test_scores_hold_the_calibration_error_of_the_answers() -> None:
    assert _score([0, 1, 2, 2], [0, 1, 2, 1]).ece == pytest.approx(0.8 - 0.75)


def test_coverage_and_accepted_accuracy_at_a_threshold() -> None:
    probabilities = _answering([0, 1, 2, 0], [0.95, 0.9, 0.7, 0.6])
    scores = _score_from(0.7, probabilities, _indices(0, 2, 2, 1))
    assert scores.coverage == 0.75
    assert scores.accepted_accuracy == pytest.approx(2 / 3)


def test_nothing_accepted_has_no_accepted_accuracy() -> None:
    scores = _score([0, 1], [0, 1], 0.99)
    assert (scores.coverage, scores.accepted_accuracy, scores.accuracy) == (0.0, None, 1.0)


def test_products_without_a_label_are_left_out_of_every_figure() -> None:
    probabilities = _answering([0, 1, 2, 0, 1], [0.9, 0.9, 0.9, 0.6, 0.6])
    labels = _indices(0, MISSING, 1, MISSING, 1)
    kept = np.array([0, 2, 4])
    with_gaps = _score_from(0.8, probabilities, labels)
    assert with_gaps == _score_from(0.8, probabilities[kept], labels[kept])
    assert with_gaps.n == 3


def test_a_label_that_no_value_fits_is_answered_wrongly_however_sure_the_answer() -> None:
    scores = _score([0, 1, 0, 0], [0, 1, UNKNOWN, UNKNOWN])
    assert (scores.n, scores.accuracy, scores.top5) == (4, 0.5, 0.5)
    assert (scores.coverage, scores.accepted_accuracy) == (1.0, 0.5)
    assert scores.ece == pytest.approx(0.8 - 0.5)


def test_the_answer_to_an_unknown_label_is_a_false_positive_of_its_value() -> None:
    scores = _score([0, 1, 0, 0], [0, 1, UNKNOWN, UNKNOWN])
    assert scores.values[0] == ValueScores("a", 1, pytest.approx(1 / 3), 1.0)
    assert scores.values[1] == ValueScores("b", 1, 1.0, 1.0)
    # a: 1 hit, 3 answers, 1 label: 1/2. b: 1. c neither occurs nor is answered.
    assert scores.macro_f1 == pytest.approx((1 / 2 + 1) / 2)


def test_an_unknown_label_lowers_macro_f1_even_when_its_answer_is_a_value_that_never_occurs() -> None:
    assert _score([0, 1], [0, 1]).macro_f1 == 1.0
    assert _score([0, 1, 2], [0, 1, UNKNOWN]).macro_f1 == pytest.approx(2 / 3)


def test_an_unknown_label_has_no_name_to_be_listed_as_a_confusion() -> None:
    assert _score([0, 1, 0], [0, UNKNOWN, 1]).confusions == (Confusion("b", "a", 1),)


def test_labels_that_are_all_unknown_give_zeros() -> None:
    scores = _score([0, 1], [UNKNOWN, UNKNOWN])
    assert (scores.accuracy, scores.macro_f1, scores.top5, scores.accepted_accuracy) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("labels", [(), (MISSING, MISSING)])
def test_nothing_to_score_gives_none_for_every_figure(labels: tuple[int, ...]) -> None:
    probabilities = _answering([0] * len(labels))
    scores = _score_from(0.5, probabilities, _indices(*labels))
    assert scores == Scores("colour", 0, None, None, None, None, None, None, (), ())


def test_scores_are_plain_json() -> None:
    plain = json.loads(json.dumps(_score([0, 0, 1, 2], [0, 1, 1, 1]).to_dict()))
    assert plain["accuracy"] == 0.5
    assert plain["values"][0] == {"value": "a", "n": 1, "precision": 0.5, "recall": 1.0}
    assert {"true": "b", "predicted": "a", "n": 1} in plain["confusions"]


def test_exact_match_wants_every_label_of_a_product_answered_rightly() -> None:
    answers = {"colour": _indices(0, 1, 2, 0), "season": _indices(1, 1, 0, 0)}
    labels = {"colour": _indices(0, 1, 1, 2), "season": _indices(1, 0, 0, 1)}
    assert exact_match(answers, labels) == 0.25


def test_exact_match_asks_nothing_of_a_missing_label() -> None:
    answers = {"colour": _indices(0, 1, 2), "season": _indices(1, 1, 0)}
    labels = {"colour": _indices(0, MISSING, 1), "season": _indices(MISSING, 1, MISSING)}
    assert exact_match(answers, labels) == pytest.approx(2 / 3)


def test_exact_match_leaves_out_products_without_any_label() -> None:
    answers = {"colour": _indices(0, 1), "season": _indices(1, 1)}
    labels = {"colour": _indices(0, MISSING), "season": _indices(0, MISSING)}
    assert exact_match(answers, labels) == 0.0


def test_exact_match_counts_an_unknown_label_as_wrong() -> None:
    assert exact_match({"colour": _indices(0, 0)}, {"colour": _indices(0, UNKNOWN)}) == 0.5


@pytest.mark.parametrize("labels", [{}, {"colour": _indices()}, {"colour": _indices(MISSING)}])
def test_exact_match_is_none_without_labels(labels: dict[str, NDArray[np.int64]]) -> None:
    answers = {name: np.zeros(len(column), dtype=np.int64) for name, column in labels.items()}
    assert exact_match(answers, labels) is None
