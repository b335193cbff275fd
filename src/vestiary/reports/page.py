"""From a template to a file: one self-contained HTML page, and the same as PDF.

Templates escape everything they are given. A page holds no script and loads nothing; the PDF is set from the page with
a fetcher that knows ``data:`` URLs and no others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import ImageFile

from vestiary.charts import keep_text
from vestiary.errors import MissingExtraError, UsageError, require

_NARROW = "\N{NO-BREAK SPACE}"


def render_page(template: str, values: Mapping[str, Any]) -> str:
    """The HTML of a template of this package. Raises MissingExtraError without the extra ``ui``."""
    require("jinja2", extra="ui", feature="A report")
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vestiary.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_drop_controls,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = format_count
    environment.filters["number"] = format_number
    environment.filters["percent"] = format_percent
    environment.filters["milliseconds"] = format_milliseconds
    return environment.get_template(template).render(**values)


def need_drawing() -> None:
    """Raise MissingExtraError unless all that a page is made with is installed, before the work is done for nothing."""
    for module in ("jinja2", "altair", "vl_convert"):
        require(module, extra="ui", feature="A report")


def load_page_setter() -> Callable[[str], bytes]:
    """The function that sets an HTML page as PDF, A4.

    Raises MissingExtraError without the extra ``pdf`` or without the system's Pango library.
    """
    tolerance = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        weasyprint = require("weasyprint", extra="pdf", feature="A PDF")
    except OSError as error:
        raise MissingExtraError(
            "A PDF needs the system library Pango, which was not found; install it (on Debian and Ubuntu: "
            "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0) or leave out --pdf."
        ) from error
    finally:  # WeasyPrint makes Pillow take damaged pictures for whole ones, for everybody in the process
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerance

    def set_page(html: str) -> bytes:
        fetcher = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
        return bytes(weasyprint.HTML(string=html, url_fetcher=fetcher).write_pdf())

    return set_page


def check_place(path: Path, *, overwrite: bool = False) -> None:
    """Raise UsageError when a file cannot be written there, or one is there and may not be replaced."""
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name the file to write.")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} already exists; choose another name or add --overwrite.")
        nearest = next(folder for folder in path.absolute().parents if folder.exists())
        if not nearest.is_dir():
            raise UsageError(f"{path} cannot be written ({nearest} is no folder); choose another place.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UsageError(f"{path} cannot be written (no right to write in {nearest}); choose another place.")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name in the same folder, then rename it, so that no half is ever left.

    Makes the folders above it. Raises UsageError when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as staging:
            part = Path(staging) / "whole"
            part.write_bytes(content)
            part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def format_count(n: int) -> str:
    """A whole number with its thousands set apart by commas."""
    return f"{n:,}"


def format_number(n: int, noun: str) -> str:
    """A whole number and what it counts, in the singular for one."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def format_percent(share: float) -> str:
    """A share of 0..1 as per cent, small ones told apart from none."""
    if 0 < share < 0.001:
        return f"under 0.1{_NARROW}%"
    return f"{100 * share:.1f}{_NARROW}%" if share < 0.9995 or share == 1 else f"over 99.9{_NARROW}%"


def format_milliseconds(milliseconds: float) -> str:
    """A time in milliseconds, with a decimal under ten."""
    return f"{milliseconds:,.{0 if milliseconds >= 10 else 1}f}{_NARROW}ms"


def _drop_controls(value: Any) -> Any:
    """Whatever is put into a page, without the characters that a page may not hold."""
    return type(value)(keep_text(value)) if isinstance(value, str) else value
