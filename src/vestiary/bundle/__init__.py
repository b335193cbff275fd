"""The artefact of training: opened from a folder, a zip or an address, verified, and written whole or not at all."""

from vestiary.bundle.bundle import (
    CARD,
    DEFAULT,
    FORMATS,
    INT8,
    MANIFEST,
    MODEL,
    PRECISIONS,
    Bundle,
    Int8,
    check_writable,
    locate_bundle,
    open_bundle,
)

__all__ = [
    "CARD",
    "DEFAULT",
    "FORMATS",
    "INT8",
    "MANIFEST",
    "MODEL",
    "PRECISIONS",
    "Bundle",
    "Int8",
    "check_writable",
    "locate_bundle",
    "open_bundle",
]
