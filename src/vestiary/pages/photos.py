"""Small pictures of the photos that predictions are about."""

from __future__ import annotations

import base64
from collections.abc import Callable

import streamlit as st

from vestiary.errors import PictureError
from vestiary.ledger import PredictionRecord
from vestiary.pages.desk import current_desk
from vestiary.pages.look import make_thumbnail

Find = Callable[[PredictionRecord], bytes | None]
"""Gives the encoded bytes of a record's photo; None when it is nowhere any more."""


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
