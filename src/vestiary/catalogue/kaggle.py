"""Reader for Kaggle's Fashion Product Images layout: ``styles.csv`` and ``images/<id>.jpg``, as a zip or a folder.

The file quotes nothing, so a comma in a product's name makes an eleventh field; the name is the last column, hence each
line is split into ten at most and the name keeps its commas. Blank and ``NA`` mean that nobody gave a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from vestiary.catalogue.rows import Reject, RejectReason, Row
from vestiary.catalogue.sources import Source, hide_password
from vestiary.errors import CatalogueError, UsageError

COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)
TITLES = {
    "gender": "Gender",
    "masterCategory": "Master category",
    "subCategory": "Sub-category",
    "articleType": "Article type",
    "baseColour": "Base colour",
    "season": "Season",
    "usage": "Usage",
}
HIERARCHY = (("subCategory", "masterCategory"), ("articleType", "subCategory"), ("articleType", "masterCategory"))
NO_LABEL = frozenset({"", "NA"})
MAX_TABLE_BYTES = 2_000_000_000


class KaggleReader:
    """Rows of ``styles.csv``, wherever in the source it lies, with the pictures beside it.

    ``attributes`` maps the names of the attributes to their columns; all seven under their own names without it. A
    repeated id is a mistake. Raises CatalogueError when there is no ``styles.csv``, it is not UTF-8, or its header is
    another.
    """

    repeats_are_views = False

    def __init__(self, source: Source, attributes: Mapping[str, str] | None = None) -> None:
        names = source.names()
        self.source = source
        self._columns = dict(attributes or {name: name for name in TITLES})
        unknown = [column for column in self._columns.values() if column not in COLUMNS]
        if unknown:
            raise UsageError(f"styles.csv has no column {unknown[0]!r}; its attributes are: {', '.join(TITLES)}.")
        self.titles = {name: TITLES.get(column, name) for name, column in self._columns.items()}
        self.hierarchy = [pair for pair in HIERARCHY if all(self._columns.get(name) == name for name in pair)]
        self._labels: dict[tuple[str, ...], dict[str, str]] = {}
        self._named: set[str] = set()
        tables = sorted((name for name in names if PurePosixPath(name).name == "styles.csv"), key=len)
        if not tables:
            raise CatalogueError(
                f"{hide_password(str(source.path))} has no styles.csv; name the zip or folder in Kaggle's layout "
                "(styles.csv, images/)."
            )
        self.table = tables[0]
        folder = PurePosixPath(self.table).parent / "images"
        self.pictures = {
            PurePosixPath(name).stem: name
            for name in names
            if PurePosixPath(name).parent == folder and name.lower().endswith(".jpg")
        }
        self._lines = self._read_lines(source)

    def _read_lines(self, source: Source) -> list[str]:
        try:
            text = source.read(self.table, max_bytes=MAX_TABLE_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CatalogueError(f"{self.table} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error
        lines = text.replace("\r\n", "\n").split("\n")
        header = tuple(_unquote(name.strip()) for name in lines[0].split(",")) if lines else ()
        if header != COLUMNS:
            raise CatalogueError(
                f"{self.table} line 1 must read '{','.join(COLUMNS)}', but reads '{lines[0][:120]}'; "
                f"correct it, or, where a column names the pictures, read it as a table with --table {self.table}."
            )
        return lines[1:]

    def rows(self) -> Iterator[Row | Reject]:
        """Every line after the header, in order: a Row, or a Reject with its reason. Blank lines are passed over."""
        for number, line in enumerate(self._lines, start=2):
            if line.strip():
                row = self._read_row(number, line)
                self._named.add(row.id)
                yield row

    def orphans(self) -> Iterator[tuple[str, str]]:
        """The pictures whose name is the id of no row."""
        return ((stem, name) for stem, name in sorted(self.pictures.items()) if stem not in self._named)

    def describe(self) -> dict[str, Any]:
        """The table and its attributes."""
        return {"reader": "kaggle", "table": self.table, "columns": {"attributes": dict(self._columns)}}

    def _read_row(self, number: int, line: str) -> Row | Reject:
        fields = [_unquote(field.strip()) for field in line.split(",", len(COLUMNS) - 1)]
        if len(fields) < len(COLUMNS):
            detail = f"{len(fields)} fields instead of {len(COLUMNS)}"
            return Reject(number, fields[0], RejectReason.TOO_FEW_FIELDS, detail)
        record = dict(zip(COLUMNS, fields, strict=True))
        if record["id"] not in self.pictures:
            return Reject(number, record["id"], RejectReason.NO_PICTURE, f"images/{record['id']}.jpg is not there")
        return Row(
            line=number,
            id=record["id"],
            images=(self.pictures[record["id"]],),
            labels=self._read_labels(record),
            name=record["productDisplayName"],
        )

    def _read_labels(self, record: Mapping[str, str]) -> dict[str, str]:
        """The labels of a line; lines with the same ones share them."""
        values = tuple(record[column] for column in self._columns.values())
        found = {name: value for name, value in zip(self._columns, values, strict=True) if value not in NO_LABEL}
        return self._labels.setdefault(values, found)


def _unquote(name: str) -> str:
    """A copy of the file saved by a spreadsheet has quotes around a name with commas."""
    if len(name) >= 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name
