"""Print the section of CHANGELOG.md for a version, or say what is not in order: python .ci/release_notes.py 1.2.3."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def read_sections(text: str) -> dict[str, str]:
    """What stands under each heading of the second level, by version ("Unreleased" among them), in their order."""
    parts = re.split(r"^## \[([^\]]+)\](.*)\n", text, flags=re.M)[1:]
    return {version: body.strip() for version, body in zip(parts[0::3], parts[2::3], strict=True)}


def read_version(text: str) -> str:
    """The version that the package has."""
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.M)
    return found[1] if found else ""


def main(version: str, root: Path = ROOT) -> int:
    """Print the notes; 1 and one sentence when the package has another version, or nothing is written about it."""
    own = read_version((root / "src" / "vestiary" / "__init__.py").read_text(encoding="utf-8"))
    notes = read_sections((root / "CHANGELOG.md").read_text(encoding="utf-8")).get(version, "")
    if own != version:
        print(f"The tag says {version} and the package {own}; make them one.", file=sys.stderr)
        return 1
    if not notes:
        print(f"CHANGELOG.md has no section for {version}; move what is under Unreleased there.", file=sys.stderr)
        return 1
    print(notes)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
