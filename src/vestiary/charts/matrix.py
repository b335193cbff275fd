"""A confusion matrix of any size, drawn as SVG: every cell says in words what it is when it is pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vestiary.charts.style import BAR, GRID, INK, RARE_BAR, keep_text

SMALL = 16
"""Up to so many values, counts are written into the cells."""

_LETTER = 5.3
_LABEL = 150
_BAND = 18


@dataclass(frozen=True, slots=True)
class Band:
    """``n`` neighbouring values from position ``start`` on that belong together."""

    name: str
    start: int
    n: int


def draw_matrix(
    values: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    bands: Sequence[Band] = (),
    lines: Sequence[int] = (),
    description: str = "",
) -> tuple[str, int]:
    """An ``<svg>`` element of ``counts`` (one row per label, one column per answer) and its natural width in pixels.

    Fill is by share of the row, on a square-root scale so that one in a hundred is seen: blue on the diagonal, orange
    beside it, pale where nothing is. ``bands`` are named and divided by strong lines, ``lines`` are the positions
    of weak ones. The drawing scales with its ``viewBox``; nothing in it moves or is fetched.
    """
    values = [keep_text(value) for value in values]
    size = 40 if len(values) <= SMALL else 20 if len(values) <= 50 else 12
    font = 12 if size >= 20 else 9.5
    names = min(_LABEL, max(84, max(map(len, values), default=1) * _LETTER * font / 9.5 + 8))
    left = names + (_BAND if bands else 0)
    side = size * len(values)
    whole = left + side + 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole:.0f} {whole:.0f}" width="{whole:.0f}" '
        f'height="{whole:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="{font}" fill="{INK}">',
        f"<title>{escape(keep_text(description))}</title>",
        f'<rect x="{left:.1f}" y="{left:.1f}" width="{side}" height="{side}" fill="#fafafa" stroke="{GRID}"/>',
        *_draw_lines(lines, bands, left, side, size),
        *_draw_cells(values, counts, left, size),
        *_draw_names(values, left, size, font),
        *_draw_bands(bands, left, side, size),
        f'<text x="{left - 6:.1f}" y="{left - 18:.1f}" text-anchor="end" font-style="italic">across: answers</text>',
        f'<text x="{left - 6:.1f}" y="{left - 6:.1f}" text-anchor="end" font-style="italic">down: labels</text>',
        "</svg>",
    ]
    return "".join(parts), round(whole)


def _draw_cells(values: Sequence[str], counts: Sequence[Sequence[int]], left: float, size: int) -> list[str]:
    parts = []
    for down, (label, row) in enumerate(zip(values, counts, strict=True)):
        total = sum(row)
        for across, n in enumerate(row):
            if not n:
                continue
            share = n / total
            x, y = left + across * size, left + down * size
            opacity = 0.12 + 0.88 * share**0.5
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{size}" height="{size}" '
                f'fill="{BAR if across == down else RARE_BAR}" fill-opacity="{opacity:.2f}">'
                f"<title>{escape(label)} answered as {escape(values[across])}: {n:,} of {total:,}</title></rect>"
            )
            if len(values) <= SMALL:
                ink = "#ffffff" if opacity > 0.62 else INK
                parts.append(
                    f'<text x="{x + size / 2:.1f}" y="{y + size / 2 + 4:.1f}" text-anchor="middle" '
                    f'fill="{ink}" font-size="11" pointer-events="none">{n:,}</text>'
                )
    return parts


def _draw_lines(lines: Sequence[int], bands: Sequence[Band], left: float, side: int, size: int) -> list[str]:
    """Weak lines between neighbours, strong ones between bands."""
    strong = {band.start for band in bands if band.start}
    parts = []
    for place in sorted({*lines, *strong} - {0}):
        at, reach = left + place * size, _BAND if place in strong else 0
        style = f'stroke="{INK}" stroke-width="1.2"' if place in strong else 'stroke="#c0c0c0" stroke-width="0.6"'
        start = left if not reach else 0
        path = f"M{start:.1f} {at:.1f}H{left + side:.1f}M{at:.1f} {start:.1f}V{left + side:.1f}"
        parts.append(f'<path d="{path}" fill="none" {style}/>')
    return parts


def _draw_names(values: Sequence[str], left: float, size: int, font: float) -> list[str]:
    most = int((_LABEL - 8) / (_LETTER * font / 9.5))
    parts = []
    for place, value in enumerate(values):
        text = escape(value if len(value) <= most else value[: most - 1] + "…")
        at = left + (place + 0.5) * size + font * 0.34
        parts.append(f'<text x="{left - 4:.1f}" y="{at:.1f}" text-anchor="end">{text}</text>')
        parts.append(f'<text transform="translate({at:.1f} {left - 4:.1f}) rotate(-90)">{text}</text>')
    return parts


def _draw_bands(bands: Sequence[Band], left: float, side: int, size: int) -> list[str]:
    """The names of bands along the outer edges, each at most as long as its band and left out where it does not fit."""
    parts = []
    for band in bands:
        name = keep_text(band.name)
        if len(name) * 7.2 > band.n * size:
            continue
        middle = left + (band.start + band.n / 2) * size
        style = 'font-size="13" font-weight="bold" text-anchor="middle"'
        parts.append(f'<text transform="translate(13 {middle:.1f}) rotate(-90)" {style}>{escape(name)}</text>')
        parts.append(f'<text x="{middle:.1f}" y="13" {style}>{escape(name)}</text>')
    return parts
