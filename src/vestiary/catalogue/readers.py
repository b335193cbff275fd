"""Chooses the reader by what the source is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vestiary.catalogue.columns import Columns, suggest
from vestiary.catalogue.folders import FolderReader
from vestiary.catalogue.hub import HubReader, HubSource
from vestiary.catalogue.kaggle import KaggleReader
from vestiary.catalogue.rows import Reader
from vestiary.catalogue.sources import Source, hide_password, is_address, is_hidden, open_source
from vestiary.catalogue.table import EXCEL_SUFFIXES, PARQUET_SUFFIXES, TableReader, is_table, open_table, table_place
from vestiary.errors import UsageError


@dataclass(frozen=True)
class Reading:
    """How a source is to be read, where its own form does not say.

    ``table`` names one of several tables in a folder or zip; ``images`` is the folder, zip or address that picture
    names start from, when it is not where the table lies; ``sheet`` and ``encoding`` are the table's. ``expected`` are
    the attributes to look for when the columns name none: those of a given taxonomy.
    """

    columns: Columns = field(default_factory=Columns)
    table: str | None = None
    images: Path | str | None = None
    sheet: str | None = None
    encoding: str | None = None
    expected: tuple[str, ...] = ()


def open_reader(path: Path | str, reading: Reading) -> Reader:
    """The reader for a table, a folder, a zip, an address or a data set of the hub.

    In a folder or zip the first of these is taken: a table that ``reading`` names, ``styles.csv`` in Kaggle's layout,
    the only other table, a tree of class folders. Raises UsageError or CatalogueError when nothing fits.
    """
    text, shown = str(path), hide_password(str(path))
    address = isinstance(path, str) and is_address(path)
    if is_table(text) and (address or Path(text).is_file()):
        folder, name = table_place(text) if address else (str(Path(text).parent), Path(text).name)
        _refuse_options(shown, {"--table": reading.table}, "is the table itself")
        return _read_table(open_source(folder if address else Path(folder)), name, reading, pointed_at=True)
    source = open_source(path)
    text_options = {"--sheet": reading.sheet, "--encoding": reading.encoding}
    every = {"--table": reading.table, "--images": reading.images, **text_options}
    if isinstance(source, HubSource):
        _refuse_options(shown, every, "is a data set of the hub")
        return HubReader(source, reading.columns, reading.expected)
    names = [name for name in source.names() if not is_hidden(name)]
    ours = {PurePosixPath(name).parent for name in names if PurePosixPath(name).name == "catalogue.json"}
    tables = [name for name in names if is_table(name) and PurePosixPath(name).parent not in ours]
    if reading.table is not None:
        if reading.table not in names:
            raise UsageError(f"{shown} has no table {reading.table!r}; {suggest(reading.table, tables)}")
        return _read_table(source, reading.table, reading, pointed_at=False)
    if any(PurePosixPath(name).name == "styles.csv" for name in names) and _fits_kaggle(reading):
        _refuse_options(shown, text_options, "is in Kaggle's layout, whose styles.csv is UTF-8")
        return KaggleReader(source, reading.columns.attributes)
    if tables:
        return _read_table(source, _only_table(tables, shown), reading, pointed_at=False)
    if reading.columns.names_a_table:
        raise UsageError(f"{shown} has no table, so no column can be named; name a table or leave the columns out.")
    _refuse_options(shown, every, "has no table")
    alone = reading.expected if len(reading.expected) == 1 else ()
    return FolderReader(source, tuple(reading.columns.attributes) or alone)


def _refuse_options(where: str, options: Mapping[str, object], why: str) -> None:
    """UsageError for an option that was given where it says nothing."""
    given = next((option for option, value in options.items() if value is not None), None)
    if given is not None:
        raise UsageError(f"{where} {why}, so {given} does not apply to it; leave it out.")


def _fits_kaggle(reading: Reading) -> bool:
    """Whether nothing is said about the columns and pictures that Kaggle's layout has otherwise."""
    columns = reading.columns
    own = columns.id in (None, "id") and columns.name in (None, "productDisplayName")
    return own and columns.image is None and columns.split is None and reading.images is None


def _only_table(tables: Sequence[str], where: str) -> str:
    depth = min(name.count("/") for name in tables)
    nearest = [name for name in tables if name.count("/") == depth]
    if len(nearest) > 1:
        raise UsageError(f"{where} has several tables; say which with --table: {', '.join(nearest[:8])}.")
    return nearest[0]


def _read_table(source: Source, name: str, reading: Reading, *, pointed_at: bool) -> TableReader:
    """A reader of one table; of a table that was pointed at itself, the files around it are none of our business."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in EXCEL_SUFFIXES:
        _refuse_options(name, {"--sheet": reading.sheet}, "is no Excel file")
    if suffix in EXCEL_SUFFIXES | PARQUET_SUFFIXES:
        _refuse_options(name, {"--encoding": reading.encoding}, "is no text")
    table = open_table(source, name, encoding=reading.encoding, sheet=reading.sheet)
    elsewhere = reading.images is not None
    pictures = source
    if reading.images is not None:
        images = reading.images
        pictures = open_source(images if isinstance(images, str) and ":" in images else Path(images))
    return TableReader(
        table,
        name,
        reading.columns,
        pictures,
        folder="" if elsewhere else str(PurePosixPath(name).parent),
        orphans_wanted=elsewhere or not pointed_at,
        expected=reading.expected,
    )
