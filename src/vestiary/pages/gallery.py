"""Photos of a catalogue side by side, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from vestiary.charts import keep_text
from vestiary.pages.look import keep_plain
from vestiary.pages.paging import choose_part
from vestiary.pages.shelf import Shelf
from vestiary.product import Product
from vestiary.reports.gallery import Photo
from vestiary.reports.page import format_number

PAGE = 24
"""Photos that are shown at a time."""

_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:10px;margin:0;padding:0;list-style:none"
)
_FRAME = "width:100%;aspect-ratio:3/4;object-fit:contain;background:#fff;border-radius:6px;border:1px solid #8885"
_WORDS = "font-size:.78rem;line-height:1.25;overflow-wrap:anywhere;margin-top:3px"


def show_gallery(shelf: Shelf, products: Sequence[Product], *, key: str, captions: Sequence[str] | None = None) -> None:
    """A page of the photos of ``products``, with buttons to the other pages; ``captions`` stand below each.

    Without ``captions`` the product's id does. ``key`` tells one gallery from another.
    """
    if not products:
        st.write("There is no such photo.")
        return
    if len(products) <= PAGE:
        st.caption(format_number(len(products), "photo"))
    part = choose_part(len(products), PAGE, "photo", key=key)
    photos = shelf.show(products[part])
    st.html(draw_grid(photos, captions[part] if captions is not None else [photo.product_id for photo in photos]))


def open_gallery(
    title: str, shelf: Shelf, products: Sequence[Product], *, key: str, captions: Sequence[str] | None = None
) -> None:
    """As ``show_gallery``, over the page, so that a large chart need not be scrolled away to see the photos."""

    @st.dialog(title, width="large")
    def show() -> None:
        show_gallery(shelf, products, key=key, captions=captions)

    show()


def name_cell(row: str | None, column: str | None) -> str:
    """The title of a cell's photos; None stands for all rows, or columns."""
    return " · ".join(keep_plain(own) for own in (row, column) if own is not None)


def draw_grid(photos: Sequence[Photo], captions: Sequence[str]) -> str:
    """The photos as a list in HTML that flows with the width of the page, each with its words."""
    items = (_draw_photo(photo, words) for photo, words in zip(photos, captions, strict=True))
    return f'<ul style="{_GRID}">{"".join(items)}</ul>'


def _draw_photo(photo: Photo, words: str) -> str:
    alt = escape(keep_text(photo.alt))
    picture = (
        f'<img src="{photo.url}" alt="{alt}" title="{alt}" style="{_FRAME}">'
        if photo.url is not None
        else f'<div style="{_FRAME};display:grid;place-items:center;color:#555">no photo</div>'
    )
    return f'<li style="margin:0">{picture}<div style="{_WORDS}">{escape(keep_text(words))}</div></li>'
