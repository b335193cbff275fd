"""The page "Catalogue": what is in it and what is wrong with it, each figure with its photos behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeVar

import streamlit as st

from vestiary.bundle import Bundle
from vestiary.catalogue.sources import name_place
from vestiary.charts import plot_counts, plot_crosstab
from vestiary.checks import Finding, Severity, sort_findings
from vestiary.errors import VestiaryError
from vestiary.pages.background import CHORES, Chore, wait_for
from vestiary.pages.catalogue.colours import list_colours, show_colours
from vestiary.pages.catalogue.survey import Survey, forget_survey, survey, survey_labels
from vestiary.pages.catalogue.tree import grow_tree, has_tree, show_tree
from vestiary.pages.clickable import Point, ask_for, ask_side, clear_click, show_chart, show_clickable, was_asked
from vestiary.pages.desk import current_desk
from vestiary.pages.gallery import name_cell, open_gallery, show_gallery
from vestiary.pages.look import keep_plain, nothing_yet, refuse, show_title
from vestiary.pages.paging import choose_part
from vestiary.pages.shelf import Crossed, Shelf, cross, find_shelf, match_text
from vestiary.reports.advice import advise
from vestiary.reports.figures import RARE, Distribution, choose_crosses, list_unusual

T = TypeVar("T")

FEW, MOST = 12, 300
"""Bars that are shown before all are asked for, and all that are then shown."""
PAGE = 8
"""Findings that are shown at a time."""

_SEVERITIES: Final = {
    Severity.ERROR: (":red-badge[:material/error: error]", "Errors"),
    Severity.WARNING: (":orange-badge[:material/warning: warning]", "Warnings"),
    Severity.INFO: (":blue-badge[:material/info: good to know]", "Good to know"),
}
_NO_CATALOGUE: Final = (
    "No catalogue was named. Make one with: vestiary ingest SOURCE --out FOLDER, "
    "then start the service with VESTIARY_CATALOGUE=FOLDER."
)
_TITLE: Final = "Catalogue"
_LINE: Final = "What is in it, and what is wrong with it."


def show() -> None:
    """The page."""
    try:
        shelf = find_shelf()
    except VestiaryError as error:
        show_title(_TITLE, _LINE)
        refuse(str(error))
        return
    show_title(_TITLE, _LINE if shelf is None else describe_catalogue(shelf))
    if shelf is None:
        nothing_yet(_NO_CATALOGUE)
        return
    views: dict[str, Callable[[Shelf], None]] = {
        "Values": _show_values,
        "Two together": _show_cross,
        "Tree": show_tree,
        "Colours": show_colours,
        "Findings": _show_findings,
        "Photo files": _show_files,
    }
    if not has_tree(shelf):
        del views["Tree"]
    if not list_colours(shelf):
        del views["Colours"]
    chosen = st.segmented_control("Show", list(views), default="Values", required=True, key="catalogue-view")
    views[chosen](shelf)


def describe_catalogue(shelf: Shelf) -> str:
    """How many products there are, and where they are from."""
    counts = shelf.catalogue.counts
    splits = ", ".join(f"{n:,} in {split}" for split, n in counts["splits"].items())
    left_out = f" Rows left out: {counts['rejected_rows']:,}." if counts["rejected_rows"] else ""
    source = name_place(shelf.catalogue.source)
    return f"{counts['products']:,} products of {source}: {splits}.{left_out}"


@st.fragment
def _show_values(shelf: Shelf) -> None:
    """Bars of one attribute, and the photos of the value that was chosen."""
    name = st.selectbox("Attribute", list(shelf.distributions), format_func=shelf.title_of, key="values-attribute")
    own = shelf.distributions[name]
    used = [(value, n) for value, n in own.counts if n]
    if not used:
        nothing_yet(f"No product has a label for {own.title}.")
        return
    chart, value_key = f"values-chart-{name}", f"values-of-{name}"
    left, right = st.columns([5, 6], gap="medium")
    with left:
        _draw_values(own, used, chart, value_key)
    with right:
        value = st.selectbox(
            f"Photos of {keep_plain(own.title)}",
            [value for value, _ in used],
            index=None,
            placeholder="Click a bar, or choose here",
            key=value_key,
            on_change=clear_click,
            args=(chart,),
        )
        if value is not None:
            show_gallery(shelf, shelf.select({name: {value}}), key=f"values-page-{name}-{value}")


def _draw_values(own: Distribution, used: list[tuple[str, int]], chart: str, value_key: str) -> None:
    st.caption(describe_values(own))
    shown = used[:MOST]
    if len(used) > FEW and not st.toggle(f"Show all {len(used):,} values", key=f"{chart}-all"):
        shown = shown[:FEW]

    def choose(point: Point) -> dict[str, str | None]:
        return {value_key: match_text(point.get("value"), [value for value, _ in used])}

    bars = plot_counts(shown, rare_below=RARE, description=f"Products by {own.title}, on a log scale")
    show_clickable(bars, "value", name=chart, choose=choose)


def describe_values(own: Distribution) -> str:
    """How an attribute's labels are spread, in a line."""
    missing = f", {own.n_missing:,} products without" if own.n_missing else ""
    rare = sum(0 < n < RARE for _, n in own.counts)
    told = f"; {rare:,} of them with fewer than {RARE} products, in orange" if rare else ""
    return f"{own.n_used:,} values on {own.n_labelled:,} products{missing}{told}. The scale is logarithmic."


@st.fragment
def _show_cross(shelf: Shelf) -> None:
    """A cross-tab of two attributes, and the photos of the cell that was chosen."""
    names = list(shelf.distributions)
    if len(names) < 2:
        nothing_yet("The catalogue has one attribute only; it takes two to cross them.")
        return
    first, second = choose_crosses(shelf.catalogue.taxonomy, ())[0]
    one, other = st.columns(2)
    with one:
        first = st.selectbox("One", names, names.index(first), format_func=shelf.title_of, key="cross-first")
    with other:
        rest = [name for name in names if name != first]
        usual = rest.index(second) if second in rest else 0
        key = f"cross-second-{first}"
        second = st.selectbox("The other", rest, usual, format_func=shelf.title_of, key=key)
    crossed = cross(shelf, first, second)
    if not crossed.table.n_products:
        nothing_yet("No product has labels for both.")
        return
    _show_cells(shelf, crossed)


def _show_cells(shelf: Shelf, crossed: Crossed) -> None:
    table, key = crossed.table, f"{crossed.down}-{crossed.across}"
    chart, row_key, column_key = f"cross-chart-{key}", f"cross-row-{key}", f"cross-column-{key}"
    st.caption(
        f"{table.n_products:,} products that have both, darker for more; {table.n_empty:,} pairs never occur. "
        "Click a cell for its photos."
    )

    def choose(point: Point) -> dict[str, object]:
        return {
            row_key: match_text(point.get("row"), table.rows),
            column_key: match_text(point.get("column"), table.columns),
        } | ask_for(chart, point)

    cells = plot_crosstab(table.rows, table.columns, table.counts, description=f"{table.down} by {table.across}")
    show_clickable(cells, "row", "column", name=chart, choose=choose, width="content")
    one, other = st.columns(2)
    with one:
        row = ask_side(f"Photos of {table.down}", table.rows, row_key, chart)
    with other:
        column = ask_side(f"and {table.across}", table.columns, column_key, chart)
    if was_asked(chart) and (row or column):
        products = shelf.select(crossed.wanted(row, column))
        open_gallery(name_cell(row, column), shelf, products, key=f"cross-page-{key}-{row}-{column}")


def _ask(chore: Chore[T], words: str) -> T | None:
    """What the work gives, or None while it goes on or after a refusal."""
    if not chore.is_done:
        wait_for(chore, words)
        return None
    try:
        return chore.result()
    except VestiaryError as error:
        refuse(str(error))
        return None


def _ask_survey(shelf: Shelf) -> Survey | None:
    """The survey, or None while there is none; the button beside it makes a new one."""
    key = ("survey", shelf.key)
    chore = CHORES.ask(key, lambda progress: survey(shelf.catalogue, progress))
    found = _ask(chore, "Looking at every photo, once; this may take minutes.")
    if chore.is_done:
        bundle = current_desk().bundle

        def look_again() -> None:
            forget_survey(shelf.catalogue, bundle)
            CHORES.forget(key)
            CHORES.forget(_name_labels(shelf, bundle))

        st.button("Look at every photo again", on_click=look_again, icon=":material/refresh:", type="tertiary")
    return found


def _ask_labels(shelf: Shelf) -> tuple[Finding, ...]:
    """The labels that are probably wrong, where they were asked for; none while they are looked for."""
    if not st.toggle("Look for wrong labels too, which may take many minutes", key="findings-labels"):
        return ()
    bundle = current_desk().bundle
    key = _name_labels(shelf, bundle)
    chore = CHORES.ask(key, lambda progress: survey_labels(shelf.catalogue, bundle, progress))
    if chore.has_failed:  # told once: whoever looks again may have mended it
        CHORES.forget(key)
    return _ask(chore, "The bundle looks at every photo, once; then every label is judged.") or ()


def _name_labels(shelf: Shelf, bundle: Bundle) -> Hashable:
    return ("labels", bundle.fingerprint, shelf.key)


def _show_findings(shelf: Shelf) -> None:
    """What the checks found, a few at a time, each with its photos."""
    found = _ask_survey(shelf)
    if found is None:
        return
    findings = sort_findings([*found.findings, *_ask_labels(shelf)])
    if not findings:
        nothing_yet("Nothing was found: files, labels, duplicates and balance are as they should be.")
        return
    _list_findings(shelf, findings)
    with st.expander("What to do next", icon=":material/checklist:"):
        distributions = tuple(shelf.distributions.values())
        for step in advise(shelf.catalogue, distributions, found.pictures, list_unusual(grow_tree(shelf)), findings):
            st.markdown(f"**{keep_plain(step.title)}**")
            st.text(step.text)


@st.fragment
def _list_findings(shelf: Shelf, findings: Sequence[Finding]) -> None:
    counts = Counter(own.severity for own in findings)
    present = [own for own in Severity if counts[own]]
    left, right = st.columns([3, 2])
    chosen = left.pills(
        "Which findings",
        present,
        selection_mode="multi",
        default=present,
        format_func=lambda own: f"{_SEVERITIES[own][1]} {counts[own]:,}",
        key="findings-severity",
    )
    kinds = Counter(_name_kind(own) for own in findings if own.severity in chosen)
    about = right.selectbox(
        "About",
        sorted(kinds),
        index=None,
        placeholder="everything",
        format_func=lambda own: f"{own} ({kinds[own]:,})",
        key="findings-about",
    )
    shown = [own for own in findings if own.severity in chosen and about in (None, _name_kind(own))]
    part = choose_part(len(shown), PAGE, "finding", key=f"findings-page-{about}")
    for number, finding in enumerate(shown[part], start=part.start):
        _show_finding(shelf, finding, f"finding-{about}-{number}-{finding.check}")


def _name_kind(finding: Finding) -> str:
    """What a finding is about, as people say it."""
    return "labels probably wrong" if "likely_error" in finding.check else finding.check.partition(".")[0]


def _show_finding(shelf: Shelf, finding: Finding, key: str) -> None:
    with st.container(border=True):
        st.markdown(_SEVERITIES[finding.severity][0])
        st.text(finding.message)
        st.caption(keep_plain(finding.remedy))
        if finding.products:
            n = len(finding.products)
            if st.toggle(f"Show {n:,} photos" if n > 1 else "Show the photo", key=f"{key}-open"):
                show_gallery(shelf, shelf.find(finding.products), key=f"{key}-page")


def _show_files(shelf: Shelf) -> None:
    """What the photos are like as files: sizes, shapes, colours, formats."""
    found = _ask_survey(shelf)
    if found is None:
        return
    own = found.pictures
    width, height = own.median_size
    least, median, most = own.kilobytes
    with st.container(horizontal=True):
        st.metric("Photos", f"{own.n:,}", width=160)
        st.metric("Cannot be read", f"{len(own.unreadable):,}", width=160)
        st.metric("Usual size", f"{width} × {height} px", width=200)
        st.metric("Usual file", f"{median:,.0f} kB", width=160, help=f"From {least:,.1f} to {most:,.0f} kB.")
    for place, (title, counts) in enumerate(
        (("Sizes", own.sizes), ("Shapes", own.shapes), ("Colour modes", own.modes), ("Formats", own.formats))
    ):
        if place % 2 == 0:
            columns = st.columns(2, gap="medium")
        with columns[place % 2]:
            st.subheader(title)
            if counts:
                show_chart(plot_counts(counts[:FEW], description=f"Photos by {title.lower()}, on a log scale"))
