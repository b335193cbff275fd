"""What the ledger costs the service: its throughput with the ledger on against off, in one run.

    python benchmarks/ledger.py [--rounds 10] [--seconds 6] [--connections 16] [--url postgresql://…] [--size 60x80]

Two services with the default bundle run side by side, one with a ledger (a SQLite file in a temporary folder, or an
empty one at ``--url``) and one without. Only one of them is sent requests at a time, in turns of ``--seconds``, and who
goes first changes with each round, so that whatever else the machine does falls on both. Each connection sends its
next request when it has its answer. The result is the median over the rounds of the ratio on/off, with the lowest and
highest ratio, and CPU ms of the server for each answer. At the end the services stop, and the ledger must hold exactly
as many predictions as there were answers: exit 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from load import encode_request, load_closed
from serving import SIZES, Figures, load_photo, measure, running

from vestiary.ledger import open_ledger

WARM_UP_S = 2.0


def load(place: tuple[int, int], request: bytes, connections: int, seconds: float) -> Figures:
    """One turn of one service."""
    port, pid = place
    return measure(pid, lambda: load_closed(port, request, connections, seconds))


def run_rounds(
    places: dict[str, tuple[int, int]], request: bytes, asked: argparse.Namespace
) -> tuple[list[dict[str, Figures]], int]:
    """The turns of both services round by round, and how many answers the one with a ledger gave in all."""
    answers = 0
    rounds = []
    for name, place in places.items():
        warm = load(place, request, asked.connections, WARM_UP_S)
        answers += warm.load.answered if name == "on" else 0
    for number in range(asked.rounds):
        order = ("on", "off") if number % 2 else ("off", "on")
        turns = {name: load(places[name], request, asked.connections, asked.seconds) for name in order}
        answers += turns["on"].load.answered
        rounds.append(turns)
        told = "  ".join(f"{name} {turns[name].rate:7.1f}/s" for name in ("off", "on"))
        print(f"round {number + 1:2d}  {told}  ratio {turns['on'].rate / turns['off'].rate:.3f}", flush=True)
    return rounds, answers


def main() -> int:
    """Measure, and check that nothing was lost."""
    parser = argparse.ArgumentParser(description="The service's throughput with the ledger on against off.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--size", choices=list(SIZES), default="60x80")
    parser.add_argument("--url", help="an empty ledger instead of a SQLite file")
    asked = parser.parse_args()
    request = encode_request(load_photo(SIZES[asked.size]))
    with tempfile.TemporaryDirectory() as folder:
        url = asked.url or str(Path(folder) / "ledger.db")
        with ExitStack() as stack:
            places = {
                "off": stack.enter_context(running("vestiary")),
                "on": stack.enter_context(running("vestiary", url)),
            }
            rounds, answers = run_rounds(places, request, asked)
        with open_ledger(url) as ledger:
            written = ledger.describe()["rows"]["predictions"]
    ratios = [turns["on"].rate / turns["off"].rate for turns in rounds]
    cpu = {
        name: statistics.median(1000 * turns[name].cpu_s / turns[name].load.answered for turns in rounds)
        for name in ("off", "on")
    }
    print(
        f"{asked.size}, {asked.connections} connections, {len(os.sched_getaffinity(0))} cores: "
        f"on/off {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"CPU {cpu['off']:.2f} ms an answer without, {cpu['on']:.2f} ms with"
    )
    print(f"{answers} answers, {written} predictions in the ledger")
    return 0 if answers == written else 1


if __name__ == "__main__":
    sys.exit(main())
