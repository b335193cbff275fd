"""Charts for a page: in colours that suit a light and a dark one, and with parts that can be clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vestiary.charts.style import BAR, INK, RARE_BAR, need

if TYPE_CHECKING:
    import altair

PICKED: Final = "picked"
"""The name under which a page finds what was clicked."""

SCREEN_BAR, SCREEN_RARE, SCREEN_LINE = "#3b7fc4", "#cb6a2c", "#808080"
"""Stand out from white and from near-black by a contrast of at least 3, as parts of a drawing must (WCAG 2.2)."""

INKS: Final = {False: "#333333", True: "#dddddd"}
"""Colours of words on a light page and on a dark one."""

_COLOURS: Final = {
    BAR: SCREEN_BAR,
    RARE_BAR: SCREEN_RARE,
    INK: SCREEN_LINE,
    "#fafafa": "transparent",
    "#f7f7f7": "transparent",
    "white": "transparent",
}


def let_pick(chart: altair.LayerChart, *fields: str) -> altair.LayerChart:
    """The chart with a first layer that can be clicked, which tells these fields of its data as PICKED.

    What was not clicked becomes paler. Raises MissingExtraError without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    picked = alt.selection_point(name=PICKED, fields=list(fields), toggle=False)
    opacity = alt.condition(picked, alt.value(1), alt.value(0.35))
    first = chart.layer[0].add_params(picked).encode(opacity=opacity)
    first.mark = {**first.mark.to_dict(), "cursor": "pointer"}
    own = chart.copy()
    own.layer = [first, *chart.layer[1:]]
    return own


def to_screen(chart: altair.TopLevelMixin, *, dark: bool) -> dict[str, Any]:
    """The chart's specification for a page that is dark or light; all but words is left to the page's theme."""
    spec: dict[str, Any] = _recolour(chart.to_dict())
    del spec["padding"]  # a page knows better, and trips over a single number
    ink = INKS[dark]
    words = {"labelColor": ink, "titleColor": ink, "aria": False}  # the description says it, not every single part
    config = {
        "aria": False,
        "axis": words | {"labelBound": False, "labelFlush": False, "titleFontWeight": "normal"},
        "legend": words,
        "text": {"color": ink},
        "mark": {"tooltip": None, "aria": False},
    }
    return spec | {"config": config}


def _recolour(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _recolour(own) for name, own in part.items()}
    if isinstance(part, list):
        return [_recolour(own) for own in part]
    return _COLOURS.get(part, part) if isinstance(part, str) else part
