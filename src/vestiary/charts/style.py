"""The look that all charts share, and how they become SVG."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from vestiary.errors import require

if TYPE_CHECKING:
    import altair

WIDTH = 336
"""Width of a chart in CSS pixels: what a phone 360 px wide has to give."""

INK = "#1b1b1b"
BAR = "#1f5f99"
RARE_BAR = "#b3541e"
GRID = "#d9d9d9"

_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def keep_text(text: str) -> str:
    """The text with a mark for every character that no HTML or SVG may hold, as labels typed or pasted sometimes do.

    The renderer of charts ends the whole process when it meets one.
    """
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def render_svg(chart: altair.TopLevelMixin) -> str:
    """The chart as an ``<svg>`` element for an HTML page: static, its ids unlike those of any other drawing.

    Nothing is fetched to draw it. Raises MissingExtraError without the extra ``ui``.
    """
    vl_convert = need("vl_convert")
    import altair as alt

    version = re.sub(r"^v(\d+\.\d+).*", r"\1", alt.SCHEMA_VERSION)
    svg = str(vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=version, allowed_base_urls=[]))
    own = f"c{hashlib.sha256(svg.encode()).hexdigest()[:10]}-"
    return re.sub(r'(<[^<>]*\s)id="|(<[^<>]*url\(#)', lambda match: _add_prefix(match, own), svg)


def _add_prefix(match: re.Match[str], own: str) -> str:
    return f'{match[1]}id="{own}' if match[1] else f"{match[2]}{own}"


def finish(chart: Any, description: str, *, height: int | altair.Step, width: int | altair.Step) -> altair.LayerChart:
    """The look that all charts share; a whole number for ``width`` is that of the chart with its labels."""
    if isinstance(width, int):
        chart = chart.properties(autosize={"type": "fit-x", "contains": "padding"})
    finished: altair.LayerChart = (
        chart.properties(
            width=width, height=height, description=keep_text(description), background="transparent", padding=2
        )
        .configure(font="Helvetica, Arial, sans-serif", aria=False)
        .configure_axis(labelColor=INK, labelFontSize=12, labelPadding=4, gridColor=GRID, tickColor=GRID)
        .configure_view(stroke=None)
        .configure_text(color=INK)
    )
    return finished


def need(module: str) -> Any:
    """A package that charts are drawn with. MissingExtraError when it is not installed."""
    return require(module, extra="ui", feature="Drawing charts")


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two ``#rrggbb`` colours, 1..21 (WCAG 2.2, "contrast ratio"); text needs 4.5."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
