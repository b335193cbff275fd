"""The sizing guide says what its script computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "sizing.py"


def run_script(*options: str) -> str:
    return subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=True).stdout


def test_the_guide_has_the_table_of_the_script() -> None:
    assert run_script() in (ROOT / "docs" / "guides" / "sizing.md").read_text(encoding="utf-8")


def test_the_figures_follow_from_what_is_given() -> None:
    options = ("--pictures", "3600000", "--cores", "10", "--small", "100", "--efficiency", "0.5", "--price", "0.1")
    lines = run_script(*options, "--small-bytes", "1000", "--intake", "200", "--ledger-bytes", "1000").splitlines()
    assert lines[2] == "| small | 1 | 500 | 2.0 | 0.56 | 0.00 | 0.0 | 3 |"
    assert lines[4].startswith("| small | 4 | 2,000 | 0.5 | 0.56 |")
    assert "ledger 4 GB" in lines[-1]
