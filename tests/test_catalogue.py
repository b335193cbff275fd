"""A source becomes a catalogue: every row ends as a product or as a reject that says why."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import shutil
import tempfile
import tracemalloc
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vestiary.catalogue import Catalogue, Reject, RejectReason, ingest, load_catalogue, open_source
from vestiary.errors import CatalogueError, UsageError, VestiaryError
from vestiary.product import Split
from vestiary.taxonomy import Attribute, Taxonomy

MakeSource = Callable[..., Path]
HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"


def make_line(number: object, name: str = "A shirt") -> str:
    return f"{number},Men,Apparel,Topwear,Shirts,Blue,Summer,2012,Casual,{name}"


def make_noise() -> bytes:
    """A picture that a zip cannot make much smaller."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(2).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def reject_of(catalogue: Catalogue, line: int | None) -> Reject:
    (found,) = (reject for reject in catalogue.rejects if reject.line == line)
    return found


def ids_of(catalogue: Catalogue) -> list[str]:
    return [product.id for product in catalogue.products]


def fail_to_read(path: Path, kind: type[VestiaryError] = CatalogueError) -> str:
    with pytest.raises(VestiaryError) as refusal:
        ingest(path)
    assert type(refusal.value) is kind
    return plain(refusal.value)


def plain(error: BaseException) -> str:
    """The message, once it is one sentence with a remedy and without the libraries' own words."""
    message = str(error)
    assert re.fullmatch(r"[^\n]+(; | must read )[^\n]+\.", message), message
    assert not re.search(r"Errno|codec|Traceback|\w+Error\b|object at|File is not", message), message
    return message


def list_tree(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# Rows


def test_every_row_ends_as_a_product_or_as_a_reject_with_its_line_and_reason(make_source: MakeSource) -> None:
    source = make_source(
        [
            {"id": 1},
            "2,Men,Apparel",
            {"id": 3},
            "",
            {"id": 4},
            {"id": 1, "productDisplayName": "Again"},
            {"id": 5, "baseColour": "Mauve"},
            {"id": 6},
        ],
        pictures={"3": None, "4": b"this is no picture", "77": (7, 7, 7)},
    )
    taxonomy = Taxonomy((Attribute("baseColour", ("Blue", "Red")), Attribute("season", ("Summer",))))
    catalogue = ingest(source, taxonomy=taxonomy)
    assert [(product.id, product.source) for product in catalogue.products] == [
        ("1", "styles.csv:2"),
        ("6", "styles.csv:9"),
    ]
    assert [(reject.line, reject.id, str(reject.reason)) for reject in catalogue.rejects] == [
        (3, "2", "too few fields"),
        (4, "3", "no picture"),
        (6, "4", "unreadable picture"),
        (7, "1", "duplicate id"),
        (8, "5", "unknown value"),
        (None, "77", "picture without a row"),
    ]
    details = {reject.line: reject.detail for reject in catalogue.rejects}
    assert details[3] == "3 fields instead of 10"
    assert "images/3.jpg" in details[4]
    assert details[6].startswith("images/4.jpg: The file is not a picture")
    assert "line 2" in details[7]
    assert details[8] == "baseColour 'Mauve' is not in the taxonomy"
    assert details[None] == "images/77.jpg"
    assert catalogue.counts == {
        "rows": 7,
        "products": 2,
        "rejected_rows": 5,
        "rejected_by_reason": dict.fromkeys(
            ["duplicate id", "no picture", "too few fields", "unknown value", "unreadable picture"], 1
        ),
        "rows_as_further_views": 0,
        "pictures_without_a_row": 1,
        "groups": 2,
        "splits": {"train": 2, "validation": 0, "test": 0},
    }


def test_the_first_row_of_an_id_stays(make_source: MakeSource) -> None:
    rows = [{"id": 1, "productDisplayName": name} for name in ("First", "Second", "Third")]
    catalogue = ingest(make_source(rows))
    assert [product.name for product in catalogue.products] == ["First"]
    assert [(reject.line, reject.detail) for reject in catalogue.rejects] == [
        (3, "line 2 has this id already"),
        (4, "line 2 has this id already"),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Shirt, blue, for men", "Shirt, blue, for men"),
        ('"Shirt, blue"', "Shirt, blue"),
        ('"The ""best"" shirt"', 'The "best" shirt'),
        ('The "best" shirt', 'The "best" shirt'),
        ('15" laptop bag', '15" laptop bag'),
        ('"', '"'),
        ("  spaced  out  ", "spaced  out"),
        ("Größe L – ₹ 499 👕", "Größe L – ₹ 499 👕"),
        ("", ""),
    ],
)
def test_a_name_keeps_its_commas_and_loses_its_quotes(make_source: MakeSource, written: str, read: str) -> None:
    catalogue = ingest(make_source([{"id": 1, "productDisplayName": written}]))
    assert [product.name for product in catalogue.products] == [read]
    assert catalogue.rejects == ()


def test_a_blank_or_na_label_is_absent(make_source: MakeSource) -> None:
    blank = {"id": 1, "usage": "NA", "season": "", "baseColour": "  "}
    catalogue = ingest(make_source([blank, {"id": 2, "usage": "Sports", "season": "Fall", "gender": "NA "}]))
    first, second = catalogue.products
    assert first.labels == {
        "gender": "Men",
        "masterCategory": "Apparel",
        "subCategory": "Topwear",
        "articleType": "Shirts",
    }
    assert second.labels["usage"] == "Sports"
    assert "gender" not in second.labels
    assert catalogue.taxonomy["usage"].values == ("Sports",)
    assert "year" not in catalogue.taxonomy.names


def test_without_a_taxonomy_the_values_found_become_the_answers(make_source: MakeSource) -> None:
    rows = [{"id": 1, "baseColour": "Red"}, {"id": 2, "baseColour": "Blue"}, {"id": 3, "baseColour": "Mauve"}]
    catalogue = ingest(make_source(rows, pictures={"3": None}))
    assert catalogue.taxonomy["baseColour"].values == ("Blue", "Red")
    assert catalogue.taxonomy["baseColour"].title == "Base colour"


def test_a_given_taxonomy_resolves_aliases_and_leaves_out_what_it_does_not_ask(make_source: MakeSource) -> None:
    taxonomy = Taxonomy((Attribute("baseColour", ("Blue", "Red"), aliases={"Navy": "Blue"}),))
    catalogue = ingest(make_source([{"id": 1, "baseColour": "Navy"}, {"id": 2, "baseColour": "NA"}]), taxonomy=taxonomy)
    assert [product.labels for product in catalogue.products] == [{"baseColour": "Blue"}, {}]
    assert catalogue.taxonomy == taxonomy


def test_every_unknown_value_of_a_row_is_named(make_source: MakeSource) -> None:
    taxonomy = Taxonomy((Attribute("baseColour", ("Blue",)), Attribute("season", ("Summer",))))
    source = make_source([{"id": 1}, {"id": 2, "baseColour": "Mauve", "season": "Monsoon"}])
    detail = reject_of(ingest(source, taxonomy=taxonomy), 3).detail
    assert "baseColour 'Mauve'" in detail
    assert "season 'Monsoon'" in detail


def test_a_damaged_picture_is_a_reject_in_plain_words(make_source: MakeSource) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 80), "navy").save(buffer, "JPEG")
    source = make_source([{"id": 1}, {"id": 2}], pictures={"1": buffer.getvalue()[:-100]})
    catalogue = ingest(source)
    assert ids_of(catalogue) == ["2"]
    assert reject_of(catalogue, 2).reason == RejectReason.UNREADABLE_PICTURE
    assert "damaged or cut short" in reject_of(catalogue, 2).detail


def test_damaged_pictures_are_not_kept_until_the_end(make_source: MakeSource) -> None:
    damaged = b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)
    source = make_source([{"id": number} for number in range(20)], pictures={str(n): damaged for n in range(19)})
    held: list[int] = []
    tracemalloc.start()
    try:
        catalogue = ingest(source, progress=lambda done, of: held.append(tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    assert len(catalogue.rejects) == 19
    assert held[-1] < 5_000_000


def test_progress_counts_every_picture_to_the_end(make_source: MakeSource) -> None:
    seen: list[tuple[int, int]] = []
    ingest(make_source([{"id": number} for number in range(5)]), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(number, 5) for number in range(1, 6)]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20)
        | st.builds(make_line, st.integers(1, 5), st.text('ab," \r\u2028\u0085', max_size=8)),
        max_size=8,
    )
)
def test_whatever_the_rows_none_is_lost_and_the_catalogue_can_be_saved(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.zip"
        body = io.BytesIO()
        Image.new("RGB", (8, 8)).save(body, "PNG")
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("styles.csv", "\n".join([HEADER, *lines, make_line(9)]))
            archive.writestr("images/1.jpg", body.getvalue())
            archive.writestr("images/9.jpg", body.getvalue())
        catalogue = ingest(source)
        filled = [number for number, line in enumerate([*lines, "last"], start=2) if line.strip()]
        products = [int(product.source.rpartition(":")[2]) for product in catalogue.products]
        rejects = [reject.line for reject in catalogue.rejects if reject.line is not None]
        assert sorted(products + rejects) == filled
        assert catalogue.counts["rows"] == catalogue.counts["products"] + catalogue.counts["rejected_rows"]
        catalogue.save(Path(folder) / "out")
        assert load_catalogue(Path(folder) / "out") == catalogue


# Sources


def make_rows() -> list[dict[str, object]]:
    colours = ("Blue", "Red", "NA")
    return [{"id": n, "baseColour": colours[n % 3], "productDisplayName": f"Shirt, no. {n // 2}"} for n in range(20)]


def test_a_folder_and_a_zip_of_it_give_the_same_catalogue(make_source: MakeSource) -> None:
    odd = {"5": None, "6": b"no picture", "99": (1, 1, 1)}
    folder = ingest(make_source(make_rows(), pictures=odd))
    archive = ingest(make_source(make_rows(), pictures=odd, zipped=True))
    assert folder.products == archive.products
    assert folder.rejects == archive.rejects
    assert folder.fingerprint == archive.fingerprint
    assert folder == dataclasses.replace(archive, source=folder.source)


def test_the_fingerprint_tells_another_label_split_product_or_question(make_source: MakeSource) -> None:
    plain_rows = make_rows()
    changed = [*plain_rows[:-1], plain_rows[-1] | {"season": "Winter"}]
    catalogues = [
        ingest(make_source(plain_rows, name="plain")),
        ingest(make_source(plain_rows, name="seeded"), seed=7),
        ingest(make_source(changed, name="changed")),
        ingest(make_source(plain_rows[:-1], name="fewer")),
    ]
    questions = catalogues[0].taxonomy.attributes
    wider = Taxonomy((*questions[:-1], Attribute("usage", (*questions[-1].values, "Space travel"))))
    catalogues.append(ingest(make_source(plain_rows, name="wider"), taxonomy=wider))
    assert catalogues[-1].products == catalogues[0].products
    assert len({catalogue.fingerprint for catalogue in catalogues}) == 5


@pytest.mark.parametrize("zipped", [True, False])
def test_the_table_may_lie_deeper_with_the_pictures_beside_it(make_source: MakeSource, zipped: bool) -> None:
    files = {"elsewhere/images/3.jpg": b"x", "images/4.jpg": b"x", "__MACOSX/._styles.csv": b"x"}
    source = make_source(
        [{"id": 1}, {"id": 2}, make_line(3), make_line(4)], zipped=zipped, inside="shop/data/", files=files
    )
    catalogue = ingest(source)
    assert [(product.id, product.images, product.source) for product in catalogue.products] == [
        ("1", ("shop/data/images/1.jpg",), "shop/data/styles.csv:2"),
        ("2", ("shop/data/images/2.jpg",), "shop/data/styles.csv:3"),
    ]
    assert {reject.reason for reject in catalogue.rejects} == {RejectReason.NO_PICTURE}
    pictures = catalogue.open_source()
    assert Image.open(io.BytesIO(pictures.read(catalogue.products[0].images[0]))).size == (12, 16)


@pytest.mark.parametrize("zipped", [True, False])
def test_of_several_tables_the_one_nearest_the_top_is_read(make_source: MakeSource, zipped: bool) -> None:
    files = {"images/old/styles.csv": b"x", "a/styles.csv": f"{HEADER}\n{make_line(2)}".encode()}
    assert ids_of(ingest(make_source([{"id": 1}], zipped=zipped, files=files))) == ["1"]


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(make_source: MakeSource) -> None:
    unix = ingest(make_source(make_rows(), name="unix"))
    windows = ingest(make_source(make_rows(), name="windows", newline="\r\n", encoding="utf-8-sig"))
    assert windows.products == unix.products
    assert windows.fingerprint == unix.fingerprint


def test_a_table_without_a_last_line_end_loses_no_row(make_source: MakeSource) -> None:
    source = make_source([{"id": 1}, {"id": 2}])
    (source / "styles.csv").write_text(
        (source / "styles.csv").read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8"
    )
    assert ids_of(ingest(source)) == ["1", "2"]


def test_a_picture_ending_in_capitals_is_found(make_source: MakeSource) -> None:
    source = make_source([{"id": 1}])
    (source / "images" / "1.jpg").rename(source / "images" / "1.JPG")
    assert ids_of(ingest(source)) == ["1"]


def test_a_source_without_a_table_is_refused(make_source: MakeSource) -> None:
    source = make_source([{"id": 1}])
    (source / "styles.csv").unlink()
    assert "no styles.csv" in fail_to_read(source)


@pytest.mark.parametrize("header", ["id,gender,name", "", HEADER.replace(",", ";"), f"{HEADER},extra"])
def test_a_table_with_another_header_is_refused_with_the_one_expected(make_source: MakeSource, header: str) -> None:
    message = fail_to_read(make_source([{"id": 1}], header=header))
    assert HEADER in message
    assert "line 1" in message


def test_a_table_that_is_not_utf_8_is_refused_with_the_place(make_source: MakeSource) -> None:
    message = fail_to_read(make_source([{"id": 1, "productDisplayName": "Größe"}], encoding="latin-1"))
    place = len(f"{HEADER}\n{make_line(1, 'Gr')}")
    assert "styles.csv is not UTF-8" in message
    assert f"byte {place}" in message


def test_a_table_without_rows_is_refused(make_source: MakeSource) -> None:
    assert "has no rows" in fail_to_read(make_source([], pictures={"1": (1, 1, 1)}))


def test_a_table_without_any_label_is_refused(make_source: MakeSource) -> None:
    assert "no label" in fail_to_read(make_source(["1,,,NA,,,,2012,,Shirt"], pictures={"1": (1, 1, 1)}))


def test_a_source_with_nothing_usable_says_why(make_source: MakeSource) -> None:
    message = fail_to_read(make_source([{"id": 1}, {"id": 2}], pictures={"1": None, "2": None}))
    assert "all 2 rows" in message
    assert "no picture (images/1.jpg is not there)" in message


def test_a_path_that_is_no_source_is_a_mistake_in_use(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    assert "does not exist" in fail_to_read(tmp_path / "missing", UsageError)
    assert "neither a folder nor a zip" in fail_to_read(tmp_path / "note.txt", UsageError)


def test_a_zip_with_a_broken_directory_is_refused(make_source: MakeSource) -> None:
    path = make_source([{"id": 1}], zipped=True)
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x09\x09"))
    assert "not a readable zip archive" in fail_to_read(path)


def test_a_cut_zip_is_refused(make_source: MakeSource) -> None:
    path = make_source([{"id": 1}], zipped=True)
    path.write_bytes(path.read_bytes()[:-40])
    fail_to_read(path, UsageError)


def spoil_member(path: Path, name: str) -> None:
    """Overwrite the packed bytes of one member."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(name) + info.compress_size // 2
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_costs_only_its_own_row(make_source: MakeSource, tmp_path: Path, method: int) -> None:
    folder = make_source([{"id": 1}, {"id": 2}], pictures={"2": make_noise()})
    path = tmp_path / "shop.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, body in list_tree(folder).items():
            archive.writestr(name, body)
    spoil_member(path, "images/2.jpg")
    catalogue = ingest(path)
    assert ids_of(catalogue) == ["1"]
    assert reject_of(catalogue, 3).reason == RejectReason.UNREADABLE_PICTURE
    assert (
        reject_of(catalogue, 3).detail
        == "images/2.jpg: images/2.jpg cannot be read from shop.zip: it is damaged; pack it again."
    )


def test_an_encrypted_member_costs_only_its_own_row(make_source: MakeSource) -> None:
    path = make_source([{"id": 1}, {"id": 2}], zipped=True)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        local = archive.getinfo("images/2.jpg").header_offset
    central = data.rindex(b"images/2.jpg") - 46
    data[local + 6] |= 1
    data[central + 8] |= 1
    path.write_bytes(data)
    catalogue = ingest(path)
    assert ids_of(catalogue) == ["1"]
    assert "encrypted" in reject_of(catalogue, 3).detail


@pytest.mark.parametrize("evil", ["../images/2.jpg", "images/../../2.jpg", "/images/2.jpg", "images/../images/2.jpg"])
def test_a_member_that_leads_out_of_the_archive_is_never_read_or_written(
    make_source: MakeSource, tmp_path: Path, evil: str
) -> None:
    outside = tmp_path / "2.jpg"
    outside.write_bytes(b"outside")
    source = make_source([{"id": 1}, make_line(2), make_line("../2")], zipped=True, files={evil: make_noise()})
    before = list_tree(tmp_path)
    catalogue = ingest(source)
    assert ids_of(catalogue) == ["1"]
    assert [reject_of(catalogue, line).reason for line in (3, 4)] == [RejectReason.NO_PICTURE] * 2
    assert list_tree(tmp_path) == before
    with pytest.raises(UsageError, match="leads out of the archive") as refusal:
        open_source(source).read(evil)
    plain(refusal.value)


def test_a_table_that_leads_out_of_the_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../styles.csv", HEADER)
    assert "leads out of the archive" in fail_to_read(path, UsageError)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links on this system")
def test_a_link_that_leads_out_of_the_folder_is_a_reject(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source([{"id": 1}, {"id": 2}], pictures={"2": None})
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(make_noise())
    (source / "images" / "2.jpg").symlink_to(secret)
    catalogue = ingest(source)
    assert ids_of(catalogue) == ["1"]
    assert reject_of(catalogue, 3).reason == RejectReason.UNREADABLE_PICTURE
    assert "leads out" in reject_of(catalogue, 3).detail


@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt", "..\\outside.txt", "C:\\outside.txt"])
def test_a_folder_gives_nothing_from_outside(make_source: MakeSource, tmp_path: Path, name: str) -> None:
    source = make_source([{"id": 1}])
    (tmp_path / "outside.txt").write_text("secret", encoding="utf-8")
    with pytest.raises(UsageError, match="leads out"):
        open_source(source).read(name)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_source_names_its_files_and_reads_them_within_the_limit(make_source: MakeSource, zipped: bool) -> None:
    source = open_source(make_source([{"id": 2}, {"id": 1}], zipped=zipped, files={"note.txt": b"x" * 1234}))
    assert source.names() == ["images/1.jpg", "images/2.jpg", "note.txt", "styles.csv"]
    assert source.read("note.txt", max_bytes=1234) == b"x" * 1234
    with pytest.raises(VestiaryError, match=r"note\.txt has 1,234 bytes, more than the 1,233 allowed"):
        source.read("note.txt", max_bytes=1233)
    with pytest.raises(UsageError, match=r"missing\.txt cannot be read") as refusal:
        source.read("missing.txt")
    assert not re.search("Errno", str(refusal.value))


# On disk


@pytest.fixture
def catalogue(make_source: MakeSource) -> Catalogue:
    """A small catalogue with rejects of several kinds, and with names that are hard to store."""
    names = ["Shirt, blue", 'The "best" shirt', "Line\u2028separator", "Next\u0085line", "Größe 👕", "Tab\tand\rreturn"]
    rows: list[object] = [{"id": n, "productDisplayName": name} for n, name in enumerate(names)]
    rows += ['x"y\r,too few', "x\ry,too few", {"id": 50}, {"id": 0}]
    return ingest(make_source(rows, name="odd", pictures={"50": None, "99": (3, 3, 3)}))


def test_a_saved_catalogue_is_loaded_equal(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.save(tmp_path / "deep" / "out")
    loaded = load_catalogue(tmp_path / "deep" / "out")
    assert loaded == catalogue
    assert loaded.fingerprint == catalogue.fingerprint
    assert loaded.counts == catalogue.counts
    assert len(loaded.products) == 6
    assert load_catalogue(str(tmp_path / "deep" / "out")) == catalogue


def test_a_saved_catalogue_is_three_files_without_leftovers(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.save(tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "catalogue.json",
        "products.jsonl",
        "rejects.csv",
    ]
    head = json.loads((tmp_path / "out" / "catalogue.json").read_text(encoding="utf-8"))
    assert head["fingerprint"] == catalogue.fingerprint
    assert head["counts"] == catalogue.counts


@pytest.mark.skipif(os.name != "posix", reason="needs file names that are plain bytes")
def test_a_picture_whose_name_is_not_utf_8_is_recorded_and_can_be_saved(
    make_source: MakeSource, tmp_path: Path
) -> None:
    source = make_source([{"id": 1}])
    try:
        (source / "images" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    catalogue = ingest(source)
    assert reject_of(catalogue, None).reason == RejectReason.NO_ROW
    assert "caf" in reject_of(catalogue, None).id
    catalogue.save(tmp_path / "out")
    assert load_catalogue(tmp_path / "out") == catalogue


@pytest.mark.parametrize("name", [b"caf\xe9", b"caf\xe9/table.csv", b"table\xe9.csv"])
def test_a_source_whose_own_name_is_not_utf_8_is_refused_before_the_work(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    table = path if path.suffix else path / "table.csv"
    try:
        table.parent.mkdir(exist_ok=True)
        table.write_text("image,gender\n1.png,Men\n", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert fail_to_read(path, UsageError).endswith("has bytes in its name that are not UTF-8; rename it.")


def test_saving_into_a_folder_that_holds_something_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "note.txt").write_text("mine", encoding="utf-8")
    before = list_tree(out)
    with pytest.raises(UsageError, match="already exists") as refusal:
        catalogue.save(out)
    plain(refusal.value)
    assert list_tree(out) == before


def test_saving_over_a_catalogue_replaces_it_and_leaves_other_files(
    catalogue: Catalogue, make_source: MakeSource, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    catalogue.save(out)
    (out / "note.txt").write_text("mine", encoding="utf-8")
    other = ingest(make_source(make_rows(), name="other"))
    other.save(out, overwrite=True)
    assert load_catalogue(out) == other
    assert (out / "note.txt").read_text(encoding="utf-8") == "mine"
    assert len(list(out.iterdir())) == 4


@pytest.mark.parametrize("place", ["file", "file/below"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_saving_where_a_file_stands_is_refused(
    catalogue: Catalogue, tmp_path: Path, place: str, overwrite: bool
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError) as refusal:
        catalogue.save(tmp_path / place, overwrite=overwrite)
    plain(refusal.value)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def fill_disk(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on there is no room for a file of that name."""
    open_path = Path.open

    def open_for(path: Path, mode: str = "r", **options: str) -> object:
        if path.name == name and "w" in mode:
            raise OSError(28, "No space left on device")
        return open_path(path, mode, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_for)


@pytest.mark.parametrize("name", ["catalogue.json", "products.jsonl", "rejects.csv"])
def test_a_full_disk_leaves_nothing_half_written(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill_disk(monkeypatch, name)
    with pytest.raises(OSError, match="No space"):
        catalogue.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_the_earlier_catalogue_as_it_was(
    catalogue: Catalogue, make_source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.save(tmp_path / "out")
    before = list_tree(tmp_path / "out")
    fill_disk(monkeypatch, "rejects.csv")
    with pytest.raises(OSError, match="No space"):
        ingest(make_source(make_rows(), name="other")).save(tmp_path / "out", overwrite=True)
    assert list_tree(tmp_path / "out") == before


def test_a_catalogue_replaced_only_in_part_is_never_taken_for_a_whole_one(
    catalogue: Catalogue, make_source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.save(tmp_path / "out")
    move = shutil.move

    def stop_before_the_last(source: Path, target: Path) -> object:
        if target.name == "catalogue.json":
            raise KeyboardInterrupt
        return move(source, target)

    monkeypatch.setattr(shutil, "move", stop_before_the_last)
    with pytest.raises(KeyboardInterrupt):
        ingest(make_source(make_rows(), name="other")).save(tmp_path / "out", overwrite=True)
    with pytest.raises(CatalogueError, match="is not as it was written"):
        load_catalogue(tmp_path / "out")


def test_a_products_file_edited_by_hand_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.save(tmp_path / "out")
    products = tmp_path / "out" / "products.jsonl"
    products.write_bytes(products.read_bytes().replace(b'"train"', b'"test"', 1))
    with pytest.raises(CatalogueError, match=r"products\.jsonl is not as it was written") as refusal:
        load_catalogue(tmp_path / "out")
    plain(refusal.value)


def test_a_newer_format_is_refused_with_both_numbers(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.save(tmp_path / "out")
    head = tmp_path / "out" / "catalogue.json"
    head.write_text(json.dumps(json.loads(head.read_text(encoding="utf-8")) | {"format": 17}), encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"format 17.*formats 1 and 2\b") as refusal:
        load_catalogue(tmp_path / "out")
    plain(refusal.value)


@pytest.mark.parametrize("name", ["products.jsonl", "rejects.csv"])
def test_a_catalogue_with_a_file_missing_is_refused(catalogue: Catalogue, tmp_path: Path, name: str) -> None:
    catalogue.save(tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    with pytest.raises(CatalogueError, match="damaged catalogue; move it away and ingest"):
        load_catalogue(tmp_path / "out")


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"format": 1}', "null"])
def test_a_head_of_another_form_is_refused(catalogue: Catalogue, tmp_path: Path, text: str) -> None:
    catalogue.save(tmp_path / "out")
    (tmp_path / "out" / "catalogue.json").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match="damaged catalogue; move it away and ingest"):
        load_catalogue(tmp_path / "out")


def test_a_folder_without_a_catalogue_is_a_mistake_in_use(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="holds no catalogue") as refusal:
            load_catalogue(place)
        plain(refusal.value)


def test_a_catalogue_finds_its_pictures_after_loading_and_says_when_they_are_gone(
    make_source: MakeSource, tmp_path: Path
) -> None:
    source = make_source([{"id": 1}])
    ingest(source).save(tmp_path / "out")
    loaded = load_catalogue(tmp_path / "out")
    assert loaded.open_source().read("images/1.jpg") == (source / "images" / "1.jpg").read_bytes()
    shutil.rmtree(source)
    with pytest.raises(CatalogueError, match="is not there") as refusal:
        loaded.open_source()
    plain(refusal.value)


# The real data


def test_the_public_data_set_is_read_whole_and_split_without_leaks(real_small: Path) -> None:
    catalogue = ingest(real_small)
    counts = catalogue.counts
    assert (counts["rows"], counts["products"], counts["rejected_rows"]) == (40_055, 39_721, 334)
    assert counts["rejected_by_reason"] == {"no picture": 334}
    assert {attribute.name: len(attribute.values) for attribute in catalogue.taxonomy.attributes} == {
        "gender": 5,
        "masterCategory": 7,
        "subCategory": 45,
        "articleType": 141,
        "baseColour": 46,
        "season": 4,
        "usage": 8,
    }
    sides: dict[str, set[Split]] = defaultdict(set)
    for product in catalogue.products:
        sides["name " + " ".join(product.name.casefold().split())].add(product.split)
        sides[f"group {product.group}"].add(product.split)
        for pixel_hash in product.pixel_hashes:
            sides[f"pixels {pixel_hash}"].add(product.split)
    assert [clue for clue, splits in sides.items() if len(splits) > 1] == []
    shares = Counter(product.split for product in catalogue.products)
    for split, ratio in ((Split.TRAIN, 0.70), (Split.VALIDATION, 0.15), (Split.TEST, 0.15)):
        assert shares[split] / len(catalogue.products) == pytest.approx(ratio, abs=0.005)


def test_a_catalogue_moved_together_with_its_source_still_finds_its_pictures(
    make_source: Callable[..., Path], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    make_source([{"id": "1"}, {"id": "2"}]).rename(project / "shop")
    ingest(project / "shop").save(project / "catalogue")
    project.rename(tmp_path / "elsewhere")
    catalogue = load_catalogue(tmp_path / "elsewhere" / "catalogue")
    assert catalogue.open_source().read(catalogue.products[0].images[0])


def test_a_catalogue_on_another_drive_than_its_source_is_saved_and_found(
    make_source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    source = make_source([{"id": "1"}, {"id": "2"}])
    monkeypatch.setattr(os.path, "relpath", refuse)
    ingest(source).save(tmp_path / "catalogue")
    assert load_catalogue(tmp_path / "catalogue").source == source
    (tmp_path / "catalogue" / "None").mkdir()
    source.rename(tmp_path / "elsewhere")
    with pytest.raises(CatalogueError, match="which is not there"):
        load_catalogue(tmp_path / "catalogue").open_source()


def test_a_reject_with_a_very_long_text_is_read_back(make_source: MakeSource, tmp_path: Path) -> None:
    taxonomy = Taxonomy((Attribute("gender", ("Men", "Women")),))
    catalogue = ingest(make_source([{"id": 1}, {"id": 2, "gender": "x" * 200_000}]), taxonomy=taxonomy)
    catalogue.save(tmp_path / "out")
    limit = csv.field_size_limit(131_072)
    try:
        assert load_catalogue(tmp_path / "out") == catalogue
        assert csv.field_size_limit() == 131_072
    finally:
        csv.field_size_limit(limit)


def test_overwrite_replaces_only_a_catalogue(make_source: Callable[..., Path], tmp_path: Path) -> None:
    catalogue = ingest(make_source([{"id": "1"}, {"id": "2"}]))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rejects.csv").write_text("mine")
    with pytest.raises(UsageError, match="is no catalogue; choose another place"):
        catalogue.save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "rejects.csv").read_text() == "mine"
    catalogue.save(tmp_path / "own")
    catalogue.save(tmp_path / "own", overwrite=True)
    assert load_catalogue(tmp_path / "own") == catalogue


def test_the_words_for_another_format_and_a_damaged_head_lead_out(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.save(tmp_path / "out")
    head = tmp_path / "out" / "catalogue.json"
    head.write_text(json.dumps(json.loads(head.read_text(encoding="utf-8")) | {"format": 17}), encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"; move .*out away and ingest the source again\.$"):
        load_catalogue(tmp_path / "out")
    head.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"holds a damaged catalogue; move it away and ingest the source again\.$"):
        catalogue.save(tmp_path / "out", overwrite=True)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are those of POSIX systems")
@pytest.mark.parametrize("closed", ["lost+found", ".Trash-0"])
def test_what_a_disk_has_of_its_own_may_be_closed(closed: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "1.png").write_bytes(b"")
        (folder / closed).mkdir(mode=0)
        own = os.geteuid()
        os.seteuid(own or 65534)  # to root nothing is closed
        try:
            assert open_source(folder).names() == ["1.png"]
        finally:
            os.seteuid(own)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are those of POSIX systems")
@pytest.mark.parametrize("closed", [".", "men", "shop.zip"])
def test_what_may_not_be_read_is_told_and_never_taken_for_empty(closed: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        for name in ("men", "women"):
            (folder / name).mkdir()
            (folder / name / "1.png").write_bytes(b"")
        with zipfile.ZipFile(folder / "shop.zip", "w") as archive:
            archive.writestr("men/1.png", b"")
        place = (folder / closed).resolve()
        rights = place.stat().st_mode
        place.chmod(0)
        own = os.geteuid()
        os.seteuid(own or 65534)  # to root nothing is closed
        try:
            with pytest.raises(UsageError, match=re.escape(f"{place} cannot be ")) as told:
                open_source(place if closed == "shop.zip" else folder.resolve()).names()
        finally:
            os.seteuid(own)
            place.chmod(rights)
        assert "check its permissions" in str(told.value)
