"""Groups that give each other away stay together, in proportion, whatever the order of the rows."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vestiary.catalogue import Catalogue, ingest, load_catalogue
from vestiary.catalogue.splits import RATIOS, assign_splits, group_products
from vestiary.product import Split

calm = settings(derandomize=True, deadline=None)
ids_and_clues = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=3), max_size=25)


def splits_of(catalogue: Catalogue) -> dict[str, Split]:
    return {product.id: product.split for product in catalogue.products}


def groups_of(catalogue: Catalogue) -> dict[str, str]:
    return {product.id: product.group for product in catalogue.products}


def make_rows(first: int, last: int, *, per_name: int = 1) -> list[dict[str, object]]:
    types = ("Shirts", "Shirts", "Tshirts", "Jeans")
    return [
        {"id": number, "articleType": types[number % 4], "productDisplayName": f"Design {number // per_name}"}
        for number in range(first, last)
    ]


def share(splits: Sequence[Split], split: Split) -> float:
    return splits.count(split) / len(splits)


def connect(clues: Sequence[Sequence[str]]) -> list[frozenset[int]]:
    """The groups by definition: sets of products, merged until no two of them have a clue in common."""
    sets = [({index}, set(own)) for index, own in enumerate(clues)]
    merged = True
    while merged:
        merged = False
        for one in range(len(sets)):
            for other in range(one + 1, len(sets)):
                if sets[one][1] & sets[other][1]:
                    members, own = sets.pop(other)
                    sets[one] = (sets[one][0] | members, sets[one][1] | own)
                    merged = True
                    break
            if merged:
                break
    return [frozenset(members) for members, _ in sets]


# Groups


def test_products_without_a_clue_in_common_stand_alone() -> None:
    assert group_products(["1", "2", "3"], [["a"], ["b"], []]) == ["1", "2", "3"]


def test_a_clue_in_common_makes_a_group_named_by_its_smallest_id() -> None:
    assert group_products(["10", "9", "8"], [["a"], ["a"], ["b"]]) == ["9", "9", "8"]


def test_groups_hold_through_others() -> None:
    assert group_products(["1", "2", "3", "4"], [["a"], ["b"], ["c", "a"], ["b", "c"]]) == ["1"] * 4


@calm
@given(ids_and_clues)
def test_groups_are_the_connected_products(clues: list[list[str]]) -> None:
    ids = [str(index) for index in range(len(clues))]
    groups = group_products(ids, clues)
    found = {frozenset(index for index, group in enumerate(groups) if group == name) for name in groups}
    assert found == set(connect(clues))


@calm
@given(ids_and_clues, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_the_rows(clues: list[list[str]], rng: random.Random) -> None:
    ids = [str(index) for index in range(len(clues))]
    order = rng.sample(range(len(ids)), len(ids))
    shuffled = group_products([ids[at] for at in order], [clues[at] for at in order])
    assert dict(zip((ids[at] for at in order), shuffled, strict=True)) == dict(
        zip(ids, group_products(ids, clues), strict=True)
    )


# Splits

grouped = st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.sampled_from("XYZ")), max_size=60)
known = st.dictionaries(st.sampled_from("abcdefghijklmnopqr"), st.sampled_from(list(Split)))


@calm
@given(grouped, st.integers(0, 5), known)
def test_all_members_of_a_group_share_a_split(
    rows: list[tuple[str, str]], seed: int, earlier: dict[str, Split]
) -> None:
    groups, strata = [group for group, _ in rows], [stratum for _, stratum in rows]
    splits = assign_splits(groups, strata, seed=seed, earlier=earlier)
    assert len(splits) == len(rows)
    assert len(set(zip(groups, splits, strict=True))) == len(set(groups))


@calm
@given(grouped, known)
def test_groups_known_from_earlier_keep_their_split(rows: list[tuple[str, str]], earlier: dict[str, Split]) -> None:
    splits = assign_splits([group for group, _ in rows], [stratum for _, stratum in rows], earlier=earlier)
    for (group, _), split in zip(rows, splits, strict=True):
        assert split == earlier.get(group, split)


@calm
@given(grouped, known, st.randoms(use_true_random=False))
def test_splits_do_not_depend_on_the_order_of_the_rows(
    rows: list[tuple[str, str]], earlier: dict[str, Split], rng: random.Random
) -> None:
    def by_group(given_rows: list[tuple[str, str]]) -> dict[str, Split]:
        groups = [group for group, _ in given_rows]
        return dict(
            zip(groups, assign_splits(groups, [stratum for _, stratum in given_rows], earlier=earlier), strict=True)
        )

    assert by_group(rng.sample(rows, len(rows))) == by_group(rows)


def draw_groups(seed: int = 3) -> tuple[list[str], list[str]]:
    """3,000 groups of one to six products, in strata of very different sizes."""
    rng = random.Random(seed)
    groups: list[str] = []
    strata: list[str] = []
    for number in range(3000):
        stratum = rng.choices(["Shirts", "Jeans", "Watches", "Ties"], [60, 25, 12, 3])[0]
        size = rng.choice([1, 1, 1, 2, 3, 6])
        groups += [f"g{number}"] * size
        strata += [stratum] * size
    return groups, strata


def test_the_splits_are_in_proportion_overall_and_within_each_stratum() -> None:
    groups, strata = draw_groups()
    splits = assign_splits(groups, strata)
    for split, ratio in RATIOS.items():
        assert share(splits, split) == pytest.approx(ratio, abs=0.005)
        for stratum in set(strata):
            inside = [chosen for chosen, name in zip(splits, strata, strict=True) if name == stratum]
            assert share(inside, split) == pytest.approx(ratio, abs=0.02)


def test_other_ratios_are_kept_too() -> None:
    groups, strata = draw_groups()
    ratios = {Split.TRAIN: 0.5, Split.VALIDATION: 0.2, Split.TEST: 0.3}
    splits = assign_splits(groups, strata, ratios=ratios)
    for split, ratio in ratios.items():
        assert share(splits, split) == pytest.approx(ratio, abs=0.005)


def test_splits_of_many_small_strata_do_not_depend_on_the_order_of_the_rows() -> None:
    rows = [(f"g{stratum}-{number}", f"s{stratum}") for stratum in range(12) for number in range(4 + stratum % 3)]
    chosen = dict(zip([group for group, _ in rows], assign_splits(*zip(*rows, strict=True)), strict=True))
    for seed in range(5):
        order = random.Random(seed).sample(rows, len(rows))
        assert assign_splits(*zip(*order, strict=True)) == [chosen[group] for group, _ in order]


def test_new_groups_make_up_for_what_the_known_ones_lack() -> None:
    groups = [f"known{number}" for number in range(140)] + [f"new{number // 2}" for number in range(60)]
    earlier = {group: Split.TRAIN for group in groups if group.startswith("known")}
    splits = Counter(assign_splits(groups, ["Shirts"] * 200, earlier=earlier))
    assert splits == {Split.TRAIN: 140, Split.VALIDATION: 30, Split.TEST: 30}


def test_a_new_stratum_is_split_in_proportion_however_the_others_stand() -> None:
    groups = [f"known{number}" for number in range(120)] + [f"new{number}" for number in range(100)]
    earlier = {group: Split.TRAIN for group in groups if group.startswith("known")}
    splits = assign_splits(groups, ["Shirts"] * 120 + ["Jeans"] * 100, earlier=earlier)
    assert Counter(splits[120:]) == {Split.TRAIN: 70, Split.VALIDATION: 15, Split.TEST: 15}


def test_the_same_seed_draws_the_same_splits_and_another_seed_others() -> None:
    groups, strata = draw_groups()
    assert assign_splits(groups, strata, seed=1) == assign_splits(groups, strata, seed=1)
    moved = sum(
        one != other
        for one, other in zip(assign_splits(groups, strata, seed=1), assign_splits(groups, strata, seed=2), strict=True)
    )
    assert moved > len(groups) / 10


# The same through ingest


def test_the_same_name_makes_a_group_case_and_spacing_aside(make_source: Callable[..., Path]) -> None:
    names = ("Blue Shirt", "blue  SHIRT", " Blue Shirt ", "Blue Shirts", "BlueShirt")
    rows = [{"id": number, "productDisplayName": name} for number, name in enumerate(names, start=1)]
    assert groups_of(ingest(make_source(rows))) == {"1": "1", "2": "1", "3": "1", "4": "4", "5": "5"}


def test_products_without_a_name_are_no_group(make_source: Callable[..., Path]) -> None:
    rows = [{"id": number, "productDisplayName": ""} for number in (1, 2)]
    assert groups_of(ingest(make_source(rows))) == {"1": "1", "2": "2"}


def test_identical_pixels_make_a_group_whatever_the_file(make_source: Callable[..., Path]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 16), (1, 2, 3)).save(buffer, "BMP")
    pictures = {"1": (1, 2, 3), "2": (4, 5, 6), "3": buffer.getvalue(), "4": (4, 5, 7)}
    catalogue = ingest(make_source([{"id": number} for number in range(1, 5)], pictures=pictures))
    assert groups_of(catalogue) == {"1": "1", "2": "2", "3": "1", "4": "4"}
    hashes = {product.id: product.pixel_hashes for product in catalogue.products}
    assert hashes["1"] == hashes["3"]
    assert hashes["2"] != hashes["4"]


def test_names_and_pixels_join_products_that_share_neither(make_source: Callable[..., Path]) -> None:
    rows = [
        {"id": 5, "productDisplayName": "Blue Shirt"},
        {"id": 6, "productDisplayName": "Blue shirt"},
        {"id": 7, "productDisplayName": "Red Shirt"},
        {"id": 8, "productDisplayName": "Green Shirt"},
    ]
    pictures = {"6": (1, 2, 3), "7": (1, 2, 3)}
    assert groups_of(ingest(make_source(rows, pictures=pictures))) == {"5": "5", "6": "5", "7": "5", "8": "8"}


def test_no_group_stands_on_two_sides(make_source: Callable[..., Path]) -> None:
    catalogue = ingest(make_source(make_rows(0, 90, per_name=3)))
    assert catalogue.counts["groups"] == 30
    assert len({(product.group, product.split) for product in catalogue.products}) == 30
    assert len({product.split for product in catalogue.products}) == 3


def test_the_order_of_the_rows_changes_no_split(make_source: Callable[..., Path]) -> None:
    rows = make_rows(0, 80, per_name=2)
    shuffled = random.Random(4).sample(rows, len(rows))
    straight = ingest(make_source(rows, name="straight"))
    assert splits_of(ingest(make_source(shuffled, name="shuffled"))) == splits_of(straight)


def test_another_seed_splits_otherwise_and_is_remembered(make_source: Callable[..., Path]) -> None:
    source = make_source(make_rows(0, 80))
    one, other = ingest(source, seed=1), ingest(source, seed=2)
    assert splits_of(one) != splits_of(other)
    assert splits_of(ingest(source, seed=1)) == splits_of(one)
    assert (one.split_seed, other.split_seed) == (1, 2)


def assert_kept(before: Mapping[str, Split], after: Mapping[str, Split]) -> None:
    assert {product_id: after[product_id] for product_id in before} == before


def test_known_products_keep_their_split_when_rows_are_added(make_source: Callable[..., Path], tmp_path: Path) -> None:
    ingest(make_source(make_rows(100, 160), name="first")).save(tmp_path / "out")
    earlier = load_catalogue(tmp_path / "out")
    more = make_source(make_rows(0, 200), name="more")
    before = splits_of(earlier)
    assert set(before.values()) == set(Split)
    afresh = splits_of(ingest(more))
    assert any(afresh[product_id] != split for product_id, split in before.items()), "the rows added must matter"

    after = ingest(more, earlier=earlier)
    assert_kept(before, splits_of(after))
    assert {split: list(splits_of(after).values()).count(split) for split in Split} == pytest.approx(
        {split: 200 * ratio for split, ratio in RATIOS.items()}, abs=6
    )


def test_a_new_product_with_a_known_name_joins_the_split_of_that_name(make_source: Callable[..., Path]) -> None:
    earlier = ingest(make_source(make_rows(100, 160), name="first"))
    twins = [row | {"id": int(str(row["id"])) - 100} for row in make_rows(100, 160)]
    after = splits_of(ingest(make_source(twins + make_rows(100, 160), name="more"), earlier=earlier))
    assert_kept(splits_of(earlier), after)
    for product_id, split in splits_of(earlier).items():
        assert after[str(int(product_id) - 100)] == split


def test_known_products_keep_their_split_when_labels_change_and_rows_go(make_source: Callable[..., Path]) -> None:
    earlier = ingest(make_source(make_rows(0, 80), name="first"))
    fewer = [row | {"articleType": "Dresses", "season": "NA"} for row in make_rows(20, 80)]
    after = splits_of(ingest(make_source(fewer, name="fewer"), earlier=earlier))
    assert after == {product_id: split for product_id, split in splits_of(earlier).items() if product_id in after}


def test_known_products_that_turn_out_to_be_one_design_come_to_one_side(make_source: Callable[..., Path]) -> None:
    rows = make_rows(0, 80)
    earlier = ingest(make_source(rows, name="first"))
    before = splits_of(earlier)
    one = "0"
    other = next(product_id for product_id in before if before[product_id] != before[one])
    merged = [row | {"productDisplayName": "The same"} if str(row["id"]) in (one, other) else row for row in rows]
    after = splits_of(ingest(make_source(merged, name="merged"), earlier=earlier))
    assert after[one] == after[other] == before[one]
    assert_kept({key: split for key, split in before.items() if key != other}, after)


def test_each_split_is_selected_in_catalogue_order(make_source: Callable[..., Path]) -> None:
    catalogue = ingest(make_source(make_rows(0, 60)))
    parts = {split: catalogue.select(split) for split in Split}
    assert catalogue.counts["splits"] == {str(split): len(part) for split, part in parts.items()}
    assert sum(map(len, parts.values())) == 60
    assert catalogue.select(None) == catalogue.products
    for split, part in parts.items():
        assert part == tuple(product for product in catalogue.products if product.split == split)
    assert Counter(product.split for product in catalogue.products) == {split: len(parts[split]) for split in Split}


@pytest.mark.parametrize(("values", "each"), [(25, 2), (140, 5), (50, 6), (3, 30), (1, 20), (60, 1)])
def test_many_small_values_do_not_starve_validation_and_test(values: int, each: int) -> None:
    strata = [f"value {number % values}" for number in range(values * each)]
    groups = [str(number) for number in range(len(strata))]
    splits = assign_splits(groups, strata)
    for split, share in RATIOS.items():
        assert abs(splits.count(split) - share * len(splits)) <= max(1, 0.01 * len(splits))
