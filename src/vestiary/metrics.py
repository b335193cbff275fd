"""Scores and true labels in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vestiary.taxonomy import MISSING

ECE_BINS: Final = 15


@dataclass(frozen=True, slots=True)
class ValueScores:
    """One value: ``n`` true cases; precision and recall, 0..1, None where there is nothing to divide by."""

    value: str
    n: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """``n`` products with the label ``true`` that were answered with ``predicted``."""

    true: str
    predicted: str
    n: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Figures of one attribute over ``n`` labelled products; shares are 0..1, None where there is nothing to divide by.

    ``macro_f1`` is the plain mean of F1 over the values that occur among labels or answers (as scikit-learn has it);
    ``top5`` the share with the label among the five best answers; ``ece`` the expected calibration error over 15
    equal bins (Guo et al. 2017); ``coverage`` the share of answers accepted, ``accepted_accuracy`` how many of those
    are right.
    """

    attribute: str
    n: int
    accuracy: float | None
    macro_f1: float | None
    top5: float | None
    ece: float | None
    coverage: float | None
    accepted_accuracy: float | None
    values: tuple[ValueScores, ...]
    confusions: tuple[Confusion, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def to_brief(self) -> dict[str, Any]:
        """The figures alone, without name, values and confusions: JSON-ready."""
        return {key: value for key, value in asdict(self).items() if key not in ("attribute", "values", "confusions")}


def score(
    attribute: str,
    values: Sequence[str],
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    accepted: NDArray[np.bool_],
    n_confusions: int = 20,
) -> Scores:
    """Figures of one attribute.

    ``probabilities`` is ``float64 [n, values]``, ``labels`` ``int64 [n]``: MISSING ones are left out, UNKNOWN ones
    count as answered wrongly. ``accepted`` ``bool [n]`` tells which answers need no person's eye.
    """
    known = labels != MISSING
    probabilities, labels, accepted = probabilities[known], labels[known], accepted[known]
    n = len(labels)
    if n == 0:
        return Scores(attribute, 0, None, None, None, None, None, None, (), ())
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = answers == labels
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    per_value = _score_values(values, answers, labels)
    return Scores(
        attribute=attribute,
        n=n,
        accuracy=float(right.mean()),
        macro_f1=_macro_f1(answers, labels, len(values)),
        top5=float((best == labels[:, None]).any(axis=1).mean()),
        ece=expected_calibration_error(confidence, right),
        coverage=float(accepted.mean()),
        accepted_accuracy=float(right[accepted].mean()) if accepted.any() else None,
        values=per_value,
        confusions=_count_confusions(values, answers, labels, n_confusions),
    )


def expected_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, weighted by their size (Guo et al. 2017); 0..1."""
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def format_percent(share: float | None) -> str:
    """A share of 0..1 as per cent with one decimal, a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def exact_match(answers: Mapping[str, NDArray[np.int64]], labels: Mapping[str, NDArray[np.int64]]) -> float | None:
    """Share of products with every label answered rightly; a product without any label is left out."""
    right = np.all([(answers[name] == labels[name]) | (labels[name] == MISSING) for name in labels], axis=0)
    labelled = np.any([labels[name] != MISSING for name in labels], axis=0)
    return float(right[labelled].mean()) if labelled.any() else None


def _macro_f1(answers: NDArray[np.int64], labels: NDArray[np.int64], size: int) -> float:
    hits, predicted, true = _counts(answers, labels, size)
    occurring = (predicted + true) > 0
    f1 = 2 * hits[occurring] / (predicted + true)[occurring]
    return float(f1.mean())


def _counts(
    answers: NDArray[np.int64], labels: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Hits, answers and labels of each value."""
    hits = np.bincount(answers[answers == labels], minlength=size)
    return hits, np.bincount(answers, minlength=size), np.bincount(labels[labels >= 0], minlength=size)


def _score_values(
    values: Sequence[str], answers: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[ValueScores, ...]:
    hits, predicted, true = _counts(answers, labels, len(values))
    return tuple(
        ValueScores(
            value=value,
            n=int(true[index]),
            precision=float(hits[index] / predicted[index]) if predicted[index] else None,
            recall=float(hits[index] / true[index]) if true[index] else None,
        )
        for index, value in enumerate(values)
    )


def _count_confusions(
    values: Sequence[str], answers: NDArray[np.int64], labels: NDArray[np.int64], limit: int
) -> tuple[Confusion, ...]:
    wrong = (answers != labels) & (labels >= 0)
    pairs, counts = np.unique(labels[wrong] * len(values) + answers[wrong], return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:limit]
    return tuple(
        Confusion(values[pair // len(values)], values[pair % len(values)], int(counts[index]))
        for index, pair in zip(commonest, pairs[commonest], strict=True)
    )
