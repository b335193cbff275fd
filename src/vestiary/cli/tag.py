"""``vestiary tag``: pictures in, tags out."""

from __future__ import annotations

import csv
import glob
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from vestiary.errors import UsageError, VestiaryError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from vestiary.predictor import Predictor
    from vestiary.tags import Prediction, Tag
    from vestiary.taxonomy import Taxonomy

Found = tuple[str, Path | Callable[[], bytes]]
"""What a picture is called, and where its bytes are to be had."""


def run(
    paths: list[str] = typer.Argument(help="Pictures, folders, zips or globs; - reads one picture from stdin."),
    bundle: str | None = typer.Option(None, help="Bundle folder, zip or address; the default one when left out."),
    out_format: str = typer.Option("table", "--format", help="table, json, jsonl or csv."),
    precision: str = typer.Option("fp32", help="fp32, or int8 where the bundle has such a model."),
    decide_on: str | None = typer.Option(
        None, metavar="ATTRIBUTE,…", help="A picture needs no review once these are accepted; all when left out."
    ),
    top_k: int = typer.Option(3, min=1, help="How many answers per attribute, in json and jsonl."),
) -> None:
    """Tag pictures; one that cannot be read is named on stderr (exit code 2), and all others are answered."""
    if out_format not in WRITERS:
        raise UsageError(f"--format {out_format} is not known; choose one of: {', '.join(WRITERS)}.")
    from vestiary.bundle import open_bundle
    from vestiary.cli.output import tell_failure
    from vestiary.predictor import Predictor
    from vestiary.taxonomy import split_names

    predictor = Predictor(open_bundle(bundle), precision=precision, decide_on=split_names(decide_on))
    failed = 0

    def watched() -> Iterator[Prediction]:
        nonlocal failed
        for prediction in tag_pictures(predictor, find_pictures(paths), top_k):
            if prediction.failure:
                failed += 1
                tell_failure(prediction.id, prediction.failure.message)
            yield prediction

    WRITERS[out_format](watched(), predictor.bundle.taxonomy)
    if failed:
        raise typer.Exit(2)


def find_pictures(paths: Sequence[str]) -> Iterator[Found]:
    """Every picture that the paths name, in order: files as they are, folders and zips searched, globs expanded."""
    for text in paths:
        yield from _find(text)


def _find(text: str) -> Iterator[Found]:
    from vestiary.catalogue.sources import is_address
    from vestiary.images import read_stream

    path = Path(text)
    try:
        if text == "-":
            yield text, lambda: read_stream(sys.stdin.buffer)
        elif not text:
            yield text, _failing(UsageError("The path is empty; name a picture or a folder."))
        elif is_address(text) and not path.exists():
            yield text, _failing(UsageError("This is an address; download the picture first, and name the file."))
        elif path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file()):
            yield from _search(path)
        elif not path.exists() and glob.has_magic(text):
            matches = sorted(glob.glob(text, recursive=True))
            yield from find_pictures(matches)
            if not matches:
                yield text, _failing(UsageError("Nothing matches; check the pattern."))
        else:
            yield text, path
    except OSError as error:
        yield text, _failing(UsageError(f"The path cannot be used ({error.strerror}); check it."))


def _failing(error: VestiaryError) -> Callable[[], bytes]:
    """Stands in for a picture that there is none of: reading it gives the reason."""

    def read() -> NoReturn:
        raise error

    return read


def _search(path: Path) -> Iterator[Found]:
    """The pictures in a folder or zip, by their file names."""
    from vestiary.catalogue import open_source
    from vestiary.images import SUFFIXES

    try:
        source = open_source(path)
        names = [name for name in source.names() if Path(name).suffix.lower() in SUFFIXES]
    except VestiaryError as error:
        yield str(path), _failing(error)
        return
    if not names:
        endings = ", ".join(sorted(SUFFIXES))
        yield str(path), _failing(UsageError(f"There are no pictures in it; they end in {endings}."))
    for name in names:
        yield f"{path}/{name}", partial(source.read, name)


def tag_pictures(predictor: Predictor, found: Iterable[Found], top_k: int) -> Iterator[Prediction]:
    """One prediction per picture, in order, some at a time."""
    from vestiary.predictor import BATCH

    pictures = iter(found)
    while chunk := list(islice(pictures, BATCH)):
        yield from predictor.predict([image for _, image in chunk], ids=[name for name, _ in chunk], top_k=top_k)


def _write_json(predictions: Iterable[Prediction], taxonomy: Taxonomy) -> None:
    from vestiary.cli.output import print_json

    print_json([prediction.to_dict() for prediction in predictions])


def _write_jsonl(predictions: Iterable[Prediction], taxonomy: Taxonomy) -> None:
    for prediction in predictions:
        typer.echo(json.dumps(prediction.to_dict(), ensure_ascii=False))


def _write_csv(predictions: Iterable[Prediction], taxonomy: Taxonomy) -> None:
    from vestiary.tags import flatten, list_columns, to_cell

    writer = csv.DictWriter(sys.stdout, list_columns(taxonomy.names), lineterminator="\n")
    writer.writeheader()
    for prediction in predictions:
        writer.writerow({name: to_cell(value) for name, value in flatten(prediction.to_dict()).items()})


def _write_table(predictions: Iterable[Prediction], taxonomy: Taxonomy) -> None:
    from vestiary.cli.output import make_console

    console = make_console()
    answered, failed = [], 0
    with console.status("Looking at pictures"):
        for prediction in predictions:
            if prediction.failure:
                failed += 1
            else:
                answered.append(prediction)
    if answered:
        wide = _build_wide_table(answered, taxonomy)
        fits = console.measure(wide, options=console.options.update(width=1000)).maximum <= console.width
        console.print(wide if fits else _build_long_table(answered, taxonomy))
    n_tags = sum(len(prediction.tags) for prediction in answered)
    n_accepted = sum(tag.accepted for prediction in answered for tag in prediction.tags)
    n_open = sum(tag.is_left_open for prediction in answered for tag in prediction.tags)
    pictures = "1 picture" if len(answered) == 1 else f"{len(answered):,} pictures"
    summary = f"{pictures}, {n_tags:,} tags: {n_accepted:,} accepted ✓, {n_tags - n_accepted - n_open:,} for review ?"
    summary += f", {n_open:,} left open ·" if n_open else ""
    n_unfamiliar = sum(_is_unfamiliar(prediction) for prediction in answered)
    summary += f"; {n_unfamiliar:,} unfamiliar" if n_unfamiliar else ""
    console.print(summary + (f"; {failed:,} could not be read, see above." if failed else "."))


def _build_wide_table(predictions: Sequence[Prediction], taxonomy: Taxonomy) -> Table:
    """A row per picture, a column per attribute."""
    from rich.text import Text

    from vestiary.cli.output import show_name

    table = _new_table()
    for title in taxonomy.titles.values():
        table.add_column(show_name(title))
    for prediction in predictions:
        cells = (Text.assemble(show_name(tag.value), "\n", _confidence(tag)) for tag in prediction.tags)
        table.add_row(_picture_name(prediction), *cells, end_section=True)
    return table


def _build_long_table(predictions: Sequence[Prediction], taxonomy: Taxonomy) -> Table:
    """A row per tag, for narrow screens."""
    from rich.text import Text

    from vestiary.cli.output import show_name

    table, titles = _new_table(), taxonomy.titles
    for column in ("Attribute", "Value", "Confidence"):
        table.add_column(column)
    for prediction in predictions:
        name = _picture_name(prediction)
        for tag in prediction.tags:
            end = tag is prediction.tags[-1]
            told = show_name(titles[tag.attribute]), show_name(tag.value), _confidence(tag)
            table.add_row(name, *told, end_section=end)
            name = Text()
    return table


def _new_table() -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("Picture", overflow="fold", min_width=12, max_width=36)
    return table


def _picture_name(prediction: Prediction) -> Text:
    from vestiary.cli.output import show_name

    name = show_name(Path(prediction.id).name or prediction.id)
    if _is_unfamiliar(prediction):
        name.append("\nunlike the training pictures", style="yellow")
    if prediction.note:
        name.append(f"\n{prediction.note}", style="dim")
    return name


def _is_unfamiliar(prediction: Prediction) -> bool:
    return prediction.unfamiliar is not None and prediction.unfamiliar.flag


def _confidence(tag: Tag) -> Text:
    from rich.text import Text

    mark, style = ("✓", "green") if tag.accepted else ("?", "yellow") if tag.needs_look else ("·", "dim")
    return Text(f"{100 * tag.confidence:.0f} % {mark}", style=style)


WRITERS: dict[str, Callable[[Iterable[Prediction], Taxonomy], None]] = {
    "table": _write_table,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
