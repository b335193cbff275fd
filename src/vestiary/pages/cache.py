"""What took long to work out, kept as files in the user's cache folder: for the next start, and for other processes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock
from platformdirs import user_cache_path

from vestiary import __version__
from vestiary.errors import UsageError
from vestiary.reports.page import write_whole

KEPT_FILES: Final = 20
"""So many of the newest files stay."""
_DIGEST: Final = 32


def recall(kind: str, parts: Sequence[str], make: Callable[[], bytes]) -> bytes:
    """What ``make`` gave for these ``parts`` at some time before, or gives now; never worked out twice at once.

    A file that was damaged is made again, and a folder that cannot be written only costs the time.
    """
    path = _name_file(kind, parts)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, NotImplementedError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
        data = _read(path)
        if data is None:
            data = make()
            with contextlib.suppress(UsageError):
                write_whole(path, hashlib.sha256(data).digest() + data)
                _prune(path.parent)
        return data


def drop(kind: str, parts: Sequence[str]) -> None:
    """Forget what was kept for these ``parts``."""
    path = _name_file(kind, parts)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where the files lie; XDG_CACHE_HOME and its like on other systems decide."""
    return user_cache_path("vestiary") / "pages"


def _name_file(kind: str, parts: Sequence[str]) -> Path:
    digest = hashlib.sha256("\0".join((__version__, *parts)).encode()).hexdigest()
    return cache_folder() / f"{kind}-{digest[:32]}"


def _read(path: Path) -> bytes | None:
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    digest, data = whole[:_DIGEST], whole[_DIGEST:]
    return data if hashlib.sha256(data).digest() == digest else None


def _prune(folder: Path) -> None:
    with contextlib.suppress(OSError):
        files = sorted((own for own in folder.iterdir() if own.suffix != ".lock"), key=lambda own: own.stat().st_mtime)
        for old in files[:-KEPT_FILES]:
            old.unlink(missing_ok=True)
