"""Answers read in the categories of other systems, and two bundles side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import Vestiary
from vestiary.bundle import Bundle, open_bundle
from vestiary.calibration import Calibration
from vestiary.catalogue import Catalogue, freeze, ingest, load_preparation, prepare, relabel
from vestiary.errors import CatalogueError
from vestiary.metrics import Evaluation, compare
from vestiary.predictor import Predictor, evaluate, evaluate_outputs, take_all_views, take_view
from vestiary.taxonomy import UNKNOWN, Attribute, ParentRule, Taxonomy

TYPES = ("Casual Shoes", "Formal Shoes", "Kurtas", "Ring", "Tunics")
SUBS = ("Jewellery", "Shoes", "Topwear")
MASTERS = ("Accessories", "Apparel", "Footwear")
TAXONOMY = Taxonomy(
    (
        Attribute("gender", ("Men", "Women")),
        Attribute("masterCategory", MASTERS),
        Attribute("subCategory", SUBS),
        Attribute("articleType", TYPES),
        Attribute("baseColour", ("Navy Blue", "Peach", "Red", "Teal")),
    ),
    (
        ParentRule(
            "subCategory",
            "masterCategory",
            {"Jewellery": ("Accessories",), "Shoes": ("Footwear",), "Topwear": ("Apparel",)},
        ),
        ParentRule(
            "articleType",
            "subCategory",
            {"Casual Shoes": ("Shoes",), "Formal Shoes": ("Shoes",), "Kurtas": ("Topwear",), "Ring": ("Jewellery",),
             "Tunics": ("Topwear",)},
        ),
    ),
)  # fmt: skip
ROWS = [
    {"id": 1, "gender": "Men", "articleType": "Casual Shoes", "subCategory": "Shoes", "masterCategory": "Footwear",
     "baseColour": "Navy Blue"},
    {"id": 2, "gender": "Men", "articleType": "Formal Shoes", "subCategory": "Shoes", "masterCategory": "Footwear",
     "baseColour": "Teal"},
    {"id": 3, "gender": "Women", "articleType": "Tunics", "subCategory": "Topwear", "masterCategory": "Apparel",
     "baseColour": "Red"},
    {"id": 4, "gender": "Women", "articleType": "Kurtas", "subCategory": "Topwear", "masterCategory": "Apparel",
     "baseColour": "Peach"},
    {"id": 5, "gender": "Women", "articleType": "Ring", "subCategory": "Jewellery", "masterCategory": "Accessories",
     "baseColour": "NA"},
]  # fmt: skip


@pytest.fixture
def catalogue(make_source: Callable[..., Path]) -> Catalogue:
    return ingest(make_source(ROWS))


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    """A bundle that is asked for nothing here but its taxonomy: the logits are given by each test."""
    rule = {own.name: ((1.0, 0.0, 0.0, 0.0),) * len(own.values) for own in TAXONOMY.attributes}
    neutral = Calibration(dict.fromkeys(TAXONOMY.names, 1.0), dict.fromkeys(TAXONOMY.names, 0.5))
    return open_bundle(make_bundle(taxonomy=TAXONOMY, rule=rule, calibration=neutral))


def _answer(
    bundle: Bundle, catalogue: Catalogue, changed: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> Evaluation:
    """The labels as answers with 90 %, but for some products (by id) the shares given, by attribute and value."""
    logits = {}
    for attribute in TAXONOMY.attributes:
        rows = []
        for product in catalogue.products:
            label = product.labels.get(attribute.name, attribute.values[0])
            rest = 0.1 / (len(attribute.values) - 1)
            shares = {value: 0.9 if value == label else rest for value in attribute.values}
            shares |= changed.get(product.id, {}).get(attribute.name, {})
            rows.append([np.log(shares[value]) for value in attribute.values])
        logits[attribute.name] = np.array(rows, dtype=np.float32)
    return evaluate_outputs(bundle, catalogue, catalogue.products, logits, split="all")


def _accuracy(view: Evaluation) -> float | None:
    return next(iter(view.attributes.values())).accuracy


def test_shares_of_merged_colours_are_added_up(bundle: Bundle, catalogue: Catalogue) -> None:
    # Red leads with 40 %, but Navy Blue and Teal are both of the group Blue and have 55 % together.
    split = {"Red": 0.40, "Navy Blue": 0.30, "Teal": 0.25, "Peach": 0.05}
    view = take_view("colour-groups", bundle, catalogue, _answer(bundle, catalogue, {"1": {"baseColour": split}}))
    assert (view.n, view.left_out) == (4, 1)  # the product without a colour has no place
    outcome = view.outcomes["colour group"]
    assert outcome.values == ("Blue", "Red", "Unmapped")
    assert outcome.probabilities[0] == pytest.approx([0.55, 0.40, 0.05])
    assert _accuracy(view) == 1.0
    assert view.plain_accuracy == 0.75


def test_the_ten_ways_keep_the_answer_to_their_types(bundle: Bundle, catalogue: Catalogue) -> None:
    # Formal Shoes, none of the ten, leads; among the ten the best is right.
    lead = {"Formal Shoes": 0.6, "Casual Shoes": 0.3, "Kurtas": 0.05, "Ring": 0.03, "Tunics": 0.02}
    view = take_view("10-way", bundle, catalogue, _answer(bundle, catalogue, {"1": {"articleType": lead}}))
    assert (view.n, view.left_out) == (2, 3)
    assert view.outcomes["articleType"].values == ("Casual Shoes", "Kurtas")
    assert view.outcomes["articleType"].probabilities[0] == pytest.approx([6 / 7, 1 / 7])
    assert (_accuracy(view), view.plain_accuracy) == (1.0, 0.5)


def test_the_sixty_five_ways_are_those_of_the_preparation(bundle: Bundle, catalogue: Catalogue) -> None:
    view = take_view("65-way", bundle, catalogue, _answer(bundle, catalogue, {}))
    truth = {own.id: own.labels["category"] for own in prepare(catalogue, load_preparation("r3")).products}
    outcome = view.outcomes["category"]
    assert {own.id: outcome.values[label] for own, label in zip(view.products, outcome.labels, strict=True)} == truth
    assert truth["1"] == truth["2"] == "Men-Shoes-Footwear"
    assert truth["3"] == "Kurtas-Women-Topwear-Apparel"
    assert (view.n, view.left_out, _accuracy(view)) == (4, 1, 1.0)  # women's rings are dropped


def test_answers_that_contradict_each_other_are_weighed_together(bundle: Bundle, catalogue: Catalogue) -> None:
    # The article type says shoes by a little, sub- and master category say Topwear and Apparel by far.
    doubt = {
        "articleType": {"Casual Shoes": 0.46, "Tunics": 0.44, "Kurtas": 0.05, "Formal Shoes": 0.03, "Ring": 0.02},
        "subCategory": {"Topwear": 0.9, "Shoes": 0.05, "Jewellery": 0.05},
    }
    view = take_view("65-way", bundle, catalogue, _answer(bundle, catalogue, {"3": doubt}))
    assert _accuracy(view) == 1.0
    assert view.plain_accuracy == 0.75


def test_a_category_that_the_bundle_cannot_give_is_wrong(bundle: Bundle, make_source: Callable[..., Path]) -> None:
    other = ingest(make_source([*ROWS, ROWS[0] | {"id": 6, "articleType": "Watches"}]))
    view = take_view("10-way", bundle, other, _answer(bundle, other, {}))
    assert (view.n, _accuracy(view)) == (3, pytest.approx(2 / 3))
    # Nor is it right when the plain answer is outside the view too: neither has a place, which is no agreement.
    outside = {"Formal Shoes": 0.9, "Casual Shoes": 0.04, "Kurtas": 0.02, "Ring": 0.02, "Tunics": 0.02}
    view = take_view("10-way", bundle, other, _answer(bundle, other, {"6": {"articleType": outside}}))
    assert view.plain_accuracy == pytest.approx(2 / 3)


def test_views_are_offered_only_where_there_is_something_to_say(
    bundle: Bundle, catalogue: Catalogue, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    told = _answer(bundle, catalogue, {})
    assert [own.view for own in take_all_views(bundle, catalogue, told)] == ["10-way", "65-way", "colour-groups"]
    colours = replace(catalogue, taxonomy=Taxonomy((TAXONOMY["baseColour"],)))
    told = _answer(bundle, colours, {})
    assert [own.view for own in take_all_views(bundle, colours, told)] == ["colour-groups"]
    with pytest.raises(CatalogueError, match="10-way needs articleType, but the catalogue has no articleType"):
        take_view("10-way", bundle, colours, told)
    others = Taxonomy((Attribute("articleType", ("Lamp", "Table")),))
    rule = {"articleType": ((1.0, 0.0, 0.0, 0.0),) * 2}
    shop = open_bundle(make_bundle(tmp_path / "lamps", taxonomy=others, rule=rule))
    logits = {"articleType": np.zeros((5, 2), dtype=np.float32)}
    told = evaluate_outputs(shop, catalogue, catalogue.products, logits, split="all")
    assert take_all_views(shop, catalogue, told) == []
    with pytest.raises(CatalogueError, match="No answer of the bundle has a place in the view 10-way"):
        take_view("10-way", shop, catalogue, told)


def test_exact_match_of_the_main_attributes_takes_the_group_for_the_colour(
    bundle: Bundle, catalogue: Catalogue
) -> None:
    told = _answer(
        bundle, catalogue, {"1": {"baseColour": {"Navy Blue": 0.05, "Teal": 0.9, "Red": 0.03, "Peach": 0.02}}}
    )
    assert told.exact_match == 0.8
    assert told.exact_match_of == {"gender + articleType + colour group": 1.0}


def test_a_frozen_preparation_says_of_one_product_what_it_says_of_all(tiny_catalogue: Catalogue) -> None:
    frozen = freeze(load_preparation("r3"), tiny_catalogue)
    whole = {own.id: own.labels["category"] for own in prepare(tiny_catalogue, load_preparation("r3")).products}
    found = {}
    for product in tiny_catalogue.products:
        labels = relabel(frozen, [product], tiny_catalogue.taxonomy.names)
        found |= {own: made["category"] for own, made in labels.items()}
    assert found == whole


def test_two_bundles_are_compared_product_by_product(bundle: Bundle, catalogue: Catalogue) -> None:
    wrong = {"articleType": {"Casual Shoes": 0.02, "Formal Shoes": 0.9, "Kurtas": 0.02, "Ring": 0.03, "Tunics": 0.03}}
    swapped = {"articleType": {"Casual Shoes": 0.9, "Formal Shoes": 0.02, "Kurtas": 0.02, "Ring": 0.03, "Tunics": 0.03}}
    better, worse = _answer(bundle, catalogue, {"2": swapped}), _answer(bundle, catalogue, {"1": wrong, "3": wrong})
    own = compare(better, worse).attributes["articleType"]
    assert (own.before, own.after) == (0.6, 0.8)
    assert (own.difference, own.gained, own.lost) == (pytest.approx(0.2), 2, 1)
    assert own.p_value == 1.0
    assert own.interval is not None
    assert own.interval[0] < 0.2 < own.interval[1]
    assert [(one.value, one.change) for one in own.better] == [("Casual Shoes", 1), ("Tunics", 1)]
    assert [(one.value, one.change) for one in own.worse] == [("Formal Shoes", -1)]
    assert compare(better, worse).attributes["gender"].values == ()


def test_a_value_that_the_new_bundle_lacks_is_among_the_lost(bundle: Bundle, catalogue: Catalogue) -> None:
    whole = _answer(bundle, catalogue, {})
    outcome = whole.outcomes["gender"]
    fewer = replace(
        outcome,
        values=("Men",),
        labels=np.where(outcome.labels == 1, UNKNOWN, outcome.labels),
        answers=np.zeros_like(outcome.answers),
        probabilities=np.ones((len(outcome.labels), 1)),
    )
    own = compare(replace(whole, outcomes={"gender": fewer}), whole).attributes["gender"]
    assert [(one.value, one.n, one.before, one.after) for one in own.worse] == [("Women", 3, 3, 0)]
    assert own.lost == 3


def test_an_attribute_without_labels_is_not_compared(bundle: Bundle, catalogue: Catalogue) -> None:
    products = tuple(
        replace(one, labels={name: value for name, value in one.labels.items() if name != "gender"})
        for one in catalogue.products
    )
    told = _answer(bundle, replace(catalogue, products=products), {})
    assert "gender" in told.outcomes
    assert "gender" not in compare(told, told).attributes


def test_bundles_asked_about_other_products_are_not_compared(bundle: Bundle, catalogue: Catalogue) -> None:
    first = _answer(bundle, catalogue, {})
    fewer = replace(catalogue, products=catalogue.products[:3])
    with pytest.raises(CatalogueError, match="not asked about the same products"):
        compare(first, _answer(bundle, fewer, {}))


def test_evaluate_by_a_view_and_against_another_bundle_on_the_command_line(
    tiny_catalogue: Catalogue,
    trained_bundle: Path,
    tmp_path: Path,
    vestiary: Vestiary,
) -> None:
    tiny_catalogue.save(tmp_path / "catalogue")
    base = ["evaluate", tmp_path / "catalogue", "--bundle", trained_bundle]
    for name in ("10-way", "65-way", "colour-groups"):
        code, out, _ = vestiary(*base, "--by", name, "--json")
        figures = json.loads(out)
        assert (code, figures["view"]) == (0, name)
        whole = evaluate(Predictor(open_bundle(trained_bundle), threads=1), tiny_catalogue)
        assert figures["n"] + figures["left_out"] == whole.n
        (own,) = figures["attributes"].values()
        assert own["accuracy"] > 0.5
        assert own["coverage"] is None
        code, out, _ = vestiary(*base, "--by", name)
        assert f"View {name}: {figures['n']} products" in out
    code, out, _ = vestiary(*base, "--against", trained_bundle, "--json")
    told = json.loads(out)
    assert code == 0
    assert {own["difference"] for own in told["attributes"].values()} == {0.0}
    assert {own["p_value"] for own in told["attributes"].values()} == {1.0}
    code, out, _ = vestiary(*base, "--against", trained_bundle)
    assert code == 0
    assert "against" in out
    assert "+0.0" in out
    code, out, _ = vestiary(*base, "--against", trained_bundle, "--by", "10-way")
    assert (code, "test split, view 10-way: bundle" in out) == (0, True)
