"""``vestiary ui``: the pages, in the browser."""

from __future__ import annotations

from pathlib import Path

import typer

from vestiary.errors import require


def run(
    bundle: str | None = typer.Option(None, help="Bundle folder, zip or address; the default one when left out."),
    port: int | None = typer.Option(None, min=0, max=65535, help="Port to listen on; 0 takes a free one [8000]."),
    no_browser: bool = typer.Option(False, "--no-browser", help="Say the address, and open no browser."),
    settings: Path | None = typer.Option(None, help="TOML file with any of the settings of docs/settings.md."),
) -> None:
    """Open the pages in the browser: tag, batch, review, catalogue, model, monitor."""
    require("streamlit", extra="serve,ui", feature="The pages")
    for module in ("fastapi", "httptools", "prometheus_client", "pydantic_settings", "python_multipart", "uvicorn"):
        require(module, extra="serve,ui", feature="The pages")
    import socket
    import threading
    import webbrowser

    from vestiary.cli.output import say
    from vestiary.web.server import describe_address
    from vestiary.web.settings import load_settings
    from vestiary.web.workers import serve

    chosen = load_settings(settings, port=port, bundle=bundle, workers=1, pages=True)

    def tell(listener: socket.socket) -> None:
        address = describe_address(listener).replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")
        say(f"The pages are at {address} (stop them with Ctrl-C).")
        if not no_browser:
            # The socket listens already: what the browser asks is answered as soon as the service runs.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    serve(chosen, tell)
