"""Bad input is told in one plain sentence with its place, and leaves nothing half written."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import paint_picture
from vestiary.catalogue import Catalogue, Columns, Reading, ingest, load_catalogue
from vestiary.errors import CatalogueError, UsageError, VestiaryError

HEADER = "id,image,baseColour,articleType"
GOOD = "1,1.png,Blue,Shirts\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(paint_picture((number * 50, 0, 0)))
    return folder


def read(shop: Path, content: str | bytes, name: str = "products.csv", **columns: Any) -> Catalogue:
    (shop / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return ingest(shop / name, reading=Reading(Columns(**columns)))


def refuse(shop: Path, content: str | bytes, name: str = "products.csv", **columns: Any) -> str:
    with pytest.raises(VestiaryError) as refusal:
        read(shop, content, name, **columns)
    assert type(refusal.value) in (UsageError, CatalogueError)
    message = str(refusal.value)
    assert re.fullmatch(r"[^\n]+[;:] [^\n]+[.?]", message), message
    assert not re.search(r"Errno|codec|Traceback|\w+Error\b|object at", message), message
    return message


def rejects_of(catalogue: Catalogue) -> list[tuple[int | None, str]]:
    return [(reject.line, str(reject.reason)) for reject in catalogue.rejects]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\n\n\n", "no header in line 1"),
        (f"{HEADER}\n".encode(), "has no rows below its header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is a PNG picture, not a table"),
        (b"PK\x03\x04" + bytes(60), "is a zip archive or an Excel file"),
        (bytes(range(256)) * 20, "is a binary file"),
        (f"{HEADER}\n{GOOD}2,2.png,Bl\0ue,Caps\n".encode(), "line 3 column 11 is a NUL byte"),
        (f"{HEADER}\n{GOOD}".encode() + b"2,2.png,\x81ue,Caps\n", "line 3 column 9 has the byte 0x81"),
        (f"{HEADER}\n1,1.png,красный,Caps\n".encode("cp1251"), "line 2 column 9 has the byte 0xea"),
        (f"{HEADER}\n1,1.png,Größe,Caps\n".encode() + b"2,2.png,Blu\xe9,Caps\n", "line 3 column 12 has the byte 0xe9"),
        (f'{HEADER}\n{GOOD}2,2.png,"Blue,Caps\n'.encode(), "line 3 has a quote that is never closed"),
        (f'{HEADER}\n{GOOD}2,2.png,"Blue"ish,Caps\n'.encode(), "line 3 has text behind a closing quote"),
        (f"{HEADER},baseColour\n{GOOD}".encode(), "line 1 calls both column 3 and column 5 'baseColour'"),
    ],
)
def test_a_text_table_that_cannot_be_read_says_where(shop: Path, content: bytes, words: str) -> None:
    assert words in refuse(shop, content)


def test_a_named_encoding_that_does_not_fit_or_exist_is_refused(shop: Path) -> None:
    (shop / "products.csv").write_bytes(f"{HEADER}\n1,1.png,Größe,Caps\n".encode("cp1252"))
    with pytest.raises(CatalogueError, match="is not utf-8: line 2 column 11"):
        ingest(shop / "products.csv", reading=Reading(encoding="utf-8"))
    for name in ("klingon", "rot13", "base64"):
        with pytest.raises(UsageError, match=f"--encoding {name} is not known"):
            ingest(shop / "products.csv", reading=Reading(encoding=name))


@pytest.mark.parametrize("name", ["utf-16", "UTF32"])
def test_unicode_without_its_mark_is_read_when_its_order_is_named(shop: Path, name: str) -> None:
    usual = "utf-16" if name == "utf-16" else "utf-32"
    table = f"{HEADER}\n{GOOD}".encode(f"{usual}-le")
    assert "or name its --encoding." in refuse(shop, table)
    words = f"products.csv does not begin with the mark of {name}; write --encoding {usual}-le, or -be, instead."
    with pytest.raises(UsageError, match=re.escape(words)):
        ingest(shop / "products.csv", reading=Reading(encoding=name))
    for own in (table, f"{HEADER}\n{GOOD}".encode(usual)):  # a mark that is there after all is no letter
        (shop / "products.csv").write_bytes(own)
        (product,) = ingest(shop / "products.csv", reading=Reading(encoding=f"{usual}-le")).products
        assert product.id == GOOD.split(",")[0]


@pytest.mark.parametrize("told", ["sep=;\r\n", '"SEP=;"\n', "\ufeffsep=;\n"])
def test_a_first_line_that_tells_excel_the_delimiter_is_no_header(shop: Path, told: str) -> None:
    table = "id;image;base,Colour,s;articleType\n1;1.png;Blue;Shirts\n1;2.png;Red;Caps\n"
    catalogue = read(shop, told + table, attributes={"colour": "base,Colour,s"})
    assert [(product.id, product.labels["colour"]) for product in catalogue.products] == [("1", "Blue")]
    assert rejects_of(catalogue) == [(4, "duplicate id")]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"attributes": {"colour": "basecolor"}}, "no column 'basecolor' for --attribute; did you mean 'baseColour'"),
        ({"image": "immage"}, "no column 'immage' for --image-column; did you mean 'image'"),
        ({"id": "zzz"}, "there are: 'id', 'image', 'baseColour', 'articleType'"),
    ],
)
def test_a_missing_column_names_the_nearest(shop: Path, columns: dict[str, Any], words: str) -> None:
    assert words in refuse(shop, f"{HEADER}\n{GOOD}", **columns)


def test_a_table_whose_columns_say_nothing_asks_for_the_options(shop: Path) -> None:
    assert "say which it is with --image-column: 'a', 'b'" in refuse(shop, "a,b\n1,2\n")
    assert "name each with --attribute, out of: 'image', 'b'" in refuse(shop, "image,b\n1.png,2\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": 2 "image": "2.png"}', "line 2 column 10 is not JSON"),
        ("[1, 2]", "line 2 is not a JSON object"),
        ('{"id": 2, "image": "1.png", "image": "2.png"}', "line 2 calls both column 2 and column 3 'image'"),
        ("[" * 100_000, "line 2"),
        ('{"id": ' + "1" * 5000 + "}", "line 2 has a number of thousands of digits; put it in quotes."),
    ],
)
def test_a_malformed_json_line_is_named(shop: Path, line: str, words: str) -> None:
    good = json.dumps({"id": 1, "image": "1.png", "baseColour": "Blue"})
    assert words in refuse(shop, f"{good}\n{line}\n", "products.jsonl")


def test_a_broken_parquet_or_excel_file_is_refused(shop: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra 'ui' is not installed")
    pytest.importorskip("openpyxl", reason="the extra 'ui' is not installed")
    assert "not a readable Parquet file" in refuse(shop, b"PAR1 and no more", "products.parquet")
    assert "not a readable Excel file" in refuse(shop, b"PK\x03\x04 and no more", "products.xlsx")
    assert "not a readable Excel file" in refuse(shop, "id,image\n", "products.xlsx")


@pytest.mark.parametrize("name", ["products.csv", "products.jsonl", "products.xlsx"])
def test_a_table_damaged_inside_its_zip_is_told(shop: Path, name: str) -> None:
    """The checksum fails at the end, after the rows that can be read."""
    body = "".join(f"{number},1.png,Blue,Shirts\n" for number in range(20_000))
    with zipfile.ZipFile(shop / "shop.zip", "w") as archive:
        archive.writestr(name, f"{HEADER}\n{body}" if name.endswith(".csv") else '{"image": "1.png"}\n' * 20_000)
    data = (shop / "shop.zip").read_bytes()
    (shop / "shop.zip").write_bytes(data.replace(b"1.png", b"2.png", 1))
    with pytest.raises(UsageError, match=rf"^{name} cannot be read from shop\.zip: it is damaged; pack it again\.$"):
        ingest(shop / "shop.zip")


def test_a_parquet_file_cut_short_and_one_with_the_pictures_inside_are_refused(shop: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra 'ui' is not installed")
    import pyarrow.parquet as pq

    rows = [{"id": str(n), "image": b"bytes", "baseColour": "Blue"} for n in range(100)]
    pq.write_table(pa.Table.from_pylist(rows), shop / "x.parquet")
    body = (shop / "x.parquet").read_bytes()
    assert "not a readable Parquet file" in refuse(shop, body[: len(body) // 2], "products.parquet")
    assert "name it as hf:FOLDER" in refuse(shop, body, "products.parquet")


def test_a_sheet_that_is_not_there_names_the_nearest(shop: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="the extra 'ui' is not installed")
    book = openpyxl.Workbook()
    book.active.title = "Products"
    book.save(shop / "products.xlsx")
    with pytest.raises(UsageError, match="no sheet 'Prodcts'; did you mean 'Products'"):
        ingest(shop / "products.xlsx", reading=Reading(sheet="Prodcts"))
    with pytest.raises(CatalogueError, match="nothing in sheet 'Products'"):
        ingest(shop / "products.xlsx")


def test_a_bad_row_is_a_reject_and_the_others_stay(shop: Path) -> None:
    (shop.parent / "secret.png").write_bytes(paint_picture((9, 9, 9)))
    lines = [
        GOOD.strip(),
        "2,../secret.png,Red,Caps",
        f"3,{shop.parent}/secret.png,Red,Caps",
        "4,https://example.com/4.png,Red,Caps",
        "5,,Red,Caps",
        "6,missing.png,Red,Caps",
        ",2.png,Red,Caps",
        "8,2.png,Red",
        "9,2.png,Red,Caps,more",
        "10,products.csv,Red,Caps",
        '11,./2.png,"Navy\nBlue",Caps,,',
        "12,C:\\pics\\1.png,Red,Caps",
        '13,"[""1.png"", 7]",Red,Caps',
    ]
    catalogue = read(shop, "\n".join([HEADER, *lines]))
    assert [(one.id, dict(one.labels)) for one in catalogue.products] == [
        ("1", {"baseColour": "Blue", "articleType": "Shirts"}),
        ("11", {"baseColour": "Navy Blue", "articleType": "Caps"}),
    ]
    assert rejects_of(catalogue) == [
        (3, "picture outside the source"),
        (4, "picture outside the source"),
        (5, "picture is an address"),
        (6, "no picture"),
        (7, "no picture"),
        (8, "unusable value"),
        (9, "too few fields"),
        (10, "too many fields"),
        (11, "unreadable picture"),
        (14, "picture outside the source"),
        (15, "unusable value"),
    ]
    assert "nothing is fetched; download the pictures first" in catalogue.rejects[2].detail
    assert catalogue.counts["rows"] == 13


def test_values_that_are_no_text_are_rejects(shop: Path) -> None:
    values = [["a", "b"], {"a": 1}, "half \ud800", "nul \0", "Blue"]
    rows = [{"id": n, "image": "1.png", "name": f"n{n}", "baseColour": value} for n, value in enumerate(values)]
    catalogue = read(shop, "\n".join(json.dumps(row) for row in rows), "products.jsonl")
    assert rejects_of(catalogue) == [(line, "unusable value") for line in (1, 2, 3, 4)]
    assert catalogue.rejects[0].detail == "column 'baseColour' holds a list, not one value"
    catalogue.save(shop / "out")


def test_splits_are_kept_only_where_every_row_has_one(shop: Path) -> None:
    text = "image,baseColour,split\n1.png,Red,Train\n2.png,Blue,{}\n"
    (shop / "a.csv").write_text(text.format(""), encoding="utf-8")
    reading = Reading(Columns(split="split"))
    with pytest.raises(UsageError, match=r"a\.csv line 3 names no split"):
        ingest(shop / "a.csv", reading=reading, keep_splits=True)
    (shop / "b.csv").write_text(text.format("val"), encoding="utf-8")
    kept = ingest(shop / "b.csv", reading=reading, keep_splits=True)
    assert [str(one.split) for one in kept.products] == ["train", "validation"]
    (shop / "c.csv").write_text(text.format("holdout"), encoding="utf-8")
    assert rejects_of(ingest(shop / "c.csv", reading=reading)) == [(3, "unusable value")]


def test_products_of_one_name_are_a_group_within_the_split_that_the_source_gives_them(shop: Path) -> None:
    rows = ["1.png,Red,Train,Polo", "2.png,Blue,Train,polo", "3.png,Red,Train,Cap", "4.png,Red,Test,Polo"]
    for number in (3, 4):
        (shop / f"{number}.png").write_bytes(paint_picture((0, number * 50, 0)))
    (shop / "d.csv").write_text("\n".join(["image,baseColour,split,name", *rows]), encoding="utf-8")
    kept = ingest(shop / "d.csv", reading=Reading(Columns(split="split", name="name")), keep_splits=True)
    groups = [one.group for one in kept.products]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


@pytest.mark.parametrize("options", [["--attribute", "="], ["--attribute", "a", "--attribute", "a=b"]])
def test_an_option_that_makes_no_sense_is_refused(options: list[str]) -> None:
    with pytest.raises(UsageError, match="--attribute"):
        Columns.from_options(options[1::2])


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
            st.sampled_from(["1.png", "2.png", "3.png", "", "../1.png", '["1.png", "2.png"]']),
            st.text('aé,;"|\n\r\t \u2028', max_size=6),
        ),
        max_size=6,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_whatever_stands_in_the_cells_no_row_is_lost(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in (1, 2):
            (Path(folder) / f"{number}.png").write_bytes(paint_picture((number * 50, 0, 0)))
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter)
        writer.writerows([("id", "image", "baseColour"), *rows, ("last", "1.png", "Blue")])
        catalogue = read(Path(folder), text.getvalue())
        counts = catalogue.counts
        assert counts["rows"] == len(rows) + 1
        assert counts["rows"] == counts["products"] + counts["rejected_rows"] + counts["rows_as_further_views"]
        catalogue.save(Path(folder) / "out")
        assert load_catalogue(Path(folder) / "out") == catalogue


def test_the_command_leaves_nothing_behind_when_a_table_is_refused(shop: Path, tmp_path: Path) -> None:
    (shop / "products.csv").write_text(f'{HEADER}\n{GOOD}2,2.png,"open,Caps\n', encoding="utf-8")
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "vestiary", "ingest", str(shop / "products.csv"), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "products.csv line 3" in done.stderr
    assert not out.exists()
