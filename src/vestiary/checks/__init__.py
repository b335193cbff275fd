"""What is wrong with a catalogue: one file, or folder, per family of findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vestiary.catalogue import Catalogue, Progress
from vestiary.checks.balance import check_balance
from vestiary.checks.duplicates import check_duplicates
from vestiary.checks.files import check_files
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.labels import check_labels
from vestiary.checks.measure import PictureFacts, measure_pictures

__all__ = ["Finding", "PictureFacts", "Severity", "measure_pictures", "run_checks", "sort_findings"]


def run_checks(
    catalogue: Catalogue,
    *,
    facts: Sequence[PictureFacts] | None = None,
    min_count: int = 10,
    progress: Progress | None = None,
) -> list[Finding]:
    """Every finding about a catalogue, in the order of ``sort_findings``.

    ``facts`` are those of ``measure_pictures`` where they are at hand; without them every picture is looked at, and
    ``progress`` told. Values with fewer than ``min_count`` products are rare. Raises CatalogueError when the source of
    the pictures is gone.
    """
    if facts is None:
        facts = measure_pictures(catalogue, progress=progress)
    return sort_findings(
        [
            *check_files(catalogue, facts),
            *check_labels(catalogue, min_count=min_count),
            *check_duplicates(catalogue, facts),
            *check_balance(catalogue),
        ]
    )


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings before what is good to know; within these the most products first, else as they come."""
    severities = list(Severity)
    return sorted(findings, key=lambda finding: (severities.index(finding.severity), -len(finding.products)))
