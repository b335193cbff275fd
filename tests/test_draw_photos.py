"""Tests of the drawn product photos and catalogues in examples/draw_photos.py."""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

SCRIPT = Path(__file__).parents[1] / "examples" / "draw_photos.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_photos", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_photos"] = module
    spec.loader.exec_module(module)
    return module


draw = _load()
SMALL = (60, 80)


def _pixels(article: str, colour: str, seed: int = 3, **more: object) -> NDArray[np.int64]:
    return np.asarray(draw.draw_photo(article, colour, seed=seed, size=SMALL, **more), dtype=np.int64)


def _read(path: Path) -> dict[str, bytes]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _table(files: dict[str, bytes]) -> tuple[str, list[list[str]]]:
    header, *lines = files["styles.csv"].decode("utf-8").splitlines()
    return header, [line.split(",", 9) for line in lines]


def _readable(content: bytes | None) -> bool:
    try:
        return content is not None and Image.open(io.BytesIO(content)).convert("RGB").size == SMALL
    except UnidentifiedImageError:
        return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, dict[str, bytes]]:
    drawn = draw.draw_catalogue(tmp_path_factory.mktemp("drawn") / "shop", products=240, seed=7)
    return drawn, _read(drawn.path)


@pytest.mark.parametrize("article", draw.ARTICLES)
@pytest.mark.parametrize("colour", ["Black", "White", "Red"])
def test_a_photo_shows_something_in_the_middle_of_a_white_ground(article: str, colour: str) -> None:
    photo = draw.draw_photo(article, colour, seed=5, size=SMALL)
    assert photo.mode == "RGB" and photo.size == SMALL
    pixels = np.asarray(photo, dtype=np.int64)
    sides = np.concatenate([pixels[:, :2].reshape(-1, 3), pixels[:, -2:].reshape(-1, 3)])
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.min() >= 250
    assert np.median(sides.min(axis=1)) >= 250
    middle = pixels[20:70, 15:45]
    assert (middle.min(axis=2) < 250).mean() > 0.2
    assert (pixels.min(axis=2) > 250).mean() > 0.2


@pytest.mark.parametrize("article", draw.ARTICLES)
def test_the_product_has_the_named_colour_and_nothing_else_changes_with_it(article: str) -> None:
    names = ("Blue", "Red", "Yellow", "Purple")
    photos = {name: _pixels(article, name) for name in names}
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        product = np.abs(photos[name] - photos[other]).sum(axis=2) > 60
        assert product.mean() > 0.02
        seen = np.median(photos[name][product], axis=0)
        distance = {each: float(np.abs(seen - draw.COLOURS[each]).sum()) for each in names}
        assert min(distance, key=distance.__getitem__) == name
        assert distance[name] < 110


@pytest.mark.parametrize("article", draw.ARTICLES)
def test_the_same_arguments_give_the_same_pixels_and_other_seeds_others(article: str) -> None:
    first = _pixels(article, "Green", seed=1)
    assert np.array_equal(first, _pixels(article, "Green", seed=1))
    assert not np.array_equal(first, _pixels(article, "Green", seed=2))
    assert not np.array_equal(first, _pixels(article, "Green", seed=1, view=1))


def test_a_seed_keeps_its_design_in_every_size() -> None:
    large = draw.draw_photo("Tshirts", "Red", seed=4, size=(300, 400))
    assert large.size == (300, 400)
    shrunk = np.asarray(large.resize(SMALL, Image.Resampling.BOX), dtype=np.int64)
    assert np.abs(shrunk - _pixels("Tshirts", "Red", seed=4)).mean() < 4


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"article 'Spoons'.*Tshirts.*Lipstick"):
        draw.draw_photo("Spoons", "Red")
    with pytest.raises(ValueError, match=r"colour 'red'.*Black.*Peach"):
        draw.draw_photo("Tshirts", "red")


def test_the_examples_are_jpegs_of_the_named_articles(tmp_path: Path) -> None:
    paths = draw.draw_examples(tmp_path / "photos")
    assert sorted(paths) == sorted((tmp_path / "photos").iterdir())
    assert {path.stem for path in paths} == set(draw.EXAMPLES) >= {"navy-blue-tshirt", "red-dress"}
    for path in paths:
        with Image.open(path) as photo:
            assert photo.format == "JPEG" and photo.size == (300, 400)


def test_the_rows_carry_the_truth_of_what_is_drawn(folder: tuple[object, dict[str, bytes]]) -> None:
    header, rows = _table(folder[1])
    assert header == draw.HEADER
    for row in rows:
        if len(row) < 10:
            continue
        article = draw.ARTICLES[row[4]]
        assert row[1:4] == [article.gender, article.master_category, article.sub_category]
        assert row[5] in (*article.colours, "NA") and row[6] in (*draw.SEASONS, "")
        assert row[0].isdigit() and 2007 <= int(row[7]) <= 2017 and row[9]
    assert {row[4] for row in rows} == set(draw.ARTICLES)


def test_the_counts_are_those_of_the_written_files(folder: tuple[object, dict[str, bytes]]) -> None:
    drawn, files = folder
    _, rows = _table(files)
    whole = {row[0]: row for row in reversed(rows) if len(row) == 10}
    pictures = {Path(name).stem: content for name, content in files.items() if name.startswith("images/")}
    alike = Counter(pictures[key] for key in whole if key in pictures)
    counted = {
        "rows": len(rows),
        "pictures": len(pictures),
        "products": sum(_readable(pictures.get(key)) for key in whole),
        "shared_names": sum(count > 1 for count in Counter(row[9] for row in rows if len(row) == 10).values()),
        "comma_names": sum("," in row[9] for row in whole.values()),
        "missing_pictures": sum(key not in pictures for key in whole),
        "unreadable_pictures": sum(key in pictures and not _readable(pictures[key]) for key in whole),
        "duplicate_ids": sum(count - 1 for count in Counter(row[0] for row in rows).values()),
        "identical_pairs": sum(count == 2 for count in alike.values()),
        "na_usages": sum(row[8] == "NA" for row in whole.values()),
        "na_colours": sum(row[5] == "NA" for row in whole.values()),
        "blank_seasons": sum(row[6] == "" for row in whole.values()),
        "pictures_without_row": len(set(pictures) - {row[0] for row in rows}),
        "short_rows": sum(len(row) < 10 for row in rows),
    }
    assert {name: getattr(drawn, name) for name in counted} == counted
    assert counted["rows"] == 242 and counted["products"] == 237 and len(whole) == 240
    assert all(counted[name] == count > 0 for name, count in draw.QUIRKS.items())
    assert counted["shared_names"] >= 10


def test_products_of_one_name_are_one_design_in_different_photos(folder: tuple[object, dict[str, bytes]]) -> None:
    _, rows = _table(folder[1])
    named: dict[str, list[list[str]]] = {}
    for row in rows:
        if len(row) == 10:
            named.setdefault(row[9], []).append(row)
    for group in (group for group in named.values() if len(group) > 1):
        assert len(group) <= 3
        assert len({tuple(row[1:6]) for row in group}) == 1
        assert len({folder[1][f"images/{row[0]}.jpg"] for row in group}) == len(group)


def test_identical_pictures_have_the_same_labels_and_other_names(folder: tuple[object, dict[str, bytes]]) -> None:
    _, rows = _table(folder[1])
    holders: dict[bytes, list[list[str]]] = {}
    for row in {row[0]: row for row in reversed(rows) if len(row) == 10}.values():
        if f"images/{row[0]}.jpg" in folder[1]:
            holders.setdefault(folder[1][f"images/{row[0]}.jpg"], []).append(row)
    pairs = [group for group in holders.values() if len(group) == 2]
    assert len(pairs) == 2
    for first, second in pairs:
        assert first[1:9] == second[1:9] and first[9] != second[9]


def test_a_zip_holds_what_the_folder_holds(tmp_path: Path) -> None:
    loose = draw.draw_catalogue(tmp_path / "shop", products=45, seed=2)
    packed = draw.draw_catalogue(tmp_path / "shop.zip", products=45, seed=2)
    assert _read(loose.path) == _read(packed.path)
    assert packed == draw.DrawnCatalogue(**{**vars(loose), "path": packed.path})
    other = draw.draw_catalogue(tmp_path / "other.zip", products=45, seed=3)
    assert _read(other.path) != _read(packed.path)


def test_without_quirks_every_row_is_sound(tmp_path: Path) -> None:
    drawn = draw.draw_catalogue(tmp_path / "clean.zip", products=30, seed=1, quirks=False)
    files = _read(drawn.path)
    rows = [line.split(",") for line in files["styles.csv"].decode("utf-8").splitlines()[1:]]
    assert all(len(row) == 10 and all(row) and "NA" not in row for row in rows)
    assert len({row[0] for row in rows}) == len(rows) == drawn.rows == drawn.products == drawn.pictures == 30
    assert all(_readable(files[f"images/{row[0]}.jpg"]) for row in rows)
    assert len(files) == 31
    assert all(getattr(drawn, name) == 0 for name in draw.QUIRKS)


def test_a_place_in_use_and_too_few_products_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="is there already"):
        draw.draw_catalogue(tmp_path, products=50)
    with pytest.raises(ValueError, match="at least 40"):
        draw.draw_catalogue(tmp_path / "few", products=39)
    with pytest.raises(ValueError, match="at least 1"):
        draw.draw_catalogue(tmp_path / "none", products=0, quirks=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_least_catalogue_has_room_for_every_quirk(tmp_path: Path) -> None:
    for seed in range(8):
        drawn = draw.draw_catalogue(tmp_path / f"{seed}.zip", products=draw.LEAST_WITH_QUIRKS, seed=seed, size=(12, 16))
        assert drawn.rows == draw.LEAST_WITH_QUIRKS + 2


def test_the_command_line_draws_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw.main(["photos", str(tmp_path / "photos")]) == 0
    assert len(list((tmp_path / "photos").iterdir())) == len(draw.EXAMPLES)
    out = str(tmp_path / "shop.zip")
    assert draw.main(["catalogue", out, "--products", "30", "--seed", "4", "--no-quirks"]) == 0
    assert "30 rows" in capsys.readouterr().out
    again = draw.draw_catalogue(tmp_path / "again.zip", products=30, seed=4, quirks=False)
    assert _read(again.path) == _read(Path(out))
    assert draw.main(["catalogue", out, "--products", "30", "--no-quirks"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
