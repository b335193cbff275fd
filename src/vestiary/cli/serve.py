"""``vestiary serve``: the API."""

from __future__ import annotations

from pathlib import Path

import typer

from vestiary.errors import require


def run(
    host: str | None = typer.Option(None, help="Address to listen on [127.0.0.1]."),
    port: int | None = typer.Option(None, min=0, max=65535, help="Port to listen on; 0 takes a free one [8000]."),
    workers: int | None = typer.Option(None, min=1, help="Processes that share the port [1]."),
    bundle: str | None = typer.Option(None, help="Bundle folder, zip or address; the default one when left out."),
    pages: bool | None = typer.Option(
        None, "--pages/--no-pages", help="Serve the pages at / [yes, where the extra 'ui' is installed]."
    ),
    settings: Path | None = typer.Option(None, help="TOML file with any of the settings of docs/settings.md."),
    share: bool = typer.Option(
        False, "--share", help="Also give it a public address, by ngrok; needs an API key and the extra 'share'."
    ),
    new_key: str | None = typer.Option(
        None, metavar="NAME", help="Print a new API key and the setting that lets it in, and serve nothing."
    ),
) -> None:
    """Serve the API; every setting can also be given as a VESTIARY_* variable."""
    for module in (
        "fastapi",
        "httptools",
        "jinja2",
        "prometheus_client",
        "pydantic_settings",
        "python_multipart",
        "uvicorn",
    ):
        require(module, extra="serve", feature="The service")
    if new_key is not None:
        _print_key(new_key)
        return
    import socket
    from contextlib import ExitStack

    from vestiary.cli.output import say
    from vestiary.web.server import describe_address
    from vestiary.web.settings import load_settings
    from vestiary.web.tunnel import load_tunnels, open_tunnel
    from vestiary.web.workers import serve

    chosen = load_settings(settings, host=host, port=port, workers=workers, bundle=bundle, pages=pages)
    ngrok = load_tunnels(chosen) if share else None

    with ExitStack() as stack:

        def tell(listener: socket.socket) -> None:
            say(f"Vestiary answers at {describe_address(listener)} (stop it with Ctrl-C).")
            if ngrok is not None:
                address = stack.enter_context(open_tunnel(ngrok, listener))
                say(f"Whoever has an API key reaches it at {address}.")

        serve(chosen, tell)


def _print_key(name: str) -> None:
    from vestiary.web.limits import make_key
    from vestiary.web.settings import load_settings

    key, digest = make_key()
    load_settings(api_keys={name: digest})
    typer.echo(f"key      {key}")
    typer.echo(f"setting  VESTIARY_API_KEYS={name}={digest}")
