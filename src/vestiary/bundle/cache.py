"""Bundles from an address (``s3://…``): fetched once, verified, and kept in the user's cache folder.

    bundles/<fingerprint>/          the bundle, as ``Bundle.write`` would leave it
    bundles/<fingerprint>.lock      held by the one process that fetches it
    bundles/<hash of address>.last  the fingerprint that was last found at an address, for when it cannot be reached

The fingerprint is the hash of the manifest and, through it, of every file. So what is at the address is looked up at
every opening by its manifest alone, and only a bundle that is not there yet is fetched. The folder may be deleted at
any time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from platformdirs import user_cache_path

from vestiary.bundle.bundle import MANIFEST, find_manifest, read_manifest, read_parts, write_folder
from vestiary.catalogue.remote import RemoteSource, find_files, open_remote
from vestiary.catalogue.sources import FolderSource, Source, hide_password
from vestiary.errors import AddressUnreachableError, BundleError, VestiaryError

TRIES: Final = 3
"""How often a bundle is fetched that changes while it is fetched."""

_log = logging.getLogger(__name__)


def fetch_bundle(address: str) -> Path:
    """The folder on this machine that holds, verified, the bundle at an address: fetched unless it is there already.

    When the address cannot be reached, the copy that was last found there is taken, and a warning logged. Several
    processes may fetch at once. Raises AddressError for an address that gives nothing, MissingExtraError without the
    packages that read it, BundleError for what is no sound bundle, changes while it is fetched, or cannot be kept.
    """
    cache = user_cache_path("vestiary") / "bundles"
    last = cache / f"{hashlib.sha256(hide_password(address).encode()).hexdigest()}.last"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fingerprint = _fetch_into(cache, address)
        _write_whole(last, fingerprint.encode())
        return cache / fingerprint
    except AddressUnreachableError as error:
        return _take_last(cache, last, error)
    except OSError as error:
        raise BundleError(
            f"A bundle from an address is kept in {cache}, which cannot be written ({error.strerror or error}); "
            "make room there, or name another cache folder with XDG_CACHE_HOME."
        ) from error


def _fetch_into(cache: Path, address: str) -> str:
    """Bring what is at the address now into the cache; its fingerprint."""
    place = hide_password(address)
    for _ in range(TRIES):
        source, prefix, found = _look_at(address, place)
        copy = cache / str(found["fingerprint"])
        with FileLock(cache / f"{copy.name}.lock"):
            if _is_whole(copy):
                return copy.name
            try:
                plain, files = read_parts(place, source, prefix)
            except VestiaryError:
                if _look_at(address, place)[2] == found:
                    raise
                continue
            if plain == found:
                write_folder(copy, files)
                return copy.name
    raise BundleError(f"{place} changes while it is fetched; try again when its upload is over.")


def _look_at(address: str, place: str) -> tuple[Source, str, dict[str, Any]]:
    """The folder or zip at an address, where in it the manifest lies, and what that says."""
    source: Source
    if address.lower().endswith(".zip"):
        source = open_remote(address)
        prefix = find_manifest(place, source).removesuffix(MANIFEST)
    else:  # read without a look at the folder: a store may let files be read and no folder be listed
        source, prefix = RemoteSource(address, *find_files(address)), ""
    return source, prefix, read_manifest(place, source, prefix)


def _is_whole(copy: Path) -> bool:
    """Whether the bundle of that fingerprint is there, undamaged, and no other in its place."""
    try:
        return bool(read_parts(copy, FolderSource(copy), "")[0]["fingerprint"] == copy.name)
    except VestiaryError:
        return False


def _write_whole(file: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
    os.replace(name, file)


def _take_last(cache: Path, last: Path, error: AddressUnreachableError) -> Path:
    """The copy that was last found at an address that cannot be reached now; ``error`` again when there is none."""
    try:
        copy = cache / last.read_text(encoding="ascii")
        at = datetime.fromtimestamp(last.stat().st_mtime, UTC)
    except (OSError, ValueError):
        raise error from None
    if not _is_whole(copy):
        raise error
    _log.warning("%s It was last seen on %s; the copy of then is used.", error, at.strftime("%Y-%m-%d %H:%M UTC"))
    return copy
