"""Which columns of a table are what, and from the cells of a line to a Row."""

from __future__ import annotations

import ast
import datetime
import difflib
import json
import math
import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vestiary.catalogue.kaggle import HIERARCHY, TITLES
from vestiary.catalogue.rows import Reject, RejectReason, Row
from vestiary.catalogue.sources import is_address
from vestiary.errors import CatalogueError, UsageError
from vestiary.product import Split
from vestiary.utf8 import is_writable

EXCEL_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"})
NO_LABEL = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL"}) | EXCEL_ERRORS
"""Cells that mean that nobody gave a label: blank ones, their usual spellings, and what Excel shows for an error."""

IMAGE_NAMES = ("image", "images", "picture", "pictures", "photo", "photos", "file_name", "filename", "file", "path")
ID_NAMES = ("id", "sku", "product_id")
NAME_NAMES = ("productDisplayName", "name", "title", "product_name")
"""Columns that are taken for picture, id and name when no option says which."""

SPLITS = {
    **{name: Split.TRAIN for name in ("train", "training")},
    **{name: Split.VALIDATION for name in ("validation", "valid", "val", "dev")},
    **{name: Split.TEST for name in ("test", "testing")},
}
"""How sources call the three splits, in small letters."""


@dataclass(frozen=True)
class Columns:
    """What the user says about the columns; what is left out is guessed from the header.

    ``attributes`` maps an attribute's name to its column (or, in a tree of folders, to its level).
    """

    attributes: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    id: str | None = None
    name: str | None = None
    split: str | None = None

    @classmethod
    def from_options(
        cls,
        attributes: Sequence[str] = (),
        *,
        image: str | None = None,
        id: str | None = None,
        name: str | None = None,
        split: str | None = None,
    ) -> Columns:
        """Read ``NAME`` and ``NAME=COLUMN`` attributes. UsageError for an empty part or a name given twice."""
        chosen: dict[str, str] = {}
        for text in attributes:
            attribute, equals, column = (part.strip() for part in text.partition("="))
            if not attribute or (equals and not column):
                raise UsageError(f"--attribute {text!r} is not understood; write NAME or NAME=COLUMN.")
            if attribute in chosen:
                raise UsageError(f"--attribute names {attribute} twice; keep one of them.")
            chosen[attribute] = column or attribute
        return cls(chosen, image, id, name, split)

    @property
    def names_a_table(self) -> bool:
        """Whether anything is said that only a table with columns of its own can have."""
        return any((self.image, self.id, self.name, self.split))

    def resolve(self, header: Sequence[str], where: str, expected: Sequence[str] = ()) -> Columns:
        """The same with every guess made; ``expected`` are attributes to look for when none is named.

        Raises UsageError for a column that is not in ``header`` (it names the nearest), or when the column of the
        pictures or the attributes cannot be guessed.
        """
        for option, column in self._named():
            if column not in header:
                raise UsageError(f"{where} has no column {column!r} for {option}; {suggest(column, header)}")
        image = self.image or guess_column(IMAGE_NAMES, header)
        if image is None:
            raise UsageError(
                f"{where} has no column called image or picture; say which it is with --image-column: "
                f"{_list_names(header)}."
            )
        usual = [name for name in (expected or TITLES) if name in header]
        attributes = dict(self.attributes) or {name: name for name in usual}
        if not attributes:
            raise UsageError(
                f"{where} does not say which columns are questions; name each with --attribute, out of: "
                f"{_list_names(header)}."
            )
        product_id = self.id or guess_column(ID_NAMES, header)
        return Columns(attributes, image, product_id, self.name or guess_column(NAME_NAMES, header), self.split)

    def _named(self) -> list[tuple[str, str]]:
        options = {
            "--image-column": self.image,
            "--id-column": self.id,
            "--name-column": self.name,
            "--split-column": self.split,
        }
        named = [(option, column) for option, column in options.items() if column is not None]
        return named + [("--attribute", column) for column in self.attributes.values()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``catalogue.json``."""
        plain = {"image": self.image, "id": self.id, "name": self.name, "split": self.split}
        return {key: value for key, value in plain.items() if value} | {"attributes": dict(self.attributes)}


def title_of(attribute: str) -> str:
    """The heading of an attribute: the usual one for a usual name, else its name with spaces and a capital."""
    plain = attribute.replace("_", " ").strip()
    return TITLES.get(attribute, plain[:1].upper() + plain[1:])


def hierarchy_of(attributes: Sequence[str]) -> list[tuple[str, str]]:
    """Which of these attributes is whose parent, where their names are the usual ones."""
    return [(child, parent) for child, parent in HIERARCHY if child in attributes and parent in attributes]


def suggest(name: str, known: Sequence[str]) -> str:
    """What to do about a name that is not there, to end a sentence with: the nearest one, or all of them."""
    lower = {one.casefold(): one for one in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), list(lower), n=1, cutoff=0.5)
    return f"did you mean {lower[near[0]]!r}?" if near else f"there are: {_list_names(known)}."


def refuse_repeated_columns(header: Sequence[str], where: str) -> None:
    """CatalogueError when two columns have the same name; columns without one may repeat."""
    first: dict[str, int] = {}
    for number, name in enumerate(header, start=1):
        if name and name in first:
            raise CatalogueError(
                f"{where} calls both column {first[name]} and column {number} {name!r}; rename or remove one of them."
            )
        first[name] = number


class RowBuilder:
    """Turns the cells of a line into a Row or a Reject, keeping one copy of whatever repeats.

    ``columns`` must be resolved. ``folder`` is where the table lies in its source, ``root`` the folder on this machine
    that the source is, if it is one. Cells come in the order of ``wanted``. With ``note_used`` the set ``used`` holds
    every picture a row named.
    """

    def __init__(
        self, columns: Columns, *, folder: str = "", root: Path | None = None, note_used: bool = False
    ) -> None:
        self.columns = columns
        parts = (columns.image, columns.id, columns.name, columns.split)
        self.wanted = tuple(dict.fromkeys(column for column in (*parts, *columns.attributes.values()) if column))
        place = {column: index for index, column in enumerate(self.wanted)}
        self._image, self._id, self._name, self._split = (place[part] if part else None for part in parts)
        self._attributes = [(name, place[column]) for name, column in columns.attributes.items()]
        self._folder = "" if folder in ("", ".") else folder
        self._root = root
        self._note_used = note_used
        self._labels: dict[tuple[str | None, ...], dict[str, str]] = {}
        self._images: dict[str, tuple[str, ...]] = {}
        self.used: set[str] = set()

    def build(self, line: int, cells: Sequence[Any]) -> Row | Reject:
        """The row of a line, or the reject that says what is wrong with it."""
        product_id = ""
        try:
            product_id = self._text(cells, self._id) or ""
            images = self._read_images(cells[self._image or 0])
            if self._id is not None and not product_id:
                raise _Unfit(RejectReason.BAD_VALUE, f"column {self.columns.id!r} is empty")
            name = self._text(cells, self._name, blank_labels=False) or ""
            split = self._read_split(self._text(cells, self._split))
            return Row(line, product_id or images[0], images, self._read_labels(cells), name, split)
        except _Unfit as unfit:
            return Reject(line, product_id, unfit.reason, unfit.detail)

    def _text(self, cells: Sequence[Any], index: int | None, *, blank_labels: bool = True) -> str | None:
        if index is None:
            return None
        try:
            text = to_text(cells[index])
        except ValueError as error:
            raise _Unfit(RejectReason.BAD_VALUE, f"column {self.wanted[index]!r} {error}") from error
        return None if text is None or (blank_labels and text in NO_LABEL) else text

    def _read_labels(self, cells: Sequence[Any]) -> Mapping[str, str]:
        values = tuple(self._text(cells, index) for _, index in self._attributes)
        known = self._labels.get(values)
        if known is None:
            known = {name: value for (name, _), value in zip(self._attributes, values, strict=True) if value}
            self._labels[values] = known
        return known

    def _read_split(self, text: str | None) -> Split | None:
        if text is None:
            return None
        if text.casefold() not in SPLITS:
            detail = f"column {self.columns.split!r} says {text!r}, not train, validation or test"
            raise _Unfit(RejectReason.BAD_VALUE, detail)
        return SPLITS[text.casefold()]

    def _read_images(self, cell: Any) -> tuple[str, ...]:
        if isinstance(cell, str) and cell in self._images:
            return self._images[cell]
        listed = _listed(cell)
        images = tuple(dict.fromkeys(self._locate(one) for one in listed))
        if not images:
            raise _Unfit(RejectReason.NO_PICTURE, f"column {self.columns.image!r} is empty")
        if isinstance(cell, str):
            self._images[cell] = images
        if self._note_used:
            self.used.update(images)
        return images

    def forget(self) -> None:
        """Let go of what was kept for repeats among the pictures; for when the last line is built."""
        self._images.clear()

    def _locate(self, cell: Any) -> str:
        """The name of a picture inside the source."""
        column = f"column {self.columns.image!r}"
        if not isinstance(cell, str) or not cell.strip():
            raise _Unfit(RejectReason.BAD_VALUE, f"{column} holds no file name")
        name = cell.strip()
        if is_address(name) or name.startswith(("//", "data:")):
            detail = f"{column} holds the address {name[:80]!r}, and nothing is fetched; download the pictures first"
            raise _Unfit(RejectReason.PICTURE_URL, detail)
        if "\0" in name or not is_writable(name):
            raise _Unfit(RejectReason.BAD_VALUE, f"{column} holds a character that no file name has")
        if self._root is not None and Path(name).is_absolute():
            path = Path(name)
            if not path.is_relative_to(self._root):  # it may be named by a link
                path = Path(os.path.realpath(path.parent), path.name)
            if path.is_relative_to(self._root):
                return path.relative_to(self._root).as_posix()
        inside = posixpath.normpath(posixpath.join(self._folder, name.replace("\\", "/")))
        if inside.startswith(("../", "/")) or inside in (".", "..") or inside[1:2] == ":":
            detail = f"{column} leads out of the folder with {name[:80]!r}; say with --images where the pictures lie"
            raise _Unfit(RejectReason.PICTURE_OUTSIDE, detail)
        return inside


class _Unfit(Exception):
    """Why a line is a reject; never leaves this file."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


def to_text(cell: Any) -> str | None:
    """A cell as text on one line, None for an empty one; whole floats lose their point.

    Raises ValueError, with what the cell holds, for lists, tables, bytes and characters that no text file can have.
    """
    if isinstance(cell, str):
        text = " ".join(cell.split())
        if not text.isascii() and not is_writable(text):
            raise ValueError("holds half a character")
        if "\0" in text:
            raise ValueError("holds a NUL character")
        return text
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, list | tuple | dict | bytes):
        kind = {list: "a list", tuple: "a list", dict: "a table", bytes: "bytes"}[type(cell)]
        raise ValueError(f"holds {kind}, not one value")
    return str(cell)


def _listed(cell: Any) -> list[Any]:
    """Several pictures in one cell: a list of the format itself, or a list in a text, as JSON or pandas writes it."""
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("["):
            found = _read_list(text)
            return [text] if found is None else found
        return [text] if text else []
    if isinstance(cell, list | tuple):
        return list(cell)
    return [] if cell is None else [cell]


def _read_list(text: str) -> list[Any] | None:
    """A list in a text, as JSON or as pandas writes it (texts alone); None when it is neither."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            return None
    return found if isinstance(found, list) else None


def guess_column(names: Sequence[str], header: Sequence[str]) -> str | None:
    """The column that has one of ``names``, in whatever case; the first name that fits wins."""
    lower = {column.casefold(): column for column in reversed(header)}
    return next((lower[name.casefold()] for name in names if name.casefold() in lower), None)


def _list_names(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
