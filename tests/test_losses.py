"""The loss equals the formulas of the papers it names, computed here once more in plain NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from vestiary.taxonomy import MISSING, Attribute, Taxonomy  # noqa: E402
from vestiary.training.losses import AttributeLoss, Targets, describe_weights, weigh_values  # noqa: E402
from vestiary.training.recipe import Recipe  # noqa: E402

TAXONOMY = Taxonomy((Attribute("kind", ("Shirt", "Shoe", "Bag")), Attribute("colour", ("Red", "Blue"))))
TRAINING = np.array([[0, 0]] * 60 + [[1, 1]] * 30 + [[2, MISSING]] * 10)
"""Labels of the training split: shirts are common, bags are rare, and no bag has a colour."""
LABELS = np.array([[0, 0], [1, MISSING], [2, 1], [0, 1], [MISSING, 0]])


def make_logits(n: int = len(LABELS)) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, size, generator=generator, dtype=torch.float32) for size in (3, 2)]


def measure(labels: np.ndarray[Any, Any] = LABELS, logits: list[Any] | None = None, **choices: Any) -> float:
    """The loss of a batch as training computes it."""
    recipe = replace(Recipe(name="x"), **{"label_smoothing": 0.0, **choices})
    targets = Targets(torch.from_numpy(labels))
    loss = AttributeLoss(recipe, TAXONOMY, TRAINING)
    return float(loss(make_logits() if logits is None else logits, targets, targets.count()).detach())


def probabilities(scores: Any) -> np.ndarray[Any, Any]:
    raised = np.exp(scores.numpy().astype(np.float64))
    return raised / raised.sum(axis=1, keepdims=True)


def mean_over_known(column: int, of_one: Any) -> float:
    """The mean of ``of_one(probabilities, label)`` over the labelled pictures of a column of LABELS."""
    rows = probabilities(make_logits()[column])
    known = [(row, label) for row, label in zip(rows, LABELS[:, column], strict=True) if label != MISSING]
    return float(np.mean([of_one(row, label) for row, label in known]))


def test_cross_entropy_is_the_mean_over_the_labelled_of_each_attribute() -> None:
    expected = sum(mean_over_known(column, lambda row, label: -np.log(row[label])) for column in (0, 1))
    assert measure() == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_gives_a_share_to_every_value() -> None:
    def smoothed(row: Any, label: int) -> float:
        wanted = np.full(len(row), 0.1 / len(row))
        wanted[label] += 0.9
        return float(-(wanted * np.log(row)).sum())

    expected = sum(mean_over_known(column, smoothed) for column in (0, 1))
    assert measure(label_smoothing=0.1) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_is_that_of_lin_2017(gamma: float) -> None:
    def focal(row: Any, label: int) -> float:
        return float(-((1 - row[label]) ** gamma) * np.log(row[label]))

    expected = sum(mean_over_known(column, focal) for column in (0, 1))
    assert measure(loss="focal", focal_gamma=gamma) == pytest.approx(expected, rel=1e-5)


def test_inverse_weights_make_all_values_count_alike_over_the_training_split() -> None:
    weights = weigh_values(np.array([60, 30, 10]), replace(Recipe(name="x"), class_weights="inverse"))
    assert weights * [60, 30, 10] == pytest.approx([100 / 3] * 3, rel=1e-5)
    expected = mean_over_known(0, lambda row, label: -np.log(row[label]) * (100 / 3 / [60, 30, 10][label]))
    expected += mean_over_known(1, lambda row, label: -np.log(row[label]) * (45 / [60, 30][label]))
    assert measure(class_weights="inverse") == pytest.approx(expected, rel=1e-5)


def test_effective_weights_are_those_of_cui_2019() -> None:
    beta, counts = 0.99, np.array([60, 30, 10])
    effective = np.array([sum(beta**k for k in range(n)) for n in counts])  # the series behind (1 - βⁿ) / (1 - β)
    weights = weigh_values(counts, replace(Recipe(name="x"), class_weights="effective", effective_beta=beta))
    assert weights / weights[0] == pytest.approx(effective[0] / effective, rel=1e-5)
    assert (weights * counts).sum() == pytest.approx(counts.sum(), rel=1e-5)


def test_a_value_that_training_never_saw_weighs_one() -> None:
    for kind in ("inverse", "effective"):
        weights = weigh_values(np.array([7, 0, 3]), replace(Recipe(name="x"), class_weights=kind))
        assert np.isfinite(weights).all()
        assert weights[1] == 1


def test_logit_adjustment_is_that_of_menon_2021() -> None:
    logits = make_logits()
    for tau in (1.0, 1.5):
        expected = 0.0
        for column, prior in enumerate(([0.6, 0.3, 0.1], [60 / 90, 30 / 90])):
            # equation 10: log(1 + Σ over other values of (π'/π)^τ · exp(f' − f))
            each = []
            for scores, label in zip(logits[column].numpy().astype(np.float64), LABELS[:, column], strict=True):
                if label != MISSING:
                    rest = sum(
                        (prior[k] / prior[label]) ** tau * np.exp(scores[k] - scores[label])
                        for k in range(len(prior))
                        if k != label
                    )
                    each.append(np.log1p(rest))
            expected += float(np.mean(each))
        assert measure(logit_adjustment=tau) == pytest.approx(expected, rel=1e-5)


def test_fixed_weights_of_attributes_multiply_their_losses() -> None:
    kind, colour = (mean_over_known(column, lambda row, label: -np.log(row[label])) for column in (0, 1))
    assert measure(attribute_weights={"colour": 0.25}) == pytest.approx(kind + 0.25 * colour, rel=1e-5)


def test_learnt_weights_settle_where_kendall_2018_puts_them() -> None:
    """For losses that stay as they are, exp(−s)·L + s/2 is lowest at s = log(2L): the weight is 1 / 2L."""
    recipe = replace(Recipe(name="x"), label_smoothing=0.0, learn_attribute_weights=True)
    loss = AttributeLoss(recipe, TAXONOMY, TRAINING)
    targets = Targets(torch.from_numpy(LABELS))
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        loss(make_logits(), targets, targets.count()).backward()
        optimiser.step()
    own = [mean_over_known(column, lambda row, label: -np.log(row[label])) for column in (0, 1)]
    assert torch.exp(-loss.log_variance).tolist() == pytest.approx([1 / (2 * one) for one in own], rel=1e-3)


def test_missing_labels_change_neither_loss_nor_gradient() -> None:
    logits = [scores.requires_grad_() for scores in make_logits()]
    labels = torch.tensor([[0, 0], [1, 1], [MISSING, MISSING], [2, 0], [MISSING, MISSING]])
    known = labels[:, 0] != MISSING
    loss = AttributeLoss(Recipe(name="x"), TAXONOMY, TRAINING)
    masked = loss(logits, Targets(labels), Targets(labels).count())
    masked.backward()
    alone = Targets(labels[known])
    assert torch.isclose(masked, loss([scores[known] for scores in logits], alone, alone.count()))
    for scores in logits:
        assert (scores.grad[~known] == 0).all()
        assert (scores.grad[known] != 0).any()


def test_an_attribute_without_any_label_in_the_batch_adds_nothing() -> None:
    nobody = LABELS.copy()
    nobody[:, 1] = MISSING
    expected = mean_over_known(0, lambda row, label: -np.log(row[label]))
    for learnt in (False, True):
        assert measure(nobody, learn_attribute_weights=learnt) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "choices",
    [
        {"label_smoothing": 0.1},
        {"loss": "focal", "class_weights": "inverse", "logit_adjustment": 1.0},
        {"learn_attribute_weights": True, "attribute_weights": {"kind": 3.0}},
    ],
)
def test_parts_of_a_batch_add_up_to_the_whole(choices: dict[str, Any]) -> None:
    loss = AttributeLoss(replace(Recipe(name="x"), **choices), TAXONOMY, TRAINING)
    if loss.log_variance is not None:
        torch.nn.init.constant_(loss.log_variance, 0.7)
    labels, logits = torch.from_numpy(LABELS), make_logits()
    share = torch.tensor([1.0, 0.3, 0.8, 0.5, 0.0])
    whole = Targets(labels, labels.flip(0), share)
    counts = whole.count()
    summed = 0.0
    for part in (slice(0, 2), slice(2, 5)):
        targets = Targets(labels[part], labels.flip(0)[part], share[part])
        pieces = [scores[part] for scores in logits]
        summed += float(loss(pieces, targets, counts, part=len(targets.labels) / 5).detach())
    assert summed == pytest.approx(float(loss(logits, whole, counts).detach()), rel=1e-5)


def test_mixed_pictures_count_for_both_labels_by_their_share() -> None:
    labels = torch.tensor([[0, 1]])
    logits = make_logits(1)
    loss = AttributeLoss(replace(Recipe(name="x"), label_smoothing=0.0), TAXONOMY, TRAINING)
    own, other = (Targets(torch.tensor([row])) for row in ([0, 1], [2, MISSING]))
    mixed = Targets(labels, other.labels, torch.tensor([0.7]))
    assert mixed.count().tolist() == pytest.approx([1.0, 0.7])
    unit = torch.ones(2)
    expected = 0.7 * loss(logits, own, unit) + 0.3 * loss(logits, other, unit)
    assert torch.isclose(loss(logits, mixed, mixed.count()), expected)


def test_what_is_done_for_rare_values_is_said_with_counts() -> None:
    recipe = replace(Recipe(name="x"), class_weights="inverse", logit_adjustment=1.0)
    lines = describe_weights(recipe, TAXONOMY, TRAINING)
    assert lines[0] == "kind: a picture counts for 0.56 (Shirt, 60 pictures) to 3.3 (Bag, 10)"
    assert "log frequency" in lines[-1]
    assert describe_weights(Recipe(name="x"), TAXONOMY, TRAINING) == []


def test_what_is_taught_counts_for_all_pictures_and_labels_for_the_rest() -> None:
    logits, generator = make_logits(), torch.Generator().manual_seed(2)
    taught = [torch.randn(len(LABELS), size, generator=generator).softmax(1) for size in (3, 2)]
    temperature, share = 2.0, 0.3
    recipe = replace(Recipe(name="x"), label_smoothing=0.0, teaching=share, teaching_temperature=temperature)
    targets, loss = Targets(torch.from_numpy(LABELS)), AttributeLoss(recipe, TAXONOMY, TRAINING)
    expected = 0.7 * measure()
    for scores, wanted in zip(logits, taught, strict=True):
        own, p = probabilities(scores / temperature), wanted.numpy()
        expected += share * temperature**2 * float((p * (np.log(p) - np.log(own))).sum(1).mean())
    found = float(loss(logits, targets, targets.count(), taught=taught))
    assert found == pytest.approx(expected, rel=1e-4)
    parts = [torch.tensor([0, 2]), torch.tensor([1, 3, 4])]
    summed = sum(
        float(
            loss(
                [scores[part] for scores in logits],
                targets.take(part),
                targets.count(),
                part=len(part) / len(LABELS),
                taught=[wanted[part] for wanted in taught],
            )
        )
        for part in parts
    )
    assert summed == pytest.approx(found, rel=1e-5)
