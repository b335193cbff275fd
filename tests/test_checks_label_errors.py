"""Likely label errors: planted ones are found, ranked and named; sound labels are left alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vestiary.catalogue import Catalogue
from vestiary.checks import Severity
from vestiary.checks.label_errors import (
    MIN_CONFIDENCE,
    MIN_GROUPS,
    check_label_errors,
    find_label_errors,
    predict_out_of_fold,
)
from vestiary.errors import MissingExtraError
from vestiary.product import Product, Split
from vestiary.taxonomy import MISSING, Attribute, Taxonomy

pytest.importorskip("cleanlab", reason="the extra 'checks' is not installed")

VALUES = ("Bags", "Shirts", "Shoes")
PLANTED = {5: 1, 65: 2, 125: 0}
"""Row to the wrong label it gets; 60 rows of each value."""


def make_arrays(seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32], list[str]]:
    """Three clouds in eight dimensions, one per value, 60 rows each, and labels with three mistakes."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(3), 60)
    centres = 4 * rng.normal(size=(3, 8))
    embeddings = (centres[true] + rng.normal(size=(180, 8))).astype(np.float32)
    labels = true.astype(np.int64)
    for row, label in PLANTED.items():
        labels[row] = label
    return labels, embeddings, [str(row) for row in range(180)]


def test_planted_errors_are_found_with_what_they_look_like() -> None:
    labels, embeddings, groups = make_arrays()
    suspects = find_label_errors(labels, embeddings, groups)
    assert {suspect.row for suspect in suspects} == set(PLANTED)
    for suspect in suspects:
        assert suspect.label == labels[suspect.row] == PLANTED[suspect.row]
        assert suspect.looks_like == suspect.row // 60
        assert suspect.confidence_in_label < 0.1
        assert suspect.confidence_in_other >= MIN_CONFIDENCE


def test_right_labels_give_no_suspects() -> None:
    _, embeddings, groups = make_arrays()
    assert find_label_errors(np.repeat(np.arange(3), 60), embeddings, groups) == []


def test_rows_without_a_label_are_left_out() -> None:
    labels, embeddings, groups = make_arrays()
    labels[5] = labels[66] = MISSING
    assert {suspect.row for suspect in find_label_errors(labels, embeddings, groups)} == {65, 125}


def test_values_in_too_few_groups_are_neither_used_nor_judged() -> None:
    labels, embeddings, groups = make_arrays()
    labels[:MIN_GROUPS] = 7
    few = [str(row // 2) if row < MIN_GROUPS else group for row, group in enumerate(groups)]
    suspects = find_label_errors(labels, embeddings, few)
    assert {suspect.row for suspect in suspects} == {65, 125}
    assert all(suspect.looks_like != 7 for suspect in suspects)
    assert find_label_errors(np.zeros(180, dtype=np.int64), embeddings, groups) == []


def test_twins_of_a_wrong_label_do_not_defend_it() -> None:
    """Rows of one group are never on both sides: else its twins would teach the probe the mistake."""
    labels, embeddings, groups = make_arrays()
    twins = np.repeat(embeddings[5:6], 8, axis=0)
    suspects = find_label_errors(
        np.concatenate([labels, np.full(8, PLANTED[5])]),
        np.concatenate([embeddings, twins]),
        [*groups, *["5"] * 8],
    )
    assert {suspect.row for suspect in suspects} == {*PLANTED, *range(180, 188)}


def test_a_fold_is_answered_by_the_other_folds_alone() -> None:
    labels, embeddings, _ = make_arrays()
    fold_of = (labels == 2).astype(np.int64)
    probabilities = predict_out_of_fold(labels, embeddings, fold_of)
    assert probabilities.shape == (180, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities[fold_of == 1, 2] == 0).all()


@pytest.fixture
def catalogue() -> Catalogue:
    labels, _, _ = make_arrays()
    products = tuple(
        Product(
            id=f"p{row}",
            images=(f"images/{row}.jpg",),
            pixel_hashes=(f"hash {row}",),
            labels={"type": VALUES[label]},
            name=f"Product {row}",
            group=f"p{row}",
            split=Split.TRAIN,
            source=f"table:{row}",
        )
        for row, label in enumerate(labels)
    )
    return Catalogue(Taxonomy((Attribute("type", VALUES),)), products, (), Path("nowhere"), 180, 42)


def test_findings_name_product_picture_label_and_likeness(catalogue: Catalogue) -> None:
    _, embeddings, _ = make_arrays()
    seen: list[tuple[int, int]] = []
    everything, *single = check_label_errors(
        catalogue, embeddings, progress=lambda done, total: seen.append((done, total))
    )
    assert (everything.check, everything.severity) == ("labels.likely_errors", Severity.WARNING)
    assert set(everything.products) == {f"p{row}" for row in PLANTED}
    assert "3 labels of type are probably wrong" in everything.message
    assert [finding.products for finding in single] == [(product,) for product in everything.products]
    (told,) = [finding for finding in single if finding.products == ("p5",)]
    assert (told.check, told.severity) == ("labels.likely_error", Severity.INFO)
    assert "p5 (images/5.jpg) has type Shirts" in told.message
    assert "looks like Bags" in told.message
    assert "table:5" in told.remedy
    assert seen == [(1, 1)]
    assert len(check_label_errors(catalogue, embeddings, shown=1)) == 2


def test_without_cleanlab_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, embeddings, groups = make_arrays()
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(MissingExtraError, match=r"vestiary\[checks\]"):
        find_label_errors(labels, embeddings, groups)
