"""From figures to charts: Altair for pages, the same drawn as SVG for reports.

Every chart is made to be read at its own size, no wider than a phone's screen unless it is a matrix, and carries a
description in words. They need the extra ``ui``, which is imported when a chart is made and not before.
"""

from vestiary.charts.columns import plot_columns
from vestiary.charts.counts import NARROW, ink_on, plot_counts, plot_crosstab, shade
from vestiary.charts.curves import Line, plot_lines, plot_reliability, plot_risk_coverage
from vestiary.charts.grid import plot_matrix
from vestiary.charts.matrix import Band, draw_matrix
from vestiary.charts.screen import PICKED, SCREEN_BAR, SCREEN_LINE, SCREEN_RARE, let_pick, to_screen
from vestiary.charts.style import BAR, RARE_BAR, WIDTH, contrast, keep_text, render_svg

__all__ = [
    "BAR",
    "NARROW",
    "PICKED",
    "RARE_BAR",
    "SCREEN_BAR",
    "SCREEN_LINE",
    "SCREEN_RARE",
    "WIDTH",
    "Band",
    "Line",
    "contrast",
    "draw_matrix",
    "ink_on",
    "keep_text",
    "let_pick",
    "plot_columns",
    "plot_counts",
    "plot_crosstab",
    "plot_lines",
    "plot_matrix",
    "plot_reliability",
    "plot_risk_coverage",
    "render_svg",
    "shade",
    "to_screen",
]
