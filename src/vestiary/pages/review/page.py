"""The page "Review": one photo after the other, the least sure first, by keys alone where a reviewer likes that."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Final

import streamlit as st

from vestiary.charts import keep_text
from vestiary.errors import LedgerError, UsageError, VestiaryError
from vestiary.ledger import Ledger
from vestiary.ledger.claims import HOLD
from vestiary.pages.desk import Desk, current_desk
from vestiary.pages.look import (
    MAX_NAME,
    ask_attribute,
    ask_reviewer,
    draw_bar,
    keep_plain,
    nothing_yet,
    refuse,
    show_title,
    tell_error,
)
from vestiary.pages.review.corrections import pack_corrections, tell_corrections
from vestiary.pages.review.keys import hear, listen
from vestiary.pages.review.turn import CHOICES, Turn
from vestiary.pages.thumbnails import recall_thumbnail, to_data_url
from vestiary.review import BANDS, Item, Queue, measure_agreement

AHEAD: Final = 3
"""Photos that a reviewer is given at a time."""
LONGEST: Final = 900
"""Pixels of the longer side of the photo."""
KEYS: Final = ["a", "n", "s", "u", "ArrowDown", "ArrowUp", *(str(number) for number in range(1, CHOICES + 1))]
ORDERS: Final = {"value": "Most worth a look", "uncertain": "Least sure", "newest": "Newest"}
BAND_WORDS: Final = {
    band.name: word for band, word in zip(BANDS, ("under 70 %", "70 to 85 %", "85 % and more"), strict=True)
}
BY_MODEL, BY_BAND, BY_PRECISION = "What the model left for review", "By confidence", "By precision wanted"


@dataclass
class Sitting:
    """What is before one reviewer, from one run of the page to the next.

    Steps change this alone: Streamlit may break a callback off wherever it touches ``st``, and half a step is none.
    """

    wanted: tuple[str, str] | None = None
    items: list[Item] = field(default_factory=list)
    turn: Turn | None = None
    until: float = 0.0
    problem: str = ""
    had_none_to_undo: bool = False


def show() -> None:
    """The page."""
    desk = current_desk()
    show_title("Review", "What the model was not sure of, one photo at a time.")
    if desk.ledger is None:
        nothing_yet("This service keeps no ledger, so nothing waits; the operator can name one as VESTIARY_LEDGER_URL.")
        return
    try:
        _show(desk, desk.ledger)
    except LedgerError as error:
        refuse(str(error))


def _show(desk: Desk, ledger: Ledger) -> None:
    reviewer, asked = _ask(desk)
    if not reviewer:
        nothing_yet("Write your name first; what you decide is kept under it.")
        return
    st.query_params["reviewer"] = reviewer
    queue = Queue(ledger, desk.bundle, reviewer=reviewer, album=desk.album)
    sitting: Sitting = st.session_state.setdefault("review_sitting", Sitting())
    press = partial(_press, sitting, queue)
    hear(press, key="review_keys")
    turn = _find_turn(sitting, queue, reviewer, asked)
    listen(turn.item.record.id if turn is not None else "", KEYS, press, key="review_keys")
    _tell(sitting)
    if turn is None:
        nothing_yet("Nothing waits for a look. Answers that the model is not sure of come here by themselves.")
        _show_undo(sitting, queue)
    else:
        _show_turn(desk, sitting, queue, turn)
    _show_progress(desk, ledger, queue)


def _ask(desk: Desk) -> tuple[str, dict[str, Any]]:
    """The reviewer's name, and what they want to see, as ``Queue.next_items`` takes it."""
    if "reviewer" in st.query_params and not st.session_state.get("reviewer_name"):
        st.session_state["reviewer_name"] = st.query_params["reviewer"].strip()[:MAX_NAME]
    is_named = bool(st.session_state.get("reviewer_name"))
    with st.container(horizontal=True, vertical_alignment="center" if is_named else "bottom", key="review_head"):
        reviewer = _ask_name()
        with st.popover("What to look at", icon=":material/tune:"):
            order = st.radio("First", list(ORDERS), format_func=ORDERS.__getitem__, key="review_order")
            attribute = ask_attribute(desk.bundle.taxonomy, key="review_attribute")
            way = st.radio("Which answers", [BY_MODEL, BY_BAND, BY_PRECISION], key="review_way")
            asked: dict[str, Any] = {"order": order, "attribute": attribute}
            if way == BY_BAND:
                asked["bands"] = st.pills(
                    "Confidence",
                    list(BAND_WORDS),
                    selection_mode="multi",
                    default=[BANDS[0].name],
                    format_func=BAND_WORDS.__getitem__,
                    key="review_bands",
                ) or [BANDS[0].name]
            elif way == BY_PRECISION:
                percent = st.slider(
                    "Of the answers nobody looks at, this many % are to be right", 80, 99, 97, key="review_precision"
                )
                asked["target_precision"] = percent / 100
    return reviewer, asked


def _ask_name() -> str:
    """The reviewer's name; once it is there, no field stands in the way of the keys."""
    name: str = st.session_state.get("reviewer_name", "")
    if not name:
        with st.container(width=260):
            name = ask_reviewer(key="review_reviewer")
        if name:
            st.rerun()
        return name

    def forget() -> None:
        st.session_state["reviewer_name"] = ""
        st.query_params.pop("reviewer", None)

    st.markdown(f"Reviewer: **{keep_plain(name)}**", width="content")
    st.button("Change", key="review_rename", type="tertiary", on_click=forget)
    return name


def _tell(sitting: Sitting) -> None:
    """What the last steps have to say."""
    problem, sitting.problem = sitting.problem, ""
    had_none, sitting.had_none_to_undo = sitting.had_none_to_undo, False
    if problem:
        refuse(problem)
    if had_none:
        st.toast("There is nothing to undo.")


def _find_turn(sitting: Sitting, queue: Queue, reviewer: str, asked: dict[str, Any]) -> Turn | None:
    """The photo that is before the reviewer; others when they want to see something else."""
    wanted = (reviewer, repr(sorted(asked.items())))
    if sitting.wanted != wanted:
        sitting.wanted, sitting.items, sitting.turn = wanted, [], None
    if sitting.turn is None:
        items = sitting.items if monotonic() < sitting.until else []
        if not items:
            sitting.until = monotonic() + HOLD.total_seconds()
            items = queue.next_items(AHEAD, **asked)
        sitting.items = items[1:]
        sitting.turn = Turn(queue, items[0]) if items else None
    return sitting.turn


def _do(sitting: Sitting, step: Callable[[], None], *, finishes: bool = False) -> None:
    """One step of the reviewer; what the ledger does not take is told, and the photo stays, if it is theirs still."""
    try:
        step()
    except VestiaryError as error:
        sitting.problem = str(error)
        if isinstance(error, UsageError):  # it is with another by now, or pruned, and those next to it may be, too
            sitting.items, sitting.turn = [], None
        return
    if finishes:
        sitting.turn = None


def _undo(sitting: Sitting, queue: Queue) -> None:
    try:
        item = queue.undo()
    except VestiaryError as error:
        sitting.problem = str(error)
        return
    if item is None:
        sitting.had_none_to_undo = True
        return
    waiting = [own for own in sitting.items if own.record.id != item.record.id]
    if sitting.turn is not None and sitting.turn.item.record.id != item.record.id:
        waiting.insert(0, sitting.turn.item)
    sitting.items, sitting.turn = waiting, Turn(queue, item)


def _show_undo(sitting: Sitting, queue: Queue) -> None:
    st.button("Undo (U)", on_click=_undo, args=(sitting, queue), key="review_undo", icon=":material/undo:")


def _press(sitting: Sitting, queue: Queue, photo: str, key: str) -> None:
    """What a key does; one that was pressed before another photo than that of now does nothing."""
    turn = sitting.turn
    if key == "u":
        _undo(sitting, queue)
    elif turn is None or turn.item.record.id != photo:
        return
    elif key in ("a", "s"):
        _do(sitting, turn.accept if key == "a" else turn.skip, finishes=True)
    elif key in ("ArrowDown", "ArrowUp"):
        _do(sitting, partial(turn.move, 1 if key == "ArrowDown" else -1))
    elif key == "n":
        turn.take_next()
    elif int(key) <= len(turn.choices):
        turn.choose(turn.choices[int(key) - 1][0])


def _show_turn(desk: Desk, sitting: Sitting, queue: Queue, turn: Turn) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        _show_photo(turn.item)
        with st.container(horizontal=True, gap="small", key="review_actions"):
            st.button(
                "Accept (A)",
                type="primary",
                key=f"review_accept_{turn.item.record.id}",
                icon=":material/check:",
                on_click=_do,
                args=(sitting, turn.accept),
                kwargs={"finishes": True},
            )
            st.button("Next value (N)", key="review_next", on_click=_do, args=(sitting, turn.take_next))
            st.button(
                "Skip (S)",
                key=f"review_skip_{turn.item.record.id}",
                on_click=_do,
                args=(sitting, turn.skip),
                kwargs={"finishes": True},
            )
            _show_undo(sitting, queue)
    with right:
        _show_attributes(desk, sitting, turn)


def _show_photo(item: Item) -> None:
    small = recall_thumbnail(item.record.image_sha256, LONGEST, item.photo)
    if small is None:
        nothing_yet(f"The photo {keep_text(item.record.name)} is no longer where it was.")
    else:
        name = html.escape(keep_text(item.record.name))
        st.html(f'<img class="v-judged" alt="{name}" data-photo="{item.record.id}" src="{to_data_url(small)}">')
        st.caption(keep_plain(item.record.name))
    if item.record.unfamiliar:
        st.warning("This photo is unlike those that the model learnt from.", icon=":material/help:")


def _show_attributes(desk: Desk, sitting: Sitting, turn: Turn) -> None:
    with st.container(horizontal=True, key="review_moves"):
        st.button("Previous attribute (↑)", key="review_up", on_click=_do, args=(sitting, partial(turn.move, -1)))
        st.button("Next attribute (↓)", key="review_down", on_click=_do, args=(sitting, partial(turn.move, 1)))
    with st.container(gap=None, key="review_rows"):
        for name in turn.names:
            title = desk.bundle.taxonomy.titles[name]
            if name == turn.attribute:
                with st.container(border=True, gap="small", key="review_here"):
                    _show_choices(sitting, title, desk.bundle.taxonomy[name].values, turn)
            else:
                _show_other(sitting, title, name, turn)


def _show_choices(sitting: Sitting, title: str, values: Sequence[str], turn: Turn) -> None:
    """The attribute that the reviewer is at: its likeliest values, each with a key, and all others."""
    st.markdown(f"**{keep_plain(title)}: {keep_plain(turn.value)}**")
    with st.container(horizontal=True, key="review_choices"):
        for number, (value, confidence) in enumerate(turn.choices, 1):
            st.button(
                f"{number} · {keep_plain(value)} · {100 * confidence:.0f} %",
                type="primary" if value == turn.value else "secondary",
                key=f"review_choice_{number}",
                on_click=_do,
                args=(sitting, partial(turn.choose, value)),
            )
    key = f"review_other_{turn.item.record.id}_{turn.attribute}_{turn.value}"

    def take() -> None:
        if st.session_state[key] is not None:
            _do(sitting, partial(turn.choose, st.session_state[key]))

    likely = {value for value, _ in turn.choices}
    rest = sorted(value for value in values if value not in likely)
    if rest:
        st.selectbox("Another value", rest, index=None, placeholder="Type to search", key=key, on_change=take)


def _show_other(sitting: Sitting, title: str, name: str, turn: Turn) -> None:
    tag, value = turn.item.tags[name], turn.values[name]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"review_row_{name}"):
        st.button(
            keep_plain(title),
            key=f"review_go_{name}",
            type="tertiary",
            icon=":material/visibility:" if name in turn.item.open else None,
            on_click=_do,
            args=(sitting, partial(turn.go_to, name)),
            width=150,
        )
        st.markdown(f"**{keep_plain(value)}**", width=120)
        if value != tag.value:
            st.markdown("corrected", width="stretch")
        else:
            left = '<div class="v-quiet v-small">left open</div>' if name in turn.item.left_open else ""
            st.html(draw_bar(tag.confidence) + left, width="stretch")


def _show_progress(desk: Desk, ledger: Ledger, queue: Queue) -> None:
    counts = queue.progress()
    st.divider()
    with st.container(horizontal=True, key="review_counts"):
        st.metric("Waiting", f"{counts.waiting:,}", width=150)
        st.metric("Looked at", f"{counts.reviewed:,}", width=150)
        st.metric("Values corrected", f"{counts.corrected:,}", width=150)
        st.metric("With reviewers now", f"{counts.held:,}", width=150)
    if counts.by_reviewer:
        finished = ", ".join(f"{keep_plain(name)}: {n:,}" for name, n in counts.by_reviewer.items())
        st.caption(f"Finished by {finished}.")
    with st.expander("Do reviewers agree?", icon=":material/group:"):
        _show_agreement(desk, ledger)
    with st.expander("Download the corrections", icon=":material/download:"):
        _show_export(desk, ledger)


def _show_agreement(desk: Desk, ledger: Ledger) -> None:
    """How far two people who looked at the same answer said the same."""
    titles = desk.bundle.taxonomy.titles
    measured = measure_agreement(ledger)
    if not measured:
        nothing_yet("Nobody has looked at the same answer as another yet; one photo in ten is shown to two reviewers.")
        return
    st.table(
        {
            "Attribute": [keep_plain(titles.get(own.attribute, own.attribute)) for own in measured],
            "Answers that two looked at": [f"{own.n:,}" for own in measured],
            "They say the same": [f"{100 * own.share:.0f} %" for own in measured],
            "Beyond chance (kappa)": ["–" if own.kappa is None else f"{own.kappa:.2f}" for own in measured],
        },
        hide_index=True,
    )
    st.caption("Kappa is 1 when they always agree, and 0 when they agree no more often than chance would have it.")


def _show_export(desk: Desk, ledger: Ledger) -> None:
    """What people have said, as a zip for whoever keeps the catalogue."""
    st.markdown("A table and the photos, for `vestiary ingest … --corrections corrections.csv` to take in.")
    if not st.button("Pack a zip", key="review_pack", icon=":material/folder_zip:"):
        return
    try:
        with st.spinner("Packing the corrections."):
            exported, data = pack_corrections(ledger, desk.album)
    except (VestiaryError, OSError) as error:
        refuse(tell_error(error, "The zip cannot be packed here"))
        return
    if not exported.labels:
        nothing_yet("There is nothing to take away: nobody has said anything yet.")
        return
    st.caption(tell_corrections(exported))
    st.download_button(
        "Download corrections.zip",
        data,
        "corrections.zip",
        "application/zip",
        key="review_export",
        icon=":material/download:",
        on_click="ignore",
    )
