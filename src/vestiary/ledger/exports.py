"""The ledger as Parquet files, for analysis elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sqlalchemy import Connection, Table, Text, select

from vestiary.errors import UsageError, require
from vestiary.ledger.copies import new_file
from vestiary.ledger.ledger import BLOCK, Ledger
from vestiary.ledger.schema import AnyText, Json, escape, metadata

_ARROW: Final = {
    "AnyText": "string",
    "Boolean": "bool",
    "Float": "double",
    "Integer": "int64",
    "Json": "string",
    "LargeBinary": "binary",
    "Text": "string",
}
"""Arrow's types of the columns' types; times are apart."""


def export(ledger: Ledger, folder: Path, *, overwrite: bool = False) -> dict[str, int]:
    r"""Write each table to ``<table>.parquet`` in ``folder``, all of one moment; returns the number of rows of each.

    ``predictions.parquet`` has the tags as a list of (attribute, value, confidence, accepted, runners_up, decides);
    text stands as it is stored, with ``\uXXXX`` for what is no Unicode. Needs the extra ``ui``. Raises UsageError when
    a file is there already, unless ``overwrite``.
    """
    arrow = require("pyarrow", extra="ui", feature="The export to Parquet")
    require("pyarrow.parquet", extra="ui", feature="The export to Parquet")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{folder} is a file, but the export needs a folder; name another place.") from None
    paths = {table: folder / f"{table.name}.parquet" for table in metadata.sorted_tables}
    taken = [path.name for path in paths.values() if path.exists()]
    if taken and not overwrite:
        raise UsageError(f"{folder} holds {taken[0]} already; name another folder, or allow it with --overwrite.")
    rows = {}
    with ledger.reading() as connection:
        for table, path in paths.items():
            with new_file(path, overwrite=overwrite) as part:
                rows[table.name] = _write_table(arrow, connection, table, part)
    return rows


def _write_table(arrow: ModuleType, connection: Connection, table: Table, path: Path) -> int:
    fields, makers = [], {}
    for column in table.columns:
        fields.append(arrow.field(column.name, _find_type(arrow, column.name, type(column.type).__name__)))
        makers[column.name] = _find_maker(column.name, column.type)
    form = arrow.schema(fields)
    n = 0
    with arrow.parquet.ParquetWriter(path, form, compression="zstd") as writer:
        result = connection.execution_options(yield_per=BLOCK).execute(select(table))
        for block in result.partitions():
            rows = [{name: make(row._mapping[name]) for name, make in makers.items()} for row in block]
            writer.write_batch(arrow.RecordBatch.from_pylist(rows, schema=form))
            n += len(rows)
    return n


def _find_type(arrow: ModuleType, name: str, kind: str) -> Any:
    if name == "tags":
        ranked = arrow.struct({"value": arrow.string(), "confidence": arrow.float64()})
        tag = {"attribute": arrow.string(), "value": arrow.string(), "confidence": arrow.float64()}
        tag |= {"accepted": arrow.bool_(), "runners_up": arrow.list_(ranked), "decides": arrow.bool_()}
        return arrow.list_(arrow.struct(tag))
    return arrow.timestamp("us", tz="UTC") if kind == "UtcTime" else arrow.type_for_alias(_ARROW[kind])


def _find_maker(name: str, kind: object) -> Callable[[Any], Any]:
    """From a value in Python to what Arrow takes."""
    if name == "tags":
        return _list_tags
    if isinstance(kind, Json):
        return lambda value: None if value is None else json.dumps(value)
    if isinstance(kind, (AnyText, Text)):
        return lambda text: None if text is None else escape(text)
    return lambda value: value


def _list_tags(tags: Any) -> list[dict[str, Any]]:
    return [
        {
            "attribute": escape(name),
            "value": escape(tag["value"]),
            "confidence": tag["confidence"],
            "accepted": tag["accepted"],
            "runners_up": [{"value": escape(value), "confidence": score} for value, score in tag["runners_up"]],
            "decides": tag.get("decides", True),
        }
        for name, tag in tags.items()
    ]
