"""Tables of one's own: CSV, TSV, JSON lines and Parquet, with any column names; Excel sheets come in by ``excel``."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from vestiary.catalogue.columns import (
    Columns,
    RowBuilder,
    hierarchy_of,
    refuse_repeated_columns,
    title_of,
)
from vestiary.catalogue.encoding import NAMES, detect_encoding
from vestiary.catalogue.rows import Reject, RejectReason, Row
from vestiary.catalogue.sources import FolderSource, Source, find_pictures
from vestiary.errors import CatalogueError, require

TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
LINE_SUFFIXES = frozenset({".jsonl", ".ndjson"})
PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
EXCEL_SUFFIXES = frozenset({".xlsx", ".xlsm"})
TABLE_SUFFIXES = TEXT_SUFFIXES | LINE_SUFFIXES | PARQUET_SUFFIXES | EXCEL_SUFFIXES

MAX_FIELD = 10_000_000
"""Characters of one CSV field: more is an open quote that swallows the rest of the table."""

BATCH_ROWS = 4096

_TOLD_DELIMITER = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
"""The first line of a CSV that tells Excel what stands between its fields."""

Cells = tuple[Any, ...]


class Table(Protocol):
    """One table: what its columns are called, and its lines. ``form`` tells how it is written, for people."""

    form: str
    columns: Sequence[str]

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[int, Cells] | Reject]:
        """Line number (from 1, header included) and the wanted cells of every line; a reject for one out of shape."""


class TableReader:
    """Rows of a table whose pictures lie in ``pictures``, under names relative to the table or to a given folder.

    A repeated id is another view of the same product. ``orphans_wanted`` says whether pictures that no row names are
    to be told, ``expected`` which attributes to look for when the columns name none. Raises UsageError when a column
    is not there.
    """

    repeats_are_views = True

    def __init__(
        self,
        table: Table,
        name: str,
        columns: Columns,
        pictures: Source,
        *,
        folder: str,
        orphans_wanted: bool,
        expected: Sequence[str] = (),
    ) -> None:
        self.table = name
        self.source = pictures
        self._table = table
        self._columns = columns.resolve(table.columns, name, expected)
        self._orphans_wanted = orphans_wanted
        root = pictures.path if isinstance(pictures, FolderSource) else None
        self._builder = RowBuilder(self._columns, folder=folder, root=root, note_used=orphans_wanted)
        self.titles = {attribute: title_of(attribute) for attribute in self._columns.attributes}
        self.hierarchy = hierarchy_of(list(self.titles))

    def rows(self) -> Iterator[Row | Reject]:
        """Every line, in order, streamed."""
        build = self._builder.build
        for record in self._table.records(self._builder.wanted):
            yield record if isinstance(record, Reject) else build(*record)
        self._builder.forget()

    def orphans(self) -> Iterator[tuple[str, str]]:
        """The pictures in the source that no row named."""
        if self._orphans_wanted:
            for name in find_pictures(self.source):
                if name not in self._builder.used:
                    yield PurePosixPath(name).stem, name

    def describe(self) -> dict[str, Any]:
        """The table, its form and its columns."""
        return {"reader": "table", "table": self.table, "form": self._table.form, "columns": self._columns.to_dict()}


def open_table(source: Source, name: str, *, encoding: str | None = None, sheet: str | None = None) -> Table:
    """The table ``name`` of a source, by the ending of its name. CatalogueError when it is broken or has no header."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in LINE_SUFFIXES:
        return LinesTable(source, name, encoding)
    if suffix in PARQUET_SUFFIXES:
        return ParquetTable(source, name)
    if suffix in EXCEL_SUFFIXES:
        from vestiary.catalogue.excel import ExcelTable

        return ExcelTable(source, name, sheet)
    return TextTable(source, name, encoding)


class TextTable:
    """CSV or TSV.

    The delimiter is what a first line ``sep=;`` tells, else that of comma, semicolon, tab and bar which the header has
    most of.
    """

    def __init__(self, source: Source, name: str, encoding: str | None = None) -> None:
        self._name = name
        self._source = source
        csv.field_size_limit(MAX_FIELD)
        self._encoding = detect_encoding(self._open, name, encoding)
        self._n_before = 0
        with self._text() as text:
            told = _TOLD_DELIMITER.fullmatch(text.readline())
        self._n_before = 0 if told is None else 1
        with self._text() as text:
            header_line = next((line for line in text if line.strip()), "")
        self._delimiter = _detect_delimiter(header_line) if told is None else told[1]
        self.columns: Sequence[str] = ()
        with self._text() as text:
            for number, fields in self._records(text):
                self.columns = tuple(" ".join(field.split()) for field in fields)
                refuse_repeated_columns(self.columns, f"{name} line {number}")
                break
        if not any(self.columns):
            raise CatalogueError(f"{name} has no header in line 1; begin it with the names of its columns.")
        shown = {"\t": "tab"}.get(self._delimiter, f"'{self._delimiter}'")
        self.form = f"text, {shown} between fields, {NAMES.get(self._encoding, self._encoding)}"
        if self._encoding == "cp1252" and encoding is None:
            self.form += self._show_guess()

    def _show_guess(self) -> str:
        """The first field that another encoding would read otherwise."""
        with self._text() as text:
            line = next((line for line in text if not line.isascii()), "")
        fields = (field.strip(' "\r\n') for field in line.split(self._delimiter))
        found = next((field for field in fields if not field.isascii()), "")
        return f" (guessed, as in '{found[:40]}')" if found else ""

    def _open(self) -> BinaryIO:
        return self._source.open(self._name)

    def _text(self) -> io.TextIOWrapper:
        """The table's text, without the line that tells the delimiter."""
        text = io.TextIOWrapper(self._open(), encoding=self._encoding, newline="")
        for _ in range(self._n_before):
            text.readline()
        return text

    def _records(self, text: io.TextIOWrapper) -> Iterator[tuple[int, list[str]]]:
        """Number of the first line, and the fields, of every record that is not blank."""
        reader = csv.reader(text, delimiter=self._delimiter, strict=True, skipinitialspace=True)
        while True:
            start = self._n_before + reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise CatalogueError(
                    f"{self._name} line {start} has {_explain(error)}; put a quote at both ends of the field and "
                    "double those inside it."
                ) from error
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield start, fields

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[int, Cells] | Reject]:
        """Every line after the header; one with more or fewer fields than it is a reject."""
        n_columns = len(self.columns)
        places = [self.columns.index(name) for name in wanted]
        pick = itemgetter(*places) if len(places) > 1 else lambda fields: (fields[places[0]],)
        with self._text() as text:
            records = self._records(text)
            next(records)
            for line, fields in records:
                if len(fields) >= n_columns and not any(fields[n_columns:]):
                    yield line, pick(fields)
                else:
                    few = len(fields) < n_columns
                    reason = RejectReason.TOO_FEW_FIELDS if few else RejectReason.TOO_MANY_FIELDS
                    yield Reject(line, "", reason, f"{len(fields)} fields instead of {n_columns}")


def _detect_delimiter(header: str) -> str:
    outside = "".join(header.split('"')[::2])
    return max(",;\t|", key=outside.count)


def _explain(error: csv.Error) -> str:
    text = str(error)
    if "field larger" in text:
        return f"a field of more than {MAX_FIELD:,} characters, so a quote is open"
    return "a quote that is never closed" if "end of data" in text else "text behind a closing quote"


class LinesTable:
    """JSON lines: one object a line, whose keys are the columns; a key that a line lacks is an empty cell."""

    def __init__(self, source: Source, name: str, encoding: str | None = None) -> None:
        self._name = name
        self._source = source
        self._encoding = detect_encoding(self._open, name, encoding)
        self.form = f"JSON lines, {NAMES.get(self._encoding, self._encoding)}"
        found: dict[str, None] = {}
        for _, entry in self._entries():  # all of them: a key may first be in the last line
            found.update(dict.fromkeys(entry))
        self.columns: Sequence[str] = tuple(found)
        if not self.columns:
            raise CatalogueError(f"{name} has no rows; write one JSON object a line.")

    def _open(self) -> BinaryIO:
        return self._source.open(self._name)

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with io.TextIOWrapper(self._open(), encoding=self._encoding, newline="\n") as text:
            for number, line in enumerate(text, start=1):
                if not line.strip():
                    continue
                where = f"{self._name} line {number}"
                try:
                    entry = json.loads(line, object_pairs_hook=partial(_to_object, where))
                except json.JSONDecodeError as error:
                    raise CatalogueError(
                        f"{where} column {error.colno} is not JSON ({error.msg.lower()}); mend it there."
                    ) from error
                except ValueError as error:  # Python reads no longer ones
                    raise CatalogueError(f"{where} has a number of thousands of digits; put it in quotes.") from error
                except RecursionError as error:
                    raise CatalogueError(f"{where} is nested too deeply; write plain values.") from error
                if not isinstance(entry, dict):
                    raise CatalogueError(f'{where} is not a JSON object; write {{"column": value, …}} in every line.')
                yield number, entry

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[int, Cells]]:
        """Every line."""
        for number, entry in self._entries():
            yield number, tuple(map(entry.get, wanted))


def _to_object(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        refuse_repeated_columns([name for name, _ in pairs], where)
    return found


class ParquetTable:
    """A Parquet file, read some thousand rows at a time; the first row is line 1."""

    form = "Parquet"

    def __init__(self, source: Source, name: str) -> None:
        self._name = name
        self._source = source
        self._parquet = require("pyarrow.parquet", extra="ui", feature="Reading Parquet")
        with source.open(name) as stream, self._explained():
            self._schema = self._parquet.ParquetFile(stream).schema_arrow
        self.columns: Sequence[str] = tuple(self._schema.names)
        refuse_repeated_columns(self.columns, name)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever pyarrow raises, which may come from several libraries, into one sentence."""
        try:
            yield
        except Exception as error:
            raise CatalogueError(
                f"{self._name} is not a readable Parquet file, or is cut short; write it again."
            ) from error

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[int, Cells]]:
        """Every row."""
        self._refuse_pictures_inside(wanted[0])
        line = 0
        with self._source.open(self._name) as stream:
            with self._explained():
                file = self._parquet.ParquetFile(stream)
                batches = file.iter_batches(batch_size=BATCH_ROWS, columns=list(wanted))
            while True:
                with self._explained():
                    batch = next(batches, None)
                    cells = [] if batch is None else [batch.column(name).to_pylist() for name in wanted]
                if batch is None:
                    return
                for record in zip(*cells, strict=True):
                    line += 1
                    yield line, record

    def _refuse_pictures_inside(self, column: str) -> None:
        kind = str(self._schema.field(column).type)
        if "binary" in kind:
            raise CatalogueError(
                f"{self._name} holds the pictures themselves in column {column!r}; put the file in a folder of its own "
                "and name it as hf:FOLDER."
            )


def table_place(path: str) -> tuple[str, str]:
    """The folder and the name of a table at a path or address."""
    folder, _, name = path.replace("\\", "/").rpartition("/")
    return folder, name


def is_table(name: str) -> bool:
    """Whether a file is a table, by the ending of its name."""
    return Path(name).suffix.lower() in TABLE_SUFFIXES
