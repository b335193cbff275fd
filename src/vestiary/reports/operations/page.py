"""From the values of a report to its page."""

from __future__ import annotations

from typing import Any

from vestiary import __version__
from vestiary.charts import BAR, RARE_BAR, plot_columns, plot_counts, render_svg
from vestiary.reports.operations.period import Period
from vestiary.reports.operations.report import Kind, OperationsReport
from vestiary.reports.operations.tally import BINS
from vestiary.reports.operations.words import title_of
from vestiary.reports.page import format_count, render_page

ACCEPTED, REVIEW, FAILED = BAR, "#8fb4d9", RARE_BAR
MAX_VALUES = 25
"""Bars of the commonest values that are drawn; the table has all."""


def render_operations_report(report: OperationsReport) -> str:
    """The report as one HTML page that holds everything it shows. Raises MissingExtraError without the extra ``ui``."""
    values = {
        "report": report,
        "title": title_of(report),
        "is_batch": report.kind is Kind.BATCH,
        "concerns": report.concerns(),
        "volume": None if report.n_total == 0 else _draw_days(report),
        "confidence": None if report.n_answered == 0 else _draw_confidence(report),
        "categories": None if report.category is None else _draw_categories(report),
        "most_values": MAX_VALUES,
        "titles": {own.name: own.title for own in report.attributes},
        "version": __version__,
    }
    return render_page("operations.html.j2", values)


def name_days(period: Period) -> list[str]:
    """``15 Nov`` for each day, with the year where days of two years would be called the same."""
    year = " %Y" if len(period.days) > 365 else ""
    return [f"{day.day} {day:%b{year}}" for day in period.days]


def _draw_days(report: OperationsReport) -> list[dict[str, str]]:
    names = name_days(report.period)
    parts = {
        "accepted": [day.accepted for day in report.days],
        "for review": [day.review for day in report.days],
        "failed": [day.failed for day in report.days],
    }
    busiest = max(report.days, key=lambda day: day.answered + day.failed)
    words = (
        f"Pictures by day, {names[0]} to {names[-1]}: accepted, for review and failed. "
        f"Most on {busiest.date}: {format_count(busiest.answered + busiest.failed)}."
    )
    return _panel(plot_columns(names, parts, (ACCEPTED, REVIEW, FAILED), description=words), words)


def _draw_confidence(report: OperationsReport) -> list[dict[str, str]]:
    names = [str(100 * place // BINS) for place in range(BINS)]
    words = (
        "Pictures by the least confidence among their tags, in steps of 5 %. "
        f"{format_count(sum(report.histogram[-2:]))} of {format_count(sum(report.histogram))} have 90 % or more."
    )
    chart = plot_columns(names, {"pictures": report.histogram}, (BAR,), across="least confidence, %", description=words)
    return _panel(chart, words)


def _draw_categories(report: OperationsReport) -> list[dict[str, str]]:
    assert report.category is not None
    counts = report.category.counts[:MAX_VALUES]
    (first, most), (last, least) = counts[0], counts[-1]
    words = (
        f"Pictures by {report.category.title} on a log scale: {len(counts)} values "
        f"from {first} with {format_count(most)} to {last} with {format_count(least)}."
    )
    return _panel(plot_counts(counts, description=words), words)


def _panel(chart: Any, words: str) -> list[dict[str, str]]:
    return [{"svg": render_svg(chart), "alt": words}]
