"""Many things a page at a time: the one control for that."""

from __future__ import annotations

from functools import partial
from typing import Final

import streamlit as st

from vestiary.reports.page import format_number

LEAPS: Final = 5
"""From more pages than this on, one can be named, so that the last is not that many presses away."""


def choose_part(n: int, size: int, noun: str, *, key: str) -> slice:
    """The part of ``n`` things that is on the visitor's page of ``size``, with the control for the other pages.

    There is none where one page holds all. ``key`` tells one such place from another; the page is kept under it.
    """
    n_pages = max(1, -(-n // size))
    place = min(st.session_state.get(key, 0), n_pages - 1)
    first, last = place * size, min((place + 1) * size, n)
    if n_pages == 1:
        return slice(first, last)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{first + 1:,}–{last:,} of {format_number(n, noun)}", width="content")
        for label, to in (("Back", place - 1), ("Next", place + 1)):
            go = partial(st.session_state.__setitem__, key, to)
            st.button(label, key=f"{key}-{label}", on_click=go, disabled=not 0 <= to < n_pages)
        if n_pages > LEAPS:
            _ask_page(place, n_pages, key)
    return slice(first, last)


def _ask_page(place: int, n_pages: int, key: str) -> None:
    """A field for the number of a page."""
    field = f"{key}-number"
    st.session_state[field] = place + 1

    def go() -> None:
        st.session_state[key] = st.session_state[field] - 1

    st.number_input(
        f"Page, of {n_pages:,}", 1, n_pages, key=field, on_change=go, label_visibility="collapsed", width=130
    )
