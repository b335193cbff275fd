"""The files that results are written to: JSON lines, CSV and Parquet, each row by row and onto an earlier file."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from vestiary.errors import require
from vestiary.tags import flatten, list_columns, to_cell
from vestiary.taxonomy import Taxonomy
from vestiary.utf8 import is_writable, make_writable

Row = Mapping[str, Any]
Write = Callable[[Row], None]
ROWS = 5_000
"""Rows of a Parquet row group: more are not held in memory."""


@dataclass(frozen=True)
class Layout:
    """How an answer becomes a row.

    ``columns`` are those of the row in order, with the kind of each: text, share, flag or time. JSON lines take the
    answer of a ``nested`` layout as it is.
    """

    columns: Mapping[str, str]
    to_row: Callable[[Row], Row]
    nested: bool = False


def full_layout(taxonomy: Taxonomy) -> Layout:
    """All that is known: per attribute the value, its confidence and whether it is accepted."""
    columns = dict.fromkeys(list_columns(taxonomy.names), "text") | {"unfamiliar": "flag"}
    for name in taxonomy.names:
        columns |= {f"{name}_confidence": "share", f"{name}_accepted": "flag"}
    rest = {"image_sha256": "text", "bundle": "text", "at": "time", "filed": "text"}

    def to_row(answer: Row) -> Row:
        score = (answer.get("unfamiliar") or {}).get("score")
        return flatten(answer) | {"unfamiliar_score": score} | {name: answer.get(name) for name in rest}

    return Layout(columns | {"unfamiliar_score": "share"} | rest, to_row, nested=True)


def r5_layout(taxonomy: Taxonomy) -> Layout:
    """The columns of R5's batches: filename, category, confidence, status, timestamp, error."""

    def to_row(answer: Row) -> Row:
        tag = answer.get("tags", {}).get(taxonomy.category, {})
        return {
            "filename": answer["id"],
            "category": tag.get("value"),
            "confidence": tag.get("confidence"),
            "status": "success" if tag else "failed",
            "timestamp": answer["at"],
            "error": answer["error"]["message"] if "error" in answer else None,
        }

    columns = dict.fromkeys(("filename", "category", "confidence", "status", "timestamp", "error"), "text")
    return Layout(columns | {"confidence": "share", "timestamp": "time"}, to_row)


LAYOUTS: Mapping[str, Callable[[Taxonomy], Layout]] = {"full": full_layout, "r5": r5_layout}


def dump_line(value: Row) -> str:
    """One line of JSON; a name that is no UTF-8 is written with escapes, which JSON reads back as they were."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (text if is_writable(text) else json.dumps(value, separators=(",", ":"))) + "\n"


@contextmanager
def write_lines(file: Path, earlier: Path | None, layout: Layout) -> Iterator[Write]:
    """JSON lines: the answers as they are, or the rows of a flat layout."""
    with _continue_text(file, earlier) as text:

        def write(answer: Row) -> None:
            text.write(dump_line(answer if layout.nested else layout.to_row(answer)))

        yield write


@contextmanager
def write_csv(file: Path, earlier: Path | None, layout: Layout) -> Iterator[Write]:
    r"""CSV in UTF-8; bytes of a name that are no UTF-8 are written as ``\udcXX``."""
    with _continue_text(file, earlier) as text:
        writer = csv.DictWriter(text, layout.columns, lineterminator="\n")
        if earlier is None:
            writer.writeheader()

        def write(answer: Row) -> None:
            writer.writerow({name: make_writable(to_cell(value)) for name, value in layout.to_row(answer).items()})

        yield write


@contextmanager
def write_parquet(file: Path, earlier: Path | None, layout: Layout) -> Iterator[Write]:
    """Parquet, zstd, by row groups; names as in CSV, times as timestamps."""
    parquet = require("pyarrow.parquet", extra="ui", feature="Writing Parquet")
    pyarrow = require("pyarrow", extra="ui", feature="Writing Parquet")
    kinds = {"text": pyarrow.string(), "share": pyarrow.float32(), "flag": pyarrow.bool_()}
    kinds["time"] = pyarrow.timestamp("ms", tz="UTC")
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in layout.columns.items()])
    rows: list[Row] = []

    def to_native(kind: str, value: Any) -> Any:
        if kind == "time" and value is not None:
            return datetime.fromisoformat(value)
        return make_writable(value) if isinstance(value, str) else value

    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        if earlier is not None:
            with parquet.ParquetFile(earlier) as before:
                for batch in before.iter_batches(batch_size=ROWS):
                    writer.write_batch(batch)

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def write(answer: Row) -> None:
            rows.append({name: to_native(layout.columns[name], value) for name, value in layout.to_row(answer).items()})
            if len(rows) == ROWS:
                flush()

        yield write
        if rows:
            flush()


def require_packages(out_format: str) -> None:
    """Raise MissingExtraError for a format whose packages are not installed."""
    if out_format == "parquet":
        require("pyarrow.parquet", extra="ui", feature="Writing Parquet")


FORMATS = {"jsonl": write_lines, "csv": write_csv, "parquet": write_parquet}


@contextmanager
def _continue_text(file: Path, earlier: Path | None) -> Iterator[TextIO]:
    with file.open("w", encoding="utf-8", newline="") as text:
        if earlier is not None:
            with earlier.open("r", encoding="utf-8", newline="") as before:
                shutil.copyfileobj(before, text)
        yield text


def read_lines(files: Iterable[Path]) -> Iterator[Row]:
    """The answers in files of JSON lines, one after the other."""
    for file in files:
        with file.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)
