"""The command line as its users meet it: results on stdout, one plain sentence on stderr, the right exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from conftest import Vestiary, draw_shapes, encode_picture


@pytest.fixture(scope="session")
def photos(draw: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, article, colour in (("a-shirt.jpg", "Shirts", "Blue"), ("b-heels.jpg", "Heels", "Red")):
        draw.draw_photo(article, colour, seed=5).save(folder / name)
    return folder


def picture_bytes(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header promises a size, and hardly any pixels behind it."""

    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(head) + chunk(b"IDAT" + zlib.compress(b"\0" * 100)) + chunk(b"IEND")


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


SHIRT = Image.linear_gradient("L").resize((60, 80)).convert("RGB")
UNREADABLE = {
    "words.jpg": (b"these are words, not a picture", "is not a picture we read; use JPEG, PNG"),
    "empty.jpg": (b"", "is empty (0 bytes)"),
    "cut.jpg": (picture_bytes(SHIRT, "JPEG")[:400], "is damaged or cut short"),
    "dot.png": (picture_bytes(Image.new("RGB", (1, 1)), "PNG"), "only 1×1 pixels; at least 8×8"),
    "huge.png": (png_header(30_000, 30_000), "pixels, more than the 100,000,000 allowed; make it smaller"),
}
READABLE = {
    "animated.gif": picture_bytes(
        SHIRT, "GIF", save_all=True, append_images=[SHIRT.rotate(90).resize((60, 80)), SHIRT.rotate(180)]
    ),
    "cmyk.jpg": picture_bytes(SHIRT.convert("CMYK"), "JPEG"),
    "deep.png": picture_bytes(Image.new("I;16", (60, 80), 30_000), "PNG"),
    "palette.png": picture_bytes(SHIRT.convert("P"), "PNG", transparency=3),
    "turned.jpg": picture_bytes(SHIRT, "JPEG", exif=turned(6)),
}


def one_sentence(text: str) -> bool:
    line = text.strip()
    return "\n" not in line and line.startswith("vestiary: ") and line.endswith(".") and "Traceback" not in line


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_bad_picture_gets_one_sentence_and_spoils_no_other(
    name: str, vestiary: Vestiary, trained_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    data, sentence = UNREADABLE[name]
    (tmp_path / name).write_bytes(data)
    good = sorted(photos.iterdir())
    done = vestiary("tag", good[0], tmp_path / name, good[1], "--bundle", trained_bundle, "--format", "json")
    assert done.code == 2
    assert sentence in done.err
    assert f"{name}: " in done.err
    assert one_sentence(done.err)
    answers = json.loads(done.out)
    assert [answer["status"] for answer in answers] == ["success", "error", "success"]
    assert sentence in answers[1]["error"]["message"]
    assert answers[1]["error"]["code"]


@pytest.mark.parametrize("name", READABLE)
def test_an_unusual_picture_is_answered(name: str, vestiary: Vestiary, trained_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(READABLE[name])
    done = vestiary("tag", tmp_path / name, "--bundle", trained_bundle, "--format", "json")
    assert (done.code, done.err) == (0, "")
    (answer,) = json.loads(done.out)
    assert answer["note"] == ("animated, 3 frames: the first was used" if name == "animated.gif" else None)


def test_missing_paths_empty_folders_and_patterns_without_a_match_are_named(
    vestiary: Vestiary, trained_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    address = "https://shop.example/a.jpg"
    sources = (tmp_path / "nowhere.jpg", empty, tmp_path / "*.webp", address, photos)
    done = vestiary("tag", *sources, "--bundle", trained_bundle)
    assert done.code == 2
    lines = done.err.strip().splitlines()
    assert len(lines) == 4
    assert all(one_sentence(line) for line in lines)
    assert "nowhere.jpg: There is no such file" in lines[0]
    assert "There are no pictures in it" in lines[1]
    assert "Nothing matches" in lines[2]
    assert f"{address}: This is an address; download the picture first" in lines[3]
    assert "2 pictures" in done.out


def test_a_folder_a_zip_a_pattern_and_stdin_give_the_same_answers(
    vestiary: Vestiary, trained_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(photos.iterdir()):
            packed.write(file, f"inside/{file.name}")
    answers = []
    for source in (photos, archive, photos / "*.jpg"):
        done = vestiary("tag", source, "--bundle", trained_bundle, "--format", "jsonl")
        assert done.code == 0
        answers.append([json.loads(line)["tags"] for line in done.out.splitlines()])
    first = (photos / "a-shirt.jpg").read_bytes()
    done = vestiary("tag", "-", "--bundle", trained_bundle, "--format", "jsonl", stdin=first)
    assert answers[0] == answers[1] == answers[2]
    assert json.loads(done.out)["tags"] == answers[0][0]


def test_a_path_that_cannot_be_a_path_spoils_no_other(vestiary: Vestiary, trained_bundle: Path, photos: Path) -> None:
    done = vestiary("tag", "a" * 300 + ".jpg", "", photos, "--bundle", trained_bundle, "--format", "jsonl")
    assert done.code == 2
    assert [json.loads(line)["status"] for line in done.out.splitlines()] == ["error", "error", "success", "success"]
    assert all(one_sentence(line) for line in done.err.splitlines())
    assert "The path is empty" in done.err


def test_an_endless_stdin_is_cut_off(vestiary: Vestiary, trained_bundle: Path) -> None:
    done = vestiary("tag", "-", "--bundle", trained_bundle, "--format", "json", stdin=bytes(50_000_001))
    assert done.code == 2
    assert "more than the 50,000,000 bytes allowed" in done.err


def test_pictures_are_read_when_their_turn_comes(photos: Path, tmp_path: Path) -> None:
    from vestiary.cli.tag import find_pictures

    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(photos / "a-shirt.jpg", "a.jpg")
    for _, picture in find_pictures([str(archive), str(photos), "-"]):
        assert callable(picture), "bytes were read ahead"


def test_a_zip_name_that_leaves_the_archive_is_refused_and_the_others_answered(
    vestiary: Vestiary, trained_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(photos / "a-shirt.jpg", "../../outside.jpg")
        packed.write(photos / "a-shirt.jpg", "inside.jpg")
    done = vestiary("tag", archive, "--bundle", trained_bundle, "--format", "json")
    assert done.code == 2
    assert "leads out of the archive" in done.err
    assert one_sentence(done.err)
    assert [answer["status"] for answer in json.loads(done.out)] == ["error", "success"]
    assert not (tmp_path.parent / "outside.jpg").exists()


def test_table_json_jsonl_and_csv_say_the_same(vestiary: Vestiary, trained_bundle: Path, photos: Path) -> None:
    def tag(form: str) -> str:
        done = vestiary("tag", photos, "--bundle", trained_bundle, "--format", form)
        assert (done.code, done.err) == (0, "")
        return str(done.out)

    as_json = json.loads(tag("json"))
    assert as_json == [json.loads(line) for line in tag("jsonl").splitlines()]
    rows = list(csv.DictReader(io.StringIO(tag("csv"))))
    table = tag("table")
    for answer, row in zip(as_json, rows, strict=True):
        assert row["id"] == answer["id"]
        assert row["decision"] == answer["decision"]
        assert Path(answer["id"]).name in table
        for name, own in answer["tags"].items():
            assert row[name] == own["value"]
            assert float(row[f"{name}_confidence"]) == pytest.approx(own["confidence"], abs=1e-4)
            assert row[f"{name}_accepted"] == ("yes" if own["accepted"] else "no")
            assert f"{100 * own['confidence']:.0f} % {'✓' if own['accepted'] else '?'}" in table


def test_top_k_tells_as_many_answers(vestiary: Vestiary, trained_bundle: Path, photos: Path) -> None:
    done = vestiary("tag", photos / "a-shirt.jpg", "--bundle", trained_bundle, "--format", "json", "--top-k", 4)
    own = json.loads(done.out)[0]["tags"]["articleType"]
    confidences = [own["confidence"], *(runner["confidence"] for runner in own["runners_up"])]
    assert len(confidences) == 4
    assert confidences == sorted(confidences, reverse=True)


def test_a_narrow_terminal_gets_a_long_table(
    vestiary: Vestiary, trained_bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestiary.cli import output

    monkeypatch.setattr(output, "PIPED_WIDTH", 70)
    done = vestiary("tag", photos, "--bundle", trained_bundle)
    assert max(map(len, done.out.splitlines())) <= 70
    assert "Master category" in done.out
    assert "…" not in done.out


def test_brackets_and_colons_in_words_are_shown_as_they_are(
    vestiary: Vestiary, make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conftest import TINY_RULE
    from vestiary.cli import output
    from vestiary.taxonomy import Attribute, Taxonomy

    size, values = "length [cm]", ("[none]", "[/b] :key:")
    (tmp_path / "table.csv").write_text(
        "\n".join(["id,image,length [cm]", *(f"{n},{n}.png,{values[n % 2]}" for n in range(30))]), encoding="utf-8"
    )
    for n in range(30):
        Image.new("RGB", (12, 16), (200 - n, 0, 250 * (n % 2))).save(tmp_path / f"{n}.png")
    words = ("--table", "table.csv", "--id-column", "id", "--image-column", "image", "--attribute", size)
    assert vestiary("ingest", tmp_path, *words, "--out", tmp_path / "catalogue").code == 0
    attribute = Attribute(size, ("[/b] :key:", "[none]"), "Length [m]")
    bundle = make_bundle(taxonomy=Taxonomy((attribute,)), rule={size: TINY_RULE["season"]}, licence="CC BY [nc]")

    def show(*arguments: object) -> str:
        done = vestiary(*arguments, "--bundle", bundle) if arguments[0] != "inspect" else vestiary(*arguments)
        assert (done.code, done.err) == (0, "")
        return str(done.out)

    assert "licence of its data: CC BY [nc]\n" in show("inspect", bundle)
    assert f" {size} " in show("inspect", bundle)
    assert f" {size} " in show("evaluate", tmp_path / "catalogue")
    assert f" {size} " in show("evaluate", tmp_path / "catalogue", "--against", bundle)
    for width in (140, 60):
        monkeypatch.setattr(output, "PIPED_WIDTH", width)
        told = show("tag", tmp_path / "2.png", tmp_path / "3.png")
        assert all(word in told for word in ("Length [m]", "[none]", "[/b] :key:"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tag", "x.jpg", "--format", "xml"], "--format xml is not known; choose one of: table, json, jsonl, csv."),
        (["tag", "x.jpg", "--bundle", "nowhere"], "There is no bundle at nowhere"),
        (["evaluate", "nowhere"], "nowhere holds no catalogue"),
        (["evaluate", "nowhere", "--split", "dev"], "--split dev is not known"),
        (["evaluate", "nowhere", "--by", "11-way"], "--by 11-way is not known; choose one of: 10-way, 65-way"),
        (["report", "model", "nowhere", "nowhere", "--out", "out", "--split", "dev"], "--split dev is not known"),
        (["report", "model", "nowhere", "nowhere", "--out", "out", "--card", "out"], "--out and --card both name out"),
        (["report", "model", "nowhere", "nowhere", "--out", "out"], "There is no bundle at nowhere"),
        (["check", "nowhere"], "nowhere holds no catalogue"),
        (["check", "nowhere", "--bundle", "b"], "--bundle is only used with --labels"),
        (["ingest", "nowhere", "--out", "out"], "nowhere does not exist; check the path."),
        (["ingest", __file__, "--out", "out"], "is neither a folder nor a zip archive"),
        (["train", "nowhere", "--out", "out"], "nowhere holds no catalogue"),
        (["train", "nowhere", "--recipe", "fancy", "--out", "out"], "There is no recipe 'fancy'"),
        (["train", "nowhere", "--out", "out", "--set", "epochs"], "has no '='"),
        (["train", "nowhere", "--out", "out", "--resume", "--overwrite"], "exclude each other"),
        (
            ["train", "nowhere", "--out", "out", "--set", "drop_out=2", "--set", "dropout=7"],
            "unknown key 'drop_out', write 'dropout'; dropout is 7",
        ),
        (["inspect", "nowhere"], "There is no bundle at nowhere"),
        (["inspect", "."], ". is neither a bundle nor a catalogue"),
        (["tag"], "Missing argument 'paths'; see: vestiary tag --help."),
        (["tag", "x.jpg", "--colour", "red"], "--colour"),
        (["tag", "x.jpg", "--top-k", "0"], "'--top-k'"),
        (["sew"], "'sew'"),
        (["tga"], "No such command 'tga' (did you mean 'tag'?); see: vestiary --help."),
        (["schedule", "launchd", "--batch", "a"], "'scheduler': 'launchd' is not one of"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_2(
    arguments: list[str],
    sentence: str,
    vestiary: Vestiary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = vestiary(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert sentence in done.err
    assert one_sentence(done.err)
    assert not (tmp_path / "out").exists()


def test_a_changed_byte_and_a_newer_format_are_refused_in_words(
    vestiary: Vestiary, trained_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(trained_bundle, bundle)
    model = bytearray((bundle / "model.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(model)
    done = vestiary("tag", photos, "--bundle", bundle)
    assert (done.code, done.out) == (2, "")
    assert "model.onnx is not as it was written" in done.err
    assert one_sentence(done.err)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    done = vestiary("tag", photos, "--bundle", bundle)
    assert done.code == 2
    assert "has bundle format 99, but this version of Vestiary reads formats 1, 2 and 3; upgrade Vestiary" in done.err
    assert one_sentence(done.err)


def test_from_source_to_figures(vestiary: Vestiary, draw: ModuleType, trained_bundle: Path, tmp_path: Path) -> None:
    drawn = draw.draw_catalogue(tmp_path / "shop.zip", products=120, seed=3)
    done = vestiary("ingest", drawn.path, "--out", tmp_path / "catalogue", "--json")
    counts = json.loads(done.out)
    assert done.code == 0
    assert counts["rows"] == drawn.rows == counts["products"] + counts["rejected_rows"]
    assert counts["products"] == drawn.products
    assert counts["rejected_by_reason"] == {
        "duplicate id": drawn.duplicate_ids,
        "no picture": drawn.missing_pictures,
        "too few fields": drawn.short_rows,
        "unreadable picture": drawn.unreadable_pictures,
    }
    assert counts["pictures_without_a_row"] == drawn.pictures_without_row
    again = vestiary("ingest", drawn.path, "--out", tmp_path / "catalogue")
    assert again.code == 2
    assert "already exists; choose another place or add --overwrite" in again.err
    done = vestiary("evaluate", tmp_path / "catalogue", "--bundle", trained_bundle, "--split", "all", "--json")
    figures = json.loads(done.out)
    assert figures["n"] == drawn.products
    assert {"bundle", "split", "n", "attributes", "exact_match"} <= set(figures)
    for own in figures["attributes"].values():
        assert {"n", "accuracy", "macro_f1", "top5", "ece", "coverage", "accepted_accuracy"} <= set(own)
        low, high = own["intervals"]["accuracy"]
        assert low <= own["accuracy"] <= high
    assert 0 <= figures["exact_match"] <= figures["exact_match_of"]["gender + articleType + colour group"] <= 1
    assert figures["attributes"]["usage"]["n"] == drawn.products - drawn.na_usages
    table = vestiary("evaluate", tmp_path / "catalogue", "--bundle", trained_bundle, "--split", "all").out
    for name, own in figures["attributes"].items():
        (line,) = [line for line in table.splitlines() if line.split()[:1] == [name]]
        assert f"{100 * own['accuracy']:.1f} %" in line


def test_a_given_taxonomy_rejects_other_values(vestiary: Vestiary, drawn_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "genders.toml").write_text(
        '[[attributes]]\nname = "gender"\nvalues = ["Men", "Ladies", "Unisex"]\naliases = { Women = "Ladies" }\n'
    )
    done = vestiary(
        "ingest", drawn_folder, "--out", tmp_path / "out", "--taxonomy", tmp_path / "genders.toml", "--json"
    )
    assert done.code == 0, done.err
    told = json.loads(vestiary("inspect", tmp_path / "out", "--json").out)
    assert told["counts"] == json.loads(done.out)
    labels = [json.loads(line)["labels"] for line in (tmp_path / "out" / "products.jsonl").read_text().splitlines()]
    assert {label["gender"] for label in labels} <= {"Men", "Ladies", "Unisex"}
    assert {name for label in labels for name in label} == {"gender"}


@pytest.fixture
def checked(make_source: Callable[..., Path], vestiary: Vestiary, tmp_path: Path) -> Path:
    """A catalogue of 20 products with sharp pictures and one wrong word."""
    rows = [{"id": number, "season": ("Summer", "Winter")[number % 2]} for number in range(1, 21)]
    rows[0]["productDisplayName"] = "Red Shirt"
    rows[1]["baseColour"] = "Red"
    pictures = {str(number): encode_picture(draw_shapes(number)) for number in range(1, 21)}
    source = make_source(rows, pictures=pictures)
    assert vestiary("ingest", source, "--out", tmp_path / "catalogue").code == 0
    return tmp_path / "catalogue"


def test_check_tells_what_it_found_and_leaves_with_0_without_errors(vestiary: Vestiary, checked: Path) -> None:
    done = vestiary("check", checked)
    assert (done.code, done.err) == (0, "")
    assert "Warnings: " in done.out
    assert "labels.colour_word  (1 product)" in done.out
    assert "Red in the name, Blue as label (1)" in done.out
    assert "products: 1\n" in done.out
    assert "→ Look at the pictures and correct baseColour or the name." in done.out
    assert "Errors" not in done.out
    told = json.loads(vestiary("check", checked, "--json").out)
    assert set(told) == {"counts", "findings"}
    assert told["counts"]["error"] == 0
    assert sum(told["counts"].values()) == len(told["findings"])
    (finding,) = [finding for finding in told["findings"] if finding["check"] == "labels.colour_word"]
    assert set(finding) == {"check", "severity", "products", "message", "remedy"}
    assert (finding["severity"], finding["products"]) == ("warning", ["1"])


def test_check_leaves_with_1_for_findings_at_error_level(vestiary: Vestiary, checked: Path) -> None:
    (checked.parent / "source" / "images" / "3.jpg").unlink()
    done = vestiary("check", checked)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("Errors: 1 finding\n\n  files.missing  (1 product)\n")
    done = vestiary("check", checked, "--json")
    assert done.code == 1
    assert json.loads(done.out)["findings"][0]["severity"] == "error"


def test_check_takes_the_count_from_which_a_value_is_rare(vestiary: Vestiary, checked: Path) -> None:
    def rare(*options: object) -> list[str]:
        findings = json.loads(vestiary("check", checked, "--json", *options).out)["findings"]
        return [finding["message"].split(" fewer")[0] for finding in findings if finding["check"] == "labels.rare"]

    assert rare() == ["1 of 2 values of baseColour has"]
    assert rare("--min-count", 1) == []
    assert len(rare("--min-count", 11)) == 2


def test_check_names_a_few_findings_of_a_kind_and_json_all(
    vestiary: Vestiary, checked: Path, make_source: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = {str(number): encode_picture(draw_shapes(number // 2)) for number in range(20, 40)}
    source = make_source([{"id": number} for number in range(20, 40)], pictures=pictures, name="pairs")
    vestiary("ingest", source, "--out", tmp_path / "pairs-catalogue")
    told = vestiary("check", tmp_path / "pairs-catalogue").out
    assert "duplicates.identical  (10 findings, 20 products)" in told
    assert "… and 5 more of this kind" in told
    findings = json.loads(vestiary("check", tmp_path / "pairs-catalogue", "--json").out)["findings"]
    assert sum(finding["check"] == "duplicates.identical" for finding in findings) == 10


def test_check_finds_wrong_labels_with_a_bundle(
    vestiary: Vestiary,
    make_source: Callable[..., Path],
    make_bundle: Callable[..., Path],
    tmp_path: Path,
) -> None:
    pytest.importorskip("cleanlab", reason="the extra 'checks' is not installed")
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    hues = {"Red": (220, 30, 30), "Green": (30, 200, 40), "Blue": (20, 40, 210)}
    rows, pictures = [], {}
    for number in range(90):
        name = list(hues)[number % 3]
        shade = tuple(level + number // 3 for level in hues[name])
        rows.append({"id": number, "baseColour": name if number != 4 else "Blue"})
        pictures[str(number)] = shade
    vestiary("ingest", make_source(rows, pictures=pictures), "--out", tmp_path / "catalogue")
    arguments = ("check", tmp_path / "catalogue", "--labels", "--bundle", make_bundle(), "--json")
    done = vestiary(*arguments)
    assert done.err == ""
    told = [finding for finding in json.loads(done.out)["findings"] if "likely" in finding["check"]]
    assert [finding["products"] for finding in told] == [["4"], ["4"]]
    assert "4 (images/4.jpg) has baseColour Blue" in told[1]["message"]
    assert "looks like Green" in told[1]["message"]


def test_inspect_tells_what_a_bundle_is(vestiary: Vestiary, trained_bundle: Path) -> None:
    brief = vestiary("inspect", trained_bundle)
    assert brief.code == 0
    for words in ("articleType", "40", "tiny", "fingerprint"):
        assert words in brief.out
    told = json.loads(vestiary("inspect", trained_bundle, "--json").out)
    assert told["format"] == 3 and told["calibration"]["joint"] is True
    assert set(told["files"]) == {"model.onnx", "card.md"}


def test_the_command_is_installed_and_knows_its_version() -> None:
    done = subprocess.run([sys.executable, "-m", "vestiary", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("vestiary 0.")


def test_a_reader_that_goes_away_leaves_no_traceback(trained_bundle: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "vestiary", "tag", *[str(photos)] * 200, "--bundle", str(trained_bundle)]
    with subprocess.Popen([*command, "--format", "jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_names_survive_a_pipe_that_is_not_utf_8(trained_bundle: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "a-shirt.jpg", tmp_path / "čepice 帽.jpg")
    for form in ("csv", "json", "jsonl", "table"):
        command = [sys.executable, "-m", "vestiary", "tag", str(tmp_path), "--bundle", str(trained_bundle)]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run([*command, "--format", form], capture_output=True, check=True, env=environment)
        assert "čepice 帽.jpg" in done.stdout.decode("utf-8")


def test_ctrl_c_says_so_and_leaves_with_130(
    vestiary: Vestiary, trained_bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vestiary.cli.tag.find_pictures", interrupted)
    done = vestiary("tag", photos, "--bundle", trained_bundle)
    assert (done.code, done.out, done.err) == (130, "", "vestiary: Stopped.\n")


def test_another_seed_over_an_earlier_catalogue_is_refused(
    vestiary: Vestiary, drawn_folder: Path, tmp_path: Path
) -> None:
    assert vestiary("ingest", drawn_folder, "--out", tmp_path / "out", "--seed", 7).code == 0
    done = vestiary("ingest", drawn_folder, "--out", tmp_path / "out", "--overwrite", "--seed", 8)
    assert done.code == 2
    assert "was split with seed 7" in done.err
    assert one_sentence(done.err)
    assert vestiary("ingest", drawn_folder, "--out", tmp_path / "out", "--overwrite").code == 0
    assert json.loads((tmp_path / "out" / "catalogue.json").read_text())["split"]["seed"] == 7


@pytest.mark.parametrize("words", [(), ("report",), ("review",), ("ledger",)])
def test_without_a_verb_the_help_is_shown_with_whole_sentences(words: tuple[str, ...], vestiary: Vestiary) -> None:
    done = vestiary(*words)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(f"Usage: {' '.join(('vestiary', *words))} [OPTIONS] COMMAND")
    asked = vestiary(*words, "--help")
    assert asked.code == 0
    assert asked.out.split() == done.err.split()
    verbs = asked.out.partition("Commands:")[2]
    assert "..." not in verbs
    assert all(block.rstrip().endswith((".", ")")) for block in re.split(r"\n  (?=\S)", verbs.strip()))
