"""Letting go of the photos and files of batches that ended long ago."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from vestiary.batch.claim import is_held
from vestiary.ledger import Ledger, now
from vestiary.ledger.jobs import find_job
from vestiary.ledger.summaries import last_sign
from vestiary.pages.batch.jobs import ASKED, BATCHES, DRAFT, discard, read_asked

DRAFTS_KEPT: Final = timedelta(days=1)
"""How long a batch may take to arrive; what is older was left by a service that was killed meanwhile."""


def remove_old_batches(place: Path, ledger: Ledger, keep: timedelta | None) -> int:
    """Delete the folders of batches that gave no sign of life for ``keep`` (None: leave them); how many they were.

    ``place`` is the folder of the jobs. What was answered stays in the ledger, a batch that is at work stays as it is,
    and so does what is no batch. Raises LedgerError, and OSError for what cannot be deleted.
    """
    removed = 0
    for folder in (place / BATCHES).iterdir() if (place / BATCHES).is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # it arrived, or was removed, meanwhile
            if _is_old(folder, ledger, keep) and not is_held(folder / "out"):
                discard(folder)
                removed += 1
    return removed


def _is_old(folder: Path, ledger: Ledger, keep: timedelta | None) -> bool:
    if folder.name.startswith(DRAFT):
        return now() - datetime.fromtimestamp(folder.stat().st_mtime, UTC) > DRAFTS_KEPT
    return keep is not None and now() - _find_last_sign(folder, ledger) > keep


def _find_last_sign(folder: Path, ledger: Ledger) -> datetime:
    """When the batch was last heard of: by the ledger, else when it was asked for; now for what is no batch."""
    job = find_job(ledger, folder.name)
    if job is not None and (folder / ASKED).is_file():
        return last_sign(job)
    try:
        return datetime.fromisoformat(read_asked(folder)["at"]).astimezone(UTC)
    except (OSError, ValueError, LookupError, TypeError):
        return now()
