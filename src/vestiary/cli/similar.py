"""``vestiary similar``: photos in, the products of a catalogue that look most like them out."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vestiary.errors import UsageError

if TYPE_CHECKING:
    from vestiary.similar import Similar


def run(
    photos: list[str] = typer.Argument(help="Photos, folders, zips or globs; - reads one photo from stdin."),
    index: Path = typer.Option(help="Index folder that vestiary index wrote."),
    bundle: str | None = typer.Option(
        None, help="Bundle that the index was built with; the default one when left out."
    ),
    top_k: int = typer.Option(10, min=1, help="How many products for each photo."),
    exclude_same: bool = typer.Option(
        False, "--exclude-same", help="Leave out products that have the very photo, to the last pixel."
    ),
    exclude: list[str] = typer.Option([], metavar="ID", help="Leave out the product of this id; may be repeated."),
    out_format: str = typer.Option("table", "--format", help="table, json, jsonl or csv."),
) -> None:
    """Find the products most like each photo; one that cannot be read is named on stderr (exit code 2)."""
    if out_format not in WRITERS:
        raise UsageError(f"--format {out_format} is not known; choose one of: {', '.join(WRITERS)}.")
    from vestiary.bundle import open_bundle
    from vestiary.cli.output import tell_failure
    from vestiary.cli.tag import find_pictures
    from vestiary.predictor import BATCH, Predictor
    from vestiary.similar import find_similar, open_index

    opened = open_bundle(bundle)
    entries, predictor = open_index(index, opened), Predictor(opened)
    failed = 0

    def watched() -> Iterator[Similar]:
        nonlocal failed
        found = find_pictures(photos)
        while chunk := list(islice(found, BATCH)):
            for similar in find_similar(
                entries, predictor, chunk, top_k=top_k, exclude=exclude, exclude_same=exclude_same
            ):
                if similar.failure:
                    failed += 1
                    tell_failure(similar.id, similar.failure.message)
                yield similar

    WRITERS[out_format](watched(), entries.attributes)
    if failed:
        raise typer.Exit(2)


def _write_json(found: Iterable[Similar], attributes: Sequence[str]) -> None:
    from vestiary.cli.output import print_json

    print_json([similar.to_dict() for similar in found])


def _write_jsonl(found: Iterable[Similar], attributes: Sequence[str]) -> None:
    for similar in found:
        typer.echo(json.dumps(similar.to_dict(), ensure_ascii=False))


def _write_csv(found: Iterable[Similar], attributes: Sequence[str]) -> None:
    """A row per neighbour; a photo that could not be read has one with its error."""
    from vestiary.tags import to_cell

    columns = ["id", "status", "error", "rank", "product_id", "distance", *attributes]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    for similar in found:
        if similar.failure:
            writer.writerow({"id": similar.id, "status": "error", "error": similar.failure.message})
        for rank, neighbour in enumerate(similar.neighbours, start=1):
            told = {"rank": rank, "product_id": neighbour.product_id, "distance": neighbour.distance}
            row = {"id": similar.id, "status": "success", **told, **neighbour.labels}
            writer.writerow({name: to_cell(value) for name, value in row.items()})


def _write_table(found: Iterable[Similar], attributes: Sequence[str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from vestiary.cli.output import make_console, show_name

    console = make_console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("Photo", overflow="fold", min_width=12, max_width=36)
    table.add_column("Product")
    table.add_column("Distance", justify="right")
    for attribute in attributes:
        table.add_column(show_name(attribute))
    with console.status("Looking at photos"):
        for similar in found:
            name = show_name(Path(similar.id).name or similar.id)
            for neighbour in similar.neighbours:
                cells = (show_name(neighbour.labels.get(attribute, "")) for attribute in attributes)
                is_last = neighbour is similar.neighbours[-1]
                product, distance = show_name(neighbour.product_id), f"{neighbour.distance:.3f}"
                table.add_row(name, product, distance, *cells, end_section=is_last)
                name = Text()
    if table.row_count:
        console.print(table)


WRITERS: dict[str, Callable[[Iterable[Similar], Sequence[str]], None]] = {
    "table": _write_table,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
