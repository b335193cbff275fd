"""Findings about balance and splits, each on a few products that have it and on ones that have not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import CountedText
from vestiary.catalogue import Catalogue, ingest
from vestiary.catalogue.preparation import Applied
from vestiary.catalogue.steps import SplitEach
from vestiary.checks import Finding, Severity
from vestiary.checks.balance import check_balance
from vestiary.product import Product, Split, fold_name
from vestiary.taxonomy import Attribute, Taxonomy

SPLITS = [Split.TRAIN] * 14 + [Split.VALIDATION] * 3 + [Split.TEST] * 3


def make_products(values: Sequence[str], splits: Sequence[Split] = SPLITS) -> list[dict[str, object]]:
    """Products 1, 2, … as keyword arguments, nothing in common."""
    return [
        {
            "id": str(number),
            "images": (f"{number}.jpg",),
            "pixel_hashes": (f"hash {number}",),
            "labels": {"type": value},
            "name": f"Name {number}",
            "group": str(number),
            "split": split,
            "source": "",
        }
        for number, (value, split) in enumerate(zip(values, splits, strict=True), start=1)
    ]


def check(products: Sequence[dict[str, object]], name: str, **options: Any) -> list[Finding]:
    own = tuple(Product(**product) for product in products)  # type: ignore[arg-type]
    values = tuple(sorted({value for product in own for value in product.labels.values()}))
    catalogue = Catalogue(Taxonomy((Attribute("type", values),)), own, (), Path("nowhere"), len(own), 42, **options)
    return [finding for finding in check_balance(catalogue) if finding.check == f"balance.{name}"]


@pytest.mark.parametrize("name", ["imbalance", "absent_from_split", "leak", "split_shares"])
def test_a_balanced_catalogue_gives_no_finding(name: str) -> None:
    assert check(make_products(["Shirt", "Dress"] * 10), name) == []


@pytest.mark.parametrize(("n", "severity"), [(9, None), (10, Severity.INFO), (100, Severity.WARNING)])
def test_imbalance_is_told_with_its_ratio(n: int, severity: Severity | None) -> None:
    found = check(make_products(["Shirt"] * n + ["Hat"], [Split.TRAIN] * (n + 1)), "imbalance")
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.products == (str(n + 1),)
        assert f"{n} to 1 out of balance: {n} times Shirt, 1 Hat" in finding.message


def test_values_absent_from_a_split_are_told_by_what_cannot_be_done() -> None:
    values = ["Shirt"] * 20
    values[13] = "Hat"
    values[19] = "Belt"
    found = {finding.message: finding for finding in check(make_products(values), "absent_from_split")}
    assert len(found) == 3
    (train,) = [finding for message, finding in found.items() if "train split" in message]
    assert (train.severity, train.products) == (Severity.WARNING, ("20",))
    assert "cannot be learnt: Belt" in train.message
    (test,) = [finding for message, finding in found.items() if "test split" in message]
    assert (test.severity, test.products) == (Severity.INFO, ("14",))
    assert "cannot be measured there: Hat" in test.message


def test_a_thousand_absent_values_are_not_compared_with_every_product() -> None:
    values = [CountedText(f"Type {number}") for number in range(1000)]
    products = make_products(values, [Split.TRAIN] * 500 + [Split.TEST] * 500)
    CountedText.compared = 0
    assert len(check(products, "absent_from_split")) == 2
    assert CountedText.compared < 100_000


@pytest.mark.parametrize(
    ("what", "shared"),
    [
        ("group", {"group": "same"}),
        ("name", {"name": "The same  Name"}),
        ("picture", {"pixel_hashes": ("same",)}),
    ],
)
def test_what_stands_in_two_splits_is_an_error(what: str, shared: dict[str, object]) -> None:
    products = make_products(["Shirt", "Dress"] * 10)
    other = {"name": "the same name"} if what == "name" else shared
    products[0] |= shared
    products[1] |= other
    assert check(products, "leak") == []
    products[19] |= other
    (finding,) = check(products, "leak")
    assert (finding.severity, set(finding.products)) == (Severity.ERROR, {"1", "2", "20"})
    assert f"1 {what} is in several splits at once (product 1 is in train, 20 in test)" in finding.message


def test_blank_names_are_not_the_same_name() -> None:
    products = make_products(["Shirt", "Dress"] * 10)
    products[0] |= {"name": " "}
    products[19] |= {"name": ""}
    assert check(products, "leak") == []


def test_split_shares_far_from_the_usual_ones_are_told() -> None:
    splits = [Split.TRAIN] * 10 + [Split.VALIDATION] * 10
    messages = {finding.message for finding in check(make_products(["Shirt", "Dress"] * 10, splits), "split_shares")}
    assert len(messages) == 3
    assert "The test split has 0 products, 0.0 % of the catalogue where 15 % is usual." in messages
    assert "The train split has 10 products, 50.0 % of the catalogue where 70 % is usual." in messages


KEPT = {"split_by": "what the source says"}
SPLIT_EACH = {"split_by": "each product on its own", "applied": (Applied("r1", SplitEach("type"), 0),)}


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "Ingest the source again into a new --out:"),
        (KEPT, "without --keep-splits (or --split-column):"),
        (SPLIT_EACH, "without the preparation's step split-each:"),
    ],
)
def test_the_remedy_of_a_leak_goes_by_who_dealt_out_the_splits(options: dict[str, Any], remedy: str) -> None:
    products = make_products(["Shirt", "Dress"] * 10)
    products[19] |= {"name": "Name 1"}
    (finding,) = check(products, "leak", **options)
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "Few groups or very large ones"),
        (KEPT, "The source has no test split; leave --keep-splits"),
        (SPLIT_EACH, "change the shares of its step split-each"),
    ],
)
def test_the_remedy_of_split_shares_goes_by_who_dealt_out_the_splits(options: dict[str, Any], remedy: str) -> None:
    splits = [Split.TRAIN] * 14 + [Split.VALIDATION] * 6
    found = check(make_products(["Shirt", "Dress"] * 10, splits), "split_shares", **options)
    (test,) = [finding for finding in found if "The test split" in finding.message]
    assert remedy in test.remedy


def test_a_catalogue_of_few_groups_is_told_once_that_it_is_too_small_to_split() -> None:
    (finding,) = check(make_products(["Shirt"] * 5, [Split.TRAIN] * 4 + [Split.TEST]), "split_shares")
    assert finding.severity == Severity.INFO
    assert "5 groups of products are too few to split as usual (train 4, validation 0, test 1)." in finding.message


def test_names_are_folded_as_ingest_folds_them(make_source: Callable[..., Path]) -> None:
    names = ["Stra\u00dfe  Shirt", "STRASSE shirt", "Strasse\u00a0Shirt ", "Strase Shirt"]
    rows = [{"id": number, "productDisplayName": name} for number, name in enumerate(names, start=1)]
    products = ingest(make_source(rows)).products
    for one in products:
        for other in products:
            assert (one.group == other.group) == (fold_name(one.name) == fold_name(other.name))
