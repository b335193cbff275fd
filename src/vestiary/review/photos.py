"""The photo that a prediction is about, where it is still to be had."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial

from vestiary.album import Album
from vestiary.errors import VestiaryError
from vestiary.images import read_file
from vestiary.ledger import Ledger, PredictionRecord
from vestiary.ledger.jobs import find_job
from vestiary.ledger.places import find_filed, find_source


def find_photo(ledger: Ledger, record: PredictionRecord, album: Album | None) -> bytes | None:
    """The encoded bytes of the photo that was answered; None when it is nowhere any more.

    It is looked for in the album, then where its batch read it, then where its batch has filed it. What is found counts
    only when its SHA-256 is that of the record: files suffer damage, and names may have been given to other photos.
    """
    for read in _list_readers(ledger, record, album):
        try:
            data = read()
        except (VestiaryError, OSError):  # gone by now
            continue
        if hashlib.sha256(data).hexdigest() == record.image_sha256:
            return data
    return None


def _list_readers(ledger: Ledger, record: PredictionRecord, album: Album | None) -> Iterator[Callable[[], bytes]]:
    kept = album.find(record.image_sha256) if album is not None else None
    if kept is not None:
        yield kept.read_bytes
    job = find_job(ledger, record.job_id) if record.job_id is not None and record.image_sha256 is not None else None
    if job is None:
        return
    source = find_source(job)
    if source is not None:
        yield partial(source.read, record.name)
    yield from (partial(read_file, path) for path in find_filed(job, record.name))
