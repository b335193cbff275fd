"""Where pictures and tables lie: a folder or a zip archive, read the same way and never unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from vestiary.errors import CatalogueError, PictureTooLargeError, UsageError, VestiaryError
from vestiary.images import DEFAULT_LIMITS


class Source(Protocol):
    """A read-only tree of files. Names use ``/`` and never leave the tree."""

    path: Path

    def names(self) -> list[str]:
        """Every file's name, sorted."""

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one file; UsageError when it is missing, PictureTooLargeError over ``max_bytes``."""


class FolderSource:
    """A folder on disk; links that lead out of it are refused."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def names(self) -> list[str]:
        """Every file's name below the folder, sorted."""
        return sorted(file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one file."""
        file = (self.path / name).resolve()
        if is_outside(name) or not file.is_relative_to(self.path):
            raise UsageError(f"The name {name!r} leads out of {self.path}; remove it.")
        try:
            if file.stat().st_size > max_bytes:
                raise _too_large(name, file.stat().st_size, max_bytes)
            return file.read_bytes()
        except OSError as error:
            raise UsageError(f"{name} cannot be read from {self.path}: {error.strerror}.") from error


class ZipSource:
    """A zip archive, read in place. Safe for several threads: each read opens its own member."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            self._archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, RuntimeError, ValueError) as error:
            raise CatalogueError(f"{path} is not a readable zip archive; fetch or pack it again.") from error

    def names(self) -> list[str]:
        """Every member's name, sorted, folders left out."""
        return sorted(info.filename for info in self._archive.infolist() if not info.is_dir())

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one member."""
        if is_outside(name):
            raise UsageError(f"The name {name!r} leads out of the archive; pack it again without '../'.")
        try:
            size = self._archive.getinfo(name).file_size
            if size > max_bytes:
                raise _too_large(name, size, max_bytes)
            with self._archive.open(name) as member:
                return member.read(max_bytes + 1)[:max_bytes]
        except VestiaryError:
            raise
        except Exception as error:  # zipfile lets its decompressors' own errors through
            raise UsageError(
                f"{name} cannot be read from {self.path.name}: {_reason(error)}; pack it again."
            ) from error


def open_source(path: Path) -> FolderSource | ZipSource:
    """Open a folder or a ``.zip``. Raises UsageError when there is neither."""
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        if not zipfile.is_zipfile(path):
            raise UsageError(f"{path} is neither a folder nor a zip archive; name one of these.")
        return ZipSource(path)
    raise UsageError(f"{path} does not exist; check the path.")


def is_outside(name: str) -> bool:
    """Whether a member's name would leave the tree it belongs to."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":")


def _too_large(name: str, size: int, max_bytes: int) -> PictureTooLargeError:
    return PictureTooLargeError(f"{name} has {size:,} bytes, more than the {max_bytes:,} allowed; save it smaller.")


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "there is no such member"
    if isinstance(error, RuntimeError):
        return "it is encrypted or packed by a method we do not read"
    return getattr(error, "strerror", None) or "it is damaged"
