"""The answers of one batch on its page: choose among them, correct them, take them away."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import streamlit as st

from vestiary.bundle import Bundle
from vestiary.charts import keep_text
from vestiary.errors import VestiaryError
from vestiary.ledger import Job, Ledger
from vestiary.pages.batch.downloads import draw_report, make_table, pack_photos
from vestiary.pages.batch.plain import ask_correction, draw_plain
from vestiary.pages.batch.rows import (
    WORDS,
    Order,
    Row,
    Wanted,
    choose_rows,
    find_taxonomy,
    list_values,
    read_rows,
    save_edits,
)
from vestiary.pages.look import ask_attribute, ask_reviewer, nothing_yet, refuse, tell_error
from vestiary.pages.paging import choose_part
from vestiary.pages.thumbnails import Find, recall_thumbnail, to_data_url
from vestiary.taxonomy import Taxonomy

MOST_ROWS: Final = 20_000
"""Photos of a batch that the table holds; the files to take away have all."""
PAGE: Final = 50
"""Rows that are shown at a time."""
THUMBNAIL: Final = 160
"""Pixels of the longer side of a photo in the table."""
ORDERS: Final[dict[str, tuple[Order, bool]]] = {
    "Name": ("name", False),
    "Least sure first": ("least sure", False),
    "Surest first": ("least sure", True),
    "Value": ("value", False),
}


def show_answers(ledger: Ledger, job: Job, title: str, rows: Sequence[Row], *, bundle: Bundle, find: Find) -> None:
    """Everything below the counts; ``find`` gives the photos, ``title`` names the files."""
    taxonomy = find_taxonomy(rows, bundle.taxonomy)
    with st.expander("Filter and sort", icon=":material/filter_alt:"):
        wanted, order, is_down = _ask(rows, taxonomy)
    by = wanted.attribute or (taxonomy.category if order == "value" else None)
    chosen = choose_rows(rows, wanted, order=order, attribute=by, is_down=is_down)
    if len(chosen) < len(rows):
        st.caption(f"{len(chosen):,} of {len(rows):,} photos.")
    if not chosen and len(rows) < MOST_ROWS:
        nothing_yet("No photo is like that; choose something else above.")
        return
    if st.session_state.get("batch_asked") != (asked := (job.id, wanted, order, is_down)):
        st.session_state["batch_asked"], st.session_state["batch_page"] = asked, 0
    if chosen:
        _show_table(ledger, chosen, taxonomy, find, wanted.attribute)
    else:
        nothing_yet(f"None of the {MOST_ROWS:,} photos of the table is like that; the files look through all.")
    st.subheader("Download", anchor=False)
    st.caption("The photos that are chosen above, with all corrections so far.")
    stem = "".join(letter if letter.isalnum() else "-" for letter in Path(title).stem) or "batch"

    def give() -> Iterable[Row]:
        """All that is wanted, also what the table has no room for."""
        if len(rows) < MOST_ROWS:
            return chosen
        return (row for row in read_rows(ledger, job.id) if wanted.keeps(row))

    with st.container(horizontal=True, key="batch_downloads"):
        for form, label, mime in (("csv", "CSV", "text/csv"), ("parquet", "Parquet", "application/octet-stream")):
            make = partial(_make_table, give, taxonomy, form)
            _offer(label, make, f"{stem}.{form}", mime)
        _offer("Report", partial(draw_report, ledger, job, bundle=bundle), f"{stem}-report.html", "text/html")
    _show_packing(give, taxonomy, find, stem)


def _make_table(give: Callable[[], Iterable[Row]], taxonomy: Taxonomy, form: str) -> bytes:
    return make_table(give(), taxonomy=taxonomy, form=form)


def _offer(label: str, make: Callable[[], str | bytes] | bytes, name: str, mime: str) -> None:
    """A button for a file, which is made when it is asked for."""
    st.download_button(
        label, make, name, mime, key=f"batch_{label.lower()}", icon=":material/download:", on_click="ignore"
    )


def _ask(rows: Sequence[Row], taxonomy: Taxonomy) -> tuple[Wanted, Order, bool]:
    """Which rows the visitor wants, and in which order."""
    first, second = st.columns([3, 2, 3]), st.columns([3, 2, 3])
    words = first[0].pills(
        "Show", list(WORDS.values()), selection_mode="multi", default=list(WORDS.values()), key="batch_decisions"
    )
    order, is_down = ORDERS[first[1].selectbox("Sort by", list(ORDERS), key="batch_order")]
    name = first[2].text_input("Name contains", key="batch_words")
    low, high = second[0].slider("Confidence, %", 0, 100, (0, 100), key="batch_confidence")
    with second[1]:
        attribute = ask_attribute(taxonomy, key="batch_attribute")
    values: Sequence[str] = ()
    if attribute is not None:
        there = list_values(rows, attribute)
        values = second[2].multiselect("Values", there, placeholder="All", key=f"batch_values_{attribute}")
    only_corrected = (
        second[2].toggle("Only corrected ones", key="batch_corrected") if any(row.verdicts for row in rows) else False
    )
    wanted = Wanted(
        decisions=frozenset(decision for decision, word in WORDS.items() if word in words),
        attribute=attribute,
        values=frozenset(values),
        confidence=(low / 100, high / 100),
        only_corrected=only_corrected,
        words=name.strip(),
    )
    return wanted, order, is_down


def _show_table(ledger: Ledger, chosen: Sequence[Row], taxonomy: Taxonomy, find: Find, about: str | None) -> None:
    """A page of the rows, whose values can be changed; the confidence shown is the least, or that in ``about``."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=300):
            reviewer = ask_reviewer(key="batch_reviewer")
        is_plain = st.toggle(
            "Plain table", key="batch_plain", help="One that screen readers read; values are corrected in fields below."
        )
    shown = chosen[choose_part(len(chosen), PAGE, "photo", key="batch_page")]
    if problem := st.session_state.pop("batch_problem", None):
        refuse(problem)
    version = st.session_state.setdefault("batch_edits", 0)
    key = f"batch_table_{version}"

    def save(edits: Mapping[int, Mapping[str, Any]]) -> None:
        try:
            n = save_edits(ledger, shown, edits, taxonomy=taxonomy, reviewer=reviewer)
            st.toast(f"{n} correction{'' if n == 1 else 's'} saved.", icon=":material/check:")
        except VestiaryError as error:
            st.session_state["batch_problem"] = str(error)
        st.session_state["batch_edits"] = version + 1  # a new table, which does not repeat the edit

    def draw(row: Row) -> bytes | None:
        own = row.answer
        return None if own is None else recall_thumbnail(own.image_sha256, THUMBNAIL, partial(find, own))

    if is_plain:
        st.html(draw_plain(shown, taxonomy, draw, about))
        ask_correction(shown, taxonomy, lambda place, attribute, value: save({place: {attribute: value}}))
        return
    with st.container(key="batch_answers"):
        st.data_editor(
            _make_cells(shown, taxonomy, draw, about),
            key=key,
            on_change=lambda: save(st.session_state[key]["edited_rows"]),
            hide_index=True,
            row_height=72,
            height=min(640, 40 + 72 * len(shown)),
            disabled=["photo", "name", "decision", "confidence", "corrected", "problem"],
            column_config=_describe_columns(shown, taxonomy, about),
            alt=f"{len(shown)} photos with their answers; the switch Plain table shows them as text",
            placeholder="",
        )
    st.caption("Double-click a value to change it: the correction is saved under your name, and the files have it.")


def _make_cells(
    rows: Sequence[Row], taxonomy: Taxonomy, draw: Callable[[Row], bytes | None], about: str | None
) -> list[dict[str, Any]]:
    return [
        {
            "photo": None if (small := draw(row)) is None else to_data_url(small),
            "name": keep_text(row.name),
            "decision": WORDS[row.decision],
            "confidence": None if (least := row.confidence(about)) is None else round(100 * least),
            "corrected": ", ".join(taxonomy.titles[name] for name in sorted(row.verdicts)),
            **{name: row.value(name) for name in taxonomy.names},
            "problem": keep_text(row.problem or ""),
        }
        for row in rows
    ]


def _describe_columns(rows: Sequence[Row], taxonomy: Taxonomy, about: str | None) -> dict[str, Any]:
    columns = st.column_config
    sure = "Least sure" if about is None else f"{taxonomy.titles[about]}, sure"
    described: dict[str, Any] = {
        "photo": columns.ImageColumn("Photo", width="small"),
        "name": columns.TextColumn("Name"),
        "decision": columns.TextColumn("Decision", width="small"),
        "confidence": columns.ProgressColumn(sure, min_value=0, max_value=100, format="%d %%", width="small"),
        "corrected": columns.TextColumn("Corrected") if any(row.verdicts for row in rows) else None,
        "problem": columns.TextColumn("Why not answered", width="large") if any(row.problem for row in rows) else None,
    }
    for attribute in taxonomy.attributes:
        described[attribute.name] = columns.SelectboxColumn(
            taxonomy.titles[attribute.name], options=sorted(attribute.values)
        )
    return described


def _show_packing(give: Callable[[], Iterable[Row]], taxonomy: Taxonomy, find: Find, stem: str) -> None:
    """The photos in folders by an attribute: packed when asked for, since that takes a while."""
    titles = taxonomy.titles
    with st.container(horizontal=True, vertical_alignment="bottom", key="batch_packing"):
        by = st.selectbox(
            "Photos in folders by",
            taxonomy.names,
            index=taxonomy.names.index(taxonomy.category),
            format_func=titles.__getitem__,
            key="batch_file_by",
            width=260,
        )
        if not st.button("Pack a zip", key="batch_pack", icon=":material/folder_zip:"):
            return
    try:
        with st.spinner("Packing the photos."), tempfile.TemporaryDirectory(prefix="vestiary-") as folder:
            file = Path(folder) / "photos.zip"
            packed = pack_photos(give(), file, attribute=by, find=find)
            data = file.read_bytes()
    except (VestiaryError, OSError) as error:
        refuse(tell_error(error, "The zip cannot be packed here"))
        return
    if packed.n_missing:
        st.warning(f"{packed.n_missing:,} photos are no longer where they were, so they are not in the zip.")
    if packed.n:
        _offer(
            f"Download {packed.n:,} photo{'' if packed.n == 1 else 's'}", data, f"{stem}-by-{by}.zip", "application/zip"
        )
    elif not packed.n_missing:
        nothing_yet(f"None of these photos has an answer for {titles[by]}, so there is nothing to pack.")
