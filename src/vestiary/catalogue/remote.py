"""A folder or zip archive at an address that fsspec knows (``s3://``, ``gs://``, ``az://``), read in place."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from vestiary.catalogue.sources import Source, ZipSource, is_outside, too_large
from vestiary.errors import MissingExtraError, UsageError, require
from vestiary.images import DEFAULT_LIMITS


class RemoteSource:
    """A folder at an address. Safe for several threads as far as its file system is."""

    def __init__(self, address: str, files: Any, root: str) -> None:
        self.path = address
        self._files = files
        self._root = root.rstrip("/")

    def names(self) -> list[str]:
        """Every file's name below the folder, sorted."""
        start = len(self._root) + 1
        return sorted(found[start:] for found in self._files.find(self._root))

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return not is_outside(name) and bool(self._files.isfile(f"{self._root}/{name}"))

    def open(self, name: str) -> BinaryIO:
        """A stream of one file."""
        self._refuse_outside(name)
        try:
            return cast(BinaryIO, self._files.open(f"{self._root}/{name}", "rb"))
        except Exception as error:  # each file system has errors of its own
            raise self._unreadable(name, error) from error

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one file."""
        self._refuse_outside(name)
        try:
            size = int(self._files.size(f"{self._root}/{name}") or 0)
            data = cast(bytes, self._files.cat_file(f"{self._root}/{name}", end=max_bytes + 1))
        except Exception as error:  # each file system has errors of its own
            raise self._unreadable(name, error) from error
        if max(size, len(data)) > max_bytes:
            raise too_large(name, max(size, len(data)), max_bytes)
        return data

    def stamp(self, name: str) -> str | None:
        """None: a store would have to be asked for each file."""
        return None

    def _refuse_outside(self, name: str) -> None:
        if is_outside(name):
            raise UsageError(f"The name {name!r} leads out of {self.path}; remove it.")

    def _unreadable(self, name: str, error: Exception) -> UsageError:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else "the store does not give it"
        return UsageError(f"{name} cannot be read from {self.path}: {reason}; check the address and your access.")


def open_remote(address: str) -> Source:
    """Open the folder or ``.zip`` at an address.

    Raises MissingExtraError without fsspec or the package for that protocol, UsageError for a protocol nobody knows
    or a place that is not there.
    """
    files, root = _find_files(address)
    try:
        if address.lower().endswith(".zip"):
            return ZipSource(address, files.open(root, "rb"))
        if files.isdir(root):
            return RemoteSource(address, files, root)
    except OSError as error:
        raise UsageError(f"{address} cannot be read; check the address, the network and your access.") from error
    raise UsageError(f"{address} is neither a folder nor a zip archive there; check the address.")


def _find_files(address: str) -> tuple[Any, str]:
    fsspec = require("fsspec", extra="cloud", feature="Reading from an address")
    protocol = address.partition("://")[0]
    if protocol in ("http", "https"):
        raise UsageError(f"{address} is a web address, and nothing is fetched from the web; download it first.")
    try:
        files, root = fsspec.core.url_to_fs(address)
    except ValueError as error:
        raise UsageError(f"{address} begins with {protocol}://, which nothing here can read; use s3, gs or az.") from (
            error
        )
    except ImportError as error:
        raise MissingExtraError(
            f"Reading from {protocol}:// needs a package that is not installed; install the one fsspec names for it "
            "(s3fs, gcsfs or adlfs) beside: pip install 'vestiary[cloud]'."
        ) from error
    except Exception as error:  # a store may refuse with errors of its own as soon as it is named
        raise UsageError(f"{address} cannot be reached; check the address, the network and your access.") from error
    return files, str(root)
