"""The files that a verb writes: their places checked before the work, and told after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer


def check_places(places: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Raise UsageError when two options name one file, or a file cannot be written."""
    from vestiary.errors import UsageError
    from vestiary.reports.page import check_place

    taken: dict[Path, str] = {}
    for option, place in places.items():
        if place is None:
            continue
        if place.resolve() in taken:
            raise UsageError(
                f"{taken[place.resolve()]} and {option} both name {place}; give each file a name of its own."
            )
        taken[place.resolve()] = option
        check_place(place, overwrite=overwrite)


def write_all(content: Mapping[Path, bytes], *, tell: bool = True, as_json: bool = False) -> None:
    """Write the files, and say so on stdout."""
    from vestiary.cli.output import print_json
    from vestiary.reports.page import write_whole

    for place, data in content.items():
        write_whole(place, data)
    if as_json:
        print_json(describe_files(content))
    elif tell:
        for place, data in content.items():
            size = f"{len(data) / 1e6:.1f} MB" if len(data) >= 100_000 else f"{len(data) / 1e3:.1f} kB"
            typer.echo(f"Written to {place} ({size}).")


def describe_files(content: Mapping[Path, bytes]) -> list[dict[str, Any]]:
    """Path and size of each file, for JSON."""
    return [{"path": str(place), "bytes": len(data)} for place, data in content.items()]
