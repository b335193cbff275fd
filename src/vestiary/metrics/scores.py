"""The figures of one attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestiary.metrics.curves import expected_calibration_error, trace_risk_coverage
from vestiary.metrics.outcome import Outcome
from vestiary.metrics.resampling import Interval, Resamples, divide


@dataclass(frozen=True, slots=True)
class ValueScores:
    """One value: ``n`` true cases, ``answered`` times it was the answer.

    Precision, recall, F1 and the mean ``confidence`` of its answers are 0..1, None where there is nothing to divide by.
    """

    value: str
    n: int
    answered: int
    precision: float | None
    recall: float | None
    f1: float | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """``n`` products with the label ``true`` that were answered with ``predicted``."""

    true: str
    predicted: str
    n: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Figures of one attribute over ``n`` labelled products; shares are 0..1, None where there is nothing to divide by.

    ``macro_f1`` is the plain mean of F1 over the values that occur among labels or answers, ``weighted_f1`` their mean
    weighted by the labels, ``balanced_accuracy`` the mean recall of the values that occur among labels (all as
    scikit-learn has them); ``top5`` the share with the label among the five best answers; ``ece`` the expected
    calibration error over 15 equal bins (Guo et al. 2017) and ``ece_before`` the same before calibration; ``coverage``
    the share of answers accepted, ``accepted_accuracy`` how many of those are right; ``aurc`` the area under the
    risk-coverage curve. ``intervals`` has the 95 % bootstrap interval of figures by name, where groups were given.
    """

    attribute: str
    n: int
    accuracy: float | None
    macro_f1: float | None
    top5: float | None
    ece: float | None
    coverage: float | None
    accepted_accuracy: float | None
    balanced_accuracy: float | None = None
    weighted_f1: float | None = None
    ece_before: float | None = None
    aurc: float | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    values: tuple[ValueScores, ...] = ()
    confusions: tuple[Confusion, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def to_brief(self) -> dict[str, Any]:
        """The figures alone, without name, values and confusions: JSON-ready."""
        return {key: value for key, value in asdict(self).items() if key not in ("attribute", "values", "confusions")}


def score(outcome: Outcome, *, resamples: Resamples | None = None, n_confusions: int = 20) -> Scores:
    """Figures of one attribute; ``resamples``, drawn over the same products, gives the intervals.

    Products without a label are left out; a label that no value fits counts as answered wrongly.
    """
    known = outcome.known
    own = outcome.select(known)
    n = len(own.labels)
    if n == 0:
        return Scores(outcome.attribute, 0, None, None, None, None, None, None)
    right, confidence = own.right, own.confidence
    counts = _counts(own.answers, own.labels, len(own.values))
    before = None
    if own.raw is not None:
        first = own.raw.argmax(axis=1)
        before = expected_calibration_error(own.raw.max(axis=1), first == own.labels)
    return Scores(
        attribute=outcome.attribute,
        n=n,
        accuracy=float(right.mean()),
        macro_f1=_told(_macro_f1(counts)),
        top5=float(_in_top5(own).mean()),
        ece=expected_calibration_error(confidence, right),
        coverage=None if own.accepted is None else float(own.accepted.mean()),
        accepted_accuracy=float(right[own.accepted].mean())
        if own.accepted is not None and own.accepted.any()
        else None,
        balanced_accuracy=_told(_balanced_accuracy(counts)),
        weighted_f1=_told(_weighted_f1(counts)),
        ece_before=before,
        aurc=trace_risk_coverage(confidence, right).area,
        intervals={} if resamples is None else _find_intervals(outcome, known, resamples),
        values=_score_values(own),
        confusions=_list_confusions(own, n_confusions),
    )


def format_percent(share: float | None) -> str:
    """A share of 0..1 as per cent with one decimal, a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def match_all(outcomes: Mapping[str, Outcome]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which products have every label answered rightly, and which have a label at all: ``bool [n]`` both.

    The share of the first among the second is the exact match.
    """
    right = np.all([own.right | ~own.known for own in outcomes.values()], axis=0)
    labelled = np.any([own.known for own in outcomes.values()], axis=0)
    return right, labelled


def count_pairs(outcome: Outcome) -> NDArray[np.int64]:
    """How often each label (row) got each answer (column): ``int64 [values, values]``; labels of no value left out."""
    size = len(outcome.values)
    known = outcome.labels >= 0
    pairs = np.bincount(outcome.labels[known] * size + outcome.answers[known], minlength=size * size)
    return pairs.reshape(size, size)


def _in_top5(outcome: Outcome) -> NDArray[np.bool_]:
    best = np.argsort(-outcome.probabilities, axis=1, kind="stable")[:, :5]
    found: NDArray[np.bool_] = (best == outcome.labels[:, None]).any(axis=1)
    return found


def _told(figure: NDArray[np.float64]) -> float | None:
    return None if np.isnan(figure[0]) else float(figure[0])


def _counts(answers: NDArray[np.int64], labels: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Hits, answers and labels of each value, ``float64 [1, 3 · size]``: the sums that the F1 figures are made of."""
    hits = np.bincount(answers[answers == labels], minlength=size)
    parts = (hits, np.bincount(answers, minlength=size), np.bincount(labels[labels >= 0], minlength=size))
    return np.concatenate(parts).astype(np.float64)[None]


def _macro_f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    hits, answered, true = np.split(sums, 3, axis=1)
    occurring = (answered + true) > 0
    f1 = np.divide(2 * hits, answered + true, out=np.zeros_like(hits), where=occurring)
    return divide(f1.sum(axis=1), occurring.sum(axis=1))


def _weighted_f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    hits, answered, true = np.split(sums, 3, axis=1)
    f1 = np.divide(2 * hits, answered + true, out=np.zeros_like(hits), where=(answered + true) > 0)
    return divide((f1 * true).sum(axis=1), true.sum(axis=1))


def _balanced_accuracy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    hits, _, true = np.split(sums, 3, axis=1)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    return divide(recall.sum(axis=1), (true > 0).sum(axis=1))


def _find_intervals(outcome: Outcome, known: NDArray[np.bool_], resamples: Resamples) -> dict[str, Interval]:
    """Intervals of the shares, and of the figures that are made of counts per value."""
    right = outcome.right & known
    found = {
        "accuracy": resamples.share(right, known),
        "top5": resamples.share(_in_top5(outcome) & known, known),
    }
    if outcome.accepted is not None:
        found["coverage"] = resamples.share(outcome.accepted & known, known)
        found["accepted_accuracy"] = resamples.share(outcome.accepted & right, outcome.accepted & known)
    columns = _one_hot(outcome, known)
    figures = (("macro_f1", _macro_f1), ("weighted_f1", _weighted_f1), ("balanced_accuracy", _balanced_accuracy))
    found |= {name: resamples.interval(columns, figure) for name, figure in figures}
    return {name: interval for name, interval in found.items() if interval is not None}


def _one_hot(outcome: Outcome, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each product its hit, answer and label as ones, ``float64 [n, 3 · values]``."""
    size = len(outcome.values)
    columns = np.zeros((len(known), 3 * size))
    rows = np.flatnonzero(known)
    answers, labels = outcome.answers[rows], outcome.labels[rows]
    columns[rows, size + answers] = 1
    hits, named = answers == labels, labels >= 0
    columns[rows[hits], answers[hits]] = 1
    columns[rows[named], 2 * size + labels[named]] = 1
    return columns


def _score_values(own: Outcome) -> tuple[ValueScores, ...]:
    hits, answered, true = np.split(_counts(own.answers, own.labels, len(own.values))[0], 3)
    sure = np.bincount(own.answers, weights=own.confidence, minlength=len(own.values))
    return tuple(
        ValueScores(
            value=value,
            n=int(true[index]),
            answered=int(answered[index]),
            precision=_share(hits[index], answered[index]),
            recall=_share(hits[index], true[index]),
            f1=_share(2 * hits[index], answered[index] + true[index]),
            confidence=_share(sure[index], answered[index]),
        )
        for index, value in enumerate(own.values)
    )


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _list_confusions(own: Outcome, limit: int) -> tuple[Confusion, ...]:
    pairs = count_pairs(own)
    np.fill_diagonal(pairs, 0)
    flat = pairs.ravel()
    commonest = [int(pair) for pair in np.argsort(-flat, kind="stable")[:limit] if flat[pair]]
    size = len(own.values)
    return tuple(Confusion(own.values[pair // size], own.values[pair % size], int(flat[pair])) for pair in commonest)
