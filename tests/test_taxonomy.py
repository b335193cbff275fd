"""The questions and their closed answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import CountedText
from vestiary.errors import TaxonomyError
from vestiary.taxonomy import MISSING, UNKNOWN, Attribute, ParentRule, Taxonomy

COLOUR = Attribute("colour", ("Red", "Blue", "Off White"), "Colour", {"Navy": "Blue", "Cream": "Off White"})
SEASON = Attribute("season", ("Summer", "Winter"))
BOTH = Taxonomy((COLOUR, SEASON))


def write_toml(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_label_is_encoded_as_its_position_among_the_values() -> None:
    assert BOTH.encode({"colour": "Blue", "season": "Summer"}) == {"colour": 1, "season": 0}


def test_a_missing_label_is_masked_and_an_unknown_one_is_always_wrong() -> None:
    assert BOTH.encode({"season": "Monsoon"}) == {"colour": MISSING, "season": UNKNOWN}
    assert MISSING < 0
    assert UNKNOWN < 0
    assert MISSING != UNKNOWN


def test_values_are_told_apart_by_case_and_spacing() -> None:
    assert COLOUR.index_of("red") == UNKNOWN
    assert COLOUR.index_of("Off  White") == UNKNOWN
    assert COLOUR.index_of("") == UNKNOWN


def test_a_thousand_values_are_not_compared_all_with_all() -> None:
    values = tuple(CountedText(f"Brand {number}") for number in range(1000))
    CountedText.compared = 0
    brand = Attribute("brand", values, aliases={f"B{value}": value for value in values}, groups={"All": values})
    own = ParentRule("line", "brand", {value: (value,) for value in values})
    Taxonomy((brand, Attribute("line", values)), (own,))
    assert CountedText.compared < 10_000


def test_an_alias_stands_for_its_value() -> None:
    assert COLOUR.index_of("Navy") == COLOUR.index_of("Blue") == 1
    assert BOTH.decode(BOTH.encode({"colour": "Cream"})) == {"colour": "Off White"}


def test_a_value_wins_over_an_alias_of_the_same_name() -> None:
    assert Attribute("colour", ("Red", "Blue"), aliases={"Red": "Blue"}).index_of("Red") == 0


def test_labels_of_other_attributes_are_passed_over() -> None:
    assert BOTH.encode({"brand": "Nike"}) == {"colour": MISSING, "season": MISSING}


def test_decoding_leaves_out_what_has_no_value() -> None:
    assert BOTH.decode({"colour": 2, "season": MISSING}) == {"colour": "Off White"}
    assert BOTH.decode({"colour": UNKNOWN}) == {}


@settings(derandomize=True, deadline=None)
@given(st.fixed_dictionaries({}, optional={a.name: st.sampled_from(a.values) for a in BOTH.attributes}))
def test_decoding_undoes_encoding(labels: dict[str, str]) -> None:
    assert BOTH.decode(BOTH.encode(labels)) == labels


def test_attributes_are_found_by_name() -> None:
    assert BOTH.names == ("colour", "season")
    assert BOTH["season"] is SEASON
    with pytest.raises(KeyError, match="brand"):
        BOTH["brand"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"name": "", "values": ("a",)}, "''"),
        ({"name": "a.map", "values": ("a",)}, r"'a\.map'"),
        ({"name": "colour", "values": ()}, "colour has no values"),
        ({"name": "colour", "values": ("Red", "Blue", "Red")}, "'Red' twice"),
        ({"name": "colour", "values": ("Red",), "aliases": {"Navy": "Blue"}}, "'Navy' for 'Blue'"),
    ],
    ids=["no name", "dot in the name", "no values", "value twice", "alias of nothing"],
)
def test_an_attribute_that_could_not_be_decoded_is_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(TaxonomyError, match=says):
        Attribute(**parts)


def test_an_empty_taxonomy_is_refused() -> None:
    with pytest.raises(TaxonomyError, match="no attributes"):
        Taxonomy(())


def test_an_attribute_named_twice_is_refused() -> None:
    with pytest.raises(TaxonomyError, match="twice: colour, season, colour"):
        Taxonomy((COLOUR, SEASON, COLOUR))


def test_the_fingerprint_depends_on_names_values_and_their_order() -> None:
    variants = [
        BOTH,
        Taxonomy((SEASON, COLOUR)),
        Taxonomy((COLOUR,)),
        Taxonomy((Attribute("colour", ("Blue", "Red", "Off White")), SEASON)),
        Taxonomy((Attribute("colour", ("Red", "Blue", "Cream")), SEASON)),
        Taxonomy((Attribute("color", COLOUR.values), SEASON)),
        Taxonomy((Attribute("colour", ("Red", "Blue", "Off", "White")), SEASON)),
    ]
    assert len({taxonomy.fingerprint for taxonomy in variants}) == len(variants)


def test_the_fingerprint_does_not_depend_on_titles_and_aliases() -> None:
    bare = Taxonomy((Attribute("colour", COLOUR.values), Attribute("season", SEASON.values, "The season")))
    assert bare.fingerprint == BOTH.fingerprint


def test_a_taxonomy_survives_json() -> None:
    assert Taxonomy.from_dict(json.loads(json.dumps(BOTH.to_dict()))) == BOTH


def test_a_taxonomy_is_read_from_toml(tmp_path: Path) -> None:
    path = write_toml(
        tmp_path / "taxonomy.toml",
        """
        [[attributes]]
        name = "colour"
        title = "Colour"
        values = ["Red", "Blue", "Off White"]
        aliases = {Navy = "Blue", Cream = "Off White"}

        [[attributes]]
        name = "season"
        values = ["Summer", "Winter"]
        """,
    )
    assert Taxonomy.load(path) == BOTH
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")  # as Notepad may save it
    assert Taxonomy.load(path) == BOTH


@pytest.mark.parametrize(
    "text",
    [
        "",
        "attributes = 3",
        "attributes = ['colour']",
        "[attributes]\nname = 'colour'\nvalues = ['Red']",
        "[[attributes]]\nname = 'colour'",
        "[[attributes]]\nvalues = ['Red']",
        "[[attributes]]\nname = 'colour'\nvalues = 'Red'",
        "[[attributes]]\nname = 'colour'\nvalues = 3",
        "[[attributes]]\nname = 'colour'\nvalues = ['Red']\naliases = ['Crimson']",
    ],
    ids=[
        "empty",
        "number",
        "names only",
        "one table",
        "no values",
        "no name",
        "text",
        "a number of values",
        "alias list",
    ],
)
def test_toml_of_another_form_is_refused_with_the_form_expected(tmp_path: Path, text: str) -> None:
    with pytest.raises(TaxonomyError, match="'attributes' must list tables with 'name' and 'values'"):
        Taxonomy.load(write_toml(tmp_path / "taxonomy.toml", text))


def test_toml_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="'Red' twice"):
        Taxonomy.load(write_toml(tmp_path / "t.toml", "[[attributes]]\nname = 'colour'\nvalues = ['Red', 'Red']"))


def test_a_file_that_is_missing_not_toml_or_not_utf_8_is_refused_by_name(tmp_path: Path) -> None:
    write_toml(tmp_path / "broken.toml", "[[attributes]")
    (tmp_path / "latin.toml").write_bytes("# Größe".encode("latin-1"))
    for name in ("missing.toml", "broken.toml", "latin.toml"):
        with pytest.raises(TaxonomyError, match=name):
            Taxonomy.load(tmp_path / name)


def test_the_values_found_in_labels_are_sorted_and_an_attribute_without_any_is_left_out() -> None:
    labels = [{"colour": "Red"}, {"colour": "Blue", "season": "Winter"}, {"colour": "Red"}, {}]
    found = Taxonomy.from_labels(labels, {"season": "Season", "colour": "Colour", "usage": "Usage"})
    assert found == Taxonomy(
        (Attribute("season", ("Winter",), "Season"), Attribute("colour", ("Blue", "Red"), "Colour"))
    )


def test_parents_found_in_labels_leave_out_slips() -> None:
    labels = [{"type": "Belts", "area": "Accessories"}] * 97 + [{"type": "Belts", "area": "Topwear"}] * 3
    labels += [{"type": "Perfume", "area": "Fragrance"}] * 5 + [{"type": "Perfume", "area": "Accessories"}] * 5
    taxonomy = Taxonomy.from_labels(labels, {"type": "Type", "area": "Area"}, [("type", "area")])
    (rule,) = taxonomy.parents
    assert rule.allowed == {"Belts": ("Accessories",), "Perfume": ("Accessories", "Fragrance")}
    assert not rule.allows({"type": "Belts", "area": "Topwear"})
    assert rule.allows({"type": "Perfume", "area": "Fragrance"})
    assert rule.allows({"type": "Belts"})
    assert rule.allows({"area": "Topwear"})
    assert Taxonomy.from_dict(taxonomy.to_dict()) == taxonomy


def test_groups_and_parents_are_read_from_toml_and_checked(tmp_path: Path) -> None:
    good = """
[[attributes]]
name = "colour"
values = ["Black", "Charcoal", "Red"]
groups = { Dark = ["Black", "Charcoal"] }
[[attributes]]
name = "family"
values = ["Neutral", "Warm"]
[[parents]]
child = "colour"
parent = "family"
allowed = { Red = ["Warm"] }
"""
    file = tmp_path / "colours.toml"
    file.write_text(good)
    taxonomy = Taxonomy.load(file)
    assert taxonomy["colour"].groups == {"Dark": ("Black", "Charcoal")}
    assert not taxonomy.parents[0].allows({"colour": "Red", "family": "Neutral"})
    assert taxonomy.parents[0].allows({"colour": "Black", "family": "Neutral"})
    for wrong, sentence in (
        (good.replace('"Charcoal"] }', '"Blue"] }'), "groups 'Blue', which is not one of its values"),
        (good.replace('"Charcoal"] }', '"Charcoal"], Deep = ["Black"] }'), "has 'Black' in two groups"),
        (good.replace("Red = [", "Pink = ["), "names 'Pink', which is not one of the values of colour"),
        (good.replace('parent = "family"', 'parent = "mood"'), "names the attribute 'mood'"),
    ):
        file.write_text(wrong)
        with pytest.raises(TaxonomyError, match=sentence):
            Taxonomy.load(file)


def test_a_parent_rule_of_another_form_is_told_with_its_file(tmp_path: Path) -> None:
    text = "[[attributes]]\nname = 'a'\nvalues = ['x']\n[[parents]]\nchild = 'a'\nparent = 'a'\n"
    with pytest.raises(TaxonomyError, match=r"rules\.toml: The parent rules .*'child', 'parent' and 'allowed'"):
        Taxonomy.load(write_toml(tmp_path / "rules.toml", text))
