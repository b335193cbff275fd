"""Trees of folders named by class, and data sets of the hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import Vestiary, paint_picture
from vestiary.catalogue import Columns, Reading, ingest, load_catalogue
from vestiary.errors import VestiaryError
from vestiary.images import read_picture
from vestiary.product import Split
from vestiary.taxonomy import Attribute, Taxonomy

# Folders


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "wild"
    for number, (split, kind) in enumerate((s, k) for s in ("train", "validation") for k in ("dress", "hat")):
        for copy in range(2):
            path = folder / split / kind / f"{copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(paint_picture((number * 40, copy * 40, 0)))
    return folder


def test_the_folder_is_the_class_and_its_split_is_offered(tree: Path) -> None:
    catalogue = ingest(tree)
    assert catalogue.taxonomy["category"].values == ("dress", "hat")
    assert len(catalogue.products) == 8
    assert catalogue.reading["split_folders"] == ["train", "validation"]
    kept = ingest(tree, keep_splits=True, reading=Reading(Columns({"kind": "kind"})))
    assert kept.taxonomy.names == ("kind",)
    assert {(one.images[0].split("/")[0], str(one.split)) for one in kept.products} == {
        ("train", "train"),
        ("validation", "validation"),
    }
    assert kept.split_by == "what the source says"


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links on this system")
def test_pictures_behind_a_linked_folder_are_products_or_rejects(tree: Path) -> None:
    before = {one.id for one in ingest(tree).products}
    inside, outside = tree / "stock" / "shoe", tree.parent / "elsewhere"
    for number, place in enumerate((inside, outside)):
        place.mkdir(parents=True)
        (place / "0.png").write_bytes(paint_picture((9, 9, number)))
        (place / "again").symlink_to(tree)
    (outside / "notes.csv").write_text("a table, but of something else\n", encoding="utf-8")
    (tree / "train" / "boot").symlink_to(Path("..", "stock", "shoe"))
    for name in ("scarf", ".cache"):
        (tree / "train" / name).symlink_to(outside)
    catalogue = ingest(tree)
    assert {one.id for one in catalogue.products} == before | {"stock/shoe/0.png", "train/boot/0.png"}
    (reject,) = catalogue.rejects
    assert reject.id == "train/scarf/0.png"
    assert "train/scarf/0.png is a link that leads out of" in reject.detail


def test_levels_of_folders_may_be_several_attributes(tree: Path) -> None:
    (tree / "stray.png").write_bytes(paint_picture((1, 2, 3)))
    for split in ("train", "validation"):
        (tree / split).rename(tree / {"train": "women", "validation": "men"}[split])
    catalogue = ingest(tree, reading=Reading(Columns({"gender": "gender", "articleType": "articleType"})))
    assert catalogue.products[0].labels == {"gender": "men", "articleType": "dress"}
    (reject,) = catalogue.rejects
    assert (reject.id, str(reject.reason)) == ("stray.png", "no label")


def test_the_snapshots_of_clothes_are_read(real_small: Path) -> None:
    path = real_small.with_name("clothing-wild.zip")
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    catalogue = ingest(path, keep_splits=True)
    assert len(catalogue.taxonomy["category"].values) == 10
    assert Counter(one.split for one in catalogue.products).keys() == {Split.TRAIN, Split.VALIDATION}


def test_a_catalogue_written_into_its_own_source_is_no_table_of_it(tree: Path) -> None:
    first = ingest(tree)
    first.save(tree / "catalogue")
    assert ingest(tree).products == first.products


def test_a_taxonomy_with_one_question_names_the_level(tree: Path) -> None:
    assert ingest(tree, taxonomy=Taxonomy((Attribute("sort", ("dress", "hat")),))).counts["products"] == 8


# The hub


@pytest.fixture
def hub_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set as it lies on the hub: Parquet with the pictures inside and class labels as numbers."""
    datasets = pytest.importorskip("datasets", reason="the extra 'hub' is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    features = datasets.Features(
        {
            "photo": datasets.Image(),
            "kind": datasets.ClassLabel(names=["dress", "hat"]),
            "baseColour": datasets.Value("string"),
        }
    )
    folder = tmp_path / "copy" / "data"
    folder.mkdir(parents=True)
    for split, start in (("train", 0), ("test", 3)):
        rows = {
            "photo": [{"bytes": paint_picture((n * 30, 9, 9)), "path": None} for n in range(start, start + 3)],
            "kind": [0, 1, 0],
            "baseColour": ["Red", "Blue", None],
        }
        datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder.parent


@pytest.mark.filterwarnings("ignore")
def test_a_data_set_of_the_hub_is_read_with_its_pictures(hub_copy: Path, tmp_path: Path) -> None:
    catalogue = ingest(f"hf:{hub_copy}", keep_splits=True)
    assert catalogue.taxonomy.names == ("kind", "baseColour")
    assert [(one.labels.get("kind"), one.labels.get("baseColour")) for one in catalogue.products[:3]] == [
        ("dress", "Red"),
        ("hat", "Blue"),
        ("dress", None),
    ]
    assert Counter(str(one.split) for one in catalogue.products) == {"train": 3, "test": 3}
    catalogue.save(tmp_path / "out")
    loaded = load_catalogue(tmp_path / "out")
    assert loaded == catalogue
    picture = read_picture(loaded.open_source().read(loaded.products[0].images[0]))
    assert picture.hash_pixels() == loaded.products[0].pixel_hashes[0]


@pytest.mark.filterwarnings("ignore")
def test_a_taxonomy_names_the_columns_of_a_data_set_of_the_hub(hub_copy: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    own = hub_copy.parent / "own"
    own.mkdir()
    photos = [{"bytes": paint_picture((n * 30, 9, 9)), "path": None} for n in range(2)]
    pq.write_table(pa.table({"photo": photos, "material": ["Wool", "Silk"], "note": ["a", "b"]}), own / "train.parquet")
    taxonomy = Taxonomy((Attribute("material", ("Silk", "Wool"), "Material"),))
    catalogue = ingest(f"hf:{own}", taxonomy=taxonomy)
    assert [one.labels for one in catalogue.products] == [{"material": "Wool"}, {"material": "Silk"}]


@pytest.mark.filterwarnings("ignore")
def test_a_data_set_that_only_tells_where_its_pictures_lie_is_told_as_such(hub_copy: Path, tree: Path) -> None:
    with pytest.raises(VestiaryError) as refusal:
        ingest(f"hf:{tree}")
    assert "is the path of a file, which is not followed; download the data set, and name the" in str(refusal.value)


@pytest.mark.filterwarnings("ignore")
def test_a_hub_that_cannot_be_reached_is_told_with_a_remedy(hub_copy: Path) -> None:
    with pytest.raises(VestiaryError, match=r"hf:FOLDER") as refusal:
        ingest("hf:nobody/nothing-of-this-name")
    assert "\n" not in str(refusal.value)


def test_the_option_that_takes_splits_is_named_only_where_it_was_not_given(
    tree: Path, tmp_path: Path, vestiary: Vestiary
) -> None:
    told = "The source has splits of its own: train, validation"
    assert f"{told} (--keep-splits takes them).\n" in vestiary("ingest", tree, "--out", tmp_path / "dealt").out
    kept = vestiary("ingest", tree, "--out", tmp_path / "kept", "--keep-splits").out
    assert f"{told}.\nSplit by what the source says" in kept


def test_kept_splits_are_not_overwritten_under_another_name(tree: Path, tmp_path: Path) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vestiary", "ingest", str(tree), "--out", str(tmp_path / "out"), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("--keep-splits").returncode == 0
    before = (tmp_path / "out" / "catalogue.json").read_bytes()
    refused = run("--overwrite")
    assert refused.returncode == 2
    assert "; add --keep-splits or --split-column, or choose another place." in refused.stderr
    assert (tmp_path / "out" / "catalogue.json").read_bytes() == before
    assert run("--overwrite", "--keep-splits").returncode == 0
