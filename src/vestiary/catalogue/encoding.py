"""Finds out how the bytes of a text table are written, and says where they are not text at all."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import BinaryIO

from vestiary.errors import CatalogueError, UsageError

CHUNK = 1 << 20
"""Bytes looked at in one go."""

NAMES = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}

_BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"PAR1": "a Parquet file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"SQLite format 3": "a database",
}
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1a"))
_NOT_WESTERN = re.compile(rb"[\x80-\xff]{4}|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
"""Four high bytes in a row, as other scripts have, or a letter in UTF-8, which then is what was meant."""


def detect_encoding(open_stream: Callable[[], BinaryIO], where: str, wanted: str | None = None) -> str:
    """The name, for Python, of the encoding of a text file, which is read through once.

    UTF-8 and UTF-16 (with its mark) are told apart for certain; a file that is neither but looks like Western
    text is taken for Windows-1252. ``wanted`` skips the guess. Raises CatalogueError for an empty file, a binary one,
    and one that cannot be decoded, with line and column (both from 1); UsageError for an encoding nobody knows.
    """
    with open_stream() as stream:
        head = stream.read(1 << 16)
    if not head:
        raise CatalogueError(f"{where} is empty (0 bytes); export it again.")
    _refuse_binary(head, where, named=wanted is not None)
    if wanted is not None:
        try:
            "".encode(wanted)  # refuses what is no encoding of text, such as base64
        except (LookupError, UnicodeError) as error:
            raise UsageError(f"--encoding {wanted} is not known; write utf-8, cp1252 or shift_jis, say.") from error
        name = codecs.lookup(wanted).name
        base = name.removesuffix("-le").removesuffix("-be")
        has_mark = base in _MARKS and head.startswith(_MARKS[base])
        if name in _MARKS and not has_mark:
            other = f"--encoding {name}-le, or -be, instead"
            raise UsageError(f"{where} does not begin with the mark of {wanted}; write {other}.")
        candidates = [base if has_mark else name]  # else the mark would be a letter of the first column
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    else:
        candidates = ["utf-8-sig", "cp1252"]
    faults = []
    for encoding in candidates:
        fault = _find_fault(open_stream, encoding)
        if fault is None:
            return "utf-8-sig" if encoding == "utf-8" else encoding
        if fault[0] == "NUL":
            raise CatalogueError(f"{where} line {fault[1]} column {fault[2]} is a NUL byte; save the table as UTF-8.")
        faults.append(fault)
    byte, line, column = faults[0]
    read = " nor ".join(NAMES.get(encoding, encoding) for encoding in candidates)
    raise CatalogueError(
        f"{where} is {'neither' if len(candidates) > 1 else 'not'} {read}: line {line} column {column} has the byte "
        f"{byte}; save it as UTF-8, or name its encoding with --encoding."
    )


def _refuse_binary(head: bytes, where: str, *, named: bool) -> None:
    kind = next((kind for mark, kind in _BINARY.items() if head.startswith(mark)), None)
    if kind is None and not named and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        start = head[:4096]
        n_controls = len(start) - len(start.translate(None, _CONTROLS))
        kind = "a binary file" if n_controls > max(2, len(start) // 20) else None
    if kind:
        other = ", or name its --encoding" if kind == "a binary file" else ""  # UTF-16 without its mark looks so
        words = f"{where} is {kind}, not a table in text; name the table itself, or export it as CSV{other}."
        raise CatalogueError(words)


def _find_fault(open_stream: Callable[[], BinaryIO], encoding: str) -> tuple[str, int, int] | None:
    """The first byte that cannot be text ("NUL" or its number) with line and column, or None."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, column = 1, 1
    with open_stream() as stream:
        while True:
            chunk = stream.read(CHUNK)
            fault = None
            try:
                text = decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                text = error.object[: error.start].decode(encoding, "replace")
                fault = f"0x{error.object[error.start]:02x}"
            run = _NOT_WESTERN.search(chunk) if encoding == "cp1252" else None
            if run and run.start() < len(text):
                text, fault = text[: run.start()], f"0x{chunk[run.start()]:02x}"
            if "\0" in text:
                text, fault = text[: text.index("\0")], "NUL"
            breaks = text.count("\n")
            line += breaks
            column = len(text) - text.rindex("\n") if breaks else column + len(text)
            if fault or not chunk:
                return (fault, line, column) if fault else None
