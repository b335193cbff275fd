"""Findings about labels, each on a few products that have it and on ones that have not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from vestiary.catalogue import Catalogue, Reject, RejectReason
from vestiary.checks import Finding, Severity
from vestiary.checks.labels import check_labels, spellings
from vestiary.checks.labels.parents import find_hierarchy
from vestiary.checks.labels.spellings import find_alike, is_one_edit, spelling_key
from vestiary.product import Product, Split
from vestiary.taxonomy import Attribute, ParentRule, Taxonomy

Labels = Mapping[str, str]


def make_catalogue(
    rows: Sequence[tuple[str, Labels]],
    *,
    parents: Sequence[ParentRule] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Catalogue:
    """Products 1, 2, … with the given names and labels; further ``values`` may have no product."""
    found: dict[str, set[str]] = {name: set(own) for name, own in (values or {}).items()}
    for _, labels in rows:
        for name, value in labels.items():
            found.setdefault(name, set()).add(value)
    attributes = tuple(
        Attribute(name, tuple(sorted(own)), aliases=(aliases or {}) if name == "colour" else {})
        for name, own in found.items()
    )
    products = tuple(
        Product(str(number), (f"{number}.jpg",), (f"hash {number}",), dict(labels), name, str(number), Split.TRAIN, "")
        for number, (name, labels) in enumerate(rows, start=1)
    )
    return Catalogue(Taxonomy(attributes, tuple(parents)), products, (), Path("nowhere"), len(products), 42)


def findings_of(catalogue: Catalogue, check: str, *, min_count: int = 1) -> list[Finding]:
    found = [finding for finding in check_labels(catalogue, min_count=min_count) if finding.check == check]
    assert all(finding.message.endswith(".") and finding.remedy.endswith(".") for finding in found)
    return found


def test_a_tidy_catalogue_gives_no_finding() -> None:
    rows = [(f"Shirt {number}", {"type": "Shirt", "colour": "Red"}) for number in range(10)]
    rows += [(f"Red Dress {number}", {"type": "Dress", "colour": "Red"}) for number in range(10)]
    assert check_labels(make_catalogue(rows), min_count=10) == []


def test_missing_labels_are_told_per_attribute() -> None:
    rows: list[tuple[str, Labels]] = [(f"P{number}", {"type": "Shirt", "use": "Work"}) for number in range(18)]
    rows += [("Q", {"type": "Shirt"}), ("R", {"type": "Shirt"})]
    (finding,) = findings_of(make_catalogue(rows), "labels.missing")
    assert (finding.severity, finding.products) == (Severity.WARNING, ("19", "20"))
    assert "2 products (10.0 %) have no use" in finding.message
    many = [*rows[:-1], *rows[:18] * 3]
    (finding,) = findings_of(make_catalogue(many), "labels.missing")
    assert finding.severity == Severity.INFO


def test_values_under_the_minimum_are_rare_the_rarest_first() -> None:
    rows = [(f"P{number}", {"type": "Shirt"}) for number in range(10)]
    rows += [(f"Q{number}", {"type": "Hat"}) for number in range(3)] + [("R", {"type": "Belt"})]
    (finding,) = findings_of(make_catalogue(rows), "labels.rare", min_count=4)
    assert finding.products == ("14", "11", "12", "13")
    assert "2 of 3 values of type have fewer than 4 products: Belt (1), Hat (3)" in finding.message
    (finding,) = findings_of(make_catalogue(rows), "labels.rare", min_count=3)
    assert finding.products == ("14",)
    assert findings_of(make_catalogue(rows), "labels.rare", min_count=1) == []


def test_values_of_the_taxonomy_without_products_are_told() -> None:
    rows = [(f"P{number}", {"type": "Shirt"}) for number in range(10)]
    (finding,) = findings_of(make_catalogue(rows, values={"type": ("Sari", "Kilt")}), "labels.unused")
    assert finding.severity == Severity.INFO
    assert "2 values of type have no product at all: Kilt, Sari" in finding.message


def test_rejected_rows_are_told_by_reason_but_not_those_about_pictures_or_left_out_on_purpose() -> None:
    catalogue = make_catalogue([("P", {"type": "Shirt"})])
    rejects = (
        Reject(3, "7", RejectReason.DUPLICATE_ID, "line 2 has this id already"),
        Reject(4, "8", RejectReason.TOO_FEW_FIELDS, "3 fields instead of 10"),
        Reject(5, "9", RejectReason.NO_PICTURE, "not there"),
        Reject(6, "10", RejectReason.LEFT_OUT, "type Hat dropped"),
    )
    found = findings_of(replace(catalogue, rejects=rejects), "labels.rejected_row")
    assert {finding.products for finding in found} == {("7",), ("8",)}
    assert any("duplicate id (line 3: line 2 has this id already)" in finding.message for finding in found)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("T-Shirt", "Tshirts"),
        ("navy blue", "Navy  Blue"),
        ("Navy-Blue", "NavyBlue"),
        ("Dress", "Dresses"),
        ("Accessory", "Accessories"),
        ("Watch", "Watches"),
        ("Sweatshirt", "Sweatshrit"),
        ("Backpack", "Backpak"),
        ("Turquoise", "Turquiose"),
        ("Bags Travel", "Travel Bag"),
    ],
)
def test_values_that_read_alike_are_found(left: str, right: str) -> None:
    assert list(find_alike([left, "Umbrella", right])) == [(left, right)]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Men", "Women"),
        ("Shirts", "Shorts"),
        ("Skirts", "Shirts"),
        ("Leggings", "Jeggings"),
        ("Kurtas", "Kurtis"),
        ("Size 100cm", "Size 110cm"),
        ("Skin", "Skin Care"),
        ("Blue", "Navy Blue"),
        ("Tops", "Topwear"),
        ("+", "-"),
    ],
)
def test_values_that_mean_two_things_are_left_alone(left: str, right: str) -> None:
    assert list(find_alike([left, right])) == []


def test_near_equal_spellings_name_both_with_their_counts() -> None:
    rows = [(f"P{number}", {"type": "Tshirts"}) for number in range(3)] + [("Q", {"type": "T-Shirt"})]
    (finding,) = findings_of(make_catalogue(rows), "labels.near_equal")
    assert finding.products == ("4", "1", "2", "3")
    assert "'Tshirts' (3 products) and 'T-Shirt' (1 product)" in finding.message
    assert "make 'T-Shirt' an alias of 'Tshirts'" in finding.remedy


RULE = ParentRule("type", "section", {"Belt": ("Accessories",), "Scent": ("Care", "Gifts")})


def test_labels_against_the_parent_rules_are_told_with_what_is_allowed() -> None:
    rows = [(f"P{number}", {"type": "Belt", "section": "Accessories"}) for number in range(5)]
    rows += [("Q", {"type": "Belt", "section": "Care"}), ("R", {"type": "Belt"}), ("S", {"type": "Hat"})]
    catalogue = make_catalogue(rows, parents=[RULE], values={"section": ("Care", "Gifts"), "type": ("Scent",)})
    (finding,) = findings_of(catalogue, "labels.wrong_parent")
    assert (finding.severity, finding.products) == (Severity.WARNING, ("6",))
    assert "1 product with type Belt has section Care, where the taxonomy allows Accessories" in finding.message
    assert findings_of(catalogue, "labels.two_parents") == []
    right = replace(catalogue, products=catalogue.products[:5])
    assert findings_of(right, "labels.wrong_parent") == []


def test_a_value_under_two_allowed_parents_is_told_the_rarer_first() -> None:
    rows = [(f"P{number}", {"type": "Scent", "section": "Care"}) for number in range(3)]
    rows += [("Q", {"type": "Scent", "section": "Gifts"}), ("R", {"type": "Belt", "section": "Accessories"})]
    catalogue = make_catalogue(rows, parents=[RULE])
    (finding,) = findings_of(catalogue, "labels.two_parents")
    assert finding.products == ("4", "1", "2", "3")
    assert "type Scent stands under 2 values of section: Care (3) and Gifts (1)" in finding.message
    assert findings_of(catalogue, "labels.wrong_parent") == []


class CountedHash(str):
    """A text that counts how often any of its kind is looked up."""

    looked_up = 0

    def __hash__(self) -> int:
        CountedHash.looked_up += 1
        return str.__hash__(self)


def test_a_hierarchy_of_many_values_is_looked_for_in_time_in_proportion() -> None:
    brands = [CountedHash(f"Brand {number}") for number in range(500)]
    rows = [("", {"style": f"Style {number}", "brand": brands[number // 2]}) for number in range(1000)]
    catalogue = make_catalogue(rows)
    CountedHash.looked_up = 0
    assert find_hierarchy(catalogue) == [("style", "brand")]
    assert CountedHash.looked_up < 10_000


def test_without_rules_a_hierarchy_is_seen_in_the_labels() -> None:
    types = {"Shirt": "Clothes", "Dress": "Clothes", "Ring": "Jewels", "Chain": "Jewels"}
    rows = [
        (f"P{number}", {"type": own, "section": section, "size": "SM"[number % 2]})
        for number in range(30)
        for own, section in types.items()
    ]
    assert find_hierarchy(make_catalogue(rows)) == [("type", "section")]
    assert findings_of(make_catalogue(rows), "labels.two_parents") == []
    (finding,) = findings_of(
        make_catalogue([*rows, ("Q", {"type": "Ring", "section": "Clothes", "size": "S"})]), "labels.two_parents"
    )
    assert finding.products[0] == "121"


def test_products_of_one_name_that_disagree_are_told_the_odd_one_first() -> None:
    rows = [("Fine  Shirt", {"type": "Shirt", "colour": "Red"}), ("fine shirt", {"type": "Top", "colour": "Red"})]
    rows += [("FINE SHIRT", {"type": "Shirt", "colour": "Red"}), ("Other", {"type": "Belt", "colour": "Red"})]
    (finding,) = findings_of(make_catalogue(rows), "labels.same_name")
    assert finding.products == ("2", "1", "3")
    assert "1 name has products that differ in type (3 products)" in finding.message
    assert '"Fine  Shirt": Shirt 2, Top 1' in finding.message


def test_a_blank_name_and_a_missing_label_are_no_disagreement() -> None:
    rows: list[tuple[str, Labels]] = [("", {"type": "Shirt"}), ("", {"type": "Top"})]
    rows += [("A", {"type": "Shirt"}), ("A", {})]
    assert findings_of(make_catalogue(rows), "labels.same_name") == []


def colour_findings(*rows: tuple[str, str], **options: Mapping[str, str]) -> list[Finding]:
    catalogue = make_catalogue(
        [(name, {"colour": colour}) for name, colour in rows],
        values={"colour": ("Black", "black", "Blue", "Navy Blue", "Red", "Tan", "Multi", "Grey", "Grey Melange")},
        **options,  # type: ignore[arg-type]
    )
    return findings_of(catalogue, "labels.colour_word")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Navy Blue Shirt", "Blue"),
        ("Grey Melange Shirt", "Grey"),
        ("Tan belt", "Red"),
        ("Shirt, RED", "Blue"),
        ("Red and Tan Shirt", "Blue"),
    ],
)
def test_a_colour_in_the_name_against_the_label_is_told(name: str, label: str) -> None:
    (finding,) = colour_findings((name, label), ("Plain Shirt", "Red"))
    assert (finding.severity, finding.products) == (Severity.WARNING, ("1",))
    assert f"{label} as label (1)" in finding.message


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Navy Blue Shirt", "Navy Blue"),
        ("Blue Shirt", "Navy Blue"),
        ("Black Shirt", "Black"),
        ("Black Shirt", "black"),
        ("Red and Blue Shirt", "Blue"),
        ("Red Shirt", "Multi"),
        ("Standard Shirt", "Red"),
        ("Multi Pocket Shirt", "Red"),
        ("Shirt", "Red"),
    ],
)
def test_a_name_that_agrees_or_says_nothing_is_left_alone(name: str, label: str) -> None:
    assert colour_findings((name, label)) == []


def test_an_alias_in_the_name_stands_for_its_value() -> None:
    assert colour_findings(("Crimson Shirt", "Red"), aliases={"Crimson": "Red"}) == []
    (finding,) = colour_findings(("Crimson Shirt", "Blue"), aliases={"Crimson": "Red"})
    assert "Red in the name, Blue as label" in finding.message


def test_a_word_that_hardly_ever_means_the_colour_is_not_believed() -> None:
    rows = [(f"Sun Tan Lotion {number}", "Blue") for number in range(10)]
    assert colour_findings(*rows) == []
    (finding,) = colour_findings(*rows, *[(f"Tan Belt {number}", "Tan") for number in range(10)])
    assert len(finding.products) == 10


def test_only_colour_attributes_are_compared_with_names() -> None:
    rows = [("Red Shirt", {"mood": "Blue"}), ("Blue Shirt", {"mood": "Red"})]
    assert findings_of(make_catalogue(rows), "labels.colour_word") == []


def test_the_rarest_value_is_counted_after_aliases(make_source: Callable[..., Path]) -> None:
    from vestiary.catalogue import ingest

    taxonomy = Taxonomy((Attribute("articleType", ("Shirts", "Tshirts"), aliases={"T-Shirt": "Tshirts"}),))
    rows = [{"id": 1, "articleType": "T-Shirt"}, {"id": 2, "articleType": "Tshirts"}, {"id": 3}]
    catalogue = ingest(make_source(rows), taxonomy=taxonomy)
    assert findings_of(catalogue, "labels.near_equal") == []
    (finding,) = findings_of(catalogue, "labels.rare", min_count=2)
    assert finding.products == ("3",)


def test_a_colour_attribute_has_the_word_colour_in_its_name_or_title() -> None:
    rows = [("Red Shirt", {"it": "Blue"}), ("Blue Shirt", {"it": "Red"})]
    for name, title, n in [
        ("baseColour", "", 1),
        ("main_color", "", 1),
        ("COLOUR", "", 1),
        ("shade", "Base colour", 1),
        ("colocation", "", 0),
        ("Colorado", "", 0),
    ]:
        own = [(text, {name: labels["it"]}) for text, labels in rows]
        taxonomy = Taxonomy((Attribute(name, ("Blue", "Red"), title),))
        catalogue = replace(make_catalogue(own), taxonomy=taxonomy)
        assert len(findings_of(catalogue, "labels.colour_word")) == n, (name, title)


def test_a_wrong_child_is_told_once_however_many_rules_it_breaks() -> None:
    rules = [ParentRule("type", "section", {"Belt": ("Care",)}), ParentRule("type", "floor", {"Belt": ("First",)})]
    rows = [("P", {"type": "Belt", "section": "Gifts", "floor": "Second"})]
    rows += [("Q", {"type": "Belt", "section": "Care", "floor": "Second"})]
    catalogue = make_catalogue(rows, parents=rules, values={"section": ("Care",), "floor": ("First",)})
    assert [found.products for found in findings_of(catalogue, "labels.wrong_parent")] == [("1",), ("2",)]


def test_products_are_not_gone_through_for_each_of_their_values() -> None:
    class Walked(tuple[Product, ...]):
        walks = 0

        def __iter__(self) -> Iterator[Product]:
            Walked.walks += 1
            return super().__iter__()

    rows = [("P", {"type": f"Type {number % 50}", "section": str(number // 50)}) for number in range(100)]
    catalogue = make_catalogue(rows, parents=[ParentRule("type", "section", {})])
    found = findings_of(replace(catalogue, products=Walked(catalogue.products)), "labels.two_parents")
    assert [found.products for found in found][:2] == [("1", "51"), ("2", "52")]
    assert len(found) == 50
    assert Walked.walks < 50


def test_slips_are_found_as_by_comparing_all_with_all() -> None:
    rng = random.Random(5)
    values = list(dict.fromkeys("".join(rng.choices("abé1", k=rng.randint(5, 8))) for _ in range(600)))
    keys = {value: spelling_key(value) for value in values}
    expected = [
        (left, right)
        for left, right in combinations(values, 2)
        if keys[left] == keys[right]
        or (min(len(keys[left]), len(keys[right])) >= 6 and is_one_edit(keys[left], keys[right]))
    ]
    assert len(expected) > 40
    assert list(find_alike(values)) == expected


def test_twenty_thousand_values_are_not_compared_all_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def compare(left: str, right: str) -> bool:
        nonlocal compared
        compared += 1
        return is_one_edit(left, right)

    monkeypatch.setattr(spellings, "is_one_edit", compare)
    rng = random.Random(5)
    values = [f"Style {number:05} {''.join(rng.choices('abcdefgh', k=6))}" for number in range(10_000)]
    values += [f"Item {''.join(rng.choices('abcdefghijklmnop', k=9))}" for _ in range(10_000)]
    list(find_alike([*values, "Sweatshirt", "Sweatshrit"]))
    assert 1 <= compared <= 20_000
