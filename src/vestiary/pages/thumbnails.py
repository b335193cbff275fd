"""Small copies of photos that a visitor sent, and of those that predictions of the ledger are about."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from typing import Final

import streamlit as st
from PIL import Image

from vestiary.errors import PictureError
from vestiary.images import Limits, read_picture
from vestiary.ledger import PredictionRecord
from vestiary.pages.desk import current_desk

THUMBNAIL: Final = 320
"""Pixels of the longer side of a thumbnail."""

Find = Callable[[PredictionRecord], bytes | None]
"""Gives the encoded bytes of a record's photo; None when it is nowhere any more."""


def make_thumbnail(data: bytes, limits: Limits, *, longest: int = THUMBNAIL) -> bytes | None:
    """An encoded picture as an upright JPEG of at most ``longest`` pixels a side; None for one that cannot be read."""
    try:
        image = read_picture(data, limits=limits, size_hint=(longest, longest)).image
    except PictureError:
        return None
    image.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@st.cache_data(max_entries=2000, ttl=600, show_spinner=False)
def recall_thumbnail(sha256: str | None, longest: int, _find: Callable[[], bytes | None]) -> bytes | None:
    """As ``make_thumbnail``, of the photo that ``_find`` gives, made once for all visitors; None where it is gone."""
    data = _find()
    return None if data is None else make_thumbnail(data, current_desk().limits, longest=longest)


def draw_thumbnail(jpeg: bytes | None, said: str) -> str:
    """HTML of a thumbnail with what a screen reader says of it; "" for None.

    The picture is part of it, so that it never blinks.
    """
    return "" if jpeg is None else f'<img class="v-thumb" src="{to_data_url(jpeg)}" alt="{escape(said)}">'


def to_data_url(jpeg: bytes) -> str:
    """A JPEG as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
