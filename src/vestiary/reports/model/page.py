"""The model report as a page: charts drawn, the template filled."""

from __future__ import annotations

from typing import Any

from vestiary import __version__
from vestiary.charts import draw_matrix, plot_lines, plot_reliability, plot_risk_coverage, render_svg
from vestiary.metrics import LEVEL, RESAMPLES, SEED, ReliabilityBin
from vestiary.reports.model.values import LEAST_CASES, TARGETS, AttributeReport, ModelReport
from vestiary.reports.page import format_count, format_percent, render_page

FIRST_VALUES = 20
"""Rows of a table of values that are shown before the rest is folded away."""


def render_model_report(report: ModelReport) -> str:
    """The report as one HTML page that holds everything it shows. Raises MissingExtraError without the extra ``ui``."""
    values = {
        "report": report,
        "reliability": [_draw_reliability(own) for own in report.attributes],
        "risk": [_draw_risk(own, report.bundle.calibration.target_precision) for own in report.attributes],
        "matrices": [_draw_matrix(own) for own in report.attributes],
        "training": _draw_training(report),
        "targets": TARGETS,
        "least_cases": LEAST_CASES,
        "first_values": FIRST_VALUES,
        "bootstrap": {"level": LEVEL, "n": RESAMPLES, "seed": SEED},
        "version": __version__,
    }
    return render_page("model.html.j2", values)


def _points(bins: tuple[ReliabilityBin, ...]) -> list[tuple[float, float, int]]:
    return [(own.confidence, own.accuracy, own.n) for own in bins]


def _draw_reliability(own: AttributeReport) -> dict[str, str]:
    chart = plot_reliability(_points(own.reliability), _points(own.reliability_before), description=own.title)
    alt = (
        f"Reliability of {own.title}: accuracy against confidence in {len(own.reliability)} bins; expected calibration "
        f"error {_told(own.scores.ece)} after and {_told(own.scores.ece_before)} before calibration."
    )
    return {"title": own.title, "svg": render_svg(chart), "alt": alt}


def _draw_risk(own: AttributeReport, target: float) -> dict[str, str]:
    points = list(zip(own.curve.coverage.tolist(), own.curve.risk.tolist(), strict=True))
    chart = plot_risk_coverage(points, target=1 - target, chosen=own.chosen, description=own.title)
    alt = (
        f"Risk against coverage of {own.title}: of all answers {_told(1 - (own.scores.accuracy or 0))} are wrong, of "
        f"the surest half {_told(_risk_at(own, 0.5))}; area under the curve {own.curve.area:.3f}."
    )
    return {"title": own.title, "svg": render_svg(chart), "alt": alt}


def _risk_at(own: AttributeReport, coverage: float) -> float | None:
    places = [risk for reached, risk in zip(own.curve.coverage, own.curve.risk, strict=True) if reached >= coverage]
    return float(places[0]) if places else None


def _draw_matrix(own: AttributeReport) -> dict[str, Any]:
    matrix = own.matrix
    order = f", ordered by {' and '.join(matrix.levels)}" if matrix.levels else ""
    alt = f"Confusion matrix of {own.title}: {len(matrix.values)} values, labels down, answers across{order}."
    svg, width = draw_matrix(
        matrix.values, matrix.counts.tolist(), bands=matrix.bands, lines=matrix.lines, description=alt
    )
    return {"svg": svg, "width": width, "alt": alt}


def _draw_training(report: ModelReport) -> list[dict[str, str]]:
    curves = report.curves
    if curves is None:
        return []
    asked = (
        ("Loss", curves.losses, {"up": "loss"}),
        ("Accuracy on validation", curves.accuracies, {"up": "right", "percent": True}),
        ("Learning rate", curves.rates, {"up": "learning rate"}),
    )
    drawn = []
    for title, lines, options in asked:
        if not lines:
            continue
        chart = plot_lines(lines, across="epoch", description=title, **options)
        ends = ", ".join(f"{line.name} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in lines)
        alt = f"{title} over {format_count(curves.epochs)} epochs: {ends}."
        drawn.append({"title": title, "svg": render_svg(chart), "alt": alt})
    return drawn


def _told(share: float | None) -> str:
    return "not known" if share is None else format_percent(share)
