"""What reviewers said, as one file to take away."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from vestiary.album import Album
from vestiary.ledger import Ledger
from vestiary.reports.page import format_number
from vestiary.review import Exported, export_corrections


def pack_corrections(ledger: Ledger, album: Album | None) -> tuple[Exported, bytes]:
    """What ``export_corrections`` writes, as the bytes of a zip. Raises LedgerError."""
    with tempfile.TemporaryDirectory(prefix="vestiary-") as folder:
        out = Path(folder) / "corrections"
        exported = export_corrections(ledger, out, album)
        packed = Path(folder) / "corrections.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(own for own in out.rglob("*") if own.is_file()):
                archive.write(file, file.relative_to(out).as_posix())
        return exported, packed.read_bytes()


def tell_corrections(exported: Exported) -> str:
    """What is in the zip, and what is not, in a line."""
    told = [f"{format_number(exported.labels, 'value')} on {format_number(exported.photos, 'photo')}"]
    told.append(f"{exported.corrected:,} corrected")
    if exported.without_picture:
        told.append(f"{format_number(exported.without_picture, 'photo')} no longer there")
    if exported.disagreed:
        told.append(f"{format_number(exported.disagreed, 'value')} left out, as reviewers say different things")
    return "; ".join(told) + "."
