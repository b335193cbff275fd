"""Where pictures and tables lie: a folder, a zip archive or an address, read the same way and never unpacked."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Protocol

from vestiary.errors import CatalogueError, PictureTooLargeError, UsageError, VestiaryError
from vestiary.images import DEFAULT_LIMITS, SUFFIXES

HUB = "hf:"
"""What the name of a data set on the Hugging Face hub begins with."""

SYSTEM = ("__MACOSX", "lost+found")
"""Folders that an archive program, and a disk, have of their own."""
ADDED = "corrections:"
"""What the name of a picture begins with that came with corrections, rather than from the source."""


class Source(Protocol):
    """A read-only tree of files. Names use ``/`` and never leave the tree.

    ``path`` is where it lies: a Path on this machine, a text for an address.
    """

    @property
    def path(self) -> Path | str:
        """Where the tree lies."""

    def names(self) -> list[str]:
        """Every file's name, sorted."""

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def open(self, name: str) -> BinaryIO:
        """A seekable stream of one file; UsageError when it is missing."""

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one file; UsageError when it is missing, PictureTooLargeError over ``max_bytes``."""

    def stamp(self, name: str) -> str | None:
        """A text that changes when the file does; None for a missing one, and where only reading would tell."""


class FolderSource:
    """A folder on disk; links that lead out of it are refused."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def names(self) -> list[str]:
        """Every file's name below the folder, sorted; behind a link to a folder only pictures, and no further links.

        A table would be there twice where the link stays inside. What lies outside has a name, so that it is missed,
        but cannot be read. Raises UsageError for a folder that may not be searched, unless it is the system's own
        (``is_hidden``).
        """

        def refuse(error: OSError) -> None:
            if is_hidden(Path(error.filename).relative_to(self.path).as_posix()):
                return
            raise UsageError(f"{error.filename} cannot be searched ({error.strerror}); check its permissions.")

        files: list[Path] = []
        for folder, inner, names in os.walk(self.path, onerror=refuse):
            files += (Path(folder, name) for name in names)
            for link in (Path(folder, name) for name in inner if Path(folder, name).is_symlink()):
                goes_round = link.parent.is_relative_to(link.resolve())
                if not goes_round and not is_hidden(link.relative_to(self.path).as_posix()):
                    behind = (Path(below, name) for below, _, own in os.walk(link, onerror=refuse) for name in own)
                    files += (file for file in behind if _is_picture(file.name))
        return sorted(file.relative_to(self.path).as_posix() for file in files if file.is_file())

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        try:
            return not is_outside(name) and (self.path / name).is_file()
        except (OSError, ValueError):
            return False

    def open(self, name: str) -> BinaryIO:
        """A stream of one file."""
        try:
            return self._locate(name).open("rb")
        except (OSError, ValueError) as error:
            raise self._unreadable(name, error) from error

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one file."""
        try:
            file = self._locate(name)
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{name} in {self.path} is no file with bytes in it, but a folder, pipe or device.")
            if status.st_size > max_bytes:
                raise too_large(name, status.st_size, max_bytes)
            return file.read_bytes()
        except (OSError, ValueError) as error:
            raise self._unreadable(name, error) from error

    def stamp(self, name: str) -> str | None:
        """Size and time of the last change."""
        try:
            return stamp_file(self.path / name)
        except (OSError, ValueError):
            return None

    def _locate(self, name: str) -> Path:
        if is_outside(name):
            raise UsageError(f"The name {name!r} leads out of {self.path}; remove it.")
        try:
            file = (self.path / name).resolve()
        except RuntimeError as error:  # Python 3.11 and 3.12 raise this for ELOOP
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
        if not file.is_relative_to(self.path):
            raise UsageError(f"{name} is a link that leads out of {self.path}; put the file itself there.")
        return file

    def _unreadable(self, name: str, error: Exception) -> UsageError:
        reason = getattr(error, "strerror", None) or "its name is not possible"
        return UsageError(f"{name} cannot be read from {self.path}: {reason}.")


class ZipSource:
    """A zip archive, read in place. Safe for several threads: each read opens its own member.

    ``stream`` holds the archive where it is not a file on this machine; ``path`` then is its address. Names with
    backslashes, as Windows' own Compress-Archive wrote them, are read as if they had slashes.
    """

    def __init__(self, path: Path | str, stream: IO[bytes] | None = None) -> None:
        self.path = path.resolve() if isinstance(path, Path) else path
        try:
            self._archive = zipfile.ZipFile(self.path if stream is None else stream)
        except (zipfile.BadZipFile, OSError, RuntimeError, ValueError) as error:
            shown = hide_password(str(path))
            raise CatalogueError(f"{shown} is not a readable zip archive; fetch or pack it again.") from error
        for info in self._archive.infolist():
            name = info.filename.replace("\\", "/")
            if name not in self._archive.NameToInfo:
                self._archive.NameToInfo.pop(info.filename, None)
                self._archive.NameToInfo[name] = info
                info.filename = name

    def names(self) -> list[str]:
        """Every member's name, sorted, folders left out."""
        return sorted(info.filename for info in self._archive.infolist() if not info.is_dir())

    def exists(self, name: str) -> bool:
        """Whether there is a member of that name."""
        return name in self._archive.NameToInfo

    def open(self, name: str) -> BinaryIO:
        """A stream of one member."""
        self._refuse_outside(name)
        with self._explained(name):
            return explain(self._archive.open(name), lambda: self._explained(name))

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one member."""
        self._refuse_outside(name)
        with self._explained(name):
            size = self._archive.getinfo(name).file_size
            if size > max_bytes:
                raise too_large(name, size, max_bytes)
            with self._archive.open(name) as member:
                return member.read(max_bytes + 1)[:max_bytes]

    def stamp(self, name: str) -> str | None:
        """Size and checksum."""
        info = self._archive.NameToInfo.get(name)
        return None if info is None else f"{info.file_size}-{info.CRC:08x}"

    def _refuse_outside(self, name: str) -> None:
        if is_outside(name):
            raise UsageError(f"The name {name!r} leads out of the archive; pack it again without '../'.")

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except VestiaryError:
            raise
        except Exception as error:  # zipfile lets its decompressors' own errors through
            archive = str(self.path).replace("\\", "/").rpartition("/")[2]
            words = f"{name} cannot be read from {archive}: {_reason(error)}; pack it again."
            raise UsageError(words) from error


class JoinedSource:
    """A source, and a folder beside it whose pictures are named with ADDED in front."""

    def __init__(self, main: Source, added: FolderSource) -> None:
        self._main, self._added = main, added

    @property
    def path(self) -> Path | str:
        """Where the first one lies."""
        return self._main.path

    def names(self) -> list[str]:
        """The names in the first one alone: the folder may hold much else."""
        return self._main.names()

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        source, own = self._choose(name)
        return source.exists(own)

    def open(self, name: str) -> BinaryIO:
        """A stream of one file."""
        source, own = self._choose(name)
        return source.open(own)

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one file."""
        source, own = self._choose(name)
        return source.read(own, max_bytes=max_bytes)

    def stamp(self, name: str) -> str | None:
        """What changes when the file does."""
        source, own = self._choose(name)
        return source.stamp(own)

    def _choose(self, name: str) -> tuple[Source, str]:
        return (self._added, name.removeprefix(ADDED)) if name.startswith(ADDED) else (self._main, name)


def open_source(path: Path | str) -> Source:
    """Open a folder or a ``.zip``, here or at an address (``s3://…``), or a data set of the hub (``hf:owner/name``).

    Raises UsageError when there is none of these.
    """
    text = str(path)
    if isinstance(path, str) and text.startswith(HUB):
        from vestiary.catalogue.hub import HubSource

        return HubSource(text)
    if isinstance(path, str) and is_address(text):
        from vestiary.catalogue.remote import open_remote

        return open_remote(text)
    path = Path(path)
    if path.is_dir():
        _try_to_open(path)
        return FolderSource(path)
    if path.is_file():
        _try_to_open(path)
        if not zipfile.is_zipfile(path):
            raise UsageError(
                f"{path} is neither a folder nor a zip archive, nor a table (.csv, .tsv, .jsonl, .parquet, .xlsx); "
                "name one of these."
            )
        return ZipSource(path)
    raise UsageError(f"{path} does not exist; check the path.")


def _try_to_open(path: Path) -> None:
    """Raise UsageError for a place that may not be read: it would look like an empty folder, or a file of no kind."""
    try:
        (os.scandir(path) if path.is_dir() else path.open("rb")).close()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


class _Explained(io.RawIOBase):
    def __init__(self, stream: IO[bytes], guard: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream, self._guard = stream, guard

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def readinto(self, buffer: Any) -> int:
        with self._guard():
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._guard():
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        super().close()


def explain(stream: IO[bytes], guard: Callable[[], AbstractContextManager[None]]) -> BinaryIO:
    """The same stream, read inside ``guard()``, which turns errors into ours: damage is found while it is read."""
    return io.BufferedReader(_Explained(stream, guard), 1 << 16)


def stamp_file(path: Path) -> str:
    """Size in bytes and time of the last change of a file here. Raises OSError when it is missing."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def find_home(path: Path) -> tuple[int, int]:
    """Disk and number of a folder or file here: others where its share is not mounted. Raises OSError when missing."""
    status = path.stat()
    return status.st_dev, status.st_ino


def is_address(text: str) -> bool:
    """Whether a text names a place by a protocol (``s3://…``) rather than a path on this machine."""
    return "://" in text


def hide_password(place: str) -> str:
    """A place as people may read it: an address without the secrets that it may hold.

    Those are a password (``ftp://name:…@host``; one with a slash in it, too) and every value of a query (``?sig=…``).
    """
    if not is_address(place):
        return place
    place = re.sub(r"(://[^/:@]*):(?:[^/]*@|(?!\d+(?:/|$)).*@)", r"\1:***@", place)
    return re.sub(r"([?&][^=&#?]*=)[^&#]*", r"\1***", place)


def name_place(place: Path | str) -> str:
    """The last part of a place, as people may read it."""
    return Path(hide_password(str(place))).name


def is_outside(name: str) -> bool:
    """Whether a member's name would leave the tree it belongs to."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":")


def is_hidden(name: str) -> bool:
    """Whether a file belongs to the system that packed or keeps the tree (``.DS_Store``), not to the catalogue."""
    return any((part.startswith(".") and part != "..") or part in SYSTEM for part in PurePosixPath(name).parts)


def find_pictures(source: Source) -> list[str]:
    """The names of all pictures in a source, sorted."""
    return [name for name in source.names() if _is_picture(name) and not is_hidden(name)]


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def too_large(name: str, size: int, max_bytes: int) -> PictureTooLargeError:
    """The error for a file over the limit, sizes in bytes."""
    return PictureTooLargeError(f"{name} has {size:,} bytes, more than the {max_bytes:,} allowed; save it smaller.")


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "there is no such member"
    if isinstance(error, RuntimeError):
        return "it is encrypted or packed by a method we do not read"
    return getattr(error, "strerror", None) or "it is damaged"
