"""``vestiary tag``: pictures in, tags out."""

from __future__ import annotations

import typer


def run() -> None:
    """Tag pictures."""
