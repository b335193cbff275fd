"""The page "Batch": many photos at once, how far they are, their answers as a table to correct and to take away."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from vestiary.errors import LedgerError, PictureError, VestiaryError
from vestiary.images import SUFFIXES
from vestiary.ledger import Ledger, PredictionRecord
from vestiary.ledger.progress import measure_rate
from vestiary.pages.desk import Desk, current_desk
from vestiary.pages.downloads import draw_report, make_table, pack_photos
from vestiary.pages.jobs import INBOX, Jobs, Standing
from vestiary.pages.look import ask_reviewer, make_thumbnail, nothing_yet, refuse
from vestiary.pages.rows import (
    DECISIONS,
    Decision,
    Order,
    Row,
    Wanted,
    choose_rows,
    count_decisions,
    find_taxonomy,
    list_values,
    read_rows,
    save_edits,
)
from vestiary.review import find_photo
from vestiary.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas

MOST_ROWS: Final = 20_000
"""Photos of a batch that the table holds; the downloads have all."""
PAGE: Final = 50
"""Rows that are shown at a time."""
UPLOAD_MB: Final = 200
"""Megabytes of one file that may be dropped; larger zips go into the inbox."""
WORDS: Final[dict[Decision, str]] = {"sure": "sure", "review": "for review", "failed": "not answered"}
STATES: Final = {
    "starting": "is starting",
    "running": "is at work",
    "finished": "is finished",
    "stopped": "was stopped",
    "failed": "had to stop",
    "lost": "was broken off",
}
ANY: Final = "Any"
ORDERS: Final[dict[str, tuple[Order, bool]]] = {
    "Name": ("name", False),
    "Least sure first": ("least sure", False),
    "Surest first": ("least sure", True),
    "Value": ("value", False),
}


def show() -> None:
    """The page."""
    desk = current_desk()
    st.title("Batch")
    st.markdown("Answer many photos at once. You may leave this page meanwhile; the work goes on.")
    if desk.ledger is None:
        nothing_yet("This service keeps no ledger, and a batch needs one; the operator can name it as VESTIARY_LEDGER_URL.")
        return
    jobs = _open_jobs(desk.jobs, desk.ledger, desk.bundle.fingerprint)
    try:
        standings = jobs.list_all()
        _show_new(desk, jobs, is_open=not standings)
        if not standings:
            nothing_yet("No batch yet. Drop photos or a zip above, and the answers come here.")
            return
        _show_batch(desk, desk.ledger, jobs, _choose(standings))
    except LedgerError as error:
        refuse(str(error))


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_jobs(place: Path, _ledger: Ledger, fingerprint: str) -> Jobs:
    """One for all visitors: it knows the processes that it started."""
    desk = current_desk()
    return Jobs(place, _ledger, desk.bundle, precision=desk.predictor.precision)


def _show_new(desk: Desk, jobs: Jobs, *, is_open: bool) -> None:
    with st.expander("New batch", expanded=is_open, icon=":material/add_photo_alternate:"):
        version = st.session_state.setdefault("batch_uploads", 0)
        uploads = st.file_uploader(
            "Photos, or one zip of them",
            type=[suffix[1:] for suffix in sorted(SUFFIXES)] + ["zip"],
            accept_multiple_files=True,
            max_upload_size=UPLOAD_MB,
            key=f"batch_uploads_{version}",
            help=f"At most {desk.max_upload_files:,} photos at once; any number in a zip.",
        )
        inbox = jobs.list_inbox()
        chosen = None
        if inbox:
            chosen = st.selectbox(
                "Or a folder of the server", inbox, index=None, placeholder="Choose one", key="batch_inbox"
            )
        else:
            st.caption(f"The operator can offer folders of the server here by putting them into {desk.jobs / INBOX}.")
        if st.button("Answer these photos", type="primary", key="batch_start"):
            try:
                begun = (
                    jobs.begin_inbox(chosen)
                    if chosen and not uploads
                    else jobs.begin_uploads(uploads, most=desk.max_upload_files)
                )
            except (VestiaryError, OSError) as error:
                refuse(_say(error))
                return
            st.session_state["batch_uploads"] = version + 1
            st.query_params["batch"] = begun
            st.session_state.pop("batch_chosen", None)
            st.rerun()


def _say(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The photos cannot be kept here ({error.strerror}); tell the operator."
    return str(error)


def _choose(standings: Sequence[Standing]) -> Standing:
    """The batch that the address names, or another that the visitor chooses; the newest one else."""
    by_id = {one.id: one for one in standings}
    named = st.query_params.get("batch", "")
    if "batch_chosen" not in st.session_state or st.session_state["batch_chosen"] not in by_id:
        st.session_state["batch_chosen"] = named if named in by_id else standings[0].id
    chosen = st.selectbox("Batch", list(by_id), format_func=lambda own: _describe(by_id[own]), key="batch_chosen")
    st.query_params["batch"] = chosen
    return by_id[chosen]


def _describe(standing: Standing) -> str:
    return f"{standing.title} · {_format_time(standing.started_at)} · {STATES[standing.state].removeprefix('is ')}"


def _format_time(at: datetime) -> str:
    local = at.astimezone()
    return f"{local.day} {local:%b %Y, %H:%M}"


def _show_batch(desk: Desk, ledger: Ledger, jobs: Jobs, standing: Standing) -> None:
    if standing.is_at_work:
        _follow(desk, ledger, standing.id)
    elif standing.state != "finished":
        _show_broken(jobs, standing)
    if standing.job is None:
        return
    rows = _read_rows(ledger, standing)
    if rows:
        _show_counts(standing, rows)
        taxonomy = find_taxonomy(rows, desk.bundle.taxonomy)
        chosen = _show_filters(rows, taxonomy)
        if chosen:
            _show_table(desk, ledger, chosen, taxonomy)
        else:
            nothing_yet("No photo is like that; choose something else above.")
        _show_downloads(desk, ledger, standing, chosen, taxonomy)
    elif not standing.is_at_work:
        nothing_yet("Nothing of this batch is in the ledger any more.")
    _show_remove(jobs, standing)


@st.fragment(run_every=1.0)
def _follow(desk: Desk, ledger: Ledger, job_id: str) -> None:
    """How far the batch is, anew each second; the whole page again when it ends."""
    jobs = _open_jobs(desk.jobs, ledger, desk.bundle.fingerprint)
    standing = next((one for one in jobs.list_all() if one.id == job_id), None)
    if standing is None or not standing.is_at_work:
        st.rerun()
    share, text = tell_progress(standing, measure_rate(ledger, job_id))
    st.progress(share, text=text)
    if jobs.can_stop(job_id) and st.button("Stop", key="batch_stop", icon=":material/stop:"):
        jobs.stop(job_id)


def tell_progress(standing: Standing, rate: float | None) -> tuple[float, str]:
    """The share that is done, 0..1, and a sentence: how many of how many, photos a second, time left."""
    if standing.n_total is None:
        return 0.0, "Getting ready: the model is loaded and the photos are counted."
    left = max(0, standing.n_total - standing.n_settled)
    text = f"{standing.n_settled:,} of {standing.n_total:,} photos"
    if rate:
        seconds = left / rate
        time_left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        text += f", {rate:,.1f} a second, {time_left} left"
    return (standing.n_settled / standing.n_total if standing.n_total else 1.0), text


def _show_broken(jobs: Jobs, standing: Standing) -> None:
    left = "" if standing.n_total is None else f" with {standing.n_total - standing.n_settled:,} photos still to do"
    st.warning(f"This batch {STATES[standing.state]}{left}; what was answered is kept.", icon=":material/pause_circle:")
    if standing.reason:
        refuse(standing.reason)
    if standing.folder is None:
        st.caption("It was begun on the command line: run the same command again, and it goes on where it was.")
    elif st.button("Go on", type="primary", key="batch_go_on", icon=":material/play_arrow:"):
        jobs.go_on(standing.id)
        st.rerun()


def _read_rows(ledger: Ledger, standing: Standing) -> list[Row]:
    """The rows, read anew when there are more, and when somebody has corrected one."""
    return list(islice(read_rows(ledger, standing.id), MOST_ROWS))


def _show_counts(standing: Standing, rows: Sequence[Row]) -> None:
    counts = count_decisions(rows)
    with st.container(horizontal=True, key="batch_counts"):
        st.metric("Photos", f"{len(rows):,}", width=150)
        for decision in DECISIONS:
            st.metric(WORDS[decision].capitalize(), f"{counts[decision]:,}", width=150)
    if standing.is_at_work:
        st.caption("These are the answers so far; the table is made anew when the batch ends.")
    elif standing.n_settled > len(rows) and len(rows) == MOST_ROWS:
        st.caption(f"The table has {MOST_ROWS:,} of {standing.n_settled:,} photos; CSV and Parquet have all.")


def _show_filters(rows: Sequence[Row], taxonomy: Taxonomy) -> list[Row]:
    """The rows that the visitor wants, in their order."""
    titles = {attribute.name: attribute.title or attribute.name for attribute in taxonomy.attributes}
    first = st.columns([3, 2, 3])
    words = first[0].pills(
        "Show", list(WORDS.values()), selection_mode="multi", default=list(WORDS.values()), key="batch_decisions"
    )
    attribute = first[1].selectbox(
        "Attribute", [None, *titles], format_func=lambda own: ANY if own is None else titles[own], key="batch_attribute"
    )
    values = first[2].multiselect(
        "Values",
        list_values(rows, attribute) if attribute else [],
        disabled=attribute is None,
        placeholder="All" if attribute else "Choose an attribute first",
        key=f"batch_values_{attribute}",
    )
    second = st.columns([3, 2, 3])
    low, high = second[0].slider("Confidence, %", 0, 100, (0, 100), key="batch_confidence")
    order = second[1].selectbox("Sort by", list(ORDERS), key="batch_order")
    name = second[2].text_input("Name contains", key="batch_words")
    only_corrected = st.toggle("Only corrected ones", key="batch_corrected")
    wanted = Wanted(
        frozenset(decision for decision, word in WORDS.items() if word in words),
        attribute,
        frozenset(values),
        (low / 100, high / 100),
        only_corrected,
        name.strip(),
    )
    by, is_down = ORDERS[order]
    return choose_rows(rows, wanted, order=by, attribute=_sort_by(attribute, by, taxonomy), is_down=is_down)


def _sort_by(attribute: str | None, order: Order, taxonomy: Taxonomy) -> str | None:
    return attribute or (taxonomy.category if order == "value" else None)


def _show_table(desk: Desk, ledger: Ledger, chosen: Sequence[Row], taxonomy: Taxonomy) -> None:
    """A page of the rows, whose values can be changed."""
    top = st.columns([3, 2], vertical_alignment="bottom")
    with top[0]:
        reviewer = ask_reviewer(key="batch_reviewer")
    n_pages = -(-len(chosen) // PAGE)
    number = 1
    if n_pages > 1:
        number = top[1].number_input(f"Page, of {n_pages:,}", 1, n_pages, 1, key=f"batch_page_{n_pages}")
    shown = chosen[(number - 1) * PAGE : number * PAGE]
    if problem := st.session_state.pop("batch_problem", None):
        refuse(problem)
    version = st.session_state.setdefault("batch_edits", 0)
    key = f"batch_table_{version}"

    def save() -> None:
        edits = st.session_state[key]["edited_rows"]
        try:
            n = save_edits(ledger, shown, edits, taxonomy=taxonomy, reviewer=reviewer)
            st.toast(f"{n} correction{'' if n == 1 else 's'} saved.", icon=":material/check:")
        except VestiaryError as error:
            st.session_state["batch_problem"] = str(error)
        st.session_state["batch_edits"] = version + 1

    st.data_editor(
        _make_frame(shown, taxonomy, partial(_draw_thumbnail, desk, ledger)),
        key=key,
        on_change=save,
        hide_index=True,
        row_height=72,
        height=min(640, 40 + 72 * len(shown)),
        disabled=["photo", "name", "decision", "confidence", "corrected", "problem"],
        column_config=_describe_columns(shown, taxonomy),
        alt=f"{len(shown)} photos with their answers",
    )
    st.caption("Double-click a value to change it: the correction is saved under your name, and the files have it.")


def _make_frame(
    rows: Sequence[Row], taxonomy: Taxonomy, draw: Callable[[PredictionRecord], str | None]
) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame(
        [
            {
                "photo": draw(row.answer) if row.answer is not None else None,
                "name": row.name,
                "decision": WORDS[row.decision],
                "confidence": row.confidence(),
                **{name: row.value(name) for name in taxonomy.names},
                "corrected": ", ".join(taxonomy[name].title or name for name in sorted(row.verdicts)),
                "problem": row.problem or "",
            }
            for row in rows
        ]
    )


def _describe_columns(rows: Sequence[Row], taxonomy: Taxonomy) -> dict[str, Any]:
    columns = st.column_config
    described: dict[str, Any] = {
        "photo": columns.ImageColumn("Photo", width="small"),
        "name": columns.TextColumn("Name"),
        "decision": columns.TextColumn("Decision", width="small"),
        "confidence": columns.ProgressColumn("Least sure", min_value=0, max_value=1, format="percent", width="small"),
        "corrected": columns.TextColumn("Corrected") if any(row.verdicts for row in rows) else None,
        "problem": columns.TextColumn("Why not answered", width="large") if any(row.problem for row in rows) else None,
    }
    for attribute in taxonomy.attributes:
        described[attribute.name] = columns.SelectboxColumn(
            attribute.title or attribute.name, options=sorted(attribute.values), required=True
        )
    return described


def _draw_thumbnail(desk: Desk, ledger: Ledger, record: PredictionRecord) -> str | None:
    """A small picture as a data URL; None where the photo is gone."""
    return _keep_thumbnail(record.image_sha256, lambda: find_photo(ledger, record, desk.album))


@st.cache_data(max_entries=2000, ttl=600, show_spinner=False)
def _keep_thumbnail(sha256: str | None, _find: Callable[[], bytes | None]) -> str | None:
    data = _find()
    try:
        small = make_thumbnail(data, current_desk().limits, longest=160) if data is not None else None
    except PictureError:
        small = None
    return None if small is None else f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"


def _show_downloads(
    desk: Desk, ledger: Ledger, standing: Standing, chosen: Sequence[Row], taxonomy: Taxonomy
) -> None:
    st.subheader("Take away")
    st.caption(f"The {len(chosen):,} photos that are chosen above, with all corrections so far.")
    stem = "".join(letter if letter.isalnum() else "-" for letter in Path(standing.title).stem) or "batch"
    with st.container(horizontal=True, key="batch_downloads"):
        for form, label, mime in (
            ("csv", "CSV", "text/csv"),
            ("parquet", "Parquet", "application/vnd.apache.parquet"),
        ):
            st.download_button(
                label,
                partial(make_table, chosen, taxonomy=taxonomy, form=form),
                f"{stem}.{form}",
                mime,
                key=f"batch_{form}",
                icon=":material/download:",
                on_click="ignore",
            )
        job = standing.job
        if job is not None:
            st.download_button(
                "Report",
                partial(draw_report, ledger, job, bundle=desk.bundle),
                f"{stem}-report.html",
                "text/html",
                key="batch_report",
                icon=":material/summarize:",
                on_click="ignore",
            )
    _show_packing(desk, ledger, chosen, taxonomy, stem)


def _show_packing(desk: Desk, ledger: Ledger, chosen: Sequence[Row], taxonomy: Taxonomy, stem: str) -> None:
    """The photos in folders by an attribute: packed when asked for, since that takes a while."""
    title = {attribute.name: attribute.title or attribute.name for attribute in taxonomy.attributes}
    with st.container(horizontal=True, vertical_alignment="bottom", key="batch_packing"):
        by = st.selectbox(
            "Photos in folders by",
            taxonomy.names,
            index=taxonomy.names.index(taxonomy.category),
            format_func=title.__getitem__,
            key="batch_file_by",
            width=260,
        )
        wants = st.button("Pack a zip", key="batch_pack", icon=":material/folder_zip:")
    if not wants:
        return
    try:
        with st.spinner("Packing the photos."), tempfile.TemporaryDirectory(prefix="vestiary-") as folder:
            file = Path(folder) / "photos.zip"
            packed = pack_photos(
                chosen, file, attribute=by, find=lambda record: find_photo(ledger, record, desk.album)
            )
            data = file.read_bytes()
    except (VestiaryError, OSError) as error:
        refuse(_say(error))
        return
    if packed.n_missing:
        st.warning(f"{packed.n_missing:,} photos are no longer where they were, so they are not in the zip.")
    if packed.n:
        st.download_button(
            f"Download {packed.n:,} photo{'' if packed.n == 1 else 's'}",
            data,
            f"{stem}-by-{by}.zip",
            "application/zip",
            key="batch_zip",
            icon=":material/download:",
            on_click="ignore",
        )


def _show_remove(jobs: Jobs, standing: Standing) -> None:
    """What was sent can be taken off the server again."""
    if standing.folder is None or standing.is_at_work:
        return
    with st.popover("Remove from the server", icon=":material/delete:"):
        st.markdown("Deletes the photos of this batch from the server. The answers stay, without their photos.")
        if st.button("Delete the photos", key="batch_remove"):
            try:
                jobs.remove(standing.id)
            except (VestiaryError, OSError) as error:
                refuse(_say(error))
                return
            st.rerun()
