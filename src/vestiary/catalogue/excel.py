"""A sheet of an Excel file as a table: its first row that holds something is the header."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from vestiary.catalogue.columns import refuse_repeated_columns, suggest, to_text
from vestiary.catalogue.rows import Reject
from vestiary.catalogue.sources import Source
from vestiary.errors import CatalogueError, UsageError, require


class ExcelTable:
    """One sheet of an ``.xlsx`` file, the first one unless ``sheet`` names another; formulas count by their result.

    Raises CatalogueError for a broken file or an empty sheet, UsageError for a sheet that is not there.
    """

    def __init__(self, source: Source, name: str, sheet: str | None = None) -> None:
        self._name = name
        openpyxl = require("openpyxl", extra="ui", feature="Reading Excel")
        with source.open(name) as stream:
            content = io.BytesIO(stream.read())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about styles and extensions, which do not concern the cells
                self._book = openpyxl.load_workbook(content, read_only=True, data_only=True)
            sheets = [one.title for one in self._book.worksheets]
        except Exception as error:  # openpyxl lets errors of zip and XML through
            raise CatalogueError(f"{name} is not a readable Excel file; save it again as .xlsx.") from error
        if sheet is not None and sheet not in sheets:
            raise UsageError(f"{name} has no sheet {sheet!r}; {suggest(sheet, sheets)}")
        if not sheets:
            raise CatalogueError(f"{name} has no sheet with cells; save it again with one.")
        self._sheet = self._book[sheet or sheets[0]]
        self._sheet.reset_dimensions()  # the file may say fewer rows than there are, and no more would be read
        self.form = f"Excel, sheet '{self._sheet.title}'"
        self._header_row, self.columns = self._find_header()
        refuse_repeated_columns(self.columns, f"{name} line {self._header_row}")

    def _rows(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        rows = self._sheet.iter_rows(values_only=True)
        number = 0
        while True:
            try:
                cells = next(rows, None)
            except Exception as error:  # as above
                raise CatalogueError(
                    f"{self._name} cannot be read below line {number}; save it again as .xlsx."
                ) from error
            if cells is None:
                return
            number += 1
            if any(cell not in (None, "") for cell in cells):
                yield number, cells

    def _find_header(self) -> tuple[int, Sequence[str]]:
        for number, cells in self._rows():
            names = [to_text(cell) or "" for cell in cells]
            while names and not names[-1]:
                names.pop()
            return number, tuple(names)
        raise CatalogueError(f"{self._name} has nothing in sheet '{self._sheet.title}'; name another with --sheet.")

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[int, tuple[Any, ...]] | Reject]:
        """Every row below the header that holds something."""
        places = [self.columns.index(name) for name in wanted]
        for number, cells in self._rows():
            if number > self._header_row:
                yield number, tuple(cells[place] if place < len(cells) else None for place in places)
