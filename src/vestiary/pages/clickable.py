"""Charts that can be clicked: what was clicked goes into the fields beside them, which the keyboard reaches too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import streamlit as st

from vestiary.charts import PICKED, let_pick, to_screen
from vestiary.pages.look import keep_plain

if TYPE_CHECKING:
    import altair

Point = Mapping[str, str]


def show_clickable(
    chart: altair.LayerChart,
    *fields: str,
    name: str,
    choose: Callable[[Point], Mapping[str, object]],
    width: Literal["stretch", "content"] = "stretch",
) -> None:
    """The chart; after a click, ``choose`` turns the ``fields`` of what was clicked into values of other widgets.

    Its keys are those widgets' keys; it gets nothing when the click was beside everything. ``name`` is the chart's own.
    """
    key = f"{name}-{st.session_state.get(f'{name}-turn', 0)}"

    def take() -> None:
        points = st.session_state[key].selection.get(PICKED) or [{}]
        st.session_state.update(choose(points[0]))

    spec = to_screen(let_pick(chart, *fields), dark=_is_dark())
    with st.container(key=f"wide-{name}" if width == "content" else None):  # scrolls by itself where it is too wide
        st.vega_lite_chart(spec=spec, key=key, on_select=take, width=width)


def show_chart(chart: altair.LayerChart) -> None:
    """A chart to be looked at."""
    st.vega_lite_chart(spec=to_screen(chart, dark=_is_dark()), width="stretch")


def _is_dark() -> bool:
    return st.context.theme.type == "dark"


def ask_side(words: str, values: Sequence[str], key: str, name: str) -> str | None:
    """A field for the row or the column of the chart of that name; choosing there asks for photos, as a click does."""

    def take() -> None:
        clear_click(name)
        st.session_state.update(ask_for(name, True))

    chosen: str | None = st.selectbox(keep_plain(words), values, index=None, placeholder="any", key=key, on_change=take)
    return chosen


def ask_for(name: str, what: object) -> dict[str, object]:
    """What is set in the visitor's session when photos of ``what`` were asked for; nothing was when that is empty."""
    return {f"{name}-asked": bool(what)}


def was_asked(name: str) -> bool:
    """Whether photos of the chart of that name were asked for since this was last looked at."""
    return bool(st.session_state.pop(f"{name}-asked", False))


def clear_click(name: str) -> None:
    """Nothing in the chart of that name is marked any more: something else was chosen beside it."""
    turn = f"{name}-turn"
    st.session_state[turn] = st.session_state.get(turn, 0) + 1
