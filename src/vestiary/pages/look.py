"""What all pages share: confidence as a bar with a word beside it, decisions, refusals, empty places."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final, NamedTuple

import streamlit as st

from vestiary.charts import keep_text
from vestiary.errors import VestiaryError
from vestiary.tags import Tag
from vestiary.taxonomy import Taxonomy

ICON: Final = Path(__file__).with_name("icon.svg")
MAX_NAME: Final = 60
"""Letters of a reviewer's name at most."""


class Band(NamedTuple):
    """A range of confidences, from ``least`` on: its word, and the name of its colour."""

    least: float
    word: str
    colour: str


BANDS: Final = (Band(0.8, "sure", "high"), Band(0.6, "fairly sure", "middle"), Band(0.0, "unsure", "low"))
"""The bands of R1, best first: green, orange and red, never told by colour alone."""


_STYLE: Final = """
<style>
.block-container { max-width: 72rem; padding-top: 4.5rem; padding-bottom: 4rem; }
[class*="st-key-wide-"] { overflow-x: auto; }
.v-bar { display: flex; align-items: center; gap: .6rem; margin: .1rem 0 .5rem; font-variant-numeric: tabular-nums; }
.v-track { flex: 1 1 auto; min-width: 3rem; max-width: 16rem; height: .55rem; border-radius: .3rem;
  background: light-dark(#d9dde1, #43474d); overflow: hidden; }
.v-fill { display: block; height: 100%; border-radius: .3rem; }
.v-high { color: light-dark(#1f6b2c, #7fd08d); } .v-middle { color: light-dark(#8a4300, #f0b060); }
.v-low { color: light-dark(#a3140e, #ff9a92); }
.v-fill { background: currentColor; }
.v-word { white-space: nowrap; font-weight: 600; }
.v-tag { display: flex; flex-wrap: wrap; column-gap: 1rem; align-items: end; padding-top: .5rem; }
.v-tag > div { flex: 1 1 13rem; }
.st-key-photos [data-testid="stFileUploaderDropzone"] { min-height: 9rem; align-items: center; justify-content: center;
  border: 2px dashed light-dark(#9aa1a8, #6b7178); }
@media (max-width: 640px) { .st-key-photos [data-testid="stFileUploaderDropzone"] { align-items: start; } }
.v-value { font-size: 1.2rem; font-weight: 650; line-height: 1.3; overflow-wrap: anywhere; }
.v-small { font-size: .95rem; line-height: 1.35; }
.v-thumb { display: block; width: 100%; aspect-ratio: 3 / 4; object-fit: contain; background: #fff;
  border-radius: 6px; }
.v-judged { display: block; width: 100%; height: min(50vh, 34rem); object-fit: contain; background: #fff;
  border-radius: 6px; }
@media (max-width: 640px) { .v-judged { height: 28vh; } }
.v-name { font-size: .85rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.v-decision { font-size: .8rem; font-weight: 600; padding: .1rem .5rem; border-radius: 1rem; white-space: nowrap;
  vertical-align: .12rem; border: 1px solid currentColor; }
.v-accepted, .v-corrected, .v-confirmed { color: light-dark(#1f6b2c, #7fd08d); }
.v-left-open { color: light-dark(#555b61, #b3b8be); }
.v-for-review { color: light-dark(#8a4300, #f0b060); }
.v-other { display: flex; gap: .6rem; align-items: center; color: light-dark(#555b61, #b3b8be); padding: .1rem 0;
  font-size: .95rem; font-variant-numeric: tabular-nums; }
.v-other > span:first-child { flex: 0 0 9rem; overflow-wrap: anywhere; }
.v-plain { overflow: auto; max-height: 40rem; font-size: .9rem; }
.v-plain table { border-collapse: collapse; }
.v-plain :is(th, td) { padding: .35rem .6rem; text-align: start; vertical-align: middle;
  border-bottom: 1px solid #8885; }
.v-plain th[scope="row"] { font-weight: 600; min-width: 8rem; overflow-wrap: anywhere; }
.v-plain .v-thumb { width: 3.6rem; }
.v-swatch { min-height: 4.2rem; font-size: .85rem; }
.v-swatch b { display: block; height: 3.2rem; border: 1px solid #8c8c8c; border-radius: 6px 6px 0 0; }
.v-swatch span { display: flex; height: 1rem; border: 1px solid #8c8c8c; border-top: 0; border-radius: 0 0 6px 6px;
  overflow: hidden; }
.v-swatch i { flex: 1; }
.v-quiet { color: light-dark(#555b61, #b3b8be); }
.v-nothing { border: 1px dashed light-dark(#b9bfc5, #565b61); border-radius: 10px; padding: 1.6rem 1.4rem; }
button[data-testid="stBaseButton-primary"]:enabled * { color: light-dark(#ffffff, #10263b); }
[class*="st-key-review_row_"] button > div { justify-content: flex-start; width: 100%; }
.st-key-batch_answers button[aria-label^="Download"] { display: none; }
</style>
"""


def add_style() -> None:
    """The shared style; once a run, before anything is shown."""
    st.html(_STYLE)


def show_title(title: str, line: str) -> None:
    """The title of a page, and in a line what it is about."""
    st.title(title, anchor=False)
    st.caption(keep_plain(line))


def find_band(confidence: float) -> Band:
    """The band of a confidence (0..1)."""
    return next(band for band in BANDS if confidence >= band.least)


def _count_percent(share: float) -> int:
    """Whole percents, rounded down, so that no figure says more than the word beside it."""
    return int(100 * share + 1e-9)


def tell_confidence(confidence: float) -> str:
    """A confidence (0..1) in words: "87 % · sure"."""
    return f"{_count_percent(confidence)} % · {find_band(confidence).word}"


def draw_bar(confidence: float) -> str:
    """HTML of a confidence (0..1) as a bar in its band's colour, with the share and the band's word beside it."""
    band = find_band(confidence)
    return (
        f'<div class="v-bar v-{band.colour}"><span class="v-track" aria-hidden="true">'
        f'<span class="v-fill" style="width:{100 * confidence:.1f}%"></span></span>'
        f'<span class="v-word">{tell_confidence(confidence)}</span></div>'
    )


def draw_share(name: str, share: float) -> str:
    """HTML of a name with its share (0..1) as a bar, without any judgement."""
    return (
        f'<div class="v-other"><span>{html.escape(name)}</span><span class="v-track" aria-hidden="true">'
        f'<span class="v-fill" style="width:{100 * share:.1f}%"></span></span>'
        f"<span>{_count_percent(share) or 'under 1'} %</span></div>"
    )


def show_bar(confidence: float) -> None:
    """A confidence (0..1) as a bar, in words too."""
    st.html(draw_bar(confidence))


def keep_plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return "".join(f"\\{own}" if own in r"\`*_{}[]<>()#+-.!|$:~" else own for own in keep_text(text))


def refuse(message: str) -> None:
    """Say what cannot be done and what to do instead, plainly."""
    st.error(keep_plain(message), icon=":material/error:")


def tell_error(error: VestiaryError | OSError, what: str) -> str:
    """The sentence of an error; of one of the system's, ``what`` cannot be done, its reason and the remedy."""
    return f"{what} ({error.strerror}); tell the operator." if isinstance(error, OSError) else str(error)


def nothing_yet(message: str) -> None:
    """Say that there is nothing to show, and what would change that."""
    st.html(f'<div class="v-nothing v-quiet">{html.escape(message)}</div>')


def ask_attribute(taxonomy: Taxonomy, *, key: str) -> str | None:
    """The name of one attribute, chosen by its title; None for all of them."""
    titles = taxonomy.titles
    return st.selectbox(
        "Attribute", list(titles), index=None, placeholder="All", format_func=titles.__getitem__, key=key
    )


def ask_reviewer(*, key: str = "reviewer", label: str = "Your name") -> str:
    """The reviewer's name, remembered for this visit on all pages; "" while there is none. One such field on a page."""
    field = f"{key}_field"

    def remember() -> None:
        st.session_state["reviewer_name"] = str(st.session_state[field]).strip()

    name = str(st.session_state.get("reviewer_name", ""))
    st.session_state[field] = name
    st.text_input(
        label, max_chars=MAX_NAME, key=field, on_change=remember, help="Kept beside what you decide, and nowhere else."
    )
    return name


def name_decision(tag: Tag) -> str:
    """What becomes of a tag; one that nothing waits for is left open."""
    return "left open" if tag.is_left_open else "for review" if tag.needs_look else "accepted"
