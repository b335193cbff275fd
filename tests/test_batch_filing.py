"""Pictures that a batch puts into folders: each is there once, whatever its name and wherever it lay."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batches import Batches, count_files, open_batches, paint_folder
from conftest import paint_picture
from vestiary.batch import filing, job, pipeline
from vestiary.bundle import open_bundle
from vestiary.errors import UsageError

NAMES = ["a.png", "b.png", "deep/c.png", "deep/er/d.png", "e.png"]


@pytest.fixture
def batches(make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batches]:
    monkeypatch.setattr(job, "BLOCK", 2)
    monkeypatch.setattr(pipeline, "PARCEL", 2)
    opened = open_batches(open_bundle(make_bundle()), tmp_path)
    yield opened
    opened.ledger.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint_folder(tmp_path / "photos", NAMES)


@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_pictures_are_filed_by_an_attribute_and_none_is_lost_or_overwritten(
    batches: Batches, tmp_path: Path, mode: str
) -> None:
    names = ["1/shot.png", "2/shot.png", "3/shot.png", "4/shot.png", "5/shot.png", "6/shot.png", "7/shot.png", "x.png"]
    photos = paint_folder(tmp_path / "photos", names)
    (photos / "x.png").write_bytes(b"no picture")
    contents = count_files(photos)
    (batches.out / "Red").mkdir(parents=True)
    (batches.out / "Red" / "shot.png").write_bytes(b"was here before")
    batches.run(photos, file_by="baseColour", file_mode=mode)
    filed = {file.relative_to(batches.out).as_posix() for file in batches.out.glob("*/*.png")}
    reds = {"Red/shot.png", "Red/shot_1.png", "Red/shot_2.png", "Red/shot_3.png"}
    others = {"Green/shot.png", "Green/shot_1.png", "Blue/shot.png", "Blue/shot_1.png", "quarantine/x.png"}
    assert filed == reds | others
    assert (batches.out / "Red" / "shot.png").read_bytes() == b"was here before"
    assert count_files(batches.out) == contents + Counter([b"was here before"])
    assert count_files(photos) == (Counter() if mode == "move" else contents)
    for row in batches.rows():
        place = batches.out / row["filed"]
        assert place.is_file()
        if mode == "link":
            assert place.samefile(photos / row["id"])
        if row["status"] == "success":
            assert place.parent.name == row["tags"]["baseColour"]["value"]
    batches.check_exact(names)


@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_names_as_long_as_can_be_are_filed_too(batches: Batches, tmp_path: Path, mode: str) -> None:
    names = [f"{folder}/{'n' * 251}.png" for folder in (1, 4)]
    photos = paint_folder(tmp_path / "photos", [names[0], "2.png", "3.png", names[1]])
    contents = count_files(photos)
    batches.run(photos, file_by="baseColour", file_mode=mode)
    assert count_files(batches.out) == contents
    assert all((batches.out / row["filed"]).is_file() for row in batches.rows())


def test_a_moved_picture_keeps_its_old_name_until_the_new_one_is_on_the_disk(
    batches: Batches, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: set[str] = set()

    def link(source: Path, target: Path) -> None:
        waiting.add(str(Path(target).parent))
        real_link(source, target)

    def wait(path: Path) -> None:
        waiting.discard(str(path))
        real_sync(path)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        assert not path.is_relative_to(photos) or not waiting
        real_unlink(path, missing_ok=missing_ok)

    real_link, real_sync, real_unlink = os.link, filing.sync, Path.unlink
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(filing, "sync", wait)
    monkeypatch.setattr(Path, "unlink", unlink)
    batches.run(photos, file_by="baseColour", file_mode="move")
    assert not count_files(photos) and not waiting


def test_pictures_on_another_disk_cannot_be_linked_and_can_be_moved(batches: Batches) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == batches.out.parent.stat().st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        photos = paint_folder(Path(folder) / "photos", NAMES)
        contents = count_files(photos)
        with pytest.raises(UsageError, match=r"out is on another disk than .*, so nothing can be linked; choose copy"):
            batches.run(photos, file_by="baseColour", file_mode="link")
        assert not batches.out.exists()
        batches.run(photos, file_by="baseColour", file_mode="move")
        assert count_files(batches.out) == contents and not count_files(photos)


def test_a_name_that_comes_back_after_it_was_moved_away_is_another_picture(batches: Batches, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png"])
    for _ in range(3):
        (photos / "a.png").write_bytes(paint_picture((250, 5, 5)))
        os.utime(photos / "a.png", (1, 1))
        batches.run(photos, file_by="baseColour", file_mode="move")
    batches.check_exact(["a.png"] * 3)
    assert sorted(file.name for file in (batches.out / "Red").iterdir()) == ["a.png", "a_1.png", "a_2.png"]


def test_what_a_table_or_a_link_names_and_was_moved_away_is_not_asked_for_again(batches: Batches, photos: Path) -> None:
    table = photos / "list.csv"
    table.write_text("\n".join(["image", *NAMES, "gone.png", "../outside.png"]) + "\n")
    done: list[int] = []
    batches.run(
        *(table,),
        file_by="baseColour",
        file_mode="move",
        is_stopped=lambda: bool(done),
        show=lambda n, _: done.append(n),
    )
    assert 0 < len(batches.rows()) < len(NAMES)
    for _ in range(3):
        batches.run(table, file_by="baseColour", file_mode="move")
        batches.check_exact([*NAMES, "gone.png", "list.csv line 8"])
    (photos / "a.png").write_bytes(paint_picture((5, 5, 250)))
    batches.run(table, file_by="baseColour", file_mode="move")
    batches.check_exact([*NAMES, "gone.png", "list.csv line 8", "a.png"])


def test_a_link_that_leads_nowhere_is_told_once(batches: Batches, photos: Path) -> None:
    (photos / "link.png").symlink_to("nowhere.png")
    for _ in range(3):
        batches.run(photos, file_by="baseColour", file_mode="move")
        batches.check_exact([*NAMES, "link.png"])
    paint_folder(photos, ["nowhere.png"])
    batches.run(photos, file_by="baseColour", file_mode="move")
    batches.check_exact([*NAMES, "link.png", "link.png", "nowhere.png"])


def test_what_a_batch_files_inside_its_source_is_not_its_source(batches: Batches, photos: Path) -> None:
    out = photos / "results"
    for _ in range(2):
        batches.run(photos, out=out, file_by="baseColour")
    batches.out = out
    batches.check_exact(NAMES)
