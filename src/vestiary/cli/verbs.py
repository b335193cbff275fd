"""A group of verbs: the program itself, and verbs that have verbs of their own."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class Verbs(TyperGroup):
    """A group that shows its help when no verb is given (exit code 2), and tells of each verb in a whole sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Click, but for no words at all."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs with the first paragraph of their help, which Click would cut off at the end of a line."""
        rows = [(name, " ".join((verb.help or "").split("\n\n")[0].split())) for name, verb in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
