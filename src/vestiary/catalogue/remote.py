"""A folder or zip archive at an address that fsspec knows (``s3://``, ``gs://``, ``az://``), read in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast

from vestiary.catalogue.sources import Source, ZipSource, explain, hide_password, is_outside, too_large
from vestiary.errors import (
    AddressError,
    AddressUnreachableError,
    MissingExtraError,
    UsageError,
    VestiaryError,
    require,
)
from vestiary.images import DEFAULT_LIMITS

_REFUSALS: Final = ("credential", "auth", "permission", "forbidden", "denied")
"""Words in the names of the errors by which the packages for stores say that they may not read something."""


class RemoteSource:
    """A folder at an address. Safe for several threads as far as its file system is."""

    def __init__(self, address: str, files: Any, root: str) -> None:
        self.path = address
        self._files = files
        self._root = root.rstrip("/")

    def names(self) -> list[str]:
        """Every file's name below the folder, sorted."""
        start = len(self._root) + 1
        with _translated(self.path):
            return sorted(found[start:] for found in self._files.find(self._root))

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return not is_outside(name) and bool(self._files.isfile(f"{self._root}/{name}"))

    def open(self, name: str) -> BinaryIO:
        """A stream of one file."""
        self._refuse_outside(name)
        with _translated(self.path, name):
            return explain(self._files.open(f"{self._root}/{name}", "rb"), lambda: _translated(self.path, name))

    def read(self, name: str, *, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The bytes of one file."""
        self._refuse_outside(name)
        with _translated(self.path, name):
            size = int(self._files.size(f"{self._root}/{name}") or 0)
            data = cast(bytes, self._files.cat_file(f"{self._root}/{name}", end=max_bytes + 1))
        if max(size, len(data)) > max_bytes:
            raise too_large(name, max(size, len(data)), max_bytes)
        return data

    def stamp(self, name: str) -> str | None:
        """None: a store would have to be asked for each file."""
        return None

    def _refuse_outside(self, name: str) -> None:
        if is_outside(name):
            raise UsageError(f"The name {name!r} leads out of {hide_password(self.path)}; remove it.")


def open_remote(address: str) -> Source:
    """Open the folder or ``.zip`` at an address.

    Raises AddressError for a place that gives nothing, and what ``find_files`` raises.
    """
    files, root = find_files(address)
    with _translated(address):
        if address.lower().endswith(".zip"):
            return ZipSource(address, files.open(root, "rb"))
        if files.info(root)["type"] == "directory":
            return RemoteSource(address, files, root)
    place = hide_password(address)
    raise UsageError(f"{place} is neither a folder nor a zip archive there; check the address.")


def find_files(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it; nothing is read yet.

    Raises MissingExtraError without fsspec or the package for that protocol, UsageError for a protocol that nothing
    here can read, AddressError for a store that refuses as soon as it is named.
    """
    fsspec = require("fsspec", extra="cloud", feature="Reading from an address")
    place = hide_password(address)
    protocols = [part.partition("://")[0] for part in address.split("::") if "://" in part]
    if not {"http", "https"}.isdisjoint(protocols):
        raise UsageError(f"{place} is a web address, and nothing is fetched from the web; download it first.")
    for protocol in protocols:
        try:
            fsspec.get_filesystem_class(protocol)
        except ValueError as error:
            words = f"{place} begins with {protocol}://, which nothing here can read; use s3, gs or az."
            raise UsageError(words) from error
        except ImportError as error:
            raise MissingExtraError(
                f"Reading from {protocol}:// needs a package that is not installed; install the one fsspec names for "
                "it (s3fs, gcsfs or adlfs) beside: pip install 'vestiary[cloud]'."
            ) from error
    with _translated(address):
        files, root = fsspec.core.url_to_fs(address)
        files.invalidate_cache()  # what was listed earlier in this process may have changed
    return files, str(root)


@contextmanager
def _translated(address: str, name: str = "") -> Iterator[None]:
    """Turn what a store's package says into one sentence of ours, without what it says: that may hold secrets."""
    try:
        yield
    except VestiaryError:
        raise
    except Exception as error:  # each store has errors of its own
        place = hide_password(address)
        if isinstance(error, FileNotFoundError):
            missing = f"{name} is not at {place}" if name else f"There is nothing at {place}"
            raise AddressError(f"{missing}; check the address.") from None
        if _is_refusal(error):
            raise AddressError(
                f"The store does not let {place} be read: no credentials were found, or they do not allow it; "
                "give them in the way its own tools take them."
            ) from None
        raise AddressUnreachableError(f"{place} cannot be reached; check the address and the network.") from None


def _is_refusal(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that somebody may not read something."""
    told: BaseException | None = error
    while told is not None:
        name = type(told).__name__.lower()
        codes = [str(getattr(told, key, "")) for key in ("status", "status_code", "code")]
        if any(word in name for word in _REFUSALS) or "401" in codes or "403" in codes:
            return True
        told = told.__cause__ or told.__context__
    return False
