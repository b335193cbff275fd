"""Bars and heat maps of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestiary.charts.style import BAR, RARE_BAR, WIDTH, contrast, finish, keep_text, need

if TYPE_CHECKING:
    import altair

RAMPS = (((232, 241, 251), (150, 184, 221)), ((58, 104, 158), (8, 42, 94)))
"""Fills of a heat map (red, green, blue, 0..255): pale ones for the lower half of the scale, deep ones for the upper.

The blues between, on which neither black nor white is easily read, are left out.
"""

BAR_STEP, CELL_HEIGHT, CELL_WIDTH = 17, 18, 46
NARROW = 5
"""The most columns of a heat map that fit into WIDTH."""

LEAST = 0.5
"""Where a log scale begins, so that a single product still has a bar."""

LABELS, CROSS_LABELS = 150, 122
"""Most pixels for the names beside bars and beside the rows of a heat map; what is longer ends in "…"."""

_LETTER, _DIGIT = 5.7, 6.5


def plot_counts(
    counts: Sequence[tuple[str, int]],
    *,
    most: int | None = None,
    longest: int | None = None,
    rare_below: int = 0,
    description: str = "",
) -> altair.LayerChart:
    """Horizontal bars on a log scale, one per (value, count), in the order given, each with its count beside it.

    ``most`` is the largest count of the scale and ``longest`` the letters of the longest name (those of ``counts`` when
    left out), so that several panels line up; counts below ``rare_below`` get another colour. Raises MissingExtraError
    without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    largest = max(most or 0, 2, *(n for _, n in counts))
    names = _name_width(longest or max(len(value) for value, _ in counts), LABELS)
    digits = _DIGIT * len(f"{largest:,}") + 8
    room = (largest / LEAST) ** (digits / (WIDTH - names - digits))
    scale = alt.Scale(type="log", domain=[LEAST, largest * room], nice=False)
    ticks = [10**power for power in range(int(math.log10(largest)) + 1)]
    rows = [
        {"value": keep_text(value), "n": max(n, LEAST), "from": LEAST, "text": f"{n:,}", "rare": n < rare_below}
        for value, n in counts
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("value:N", sort=None, title=None, axis=_names_axis(names, LABELS)),
        x=alt.X("n:Q", scale=scale, title=None, axis=alt.Axis(orient="top", values=ticks, format="~s", domain=False)),
    )
    colour = alt.condition("datum.rare", alt.value(RARE_BAR), alt.value(BAR))
    bars = base.mark_bar(height=BAR_STEP - 5).encode(x2="from:Q", color=colour)
    numbers = base.mark_text(align="left", dx=4, fontSize=11).encode(text="text:N")
    return finish(alt.layer(bars, numbers), description, height=alt.Step(BAR_STEP), width=WIDTH)


def plot_crosstab(
    rows: Sequence[str],
    columns: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    most: int | None = None,
    longest: int | None = None,
    description: str = "",
) -> altair.LayerChart:
    """A heat map of ``counts`` (one sequence per row, one whole number per column), darker for more on a log scale.

    Every count is written in its cell, dark on pale or pale on dark with a contrast of at least 4.5; a pair that never
    occurs is left blank. Up to five columns fit ``WIDTH``; more make the chart wider. ``most`` and ``longest`` are as
    for ``plot_counts``. Raises MissingExtraError without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    largest = max(most or 0, *(n for row in counts for n in row))
    cells = [
        {
            "row": keep_text(row),
            "column": keep_text(column),
            "fill": shade(n, largest),
            "text": f"{n:,}" if n else "",
            "ink": ink_on(n, largest),
        }
        for row, line in zip(rows, counts, strict=True)
        for column, n in zip(columns, line, strict=True)
    ]
    names = _name_width(longest or max(map(len, rows)), CROSS_LABELS)
    fits = len(columns) <= NARROW
    room = (WIDTH - names) / len(columns) if fits else CELL_WIDTH
    upright = max(map(len, columns)) * _LETTER <= room
    angle = 0 if upright else -90
    across = alt.Axis(orient="top", ticks=False, domain=False, labelAngle=angle, labelOverlap=False, labelFontSize=11)
    base = alt.Chart(alt.InlineData(values=cells)).encode(
        x=alt.X("column:N", sort=None, title=None, axis=across),
        y=alt.Y("row:N", sort=None, title=None, axis=_names_axis(names, CROSS_LABELS)),
    )
    squares = base.mark_rect(stroke="white", strokeWidth=1).encode(color=alt.Color("fill:N", scale=None))
    numbers = base.mark_text(fontSize=11).encode(text="text:N", color=alt.Color("ink:N", scale=None))
    width: int | altair.Step = WIDTH if fits else alt.Step(CELL_WIDTH)
    return finish(alt.layer(squares, numbers), description, height=alt.Step(CELL_HEIGHT), width=width)


def shade(n: int, most: int) -> str:
    """The fill of a cell as ``#rrggbb``: near-white for 0, then from pale to deep by the logarithm of ``n``."""
    if n == 0:
        return "#f7f7f7"
    place = min(math.log(n) / math.log(most), 1.0) if most > 1 else 0.0
    upper = place >= 0.5
    low, high = RAMPS[upper]
    part = 2 * place - upper
    return "#" + "".join(f"{round(start + part * (end - start)):02x}" for start, end in zip(low, high, strict=True))


def ink_on(n: int, most: int) -> str:
    """Black or white, whichever stands out more on the fill of that cell."""
    fill = shade(n, most)
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, fill))


def _name_width(longest: int, limit: int) -> int:
    return min(limit, round(longest * _LETTER))


def _names_axis(width: int, limit: int) -> altair.Axis:
    """Names to the left of bars or rows, with the same room in every panel."""
    import altair as alt

    return alt.Axis(ticks=False, domain=False, labelOverlap=False, labelLimit=limit, minExtent=width + 4)
