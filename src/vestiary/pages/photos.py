"""The photos of one batch, from wherever they still are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from vestiary.album import Album
from vestiary.errors import VestiaryError
from vestiary.ledger import Job, Ledger, PredictionRecord
from vestiary.ledger.places import find_source
from vestiary.review import find_photo


def open_photos(ledger: Ledger, job: Job, album: Album | None) -> Callable[[PredictionRecord], bytes | None]:
    """A function that gives the encoded bytes of a record's photo, None when it is nowhere any more.

    As ``find_photo``, but the source of the batch is opened once for all its photos.
    """
    source = find_source(job)

    def find(record: PredictionRecord) -> bytes | None:
        if source is not None:
            try:
                data = source.read(record.name)
            except VestiaryError:
                data = b""
            if hashlib.sha256(data).hexdigest() == record.image_sha256:
                return data
        return find_photo(ledger, record, album)

    return find
