"""Texts that may hold what UTF-8 cannot: names of files that are plain bytes, and halves of characters."""

from __future__ import annotations


def is_writable(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def make_writable(text: str) -> str:
    """The text, with escapes for what cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
