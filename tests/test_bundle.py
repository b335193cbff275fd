"""Bundles: written whole or not at all, and opened only when every byte is as it was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vestiary.bundle import CARD, FORMATS, MANIFEST, MODEL, Bundle, open_bundle
from vestiary.calibration import Calibration, Curve
from vestiary.errors import BundleDamagedError, BundleError, BundleFormatError, UsageError, VestiaryError
from vestiary.images import Preprocess
from vestiary.predictor import Predictor
from vestiary.taxonomy import Attribute, Taxonomy

FILES = (MANIFEST, MODEL, CARD)


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _pack(archive: Path, folder: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in sorted(_contents(folder).items()):
            packed.writestr(prefix + name, data)
    return archive


def _read_manifest(folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return plain


def _sign(folder: Path, plain: dict[str, Any]) -> None:
    """Write a manifest whose own fingerprint is right."""

    def canonical(part: dict[str, Any]) -> bytes:
        return (json.dumps(part, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()

    body = {key: value for key, value in plain.items() if key != "fingerprint"}
    body["fingerprint"] = hashlib.sha256(canonical(body)).hexdigest()
    (folder / MANIFEST).write_bytes(canonical(body))


def _refuse(path: Path, kind: type[VestiaryError] = BundleError) -> str:
    """The message of an error of exactly that kind, which must be one plain sentence that names the place."""
    with pytest.raises(kind) as caught:
        open_bundle(path)
    text = str(caught.value)
    assert type(caught.value) is kind
    assert str(path) in text
    assert text.endswith(".") and "\n" not in text and ". " not in text and ".;" not in text
    return text


def test_a_bundle_is_read_as_it_was_written(make_bundle: Callable[..., Path], make_model: Callable[..., bytes]) -> None:
    taxonomy = Taxonomy((Attribute("cut", ("slim", "wide"), "Cut", {"loose": "wide"}),))
    preprocess = Preprocess(width=9, height=8, background=(1, 2, 3))
    calibration = Calibration({"cut": 1.1 / 3}, {"cut": None}, 0.9)
    rule = {"cut": ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.5))}
    parts: dict[str, Any] = {"name": "Schnitt", "version": "2.0", "card": "# Größe\r\n", "licence": "CC0"}
    folder = make_bundle(taxonomy=taxonomy, rule=rule, preprocess=preprocess, calibration=calibration, **parts)
    opened = open_bundle(folder)
    assert (opened.taxonomy, opened.preprocess, opened.calibration) == (taxonomy, preprocess, calibration)
    assert opened.taxonomy["cut"].aliases == {"loose": "wide"}
    assert {name: getattr(opened, name) for name in parts} == parts
    assert opened.model == make_model(rule, preprocess=preprocess)
    assert opened.scores == {"validation": {"cut": {"n": 3, "accuracy": 1.0}}}
    assert opened.training["parity"] == {"max_difference": 1e-8, "pictures": 2}
    assert opened.created_at == "2026-01-01T00:00:00+00:00"


def test_a_bundle_holds_json_onnx_and_markdown_and_nothing_that_could_run(bundle: Path) -> None:
    contents = _contents(bundle)
    assert sorted(contents) == sorted(FILES)
    assert not any(data.startswith(b"\x80") or b"pickle" in data for data in contents.values())
    assert _read_manifest(bundle)["format"] in FORMATS


def test_writing_returns_the_fingerprint_that_opening_finds(bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(bundle)
    again = opened.write(tmp_path / "again")
    assert len(opened.fingerprint) == 64
    assert again.fingerprint == opened.fingerprint == open_bundle(tmp_path / "again").fingerprint
    assert _contents(tmp_path / "again") == _contents(bundle)


def test_equal_bundles_have_equal_fingerprints_and_others_do_not(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    def fingerprint(name: str, **changes: Any) -> str:
        return open_bundle(make_bundle(tmp_path / name, **changes)).fingerprint

    same = {fingerprint("one"), fingerprint("two")}
    others = {
        fingerprint("card", card="# other\n"),
        fingerprint("version", version="1.1"),
        fingerprint("licence", licence="none"),
        fingerprint("calibration", calibration=Calibration.neutral(("baseColour", "season"))),
    }
    assert len(same) == 1
    assert len(others | same) == 5


@pytest.mark.parametrize("prefix", ["", "tiny/"])
def test_a_zip_opens_like_its_folder_with_or_without_one_folder_around_it(
    bundle: Path, tmp_path: Path, prefix: str
) -> None:
    assert open_bundle(_pack(tmp_path / "bundle.zip", bundle, prefix)) == open_bundle(bundle)


def test_a_path_may_be_a_text(bundle: Path) -> None:
    assert open_bundle(str(bundle)).fingerprint == open_bundle(bundle).fingerprint


@pytest.mark.parametrize("name", FILES)
def test_any_changed_byte_of_any_file_is_refused(bundle: Path, name: str) -> None:
    file = bundle / name
    sound = file.read_bytes()
    step = max(1, len(sound) // 80)
    for position in [*range(0, len(sound), step), len(sound) - 1]:
        for change in (0x01, 0x20, 0x80):
            broken = bytearray(sound)
            broken[position] ^= change
            file.write_bytes(bytes(broken))
            with pytest.raises((BundleDamagedError, BundleFormatError)):
                open_bundle(bundle)
    file.write_bytes(sound)
    open_bundle(bundle)


def test_any_changed_byte_of_a_zip_is_refused_or_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    sound = _pack(tmp_path / "sound.zip", bundle).read_bytes()
    wanted = open_bundle(tmp_path / "sound.zip")
    changed = tmp_path / "changed.zip"
    n_refused = 0
    for position in range(0, len(sound), max(1, len(sound) // 400)):
        broken = bytearray(sound)
        broken[position] ^= 0xFF
        changed.write_bytes(bytes(broken))
        try:
            assert open_bundle(changed) == wanted
        except BundleError:
            n_refused += 1
    assert n_refused > 200


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.0, 0.5, -1])
def test_a_file_cut_short_is_refused(bundle: Path, name: str, kept: float) -> None:
    sound = (bundle / name).read_bytes()
    (bundle / name).write_bytes(sound[:-1] if kept < 0 else sound[: int(len(sound) * kept)])
    assert name in _refuse(bundle, BundleDamagedError)


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_something_added_is_refused(bundle: Path, name: str) -> None:
    with (bundle / name).open("ab") as file:
        file.write(b"\n")
    assert name in _refuse(bundle, BundleDamagedError)


@pytest.mark.parametrize("name", [MODEL, CARD])
def test_a_missing_file_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    (bundle / name).unlink()
    for place in (bundle, _pack(tmp_path / "bundle.zip", bundle)):
        assert name in _refuse(place, BundleDamagedError)


def test_a_model_of_another_bundle_is_refused(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    mine, other = make_bundle(tmp_path / "mine"), make_bundle(tmp_path / "other", model=b"another model")
    shutil.copy(other / MODEL, mine / MODEL)
    assert MODEL in _refuse(mine, BundleDamagedError)


@pytest.mark.parametrize("number", [FORMATS[-1] + 1, 99, 0, -1, None, "one", [1]])
def test_another_format_number_is_refused_with_both_numbers_and_the_remedy(bundle: Path, number: Any) -> None:
    _sign(bundle, _read_manifest(bundle) | {"format": number})
    text = _refuse(bundle, BundleFormatError)
    assert f"format {number}" in text and "reads formats 1, 2 and 3" in text
    assert "upgrade Vestiary" in text and "make the bundle again" in text


def test_a_newer_format_is_told_even_when_nothing_else_of_it_can_be_understood(bundle: Path) -> None:
    (bundle / MANIFEST).write_text('{"format": 4, "written": "in another way"}')
    assert "format 4" in _refuse(bundle, BundleFormatError)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "[1]",
        '"text"',
        "null",
        "3",
        "{}",
        '{"format": 1}',
        '{"format": 1, "fingerprint": null}',
        '{"format": 1, "name": 1e999}',
        '{"format": 1, "name": NaN}',
        '{"format": 1, "name": "\\ud800"}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    assert MANIFEST in _refuse(bundle, BundleDamagedError)


def test_a_manifest_in_another_layout_is_refused_although_it_says_the_same(bundle: Path) -> None:
    (bundle / MANIFEST).write_text(json.dumps(_read_manifest(bundle)))
    assert MANIFEST in _refuse(bundle, BundleDamagedError)


def test_a_folder_or_zip_without_a_manifest_is_no_bundle(bundle: Path, tmp_path: Path) -> None:
    (bundle / MANIFEST).unlink()
    for place in (bundle, _pack(tmp_path / "bundle.zip", bundle)):
        assert MANIFEST in _refuse(place)


def test_a_path_that_does_not_exist_is_told(tmp_path: Path) -> None:
    assert "check the path" in _refuse(tmp_path / "nowhere", UsageError)


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04 only the beginning of one"])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(data)
    assert "neither a bundle folder nor a zip" in _refuse(file)


@pytest.mark.parametrize("prefix", ["../", "/", "a/../../", "..\\"])
def test_a_zip_whose_names_lead_out_of_it_is_refused(bundle: Path, tmp_path: Path, prefix: str) -> None:
    archive = _pack(tmp_path / "bundle.zip", bundle, prefix)
    before = sorted(tmp_path.rglob("*"))
    _refuse(archive, BundleError if prefix == "a/../../" else BundleDamagedError)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", sorted({"name", "version", "created_at", "licence", "taxonomy", "preprocess"}))
def test_a_signed_manifest_without_a_key_is_refused(bundle: Path, key: str) -> None:
    plain = _read_manifest(bundle)
    del plain[key]
    _sign(bundle, plain)
    assert f"it has no '{key}'" in _refuse(bundle)


def test_a_signed_manifest_that_does_not_list_its_files_is_refused(bundle: Path) -> None:
    sound = _read_manifest(bundle)
    for files in (None, {}, [MODEL, CARD], {MODEL: sound["files"][MODEL]}, {CARD: sound["files"][CARD]}):
        _sign(bundle, sound | {"files": files})
        assert f"does not list {MODEL} and {CARD}" in _refuse(bundle)


def test_a_signed_manifest_that_lists_a_file_which_is_not_there_is_refused(bundle: Path) -> None:
    plain = _read_manifest(bundle)
    plain["files"]["run.py"] = "0" * 64
    _sign(bundle, plain)
    assert "run.py" in _refuse(bundle, BundleDamagedError)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("taxonomy", {}, "taxonomy"),
        ("taxonomy", {"attributes": []}, "taxonomy"),
        ("taxonomy", {"attributes": [{"name": "season"}]}, "taxonomy"),
        ("taxonomy", {"attributes": [{"name": "season", "values": "Summer"}]}, "taxonomy"),
        ("taxonomy", {"attributes": [{"name": "season", "values": ["Summer", "Summer"]}]}, "season"),
        ("taxonomy", ["season"], "taxonomy"),
        ("preprocess", {"width": 12, "height": 16}, "background"),
        ("preprocess", {"width": 1, "height": 16, "background": [0, 0, 0]}, "1×16"),
        ("preprocess", {"width": "wide", "height": 16, "background": [0, 0, 0]}, "wide"),
        ("preprocess", {"width": 12, "height": 16, "background": [0]}, "manifest"),
        ("preprocess", None, "manifest"),
        ("calibration", {}, "temperatures"),
        ("calibration", {"temperatures": 1, "thresholds": 1, "target_precision": 1}, "manifest"),
        (
            "calibration",
            {"temperatures": {"baseColour": 1}, "thresholds": {"baseColour": None}, "target_precision": 0.9},
            "season",
        ),
        (
            "calibration",
            {
                "temperatures": {"baseColour": 1, "season": 0},
                "thresholds": {"baseColour": None, "season": None},
                "target_precision": 0.9,
            },
            "temperature of season",
        ),
    ],
)
def test_a_signed_manifest_with_a_garbled_part_is_refused(bundle: Path, key: str, value: Any, word: str) -> None:
    _sign(bundle, _read_manifest(bundle) | {key: value})
    text = _refuse(bundle)
    assert word in text and "make the bundle again" in text


def test_a_signed_manifest_with_a_key_from_the_future_opens(bundle: Path) -> None:
    _sign(bundle, _read_manifest(bundle) | {"weather": {"hue": [0.5]}})
    assert open_bundle(bundle).name == "tiny"


def test_a_card_that_is_no_text_is_refused(bundle: Path) -> None:
    (bundle / CARD).write_bytes(b"\xff\xfe")
    plain = _read_manifest(bundle)
    plain["files"][CARD] = hashlib.sha256(b"\xff\xfe").hexdigest()
    _sign(bundle, plain)
    assert "manifest" in _refuse(bundle)


def test_a_bundle_is_not_written_over_what_is_no_bundle(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder, file = tmp_path / "photos", tmp_path / "notes.txt"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(b"precious")
    file.write_text("precious")
    for place in (folder, file):
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="is no bundle; choose another place"):
                make_bundle(place, overwrite=overwrite)
    assert (folder / "one.jpg").read_bytes() == b"precious" and file.read_text() == "precious"


def test_a_bundle_is_replaced_only_when_asked_for(bundle: Path, make_bundle: Callable[..., Path]) -> None:
    before = _contents(bundle)
    with pytest.raises(UsageError, match="already holds a bundle"):
        make_bundle(bundle, version="2.0")
    assert _contents(bundle) == before
    make_bundle(bundle, version="2.0", overwrite=True)
    assert open_bundle(bundle).version == "2.0"
    assert sorted(_contents(bundle)) == sorted(FILES)


def test_a_folder_with_a_file_of_somebody_elses_is_never_replaced(
    bundle: Path, make_bundle: Callable[..., Path]
) -> None:
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no bundle; choose another place"):
        make_bundle(bundle, version="2.0", overwrite=True)
    assert (bundle / "notes.txt").read_text() == "mine"


def test_a_zip_of_two_bundles_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = _pack(tmp_path / "two.zip", bundle, "one/")
    with zipfile.ZipFile(archive, "a") as packed:
        for file in bundle.iterdir():
            packed.write(file, f"two/{file.name}")
    assert "holds 2 bundles" in _refuse(archive, BundleError)


def test_a_bundle_goes_into_an_empty_or_a_new_folder(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "new" / "and" / "deeper"):
        assert open_bundle(make_bundle(place)).name == "tiny"


def test_writing_leaves_nothing_beside_the_bundle(bundle: Path, make_bundle: Callable[..., Path]) -> None:
    make_bundle(bundle, overwrite=True)
    assert list(bundle.parent.iterdir()) == [bundle]


def _fail_replacing(monkeypatch: pytest.MonkeyPatch, *, into: Path | None) -> None:
    """``os.replace`` fails as on a full disk, always or once when something is put at ``into``."""
    real, failed = os.replace, []

    def replace(source: Path, target: Path) -> None:
        if into is None or (target == into and not failed):
            failed.append(target)
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_nothing_is_left_when_writing_fails(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_bundle(bundle)
    _fail_replacing(monkeypatch, into=None)
    with pytest.raises(OSError, match="No space left"):
        opened.write(tmp_path / "new")
    assert list(tmp_path.iterdir()) == [bundle]


@pytest.mark.parametrize("always", [True, False])
def test_the_old_bundle_stays_when_replacing_it_fails(
    bundle: Path, make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, *, always: bool
) -> None:
    before = _contents(bundle)
    _fail_replacing(monkeypatch, into=None if always else bundle)
    with pytest.raises(OSError, match="No space left"):
        make_bundle(bundle, version="2.0", overwrite=True)
    assert _contents(bundle) == before
    assert list(bundle.parent.iterdir()) == [bundle]


def test_nothing_is_left_when_a_file_cannot_be_written(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Bundle = open_bundle(bundle)
    real = Path.write_bytes

    def write_bytes(self: Path, data: bytes) -> int:
        if self.name == CARD:
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space left"):
        opened.write(tmp_path / "new")
    assert list(tmp_path.iterdir()) == [bundle]


def test_the_word_default_is_the_bundle_that_ships_unless_something_is_called_so(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_bundle("default").fingerprint == open_bundle().fingerprint
    shutil.copytree(bundle, tmp_path / "default")
    assert open_bundle(Path("default")).fingerprint == open_bundle(bundle).fingerprint


def test_a_bundle_with_a_curve_has_format_3_and_is_opened_and_answers_along_it(
    make_bundle: Callable[..., Path],
) -> None:
    red = np.zeros((16, 12, 3), dtype=np.uint8)
    red[..., 0] = 128

    def ask(**curves: Curve) -> tuple[int, str, float]:
        calibration = Calibration({"cut": 1.0}, {"cut": 0.5}, curves=curves)
        taxonomy = Taxonomy((Attribute("cut", ("slim", "wide")),))
        rule = {"cut": ((2.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0))}
        bundle = open_bundle(make_bundle(taxonomy=taxonomy, rule=rule, calibration=calibration, overwrite=True))
        (prediction,) = Predictor(bundle, threads=1).predict([red])
        (tag,) = prediction.tags
        return bundle.manifest()["format"], tag.value, tag.confidence

    number, value, confidence = ask()
    assert (number, value) == (1, "slim") and confidence > 0.7
    assert ask(cut=Curve((confidence,), (0.6,))) == (3, "slim", pytest.approx(0.6))
