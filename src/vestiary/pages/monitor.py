"""The page "Monitor"."""

from __future__ import annotations

import streamlit as st

from vestiary.pages.look import nothing_yet


def show() -> None:
    """The page."""
    st.title("Monitor")
    nothing_yet("There is nothing here yet.")
