"""``vestiary serve``: the API."""

from __future__ import annotations

from pathlib import Path

import typer

from vestiary.errors import require


def run(
    host: str | None = typer.Option(None, help="Address to listen on [127.0.0.1]."),
    port: int | None = typer.Option(None, min=0, max=65535, help="Port to listen on; 0 takes a free one [8000]."),
    workers: int | None = typer.Option(None, min=1, help="Processes that share the port [1]."),
    bundle: Path | None = typer.Option(None, help="Bundle folder or zip; the default one when left out."),
    settings: Path | None = typer.Option(None, help="TOML file with any of the settings of docs/settings.md."),
    new_key: str | None = typer.Option(
        None, metavar="NAME", help="Print a new API key and the setting that lets it in, and serve nothing."
    ),
) -> None:
    """Serve the API; every setting can also be given as a VESTIARY_* variable."""
    for module in ("fastapi", "jinja2", "prometheus_client", "pydantic_settings", "python_multipart", "uvicorn"):
        require(module, extra="serve", feature="The service")
    if new_key is not None:
        _print_key(new_key)
        return
    import socket

    from vestiary.cli.output import say
    from vestiary.web.server import describe_address
    from vestiary.web.settings import load_settings
    from vestiary.web.workers import serve

    chosen = load_settings(settings, host=host, port=port, workers=workers, bundle=bundle)

    def tell(listener: socket.socket) -> None:
        say(f"Vestiary answers at {describe_address(listener)} (stop it with Ctrl-C).")

    serve(chosen, tell)


def _print_key(name: str) -> None:
    from vestiary.web.limits import make_key
    from vestiary.web.settings import load_settings

    key, digest = make_key()
    load_settings(api_keys={name: digest})
    typer.echo(f"key      {key}")
    typer.echo(f"setting  VESTIARY_API_KEYS={name}={digest}")
