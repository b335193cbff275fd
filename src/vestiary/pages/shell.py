"""The frame around every page: its title, the way to the others, and what they all need."""

from __future__ import annotations

from typing import Final

import streamlit as st

from vestiary import __version__
from vestiary.pages import batch, catalogue, model, monitor, review, tag
from vestiary.pages.desk import current_desk
from vestiary.pages.look import ICON, add_style

PATHS: Final = ("batch", "review", "catalogue", "model", "monitor")
"""The addresses of the pages; that of the first one, Tag, is "/"."""


def show() -> None:
    """The page that the visitor's address names, and the way to the others."""
    bundle = current_desk().bundle
    st.set_page_config(
        page_icon=str(ICON),  # a name of an icon would be fetched from outside
        layout="wide",
        menu_items={"About": f"Vestiary {__version__}, answering with the bundle {bundle.name} {bundle.version}."},
    )
    st.logo(str(ICON))
    add_style()
    chosen = st.navigation(
        [
            st.Page(tag.show, title="Tag", url_path="tag", icon=":material/sell:", default=True),
            st.Page(batch.show, title="Batch", url_path="batch", icon=":material/stacks:"),
            st.Page(review.show, title="Review", url_path="review", icon=":material/rule:"),
            st.Page(catalogue.show, title="Catalogue", url_path="catalogue", icon=":material/apparel:"),
            st.Page(model.show, title="Model", url_path="model", icon=":material/insights:"),
            st.Page(monitor.show, title="Monitor", url_path="monitor", icon=":material/monitor_heart:"),
        ],
        position="top",
    )
    st.set_page_config(page_title=f"{chosen.title} · Vestiary")
    chosen.run()
