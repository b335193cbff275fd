"""A data set of the Hugging Face hub, or a copy of one in a folder: ``hf:owner/name``, ``hf:FOLDER``.

The pictures lie inside the data set; ``<split>/<row>/<column>`` names one, ``<split>/<row>.<n>/<column>``
one of several.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from vestiary.catalogue.columns import SPLITS, Columns, RowBuilder, hierarchy_of, title_of
from vestiary.catalogue.kaggle import TITLES
from vestiary.catalogue.rows import Reject, Row
from vestiary.catalogue.sources import HUB, too_large
from vestiary.errors import CatalogueError, UsageError, require
from vestiary.images import DEFAULT_LIMITS

BATCH_ROWS = 1000


class HubSource:
    """The pictures of a data set by split, row and column. It is loaded when something is first read from it."""

    def __init__(self, path: str) -> None:
        name = path.removeprefix(HUB)
        if not name:
            raise UsageError(f"{path} names no data set; write hf:owner/name, or hf:FOLDER for a copy of one.")
        folder = Path(name)
        self.path = f"{HUB}{folder.resolve()}" if folder.is_dir() else path

    @cached_property
    def splits(self) -> dict[str, Any]:
        """Every split of the data set, pictures as bytes."""
        return _load(self.path.removeprefix(HUB))

    def names(self) -> list[str]:
        """One name per picture that stands alone in its cell, sorted."""
        return sorted(
            f"{split}/{row}/{column}"
            for split, rows in self.splits.items()
            for column, feature in rows.features.items()
            if _holds_picture(feature)
            for row in range(len(rows))
        )

    def exists(self, name: str) -> bool:
        """Whether there is a picture of that name."""
        try:
            cell = self._find(name)
        except UsageError:
            return False
        return _picture_bytes(cell) is not None or _is_path_alone(cell)

    def open(self, name: str) -> BinaryIO:
        """A stream of one picture."""
        return io.BytesIO(self.read(name))

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one picture."""
        cell = self._find(name)
        data = _picture_bytes(cell)
        if _is_path_alone(cell):
            raise UsageError(
                f"{name} in {self.path} is the path of a file, which is not followed; download the data set, and name "
                "the folder with the pictures without hf:."
            )
        if data is None:
            raise UsageError(f"{name} in {self.path} holds no picture; remove the row.")
        if len(data) > max_bytes:
            raise too_large(name, len(data), max_bytes)
        return data

    def stamp(self, name: str) -> str | None:
        """None: a data set says nothing of the age of its rows."""
        return None

    def _find(self, name: str) -> Any:
        try:
            split, place, column = name.split("/", 2)
            row, _, number = place.partition(".")
            cell = self.splits[split].select_columns([column])[int(row)][column]
            return cell[int(number)] if number else cell
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UsageError(f"{name} cannot be read from {self.path}: it is not there.") from error


class HubReader:
    """Rows of every split; class labels come by their names. A split called train, validation or test is told.

    ``expected`` are the attributes to look for when the columns name none: without it the usual ones and all classes.
    """

    repeats_are_views = True

    def __init__(self, source: HubSource, columns: Columns, expected: Sequence[str] = ()) -> None:
        self.source = source
        self.table = source.path
        splits = source.splits
        features = next(iter(splits.values())).features
        self._classes = {name: one for name, one in features.items() if type(one).__name__ == "ClassLabel"}
        guessed = next((name for name, one in features.items() if _holds_picture(one) or _lists_pictures(one)), None)
        usual = expected or (*TITLES, *self._classes)
        attributes = columns.attributes or {name: name for name in features if name in usual}
        chosen = dataclasses.replace(columns, image=columns.image or guessed, attributes=attributes)
        self._columns = chosen.resolve(list(features), source.path)
        self._several = _lists_pictures(features[self._columns.image])
        if not self._several and not _holds_picture(features[self._columns.image]):
            raise UsageError(
                f"Column {self._columns.image!r} of {source.path} holds no pictures; name another with --image-column."
            )
        self._builder = RowBuilder(self._columns)
        self.titles = {name: title_of(name) for name in self._columns.attributes}
        self.hierarchy = hierarchy_of(list(self.titles))

    def rows(self) -> Iterator[Row | Reject]:
        """Every row of every split, counted through from 1."""
        line = 0
        for split, rows in self.source.splits.items():
            for cells in self._cells(split, rows):
                line += 1
                row = self._builder.build(line, cells)
                if isinstance(row, Row) and row.split is None:
                    row = dataclasses.replace(row, split=SPLITS.get(split.casefold()))
                yield row

    def _cells(self, split: str, rows: Any) -> Iterator[list[Any]]:
        """The cells of every row, the picture by its name; pictures are only loaded to count those of a list."""
        image, *others = self._builder.wanted
        loaded = rows.select_columns([image, *others] if self._several or not others else others)
        for start in range(0, len(rows), BATCH_ROWS):
            batch = loaded[start : start + BATCH_ROWS]
            for offset in range(min(BATCH_ROWS, len(rows) - start)):
                place = f"{split}/{start + offset}"
                if self._several:
                    count = len(batch[image][offset] or ())
                    name: Any = [f"{place}.{number}/{image}" for number in range(count)]
                else:
                    name = f"{place}/{image}"
                yield [name, *(self._plain(column, batch[column][offset]) for column in others)]

    def _plain(self, column: str, cell: Any) -> Any:
        if column in self._classes and isinstance(cell, int):
            return self._classes[column].int2str(cell) if cell >= 0 else None
        return cell

    def orphans(self) -> Iterator[tuple[str, str]]:
        """None: every picture lies in its row."""
        return iter(())

    def describe(self) -> dict[str, Any]:
        """The data set, its columns and its splits."""
        known = [split for split in self.source.splits if split.casefold() in SPLITS]
        return {"reader": "hub", "columns": self._columns.to_dict(), "split_folders": known}


def _load(name: str) -> dict[str, Any]:
    datasets = require("datasets", extra="hub", feature="Reading a data set of the hub")
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells every attempt to reach the hub
    try:
        found = datasets.load_dataset(name)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UsageError(
            f"{HUB}{name} is not on the hub, is private, or the hub cannot be reached; check the name and the network, "
            "log in with: hf auth login, or name a folder with a copy as hf:FOLDER."
        ) from error
    except Exception as error:  # the hub's client lets errors of many libraries through
        away = isinstance(error, OSError) or "Connect" in type(error).__name__ or "Offline" in type(error).__name__
        reason = "the hub cannot be reached" if away else "its files cannot be read as one table"
        raise CatalogueError(
            f"{HUB}{name} cannot be loaded: {reason}; check the network, or download the data set where there is one "
            "and name the folder with its Parquet files as hf:FOLDER."
        ) from error
    plain = datasets.Image(decode=False)
    for split, rows in found.items():
        for column, feature in rows.features.items():
            if type(feature).__name__ == "Image":
                found[split] = found[split].cast_column(column, plain)
            elif _lists_pictures(feature):
                found[split] = found[split].cast_column(column, datasets.List(plain))
    return dict(found)


def _holds_picture(feature: Any) -> bool:
    """Whether a column holds one picture a cell: as such, as bytes, or as a table with bytes."""
    kind = type(feature).__name__
    return kind == "Image" or getattr(feature, "dtype", "") in ("binary", "large_binary") or _has_bytes(feature)


def _has_bytes(feature: Any) -> bool:
    return isinstance(feature, dict) and "bytes" in feature


def _lists_pictures(feature: Any) -> bool:
    inner = getattr(feature, "feature", None)
    return inner is not None and _holds_picture(inner)


def _picture_bytes(cell: Any) -> bytes | None:
    """The bytes in a cell; a path beside them is never followed."""
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return cell if isinstance(cell, bytes) else None


def _is_path_alone(cell: Any) -> bool:
    """Whether a cell tells where a picture lies and does not hold it, as in a data set of loose files."""
    return isinstance(cell, dict) and cell.get("bytes") is None and bool(cell.get("path"))
