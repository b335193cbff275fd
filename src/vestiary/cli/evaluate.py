"""``vestiary evaluate``: the figures of a bundle on a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vestiary.metrics import Scores

SPLITS = ("test", "validation", "train", "all")


def run(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    bundle: Path | None = typer.Option(None, help="Bundle folder or zip; the default one when left out."),
    split: str = typer.Option("test", help=f"Which products: {', '.join(SPLITS)}."),
    precision: str = typer.Option("fp32", help="fp32, or int8 where the bundle has such a model."),
    as_json: bool = typer.Option(False, "--json", help="Print the figures as JSON."),
) -> None:
    """Answer every product of a split and compare with its labels."""
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.output import print_json, progress_bar
    from vestiary.errors import UsageError
    from vestiary.metrics import format_percent
    from vestiary.predictor import Predictor, evaluate
    from vestiary.product import Split

    if split not in SPLITS:
        raise UsageError(f"--split {split} is not known; choose one of: {', '.join(SPLITS)}.")
    loaded, predictor = load_catalogue(catalogue), Predictor(open_bundle(bundle), precision=precision)
    with progress_bar("Answering") as progress:
        evaluation = evaluate(predictor, loaded, split=None if split == "all" else Split(split), progress=progress)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        print_scores(evaluation.attributes, evaluation.split)
        typer.echo(f"All labels of a product right: {format_percent(evaluation.exact_match)}.")


def print_scores(scores: Mapping[str, Scores], split: str) -> None:
    """The figures as a table on stdout."""
    from rich import box
    from rich.table import Table

    from vestiary.cli.output import make_console
    from vestiary.metrics import format_percent

    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=f"{split} split", title_justify="left"
    )
    table.add_column("attribute", no_wrap=True)
    for column in ("products", "accuracy", "macro F1", "top 5", "ECE", "accepted", "right among accepted"):
        table.add_column(column, justify="right")
    for name, own in scores.items():
        shares = (own.accuracy, own.macro_f1, own.top5, own.ece, own.coverage, own.accepted_accuracy)
        table.add_row(name, f"{own.n:,}", *map(format_percent, shares))
    make_console().print(table)
