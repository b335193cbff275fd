"""The commands that answer photos keep the cores for the threads that do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("streamlit", reason="the extra 'ui' is not installed")

SCRIPT = """
import sys
from vestiary.cli.main import main
sys.argv = ["vestiary", *{words!r}]
try:
    main()
except SystemExit as end:
    assert end.code, "these words are wrong use, and end before anything is served"
import numpy, os
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="only Linux tells the threads of a process")
@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--settings", "none.toml"],
        ["ui", "--settings", "none.toml"],
        ["batch", "x", "--out", "y", "--ledger", "none"],
    ],
)
def test_numpy_gets_no_threads_of_its_own_where_photos_are_answered(words: list[str]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(words=words)], env=clean, capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) == 1
