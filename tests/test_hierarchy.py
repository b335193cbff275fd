"""Attributes tied by parent rules are answered together: consistent, exact, and better for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import vestiary.calibration.hierarchy as hierarchy_module
from vestiary.bundle import open_bundle
from vestiary.calibration import Calibration, Hierarchy, answer, calibrate, fit_joint_temperatures, softmax
from vestiary.errors import BundleError, TaxonomyError
from vestiary.predictor import Predictor
from vestiary.taxonomy import Attribute, ParentRule, Taxonomy

MASTER = Attribute("master", ("Apparel", "Footwear"))
SUB = Attribute("sub", ("Topwear", "Socks", "Shoes"))
TYPE = Attribute("type", ("Tshirts", "Shirts", "Booties", "Sandals"))
SEASON = Attribute("season", ("Summer", "Winter"))
SUB_TO_MASTER = ParentRule("sub", "master", {"Topwear": ("Apparel",), "Socks": ("Footwear",), "Shoes": ("Footwear",)})
TYPE_TO_SUB = ParentRule(
    "type", "sub", {"Tshirts": ("Topwear",), "Shirts": ("Topwear",), "Booties": ("Socks",), "Sandals": ("Shoes",)}
)
CHAIN = Taxonomy((MASTER, SUB, TYPE, SEASON), (SUB_TO_MASTER, TYPE_TO_SUB))

THREE = Taxonomy((MASTER, SUB, TYPE), CHAIN.parents)

Probabilities = Mapping[str, NDArray[np.float64]]


def _draw(taxonomy: Taxonomy, n: int, seed: int = 0, spread: float = 2.0) -> dict[str, NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    return {own.name: softmax(random.normal(0, spread, (n, len(own.values)))) for own in taxonomy.attributes}


def _allowed(taxonomy: Taxonomy, answers: Mapping[str, str]) -> bool:
    return all(rule.allows(answers) for rule in taxonomy.parents)


def _marginals(taxonomy: Taxonomy, probabilities: Probabilities, row: int) -> dict[str, NDArray[np.float64]]:
    """By trying every combination of values of all attributes."""
    found = {own.name: np.zeros(len(own.values)) for own in taxonomy.attributes}
    for indices in itertools.product(*(range(len(own.values)) for own in taxonomy.attributes)):
        labels = {own.name: own.values[index] for own, index in zip(taxonomy.attributes, indices, strict=True)}
        if _allowed(taxonomy, labels):
            share = np.prod([probabilities[name][row, i] for name, i in zip(taxonomy.names, indices, strict=True)])
            for name, index in zip(taxonomy.names, indices, strict=True):
                found[name][index] += share
    return {name: shares / shares.sum() for name, shares in found.items()}


def _values(taxonomy: Taxonomy, decoded: Probabilities, row: int) -> dict[str, str]:
    return taxonomy.decode({name: int(decoded[name][row].argmax()) for name in taxonomy.names})


def test_no_answer_says_a_tshirt_under_footwear() -> None:
    # Each attribute alone would say Tshirts, Topwear and Footwear.
    probabilities = {
        "master": np.array([[0.45, 0.55]]),
        "sub": np.array([[0.6, 0.2, 0.2]]),
        "type": np.array([[0.7, 0.1, 0.1, 0.1]]),
        "season": np.array([[0.3, 0.7]]),
    }
    decoded = Hierarchy.of(CHAIN).decode(probabilities)
    wanted = {"master": "Apparel", "sub": "Topwear", "type": "Tshirts", "season": "Winter"}
    assert _values(CHAIN, decoded, 0) == wanted
    # Topwear combinations weigh .45·.6·(.7+.1) = .216, Booties .55·.2·.1 = .011, Sandals .011.
    assert decoded["master"][0] == pytest.approx([0.216 / 0.238, 0.022 / 0.238])
    assert decoded["type"][0] == pytest.approx(np.array([0.189, 0.027, 0.011, 0.011]) / 0.238)
    assert decoded["season"] is probabilities["season"]


TREE = Taxonomy(
    (Attribute("p", ("0", "1", "2")), Attribute("a", ("0", "1", "2", "3")), Attribute("b", ("0", "1", "2"))),
    (
        ParentRule("a", "p", {"0": ("0",), "1": ("0", "1"), "2": ("2",)}),  # a=3 goes with any
        ParentRule("b", "p", {"0": ("0", "2"), "1": ("1",)}),
    ),
)
TRIANGLE = Taxonomy(TREE.attributes, (*TREE.parents, ParentRule("a", "b", {"0": ("0",), "2": ("0", "2")})))
TWO_GROUPS = Taxonomy(
    (Attribute("w", ("0", "1")), Attribute("x", ("0", "1")), Attribute("y", ("0", "1")), Attribute("z", ("0", "1"))),
    (ParentRule("w", "y", {"0": ("1",), "1": ("0",)}), ParentRule("x", "z", {"0": ("0",)})),
)


@pytest.mark.parametrize("taxonomy", [CHAIN, TREE, TRIANGLE, TWO_GROUPS], ids=["chain", "tree", "triangle", "groups"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_probabilities_are_those_of_trying_every_combination(taxonomy: Taxonomy, seed: int) -> None:
    probabilities = _draw(taxonomy, 8, seed)
    decoded = Hierarchy.of(taxonomy).decode(probabilities)
    for row in range(8):
        exact = _marginals(taxonomy, probabilities, row)
        if _allowed(taxonomy, _values(taxonomy, {name: shares[None] for name, shares in exact.items()}, 0)):
            for name in taxonomy.names:
                assert decoded[name][row] == pytest.approx(exact[name], abs=1e-9)


@pytest.mark.parametrize("taxonomy", [CHAIN, TREE, TRIANGLE, TWO_GROUPS], ids=["chain", "tree", "triangle", "groups"])
def test_every_answer_is_an_allowed_combination_however_torn_the_picture(taxonomy: Taxonomy) -> None:
    decoded = Hierarchy.of(taxonomy).decode(_draw(taxonomy, 3000, spread=0.5))
    for row in range(3000):
        assert _allowed(taxonomy, _values(taxonomy, decoded, row))
    for own in decoded.values():
        assert own.sum(axis=1) == pytest.approx(np.ones(3000))


def test_a_torn_picture_is_settled_by_its_surest_answer() -> None:
    # Red at 0 and at 1 with equal weight outvote blue, but each of their combinations is weaker than blue's one.
    taxonomy = Taxonomy(
        (Attribute("p", ("0", "1", "2")), Attribute("a", ("r", "s", "b"))),
        (ParentRule("a", "p", {"r": ("0",), "s": ("0",), "b": ("1", "2")}),),
    )
    probabilities = {"p": np.array([[0.5, 0.25, 0.25]]), "a": np.array([[0.3, 0.25, 0.45]])}
    decoded = Hierarchy.of(taxonomy).decode(probabilities)
    # Marginals: p=0 .275/.5 = .55 is the surest; a=b .45 is the best of a alone and is not allowed with it.
    assert _values(taxonomy, decoded, 0) == {"p": "0", "a": "r"}
    assert decoded["p"][0] == pytest.approx([1, 0, 0])
    assert decoded["a"][0] == pytest.approx([6 / 11, 5 / 11, 0])


def test_rules_that_contradict_each_other_about_a_value_spare_it() -> None:
    # Booties are Socks, and Apparel by their own rule, while all other Socks are Footwear.
    direct = ParentRule("type", "master", {"Booties": ("Apparel",), "Tshirts": ("Apparel",)})
    taxonomy = Taxonomy((MASTER, SUB, TYPE), (SUB_TO_MASTER, TYPE_TO_SUB, direct))
    (group,) = Hierarchy.of(taxonomy).groups
    found = [{name: taxonomy[name].values[i] for name, i in zip(group.names, row, strict=True)} for row in group.rows]
    assert {"master": "Apparel", "sub": "Socks", "type": "Booties"} in found
    others = [labels for labels in found if labels["type"] != "Booties"]
    assert len(found) == len(others) + 1 and all(_allowed(taxonomy, labels) for labels in others)


def test_a_parent_that_no_child_goes_with_is_never_answered() -> None:
    rule = ParentRule("sub", "master", dict.fromkeys(SUB.values, ("Apparel",)))
    decoded = Hierarchy.of(Taxonomy((MASTER, SUB), (rule,))).decode(_draw(Taxonomy((MASTER, SUB)), 50))
    assert (decoded["master"][:, 1] == 0).all()


def test_without_rules_nothing_changes() -> None:
    taxonomy = Taxonomy((MASTER, SEASON))
    probabilities = _draw(taxonomy, 5)
    assert Hierarchy.of(taxonomy).decode(probabilities) == probabilities


def test_certain_and_contradictory_probabilities_give_sound_numbers() -> None:
    probabilities = {
        "master": np.array([[0.0, 1.0]]),
        "sub": np.array([[1.0, 0.0, 0.0]]),
        "type": np.array([[0.0, 0.0, 0.0, 1.0]]),
    }
    decoded = Hierarchy.of(THREE).decode(probabilities)
    # Two of three say Sandals: only sub has to give way.
    assert _values(Taxonomy((MASTER, SUB, TYPE)), decoded, 0) == {
        "master": "Footwear",
        "sub": "Shoes",
        "type": "Sandals",
    }
    assert all(np.isfinite(own).all() for own in decoded.values())


def test_rows_are_answered_alike_whether_they_come_alone_or_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = _draw(CHAIN, 40)
    whole = Hierarchy.of(CHAIN).decode(probabilities)
    monkeypatch.setattr(hierarchy_module, "BLOCK", 12)
    parts = Hierarchy.of(CHAIN).decode(probabilities)
    for name in CHAIN.names:
        assert parts[name] == pytest.approx(whole[name])
    empty = Hierarchy.of(CHAIN).decode({name: own[:0] for name, own in probabilities.items()})
    assert {name: own.shape for name, own in empty.items()} == {n: (0, own.shape[1]) for n, own in whole.items()}


def test_rules_that_leave_nothing_or_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ParentRule("sub", "master", dict.fromkeys(SUB.values, ()))
    with pytest.raises(TaxonomyError, match="allow no combination of sub, master; mend them"):
        Hierarchy.of(Taxonomy((MASTER, SUB), (nothing,)))
    monkeypatch.setattr(hierarchy_module, "MAX_COMBINATIONS", 3)
    with pytest.raises(TaxonomyError, match="over 3 combinations of sub, master, type; take attributes"):
        Hierarchy.of(THREE)


def _labelled(n: int, seed: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.int64]]]:
    """Logits of three heads that err each in their own way and too surely, and labels that keep to the rules."""
    random = np.random.default_rng(seed)
    (group,) = Hierarchy.of(THREE).groups
    true = group.rows[random.integers(0, len(group.rows), n)]
    logits, labels = {}, {}
    for column, (name, size) in enumerate(zip(group.names, group.sizes, strict=True)):
        labels[name] = true[:, column]
        logits[name] = 3 * (1.5 * np.eye(size)[labels[name]] + random.normal(0, 1, (n, size)))
    return logits, labels


def _loss(probabilities: Probabilities, labels: Mapping[str, NDArray[np.int64]]) -> float:
    rows = np.arange(len(next(iter(labels.values()))))
    return float(sum(-np.log(np.maximum(probabilities[name][rows, labels[name]], 1e-3)).mean() for name in labels))


def test_answering_together_makes_fresh_labels_likelier_and_more_answers_right() -> None:
    (logits, labels), (fresh, truth) = _labelled(2000, 1), _labelled(2000, 2)
    joint = calibrate(logits, labels, THREE)
    alone = calibrate(logits, labels, Taxonomy(THREE.attributes))
    assert joint.joint and not alone.joint
    together = joint.probabilities(fresh, Hierarchy.of(THREE))
    apart = alone.probabilities(fresh, Hierarchy(()))
    assert _loss(together, truth) < 0.8 * _loss(apart, truth)
    for name in THREE.names:
        right = (together[name].argmax(axis=1) == truth[name]).mean()
        assert right > (apart[name].argmax(axis=1) == truth[name]).mean() + 0.02
        assert together[name].max(axis=1).mean() == pytest.approx(right, abs=0.03)


def test_evidence_that_all_attributes_share_is_not_counted_several_times() -> None:
    def share(logits: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """What each attribute would say if all it knew were the probabilities of the types."""
        types = softmax(logits["type"])
        sub = np.stack([types[:, 0] + types[:, 1], types[:, 2], types[:, 3]], axis=1)
        master = np.stack([sub[:, 0], sub[:, 1] + sub[:, 2]], axis=1)
        return {"type": logits["type"], "sub": np.log(sub), "master": np.log(master)}

    (logits, labels), (fresh, truth) = _labelled(2000, 1), _labelled(2000, 2)
    logits, fresh = share(logits), share(fresh)
    together = calibrate(logits, labels, THREE).probabilities(fresh, Hierarchy.of(THREE))
    own = calibrate(logits, labels, Taxonomy(THREE.attributes)).probabilities(fresh, Hierarchy.of(THREE))
    for name in THREE.names:
        right = (together[name].argmax(axis=1) == truth[name]).mean()
        assert together[name].max(axis=1).mean() == pytest.approx(right, abs=0.03)
        assert own[name].max(axis=1).mean() > right + 0.05


def test_joint_temperatures_stay_within_bounds_without_labels() -> None:
    logits, labels = _labelled(30, 1)
    (group,) = Hierarchy.of(THREE).groups
    none = {name: np.full(30, -1) for name in labels}
    assert fit_joint_temperatures(group, logits, none) == pytest.approx(dict.fromkeys(group.names, 1.0))


def _tied_bundle(make_bundle: Callable[..., Path], *, joint: bool, rules: tuple[ParentRule, ...] | None = None) -> Path:
    """Green pictures look like Footwear by one attribute and, more surely, like Topwear by the other."""
    taxonomy = Taxonomy((MASTER, SUB), rules if rules is not None else (SUB_TO_MASTER,))
    rule = {
        "master": ((4.0, 1.0, 0.0, 0.0), (0.0, 2.0, 4.0, 0.0)),
        "sub": ((5.0, 4.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 5.0, 0.0)),
    }
    calibration = Calibration({"master": 1.0, "sub": 1.0}, {"master": 0.5, "sub": 0.5}, joint=joint)
    return make_bundle(taxonomy=taxonomy, rule=rule, calibration=calibration, overwrite=True)


def test_a_bundle_calibrated_for_it_answers_together_and_one_of_before_does_not(
    make_bundle: Callable[..., Path],
) -> None:
    green = np.zeros((32, 24, 3), dtype=np.uint8)
    green[..., 1] = 255

    def ask(joint: bool) -> tuple[int, dict[str, str]]:
        bundle = open_bundle(_tied_bundle(make_bundle, joint=joint))
        (prediction,) = Predictor(bundle, threads=1).predict([green])
        return bundle.manifest()["format"], {tag.attribute: tag.value for tag in prediction.tags}

    assert ask(False) == (1, {"master": "Footwear", "sub": "Topwear"})
    assert ask(True) == (2, {"master": "Apparel", "sub": "Topwear"})


def test_a_bundle_whose_rules_leave_nothing_cannot_be_opened(make_bundle: Callable[..., Path]) -> None:
    path = _tied_bundle(make_bundle, joint=True, rules=(ParentRule("sub", "master", dict.fromkeys(SUB.values, ())),))
    with pytest.raises(BundleError, match="allow no combination of sub, master"):
        open_bundle(path)


def test_confidence_and_acceptance_are_those_of_the_decoded_answers() -> None:
    logits = {
        "master": np.log(np.array([[0.45, 0.55]])),
        "sub": np.log(np.array([[0.6, 0.2, 0.2]])),
        "type": np.log(np.array([[0.7, 0.1, 0.1, 0.1]])),
    }
    thresholds = {"master": 0.9, "sub": 0.9, "type": 0.9}
    calibration = Calibration(dict.fromkeys(logits, 1.0), thresholds, joint=True)
    answers = answer(logits, calibration, Hierarchy.of(THREE))
    assert answers["master"].confidence == pytest.approx([0.216 / 0.238])
    assert [bool(own.accepted[0]) for own in answers.values()] == [True, True, False]
