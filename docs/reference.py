"""Write the pages of the documentation that are made from the program: python docs/reference.py [--check].

cli.md        every command and option, from the command line itself
settings.md   the tables only: each holds the settings that the comment above it names, from their definition
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
_TABLE = re.compile(r"<!-- settings: ([a-z_, ]+) -->\n(?:\|.*\n)*")


def render_cli() -> str:
    """The page of the command line, by Typer's own generator; its lists of commands lead to the sections."""
    import typer.main
    from typer.cli import get_docs_for_click

    from vestiary.cli.main import app

    command = typer.main.get_command(app)
    context = command.make_context("vestiary", [], resilient_parsing=True)
    text = get_docs_for_click(obj=command, ctx=context, name="vestiary")
    helps = dict(
        re.findall(r"^## `([\w -]+)`\n\n(.+)", text, re.M) + re.findall(r"^### `([\w -]+)`\n\n(.+)", text, re.M)
    )
    lines, section = [], "vestiary"
    for line in text.splitlines():
        if found := re.fullmatch(r"#+ `([\w -]+)`", line):
            section = found[1]
        if (listed := re.fullmatch(r"\* `([\w-]+)`: .*", line)) and f"{section} {listed[1]}" in helps:
            name = f"{section} {listed[1]}"
            line = f"* [`{listed[1]}`](#{name.replace(' ', '-')}): {helps[name]}"
        if "--install-completion" not in line and "--show-completion" not in line:
            lines.append(line)
    head = "# Command line\n\nMade by `docs/reference.py`. Results go to stdout, progress and errors to stderr.\n"
    body = "\n".join(lines[1:]).replace("# `vestiary`\n", "", 1)
    return f"{head}{body}".rstrip() + "\n"


def render_settings(page: str) -> str:
    """The page of the settings with its tables written anew."""
    return _TABLE.sub(lambda found: _render_table(found[0].splitlines()[0], found[1].split(", ")), page)


def list_settings(page: str) -> list[str]:
    """The names of the settings in all tables of a page, in their order."""
    return [name for names in _TABLE.findall(page) for name in names.split(", ")]


def _render_table(comment: str, names: list[str]) -> str:
    from vestiary.web.settings import PREFIX, Settings

    rows = [
        f"| `{PREFIX}{name.upper()}` | `{name}` | {_show_default(Settings.model_fields[name])} "
        f"| {Settings.model_fields[name].description} |"
        for name in names
    ]
    return "\n".join([comment, "| variable | in the file | default | what |", "|---|---|---|---|", *rows, ""])


def _show_default(field: Any) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:,}".removesuffix(".0") if value >= 10_000 else f"{value:g}"
    if value:
        return f"`{value}`"
    return str((field.json_schema_extra or {}).get("unset", "none"))


def main() -> int:
    """Write both pages; with --check write nothing, and exit 1 when one is not as it would be written."""
    settings = DOCS / "settings.md"
    pages = {DOCS / "cli.md": render_cli(), settings: render_settings(settings.read_text(encoding="utf-8"))}
    old = [page for page, text in pages.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"{page} is not what the program says; run: python docs/reference.py" for page in old))
        return 1 if old else 0
    for page in old:
        page.write_text(pages[page], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
