"""Tables, folders, sheets and data sets of one's own: the same products come out, whatever they are read from."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import Vestiary, paint_picture
from vestiary.catalogue import Catalogue, Columns, Reading, ingest, load_catalogue, open_source
from vestiary.checks import run_checks
from vestiary.errors import CatalogueError, MissingExtraError, UsageError, VestiaryError
from vestiary.images import read_picture
from vestiary.taxonomy import Attribute, Taxonomy

HEADER = ("sku", "photo", "title", "colour", "kind")
ROWS = (
    ("A1", "pics/1.png", "Shirt, blue", "Blue", "Shirts"),
    ("A2", "pics/2.png", 'The "best"\nshirt', "Navy Blue", "Shirts"),
    ("A3", "pics/3.png", "Größe L – hat", "Red", "Caps"),
    ("A4", "pics/4.png", "Plain", "", "Caps"),
)
COLUMNS = Columns({"colour": "colour", "kind": "kind"}, image="photo", id="sku", name="title")


def to_csv(rows: Sequence[Sequence[object]], *, delimiter: str = ",", header: Sequence[str] = HEADER) -> str:
    import csv

    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue()


def to_objects(rows: Sequence[Sequence[Any]] = ROWS) -> list[dict[str, Any]]:
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with pictures 1 to 6, each of a colour of its own."""
    folder = tmp_path / "shop"
    (folder / "pics").mkdir(parents=True)
    for number in range(1, 7):
        (folder / "pics" / f"{number}.png").write_bytes(paint_picture((number * 30, 0, 0)))
    return folder


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path | str, columns: Columns = COLUMNS, **options: Any) -> Catalogue:
    return ingest(path, reading=Reading(columns, **options))


def content(catalogue: Catalogue) -> list[tuple[object, ...]]:
    return [(one.id, one.images, one.name, dict(one.labels), one.pixel_hashes) for one in catalogue.products]


def lines_of(catalogue: Catalogue) -> list[int]:
    return [int(product.source.rpartition(":")[2]) for product in catalogue.products]


@pytest.fixture
def expected(shop: Path) -> list[tuple[object, ...]]:
    return content(read(write(shop, "plain.jsonl", "\n".join(map(json.dumps, to_objects())))))


# Text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_text_table_is_read_whatever_its_delimiter_and_encoding(
    shop: Path, expected: list[tuple[object, ...]], delimiter: str, encoding: str
) -> None:
    catalogue = read(write(shop, "products.csv", to_csv(ROWS, delimiter=delimiter).encode(encoding)))
    assert content(catalogue) == expected
    assert catalogue.products[1].name == 'The "best" shirt'
    assert lines_of(catalogue) == [2, 3, 5, 6]  # the newline inside quotes counts
    assert [dict(product.labels) for product in catalogue.products][3] == {"kind": "Caps"}


def test_windows_line_ends_and_a_tsv_change_nothing(shop: Path, expected: list[tuple[object, ...]]) -> None:
    text = to_csv(ROWS, delimiter="\t").replace("\n", "\r\n")
    assert content(read(write(shop, "products.tsv", text))) == expected


def test_the_encoding_can_be_named(shop: Path) -> None:
    text = to_csv([("A1", "pics/1.png", "シャツ", "青", "シャツ")])
    catalogue = read(write(shop, "products.csv", text.encode("shift_jis")), encoding="shift_jis")
    assert catalogue.products[0].labels == {"colour": "青", "kind": "シャツ"}


def test_json_lines_and_parquet_and_excel_give_the_same_products(
    shop: Path, expected: list[tuple[object, ...]]
) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra 'ui' is not installed")
    openpyxl = pytest.importorskip("openpyxl", reason="the extra 'ui' is not installed")
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(to_objects()), shop / "products.parquet")
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    sheet = book.create_sheet("Products")
    for row in [(), HEADER, *ROWS]:
        sheet.append(row)
    book.save(shop / "products.xlsx")
    assert content(read(shop / "products.parquet")) == expected
    excel = read(shop / "products.xlsx", sheet="Products")
    assert content(excel) == expected
    packed = pack(shop, shop.parent / "packed.zip")
    assert content(read(packed, table="products.parquet")) == expected
    assert content(read(packed, table="products.xlsx", sheet="Products")) == expected
    assert lines_of(excel) == [3, 4, 5, 6]
    assert excel.reading["form"] == "Excel, sheet 'Products'"


def test_every_row_of_a_sheet_is_read_whatever_size_the_file_says_it_has(
    shop: Path, expected: list[tuple[object, ...]]
) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="the extra 'ui' is not installed")
    from openpyxl.chart import BarChart

    book = openpyxl.Workbook()
    for row in [HEADER, *ROWS]:
        book.active.append(row)
    book.create_chartsheet("Chart", 0).add_chart(BarChart())
    book.save(shop / "whole.xlsx")
    for size in (b"A1", b"A1:D2", b"A1:XFD1048576"):
        with zipfile.ZipFile(shop / "whole.xlsx") as whole, zipfile.ZipFile(shop / "told.xlsx", "w") as told:
            for name in whole.namelist():
                told.writestr(name, re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="%s"' % size, whole.read(name)))
        assert content(read(shop / "told.xlsx")) == expected, size


def test_errors_of_excel_are_no_labels(shop: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="the extra 'ui' is not installed")
    errors = ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!")
    book = openpyxl.Workbook()
    book.active.append(["image", "gender", "season"])
    for error in errors:
        book.active.append(["pics/1.png", "Men", error])
    book.active.append(["pics/2.png", "Women", "Summer"])
    book.save(shop / "errors.xlsx")
    catalogue = ingest(shop / "errors.xlsx")
    assert catalogue.taxonomy["season"].values == ("Summer",)
    assert catalogue.products[0].labels == {"gender": "Men"}


def test_columns_with_usual_names_need_no_option(shop: Path) -> None:
    rows = [("1", "pics/1.png", "Blue", "Shirts", "x"), ("2", "pics/2.png", "Red", "Caps", "y")]
    header = ("ID", "image", "baseColour", "articleType", "remark")
    catalogue = read(write(shop, "products.csv", to_csv(rows, header=header)), Columns())
    assert catalogue.taxonomy.names == ("articleType", "baseColour")
    assert catalogue.taxonomy["baseColour"].title == "Base colour"
    assert [product.id for product in catalogue.products] == ["1", "2"]


def test_an_attribute_may_have_another_name_than_its_column(shop: Path) -> None:
    columns = Columns.from_options(["kind", "baseColour = colour"], image="photo")
    catalogue = read(write(shop, "products.csv", to_csv(ROWS)), columns)
    assert catalogue.taxonomy.names == ("kind", "baseColour")


def test_without_an_id_the_picture_is_the_id(shop: Path) -> None:
    rows = [("pics/1.png", "Blue"), ("pics/2.png", "Red"), ("pics/1.png", "Blue")]
    catalogue = read(write(shop, "products.csv", to_csv(rows, header=("image", "baseColour"))), Columns())
    assert [product.id for product in catalogue.products] == ["pics/1.png", "pics/2.png"]
    assert [(reject.line, str(reject.reason)) for reject in catalogue.rejects] == [(4, "duplicate id")]


def test_numbers_and_dates_become_plain_text(shop: Path) -> None:
    rows = [{"id": 17, "image": "pics/1.png", "year": 2012.0, "size": 1.5, "new": True, "gone": None}]
    rows.append({"id": 18, "image": "pics/2.png", "gone": "x"})
    columns = Columns({name: name for name in ("year", "size", "new", "gone")})
    catalogue = read(write(shop, "products.jsonl", "\n".join(map(json.dumps, rows))), columns)
    assert catalogue.products[0].id == "17"
    assert catalogue.products[0].labels == {"year": "2012", "size": "1.5", "new": "true"}


def test_two_hundred_columns_are_no_trouble(shop: Path) -> None:
    header = ["image", *(f"c{number}" for number in range(199))]
    rows = [[f"pics/{row}.png", *(f"v{row}" for _ in range(199))] for row in (1, 2)]
    columns = Columns({name: name for name in header[1:]})
    catalogue = read(write(shop, "wide.csv", to_csv(rows, header=header)), columns)
    assert len(catalogue.taxonomy.names) == 199


# Several pictures


def test_a_repeated_id_is_another_view(shop: Path, tmp_path: Path) -> None:
    rows = [
        *ROWS,
        ("A1", "pics/5.png", "", "Blue", ""),
        ("A1", "pics/5.png", "", "", ""),
        ("A1", "pics/6.png", "", "Red", ""),
    ]
    catalogue = read(write(shop, "products.csv", to_csv(rows)))
    first = catalogue.products[0]
    assert first.images == ("pics/1.png", "pics/5.png")
    assert len(set(first.pixel_hashes)) == 2
    assert [(reject.line, str(reject.reason), reject.detail) for reject in catalogue.rejects] == [
        (8, "duplicate id", "line 2 has this id and picture already"),
        (9, "duplicate id", "line 2 says colour 'Blue', this one 'Red'"),
    ]
    counts = catalogue.counts
    assert (counts["rows"], counts["products"], counts["rejected_rows"], counts["rows_as_further_views"]) == (
        7,
        4,
        2,
        1,
    )
    catalogue.save(tmp_path / "out")
    assert load_catalogue(tmp_path / "out") == catalogue


def test_a_key_that_only_the_last_json_line_has_is_a_column(shop: Path) -> None:
    rows: list[dict[str, object]] = [{"id": "1", "image": "pics/1.png", "gender": "Men"}] * 1500
    rows.append({"id": "2", "image": "pics/2.png", "gender": "Men", "baseColour": "Blue"})
    path = write(shop, "products.jsonl", "\n".join(map(json.dumps, rows)))
    for columns in (Columns(), Columns({"gender": "gender", "baseColour": "baseColour"})):
        assert read(path, columns).products[-1].labels == {"gender": "Men", "baseColour": "Blue"}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_list_in_a_cell_is_several_views(shop: Path, form: str) -> None:
    views = ["pics/1.png", "pics/2.png"]
    if form == "csv":
        text = to_csv([("1", json.dumps(views), "Blue")], header=("id", "image", "baseColour"))
        path = write(shop, "products.csv", text)
    elif form == "jsonl":
        path = write(shop, "products.jsonl", json.dumps({"id": 1, "image": views, "baseColour": "Blue"}))
    else:
        pa = pytest.importorskip("pyarrow", reason="the extra 'ui' is not installed")
        import pyarrow.parquet as pq

        path = shop / "products.parquet"
        pq.write_table(pa.Table.from_pylist([{"id": 1, "image": views, "baseColour": "Blue"}]), path)
    (product,) = read(path, Columns()).products
    assert product.images == tuple(views)


def test_the_same_picture_is_read_once(shop: Path) -> None:
    seen: list[tuple[int, int]] = []
    rows = [(f"A{number}", "pics/1.png", f"n{number}", "Blue", "Caps") for number in range(50)]
    path = write(shop, "products.csv", to_csv(rows))
    catalogue = ingest(path, reading=Reading(COLUMNS), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 1)]
    assert len(catalogue.products) == 50
    assert len({product.group for product in catalogue.products}) == 1


# Places


def pack(folder: Path, path: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
    return path


def test_a_table_is_found_in_a_zip_or_folder_with_its_pictures_beside_it(
    shop: Path, tmp_path: Path, expected: list[tuple[object, ...]]
) -> None:
    (shop / "plain.jsonl").unlink()
    write(shop, "products.csv", to_csv(ROWS))
    folder = read(shop)
    assert content(folder) == expected
    assert [reject.id for reject in folder.rejects] == ["5", "6"]  # pictures that no row names
    archive = read(pack(shop, tmp_path / "shop.zip", "deep/er/"))
    assert [one.images[0] for one in archive.products] == [f"deep/er/pics/{number}.png" for number in range(1, 5)]
    assert archive.open_source().read("deep/er/pics/1.png") == (shop / "pics" / "1.png").read_bytes()


def test_of_several_tables_one_must_be_named(shop: Path) -> None:
    write(shop, "a.csv", to_csv(ROWS))
    write(shop, "b.csv", to_csv(ROWS[:2]))
    with pytest.raises(UsageError, match=r"several tables; say which with --table: a\.csv, b\.csv\."):
        read(shop)
    assert len(read(shop, table="b.csv").products) == 2
    with pytest.raises(UsageError, match=r"no table 'c\.csv'; did you mean '[ab]\.csv'"):
        read(shop, table="c.csv")


def test_pictures_may_lie_elsewhere(shop: Path, tmp_path: Path, expected: list[tuple[object, ...]]) -> None:
    table = write(tmp_path, "products.csv", to_csv(ROWS))
    for place in (shop, str(pack(shop, tmp_path / "pictures.zip"))):
        catalogue = read(table, images=place)
        assert content(catalogue) == expected
        assert len(catalogue.rejects) == 2
    absolute = [(row[0], str(shop / row[1]), *row[2:]) for row in ROWS]
    assert content(read(write(tmp_path, "absolute.csv", to_csv(absolute)), images=shop)) == expected


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links on this system")
def test_pictures_may_be_named_through_a_link_to_their_folder(
    shop: Path, tmp_path: Path, expected: list[tuple[object, ...]]
) -> None:
    link = tmp_path / "link"
    link.symlink_to(shop)
    absolute = [(row[0], str(link / row[1]), *row[2:]) for row in ROWS]
    assert content(read(write(link, "absolute.csv", to_csv(absolute)))) == expected


def test_a_zip_whose_names_have_backslashes_is_read_as_with_slashes(
    shop: Path, tmp_path: Path, expected: list[tuple[object, ...]]
) -> None:
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("products.csv", to_csv([(row[0], row[1].replace("/", "\\"), *row[2:]) for row in ROWS]))
        for name, body in [
            ("pics\\", b""),
            *((f"pics\\{number}.png", (shop / "pics" / f"{number}.png").read_bytes()) for number in range(2, 5)),
            ("..\\outside.png", b"outside"),
            ("pics\\1.png", b"the member with the right name wins"),
            ("pics/1.png", (shop / "pics" / "1.png").read_bytes()),
        ]:
            info = zipfile.ZipInfo("name")
            info.filename = name
            archive.writestr(info, body)
    assert content(read(tmp_path / "shop.zip")) == expected
    with pytest.raises(UsageError, match="leads out of the archive"):
        open_source(tmp_path / "shop.zip").read("../outside.png")


def test_addresses_work_for_tables_folders_and_zips(
    shop: Path, tmp_path: Path, expected: list[tuple[object, ...]]
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    (shop / "plain.jsonl").unlink()
    write(shop, "products.csv", to_csv(ROWS))
    pack(shop, tmp_path / "shop.zip")
    memory = fsspec.filesystem("memory")
    memory.put(str(shop), "/bucket/shop", recursive=True)
    memory.put(str(tmp_path / "shop.zip"), "/bucket/shop.zip")
    for address in ("memory://bucket/shop/products.csv", "memory://bucket/shop", "memory://bucket/shop.zip"):
        catalogue = read(address)
        assert content(catalogue) == expected
        out = tmp_path / "out" / address.rpartition("/")[2]
        catalogue.save(out)
        loaded = load_catalogue(out)
        assert loaded == catalogue
        assert read_picture(loaded.open_source().read("pics/1.png")).width == 12
    with pytest.raises(UsageError, match="There is nothing at memory://bucket/nothing"):
        read("memory://bucket/nothing")


def test_a_store_that_fails_while_a_table_is_read_is_told_in_plain_words(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    write(shop, "products.csv", to_csv(ROWS))
    fsspec.filesystem("memory").put(str(shop / "products.csv"), "/failing/products.csv")

    def fail(*_: object) -> bytes:
        raise OSError("connection reset")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFile.read", fail)
    with pytest.raises(
        VestiaryError, match=r"^memory://failing cannot be reached; check the address and the network\.$"
    ):
        read("memory://failing/products.csv")


def test_a_store_that_is_away_for_a_moment_costs_no_product(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    write(shop, "products.csv", to_csv(ROWS))
    fsspec.filesystem("memory").put(str(shop), "/away", recursive=True)
    catalogue = read("memory://away")
    cat_file = fsspec.get_filesystem_class("memory").cat_file

    def fail(self: object, path: str, *given: Any, **named: Any) -> bytes:
        if path.endswith("2.png"):
            raise ConnectionError("connection reset")
        found: bytes = cat_file(self, path, *given, **named)
        return found

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.cat_file", fail)
    for work in (lambda: read("memory://away"), lambda: run_checks(catalogue)):
        with pytest.raises(UsageError, match=r"^memory://away cannot be reached; check the address and the network\.$"):
            work()


def test_a_folder_that_goes_away_meanwhile_leaves_no_catalogue_of_what_was_read(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[ingest.__module__], "AT_ONCE", 2)
    path = write(shop, "products.csv", to_csv(ROWS))

    def take_away(done: int, total: int) -> None:
        if (done, total) == (2, 4):
            shop.rename(shop.with_name("elsewhere"))
            shop.mkdir()  # as a mount point stays

    words = f"^{re.escape(str(shop))} is no longer there; bring it back and ingest again"
    with pytest.raises(CatalogueError, match=words):
        ingest(path, reading=Reading(COLUMNS), progress=take_away)


def test_what_is_said_of_an_address_holds_no_signature(shop: Path, vestiary: Vestiary, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    memory = fsspec.filesystem("memory")
    address = "memory://signed?sig=hidden"
    memory.pipe("/signed?sig=hidden/products.csv", to_csv([("A1", "gone.png", "Shirt", "Blue", "Shirts")]).encode())
    for options in ({}, {"table": "produkts.csv"}, {"sheet": "1"}):
        with pytest.raises(VestiaryError) as refusal:
            read(address, **options)
        assert "hidden" not in str(refusal.value)
    memory.rm("/signed?sig=hidden/products.csv")
    for number, kind in ((1, "dress"), (2, "hat")):
        memory.put(str(shop / "pics" / f"{number}.png"), f"/signed?sig=hidden/{kind}/{number}.png")
    catalogue = ingest(address)
    assert [one.source for one in catalogue.products] == ["signed?sig=***:1", "signed?sig=***:2"]
    catalogue.save(tmp_path / "out")
    assert json.loads(vestiary("inspect", tmp_path / "out", "--json").out)["source"] == "memory://signed?sig=***"


def test_an_address_nobody_can_read_is_refused_in_plain_words() -> None:
    pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")
    for address, words in (("gopher://x/y", "use s3, gs or az"), ("https://x.example/a.zip", "download it first")):
        with pytest.raises(UsageError, match=words):
            read(address)


# Packages


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [
        ("pyarrow.parquet", "x.parquet", "ui"),
        ("openpyxl", "x.xlsx", "ui"),
        ("datasets", "hf:a/b", "hub"),
        ("fsspec", "s3://a/b", "cloud"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    shop: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, extra: str
) -> None:
    import importlib

    real = importlib.import_module

    def missing(wanted: str, package: str | None = None) -> ModuleType:
        if wanted == module:
            raise ModuleNotFoundError(name=module)
        return real(wanted, package)

    if "." in name and ":" not in name:
        name = str(write(shop, name, b"x"))
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=rf"pip install 'vestiary\[{extra}\]'"):
        read(name)


# Own questions


def test_a_taxonomy_of_ones_own_brings_titles_aliases_and_closed_answers(shop: Path) -> None:
    taxonomy = Taxonomy(
        (Attribute("colour", ("Blue", "Red"), "Farbe", {"Navy Blue": "Blue"}), Attribute("kind", ("Shirts",)))
    )
    path = write(shop, "products.csv", to_csv(ROWS))
    catalogue = ingest(path, taxonomy=taxonomy, reading=Reading(COLUMNS))
    assert [product.labels["colour"] for product in catalogue.products] == ["Blue", "Blue"]
    assert catalogue.rejects[0].detail == "kind 'Caps' is not in the taxonomy"


def test_the_attributes_of_a_taxonomy_are_looked_for_in_the_header(shop: Path) -> None:
    taxonomy = Taxonomy((Attribute("kind", ("Shirts", "Caps")), Attribute("size", ("S",))))
    catalogue = ingest(
        write(shop, "products.csv", to_csv(ROWS)), taxonomy=taxonomy, reading=Reading(Columns(image="photo"))
    )
    assert catalogue.products[0].labels == {"kind": "Shirts"}


def test_the_kaggle_layout_answers_only_the_attributes_asked_for(make_source: Callable[..., Path]) -> None:
    source = make_source([{"id": 1}, {"id": 2, "baseColour": "Red"}])
    catalogue = ingest(source, reading=Reading(Columns({"colour": "baseColour", "gender": "gender"})))
    assert catalogue.taxonomy.names == ("colour", "gender")


def test_a_taxonomy_and_the_attributes_asked_for_must_meet(shop: Path, make_source: Callable[..., Path]) -> None:
    path = write(shop, "products.csv", to_csv(ROWS))
    other = Taxonomy((Attribute("colours", ("Blue",)),))
    with pytest.raises(UsageError, match=r"no attribute 'colour', which --attribute names; did you mean 'colours'\?$"):
        ingest(path, taxonomy=other, reading=Reading(COLUMNS))
    unheard = Taxonomy((Attribute("baseColor", ("Blue",)),))
    with pytest.raises(UsageError, match=r"asks about 'baseColor'.*; name its column.*did you mean 'baseColour'"):
        ingest(make_source([{"id": 1}, {"id": 2}]), taxonomy=unheard)


def test_labels_that_the_taxonomy_does_not_ask_about_are_no_labels(shop: Path) -> None:
    header = ("image", "colour", "kind")
    path = write(shop, "products.csv", to_csv([("pics/1.png", "", "Caps")], header=header))
    with pytest.raises(CatalogueError, match="no label in any row"):
        ingest(path, taxonomy=Taxonomy((Attribute("colour", ("Blue",)),)), reading=Reading(Columns()))


def test_an_attribute_asked_for_whose_column_is_empty_is_named(shop: Path) -> None:
    rows = [("pics/1.png", "", "Caps"), ("pics/2.png", "NA", "Shirts")]
    path = write(shop, "products.csv", to_csv(rows, header=("image", "colour", "kind")))
    with pytest.raises(UsageError, match=r"no label for the attribute tint \(column 'colour'\) in any usable row; "):
        read(path, Columns({"kind": "kind", "tint": "colour"}))


def test_a_list_as_pandas_writes_it_is_several_views(shop: Path) -> None:
    rows = [("['pics/1.png', 'pics/2.png']", "Red"), ("[]", "Red"), ("[1, 2+", "Blue")]
    catalogue = read(write(shop, "products.csv", to_csv(rows, header=("images", "baseColour"))), Columns())
    assert [one.images for one in catalogue.products] == [("pics/1.png", "pics/2.png")]
    assert [reject.detail for reject in catalogue.rejects] == ["column 'images' is empty", "[1, 2+ is not there"]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("products.csv", {"sheet": "One"}, "is no Excel file, so --sheet"),
        ("products.csv", {"table": "products.csv"}, "is the table itself, so --table"),
        ("products.parquet", {"encoding": "cp1252"}, "is no text, so --encoding"),
        ("classes", {"images": "pics"}, "has no table, so --images"),
        ("kaggle", {"sheet": "One"}, "is in Kaggle's layout, .* so --sheet"),
    ],
)
def test_an_option_that_does_not_apply_is_refused(
    shop: Path, make_source: Callable[..., Path], name: str, options: dict[str, str], words: str
) -> None:
    write(shop, "products.csv", to_csv(ROWS))
    write(shop, "products.parquet", b"PAR1")
    for kind in ("a", "b"):
        (shop / "classes" / kind).mkdir(parents=True)
        write(shop / "classes" / kind, "1.png", paint_picture((9, 9, 9)))
    source = make_source([{"id": 1}, {"id": 2}]) if name == "kaggle" else shop / name
    with pytest.raises(UsageError, match=f"{words} does not apply to it; leave it out"):
        read(source, Columns(), **options)


def test_a_guessed_encoding_is_shown_with_a_field(shop: Path) -> None:
    catalogue = read(write(shop, "products.csv", to_csv(ROWS[2:]).replace("–", "-").encode("cp1252")))
    assert catalogue.reading["form"].endswith("Windows-1252 (guessed, as in 'Größe L - hat')")


def test_a_styles_csv_of_another_form_is_read_as_a_table(make_source: Callable[..., Path]) -> None:
    source = make_source(["1,images/1.jpg,Blue", "2,images/2.jpg,Red"], header="id,image,baseColour")
    (source / "images").mkdir()
    for number in (1, 2):
        write(source / "images", f"{number}.jpg", paint_picture((number * 40, 0, 0)))
    with pytest.raises(CatalogueError, match=r"read it as a table with --table styles\.csv\.$"):
        read(source, Columns())
    assert read(source, Columns(), table="styles.csv").counts["products"] == 2


def test_a_quoted_styles_csv_is_read(make_source: Callable[..., Path]) -> None:
    source = make_source([{"id": 1}, {"id": 2}])
    plain = ingest(source)
    lines = (source / "styles.csv").read_text().splitlines()
    quoted = ['"' + line.replace(",", '","') + '"' for line in lines]
    write(source, "styles.csv", "\n".join(quoted))
    assert ingest(source).products == plain.products
