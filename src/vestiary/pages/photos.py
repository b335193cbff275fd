"""The photos of predictions, from wherever they still are, and small pictures of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import streamlit as st

from vestiary.album import Album
from vestiary.errors import PictureError, VestiaryError
from vestiary.ledger import Job, Ledger, PredictionRecord
from vestiary.ledger.places import find_source
from vestiary.pages.desk import current_desk
from vestiary.pages.look import make_thumbnail
from vestiary.review import find_photo

Find = Callable[[PredictionRecord], bytes | None]
"""Gives the encoded bytes of a record's photo; None when it is nowhere any more."""


def open_photos(ledger: Ledger, job: Job, album: Album | None) -> Find:
    """What finds the photos of one batch: as ``find_photo``, but its source is opened once for all of them."""
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


@st.cache_data(max_entries=2000, ttl=600, show_spinner=False)
def draw_small(sha256: str | None, longest: int, _find: Callable[[], bytes | None]) -> bytes | None:
    """The photo as an upright JPEG of at most ``longest`` pixels a side; None where it is gone, or cannot be read."""
    data = _find()
    try:
        return None if data is None else make_thumbnail(data, current_desk().limits, longest=longest)
    except PictureError:
        return None


def to_data_url(jpeg: bytes) -> str:
    """A JPEG as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
