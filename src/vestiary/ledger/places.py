"""Where the pictures of a job lie, as far as the ledger tells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from vestiary.catalogue import Source, open_source
from vestiary.catalogue.sources import is_address, stamp_file
from vestiary.errors import VestiaryError
from vestiary.ledger.records import Job

_MOST_OF_ONE_NAME: Final = 1000
"""Files of one name, numbered, that are looked through in one folder."""


def find_source(job: Job) -> Source | None:
    """Where the names of a job start from, on this machine: its folder or archive, or that of its table or pattern.

    None for an address, and when it is not there any more. A relative ``--images`` started from a folder that is not
    known here.
    """
    place = str(job.options.get("images") or job.source)
    if is_address(place) or not Path(place).is_absolute():
        return None
    found = _find_nearest(Path(place))
    try:
        return open_source(found) if found.is_dir() else _open_archive(found, stamp_file(found))
    except (VestiaryError, OSError):
        return None


@lru_cache(maxsize=4)
def _open_archive(path: Path, stamp: str) -> Source:
    """An archive, kept open while it stays as it is: to read the list of its members takes longer than a picture."""
    return open_source(path)


def find_filed(job: Job, name: str) -> Iterator[Path]:
    """The files that a picture of this name may have been filed as, by ``--file-by``; others may have had that name."""
    if not job.options.get("file_by"):
        return
    own = PurePosixPath(name)
    for folder in sorted(Path(job.out).glob("[!.]*/")):
        numbered = itertools.chain([own.name], (f"{own.stem}_{number}{own.suffix}" for number in itertools.count(1)))
        for candidate in itertools.islice(numbered, _MOST_OF_ONE_NAME):
            if not (folder / candidate).is_file():
                break
            yield folder / candidate


def _find_nearest(path: Path) -> Path:
    if path.is_dir() or path.suffix.lower() == ".zip":
        return path
    return next((folder for folder in path.parents if folder.is_dir()), path)
