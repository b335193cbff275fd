"""The photo that a prediction is about, where it is still to be had."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from vestiary.album import Album
from vestiary.errors import VestiaryError
from vestiary.images import read_file
from vestiary.ledger import Job, Ledger, PredictionRecord
from vestiary.ledger.jobs import find_job
from vestiary.ledger.places import find_filed, find_source


def find_photo(ledger: Ledger, record: PredictionRecord, album: Album | None) -> bytes | None:
    """The encoded bytes of the photo that was answered; None when it is nowhere any more.

    It is looked for in the album, then where its batch read it, then where its batch has filed it. What is found there
    counts only when its SHA-256 is that of the record: names may have been given to other photos since.
    """
    kept = album.find(record.image_sha256) if album is not None else None
    if kept is not None:
        try:
            return kept.read_bytes()
        except OSError:  # pruned just now
            pass
    job = find_job(ledger, record.job_id) if record.job_id is not None and record.image_sha256 is not None else None
    if job is None:
        return None
    for read in _list_readers(job, record.name):
        try:
            data = read()
        except VestiaryError:
            continue
        if hashlib.sha256(data).hexdigest() == record.image_sha256:
            return data
    return None


def _list_readers(job: Job, name: str) -> list[Callable[[], bytes]]:
    source = find_source(job)
    read: list[Callable[[], bytes]] = [] if source is None else [partial(source.read, name)]
    return read + [partial(read_file, path) for path in find_filed(job, name)]
