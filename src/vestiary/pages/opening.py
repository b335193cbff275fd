"""What the pages about a catalogue begin with: the catalogue itself, and waiting for what takes long."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import streamlit as st

from vestiary.bundle import Bundle
from vestiary.metrics import Evaluation
from vestiary.pages.chores import CHORES, Chore
from vestiary.pages.desk import current_desk
from vestiary.pages.evaluations import SPLIT, evaluate_bundle
from vestiary.pages.shelf import Shelf, open_shelf, stamp_of

TICK_S: Final = 1.0
"""Seconds between two looks at work that goes on."""


def find_shelf() -> Shelf | None:
    """The desk's catalogue; None when it has none. Raises UsageError and CatalogueError when it cannot be read."""
    folder = current_desk().catalogue
    return None if folder is None else _load_shelf(folder, stamp_of(folder))


@st.cache_resource(max_entries=2, show_spinner="Opening the catalogue.")
def _load_shelf(folder: Path, stamp: int) -> Shelf:
    """The catalogue in a folder, opened once for all visitors; another ``stamp`` means another catalogue."""
    return open_shelf(folder)


def wait_for(chore: Chore[Any], words: str) -> None:
    """Show how far a piece of work is, and the page anew when it is done."""

    @st.fragment(run_every=TICK_S)
    def tell() -> None:
        if chore.is_done:
            st.rerun()
        st.progress(chore.share, f"{words} {chore.n_done:,} of {chore.n_total:,}." if chore.n_total else words)

    tell()


def ask_evaluation(shelf: Shelf, bundle: Bundle) -> Evaluation | None:
    """The figures of a bundle on the catalogue, or None while they are worked out. Raises what that raises."""
    key = ("evaluation", bundle.fingerprint, shelf.key)
    chore = CHORES.ask(key, lambda progress: evaluate_bundle(bundle, shelf.catalogue, progress))
    if not chore.is_done:
        wait_for(chore, f"{bundle.name} answers the photos of the {SPLIT} split, once; this may take minutes.")
        return None
    return chore.result()
