"""Puts pictures into folders by what they show: never over another file, and never so that a picture is lost.

Where each picture of a block goes is decided first and written into the block's part; then the ledger learns of the
block; then the pictures are filed, before the next block is begun. So after a kill only the pictures of the last block
are in doubt, and ``Filing.file`` can be told again to file them: it does what is left to do.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final

from vestiary.batch.pictures import Pictures, Say
from vestiary.batch.results import sync
from vestiary.errors import UsageError, VestiaryError

MODES: Final = ("copy", "link", "move")
QUARANTINE: Final = "quarantine"
"""The folder of the pictures that were given up."""
MAX_NAME: Final = 255
"""Bytes of a file name that file systems allow."""
THREADS: Final = 4
_NO_LINKS: Final = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
_NOT_IN_NAMES: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class Order:
    """Where a picture goes: ``place`` is relative to the folder, ``sha256`` that of the bytes that were answered."""

    name: str
    place: str
    sha256: str | None


class Filing:
    """Files the pictures of a batch below ``out``. UsageError for a mode that does not go with where the pictures lie.

    Hard links go only as far as a disk; where it has none, or a folder of the source is on another, they are copies.
    ``say`` is told, in a sentence, of each picture that could not be filed since it is gone or has changed.
    """

    def __init__(self, pictures: Pictures, out: Path, mode: str, *, say: Say) -> None:
        if mode not in MODES:
            raise UsageError(f"--file-mode {mode} is not known; choose one of: {', '.join(MODES)}.")
        folder = pictures.folder
        if mode != "copy" and folder is None:
            raise UsageError(f"{pictures.place} is no folder here, so --file-mode {mode} cannot be; choose copy.")
        if mode == "move" and folder is not None and not os.access(folder, os.W_OK):
            raise UsageError(f"{folder} is read-only, so nothing can be moved out of it; choose --file-mode copy.")
        if mode == "link" and folder is not None and _find_disk(folder) != _find_disk(out):
            raise UsageError(f"{out} is on another disk than {folder}, so nothing can be linked; choose copy.")
        self._pictures, self._out, self._mode, self._say = pictures, out, mode, say
        self._next: dict[str, int] = {}

    def plan(self, block: Iterable[tuple[str, str]]) -> list[str]:
        """A free place, relative to the folder, for each (name, value) of a block.

        The name of the file stays, with ``_1``, ``_2`` … where it is taken.
        """
        taken: set[str] = set()
        return [self._find_place(f"{to_folder(value)}/{_to_file(name)}", taken) for name, value in block]

    def _find_place(self, wanted: str, taken: set[str]) -> str:
        """The place, or the next free one after it; ``taken`` are those of the same block, in small letters."""
        key = wanted.casefold()
        for number in count(self._next.get(key, 0)):
            place = _numbered(wanted, number)
            if place.casefold() not in taken and not os.path.lexists(self._out / place):
                break
        if number:
            self._next[key] = number
        taken.add(place.casefold())
        return place

    def file(self, orders: Sequence[Order]) -> None:
        """Do what is left to do of these orders. OSError for a disk that takes no more, or a folder that gives nothing.

        A picture that is no longer what was answered is left where it is, for a later run to find. What is moved loses
        its old name only when the new one is on the disk.
        """
        folders = {(self._out / order.place).parent for order in orders}
        for folder in folders:
            folder.mkdir(exist_ok=True)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._file, orders))
            for folder in (*folders, self._out):
                sync(folder)
            if self._mode == "move":
                list(pool.map(self._remove, orders))

    def _file(self, order: Order) -> None:
        target = self._out / order.place
        draft = target.with_name(f".{target.name}.part")
        draft.unlink(missing_ok=True)
        if self._mode == "copy":
            self._copy(order, target, draft)
            return
        if not os.path.lexists(target) and not self._link(self._locate(order), order, target):
            self._copy(order, target, draft)

    def _remove(self, order: Order) -> None:
        """Take the picture's old name away, where it is the same as what was filed."""
        source, target = self._locate(order), self._out / order.place
        if target.exists() and _is_same(source, target):
            source.unlink()

    def _locate(self, order: Order) -> Path:
        return Path(str(self._pictures.folder)) / order.name

    def _link(self, source: Path, order: Order, target: Path) -> bool:
        """Whether the picture now has a second name; not where the disk is another one or has no hard links."""
        try:
            os.link(source.resolve(), target)
        except FileNotFoundError:
            self._say(f"{order.name} is gone from {self._pictures.place}, so it was not filed.")
            return True
        except FileExistsError:
            self._say(f"{order.name} was not filed, since {target} is another file by now.")
            return True
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise
        if order.sha256 is not None and hashlib.sha256(target.read_bytes()).hexdigest() != order.sha256:
            target.unlink()
            self._say(f"{order.name} has changed since it was answered, so it was not filed; the next run answers it.")
        return True

    def _copy(self, order: Order, target: Path, draft: Path) -> None:
        try:
            data, _ = self._pictures.read(order.name)
        except VestiaryError as error:
            if not os.path.lexists(target):
                self._say(f"{order.name} was not filed: {error}")
            return
        if order.sha256 is not None and hashlib.sha256(data).hexdigest() != order.sha256:
            self._say(f"{order.name} has changed since it was answered, so it was not filed; the next run answers it.")
            return
        if target.is_file() and target.read_bytes() == data:
            return
        try:
            draft.write_bytes(data)
            sync(draft)
            _give_name(draft, target)
        except FileExistsError:
            self._say(f"{order.name} was not filed, since {target} is another file by now.")
        finally:
            draft.unlink(missing_ok=True)


def _give_name(draft: Path, target: Path) -> None:
    """Rename, but never over another file: FileExistsError. Without hard links a moment is left between both."""
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        os.rename(draft, target)


def _find_disk(folder: Path) -> int:
    """The disk that a folder is on, or would be on when it was made."""
    return next(place for place in (folder, *folder.parents) if place.exists()).stat().st_dev


def _is_same(source: Path, target: Path) -> bool:
    return source.exists() and (source.samefile(target) or filecmp.cmp(source, target, shallow=False))


def to_folder(value: str) -> str:
    """A value as the name of a folder, on any system."""
    return _NOT_IN_NAMES.sub("_", value).strip(". ") or "_"


def _to_file(name: str) -> str:
    return PurePosixPath(name).name


def choose_place(wanted: str, taken: set[str]) -> str:
    """The place (``folder/a.jpg``), or the next free one after it (``folder/a_1.jpg``), as ``Filing.plan`` has them.

    ``taken`` are those before, in small letters; the new one is added.
    """
    place = next(own for own in (_numbered(wanted, n) for n in count()) if own.casefold() not in taken)
    taken.add(place.casefold())
    return place


def _numbered(place: str, number: int) -> str:
    """``a.jpg``, ``a_1.jpg``, ``a_2.jpg`` …; a name that is too long, or would be as a draft, is cut."""
    folder, _, name = place.rpartition("/")
    stem, suffix = os.path.splitext(name)
    tail = f"_{number}{suffix}" if number else suffix
    room = MAX_NAME - len(".part.") - len(os.fsencode(tail))
    return f"{folder}/{os.fsdecode(os.fsencode(stem)[:room])}{tail}"
