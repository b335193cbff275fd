"""Photos kept for review, and where else the photo of a prediction is found."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batches import open_batches, paint_folder
from reviews import make_record
from vestiary.album import Album
from vestiary.bundle import open_bundle
from vestiary.errors import UsageError
from vestiary.ledger import Ledger, PredictionRecord
from vestiary.review import find_photo


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_photo_is_kept_once_and_found_by_its_hash(tmp_path: Path) -> None:
    album = Album(tmp_path / "album")
    place = album.keep(hash_of(b"photo"), b"photo")
    assert album.keep(hash_of(b"photo"), b"photo") == place == album.find(hash_of(b"photo"))
    assert [path for path in album.folder.rglob("*") if path.is_file()] == [place]
    assert place.read_bytes() == b"photo"
    place.write_bytes(b"ph")
    assert album.keep(hash_of(b"photo"), b"photo").read_bytes() == b"photo", "what a disk lost is written anew"
    if os.name == "posix":
        assert place.stat().st_mode & 0o077 == 0, "others on the machine cannot read it"
    assert album.find(hash_of(b"other")) is None


def test_no_name_from_outside_leads_anywhere(tmp_path: Path) -> None:
    album = Album(tmp_path / "album")
    (tmp_path / "secret").write_text("secret")
    for name in ("../secret", str(tmp_path / "secret"), "", "A" * 64, None):
        assert album.find(name) is None
    with pytest.raises(ValueError, match="does not have the SHA-256"):
        album.keep("../secret", b"photo")
    with pytest.raises(UsageError, match="is a file, but photos are kept in a folder"):
        Album(tmp_path / "secret")


def test_what_is_old_and_not_wanted_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album = Album(tmp_path / "album")
    old, wanted, new = (album.keep(hash_of(data), data) for data in (b"old", b"wanted", b"new"))
    past = (datetime.now(UTC) - timedelta(days=9)).timestamp()
    for path in (old, wanted):
        os.utime(path, (past, past))
    (album.folder / "note.txt").write_text("somebody else's")
    with monkeypatch.context() as killed, pytest.raises(TypeError):
        killed.setattr(os, "replace", None)
        killed.setattr(Path, "unlink", lambda *args, **options: None)  # who is killed tidies nothing up
        album.keep(hash_of(b"half"), b"half")
    [half] = [path for path in album.folder.rglob(".*") if path.is_file()]
    os.utime(half, (past, past))
    edge = datetime.now(UTC) - timedelta(days=1)
    assert album.prune(edge, is_wanted=lambda sha256: sha256 == wanted.name) == 2
    assert [path.is_file() for path in (old, wanted, new, half)] == [False, True, True, False]
    assert (album.folder / "note.txt").exists()
    assert Album(tmp_path / "none").prune(edge) == 0


def one_record(ledger: Ledger) -> PredictionRecord:
    [record] = ledger.predictions()
    return record


@pytest.mark.parametrize("mode", [None, "copy", "move"])
def test_the_photo_of_a_batch_is_found_where_it_was_or_is_filed(
    make_bundle: Callable[..., Path], tmp_path: Path, mode: str | None
) -> None:
    source = paint_folder(tmp_path / "in", ["day/a.png"])
    data = (source / "day" / "a.png").read_bytes()
    batches = open_batches(open_bundle(make_bundle()), tmp_path / "job")
    batches.run(source, **({"file_by": "baseColour", "file_mode": mode} if mode else {}))
    record = one_record(batches.ledger)
    assert (source / "day" / "a.png").exists() == (mode != "move")
    assert find_photo(batches.ledger, record, None) == data
    place = tmp_path / "job" / "out" / "Red" / "a.png" if mode == "move" else source / "day" / "a.png"
    place.write_bytes(b"another photo of that name")
    assert find_photo(batches.ledger, record, None) == (data if mode == "copy" else None)
    album = Album(tmp_path / "album")
    kept = album.keep(hash_of(data), data)
    assert find_photo(batches.ledger, record, album) == data
    kept.write_bytes(data[:10])
    assert find_photo(batches.ledger, record, album) == (data if mode == "copy" else None), "damage on the disk"


def test_a_photo_that_was_filed_beside_others_of_its_name_is_found(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    source = paint_folder(tmp_path / "in", ["1/a.png", "x", "y", "2/a.png"])
    for name in ("x", "y"):
        (source / name).unlink()
    data = {name: (source / name).read_bytes() for name in ("1/a.png", "2/a.png")}
    batches = open_batches(open_bundle(make_bundle()), tmp_path / "job")
    batches.run(source, file_by="baseColour", file_mode="move")
    assert {record.name: find_photo(batches.ledger, record, None) for record in batches.ledger.predictions()} == data


def test_without_job_hash_or_source_there_is_no_photo(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    source = paint_folder(tmp_path / "in", ["a.png"])
    batches = open_batches(open_bundle(make_bundle()), tmp_path / "job")
    batches.run(source)
    record = one_record(batches.ledger)
    (source / "a.png").unlink()
    source.rmdir()
    for other in (
        record,
        make_record(1),
        make_record(1, job_id="gone"),
        make_record(1, job_id=record.job_id, image_sha256=None),
    ):
        assert find_photo(batches.ledger, other, Album(tmp_path / "album")) is None


def test_the_photo_of_a_zip_is_found_and_not_one_of_another_zip_of_that_name(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    first, second = (paint_folder(tmp_path / name, ["a.png"]) for name in ("in", "other"))
    (second / "a.png").write_bytes((second / "a.png").read_bytes() + b"more")
    data = (first / "a.png").read_bytes()
    archive = shutil.make_archive(str(tmp_path / "day"), "zip", first)
    batches = open_batches(open_bundle(make_bundle()), tmp_path / "job")
    batches.run(archive)
    record = one_record(batches.ledger)
    assert find_photo(batches.ledger, record, None) == data
    shutil.make_archive(str(tmp_path / "day"), "zip", second)
    assert find_photo(batches.ledger, record, None) is None
    Path(archive).unlink()
    assert find_photo(batches.ledger, record, None) is None
