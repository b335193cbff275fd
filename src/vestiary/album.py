"""Photos that are kept for review: one file each, named by the SHA-256 of its bytes, in folders by its first digits."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from vestiary.errors import UsageError

VARIABLE: Final = "VESTIARY_KEEP_PICTURES"
"""The variable that names the folder in which the service keeps the photos that a person is to look at."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_PART: Final = ".part-"


class Album:
    """The photos in one folder, which is made when the first is kept; threads and processes may share it.

    Nothing but a hash ever becomes part of a path, so that no name from outside leads anywhere.
    """

    def __init__(self, folder: Path | str) -> None:
        """UsageError when ``folder`` is a file."""
        self.folder = Path(folder).expanduser().absolute()
        if self.folder.is_file():
            raise UsageError(f"{self.folder} is a file, but photos are kept in a folder; name another place.")

    def require_writable(self) -> Album:
        """Itself, with its folder made. UsageError when it cannot be made or written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self.folder):
                return self
        except OSError as error:
            raise UsageError(
                f"Photos cannot be kept in {self.folder} ({error.strerror}); change its rights, or name another folder "
                f"with {VARIABLE}."
            ) from error

    def keep(self, sha256: str, data: bytes) -> Path:
        """Write a photo, whole or not at all; one that is there already counts as kept anew.

        ``sha256`` (hex) must be that of ``data``, or ValueError is raised. OSError when the disk does not take it.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(f"the photo does not have the SHA-256 {sha256!r}")
        path = self._locate(sha256)
        try:
            os.utime(path)
            if path.stat().st_size == len(data):  # else the disk lost some of it
                return path
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=_PART)  # readable for its owner alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        return path

    def find(self, sha256: str | None) -> Path | None:
        """The file with this photo; None when it is not kept, and for what is no SHA-256."""
        if sha256 is None or not _HASH.fullmatch(sha256):
            return None
        path = self._locate(sha256)
        return path if path.is_file() else None

    def prune(self, older_than: datetime, *, is_wanted: Callable[[str], bool] = lambda sha256: False) -> int:
        """Remove the photos that were last kept before ``older_than`` (with a zone) and are not wanted any more.

        ``is_wanted`` is asked about each by its SHA-256. Parts of photos that a process left when it was killed go
        too. Returns how many files were removed.
        """
        removed = 0
        for path in self._walk():
            try:
                is_old = path.stat().st_mtime < older_than.timestamp()
                if is_old and (path.name.startswith(_PART) or not is_wanted(path.name)):
                    path.unlink()
                    removed += 1
            except FileNotFoundError:  # another prune was faster
                continue
        return removed

    def _walk(self) -> Iterator[Path]:
        found = sorted(self.folder.glob("[0-9a-f][0-9a-f]/*"))
        return (path for path in found if _HASH.fullmatch(path.name) or path.name.startswith(_PART))

    def _locate(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256


def open_album(folder: Path | str | None = None) -> Album | None:
    """The album in ``folder``, else in the one that VESTIARY_KEEP_PICTURES names; None when neither names one."""
    named = str(folder) if folder is not None else os.environ.get(VARIABLE, "")
    return Album(named) if named else None
