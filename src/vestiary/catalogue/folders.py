"""A tree of folders with the class as folder name: ``dress/1.jpg``, ``train/dress/1.jpg``, ``women/dress/1.jpg``.

A level called train, validation or test above the classes is no attribute. It is the split only when that is asked for:
see docs/decisions/0005.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from vestiary.catalogue.columns import SPLITS, hierarchy_of, title_of
from vestiary.catalogue.rows import Reject, RejectReason, Row
from vestiary.catalogue.sources import Source, find_pictures, hide_password
from vestiary.errors import CatalogueError
from vestiary.utf8 import is_writable, make_writable

DEFAULT_ATTRIBUTE = "category"


class FolderReader:
    """One product per picture. The attributes name the levels, the last of them the folder that holds the picture.

    A picture's place in the sorted list is its line, its name its id. CatalogueError when fewer than two classes are
    found.
    """

    repeats_are_views = False
    hierarchy: Sequence[tuple[str, str]] = ()

    def __init__(self, source: Source, attributes: Sequence[str] = ()) -> None:
        self.source = source
        self.table = hide_password(str(source.path)).replace("\\", "/").rstrip("/").rpartition("/")[2]
        self._attributes = tuple(attributes) or (DEFAULT_ATTRIBUTE,)
        self.titles = {name: title_of(name) for name in self._attributes}
        self.hierarchy = hierarchy_of(self._attributes)
        self._pictures = find_pictures(source)
        self._levels: list[str] = []
        classes = {PurePosixPath(name).parent.name for name in self._pictures} - {""}
        if len(classes) < 2:
            raise CatalogueError(
                f"{hide_password(str(source.path))} has no styles.csv, no other table, and fewer than two folders "
                "named by class; name a table, or a folder with a folder of pictures for each class."
            )

    def rows(self) -> Iterator[Row | Reject]:
        """Every picture, by name."""
        labels: dict[tuple[str, ...], dict[str, str]] = {}
        depth = len(self._attributes)
        for line, name in enumerate(self._pictures, start=1):
            if not is_writable(name):
                detail = "its name holds bytes that are not UTF-8; rename it"
                yield Reject(line, make_writable(name), RejectReason.BAD_VALUE, detail)
                continue
            folders = PurePosixPath(name).parts[:-1]
            values = tuple(folders[len(folders) - depth :])
            if len(values) < depth or (len(folders) == depth and values[0].casefold() in SPLITS):
                detail = f"it lies in {len(folders)} folders, and the attributes ask for {depth}"
                yield Reject(line, name, RejectReason.NO_LABEL, detail)
                continue
            above = [folder for folder in folders[: len(folders) - depth] if folder.casefold() in SPLITS]
            if above and above[0] not in self._levels:
                self._levels.append(above[0])
            own = labels.setdefault(values, dict(zip(self._attributes, values, strict=True)))
            yield Row(line, name, (name,), own, "", SPLITS[above[0].casefold()] if above else None)

    def orphans(self) -> Iterator[tuple[str, str]]:
        """None: every picture is a row."""
        return iter(())

    def describe(self) -> dict[str, Any]:
        """The levels, and the folders that could have been the split."""
        return {"reader": "folders", "levels": list(self._attributes), "split_folders": self._levels}
