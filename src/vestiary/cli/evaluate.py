"""``vestiary evaluate``: the figures of a bundle on a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vestiary.catalogue import Catalogue
    from vestiary.metrics import AttributeComparison, Comparison, Evaluation, Scores

SPLITS = ("test", "validation", "train", "all")
SHOWN_CHANGES = 5


def run(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    bundle: str | None = typer.Option(None, help="Bundle folder, zip or address; the default one when left out."),
    split: str = typer.Option("test", help=f"Which products: {', '.join(SPLITS)}."),
    precision: str = typer.Option("fp32", help="fp32, or int8 where the bundle has such a model."),
    by: str | None = typer.Option(None, help="Read the answers in the view 10-way, 65-way or colour-groups."),
    against: str | None = typer.Option(None, help="Compare with this bundle (in fp32), on the same products."),
    as_json: bool = typer.Option(False, "--json", help="Print the figures as JSON."),
) -> None:
    """Answer every product of a split and compare with its labels."""
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.output import print_json
    from vestiary.errors import UsageError
    from vestiary.metrics import compare
    from vestiary.predictor import VIEWS

    check_split(split)
    if by is not None and by not in VIEWS:
        raise UsageError(f"--by {by} is not known; choose one of: {', '.join(VIEWS)}.")
    loaded = load_catalogue(catalogue)
    evaluation = answer_split(loaded, bundle, split, by=by, precision=precision)
    if against is None:
        print_json(evaluation.to_dict()) if as_json else print_evaluation(evaluation)
        return
    comparison = compare(evaluation, answer_split(loaded, against, split, by=by))
    print_json(comparison.to_dict()) if as_json else print_comparison(comparison)


def check_split(split: str) -> None:
    """Raise UsageError when there is no such split."""
    from vestiary.errors import UsageError

    if split not in SPLITS:
        raise UsageError(f"--split {split} is not known; choose one of: {', '.join(SPLITS)}.")


def answer_split(
    catalogue: Catalogue, bundle: str | None, split: str, *, by: str | None = None, precision: str = "fp32"
) -> Evaluation:
    """The evaluation of a bundle (None: the default one) on a split, with progress on stderr."""
    from vestiary.bundle import open_bundle
    from vestiary.cli.output import progress_bar
    from vestiary.predictor import Predictor, evaluate, take_view
    from vestiary.product import Split

    predictor = Predictor(open_bundle(bundle), precision=precision)
    with progress_bar("Answering") as progress:
        evaluation = evaluate(predictor, catalogue, split=None if split == "all" else Split(split), progress=progress)
    return evaluation if by is None else take_view(by, predictor.bundle, catalogue, evaluation)


def print_evaluation(evaluation: Evaluation) -> None:
    """All figures for people, on stdout."""
    from vestiary.metrics import format_percent

    print_scores(evaluation.attributes, f"{evaluation.split} split")
    if evaluation.view is not None:
        typer.echo(
            f"View {evaluation.view}: {evaluation.n:,} products, {evaluation.left_out:,} others have no place in it. "
            "Answers are kept to its values;"
        )
        typer.echo(
            f"answers that are not, put into the view afterwards, are right in "
            f"{format_percent(evaluation.plain_accuracy)}."
        )
        return
    typer.echo(f"All labels of a product right: {format_percent(evaluation.exact_match)}.")
    for names, share in evaluation.exact_match_of.items():
        typer.echo(f"Right in {names}: {format_percent(share)}.")


def print_scores(scores: Mapping[str, Scores], title: str) -> None:
    """The figures as a table on stdout."""
    from rich import box
    from rich.table import Table

    from vestiary.cli.output import make_console, show_name
    from vestiary.metrics import format_percent

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column("attribute", no_wrap=True)
    columns = ("products", "accuracy", "95 % interval", "macro F1", "top 5", "ECE", "accepted", "right among accepted")
    for column in columns:
        table.add_column(column, justify="right")
    for name, own in scores.items():
        low, high = own.intervals.get("accuracy", (None, None))
        interval = "–" if low is None or high is None else f"{100 * low:.1f} – {100 * high:.1f}"
        shares = map(format_percent, (own.macro_f1, own.top5, own.ece, own.coverage, own.accepted_accuracy))
        table.add_row(show_name(name), f"{own.n:,}", format_percent(own.accuracy), interval, *shares)
    make_console().print(table)


def print_comparison(comparison: Comparison) -> None:
    """Two bundles side by side, and which values gained and lost."""
    from rich import box
    from rich.table import Table

    from vestiary.cli.output import make_console, show_name
    from vestiary.metrics import format_percent

    view = f", view {comparison.view}" if comparison.view else ""
    title = f"{comparison.split} split{view}: bundle {comparison.bundle[:12]} against {comparison.against[:12]}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column("attribute", no_wrap=True)
    for column in ("products", "against", "bundle", "difference", "95 % interval", "gained", "lost", "p"):
        table.add_column(column, justify="right")
    for name, own in comparison.attributes.items():
        interval = "–" if own.interval is None else f"{100 * own.interval[0]:+.1f} to {100 * own.interval[1]:+.1f}"
        shares = (format_percent(own.before), format_percent(own.after), f"{100 * own.difference:+.1f}")
        counts = (f"{own.gained:,}", f"{own.lost:,}", format_p_value(own.p_value))
        table.add_row(show_name(name), f"{own.n:,}", *shares, interval, *counts)
    make_console().print(table)
    for own in comparison.attributes.values():
        if own.values:
            _print_changes(own)


def format_p_value(p: float) -> str:
    """A p-value with three decimals, very small ones told as such."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _print_changes(own: AttributeComparison) -> None:
    typer.echo(f"\n{own.attribute}")
    for word, changes in (("gained", own.better), ("lost", own.worse)):
        if changes:
            shown = ", ".join(f"{one.value} {one.change:+d} of {one.n:,}" for one in changes[:SHOWN_CHANGES])
            more = f", and {len(changes) - SHOWN_CHANGES:,} more" if len(changes) > SHOWN_CHANGES else ""
            typer.echo(f"  {word}: {shown}{more}")
