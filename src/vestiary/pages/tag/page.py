"""The page "Tag": photos in, answers out, corrected in place."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import streamlit as st

from vestiary.checks.wording import verb
from vestiary.errors import ServiceError, VestiaryError
from vestiary.pages import look
from vestiary.pages.desk import Desk, current_desk
from vestiary.pages.dropzone import watch_field
from vestiary.pages.paging import choose_part
from vestiary.pages.tag.results import (
    Result,
    answer_photos,
    correct,
    find_alike,
    render_csv,
    render_curl,
    render_json,
)
from vestiary.pages.thumbnails import draw_thumbnail
from vestiary.pages.uploads import Upload
from vestiary.predictor.heatmap import draw_over, explain
from vestiary.reports.page import format_number
from vestiary.tags import Failure, Tag

AT_ONCE: Final = 8
"""Photos that are answered before the page is drawn again."""
PER_PAGE: Final = 12
_PAGE: Final = "tag_page"
_PAUSE_S: Final = 0.5


@dataclass(slots=True)
class Visit:
    """What one visitor has on this page.

    ``open`` is the number of the photo that is looked at closely; ``n_gone`` photos had to make room for later ones.
    Who answers some holds ``in_turn``: a click begins a newer run before the one that it breaks off has ended.
    """

    waiting: list[Upload] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    n_taken: int = 0
    n_of_batch: int = 0
    n_gone: int = 0
    open: int | None = None
    round: int = 0
    refusal: str | None = None
    said: str | None = None
    in_turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)


def show() -> None:
    """The page."""
    desk, visit = current_desk(), _find_visit()
    titles = [title.lower() for title in desk.bundle.taxonomy.titles.values()]
    told = f"{', '.join(titles[:-1])} and {titles[-1]}" if len(titles) > 1 else titles[0]
    look.show_title("Tag", f"Each photo of one product gets its {told}, and how sure that is.")
    _ask_photos(desk, visit)
    if visit.refusal:
        look.refuse(visit.refusal)
    with visit.in_turn:
        if visit.waiting:
            _answer_some(desk, visit)
    if visit.waiting:
        done, whole = visit.n_of_batch - len(visit.waiting), visit.n_of_batch
        st.progress(done / whole, text=f"{done} of {whole} photos answered")
    opened = next((result for result in visit.results if result.number == visit.open), None)
    if opened is not None:
        _show_closely(desk, visit, opened)
    if len(visit.results) > 1:
        _show_all(desk, visit)
    if visit.waiting:
        st.rerun()


def _find_visit() -> Visit:
    if "tag_visit" not in st.session_state:
        st.session_state["tag_visit"] = Visit()
    visit: Visit = st.session_state["tag_visit"]
    return visit


def _ask_photos(desk: Desk, visit: Visit) -> None:
    key = f"photos-{visit.round}"
    with st.container(key="more-photos" if visit.results or visit.waiting else "photos"):
        st.file_uploader(
            "Drop photos here, choose them, or paste one",
            accept_multiple_files=True,
            key=key,
            on_change=_take,
            args=(desk, visit, key),
        )
    watch_field(desk.limits.max_bytes, "save it smaller and hand it over again.")
    if st.toggle("Use the camera", key="camera_on"):
        camera = f"camera-{visit.round}"
        st.camera_input("Camera", key=camera, on_change=_take, args=(desk, visit, camera), width=480)


def _take(desk: Desk, visit: Visit, key: str) -> None:
    """What was handed over waits for its answers, and the field is empty again.

    A browser may send what it had in a field that is gone already, which has been taken.
    """
    if key.rpartition("-")[2] != str(visit.round):
        return
    given = st.session_state.get(key) or []
    files = given if isinstance(given, list) else [given]
    name = f"camera {visit.n_taken + 1}.jpg" if key.startswith("camera") else None
    uploads = [Upload(name or file.name, file) for file in files]
    room = max(0, desk.max_upload_files - len(visit.waiting))
    visit.refusal = visit.said = None
    if len(uploads) > room:
        visit.refusal = (
            f"{len(uploads)} photos are more than this page takes at once: the first {room} are answered; "
            "download them before you hand over the others, or use the page Batch."
        )
        for upload in uploads[room:]:
            upload.free()
    taken = uploads[:room]
    visit.n_of_batch = len(visit.waiting) + len(taken)
    visit.waiting += taken
    visit.round += 1
    st.session_state[_PAGE] = 0
    visit.open = visit.n_taken if visit.n_of_batch == 1 else None


def _answer_some(desk: Desk, visit: Visit) -> None:
    """Answer the next few of those that wait; they stay in their place when the service is too busy just now."""
    some = visit.waiting[:AT_ONCE]
    photos = [(upload.name, upload.read()) for upload in some]
    try:
        answered = answer_photos(desk, photos, first_number=visit.n_taken)
    except ServiceError as error:
        if error.status == 503 and len(visit.waiting) > 1:
            time.sleep(_PAUSE_S)
            return
        visit.refusal = str(error)
        _drop(visit, visit.waiting)
        return
    place = visit.n_of_batch - len(visit.waiting)
    visit.results[place:place] = answered
    visit.n_taken += len(answered)
    visit.n_gone += max(0, len(visit.results) - desk.max_upload_files)
    del visit.results[desk.max_upload_files :]
    _drop(visit, some)


def _drop(visit: Visit, uploads: Sequence[Upload]) -> None:
    for upload in uploads:
        upload.free()
    visit.waiting = visit.waiting[len(uploads) :]


def _show_closely(desk: Desk, visit: Visit, result: Result) -> None:
    """One photo with everything that is known of it."""
    with st.container(border=True, key="closely"):
        if result.refusal is not None:
            st.header(look.keep_plain(result.name), anchor=False)
            look.refuse(result.refusal)
            return
        left, right = st.columns([2, 3], gap="large")
        with left:
            _show_photo(desk, result)
            look.ask_reviewer(label="Your name, for what you correct")
        with right:
            st.header(look.keep_plain(result.name), anchor=False)
            _show_decision(desk, result)
            if visit.said:
                st.success(look.keep_plain(visit.said), icon=":material/check:")
            with st.container(gap=None):
                for tag in result.tags:
                    _show_tag(desk, visit, result, tag)
        _show_copies(desk, [result])
        _show_alike(desk, result)


def _show_alike(desk: Desk, result: Result) -> None:
    """The most similar products of the reference, where there is an index of one."""
    if desk.index is None:
        return
    st.subheader("Similar products", anchor=False)
    category = desk.bundle.taxonomy.category
    with st.container(horizontal=True, gap="small", key="alike"):
        for alike in find_alike(desk, result):
            drawn = draw_thumbnail(alike.thumbnail, f"Product {alike.product_id}")
            label = html.escape(alike.labels.get(category, ""))
            name = f'<div class="v-quiet v-small">{html.escape(alike.product_id)}</div>'
            st.html(f'{drawn}<div class="v-small"><strong>{label}</strong></div>{name}', width=140)


def _show_photo(desk: Desk, result: Result) -> None:
    titles = desk.bundle.taxonomy.titles
    photo = st.empty()
    chosen = st.pills(
        "Why? Show on the photo where it was seen",
        [*titles],
        format_func=lambda name: look.keep_plain(titles[name]),
        key=f"why-{result.number}",
        wrap=True,
    )
    if result.photo is None:
        return
    if chosen is None:
        photo.image(result.photo, width="stretch", alt=f"The photo {result.name}")
        return
    try:
        found = explain(desk.predictor, result.photo, chosen, None)
        drawn = None if isinstance(found, Failure) else draw_over(found, result.photo, desk.limits)
    except VestiaryError:
        found, drawn = None, None
    if drawn is None or found is None or isinstance(found, Failure):
        photo.image(result.photo, width="stretch", alt=f"The photo {result.name}")
        st.caption(f"This bundle cannot show where it saw the {look.keep_plain(titles[chosen].lower())}.")
        return
    said = f"The brighter and yellower, the more it spoke for “{look.keep_plain(found.value)}”."
    photo.image(drawn, width="stretch", alt=f"Heat map over {result.name}: where “{found.value}” was seen")
    st.caption(said)


def _show_decision(desk: Desk, result: Result) -> None:
    titles, prediction = desk.bundle.taxonomy.titles, result.answered.prediction
    if prediction.unfamiliar is not None and prediction.unfamiliar.flag:
        st.warning(
            "This photo is unlike the products this was trained on. Look at every value yourself.",
            icon=":material/visibility:",
        )
    if prediction.note:
        st.caption(look.keep_plain(f"{prediction.note.capitalize()}."))
    still = [titles[name] for name in result.open_attributes]
    if still:
        st.html(f"<p><strong>For review:</strong> {html.escape(', '.join(still))}.</p>")
    else:
        st.html("<p><strong>Nothing is left for review.</strong></p>")


def _show_tag(desk: Desk, visit: Visit, result: Result, tag: Tag) -> None:
    """A tag: what it is, how sure, what becomes of it; behind a click the next best values, and a better one."""
    title = desk.bundle.taxonomy.titles[tag.attribute]
    corrected = result.corrections.get(tag.attribute)
    value = html.escape(result.value_of(tag.attribute))
    if corrected is not None:
        decision = "confirmed" if corrected.value == tag.value else "corrected"
        before = "" if decision == "confirmed" else f"; answered: {html.escape(tag.value)}"
        below = f'<div class="v-quiet">{decision} by {html.escape(corrected.reviewer or "somebody")}{before}</div>'
    else:
        below, decision = look.draw_bar(tag.confidence), look.name_decision(tag)
    st.html(
        f'<div class="v-tag"><div><div class="v-quiet">{html.escape(title)}</div>'
        f'<div class="v-value">{value} <span class="v-decision v-{decision.replace(" ", "-")}">{decision}</span></div>'
        f"</div><div>{below}</div></div>"
    )
    with st.expander("Other values, or correct it", key=f"more-{result.number}-{tag.attribute}", type="compact"):
        st.html("".join(look.draw_share(other, confidence) for other, confidence in tag.runners_up))
        _ask_better(desk, visit, result, tag, title)


def _ask_better(desk: Desk, visit: Visit, result: Result, tag: Tag, title: str) -> None:
    key = f"{result.number}-{tag.attribute}"
    values = sorted(desk.bundle.taxonomy[tag.attribute].values, key=str.casefold)
    now = result.value_of(tag.attribute)
    usual = values.index(now) if now in values else None  # what was said of another bundle's answer may be unknown here
    better = st.selectbox(f"{look.keep_plain(title)}: the right value", values, index=usual, key=f"better-{key}")
    taken = (desk, visit, result, tag.attribute, title)
    st.button("Save", key=f"save-{key}", on_click=_save, args=taken, disabled=better is None)
    if said := st.session_state.pop(f"refused-{key}", None):
        look.refuse(said)


def _save(desk: Desk, visit: Visit, result: Result, attribute: str, title: str) -> None:
    key = f"{result.number}-{attribute}"
    reviewer = str(st.session_state.get("reviewer_field", "")).strip()
    value = st.session_state[f"better-{key}"]
    visit.said = None
    try:
        correct(desk, result, attribute, value, reviewer)
    except VestiaryError as error:
        st.session_state[f"refused-{key}"] = str(error)
        return
    visit.said = f"Kept: {title} is {value}."


def _show_copies(desk: Desk, results: Sequence[Result]) -> None:
    parts = urlsplit(st.context.url or "")
    address = f"{parts.scheme}://{parts.netloc}" if parts.netloc else desk.public_url
    with st.expander("Copy or download", key=f"copy-{'one' if len(results) == 1 else 'all'}"):
        as_json, as_csv, as_curl = st.tabs(["JSON", "CSV", "For programs"])
        with as_json:
            st.code(render_json(results), language="json", height=260)
        with as_csv:
            st.code(render_csv(results, desk.bundle), language=None)
        with as_curl:
            st.code(render_curl(address, needs_key=desk.needs_key), language="bash", wrap_lines=True)


def _show_all(desk: Desk, visit: Visit) -> None:
    """All photos of the visit, a page at a time."""
    n_open = sum(1 for result in visit.results if result.open_attributes)
    n_refused = sum(1 for result in visit.results if result.refusal)
    st.header(f"{len(visit.results)} photos", anchor=False)
    said = [f"{len(visit.results) - n_open - n_refused} ready", f"{n_open} for review"]
    if n_refused:
        said.append(f"{n_refused} could not be read")
    st.caption(" · ".join(said))
    if visit.n_gone:
        st.caption(
            f"{format_number(visit.n_gone, 'earlier photo')} {verb(visit.n_gone, 'is', 'are')} gone from here: the "
            f"page keeps {desk.max_upload_files:,}, and the files below have those."
        )
    cards = st.container(horizontal=True, gap="small", key="cards")
    # The control is below, since above it would push the cards down, and away from a click, while more come.
    part = choose_part(len(visit.results), PER_PAGE, "photo", key=_PAGE)
    with cards:
        for result in visit.results[part]:
            _show_card(desk, visit, result)
    with st.container(horizontal=True):
        st.download_button(
            "Download CSV", render_csv(visit.results, desk.bundle), "tags.csv", "text/csv", on_click="ignore"
        )
        st.download_button(
            "Download JSON", render_json(visit.results), "tags.json", "application/json", on_click="ignore"
        )
        st.button("Clear the page", on_click=_clear, args=(visit,))


def _show_card(desk: Desk, visit: Visit, result: Result) -> None:
    with st.container(border=True, width=152, key=f"card-{result.number}"):
        drawn = draw_thumbnail(result.thumbnail, f"The photo {result.name}")
        name = html.escape(result.name)
        if result.refusal is not None:
            st.html(f'<div class="v-name">{name}</div><p class="v-low">{html.escape(result.refusal)}</p>')
            return
        category = desk.bundle.taxonomy.category
        tag = next(tag for tag in result.tags if tag.attribute == category)
        n_open, colour = len(result.open_attributes), look.find_band(tag.confidence).colour
        decision = f"{n_open} for review" if n_open else "ready"
        st.html(
            f'{drawn}<div class="v-name" title="{name}">{name}</div>'
            f'<div class="v-value v-small">{html.escape(result.value_of(category))}</div>'
            f'<div class="v-small v-{colour}">{look.tell_confidence(tag.confidence)}</div>'
            f'<div class="v-quiet v-small">{decision}</div>'
        )
        st.button("Open", key=f"open-{result.number}", on_click=_open, args=(visit, result.number))


def _open(visit: Visit, number: int) -> None:
    visit.open, visit.said = number, None


def _clear(visit: Visit) -> None:
    visit.results, visit.open, visit.n_gone = [], None, 0
    st.session_state[_PAGE] = 0
    visit.refusal = visit.said = None
