"""Upright columns: what happened day by day, and how often each confidence occurs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vestiary.charts.curves import HEIGHT
from vestiary.charts.style import WIDTH, finish, keep_text, need

if TYPE_CHECKING:
    import altair


def plot_columns(
    names: Sequence[str],
    parts: Mapping[str, Sequence[int]],
    colours: Sequence[str],
    *,
    across: str | None = None,
    description: str = "",
) -> altair.LayerChart:
    """A column per name; ``parts`` (one count per name each) stand on each other, the first lowest, in ``colours``.

    Several parts get a legend above. Raises MissingExtraError without the extra ``ui``.
    """
    need("altair")
    import altair as alt

    titles = [keep_text(part) for part in parts]
    rows = [
        {"name": keep_text(name), "part": title, "order": order, "n": n}
        for order, (title, counts) in enumerate(zip(titles, parts.values(), strict=True))
        for name, n in zip(names, counts, strict=True)
    ]
    tallest = max((sum(column) for column in zip(*parts.values(), strict=True)), default=0)
    legend = alt.Legend(orient="top", title=None, labelLimit=150) if len(titles) > 1 else None
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            x=alt.X(
                "name:N", sort=None, title=across, axis=alt.Axis(labelAngle=0, labelOverlap="parity", labelSeparation=4)
            ),
            y=alt.Y("n:Q", title=None, axis=alt.Axis(format=",d", tickCount=min(5, max(tallest, 1)))),
            color=alt.Color("part:N", sort=None, scale=alt.Scale(domain=titles, range=list(colours)), legend=legend),
            order=alt.Order("order:Q"),
        )
    )
    return finish(alt.layer(bars), description, height=HEIGHT, width=WIDTH)
