"""Whether a new bundle may take the place of an old one, and how it does."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from vestiary.bundle import Bundle, open_bundle
from vestiary.bundle.bundle import swap_folders
from vestiary.errors import BundleDamagedError, UsageError
from vestiary.metrics import Comparison

_HERE: Final = -100
"""AT_FDCWD of <fcntl.h>: paths are as they are."""
_EXCHANGE: Final = 2
"""RENAME_EXCHANGE of renameat2(2)."""


def find_objections(
    comparison: Comparison, new: Bundle, old: Bundle, *, int8: Comparison | None = None
) -> tuple[str, ...]:
    """Why ``new`` may not take the place of ``old``, in sentences; none when it may.

    It may when it answers all that the old one does, in the same precisions; when it is worse in no attribute beyond
    chance (the whole 95 % interval of the difference, drawn by groups of products, lies below zero); and when it is
    better on the whole: the mean of the differences of all attributes is above zero. ``int8`` compares their int8
    models, where both have one; there it must not be worse either.
    """
    found = [
        f"it does not answer {name}, which the old bundle does"
        for name in old.taxonomy.names
        if name not in new.taxonomy.names
    ]
    if old.int8 is not None and new.int8 is None:
        found.append("it has no int8 model, which the old bundle has; add one with vestiary quantise")
    for compared, where in ((comparison, ""), (int8, " in int8")):
        found += [
            f"{name} is worse by {-100 * own.difference:.1f} points{where}, which is more than chance"
            for name, own in (compared.attributes.items() if compared is not None else ())
            if own.interval is not None and own.interval[1] < 0
        ]
    mean = sum(own.difference for own in comparison.attributes.values()) / max(1, len(comparison.attributes))
    if mean <= 0:
        found.append(f"it is not better on the whole: {100 * mean:+.2f} points over all attributes")
    return tuple(found)


def replace_bundle(folder: Path, new: Bundle) -> Path:
    """Put ``new`` in the place of the bundle in ``folder``, and tell where that one is kept: beside it, by fingerprint.

    The new one is written and opened again before anything is moved. On Linux the two change places in one step, so
    that whoever opens the folder meanwhile finds the one or the other; elsewhere there is a moment without any. Raises
    UsageError and BundleError as ``open_bundle`` does, OSError for a disk that takes no more; the folder is then as it
    was. So it is when what has the name of the kept one is another bundle, or damaged.
    """
    folder = folder.resolve()
    old = open_bundle(folder)
    kept = folder.with_name(f"{folder.name}.{old.fingerprint[:12]}")
    if kept.exists() and open_bundle(kept).fingerprint != old.fingerprint:
        raise UsageError(f"{kept} holds another bundle than the one to be kept there; move it away.")
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        written = new.write(staging / "bundle")
        if open_bundle(staging / "bundle").fingerprint != new.fingerprint:
            raise BundleDamagedError(
                f"Bundle {new.name} would be {written.fingerprint[:12]} in its new place, not {new.fingerprint[:12]}; "
                "make it again with this version."
            )
        _exchange(staging / "bundle", folder)
        if not kept.exists():
            _keep_or_undo(staging / "bundle", kept, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return kept


def _keep_or_undo(old: Path, kept: Path, folder: Path) -> None:
    """Name the old bundle as it is to be kept; when that fails, it is the one in ``folder`` again."""
    try:
        os.replace(old, kept)
    except OSError:
        _exchange(old, folder)
        raise


def _exchange(one: Path, other: Path) -> None:
    """Two folders of one disk change places."""
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
            return  # not where the file system cannot do it
    aside = one.with_name("aside")
    swap_folders(one, other, aside=aside)
    os.replace(aside, one)
