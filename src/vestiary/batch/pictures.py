"""The pictures of a batch: listed as a stream, in an order that stays, and read only while they hold still."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vestiary.catalogue import Columns, Reject, Source, open_source
from vestiary.catalogue.columns import IMAGE_NAMES, RowBuilder, guess_column, suggest
from vestiary.catalogue.sources import FolderSource, find_home, find_pictures, is_address, is_hidden
from vestiary.catalogue.table import BATCH_ROWS, Table, is_table, open_table, table_place
from vestiary.errors import UsageError, VestiaryError
from vestiary.images import SUFFIXES

READS = 3
"""How often a picture that changes while it is read is read anew."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A picture to answer. ``stamp`` changes when its bytes do; ``reason`` says why there is nothing to read."""

    name: str
    stamp: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Pictures:
    """What one source names. ``place`` says where, the same for every run; ``find`` goes through it from the start."""

    place: str
    source: Source
    find: Callable[[], Iterator[Found]]

    @property
    def folder(self) -> Path | None:
        """The folder on this machine that the names start from; None for an archive and an address."""
        return self.source.path if isinstance(self.source, FolderSource) else None

    @property
    def is_here(self) -> bool:
        """Whether it lies on this machine rather than at an address."""
        return isinstance(self.source.path, Path)

    def is_there(self, home: tuple[int, int] | None) -> bool:
        """Whether it can still be read; ``home`` is what ``find_home`` told before.

        A folder that is empty and is not that one is the mount point of a share that is away.
        """
        path = self.source.path
        try:
            if self.folder is not None:
                return not self.is_empty or self.find_home() == home
            if isinstance(path, Path):
                return path.is_file()
            open_source(path)
            return True
        except (OSError, VestiaryError):
            return False

    @property
    def is_empty(self) -> bool:
        """Whether it is a folder that holds nothing at all. Raises OSError for one that cannot be read."""
        if self.folder is None:
            return False
        with os.scandir(self.folder) as entries:
            return next(entries, None) is None

    def find_home(self) -> tuple[int, int] | None:
        """Disk and number of the folder, which are others where a share is not mounted; None where it is no folder."""
        return None if self.folder is None else find_home(self.folder)

    def read(self, name: str) -> tuple[bytes, str | None]:
        """The bytes of a picture and their stamp.

        A picture that changes meanwhile is read anew; one that never holds still is a UsageError, as is one that is
        missing. PictureTooLargeError for one with too many bytes.
        """
        for _ in range(READS):
            before = self.source.stamp(name)
            data = self.source.read(name)
            if self.source.stamp(name) == before:
                return data, before
        raise UsageError(f"{name} changed each time while it was read; wait until it is written.")


def open_pictures(
    place: str, *, images: str | None = None, image_column: str | None = None, leave_out: Path, say: Say
) -> Pictures:
    """The pictures of a folder, zip, table (CSV, TSV, JSON lines, Parquet, Excel), pattern or address.

    Of a table, ``image_column`` has the pictures' names, and ``images`` is where they start from. Nothing below the
    folder ``leave_out`` is taken: what a batch writes is not its own source. ``say`` is told, in a sentence, of each
    folder that is passed over. Raises UsageError or CatalogueError for a place that cannot be used.
    """
    path = Path(place)
    if is_table(place) and (is_address(place) or path.is_file()):
        return _open_table(place, images, image_column)
    for option, value in (("--images", images), ("--image-column", image_column)):
        if value is not None:
            raise UsageError(f"{place} is not a table, so {option} says nothing; leave it out.")
    if not is_address(place) and not path.exists() and glob.has_magic(place):
        return _open_pattern(place, leave_out)
    source = open_source(place if is_address(place) else path)
    if isinstance(source, FolderSource):
        root = source.path
        return Pictures(str(root), source, lambda: _stamped(source, walk_pictures(root, leave_out, say)))
    return Pictures(str(source.path), source, lambda: _stamped(source, find_pictures(source)))


def _open_table(place: str, images: str | None, image_column: str | None) -> Pictures:
    if is_address(place):
        folder, name = table_place(place)
        tables = open_source(folder)
    else:
        folder, name = str(Path(place).resolve().parent), Path(place).name
        tables = open_source(Path(folder))
    table = open_table(tables, name)
    if image_column is not None and image_column not in table.columns:
        raise UsageError(f"{name} has no column {image_column!r}; {suggest(image_column, table.columns)}")
    column = image_column or guess_column(IMAGE_NAMES, table.columns)
    if column is None:
        raise UsageError(f"{name} has no column called image or picture; say which it is with --image-column.")
    source = tables if images is None else open_source(images if is_address(images) else Path(images))
    root = source.path if isinstance(source, FolderSource) else None
    return Pictures(f"{folder}/{name}", source, lambda: _read_rows(table, name, column, source, root))


def _read_rows(table: Table, name: str, column: str, source: Source, root: Path | None) -> Iterator[Found]:
    builder = RowBuilder(Columns(image=column), root=root)
    for number, record in enumerate(table.records(builder.wanted)):
        row = record if isinstance(record, Reject) else builder.build(*record)
        if isinstance(row, Reject):
            yield Found(f"{name} line {row.line}", reason=f"{name} line {row.line}: {row.reason}: {row.detail}.")
        else:
            yield from _stamped(source, row.images)
        if number % BATCH_ROWS == 0:
            builder.forget()


def _open_pattern(pattern: str, leave_out: Path) -> Pictures:
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    source = open_source(Path(*parts[:fixed]))
    root, rest = Path(source.path), str(Path(*parts[fixed:]))

    def match() -> Iterator[str]:
        for name in sorted(glob.iglob(rest, root_dir=root, recursive=True)):
            own = leave_out != root and leave_out.is_relative_to(root) and (root / name).is_relative_to(leave_out)
            if _is_picture(name) and not own and not (root / name).is_dir():
                yield PurePosixPath(name).as_posix()

    return Pictures(f"{root}/{rest}", source, lambda: _stamped(source, match()))


def walk_pictures(root: Path, leave_out: Path, say: Say) -> Iterator[str]:
    """The names of the pictures below a folder, in an order that stays. Links to folders are told and not followed."""

    def tell(error: OSError) -> None:
        say(f"{error.filename} cannot be searched ({error.strerror}); its pictures are left out.")

    for folder, inner, files in os.walk(root, onerror=tell):
        here = Path(folder)
        for name in inner:
            if (here / name).is_symlink():
                say(
                    f"{here / name} is a link to a folder and is not followed; name that folder itself if it is wanted."
                )
        inner[:] = sorted(name for name in inner if not is_hidden(name) and here / name != leave_out)
        start = here.relative_to(root)
        yield from ((start / name).as_posix() for name in sorted(files) if _is_picture(name))


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not is_hidden(PurePosixPath(name).name)


def _stamped(source: Source, names: Iterable[str]) -> Iterator[Found]:
    return (Found(name, source.stamp(name)) for name in names)
