"""Lines: confidence against accuracy, wrong answers against coverage, what happened over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vestiary.charts.style import BAR, INK, RARE_BAR, WIDTH, finish, keep_text, need

if TYPE_CHECKING:
    import altair

HEIGHT = 210
MAX_POINTS = 200
COLOURS = ("#1f5f99", "#b3541e", "#2f7d4f", "#7b3f8c", "#8a6d00", "#1b1b1b", "#c2185b", "#00797a")
"""Colours of lines, told apart by most people with colour blindness too; dashes begin where they are used up."""
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3))


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points (x, y)."""

    name: str
    points: tuple[tuple[float, float], ...]


def plot_reliability(
    after: Sequence[tuple[float, float, int]],
    before: Sequence[tuple[float, float, int]] = (),
    *,
    description: str = "",
) -> altair.LayerChart:
    """Accuracy against mean confidence of bins, given as (confidence, accuracy, answers), all 0..1.

    The dashed diagonal is where both are equal. ``after`` is drawn as dots whose area grows with the answers, joined by
    a line; ``before`` calibration as a thin line. Raises MissingExtraError without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    across = alt.X("x:Q", scale=alt.Scale(domain=[0, 1]), title="confidence", axis=axis)
    up = alt.Y("y:Q", scale=alt.Scale(domain=[0, 1]), title="right", axis=axis)

    def layer(points: Sequence[tuple[float, float, int]]) -> Any:
        rows = [{"x": x, "y": y, "n": n} for x, y, n in points]
        return alt.Chart(alt.InlineData(values=rows)).encode(x=across, y=up)

    size = alt.Size("n:Q", scale=alt.Scale(range=[12, 320], domainMin=0), legend=None)
    layers = [layer([(0, 0, 0), (1, 1, 0)]).mark_line(color=INK, strokeDash=[4, 4], strokeWidth=1)]
    if before:
        layers.append(layer(before).mark_line(color=RARE_BAR, strokeWidth=1.5))
    layers.append(layer(after).mark_line(color=BAR, strokeWidth=1.5))
    layers.append(layer(after).mark_point(color=BAR, filled=True, opacity=0.85).encode(size=size))
    return finish(alt.layer(*layers), description, height=HEIGHT, width=WIDTH)


def plot_risk_coverage(
    points: Sequence[tuple[float, float]],
    *,
    target: float | None = None,
    chosen: tuple[float, float] | None = None,
    description: str = "",
) -> altair.LayerChart:
    """The share of wrong answers against the share of answers taken, surest first: points (coverage, risk), 0..1.

    ``target`` is the risk that is wanted (a dashed line), ``chosen`` the point that the threshold gives. Raises
    MissingExtraError without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    shown = thin(points)
    top = max([0.05, target or 0, *(risk for coverage, risk in shown if coverage >= 0.02)]) * 1.05
    across = alt.X(
        "x:Q", scale=alt.Scale(domain=[0, 1]), title="taken", axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    )
    up = alt.Y(
        "y:Q", scale=alt.Scale(domain=[0, top], clamp=True), title="wrong", axis=alt.Axis(format=".0%", tickCount=5)
    )

    def layer(rows: Sequence[tuple[float, float]]) -> Any:
        return alt.Chart(alt.InlineData(values=[{"x": x, "y": y} for x, y in rows])).encode(x=across, y=up)

    layers = [layer(shown).mark_line(color=BAR, strokeWidth=2)]
    if target is not None:
        layers.append(layer([(0, target), (1, target)]).mark_line(color=INK, strokeDash=[4, 4], strokeWidth=1))
    if chosen is not None:
        layers.append(layer([chosen]).mark_point(color=RARE_BAR, filled=True, size=90, opacity=1))
    return finish(alt.layer(*layers), description, height=HEIGHT, width=WIDTH)


def plot_lines(
    lines: Sequence[Line], *, across: str, up: str, percent: bool = False, log: bool = False, description: str = ""
) -> altair.LayerChart:
    """Lines with a legend above them where there are several; ``log`` puts the upward axis on a log scale.

    Raises MissingExtraError without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    names = [keep_text(line.name) for line in lines]
    rows = [
        {"x": x, "y": y, "line": name} for name, line in zip(names, lines, strict=True) for x, y in thin(line.points)
    ]
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(names))]
    dashes = [list(DASHES[number // len(COLOURS) % len(DASHES)]) for number in range(len(names))]
    legend = None if len(names) == 1 else alt.Legend(orient="top", title=None, columns=3, labelLimit=150, symbolSize=60)
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("x:Q", title=across, axis=alt.Axis(tickMinStep=1, grid=False)),
            y=alt.Y("y:Q", title=up, scale=scale, axis=alt.Axis(format="%" if percent else "~g", tickCount=6)),
            color=alt.Color("line:N", sort=None, scale=alt.Scale(domain=names, range=colours), legend=legend),
            strokeDash=alt.StrokeDash("line:N", sort=None, scale=alt.Scale(domain=names, range=dashes), legend=legend),
        )
    )
    return finish(alt.layer(chart), description, height=HEIGHT, width=WIDTH)


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS of the points, evenly spaced, the first and the last among them."""
    if len(points) <= MAX_POINTS:
        return list(points)
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(number * step)] for number in range(MAX_POINTS)]
