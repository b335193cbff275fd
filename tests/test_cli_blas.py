"""The commands keep the cores for the threads that answer photos."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from vestiary.cli.main import main
sys.argv = ["vestiary", "tag", "no-such-photo.jpg"]
try:
    main()
except SystemExit as end:
    assert end.code == 2
import numpy, os
print(min(len(os.listdir("/proc/self/task")) for look in range(10_000)))  # one that has ended is listed for a moment
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="only Linux tells the threads of a process")
def test_numpy_gets_no_threads_of_its_own() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    words = [sys.executable, "-c", SCRIPT]
    one, two, own = (
        int(subprocess.run(words, env=plain | more, capture_output=True, text=True, check=True).stdout.split()[-1])
        for more in ({"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"}, {})
    )
    if one == two:
        pytest.skip("this numpy starts no threads for its products, or has one core")
    assert own == one
