"""What people said, taken into a catalogue by ``ingest --corrections``."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from conftest import Vestiary, paint_picture
from vestiary.catalogue import Catalogue, correct, ingest, load_catalogue
from vestiary.checks.measure import measure_pictures
from vestiary.errors import CatalogueError, UsageError
from vestiary.product import Split

Row = dict[str, object]


def write_table(folder: Path, rows: Sequence[Row], pictures: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in (pictures or {}).items():
        (folder / "pictures").mkdir(exist_ok=True)
        (folder / "pictures" / name).write_bytes(data)
    columns = ("image_sha256", "product_id", "picture", "attribute", "value", "reviewer", "at")
    with (folder / "corrections.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({"reviewer": "ada", "at": "2026-03-01T12:00:00+00:00"} | row for row in rows)
    return folder / "corrections.csv"


SHOES = {"masterCategory": "Footwear", "subCategory": "Shoes", "articleType": "Heels"}


@pytest.fixture
def source(make_source: Callable[..., Path]) -> Path:
    shirts = [{"id": number, "baseColour": colour} for number, colour in enumerate(["Blue", "Red", "Blue", "Red"], 1)]
    return make_source([*shirts, *({"id": number, **SHOES} for number in range(5, 9))])


@pytest.fixture
def catalogue(source: Path) -> Catalogue:
    return ingest(source)


def hash_of(source: Path, product_id: str) -> str:
    return hashlib.sha256((source / "images" / f"{product_id}.jpg").read_bytes()).hexdigest()


def labels_of(catalogue: Catalogue, product_id: str) -> dict[str, str]:
    return dict(next(product.labels for product in catalogue.products if product.id == product_id))


def effects(catalogue: Catalogue) -> list[tuple[str, str, str, str, str]]:
    return [(str(own.effect), own.product_id, own.attribute, own.before, own.value) for own in catalogue.corrections]


def test_labels_are_found_by_the_photo_and_by_the_id(catalogue: Catalogue, source: Path, tmp_path: Path) -> None:
    rows: list[Row] = [
        {"image_sha256": hash_of(source, "1").upper(), "attribute": "baseColour", "value": "Red"},
        {"product_id": "2", "attribute": "baseColour", "value": "Red"},
        {"image_sha256": "f" * 64, "product_id": "3", "attribute": "baseColour", "value": "Red"},
        {"image_sha256": "e" * 64, "attribute": "baseColour", "value": "Red"},
        {"product_id": "99", "attribute": "baseColour", "value": "Red"},
        {"product_id": "4", "attribute": "baseColour", "value": "Mauve"},
        {"product_id": "4", "attribute": "size", "value": "L"},
    ]
    corrected = correct(catalogue, write_table(tmp_path / "told", rows))
    assert effects(corrected) == [
        ("label changed", "1", "baseColour", "Blue", "Red"),
        ("label confirmed", "2", "baseColour", "Red", "Red"),
        ("label changed", "3", "baseColour", "Blue", "Red"),
        ("no product and no photo", "", "baseColour", "", "Red"),
        ("no product and no photo", "", "baseColour", "", "Red"),
        ("unknown attribute or value", "", "baseColour", "", "Mauve"),
        ("unknown attribute or value", "", "size", "", "L"),
    ]
    assert {own.reviewer for own in corrected.corrections} == {"ada"}
    assert [labels_of(corrected, number)["baseColour"] for number in "1234"] == ["Red"] * 4
    assert labels_of(catalogue, "1")["baseColour"] == "Blue", "the one given stays as it was"
    told = corrected.counts["corrections"]
    assert (told["rows"], told["matched"], told["unmatched"], told["changed_products"]) == (7, 3, 4, 2)
    assert corrected.fingerprint != catalogue.fingerprint
    assert [product.split for product in corrected.products] == [product.split for product in catalogue.products]


def test_a_photo_in_another_file_but_with_the_same_pixels_is_the_product_itself(
    catalogue: Catalogue, source: Path, tmp_path: Path
) -> None:
    data = (source / "images" / "1.jpg").read_bytes() + b"\0"  # other bytes, the same picture
    row: Row = {"image_sha256": "a" * 64, "picture": "pictures/a.png", "attribute": "baseColour", "value": "Red"}
    corrected = correct(catalogue, write_table(tmp_path / "told", [row], {"a.png": data}))
    assert len(corrected.products) == len(catalogue.products)
    assert labels_of(corrected, "1")["baseColour"] == "Red"


def test_new_photos_become_products_to_learn_from_and_of_no_other_split(catalogue: Catalogue, tmp_path: Path) -> None:
    pictures = {f"{n}.png": paint_picture((n, 200, 7)) for n in range(40)}
    rows: list[Row] = [
        {"picture": f"pictures/{name}", "image_sha256": hashlib.sha256(data).hexdigest(), **label}
        for name, data in pictures.items()
        for label in ({"attribute": "baseColour", "value": "Red"}, {"attribute": "season", "value": "Summer"})
    ]
    rows.append({"picture": "pictures/none.png", "attribute": "baseColour", "value": "Red"})
    table = write_table(tmp_path / "told", rows, pictures | {"again.png": pictures["0.png"] + b"\0"})
    corrected = correct(catalogue, table)
    new = corrected.products[len(catalogue.products) :]
    assert len(new) == 40
    assert {product.split for product in new} == {Split.TRAIN}
    assert new[0].labels == {"baseColour": "Red", "season": "Summer"}
    assert new[0].source == "corrections.csv:2"
    assert corrected.counts["corrections"]["by_effect"] == {"label of a new product": 80, "unreadable photo": 1}
    assert corrected.counts["rows"] == catalogue.counts["rows"] + 40
    assert corrected.counts["rows_as_further_views"] == 0
    corrected.save(tmp_path / "out")
    loaded = load_catalogue(tmp_path / "out")
    assert loaded == corrected
    assert loaded.fingerprint == corrected.fingerprint
    opened = loaded.open_source()
    assert opened.read(new[0].images[0]) == pictures["0.png"]
    assert opened.read(loaded.products[0].images[0])
    assert [fact.failure for fact in measure_pictures(loaded)] == [None] * len(loaded.products)
    assert json.loads((tmp_path / "out" / "catalogue.json").read_text())["format"] == 2
    shutil.rmtree(tmp_path / "told")
    with pytest.raises(CatalogueError, match=r"came with corrections in .*told, which is not there; put it back"):
        loaded.open_source()


def test_new_photos_of_one_id_are_views_of_one_product(catalogue: Catalogue, tmp_path: Path) -> None:
    pictures = {name: paint_picture((n, 200, 7)) for n, name in enumerate(("front.png", "back.png"))}
    label = {"product_id": "99", "attribute": "baseColour", "value": "Red"}
    rows: list[Row] = [{"picture": f"pictures/{name}", **label} for name in pictures]
    corrected = correct(catalogue, write_table(tmp_path / "told", rows, pictures))
    [new] = corrected.products[len(catalogue.products) :]
    assert (new.id, new.labels, new.split) == ("99", {"baseColour": "Red"}, Split.TRAIN)
    opened = corrected.open_source()
    assert [opened.read(image) for image in new.images] == list(pictures.values())
    assert len(set(new.pixel_hashes)) == 2
    assert corrected.counts["corrections"]["new_products"] == 1
    assert corrected.counts["rows_as_further_views"] == catalogue.counts["rows_as_further_views"] + 1


def test_a_catalogue_that_is_moved_with_its_corrections_finds_them(catalogue: Catalogue, tmp_path: Path) -> None:
    data = paint_picture((1, 2, 3))
    row: Row = {"picture": "pictures/a.png", "attribute": "baseColour", "value": "Red"}
    here = tmp_path / "here"
    here.mkdir()
    correct(catalogue, write_table(here / "told", [row], {"a.png": data})).save(here / "catalogue")
    here.rename(tmp_path / "there")
    loaded = load_catalogue(tmp_path / "there" / "catalogue")
    assert loaded.open_source().read(loaded.products[-1].images[0]) == data


def test_labels_that_contradict_a_corrected_one_follow_it(catalogue: Catalogue, tmp_path: Path) -> None:
    rows: list[Row] = [
        {"product_id": "1", "attribute": "articleType", "value": "Heels"},
        {"product_id": "5", "attribute": "masterCategory", "value": "Apparel"},
        {"product_id": "6", "attribute": "masterCategory", "value": "Apparel"},
        {"product_id": "6", "attribute": "articleType", "value": "Shirts"},
    ]
    corrected = correct(catalogue, write_table(tmp_path / "told", rows))
    assert SHOES.items() <= labels_of(corrected, "1").items()
    five = labels_of(corrected, "5")
    assert five["masterCategory"] == "Apparel"
    assert not {"subCategory", "articleType"} & five.keys(), "which apparel it is nobody has said"
    assert labels_of(corrected, "6")["subCategory"] == "Topwear"
    followed = [told for told in effects(corrected) if told[0] == "label follows by the parent rules"]
    assert ("label follows by the parent rules", "1", "masterCategory", "Apparel", "Footwear") in followed
    rules = corrected.taxonomy.parents
    assert all(rule.allows(product.labels) for rule in rules for product in corrected.products)


def test_the_verb_tells_what_became_of_them_and_splits_stay(source: Path, tmp_path: Path, vestiary: Vestiary) -> None:
    out = tmp_path / "out"
    assert vestiary("ingest", source, "--out", out).code == 0
    before = {product.id: product.split for product in load_catalogue(out).products}
    rows: list[Row] = [
        {"product_id": "1", "attribute": "baseColour", "value": "Red"},
        {"product_id": "77", "attribute": "baseColour", "value": "Red"},
        {"picture": "pictures/a.png", "attribute": "baseColour", "value": "Red"},
    ]
    table = write_table(tmp_path / "told", rows, {"a.png": paint_picture((1, 2, 3))})
    done = vestiary("ingest", source, "--out", out, "--overwrite", "--corrections", table)
    assert done.code == 0, done.err
    assert "Corrections: 3 rows, 2 matched and 1 not; products changed: 1, new ones for training: 1." in done.out
    after = {product.id: product.split for product in load_catalogue(out).products}
    assert {key: after[key] for key in before} == before
    with (out / "corrections.csv").open(newline="", encoding="utf-8") as file:
        assert [row["effect"] for row in csv.DictReader(file)] == [
            "label changed",
            "no product and no photo",
            "label of a new product",
        ]
    assert json.loads(vestiary("inspect", out, "--json").out)["counts"]["corrections"]["new_products"] == 1
    assert vestiary("ingest", source, "--out", out, "--overwrite").code == 0
    assert not (out / "corrections.csv").exists(), "without them the catalogue is as the source says"
    assert load_catalogue(out).counts["products"] == len(before)


def test_corrections_that_lie_in_the_place_of_the_catalogue_are_never_replaced(
    source: Path, tmp_path: Path, vestiary: Vestiary
) -> None:
    rows: list[Row] = [{"product_id": "1", "attribute": "baseColour", "value": "Red"}]
    table = write_table(tmp_path / "told", rows)
    work = table.read_bytes()
    done = vestiary("ingest", source, "--out", table.parent, "--overwrite")
    assert (done.code, table.read_bytes()) == (2, work)
    assert "exists and is no catalogue; choose another place." in done.err
    out = tmp_path / "out"
    assert vestiary("ingest", source, "--out", out).code == 0
    before = load_catalogue(out)
    shutil.copy(table, out / "corrections.csv")
    assert load_catalogue(out) == before, "a file of somebody else's damages nothing"
    for words, said in [
        ((), "corrections.csv is not what the catalogue wrote there; move it to another folder."),
        (("--corrections", table), "corrections.csv is not what the catalogue wrote there"),
        (("--corrections", out / "corrections.csv"), "keep them in another folder, and name the file there."),
    ]:
        done = vestiary("ingest", source, "--out", out, "--overwrite", *words)
        assert (done.code, (out / "corrections.csv").read_bytes()) == (2, work)
        assert said in done.err
    (out / "corrections.csv").unlink()
    assert vestiary("ingest", source, "--out", out, "--overwrite", "--corrections", table).code == 0
    done = vestiary("ingest", source, "--out", out, "--overwrite", "--corrections", out / "corrections.csv")
    assert done.code == 2
    assert len(load_catalogue(out).corrections) == 1
    (out / "corrections.csv").unlink()
    with pytest.raises(CatalogueError, match="damaged"):
        load_catalogue(out)


def test_corrections_come_after_a_preparation_in_its_words(source: Path, tmp_path: Path, vestiary: Vestiary) -> None:
    table = write_table(tmp_path / "told", [{"product_id": "1", "attribute": "baseColour", "value": "Warm"}])
    words = ("--rename-value", "baseColour=Red=Warm", "--corrections", table)
    done = vestiary("ingest", source, "--out", tmp_path / "out", *words)
    assert done.code == 0, done.err
    assert labels_of(load_catalogue(tmp_path / "out"), "1")["baseColour"] == "Warm"


def test_a_product_that_the_preparation_left_out_stays_out(source: Path, tmp_path: Path, vestiary: Vestiary) -> None:
    red: Row = {"product_id": "2", "picture": "pictures/2.jpg", "attribute": "baseColour", "value": "Blue"}
    table = write_table(tmp_path / "told", [red], {"2.jpg": (source / "images" / "2.jpg").read_bytes()})
    words = ("--drop-value", "baseColour=Red", "--corrections", table)
    done = vestiary("ingest", source, "--out", tmp_path / "out", *words)
    assert done.code == 0, done.err
    assert "Corrections: 1 row, 0 matched and 1 not; products changed: 0, new ones for training: 0." in done.out
    corrected = load_catalogue(tmp_path / "out")
    assert effects(corrected) == [("product left out by the preparation", "2", "baseColour", "", "Blue")]
    assert "2" not in {product.id for product in corrected.products}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "told.csv does not exist; check the path."),
        ("product_id,attribute\n1,season\n", "has no column 'value'"),
        ("attribute,value\nseason,Summer\n", "does not say which product is meant; give it a column image_sha256"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_the_work(
    text: str | None, told: str, source: Path, tmp_path: Path, vestiary: Vestiary
) -> None:
    file = tmp_path / "told.csv"
    if text is not None:
        file.write_text(text)
    done = vestiary("ingest", source, "--out", tmp_path / "out", "--corrections", file)
    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / "out").exists()


def test_corrections_in_a_place_that_cannot_be_written_down_are_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"told\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UsageError, match="a name with bytes that are not UTF-8; rename it"):
        correct(catalogue, write_table(folder, []))


def test_a_row_out_of_shape_is_told_and_the_others_are_taken(catalogue: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "told.csv"
    file.write_text("product_id,attribute,value\n1,baseColour\n2,baseColour,Blue\n")
    corrected = correct(catalogue, file)
    assert [str(own.effect) for own in corrected.corrections] == ["unusable row", "label changed"]
    with pytest.raises(UsageError, match="holds corrections already"):
        correct(corrected, file)
