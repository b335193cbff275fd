"""``vestiary health``: is everything as it should be?"""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import typer


def run(
    url: str | None = typer.Option(None, metavar="URL", help="Address of the service, as http://127.0.0.1:8000."),
    max_age: str = typer.Option(
        "26h", metavar="TIME", help="How old the last batch that ended well may be: 90m, 26h, 3d."
    ),
    max_failure_rate: float = typer.Option(
        0.1, min=0, max=1, help="Share of the pictures of the last 24 hours that may have failed."
    ),
    disk: list[Path] = typer.Option([], help="Folder with room to check; repeat it. The ledger's is looked at anyway."),
    min_free: float = typer.Option(1.0, min=0, metavar="GB", help="Gigabytes that must be free there."),
    ledger: str | None = typer.Option(
        None, metavar="PLACE", help="File or URL of the ledger; that of VESTIARY_LEDGER_URL, or the user's own."
    ),
    bundle: str | None = typer.Option(None, help="Bundle whose drift is judged; the default one when left out."),
    skip: list[str] = typer.Option(
        [], metavar="CHECK", help="Leave a check out; repeat it: service, ledger, batch, failures, disk, drift."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the checks as JSON."),
) -> None:
    """Check service, ledger, last batch, failures, disk and drift; exit 1 when one fails."""
    from vestiary.bundle import open_bundle
    from vestiary.cli.durations import parse_duration
    from vestiary.cli.output import print_json
    from vestiary.errors import UsageError
    from vestiary.health import NAMES, Bars, State, check_all
    from vestiary.ledger import open_ledger
    from vestiary.notices import is_web_address

    if unknown := [name for name in skip if name not in NAMES]:
        raise UsageError(f"There is no check called {unknown[0]!r}; --skip takes {', '.join(NAMES)}.")
    if url is not None and not is_web_address(url):
        raise UsageError(f"--url {url!r} is no address; write it as http://127.0.0.1:8000.")
    if not isfinite(min_free):
        raise UsageError(f"--min-free is {min_free}, which is no number of gigabytes; write it like 1 or 0.5.")
    bars = Bars(parse_duration(max_age, "--max-age"), max_failure_rate, min_free=round(min_free * 1e9))
    checks = check_all(
        lambda: open_ledger(ledger),
        bundle=lambda: open_bundle(bundle),
        url=url,
        disks=tuple(disk),
        bars=bars,
        skip=frozenset(skip),
    )
    healthy = all(check.state is not State.FAILED for check in checks)
    if as_json:
        print_json({"healthy": healthy, "checks": [check.to_dict() for check in checks]})
    else:
        for check in checks:
            typer.echo(f"{check.state:<11}  {check.name:<8}  {check.line}")
    if not healthy:
        raise typer.Exit(1)
