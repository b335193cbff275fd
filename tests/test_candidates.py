"""Conformal sets: as large as promised, no larger, and the same that MAPIE finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vestiary.bundle import open_bundle
from vestiary.calibration import Calibration, find_candidates, fit_limit, softmax
from vestiary.predictor import Predictor
from vestiary.taxonomy import MISSING, UNKNOWN


def _draw(n: int, seed: int, size: int = 6) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities, and labels that are drawn from them with some noise, so that no map of theirs is perfect."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, size))
    shares = softmax(logits + random.normal(0, 0.5, logits.shape)).cumsum(axis=1)
    labels = (random.random(n)[:, None] > shares).sum(axis=1)
    return softmax(logits), np.minimum(labels, size - 1).astype(np.int64)


def _covered(found: NDArray[np.bool_], labels: NDArray[np.int64]) -> float:
    return float(found[np.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("coverage", [0.6, 0.9, 0.95])
def test_the_sets_are_those_that_mapie_finds(coverage: float) -> None:
    classification = pytest.importorskip("mapie.classification", reason="mapie is not installed")
    sklearn = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

    class Given(sklearn.ClassifierMixin, sklearn.BaseEstimator):  # type: ignore[misc, name-defined]
        """A classifier whose probabilities are what it is given."""

        classes_ = np.arange(6)

        def fit(self, table: NDArray[np.float64], labels: NDArray[np.int64]) -> Given:
            return self

        def predict_proba(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
            return table

        def predict(self, table: NDArray[np.float64]) -> NDArray[np.int64]:
            best: NDArray[np.int64] = table.argmax(axis=1)
            return best

        def __sklearn_is_fitted__(self) -> bool:
            return True

    (seen, labels), (fresh, _) = _draw(700, 1), _draw(900, 2)
    theirs = classification.SplitConformalClassifier(
        Given(), confidence_level=coverage, conformity_score="lac", prefit=True
    ).conformalize(seen, labels)
    _, sets = theirs.predict_set(fresh)
    ours = find_candidates(fresh, fit_limit(seen, labels, coverage=coverage))
    best = np.eye(6, dtype=bool)[fresh.argmax(axis=1)]
    assert (ours == (sets[:, :, 0] | best)).all()
    assert (sets[:, :, 0].sum(axis=1) > 1).any()


def test_fresh_true_values_are_candidates_as_often_as_promised() -> None:
    found = []
    for seed in range(60):
        (seen, labels), (fresh, truth) = _draw(200, seed), _draw(2000, 1000 + seed)
        found.append(_covered(find_candidates(fresh, fit_limit(seen, labels, coverage=0.9)), truth))
    # Exact for the mean over draws, up to 1/201 above; the draws themselves spread by about 2 points.
    assert 0.893 <= np.mean(found) <= 0.912


def test_the_limit_is_the_right_one_of_few() -> None:
    probabilities = np.array([[p, 1 - p] for p in (0.9, 0.8, 0.7, 0.6, 0.3, 0.2, 0.1, 0.95, 0.55)])
    labels = np.zeros(9, dtype=np.int64)
    # (9 + 1) · 0.8 = the eighth best of what the true values got; 0.9 needs the ninth, 0.95 more than there are.
    assert fit_limit(probabilities, labels, coverage=0.8) == pytest.approx(0.2)
    assert fit_limit(probabilities, labels, coverage=0.9) == pytest.approx(0.1)
    assert fit_limit(probabilities, labels, coverage=0.95) == 0.0


def test_the_best_value_is_always_a_candidate_and_a_limit_of_nothing_takes_all() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25], [1.0, 0.0, 0.0]])
    assert find_candidates(probabilities, 0.9).tolist() == [
        [True, False, False],
        [True, False, False],
        [True, False, False],
    ]
    assert find_candidates(probabilities, 0.3).tolist() == [
        [True, True, False],
        [True, True, False],
        [True, False, False],
    ]
    assert find_candidates(probabilities, 0.0).all()


def test_missing_labels_are_left_out_and_unknown_ones_are_never_covered() -> None:
    probabilities, labels = _draw(300, 3)
    known = np.arange(300) >= 50
    with_gaps = fit_limit(probabilities, np.where(known, labels, MISSING))
    assert with_gaps == fit_limit(probabilities[known], labels[known])
    # A sixth of the labels has no value here, so 90 % of them cannot be covered by any set.
    assert fit_limit(probabilities, np.where(known, labels, UNKNOWN)) == 0.0
    assert fit_limit(np.empty((0, 3)), np.empty(0, dtype=np.int64)) == 0.0
    assert fit_limit(np.ones((30, 1)), np.where(np.arange(30) < 29, 0, UNKNOWN)) == 1.0


def test_a_tag_tells_its_candidates_best_first(make_bundle: Callable[..., Path]) -> None:
    names = {"baseColour": 1.0, "season": 1.0}
    calibration = Calibration(names, dict.fromkeys(names, 0.9), limits={"baseColour": 0.2, "season": 0.9})
    predictor = Predictor(open_bundle(make_bundle(calibration=calibration)), threads=1)
    picture = np.zeros((32, 24, 3), dtype=np.uint8)
    picture[..., 0], picture[..., 2] = 130, 110
    (prediction,) = predictor.predict([picture], top_k=1)
    colour, season = prediction.tags
    assert (colour.candidates, colour.runners_up) == (("Red", "Blue"), ())
    assert season.candidates == ("Summer",)
    assert prediction.to_dict()["tags"]["baseColour"]["candidates"] == ["Red", "Blue"]


def test_a_bundle_without_limits_promises_no_candidates(make_bundle: Callable[..., Path]) -> None:
    (prediction,) = Predictor(open_bundle(make_bundle()), threads=1).predict([np.zeros((32, 24, 3), dtype=np.uint8)])
    assert [tag.candidates for tag in prediction.tags] == [(), ()]


def test_mapie_is_no_part_of_the_package() -> None:
    source = Path(__file__).parents[1] / "src"
    assert not [file for file in source.rglob("*.py") if "import mapie" in file.read_text(encoding="utf-8")]
