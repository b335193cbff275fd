"""What starting the command costs, against importing ONNX Runtime alone.

CPU seconds (user + system) of whole processes, medians of alternating runs in one go:

    python benchmarks/command_line.py [PICTURE]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 9


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds of one run of ``command``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table of medians and ratios."""
    photo = Path(__file__).parents[1] / "examples" / "photos" / "red-dress.jpg"
    picture = sys.argv[1] if len(sys.argv) > 1 else str(photo)
    commands = {
        "import onnxruntime (rival)": [sys.executable, "-c", "import onnxruntime"],
        "vestiary --help": [sys.executable, "-m", "vestiary", "--help"],
        "vestiary tag PICTURE": [sys.executable, "-m", "vestiary", "tag", picture],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS + 1):  # the first round warms the file cache and is not counted
        for name, command in commands.items():
            seconds[name].append(cpu_seconds(command))
    medians = {name: statistics.median(runs[1:]) for name, runs in seconds.items()}
    rival = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name:<28} {median:6.3f} CPU s   {median / rival:5.2f} × the rival")


if __name__ == "__main__":
    main()
