"""``vestiary inspect``: what a bundle or a catalogue is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from vestiary.bundle import Bundle
    from vestiary.catalogue import Catalogue


def run(
    path: str | None = typer.Argument(
        None, help="Bundle (or its address) or catalogue; the default bundle when left out."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON."),
) -> None:
    """Tell what a bundle or a catalogue holds."""
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.catalogue.sources import hide_password
    from vestiary.cli.output import print_json
    from vestiary.errors import UsageError

    if path is not None and (Path(path) / "catalogue.json").is_file():
        catalogue = load_catalogue(Path(path))
        if as_json:
            print_json(
                {
                    "source": hide_password(str(catalogue.source)),
                    "reading": dict(catalogue.reading),
                    "fingerprint": catalogue.fingerprint,
                    "split": {"seed": catalogue.split_seed, "by": catalogue.split_by},
                    "preparation": [step.to_dict() for step in catalogue.applied],
                    "counts": catalogue.counts,
                    "taxonomy": catalogue.taxonomy.to_dict(),
                }
            )
        else:
            print_catalogue(catalogue)
        return
    if path is not None and Path(path).is_dir() and not (Path(path) / "manifest.json").is_file():
        raise UsageError(f"{path} is neither a bundle nor a catalogue; name a folder that train or ingest wrote.")
    bundle = open_bundle(path)
    if as_json:
        print_json(bundle.manifest() | {"fingerprint": bundle.fingerprint})
    else:
        _print_bundle(bundle)


def print_catalogue(catalogue: Catalogue) -> None:
    """Counts, preparation and attributes on stdout."""
    from vestiary.catalogue.catalogue import BY_GROUP, BY_SOURCE
    from vestiary.checks.wording import count

    counts = catalogue.counts
    views = counts["rows_as_further_views"]
    further = f" {views:,} further views of them," if views else ""
    typer.echo(
        f"{counts['rows']:,} rows: {counts['products']:,} products,{further} {counts['rejected_rows']:,} rejected."
    )
    for reason, n in counts["rejected_by_reason"].items():
        typer.echo(f"  {n:>7,}  {reason}")
    if counts["pictures_without_a_row"]:
        typer.echo(f"  {counts['pictures_without_a_row']:>7,}  pictures without a row")
    for line in _describe_reading(catalogue.reading, keeps_splits=catalogue.split_by == BY_SOURCE):
        typer.echo(line)
    if catalogue.applied:
        typer.echo("Prepared in this order:")
    for applied in catalogue.applied:
        typer.echo(f"  {applied.preparation:>7}  {applied.describe()}")
    if catalogue.corrections:
        told = counts["corrections"]
        typer.echo(
            f"Corrections: {count(told['rows'], 'row')}, {told['matched']:,} matched and {told['unmatched']:,} not; "
            f"products changed: {told['changed_products']:,}, new ones for training: {told['new_products']:,}."
        )
    for effect, n in counts.get("corrections", {}).get("by_effect", {}).items():
        typer.echo(f"  {n:>7,}  {effect}")
    splits = ", ".join(f"{n:,} {split}" for split, n in counts["splits"].items())
    by = "name and identical picture" if catalogue.split_by == BY_GROUP else catalogue.split_by
    typer.echo(f"Split by {by} into {counts['groups']:,} groups: {splits}.")
    for attribute in catalogue.taxonomy.attributes:
        labelled = sum(attribute.name in product.labels for product in catalogue.products)
        typer.echo(f"  {len(attribute.values):>7,}  values of {attribute.name}, on {labelled:,} products")


def _describe_reading(reading: Mapping[str, Any], *, keeps_splits: bool) -> Iterator[str]:
    """How the source was read, where there was anything to choose."""
    if reading.get("form"):
        yield f"Read from {reading['table']}: {reading['form']}."
    if reading.get("split_folders"):
        advice = "" if keeps_splits else " (--keep-splits takes them)"
        yield f"The source has splits of its own: {', '.join(reading['split_folders'])}{advice}."


def _print_bundle(bundle: Bundle) -> None:
    from rich import box
    from rich.table import Table

    from vestiary.cli.output import make_console, show_name
    from vestiary.metrics import format_percent

    console = make_console()
    licence = f"licence of its data: {bundle.licence}"
    console.print(show_name(f"{bundle.name} {bundle.version}, made at {bundle.created_at}, {licence}"))
    console.print(f"fingerprint  {bundle.fingerprint}")
    size = f"{bundle.preprocess.width}×{bundle.preprocess.height} px"
    console.print(f"input        {size}, model of {len(bundle.model) / 1e6:.1f} MB")
    parity = bundle.training.get("parity")
    if parity:
        console.print(
            f"parity       {parity['max_difference']:.1e} between the trained and the exported model, "
            f"on {parity['pictures']} pictures"
            + (f"; {parity['rounding']:.1e} by weights stored as fp16" if "rounding" in parity else "")
        )
    if bundle.int8:
        console.print(f"int8         model of {len(bundle.int8.model) / 1e6:.1f} MB beside it (--precision int8)")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("attribute", no_wrap=True)
    for column in (
        "values",
        "accuracy",
        *(["in int8"] if bundle.int8 else []),
        "accepted",
        "right among accepted",
        "temperature",
        "threshold",
    ):
        table.add_column(column, justify="right")
    for attribute in bundle.taxonomy.attributes:
        own = bundle.scores.get("validation", {}).get(attribute.name, {})
        int8 = bundle.int8.scores.get("validation", {}).get(attribute.name, {}) if bundle.int8 else None
        threshold = bundle.calibration.thresholds[attribute.name]
        table.add_row(
            show_name(attribute.name),
            str(len(attribute.values)),
            format_percent(own.get("accuracy")),
            *([] if int8 is None else [format_percent(int8.get("accuracy"))]),
            format_percent(own.get("coverage")),
            format_percent(own.get("accepted_accuracy")),
            f"{bundle.calibration.temperatures[attribute.name]:.2f}",
            "always review" if threshold is None else f"{threshold:.2f}",
        )
    console.print(table)
    for line in _describe_confidence(bundle):
        console.print(line)


def _describe_confidence(bundle: Bundle) -> Iterator[str]:
    """What the confidences promise."""
    calibration = bundle.calibration
    yield (
        "Accuracy and shares on validation; thresholds are chosen there so that "
        f"{100 * calibration.target_precision:.0f} % of accepted tags are right."
    )
    for group in bundle.hierarchy.groups:
        told = f"{len(group.rows):,} combinations that the parent rules allow"
        yield f"{' and '.join([', '.join(group.names[:-1]), group.names[-1]])} are answered together: {told}."
    if not calibration.joint and bundle.taxonomy.parents:
        yield "Its parent rules are not applied to answers; vestiary calibrate makes a bundle where they are."
    if calibration.curves:
        yield calibration.describe_curves(bundle.taxonomy.names)
    if calibration.limits is not None:
        yield f"The candidates of a tag hold the true value in {100 * calibration.set_coverage:.0f} % of the cases."
    if bundle.familiarity is not None:
        yield (
            f"A picture is called unfamiliar when it is far from all {len(bundle.familiarity.means)} crowds of "
            f"training pictures; {100 * bundle.familiarity.false_alarms:g} % of the validation pictures are."
        )
    if bundle.reference is not None:
        yield (
            f"Drift is told from {bundle.reference.n:,} validation pictures; "
            f"{100 * bundle.reference.false_alarms:g} % of the reports on unchanged pictures may raise an alarm."
        )
