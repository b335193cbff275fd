"""A confusion matrix as a chart whose cells can be clicked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vestiary.charts.matrix import SMALL, Band
from vestiary.charts.style import BAR, INK, RARE_BAR, finish, keep_text, need

if TYPE_CHECKING:
    import altair

LEAST_CELL, MOST_CELL = 6, 34
"""Pixels of a cell's side: enough to be hit with a mouse, and for a number to be written in."""
_SIDE = 840


def plot_matrix(
    values: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    bands: Sequence[Band] = (),
    description: str = "",
) -> altair.LayerChart:
    """``counts``, one row per label and one column per answer, as ``draw_matrix`` fills them; "label" and "answer".

    Lines divide ``bands``. Small ones have their counts written in. Raises MissingExtraError without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    names = [keep_text(value) for value in values]
    size = max(LEAST_CELL, min(MOST_CELL, _SIDE // max(len(names), 1)))
    cells = [
        {
            "label": label,
            "answer": names[across],
            "n": n,
            "of": total,
            "fill": BAR if across == down else RARE_BAR,
            "opacity": round(0.2 + 0.8 * (n / total) ** 0.5, 3),
        }
        for down, (label, row) in enumerate(zip(names, counts, strict=True))
        for total in [sum(row)]
        for across, n in enumerate(row)
        if n
    ]
    scale = alt.Scale(domain=names)
    axis: dict[str, Any] = {
        "ticks": False,
        "domain": False,
        "labelFontSize": 12 if size > 16 else 10,
        "labelLimit": 130,
    }
    axis["labelOverlap"] = "parity" if size < 11 else False
    across_axis = alt.Axis(orient="top", labelAngle=-90, title="answer", **axis)
    base = alt.Chart(alt.InlineData(values=cells)).encode(
        x=alt.X("answer:N", sort=None, scale=scale, axis=across_axis),
        y=alt.Y("label:N", sort=None, scale=scale, axis=alt.Axis(title="label", **axis)),
        tooltip=[alt.Tooltip(f"{name}:{kind}", title=title) for name, kind, title in _TOLD],
    )
    squares = base.mark_rect(cursor="pointer").encode(
        fill=alt.Fill("fill:N", scale=None), fillOpacity=alt.FillOpacity("opacity:Q", scale=None)
    )
    layers = [squares, *_draw_bands([names[band.start] for band in bands if band.start], scale)]
    if len(names) <= SMALL:
        layers.append(base.mark_text(fontSize=11).encode(text="n:Q"))
    step = alt.Step(size)
    return finish(alt.layer(*layers), description, height=step, width=step)


_TOLD = (("label", "N", "label"), ("answer", "N", "answer"), ("n", "Q", "products"), ("of", "Q", "of those labelled"))


def _draw_bands(starts: Sequence[str], scale: altair.Scale) -> list[altair.Chart]:
    """Lines before the values that begin a band."""
    import altair as alt

    if not starts:
        return []
    data = alt.Chart(alt.InlineData(values=[{"start": name} for name in starts]))
    line = data.mark_rule(color=INK, strokeWidth=1, opacity=0.6)
    return [
        line.encode(x=alt.X("start:N", sort=None, scale=scale, bandPosition=0)),
        line.encode(y=alt.Y("start:N", sort=None, scale=scale, bandPosition=0)),
    ]
