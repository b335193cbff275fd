"""What there is to take away: a batch as a table, a zip of photos by value, and a report."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from vestiary.batch.filing import choose_place, to_folder
from vestiary.batch.formats import FORMATS, Layout, full_layout
from vestiary.batch.formats import Row as Plain
from vestiary.bundle import Bundle
from vestiary.charts import keep_text
from vestiary.errors import UsageError
from vestiary.ledger import Job, Ledger, PredictionRecord
from vestiary.ledger.summaries import last_sign
from vestiary.pages.batch.rows import Row
from vestiary.reports.operations import Kind, build_operations_report, choose_period, render_operations_report
from vestiary.taxonomy import Taxonomy

MOST_BYTES: Final = 500_000_000
"""Bytes of photos that are packed for a browser."""
_NOT_KEPT: Final = ("note", "filed")
"""Columns of a batch's own results that the ledger does not know."""


@dataclass(frozen=True, slots=True)
class Packed:
    """How many photos went into a zip, and how many could not, since they are no longer where they were."""

    n: int
    n_missing: int


def make_table(rows: Iterable[Row], *, taxonomy: Taxonomy, form: str) -> bytes:
    """What ``write_table`` writes, as bytes."""
    with tempfile.TemporaryDirectory(prefix="vestiary-") as folder:
        file = Path(folder) / "rows"
        write_table(rows, file, taxonomy=taxonomy, form=form)
        return file.read_bytes()


def write_table(rows: Iterable[Row], file: Path, *, taxonomy: Taxonomy, form: str) -> int:
    """Write rows as "csv" or "parquet" with the columns of ``vestiary batch``, and their number.

    A value that a person gave is accepted and has no confidence; the column ``corrected`` names its attribute.
    """
    n = 0
    with FORMATS[form](file, None, _find_layout(taxonomy)) as write:
        for row in rows:
            write(row.to_wire() | {"corrected": ", ".join(sorted(row.verdicts)) or None})
            n += 1
    return n


def _find_layout(taxonomy: Taxonomy) -> Layout:
    full = full_layout(taxonomy)
    columns = {name: kind for name, kind in full.columns.items() if name not in _NOT_KEPT} | {"corrected": "text"}

    def to_row(answer: Plain) -> dict[str, Any]:
        given = {**full.to_row(answer), "corrected": answer["corrected"]}
        return {name: given[name] for name in columns if name in given}

    return Layout(columns, to_row)


def draw_report(ledger: Ledger, job: Job, *, bundle: Bundle) -> str:
    """The report of one batch as an HTML page that holds everything it shows. Raises LedgerError."""
    last = last_sign(job).astimezone().date()
    n_days = (last - job.started_at.astimezone().date()).days + 1
    period = choose_period(n_days, last=last)
    return render_operations_report(build_operations_report(ledger, Kind.BATCH, period, bundle=bundle, job=job))


def pack_photos(
    rows: Iterable[Row],
    file: Path,
    *,
    attribute: str,
    find: Callable[[PredictionRecord], bytes | None],
    most_bytes: int = MOST_BYTES,
    show: Callable[[int], None] = lambda done: None,
) -> Packed:
    """Write a zip with one folder for each value of ``attribute``, as it stands after corrections.

    ``find`` gives a photo's bytes, None where they are gone. Photos without answers are left out. Raises UsageError,
    and leaves no file, when there are more than ``most_bytes``.
    """
    taken: set[str] = set()
    n = n_missing = n_bytes = 0
    draft = file.with_name(f".{file.name}.part")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for row in rows:
                value = row.value(attribute)
                if row.answer is None or value is None:
                    continue
                data = find(row.answer)
                if data is None:
                    n_missing += 1
                    continue
                n_bytes += len(data)
                if n_bytes > most_bytes:
                    raise UsageError(
                        f"The photos have more than {most_bytes // 1_000_000:,} MB, too many for a browser; choose "
                        "fewer of them, or file them on the server with: vestiary batch … --file-by."
                    )
                wanted = keep_text(f"{to_folder(value)}/{PurePosixPath(row.name).name}")
                archive.writestr(choose_place(wanted, taken), data)
                n += 1
                show(n + n_missing)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return Packed(n, n_missing)
