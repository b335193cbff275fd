"""Decisions about a catalogue: what the reference systems did can be said, is done exactly, and is written down."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import CountedText
from vestiary.catalogue import (
    Catalogue,
    Preparation,
    RejectReason,
    build_preparation,
    ingest,
    load_catalogue,
    load_groups,
    load_preparation,
    prepare,
)
from vestiary.catalogue.steps import MergeValues
from vestiary.errors import CatalogueError, UsageError
from vestiary.product import Split
from vestiary.taxonomy import Attribute, ParentRule, Taxonomy

TYPES = {"Shirts": 12, "Caps": 6, "Socks": 2}
COLOURS = ("Navy Blue", "Blue", "Peach", "Red", "NA")


@pytest.fixture
def catalogue(make_source: Callable[..., Path]) -> Catalogue:
    kinds = [kind for kind, n in TYPES.items() for _ in range(n)]
    rows = [
        {"id": n, "articleType": kind, "baseColour": COLOURS[n % 5], "gender": ("Men", "Women")[n % 2]}
        for n, kind in enumerate(kinds)
    ]
    return ingest(make_source(rows))


def add_up(catalogue: Catalogue) -> bool:
    counts = catalogue.counts
    return bool(counts["rows"] == counts["products"] + counts["rejected_rows"])


def values_of(catalogue: Catalogue) -> dict[str, int]:
    return {attribute.name: len(attribute.values) for attribute in catalogue.taxonomy.attributes}


def test_a_thousand_values_are_not_compared_all_with_all(catalogue: Catalogue) -> None:
    values = [CountedText(f"Type {number}") for number in range(1000)]
    labels = [{"articleType": value, "subCategory": value} for value in values]
    attributes = tuple(Attribute(name, tuple(values), groups={"All": tuple(values)}) for name in labels[0])
    rule = ParentRule("articleType", "subCategory", {value: (value,) for value in values})
    products = [replace(catalogue.products[0], id=str(number), labels=own) for number, own in enumerate(labels)]
    many = replace(catalogue, products=tuple(products), taxonomy=Taxonomy(attributes, (rule,)))
    CountedText.compared = 0
    half = {"Merged": tuple(values[::2])}
    merged = prepare(many, Preparation("own", (MergeValues("articleType", half),)))
    assert CountedText.compared < 100_000
    assert len(merged.taxonomy["articleType"].values) == 501
    assert merged.taxonomy.parents[0].allowed["Merged"] == tuple(values[::2])


def test_merged_values_become_aliases_and_parents_follow(catalogue: Catalogue) -> None:
    merged = prepare(catalogue, build_preparation(merge=["colour-groups"]))
    colour = merged.taxonomy["baseColour"]
    assert colour.values == ("Blue", "Red", "Unmapped")
    assert colour.values[colour.index_of("Navy Blue")] == "Blue"
    assert Counter(one.labels.get("baseColour") for one in merged.products)["Blue"] == 8
    assert [one.split for one in merged.products] == [one.split for one in catalogue.products]
    assert len(merged.taxonomy.parents) == len(catalogue.taxonomy.parents)
    assert catalogue.taxonomy["baseColour"].values == ("Blue", "Navy Blue", "Peach", "Red")


def test_products_left_out_are_rejects_with_their_line_and_reason(catalogue: Catalogue, tmp_path: Path) -> None:
    steps = build_preparation(drop=["baseColour=Peach"], min_count=["articleType=3"])
    prepared = prepare(catalogue, steps, strict=True)
    left_out = [reject for reject in prepared.rejects if reject.reason == RejectReason.LEFT_OUT]
    assert len(left_out) == 6
    details = {reject.detail for reject in left_out}
    assert "baseColour 'Peach' is dropped" in details
    assert "articleType 'Socks' has 2 of the 3 products it needs" in details
    assert [applied.left_out for applied in prepared.applied] == [4, 2]
    assert add_up(prepared)
    prepared.save(tmp_path / "out")
    assert load_catalogue(tmp_path / "out") == prepared


def test_pruning_goes_on_until_no_value_is_rare(make_source: Callable[..., Path]) -> None:
    pairs = [("Shirts", "Red")] * 4 + [("Caps", "Red"), ("Caps", "Blue"), ("Caps", "Blue"), ("Socks", "Blue")]
    rows = [{"id": n, "articleType": kind, "baseColour": colour} for n, (kind, colour) in enumerate(pairs)]
    prepared = prepare(ingest(make_source(rows)), build_preparation(min_count=["3"]))
    for attribute in prepared.taxonomy.names:
        counts = Counter(one.labels[attribute] for one in prepared.products)
        assert min(counts.values()) >= 3
    assert values_of(prepared)["articleType"] == 1  # without Socks Blue is rare, and without Blue so are Caps


def test_a_composite_is_made_cut_and_dropped_from(catalogue: Catalogue) -> None:
    steps = build_preparation(
        rename=["gender=Men=Man"], composite="articleType-gender", top=3, drop=["category=Caps-*"]
    )
    prepared = prepare(catalogue, steps, strict=True)
    assert prepared.taxonomy["category"].values == ("Shirts-Man", "Shirts-Women")
    assert prepared.taxonomy.names[-1] == "category"
    assert add_up(prepared)


def test_only_the_attributes_asked_for_stay(catalogue: Catalogue) -> None:
    prepared = prepare(catalogue, build_preparation(only=["gender,baseColour"]))
    assert prepared.taxonomy.names == ("gender", "baseColour")
    assert len(prepared.products) == len(catalogue.products)


def test_kept_values_of_one_attribute_add_up(catalogue: Catalogue) -> None:
    prepared = prepare(catalogue, build_preparation(keep=["articleType=Caps", "articleType=Socks"]), strict=True)
    assert prepared.taxonomy["articleType"].values == ("Caps", "Socks")
    assert len(prepared.products) == 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"drop": ["articleType=Shirt"]}, "No product has the articleType 'Shirt'; did you mean 'Shirts'"),
        ({"drop": ["artcleType=Shirts"]}, "no attribute 'artcleType'; did you mean 'articleType'"),
        ({"drop": ["Shirts"]}, "write ATTRIBUTE=VALUE"),
        ({"rename": ["gender=Men"]}, "write ATTRIBUTE=OLD=NEW"),
        ({"min_count": ["few"]}, "write N or ATTRIBUTE=N"),
        ({"top": 3}, "--top goes with --composite"),
        ({"merge": ["colour-group"]}, "did you mean 'colour-groups'"),
        ({"composite": "articleType-sex"}, "no attribute 'sex'"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(
    catalogue: Catalogue, options: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        prepare(catalogue, build_preparation(**options), strict=True)  # type: ignore[arg-type]
    assert words in str(refusal.value)


def test_a_preparation_that_leaves_nothing_says_which_step_it_was(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError, match="leave out values of every attribute on fewer than 99 products"):
        prepare(catalogue, build_preparation(min_count=["99"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no [[steps]]"),
        ("[[steps]", "is not valid TOML"),
        ('[[steps]]\ndo = "dance"', "'do' must be one of"),
        ('[[steps]]\ndo = "top"\nattribute = "a"', "needs the key 'count'"),
        ('[[steps]]\ndo = "top"\nattribute = "a"\ncount = "many"', "unusable 'count'"),
        ('[[steps]]\ndo = "top"\natribute = "a"\ncount = 1', "did you mean 'attribute'"),
        ('[[steps]]\ndo = "drop-values"\nattribute = "a"\nvalues = "b"', "needs a list of texts for 'values'"),
        ("steps = 3", "is not understood"),
    ],
)
def test_a_preparation_file_with_a_mistake_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refusal:
        load_preparation(str(path))
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_file_of_groups_may_take_the_rest_and_lie_beside_the_preparation(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    (tmp_path / "tones.toml").write_text(
        'attribute = "baseColour"\nrest = "Other"\n[groups]\nBlue = ["Navy Blue"]\n', encoding="utf-8"
    )
    (tmp_path / "mine.toml").write_text('[[steps]]\ndo = "merge-values"\nfrom = "tones.toml"\n', encoding="utf-8")
    prepared = prepare(catalogue, load_preparation(str(tmp_path / "mine.toml")))
    assert prepared.taxonomy["baseColour"].values == ("Blue", "Other")
    (tmp_path / "mine.toml").write_text((tmp_path / "mine.toml").read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert prepare(catalogue, load_preparation(str(tmp_path / "mine.toml"))).fingerprint == prepared.fingerprint
    (tmp_path / "tones.toml").write_text(
        'attribute = "a"\n[groups]\nBlue = ["Navy"]\nDark = ["Navy"]\n', encoding="utf-8"
    )
    with pytest.raises(UsageError, match="'Navy' in two groups"):
        load_groups(str(tmp_path / "tones.toml"))


def test_the_colour_groups_name_every_colour_once() -> None:
    groups = load_groups("colour-groups").groups
    assert len(groups) == 11
    assert sum(len(members) for members in groups.values()) == 46


def test_a_taxonomy_given_keeps_its_groups_through_a_preparation(make_source: Callable[..., Path]) -> None:
    colour = {"name": "baseColour", "values": ["Blue", "Red", "Teal"], "groups": {"Cold": ["Blue", "Teal"]}}
    source = make_source([{"id": 1}, {"id": 2, "baseColour": "Red"}, {"id": 3, "baseColour": "Teal"}])
    catalogue = ingest(source, taxonomy=Taxonomy.from_dict({"attributes": [colour]}))
    prepared = prepare(catalogue, build_preparation(rename=["baseColour=Teal=Blue"]), strict=True)
    assert prepared.taxonomy["baseColour"].groups == {"Cold": ("Blue",)}


def test_a_question_that_nobody_answers_stays_through_a_preparation(make_source: Callable[..., Path]) -> None:
    attributes = [
        {"name": "baseColour", "values": ["Blue", "Red"]},
        {"name": "season", "values": ["Winter", "Summer"], "aliases": {"Cold": "Winter"}},
    ]
    source = make_source([{"id": n, "baseColour": ("Blue", "Red")[n % 2], "season": "NA"} for n in range(4)])
    catalogue = ingest(source, taxonomy=Taxonomy.from_dict({"attributes": attributes}))
    prepared = prepare(catalogue, build_preparation(drop=["baseColour=Red"]), strict=True)
    assert prepared.taxonomy.names == ("baseColour", "season")
    assert prepared.taxonomy["season"] == catalogue.taxonomy["season"]
    answered = ingest(make_source([{"id": 1, "season": "NA"}, {"id": 2, "baseColour": "Red"}]))
    with pytest.raises(CatalogueError, match="The preparation leaves no label of season"):
        prepare(answered, build_preparation(drop=["baseColour=Red"]), strict=True)


# The real catalogue


@pytest.fixture(scope="module")
def real(real_small: Path) -> Catalogue:
    return ingest(real_small)


@pytest.mark.parametrize(
    ("name", "values", "products"),
    [
        ("r1", {"baseColour": 11, "articleType": 103, "season": 4, "gender": 5}, 39_575),
        (
            "r2",
            {"gender": 5, "masterCategory": 7, "subCategory": 45, "articleType": 141, "baseColour": 46, "season": 4},
            39_721,
        ),
        ("r3", {"category": 65}, 33_015),
        ("r4", {"baseColour": 46, "articleType": 141, "season": 4, "gender": 5}, 39_721),
        ("r5", {"articleType": 10}, 22_927),
    ],
)
def test_the_reference_systems_get_the_classes_they_had(
    real: Catalogue, name: str, values: dict[str, int], products: int
) -> None:
    prepared = prepare(real, load_preparation(name))
    assert values_of(prepared) == values
    assert len(prepared.products) == products
    assert add_up(prepared)


def test_r5_splits_each_product_on_its_own_in_proportion(real: Catalogue) -> None:
    prepared = prepare(real, load_preparation("r5"))
    for value in prepared.taxonomy["articleType"].values:
        own = [one.split for one in prepared.products if one.labels["articleType"] == value]
        for split, share in ((Split.TRAIN, 0.70), (Split.VALIDATION, 0.15), (Split.TEST, 0.15)):
            assert abs(own.count(split) - share * len(own)) <= 1.5
    assert len({one.group for one in prepared.products}) == len(prepared.products)
    assert "seed 42" in prepared.split_by


def test_r3_written_as_the_reference_words_it_differs_by_what_is_held_back(real: Catalogue) -> None:
    steps = build_preparation(composite="articleType-gender-subCategory-masterCategory", top=100)
    hundred = set(prepare(real, steps).taxonomy["category"].values)
    assert len(hundred) == 100
    assert "Jewellery Set-Women-Jewellery-Accessories" not in hundred  # one of the 26; 37 of its products are here
    kept = set(prepare(real, load_preparation("r3")).taxonomy["category"].values)
    made = {"Men-Shoes-Footwear", "Women-Shoes-Footwear", "Sports Shoes-Footwear", "Socks-Accessories"}
    assert made <= kept
    assert kept - made <= hundred
    assert not [value for value in kept if value.endswith("Personal Care")]


def test_the_command_records_and_shows_what_was_decided(make_source: Callable[..., Path], tmp_path: Path) -> None:
    rows = [{"id": n, "baseColour": ("Navy Blue", "Blue", "Red")[n % 3]} for n in range(9)]
    source, out = make_source([*rows, {"id": 10, "usage": "Home"}]), tmp_path / "out"

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "vestiary", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    run("ingest", source, "--out", out, "--preparation", "r4", "--merge-groups", "colour-groups")
    shown = run("inspect", out)
    assert "r4  ask only about baseColour, articleType, season, gender" in shown
    assert "values of baseColour into Black, White, Blue" in shown
    assert '"do": "merge-values"' in run("inspect", out, "--json")
    run("ingest", source, "--out", out, "--overwrite", "--drop-value", "usage=Home")
    assert "drop usage Home: 1 product left out" in run("inspect", out)
