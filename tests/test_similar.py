"""An index of similar products: what is near, what is left out, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from conftest import TINY_TAXONOMY, Vestiary, draw_shapes, encode_picture, paint_picture
from vestiary.bundle import open_bundle
from vestiary.catalogue import Catalogue
from vestiary.errors import CatalogueError, SimilarError, UsageError, VestiaryError
from vestiary.images import read_picture
from vestiary.predictor import Predictor, collect_outputs
from vestiary.product import Product, Split

pytest.importorskip("usearch", reason="the extra 'similar' is not installed")
pytest.importorskip("onnx", reason="the extra 'train' is not installed")

from vestiary.similar import Index, build_index, find_similar, locate, open_index
from vestiary.similar.entries import Entries

COLOURS = {
    "red": [(220, 0, 0)],
    "dark red": [(150, 0, 0)],
    "orange": [(220, 60, 0)],
    "green": [(0, 200, 0)],
    "blue": [(0, 0, 200)],
}


def make_catalogue(folder: Path, views: dict[str, Sequence[tuple[int, int, int] | bytes]]) -> Catalogue:
    """Products with these views, as colours or as files, labelled by the name of the product."""
    folder.mkdir()
    products = []
    for name, own in views.items():
        bodies = [body if isinstance(body, bytes) else paint_picture(body) for body in own]
        files = [f"{name} {number}.png" for number in range(len(bodies))]
        for file, body in zip(files, bodies, strict=True):
            (folder / file).write_bytes(body)
        hashes = tuple(read_picture(body).hash_pixels() for body in bodies)
        colour = {"red": "Red", "green": "Green", "blue": "Blue"}.get(name.split()[-1])
        labels = {} if colour is None else {"baseColour": colour}
        products.append(Product(name, tuple(files), hashes, labels, name, name, Split.TRAIN, "table:1"))
    return Catalogue(TINY_TAXONOMY, tuple(products), (), folder, len(products), 1)


@pytest.fixture
def predictor(make_bundle: Callable[..., Path]) -> Predictor:
    return Predictor(open_bundle(make_bundle()), threads=1)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return make_catalogue(tmp_path / "photos", COLOURS)  # type: ignore[arg-type]


@pytest.fixture
def index(catalogue: Catalogue, predictor: Predictor, tmp_path: Path) -> Index:
    return build_index(catalogue, predictor, tmp_path / "index")


def ids(index: Index, predictor: Predictor, photo: bytes, **asked: object) -> list[str]:
    [found] = find_similar(index, predictor, [("photo", photo)], **asked)  # type: ignore[arg-type]
    return [neighbour.product_id for neighbour in found.neighbours]


def test_the_products_most_alike_come_first_with_labels_and_picture(
    index: Index, predictor: Predictor, catalogue: Catalogue
) -> None:
    [found] = find_similar(index, predictor, [("mine", paint_picture((150, 0, 0)))], top_k=3)
    assert found.id == "mine"
    assert [neighbour.product_id for neighbour in found.neighbours] == ["dark red", "red", "orange"]
    first, second, third = found.neighbours
    assert first.distance == pytest.approx(0, abs=1e-3)
    assert first.distance <= second.distance <= third.distance <= 2
    assert (first.labels, third.labels) == ({"baseColour": "Red"}, {})
    assert first.picture() == paint_picture((150, 0, 0))
    assert (index.n_products, index.n_pictures, index.catalogue) == (5, 5, catalogue.fingerprint)


def test_as_many_products_as_there_are_is_the_most(index: Index, predictor: Predictor) -> None:
    assert sorted(ids(index, predictor, paint_picture((0, 0, 90)), top_k=50)) == sorted(COLOURS)
    with pytest.raises(UsageError, match="top_k is 0"):
        ids(index, predictor, paint_picture((0, 0, 90)), top_k=0)


def test_a_disk_that_is_full_is_told_and_leaves_nothing(
    catalogue: Catalogue, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("Failed to write into the file")

    monkeypatch.setattr("usearch.index.Index.save", fail)
    with pytest.raises(UsageError) as caught:
        build_index(catalogue, predictor, tmp_path / "index")
    assert str(caught.value) == (
        f"{tmp_path} cannot be written to (Failed to write into the file); make room there or choose another place."
    )
    assert [file.name for file in tmp_path.iterdir() if "index" in file.name] == []


def test_a_distance_is_that_of_looks_and_answers(index: Index, predictor: Predictor) -> None:
    """The cosine of two points is (cos + 1.5² · b) / (1 + 1.5²), as the guide says."""
    photos = [encode_picture(draw_shapes(1)), paint_picture((0, 200, 0))]
    pixels = np.stack([predictor.prepare("", photo).pixels for photo in photos])
    outputs = predictor.outputs(pixels)
    left, right = outputs["embedding"].astype(float)
    looks = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
    answers = predictor.bundle.answer(outputs).values()
    overlap = np.mean([np.sqrt(own.probabilities[0] * own.probabilities[1]).sum() for own in answers])
    [found] = find_similar(index, predictor, [("", photos[0])])
    told = next(neighbour.distance for neighbour in found.neighbours if neighbour.product_id == "green")
    assert told == pytest.approx(1 - (looks + 2.25 * overlap) / 3.25, abs=2e-3)


def test_a_product_of_many_views_is_told_once_by_its_nearest(predictor: Predictor, tmp_path: Path) -> None:
    crowd = [(200, shade, 0) for shade in range(60)]
    catalogue = make_catalogue(tmp_path / "photos", {"many": crowd, "green": [(0, 200, 0)], "blue": [(0, 0, 200)]})
    index = build_index(catalogue, predictor, tmp_path / "index")
    [found] = find_similar(index, predictor, [("", paint_picture((200, 31, 0)))], top_k=3)
    assert [neighbour.product_id for neighbour in found.neighbours] == ["many", "green", "blue"]
    near = read_picture(found.neighbours[0].picture()).image.getpixel((0, 0))
    assert abs(near[1] - 31) <= 3  # type: ignore[index, operator]
    assert (index.n_products, index.n_pictures) == (3, 62)


def test_the_photo_itself_and_any_product_can_be_left_out(predictor: Predictor, tmp_path: Path) -> None:
    same = (220, 0, 0)
    views = {"red": [same], "twin red": [(0, 0, 250), same], "dark red": [(150, 0, 0)], "green": [(0, 200, 0)]}
    index = build_index(make_catalogue(tmp_path / "photos", views), predictor, tmp_path / "index")
    photo = paint_picture(same)
    assert set(ids(index, predictor, photo, top_k=2)) == {"red", "twin red"}
    assert ids(index, predictor, photo, top_k=2, exclude_same=True) == ["dark red", "green"]
    assert ids(index, predictor, photo, top_k=1, exclude={"red", "twin red", "unheard of"}) == ["dark red"]
    other = paint_picture((219, 2, 1))
    assert len(ids(index, predictor, other, exclude_same=True)) == 4


def test_one_picture_of_very_many_products_is_read_in_proportion() -> None:
    names, n = [str(number) for number in range(60_000)], 60_000
    plain = {"ids": names, "images": names * 2, "n_views": [2] * n, "labels": {}, "pixel_hashes": ["same"] * 2 * n}
    before = time.process_time()
    assert Entries(plain).rows_of_hash == {"same": list(range(n))}
    assert time.process_time() - before < 5  # a look at all earlier products for each takes half a minute


def test_a_photo_that_cannot_be_read_spoils_no_other(index: Index, predictor: Predictor, tmp_path: Path) -> None:
    photos = [("a", b"no picture"), ("b", paint_picture((0, 200, 0))), ("c", tmp_path / "none.jpg")]
    for exclude_same in (False, True):
        found = find_similar(index, predictor, photos, top_k=1, exclude_same=exclude_same)
        assert [similar.failure and similar.failure.code for similar in found] == ["not-a-picture", None, "unusable"]
        assert [len(similar.neighbours) for similar in found] == [0, 1, 0]


def test_the_index_finds_what_exact_search_finds(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    predictor = Predictor(threads=1)
    own = tiny_catalogue.select(Split.TRAIN)
    queries = tiny_catalogue.select(Split.VALIDATION)[:60]
    index = build_index(tiny_catalogue, predictor, tmp_path / "index", products=own)
    outputs = collect_outputs(predictor, tiny_catalogue, queries)
    points = locate(predictor.bundle, collect_outputs(predictor, tiny_catalogue, own))
    distances = 1 - locate(predictor.bundle, outputs) @ points.T
    limits = np.sort(distances, axis=1)[:, 9]
    found = index.search(outputs, 10)
    hits = [
        sum(neighbour.distance <= limit + 1e-3 for neighbour in neighbours)
        for neighbours, limit in zip(found, limits, strict=True)
    ]
    assert all(len({neighbour.product_id for neighbour in neighbours}) == 10 for neighbours in found)
    assert sum(hits) / 600 >= 0.99


def test_the_same_catalogue_gives_the_same_files(
    catalogue: Catalogue, predictor: Predictor, index: Index, tmp_path: Path
) -> None:
    build_index(catalogue, predictor, tmp_path / "again")
    names = sorted(file.name for file in (tmp_path / "index").iterdir())
    assert sorted(file.name for file in (tmp_path / "again").iterdir()) == names
    assert len(names) == 3


def test_an_index_of_another_bundle_is_refused(index: Index, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    other = open_bundle(make_bundle(tmp_path / "other", name="other"))
    with pytest.raises(SimilarError, match=r"was built with bundle tiny \([0-9a-f]{8}…\) and does not fit other"):
        open_index(tmp_path / "index", other)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rewrite_head(folder: Path, **changes: object) -> None:
    head = json.loads((folder / "index.json").read_text()) | changes
    (folder / "index.json").write_text(json.dumps(head))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "vectors changed": lambda folder: flip_a_byte(next(folder.glob("vectors-*"))),
    "products changed": lambda folder: flip_a_byte(next(folder.glob("products-*"))),
    "vectors gone": lambda folder: next(folder.glob("vectors-*")).unlink(),
    "head cut short": lambda folder: (folder / "index.json").write_text('{"format": 1, "bun'),
    "head of another kind": lambda folder: (folder / "index.json").write_text("[]"),
    "head leads elsewhere": lambda folder: rewrite_head(folder, files={"products": "../../x", "vectors": 3}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_index_is_told_in_one_sentence(
    damage: Callable[[Path], object], index: Index, predictor: Predictor, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    damage(folder)
    with pytest.raises(SimilarError, match=r"holds a damaged index; build it again with: vestiary index .*\.$"):
        open_index(folder, predictor.bundle)


def test_another_format_and_no_index_are_told(index: Index, predictor: Predictor, tmp_path: Path) -> None:
    rewrite_head(tmp_path / "index", format=2)
    with pytest.raises(SimilarError, match="has index format 2, but this version of Vestiary reads format 1"):
        open_index(tmp_path / "index", predictor.bundle)
    with pytest.raises(UsageError, match="holds no index"):
        open_index(tmp_path / "photos", predictor.bundle)


def test_only_an_index_is_ever_replaced_and_nothing_of_the_old_one_stays(
    index: Index, predictor: Predictor, catalogue: Catalogue, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    with pytest.raises(UsageError, match=r"already holds an index; .*--overwrite"):
        build_index(catalogue, predictor, folder)
    with pytest.raises(UsageError, match="is no index"):
        build_index(catalogue, predictor, tmp_path / "photos", overwrite=True)
    fewer = build_index(catalogue, predictor, folder, products=catalogue.products[:2], overwrite=True)
    assert fewer.n_products == 2
    assert len(list(folder.iterdir())) == 3
    assert ids(index, predictor, paint_picture((0, 0, 200)), top_k=1) == ["blue"]  # still open: the old one


def test_an_interrupted_build_leaves_what_was_there(
    index: Index, predictor: Predictor, catalogue: Catalogue, tmp_path: Path
) -> None:
    def press(done: int, total: int) -> None:
        assert (done, total) == (5, 5)
        raise KeyboardInterrupt

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        build_index(catalogue, predictor, tmp_path / "new", progress=press)
    with pytest.raises(KeyboardInterrupt):
        build_index(catalogue, predictor, tmp_path / "index", overwrite=True, progress=press)
    assert sorted(tmp_path.rglob("*")) == before
    assert open_index(tmp_path / "index", predictor.bundle).n_products == 5


def test_what_cannot_be_built_is_told(predictor: Predictor, catalogue: Catalogue, index: Index, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="holds no products"):
        build_index(catalogue, predictor, tmp_path / "new", products=())
    (tmp_path / "photos" / "red 0.png").unlink()
    with pytest.raises(CatalogueError, match="picture of product red could be read at ingest but not now"):
        build_index(catalogue, predictor, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_pictures_are_found_after_all_has_moved_together_and_missed_in_words(
    index: Index, predictor: Predictor, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("photos", "index"):
        shutil.move(tmp_path / name, elsewhere / name)
    photo = paint_picture((0, 200, 0))
    moved = open_index(elsewhere / "index", predictor.bundle)
    [found] = find_similar(moved, predictor, [("", photo)], top_k=1)
    assert found.neighbours[0].picture() == photo
    shutil.rmtree(elsewhere / "photos")
    gone = open_index(elsewhere / "index", predictor.bundle)
    [found] = find_similar(gone, predictor, [("", photo)], top_k=1)
    with pytest.raises(CatalogueError, match="which is not there; put it back"):
        found.neighbours[0].picture()


OPEN_FIRST = """
import sys
from vestiary.bundle import open_bundle
from vestiary.similar import find_similar, open_index

bundle = open_bundle(sys.argv[2])
index = open_index(sys.argv[1], bundle)
loaded = list(sys.modules)
assert loaded.index("onnxruntime") < loaded.index("usearch")
from vestiary.predictor import Predictor

[found] = find_similar(index, Predictor(bundle, threads=1), [("", sys.argv[3])], top_k=1)
print(found.neighbours[0].product_id)
"""


def test_an_index_opened_before_the_model_leaves_the_process_alive(index: Index, tmp_path: Path) -> None:
    """The search library must not be loaded before the one that runs the model."""
    (tmp_path / "photo.png").write_bytes(paint_picture((0, 200, 0)))
    words = [sys.executable, "-c", OPEN_FIRST, tmp_path / "index", tmp_path / "bundle", tmp_path / "photo.png"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "green\n"), done.stderr


def test_without_the_package_the_extra_is_named(
    index: Index, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "usearch.index")
    monkeypatch.setitem(sys.modules, "usearch", None)
    with pytest.raises(VestiaryError, match=r"needs the package 'usearch.*vestiary\[similar\]"):
        open_index(tmp_path / "index", predictor.bundle)


@pytest.fixture
def place(catalogue: Catalogue, make_bundle: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with ``catalogue``, ``bundle``, ``index`` and two photos."""
    catalogue.save(tmp_path / "catalogue")
    (tmp_path / "mine.png").write_bytes(paint_picture((220, 0, 0)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    make_bundle()
    return tmp_path


def test_the_verbs_build_an_index_and_ask_it(place: Path, vestiary: Vestiary) -> None:
    bundle = ("--bundle", place / "bundle")
    built = vestiary("index", place / "catalogue", *bundle, "--out", place / "index")
    assert built.code == 0, built.err
    assert built.out.startswith(f"5 products with 5 pictures: written to {place / 'index'} (")
    refused = vestiary("index", place / "catalogue", *bundle, "--out", place / "index", "--json")
    assert (refused.code, refused.out) == (2, "")
    again = vestiary("index", place / "catalogue", *bundle, "--out", place / "index", "--overwrite", "--json")
    facts = json.loads(again.out)
    assert facts["bundle"] == open_bundle(place / "bundle").fingerprint
    assert (facts["products"], facts["pictures"]) == (5, 5)

    ask = ("similar", place / "mine.png", place / "broken.png", "--index", place / "index", *bundle, "--top-k", 2)
    told = vestiary(*ask, "--format", "json")
    assert told.code == 2
    assert told.err == f"vestiary: {place / 'broken.png'}: {json.loads(told.out)[1]['error']['message']}\n"
    [first, second] = json.loads(told.out)
    assert first["id"] == str(place / "mine.png")
    assert [entry["product_id"] for entry in first["neighbours"]] == ["red", "dark red"]
    assert first["neighbours"][0]["labels"] == {"baseColour": "Red"}
    assert second["status"] == "error"

    lines = vestiary(*ask, "--format", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == [first, second]
    rows = list(csv.DictReader(io.StringIO(vestiary(*ask, "--format", "csv").out)))
    assert [row["product_id"] for row in rows] == ["red", "dark red", ""]
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert rows[1]["baseColour"] == "Red"
    assert rows[2]["error"] == second["error"]["message"]
    table = vestiary(*ask).out
    assert [word for word in ("mine.png", "dark red", "baseColour") if word not in table] == []
    assert "broken" not in table


def test_the_verb_leaves_out_what_it_is_told_to(place: Path, vestiary: Vestiary) -> None:
    bundle = ("--bundle", place / "bundle")
    vestiary("index", place / "catalogue", *bundle, "--out", place / "index")
    ask = ("similar", place / "mine.png", "--index", place / "index", *bundle, "--format", "json", "--top-k", 1)

    def first(*more: str) -> str:
        done = vestiary(*ask, *more)
        assert done.code == 0, done.err
        return str(json.loads(done.out)[0]["neighbours"][0]["product_id"])

    assert first() == "red"
    assert first("--exclude-same") == "dark red"
    assert first("--exclude", "red", "--exclude", "dark red") == "orange"


def test_wrong_use_of_the_verbs_is_one_sentence(place: Path, vestiary: Vestiary) -> None:
    ask = ("similar", place / "mine.png", "--index", place / "index")
    for done, part in (
        (vestiary(*ask, "--format", "xml"), "--format xml is not known"),
        (vestiary(*ask), "holds no index"),
        (vestiary("index", place / "nowhere", "--out", place / "index"), "holds no catalogue"),
        (vestiary("index", place / "catalogue", "--out", place / "catalogue"), "is no index"),
    ):
        assert (done.code, done.out) == (2, "")
        assert part in done.err
        assert done.err.count("\n") == 1


def test_ctrl_c_at_the_verb_leaves_no_index(place: Path, vestiary: Vestiary, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vestiary.similar.building.collect_outputs", press)
    before = sorted(os.listdir(place))
    done = vestiary("index", place / "catalogue", "--bundle", place / "bundle", "--out", place / "index")
    assert done.code == 130
    assert done.err.endswith("Stopped.\n")
    assert sorted(os.listdir(place)) == before
