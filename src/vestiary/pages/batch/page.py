"""The page "Batch": many photos at once, how far they are, their answers as a table to correct and to take away."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import streamlit as st

from vestiary.errors import LedgerError, VestiaryError
from vestiary.images import SUFFIXES
from vestiary.ledger import Ledger
from vestiary.ledger.progress import measure_rate, stamp_verdicts
from vestiary.ledger.summaries import last_sign
from vestiary.pages.batch.jobs import Jobs, Standing
from vestiary.pages.batch.rows import DECISIONS, WORDS, Row, count_decisions, read_rows
from vestiary.pages.batch.table import MOST_ROWS, show_answers
from vestiary.pages.desk import Desk, current_desk
from vestiary.pages.dropzone import watch_field
from vestiary.pages.look import nothing_yet, refuse, show_title, tell_error
from vestiary.pages.uploads import Upload
from vestiary.reports.page import format_number
from vestiary.review import find_photo

STATES: Final = {
    "starting": "is starting",
    "running": "is at work",
    "finished": "is finished",
    "stopped": "was stopped",
    "failed": "had to stop",
    "lost": "was broken off",
}


def show() -> None:
    """The page."""
    desk = current_desk()
    show_title("Batch", "Many photos at once. You may leave this page meanwhile; the work goes on.")
    if desk.ledger is None:
        nothing_yet(
            "This service keeps no ledger, and a batch needs one; the operator can name it as VESTIARY_LEDGER_URL."
        )
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
    return Jobs(
        place,
        _ledger,
        desk.bundle,
        precision=desk.predictor.precision,
        decide_on=desk.predictor.decide_on,
    )


@dataclass
class _Handing:
    """What one visitor hands over: the id of the batch that was begun of it, until the field is empty again.

    Who begins one holds ``in_turn``: a second click begins a newer run before the one that it breaks off has ended.
    """

    begun: str | None = None
    in_turn: threading.Lock = field(default_factory=threading.Lock)


def _show_new(desk: Desk, jobs: Jobs, *, is_open: bool) -> None:
    handing: _Handing = st.session_state.setdefault("batch_handing", _Handing())
    with handing.in_turn:
        begun = handing.begun
    if begun is not None:
        st.session_state["batch_uploads"] = st.session_state.get("batch_uploads", 0) + 1
        st.query_params["batch"] = begun
        st.session_state.pop("batch_chosen", None)
        handing.begun = None
        st.rerun()
    with st.expander("New batch", expanded=is_open, icon=":material/add_photo_alternate:"):
        version = st.session_state.setdefault("batch_uploads", 0)
        uploads = st.file_uploader(
            "Photos, or one zip of them",
            type=[suffix[1:] for suffix in sorted(SUFFIXES)] + ["zip"],
            accept_multiple_files=True,
            key=f"batch_uploads_{version}",
            help=f"At most {desk.max_upload_files:,} photos at once; any number in a zip.",
        )
        watch_field(desk.max_upload_bytes, "save a photo smaller, and put a larger zip into the inbox of the server.")
        inbox = jobs.list_inbox()
        chosen = None
        if inbox:
            chosen = st.selectbox(
                "Or a folder of the server", inbox, index=None, placeholder="Choose one", key="batch_inbox"
            )
        else:
            st.caption("The operator can offer folders of the server here, too; the guide to the pages says how.")
        if desk.jobs_keep_days:
            st.caption(f"What you send stays on the server for {format_number(desk.jobs_keep_days, 'day')}.")
        is_ready = bool(uploads or chosen)  # photos are there when all of them have arrived
        if st.button("Answer these photos", type="primary", key="batch_start", disabled=not is_ready):
            try:
                with handing.in_turn:
                    if handing.begun is None:
                        handing.begun = (
                            jobs.begin_inbox(chosen)
                            if chosen and not uploads
                            else jobs.begin_uploads(uploads, most=desk.max_upload_files)
                        )
                        for upload in uploads:
                            Upload(upload.name, upload).free()
            except (VestiaryError, OSError) as error:
                refuse(tell_error(error, "The photos cannot be kept here"))
                return
            st.rerun()


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
    return f"{standing.title} · {_format_time(standing.started_at)}"


def _format_time(at: datetime) -> str:
    local = at.astimezone()
    return f"{local.day} {local:%b %Y, %H:%M}"


def _show_batch(desk: Desk, ledger: Ledger, jobs: Jobs, standing: Standing) -> None:
    if standing.is_at_work:
        _follow(desk, ledger, standing.id)
    elif standing.state != "finished":
        _show_broken(jobs, standing)
    elif standing.job is not None:
        st.caption(f"Finished on {_format_time(last_sign(standing.job))}.")
    if standing.job is None:
        return
    rows = _read_rows(ledger, standing.id, standing.n_settled, stamp_verdicts(ledger, standing.id))
    if rows:
        _show_counts(standing, rows)
        find = partial(find_photo, ledger, album=desk.album)
        show_answers(ledger, standing.job, standing.title, rows, bundle=desk.bundle, find=find)
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
    if rate and left:
        seconds = left / rate
        time_left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        text += f", {rate:,.1f} a second, {time_left} left"
    return (standing.n_settled / standing.n_total if standing.n_total else 1.0), text


def _show_broken(jobs: Jobs, standing: Standing) -> None:
    left = "" if standing.n_total is None else f" with {standing.n_total - standing.n_settled:,} photos still to do"
    st.warning(f"This batch {STATES[standing.state]}{left}; what was answered is kept.", icon=":material/pause_circle:")
    if standing.reason:
        refuse(standing.reason)
    if jobs.has_removed(standing):
        st.caption("Its photos were removed from the server, so it cannot go on.")
    elif standing.folder is None:
        st.caption("It was begun on the command line: run the same command again, and it goes on where it was.")
    elif st.button("Go on", type="primary", key="batch_go_on", icon=":material/play_arrow:"):
        try:
            jobs.go_on(standing.id)
        except (VestiaryError, OSError) as error:
            refuse(tell_error(error, "The batch cannot go on"))
            return
        st.rerun()


@st.cache_resource(max_entries=4, ttl=600, show_spinner="Reading the answers.")
def _read_rows(_ledger: Ledger, job_id: str, n_settled: int, verdicts: tuple[int, datetime | None]) -> list[Row]:
    """The rows, read anew when there are more of them, and when somebody has corrected one."""
    return list(islice(read_rows(_ledger, job_id), MOST_ROWS))


def _show_counts(standing: Standing, rows: Sequence[Row]) -> None:
    counts, is_part = count_decisions(rows), len(rows) == MOST_ROWS
    n = max(standing.n_settled, MOST_ROWS) if is_part else len(rows)
    with st.container(horizontal=True, key="batch_counts"):
        st.metric("Photos", f"{n:,}", width=150)
        for decision in DECISIONS:
            st.metric(WORDS[decision].capitalize(), f"{counts[decision]:,}", width=150)
    if standing.is_at_work:
        st.caption("These are the answers so far; the table is made anew when the batch ends.")
    if n > len(rows):
        st.caption(
            f"The table, and how many are sure or for review, are of {MOST_ROWS:,} of these photos, those that were "
            "not answered first; the files have all."
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
                refuse(tell_error(error, "The photos cannot be deleted"))
                return
            st.rerun()
