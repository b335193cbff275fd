"""``vestiary quantise``: an int8 model beside the fp32 one of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vestiary.bundle import Bundle


def run(
    bundle: str = typer.Argument(help="Bundle folder, zip or address, or the word default for the one that ships."),
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote, with training and validation products."),
    out: Path = typer.Option(help="Folder to write the bundle with both models to."),
    pictures: int = typer.Option(256, min=1, help="Training pictures on which the ranges of activations are found."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the bundle in OUT."),
    as_json: bool = typer.Option(False, "--json", help="Print the figures of the int8 model as JSON."),
) -> None:
    """Add a faster int8 model to a bundle, unless an attribute loses more than half a point (exit code 1)."""
    from vestiary.bundle import check_writable, open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.output import print_json, progress_bar
    from vestiary.errors import require

    opened, loaded = open_bundle(bundle), load_catalogue(catalogue)
    check_writable(out, overwrite=overwrite)
    for module in ("onnx", "onnxruntime.quantization"):
        require(module, extra="train", feature="Quantising")
    from vestiary.training.quantise import quantise

    with progress_bar("Quantising, measuring both models") as show:
        done = quantise(opened, loaded, pictures=pictures, progress=show).write(out, overwrite=True)
    if as_json:
        print_json({"bundle": done.fingerprint, **(done.int8.manifest() if done.int8 else {})})
    else:
        print_int8(done)
        typer.echo(f"Bundle {done.name} ({done.fingerprint[:12]}) with both models written to {out}.")


def print_int8(bundle: Bundle) -> None:
    """The figures of both models side by side, on stdout."""
    from rich import box
    from rich.table import Table

    from vestiary.cli.output import make_console, show_name
    from vestiary.metrics import format_percent

    if bundle.int8 is None:
        return
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title="validation split", title_justify="left"
    )
    table.add_column("attribute", no_wrap=True)
    for column in ("accuracy in fp32", "in int8", "accepted in int8", "right among accepted"):
        table.add_column(column, justify="right")
    for name, own in bundle.int8.scores["validation"].items():
        before = bundle.int8.training["fp32_accuracy"][name]
        shares = (before, own["accuracy"], own["coverage"], own["accepted_accuracy"])
        table.add_row(show_name(name), *map(format_percent, shares))
    make_console().print(table)
    sizes = f"{len(bundle.int8.model) / 1e6:.1f} MB beside {len(bundle.model) / 1e6:.1f} MB"
    typer.echo(f"The int8 model takes {sizes}; ask for it with --precision int8.")
