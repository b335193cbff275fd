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
    Outcome,
    Resamples,
    Scores,
    ValueScores,
    bin_reliability,
    expected_calibration_error,
    match_all,
    mcnemar_p_value,
    score,
    trace_risk_coverage,
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


def _outcome(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    threshold: float | None = None,
    values: Sequence[str] = VALUES,
    raw: NDArray[np.float64] | None = None,
) -> Outcome:
    """The outcome of plain answers; what reaches the threshold is accepted, nothing for None."""
    accepted = probabilities.max(axis=1, initial=0) >= (2.0 if threshold is None else threshold)
    answers = probabilities.argmax(axis=1).astype(np.int64)
    return Outcome("colour", tuple(values), labels, probabilities, answers, accepted, raw)


def _score(answers: Sequence[int], labels: Sequence[int], threshold: float | None = 0.5) -> Scores:
    return score(_outcome(_answering(answers), _indices(*labels), threshold=threshold))


def _exact_match(answers: dict[str, NDArray[np.int64]], labels: dict[str, NDArray[np.int64]]) -> float | None:
    outcomes = {name: _outcome(_answering(answers[name].tolist()), labels[name]) for name in labels}
    right, labelled = match_all(outcomes)
    return float(right[labelled].mean()) if labelled.any() else None


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
    sure = pytest.approx(0.8)
    assert _score([0, 0, 1, 2], [0, 1, 1, 1]).values == (
        ValueScores("a", 1, 2, 0.5, 1.0, pytest.approx(2 / 3), sure),
        ValueScores("b", 3, 1, 1.0, pytest.approx(1 / 3), 0.5, sure),
        ValueScores("c", 0, 1, 0.0, None, 0.0, sure),
    )


def test_precision_is_none_for_a_value_that_is_never_answered() -> None:
    assert _score([0, 0], [0, 2]).values[2] == ValueScores("c", 1, 0, None, 0.0, 0.0, None)


def test_confusions_come_commonest_first_and_without_right_answers() -> None:
    scores = _score([1, 0, 0, 2, 2], [1, 1, 1, 0, 2])
    assert scores.confusions == (Confusion("b", "a", 2), Confusion("a", "c", 1))


def test_confusions_keep_only_as_many_as_asked_for() -> None:
    probabilities, labels = _answering([0, 0, 0, 1]), _indices(1, 1, 2, 2)
    scores = score(_outcome(probabilities, labels), n_confusions=1)
    assert scores.confusions == (Confusion("b", "a", 2),)


def test_top5_holds_the_label_among_the_five_best_answers() -> None:
    values = tuple("abcdefg")
    falling = np.array([[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]] * 7)
    scores = score(_outcome(falling, np.arange(7), values=values))
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
    scores = score(_outcome(probabilities, _indices(0, 2, 2, 1), threshold=0.7))
    assert scores.coverage == 0.75
    assert scores.accepted_accuracy == pytest.approx(2 / 3)


def test_a_confidence_that_just_reaches_the_threshold_is_accepted() -> None:
    probabilities = np.array([[0.75, 0.25, 0.0], [0.5, 0.25, 0.25]])
    assert score(_outcome(probabilities, _indices(0, 0), threshold=0.75)).coverage == 0.5


@pytest.mark.parametrize("threshold", [None, 0.99])
def test_nothing_accepted_has_no_accepted_accuracy(threshold: float | None) -> None:
    scores = _score([0, 1], [0, 1], threshold)
    assert (scores.coverage, scores.accepted_accuracy, scores.accuracy) == (0.0, None, 1.0)


def test_products_without_a_label_are_left_out_of_every_figure() -> None:
    probabilities = _answering([0, 1, 2, 0, 1], [0.9, 0.9, 0.9, 0.6, 0.6])
    labels = _indices(0, MISSING, 1, MISSING, 1)
    kept = np.array([0, 2, 4])
    with_gaps = score(_outcome(probabilities, labels, threshold=0.8))
    assert with_gaps == score(_outcome(probabilities[kept], labels[kept], threshold=0.8))
    assert with_gaps.n == 3


def test_a_label_that_no_value_fits_is_answered_wrongly_however_sure_the_answer() -> None:
    scores = _score([0, 1, 0, 0], [0, 1, UNKNOWN, UNKNOWN])
    assert (scores.n, scores.accuracy, scores.top5) == (4, 0.5, 0.5)
    assert (scores.coverage, scores.accepted_accuracy) == (1.0, 0.5)
    assert scores.ece == pytest.approx(0.8 - 0.5)


def test_the_answer_to_an_unknown_label_is_a_false_positive_of_its_value() -> None:
    scores = _score([0, 1, 0, 0], [0, 1, UNKNOWN, UNKNOWN])
    assert (scores.values[0].precision, scores.values[0].recall) == (pytest.approx(1 / 3), 1.0)
    assert (scores.values[1].precision, scores.values[1].recall) == (1.0, 1.0)
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
    scores = score(_outcome(probabilities, _indices(*labels), threshold=0.5))
    assert scores == Scores("colour", 0, None, None, None, None, None, None)


def test_scores_are_plain_json() -> None:
    plain = json.loads(json.dumps(_score([0, 0, 1, 2], [0, 1, 1, 1]).to_dict()))
    assert plain["accuracy"] == 0.5
    assert plain["values"][0] | {"f1": None, "confidence": None} == {
        "value": "a", "n": 1, "answered": 2, "precision": 0.5, "recall": 1.0, "f1": None, "confidence": None,
    }  # fmt: skip
    assert {"true": "b", "predicted": "a", "n": 1} in plain["confusions"]


def test_exact_match_wants_every_label_of_a_product_answered_rightly() -> None:
    answers = {"colour": _indices(0, 1, 2, 0), "season": _indices(1, 1, 0, 0)}
    labels = {"colour": _indices(0, 1, 1, 2), "season": _indices(1, 0, 0, 1)}
    assert _exact_match(answers, labels) == 0.25


def test_exact_match_asks_nothing_of_a_missing_label() -> None:
    answers = {"colour": _indices(0, 1, 2), "season": _indices(1, 1, 0)}
    labels = {"colour": _indices(0, MISSING, 1), "season": _indices(MISSING, 1, MISSING)}
    assert _exact_match(answers, labels) == pytest.approx(2 / 3)


def test_exact_match_leaves_out_products_without_any_label() -> None:
    answers = {"colour": _indices(0, 1), "season": _indices(1, 1)}
    labels = {"colour": _indices(0, MISSING), "season": _indices(0, MISSING)}
    assert _exact_match(answers, labels) == 0.0


def test_exact_match_counts_an_unknown_label_as_wrong() -> None:
    assert _exact_match({"colour": _indices(0, 0)}, {"colour": _indices(0, UNKNOWN)}) == 0.5


@pytest.mark.parametrize("labels", [{"colour": _indices()}, {"colour": _indices(MISSING)}])
def test_exact_match_is_none_without_labels(labels: dict[str, NDArray[np.int64]]) -> None:
    answers = {name: np.zeros(len(column), dtype=np.int64) for name, column in labels.items()}
    assert _exact_match(answers, labels) is None


def _random_outcome(n: int = 400, size: int = 7, seed: int = 5) -> Outcome:
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.4, n) - 1, size - 2)
    logits = rng.normal(size=(n, size)) + 2.0 * np.eye(size)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return _outcome(probabilities, labels.astype(np.int64), threshold=0.6, values=tuple("abcdefg"))


def test_the_figures_agree_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    outcome = _random_outcome()
    scores = score(outcome)
    labels, answers = outcome.labels, outcome.answers
    assert scores.macro_f1 == pytest.approx(sklearn.f1_score(labels, answers, average="macro"))
    assert scores.weighted_f1 == pytest.approx(
        sklearn.f1_score(labels, answers, average="weighted", labels=np.arange(7), zero_division=0)
    )
    with np.errstate(all="ignore"):
        found = [np.mean(answers[labels == own] == own) for own in np.unique(labels)]
    assert scores.balanced_accuracy == pytest.approx(float(np.mean(found)))


def test_weighted_f1_weighs_by_labels_and_balanced_accuracy_does_not() -> None:
    scores = _score([0, 0, 1, 2], [0, 1, 1, 1])
    assert scores.weighted_f1 == pytest.approx((1 * 2 / 3 + 3 * 1 / 2) / 4)
    assert scores.balanced_accuracy == pytest.approx((1 + 1 / 3) / 2)


def test_the_calibration_error_before_is_that_of_the_raw_probabilities() -> None:
    labels = _indices(0, 1, 2, 1)
    scores = score(_outcome(_answering([0, 1, 2, 2], 0.75), labels, raw=_answering([0, 1, 2, 2], 0.95)))
    assert (scores.ece, scores.ece_before) == (pytest.approx(0.0), pytest.approx(0.2))


def test_reliability_bins_hold_every_answer_once() -> None:
    confidence, right = np.array([0.9, 0.91, 0.05, 1.0]), np.array([True, False, False, True])
    bins = bin_reliability(confidence, right)
    assert sum(own.n for own in bins) == 4
    assert [own.n for own in bins] == [1, 2, 1]
    assert (bins[1].confidence, bins[1].accuracy) == (pytest.approx(0.905), 0.5)


def test_risk_falls_where_only_sure_answers_are_taken() -> None:
    # Taken one after the other: right, right, wrong, wrong; the last two are equally sure, so they go together.
    curve = trace_risk_coverage(np.array([0.9, 0.6, 0.8, 0.6]), np.array([True, False, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.5, 1.0]
    assert curve.risk.tolist() == [0.0, 0.0, 0.5]
    assert curve.area == pytest.approx(0.25)
    assert (curve.coverage_at(1.0), curve.coverage_at(0.5), curve.coverage_at(0.4)) == (0.5, 1.0, 1.0)


def test_intervals_hold_the_figure_and_are_wider_where_products_share_a_design() -> None:
    outcome = _random_outcome()
    alone = score(outcome, resamples=Resamples([str(row) for row in range(400)])).intervals
    assert set(alone) >= {"accuracy", "top5", "coverage", "accepted_accuracy", "macro_f1", "weighted_f1"}
    accuracy = float(outcome.right.mean())
    low, high = alone["accuracy"]
    assert low < accuracy < high
    # The width is that of a binomial share: 1.96 standard errors on both sides.
    assert high - low == pytest.approx(2 * 1.96 * (accuracy * (1 - accuracy) / 400) ** 0.5, rel=0.15)
    four = outcome.select(np.arange(400) < 100)
    repeated = Outcome(
        "colour", four.values, np.repeat(four.labels, 4), np.repeat(four.probabilities, 4, axis=0),
        np.repeat(four.answers, 4),
    )  # fmt: skip
    grouped = Resamples([str(row // 4) for row in range(400)])
    single = Resamples([str(row) for row in range(400)])
    wide, narrow = (score(repeated, resamples=own).intervals["accuracy"] for own in (grouped, single))
    assert wide[1] - wide[0] > 1.6 * (narrow[1] - narrow[0])


def test_intervals_are_the_same_each_time() -> None:
    outcome = _random_outcome()
    groups = [str(row // 2) for row in range(400)]
    first, second = (score(outcome, resamples=Resamples(groups)).intervals for _ in range(2))
    assert first == second


def test_a_figure_that_no_resample_has_gets_no_interval() -> None:
    scores = score(_outcome(_answering([0, 1]), _indices(0, 1)), resamples=Resamples(["x", "y"]))
    assert "accepted_accuracy" not in scores.intervals
    assert scores.intervals["accuracy"] == (1.0, 1.0)


@pytest.mark.parametrize(("gained", "lost", "p"), [(0, 0, 1.0), (5, 5, 1.0), (8, 2, 0.109375), (10, 0, 2 / 1024)])
def test_mcnemar_is_the_tossing_of_a_fair_coin(gained: int, lost: int, p: float) -> None:
    assert mcnemar_p_value(gained, lost) == pytest.approx(p)
    assert mcnemar_p_value(lost, gained) == pytest.approx(p)


def test_mcnemar_holds_for_thousands() -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    assert mcnemar_p_value(2100, 1950) == pytest.approx(stats.binomtest(1950, 4050).pvalue, rel=1e-6)
