"""What people have said, as a table and photos that ``vestiary ingest --corrections`` takes back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from PIL import Image

from vestiary.album import Album
from vestiary.errors import UsageError
from vestiary.ledger import Ledger
from vestiary.ledger.copies import new_file
from vestiary.review.judgements import read_judged, settle
from vestiary.review.photos import find_photo
from vestiary.utf8 import make_writable

TABLE: Final = "corrections.csv"
PICTURES: Final = "pictures"
COLUMNS: Final = (
    *("image_sha256", "product_id", "picture", "attribute", "value"),
    *("previous_value", "reviewer", "at", "name", "prediction_id", "bundle"),
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """``labels`` on ``photos``, of which ``without_picture`` could not be found any more.

    ``disagreed`` tags are left out, since as many people say one thing as another.
    """

    labels: int
    corrected: int
    photos: int
    without_picture: int
    disagreed: int


def export_corrections(
    ledger: Ledger,
    out: Path,
    album: Album | None,
    *,
    since: datetime | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write ``corrections.csv``, a line for each tag that people have settled, and ``pictures/`` with their photos.

    What the model had right stands there, too: it is a label for a photo that no catalogue has. ``product_id`` is left
    empty for people to fill in, since names of photos are no ids of products. With ``overwrite`` the table is written
    anew and photos are added. Raises UsageError for a folder that holds something else.
    """
    _prepare(out, overwrite=overwrite)
    judged = read_judged(ledger, since)
    settled = [(own.photo, settle(own)) for own in judged]
    photos = dict.fromkeys(photo for photo, verdict in settled if verdict is not None)
    pictures: dict[str, str] = {}
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    corrected = labels = 0
    for photo, verdict in settled:
        record = ledger.find_prediction(verdict.prediction_id) if verdict is not None else None
        if verdict is None or record is None:
            continue
        if photo not in pictures:
            pictures[photo] = write_picture(out / PICTURES, record.image_sha256, find_photo(ledger, record, album))
            if progress is not None:
                progress(len(pictures), len(photos))
        labels += 1
        corrected += verdict.value != verdict.previous_value
        row = {name: getattr(verdict, name) for name in ("attribute", "value", "previous_value")}
        row |= {"image_sha256": record.image_sha256 or "", "product_id": "", "picture": pictures[photo]}
        row |= {
            "reviewer": make_writable(verdict.reviewer),
            "at": verdict.at.isoformat(timespec="seconds"),
            "name": make_writable(record.name),
        }
        writer.writerow(row | {"prediction_id": record.id, "bundle": record.bundle})
    with new_file(out / TABLE, overwrite=True) as part:
        part.write_text(table.getvalue(), encoding="utf-8", newline="")
    without = sum(not name for name in pictures.values())
    return Exported(labels, corrected, len(pictures), without, sum(verdict is None for _, verdict in settled))


def _prepare(out: Path, *, overwrite: bool) -> None:
    if out.is_file():
        raise UsageError(f"{out} is a file, but corrections are written to a folder; name another place.")
    held = {path.name for path in out.iterdir() if not path.name.startswith(".")} if out.is_dir() else set()
    if held - {PICTURES}:  # photos alone are what an export that was broken off has left, and it is gone on with
        if not (out / TABLE).is_file():
            raise UsageError(f"{out} holds something else than corrections; name another folder.")
        if not overwrite:
            raise UsageError(f"{out} holds corrections already; name another folder, or allow it with --overwrite.")
    out.mkdir(parents=True, exist_ok=True)


def write_picture(folder: Path, sha256: str | None, data: bytes | None) -> str:
    """Write a photo under its hash; its place from the folder above, empty for a photo that is not there."""
    if data is None or sha256 is None:
        return ""
    with Image.open(io.BytesIO(data)) as image:  # it was read before, so it is a picture; only the header is looked at
        kind = (image.format or "").lower()
    name = f"{sha256}.{ {'jpeg': 'jpg', 'mpo': 'jpg'}.get(kind, kind) }"
    folder.mkdir(exist_ok=True)
    if not (folder / name).exists():
        with new_file(folder / name, overwrite=True) as part:
            part.write_bytes(data)
    return f"{folder.name}/{name}"
