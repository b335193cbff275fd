"""What an index is on disk: a folder of three files.

    index.json               format, bundle, catalogue, where the pictures are, SHA-256 of the two files below
    products-<sha256>.json   product ids, their labels, and the name and pixel hash of each picture
    vectors-<sha256>.usearch where each picture is (``locate``): an HNSW graph (Malkov and Yashunin 2018), float16

The last two are named by what is in them, and ``index.json`` is replaced last, in one step: an index is the old one or
the new one, never half of each. Nothing in it runs code when it is opened.

When to raise FORMAT: a reader of the old number would misread an index of the new one, or ``locate`` puts a picture
somewhere else. There is no reading of older numbers: an index is quickly built again.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from vestiary.errors import UsageError, require

FORMAT: Final = 1
HEAD: Final = "index.json"

_NAMES: Final = re.compile(r"index\.json|products-[0-9a-f]{16}\.json|vectors-[0-9a-f]{16}\.usearch")


def require_usearch() -> Any:
    """The search library. MissingExtraError when it is not installed.

    ONNX Runtime is loaded before it: the other way round the process dies of a segmentation fault while ONNX Runtime
    loads (seen with usearch 2.26 and onnxruntime 1.31 on Linux).
    """
    import onnxruntime  # noqa: F401

    return require("usearch.index", extra="similar", feature="Looking for similar products")


def check_place(folder: Path, *, overwrite: bool) -> None:
    """Raise UsageError when an index may not be written to ``folder``: only an index is ever replaced."""
    if not folder.exists():
        return
    if not folder.is_dir() or any(_NAMES.fullmatch(file.name) is None for file in folder.iterdir()):
        raise UsageError(f"{folder} exists and is no index; choose another place.")
    if any(folder.iterdir()) and not overwrite:
        raise UsageError(f"{folder} already holds an index; choose another place or add --overwrite.")


def name_file(what: str, digest: str) -> str:
    """The name of the file of ``what`` ("products" or "vectors") with this SHA-256 (hex)."""
    return f"{what}-{digest[:16]}.{'json' if what == 'products' else 'usearch'}"


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
