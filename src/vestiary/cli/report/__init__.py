"""``vestiary report``: pages for people to read; one sub-command per kind of report."""

from __future__ import annotations

import typer

from vestiary.cli.report import catalogue, model, operations
from vestiary.cli.verbs import Verbs

app = typer.Typer(cls=Verbs, rich_markup_mode=None)
app.command("catalogue")(catalogue.run)
app.command("model")(model.run)
app.command("batch", help="Write what batches answered, day by day, from the ledger.")(operations.make_run("batch"))
app.command("monitoring", help="Write what batches and the service answered, day by day, from the ledger.")(
    operations.make_run("monitoring")
)


@app.callback()
def _choose_kind() -> None:
    """Write a report for people to read."""
