"""The catalogue report: what is in a catalogue, what is wrong with it, and what to do next, for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from vestiary import __version__
from vestiary.catalogue import Catalogue, Progress
from vestiary.catalogue.catalogue import BY_GROUP
from vestiary.catalogue.sources import name_place
from vestiary.charts import NARROW, plot_counts, plot_crosstab, render_svg
from vestiary.checks import Finding, PictureFacts, Severity, measure_pictures
from vestiary.reports.advice import Advice, advise
from vestiary.reports.figures import (
    RARE,
    Branch,
    CrossTab,
    Distribution,
    PictureSummary,
    build_tree,
    choose_crosses,
    count_labels,
    cross_labels,
    find_levels,
    list_unusual,
    sum_up_pictures,
)
from vestiary.reports.gallery import (
    SampleRow,
    ShownFinding,
    Swatch,
    is_colour,
    measure_swatches,
    sample_classes,
    show_findings,
)
from vestiary.reports.page import format_count, render_page

CLASSES, PER_CLASS, SEED = 36, 4, 42
MAX_CLASSES = 200
"""So many classes of pictures still make a file of about five megabytes."""

MAX_BARS = 300
PAGE_OF_BARS = 50
FIRST_LINES = 10

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class RejectSummary:
    """Rows or pictures left out for one reason, and where the first of them stand."""

    reason: str
    n: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class CatalogueReport:
    """Everything the report says, as values.

    ``prepared`` are the steps that the catalogue went through, ``by_design`` tells whether products that share a name
    or a picture are kept together, ``finest`` is the attribute with the most values, shown in pictures.
    """

    source: str
    fingerprint: str
    made_at: datetime
    n_rows: int
    n_products: int
    n_rejected: int
    n_views: int
    n_groups: int
    prepared: tuple[str, ...]
    split_by: str
    by_design: bool
    splits: tuple[tuple[str, int], ...]
    rejects: tuple[RejectSummary, ...]
    distributions: tuple[Distribution, ...]
    crosses: tuple[CrossTab, ...]
    levels: tuple[str, ...]
    tree: tuple[Branch, ...]
    n_unusual: int
    pictures: PictureSummary
    swatches: tuple[tuple[str, tuple[Swatch, ...]], ...]
    finest: str
    samples: tuple[SampleRow, ...]
    findings: tuple[ShownFinding, ...]
    n_findings: tuple[tuple[str, int], ...]
    advice: tuple[Advice, ...]


def build_catalogue_report(
    catalogue: Catalogue,
    *,
    crosses: Iterable[str] = (),
    findings: Sequence[Finding] = (),
    facts: Sequence[PictureFacts] | None = None,
    classes: int = CLASSES,
    per_class: int = PER_CLASS,
    seed: int = SEED,
    made_at: datetime | None = None,
    on_photos: Progress | None = None,
) -> CatalogueReport:
    """Count everything, and show a few pictures.

    ``facts`` are those of ``measure_pictures`` where they are at hand; without them every picture is looked at.
    ``crosses`` names pairs of attributes as ``A×B`` or ``A,B``; the same ``seed`` shows the same pictures. Raises
    UsageError for a pair that is not there, CatalogueError when the pictures' source is gone.
    """
    pairs = choose_crosses(catalogue.taxonomy, crosses)
    source = catalogue.open_source()
    distributions = count_labels(catalogue)
    finest = max(distributions, key=lambda own: own.n_used)
    levels = find_levels(catalogue.taxonomy)
    tree = build_tree(catalogue, levels)
    unusual = list_unusual(tree)
    pictures = sum_up_pictures(measure_pictures(catalogue) if facts is None else facts)
    counts = catalogue.counts
    colours = [own for own in distributions if is_colour(own)]
    return CatalogueReport(
        source=name_place(catalogue.source),
        fingerprint=catalogue.fingerprint,
        made_at=made_at or datetime.now(UTC),
        n_rows=counts["rows"],
        n_products=counts["products"],
        n_rejected=counts["rejected_rows"],
        n_views=counts["rows_as_further_views"],
        n_groups=counts["groups"],
        prepared=tuple(f"{step.preparation}: {step.describe()}" for step in catalogue.applied),
        split_by=catalogue.split_by,
        by_design=catalogue.split_by == BY_GROUP,
        splits=tuple(counts["splits"].items()),
        rejects=_sum_up_rejects(catalogue),
        distributions=distributions,
        crosses=tuple(cross_labels(catalogue, pair) for pair in pairs),
        levels=tuple(catalogue.taxonomy.titles[name] for name in levels),
        tree=tree,
        n_unusual=sum(n for _, n in unusual),
        pictures=pictures,
        swatches=tuple((own.title, measure_swatches(catalogue, source, own, seed=seed)) for own in colours),
        finest=finest.title,
        samples=sample_classes(
            catalogue,
            source,
            finest,
            classes=min(classes, MAX_CLASSES),
            per_class=per_class,
            seed=seed,
            progress=on_photos,
        ),
        findings=show_findings(catalogue, source, findings),
        n_findings=tuple((str(level), sum(own.severity is level for own in findings)) for level in Severity),
        advice=advise(catalogue, distributions, pictures, unusual, findings),
    )


def render_catalogue_report(report: CatalogueReport) -> str:
    """The report as one HTML page that holds everything it shows. Raises MissingExtraError without the extra ``ui``."""
    values = {
        "report": report,
        "charts": [_draw_distribution(own) for own in report.distributions],
        "heat_maps": [_draw_cross(own) for own in report.crosses],
        "rare": RARE,
        "version": __version__,
    }
    return render_page("catalogue.html.j2", values)


def _sum_up_rejects(catalogue: Catalogue) -> tuple[RejectSummary, ...]:
    places: dict[str, list[str]] = defaultdict(list)
    for reject in catalogue.rejects:
        places[reject.reason].append(f"line {reject.line}" if reject.line is not None else reject.detail)
    ranked = sorted(places.items(), key=lambda entry: -len(entry[1]))
    return tuple(RejectSummary(str(reason), len(own), tuple(own[:FIRST_LINES])) for reason, own in ranked)


def _draw_distribution(distribution: Distribution) -> dict[str, Any]:
    """Panels of bars side by side, so that a long list reads in columns; what is beyond MAX_BARS is told in words."""
    shown = distribution.counts[:MAX_BARS]
    most = max((n for _, n in shown), default=0)
    scale = {"most": most, "longest": max(len(value) for value, _ in shown)}
    panels = [
        {
            "svg": render_svg(plot_counts(part, **scale, rare_below=RARE, description=distribution.title)),
            "alt": _describe_bars(distribution, part),
        }
        for part in _split(shown)
    ]
    return {"panels": panels, "n_folded": len(distribution.counts) - len(shown)}


def _describe_bars(distribution: Distribution, part: Sequence[tuple[str, int]]) -> str:
    (first, most), (last, least) = part[0], part[-1]
    return (
        f"Bar chart of {distribution.title}, products per value on a log scale: "
        f"{len(part)} values from {first} with {format_count(most)} to {last} with {format_count(least)}."
    )


def _draw_cross(cross: CrossTab) -> dict[str, Any]:
    wide = len(cross.columns) > NARROW
    lines = list(zip(cross.rows, cross.counts, strict=True))
    scale = {"most": cross.most, "longest": max(map(len, cross.rows), default=0)}
    panels = []
    for part in [lines] if wide else _split(lines):
        rows, counts = [row for row, _ in part], [own for _, own in part]
        chart = plot_crosstab(rows, cross.columns, counts, **scale, description=f"{cross.down} by {cross.across}")
        panels.append({"svg": render_svg(chart), "alt": _describe_cells(cross, rows, counts)})
    return {"panels": panels, "wide": wide}


def _describe_cells(cross: CrossTab, rows: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    n, row, column = max(
        (n, row, column)
        for row, own in zip(rows, counts, strict=True)
        for column, n in zip(cross.columns, own, strict=True)
    )
    span = f"{rows[0]} to {rows[-1]}" if len(rows) > 1 else rows[0]
    return (
        f"Heat map of {cross.down} by {cross.across}, {span}: products per pair, darker for more. "
        f"Most: {row} with {column}, {format_count(n)}. All numbers are in the table below."
    )


def _split(items: Sequence[_Item]) -> list[Sequence[_Item]]:
    """One panel for a short list, two or three of equal length for a longer one, none longer than a printed page."""
    n_panels = 1 if len(items) <= 12 else 2 if len(items) <= 24 else max(3, -(-len(items) // PAGE_OF_BARS))
    length = max(1, -(-len(items) // n_panels))
    return [items[start : start + length] for start in range(0, len(items), length)]
