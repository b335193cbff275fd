"""Another bundle on the same products: which is better, on what, and the photos where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import streamlit as st

from vestiary.bundle import MANIFEST, Bundle, open_bundle
from vestiary.errors import VestiaryError
from vestiary.metrics import AttributeComparison, Comparison, Evaluation, compare
from vestiary.pages.background import CHORES, wait_for
from vestiary.pages.desk import current_desk
from vestiary.pages.look import keep_plain, nothing_yet, refuse
from vestiary.pages.model.evaluation import ask_evaluation, find_turned
from vestiary.pages.model.outcomes import show_rows
from vestiary.pages.shelf import Shelf

_NEEDS_BUNDLES: Final = (
    "To compare with other bundles, put them into a folder and start the service with VESTIARY_BUNDLES=FOLDER."
)


def list_bundles(folder: Path) -> list[str]:
    """The names of the bundles in a folder: folders with a manifest, and zips. Raises nothing where there is none."""
    try:
        return sorted(own.name for own in folder.iterdir() if own.suffix == ".zip" or (own / MANIFEST).is_file())
    except OSError:
        return []


@st.cache_resource(max_entries=2, show_spinner="Opening the bundle.")
def _open(path: Path, stamp: int) -> Bundle:
    """A bundle, opened and verified once; another ``stamp`` means another one at the same place."""
    return open_bundle(path)


def show_comparison(shelf: Shelf, evaluation: Evaluation) -> None:
    """A choice of bundles, and the one chosen against the one that answers."""
    folder = current_desk().bundles
    names = [] if folder is None else list_bundles(folder)
    if folder is None:
        nothing_yet(_NEEDS_BUNDLES)
        return
    if not names:
        nothing_yet(f"There is no bundle in {folder}; put one there, as vestiary train writes it.")
        return
    chosen = st.selectbox("Compare with", names, index=None, placeholder="Choose a bundle", key="compare-bundle")
    if chosen is None:
        return
    try:
        path = folder / chosen
        other = _open(path, path.stat().st_mtime_ns)
        before = ask_evaluation(shelf, other)
        if before is not None:
            _show_differences(shelf, evaluation, before, chosen)
    except VestiaryError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{chosen} cannot be read ({error.strerror}); choose another bundle.")


def _show_differences(shelf: Shelf, now: Evaluation, then: Evaluation, chosen: str) -> None:
    if now.bundle == then.bundle:
        nothing_yet(f"{chosen} is the very bundle that answers here; choose another.")
        return
    key = ("comparison", now.bundle, then.bundle, shelf.key)
    chore = CHORES.ask(key, lambda progress: compare(now, then))
    if not chore.is_done:
        wait_for(chore, "Comparing the two.")
        return
    _show_table(chore.result(), chosen)
    _show_changes(shelf, chore.result(), now, then)


def _show_table(comparison: Comparison, chosen: str) -> None:
    bundle = current_desk().bundle
    theirs, ours = f"right: {chosen}", "right: the one here"
    rows = [_to_row(own, bundle.taxonomy.titles[name], theirs, ours) for name, own in comparison.attributes.items()]
    percent = {words: st.column_config.NumberColumn(words, format="percent") for words in (theirs, ours)}
    st.dataframe(rows, column_config=percent, hide_index=True, width="stretch")
    st.caption(
        f"Right answers on {comparison.n:,} products. The difference is in points, with its 95 % interval: where "
        "that does not hold 0, the two truly differ. Only here, only there: right answers that one of them alone gives."
    )


def _to_row(own: AttributeComparison, title: str, theirs: str, ours: str) -> dict[str, Any]:
    span = "–" if own.interval is None else f"{100 * own.interval[0]:+.1f} to {100 * own.interval[1]:+.1f}"
    return {
        "attribute": title,
        theirs: own.before,
        ours: own.after,
        "difference": f"{100 * own.difference:+.1f} ({span})",
        "only here": own.gained,
        "only there": own.lost,
    }


@st.fragment
def _show_changes(shelf: Shelf, comparison: Comparison, now: Evaluation, then: Evaluation) -> None:
    """The values of one attribute that changed most, and the photos that only one of the two answers rightly."""
    bundle = current_desk().bundle
    name = st.selectbox(
        "Attribute",
        list(comparison.attributes),
        format_func=lambda own: bundle.taxonomy.titles[own],
        key="compare-attribute",
    )
    own = comparison.attributes[name]
    for words, changes in (("Better on", own.better[:5]), ("Worse on", own.worse[:5])):
        if changes:
            told = ", ".join(f"{one.value} ({one.change:+d} of {one.n:,})" for one in changes)
            st.write(keep_plain(f"{words} {told}."))
    sides = {"Only this bundle is right": True, "Only the other is right": False}
    side = st.segmented_control("Photos", list(sides), key="compare-side")
    if side is not None:
        rows = find_turned(now.outcomes[name], then.outcomes[name], gained=sides[side])
        show_rows(shelf, now, now.outcomes[name], rows, key=f"compare-page-{now.bundle}-{then.bundle}-{name}-{side}")
