"""The table of docs/guides/sizing.md: machines, hours and cost for many photos, from rates and assumptions.

    python benchmarks/sizing.py [--pictures 50000000] [--cores 16] [--price 0.05] [--small 395] [--large 250] …

Every figure that goes in is an option with the value the page was made with; put yours in. Nothing is measured here:
``benchmarks/batch.py`` and ``benchmarks/ray_batch.py`` do that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Assumptions:
    """What goes in. Rates are pictures a second; sizes bytes; ``price`` is money for a core and hour."""

    pictures: int = 50_000_000
    small: float = 395.0
    large: float = 250.0
    small_bytes: int = 1_430
    large_bytes: int = 153_000
    efficiency: float = 0.8
    intake: float = 2_000.0
    cores: int = 16
    price: float = 0.05
    ledger_bytes: int = 2_800
    result_bytes: int = 2_450


MACHINES = (1, 2, 4, 8, 16)


def list_rows(given: Assumptions) -> Iterator[list[str]]:
    """The rows of the table, for small and large pictures and some numbers of machines."""
    for name, rate, size in (
        ("small", given.small, given.small_bytes),
        ("large", given.large, given.large_bytes),
    ):
        for machines in MACHINES:
            cores = machines * given.cores
            answered = rate * cores * given.efficiency
            jobs = max(1, -(-int(answered) // int(given.intake)))
            seconds = given.pictures / answered
            cost = cores * given.price * seconds / 3600 / (given.pictures / 1e6)
            network = answered * size * 8 / 1e9
            yield [
                name,
                str(machines),
                f"{answered:,.0f}",
                f"{seconds / 3600:.1f}",
                f"{cost:.2f}",
                f"{network / machines:.2f}",
                f"{network:.1f}",
                str(jobs),
            ]


def build_table(given: Assumptions) -> str:
    """The table in Markdown, and under it what is left behind."""
    head = ["photos", "machines", "photos/s", "hours", "cost a million", "Gbit/s a machine", "Gbit/s in all", "jobs"]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *list_rows(given))]
    kept = [
        f"ledger {given.pictures * given.ledger_bytes / 1e9:,.0f} GB",
        f"results {given.pictures * given.result_bytes / 1e9:,.0f} GB",
        f"photos {given.pictures * given.small_bytes / 1e12:.2f} TB (small) "
        f"or {given.pictures * given.large_bytes / 1e12:.1f} TB (large)",
    ]
    return "\n".join([*lines, "", f"For {given.pictures:,} photos: {', '.join(kept)}."])


def main() -> None:
    """Print the table for the assumptions given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for one in fields(Assumptions):
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=type(one.default), default=one.default)
    print(build_table(Assumptions(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
