"""``vestiary inspect``: what a bundle or a catalogue is."""

from __future__ import annotations

from pathlib import Path

import typer


def run(
    path: Path | None = typer.Argument(None, help="Bundle or catalogue; the default bundle when left out."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Tell what a bundle or a catalogue holds."""
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.output import print_json

    if path is not None and (path / "catalogue.json").is_file():
        catalogue = load_catalogue(path)
        print_json({"source": str(catalogue.source), "fingerprint": catalogue.fingerprint, "counts": catalogue.counts})
    else:
        bundle = open_bundle(path)
        print_json(bundle.manifest() | {"fingerprint": bundle.fingerprint})
