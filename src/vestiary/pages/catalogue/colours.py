"""The colours of a catalogue as its photos show them, each with the photos of the products called so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape

import streamlit as st

from vestiary.catalogue import Progress
from vestiary.charts import keep_text
from vestiary.errors import VestiaryError
from vestiary.pages.background import CHORES, wait_for
from vestiary.pages.cache import recall
from vestiary.pages.gallery import open_gallery
from vestiary.pages.look import keep_plain, nothing_yet, refuse
from vestiary.pages.shelf import Shelf
from vestiary.reports.catalogue import SEED
from vestiary.reports.figures import Distribution
from vestiary.reports.gallery import Swatch, is_colour, measure_swatches

WIDTH = 150
"""Pixels of a swatch across."""


def list_colours(shelf: Shelf) -> list[Distribution]:
    """The attributes that are about colour and that some product has a label of."""
    return [own for own in shelf.distributions.values() if is_colour(own) and own.n_used]


def survey_colours(shelf: Shelf, own: Distribution, progress: Progress | None = None) -> tuple[Swatch, ...]:
    """The swatches of the catalogue report: kept from an earlier time, or measured now, which takes a while."""

    def make() -> bytes:
        swatches = measure_swatches(shelf.catalogue, shelf.source, own, seed=SEED, progress=progress)
        return json.dumps([asdict(swatch) for swatch in swatches]).encode()

    catalogue = shelf.catalogue
    kept = json.loads(recall("colours", (catalogue.fingerprint, str(catalogue.source), own.name), make))
    return tuple(Swatch(**plain | {"chips": tuple(plain["chips"])}) for plain in kept)


def show_colours(shelf: Shelf) -> None:
    """A swatch for each value of an attribute about colour; a press on its name shows the photos."""
    colours = {own.name: own for own in list_colours(shelf)}
    name = next(iter(colours))
    if len(colours) > 1:
        name = st.selectbox("Attribute", list(colours), format_func=shelf.title_of, key="colours-attribute")
    own = colours[name]
    key = ("colours", shelf.key, name)
    chore = CHORES.ask(key, lambda progress: survey_colours(shelf, own, progress))
    if not chore.is_done:
        wait_for(chore, f"The colours of {keep_plain(own.title)} are measured in some photos of each, once.")
        return
    try:
        _show_swatches(shelf, own, chore.result())
    except VestiaryError as error:
        refuse(str(error))
        st.button("Try again", on_click=CHORES.forget, args=(key,), icon=":material/refresh:", type="tertiary")


@st.fragment
def _show_swatches(shelf: Shelf, own: Distribution, swatches: Sequence[Swatch]) -> None:
    if not swatches:
        nothing_yet(f"No product has a label for {own.title}.")
        return
    st.caption(
        "The large field is the typical colour of some products called so, without their background; the strip shows "
        "single ones from dark to light. Where a strip holds very different colours, or two names look alike, people "
        "disagree about the name. Press a name for its photos."
    )
    pressed = None
    with st.container(horizontal=True):
        for swatch in swatches:
            with st.container(width=WIDTH, gap="xxsmall"):
                st.html(draw_swatch(swatch))
                words = f"{keep_plain(swatch.value)} · {swatch.n:,}"
                key = f"colours-{own.name}-{swatch.value}"
                if st.button(words, key=key, type="tertiary", icon=":material/photo_library:"):
                    pressed = swatch.value
    if pressed is not None:
        products = shelf.select({own.name: {pressed}})
        open_gallery(keep_plain(pressed), shelf, products, key=f"colours-page-{own.name}-{pressed}")


def draw_swatch(swatch: Swatch) -> str:
    """HTML of a typical colour with a strip of single ones below it, in words for who cannot see it."""
    value = escape(keep_text(swatch.value))
    if swatch.colour is None:
        return f'<div class="v-swatch v-quiet">{value}: nothing stands out from its background</div>'
    chips = "".join(f'<i style="background:{chip}"></i>' for chip in swatch.chips)
    words = f"{value}: measured colour {swatch.colour}, in {swatch.n_measured:,} of {swatch.n:,}"
    return (
        f'<div class="v-swatch" role="img" aria-label="{words}" title="{words}">'
        f'<b style="background:{swatch.colour}"></b><span>{chips}</span></div>'
    )
