"""``vestiary check``: what is wrong with a catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vestiary.catalogue import Catalogue
    from vestiary.checks import Finding, Severity

SHOWN = 5
"""Findings of one kind, and product ids of one finding, that the table for people names."""


def run(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    min_count: int = typer.Option(10, min=1, help="Products that a value needs not to be called rare."),
    labels: bool = typer.Option(False, "--labels", help="Look for wrong labels too, with a bundle (minutes)."),
    bundle: str | None = typer.Option(None, help="Bundle for --labels; the default one when left out."),
    as_json: bool = typer.Option(False, "--json", help="Print every finding as JSON."),
) -> None:
    """Tell what is wrong with a catalogue: files, labels, duplicates, balance; exit 1 for findings at error level."""
    from vestiary.catalogue import load_catalogue
    from vestiary.checks import Severity, run_checks, sort_findings
    from vestiary.cli.output import print_json, progress_bar
    from vestiary.errors import CatalogueError

    check_label_options(labels=labels, bundle=bundle)
    loaded = load_catalogue(catalogue)
    if not loaded.products:
        raise CatalogueError(f"{catalogue} holds no products; ingest a source that has some.")
    with progress_bar("Looking at pictures") as progress:
        findings = run_checks(loaded, min_count=min_count, progress=progress)
    if labels:
        findings = sort_findings([*findings, *find_label_errors(loaded, bundle)])
    if as_json:
        counts = {str(severity): sum(own.severity == severity for own in findings) for severity in Severity}
        print_json({"counts": counts, "findings": [finding.to_dict() for finding in findings]})
    else:
        print_findings(findings)
    if any(finding.severity == Severity.ERROR for finding in findings):
        raise typer.Exit(1)


def check_label_options(*, labels: bool, bundle: str | None) -> None:
    """Raise UsageError for --bundle without --labels, MissingExtraError for --labels without its packages."""
    from vestiary.errors import UsageError

    if bundle is not None and not labels:
        raise UsageError("--bundle is only used with --labels; add --labels or leave --bundle out.")
    if labels:
        from vestiary.checks.label_errors import require_packages

        require_packages()


def find_label_errors(catalogue: Catalogue, bundle: str | None) -> list[Finding]:
    """The likely label errors that a bundle shows, the default one for None, with progress on stderr."""
    from vestiary.bundle import open_bundle
    from vestiary.checks.label_errors import check_label_errors
    from vestiary.cli.output import progress_bar
    from vestiary.predictor import Predictor, collect_embeddings

    predictor = Predictor(open_bundle(bundle))
    with progress_bar("Embedding pictures") as progress:
        embeddings = collect_embeddings(predictor, catalogue, catalogue.products, progress=progress)
    with progress_bar("Judging labels, per attribute") as progress:
        return check_label_errors(catalogue, embeddings, progress=progress)


def print_findings(findings: Sequence[Finding]) -> None:
    """Findings on stdout by severity, then by kind; of each kind the first few."""
    from vestiary.checks import Severity

    if not findings:
        typer.echo("Nothing found.")
    for severity in Severity:
        own = [finding for finding in findings if finding.severity == severity]
        if own:
            typer.echo(f"{_heading(severity)}: {len(own):,} {'finding' if len(own) == 1 else 'findings'}")
            for check in dict.fromkeys(finding.check for finding in own):
                _print_kind(check, [finding for finding in own if finding.check == check])
            typer.echo()
    if len(findings) > SHOWN:
        typer.echo("--json tells every finding and every product.")


def _heading(severity: Severity) -> str:
    return {"error": "Errors", "warning": "Warnings", "info": "Good to know"}[str(severity)]


def _print_kind(check: str, findings: Sequence[Finding]) -> None:
    products = len({product for finding in findings for product in finding.products})
    times = f"{len(findings):,} findings, " if len(findings) > 1 else ""
    typer.echo(f"\n  {check}  ({times}{products:,} {'product' if products == 1 else 'products'})")
    for finding in findings[:SHOWN]:
        typer.echo(f"    {finding.message}")
        if finding.products:
            ids = " ".join(finding.products[:SHOWN]) + (" …" if len(finding.products) > SHOWN else "")
            typer.echo(f"      products: {ids}")
    if len(findings) > SHOWN:
        typer.echo(f"    … and {len(findings) - SHOWN:,} more of this kind")
    for remedy in dict.fromkeys(finding.remedy for finding in findings[:SHOWN]):
        typer.echo(f"      → {remedy}")
