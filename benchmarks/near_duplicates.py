"""Near-duplicate search against its rival, all pairs of the same hashes, in one run.

    python benchmarks/near_duplicates.py CATALOGUE [--sizes 10000 20000 40000]

Prints, for each number of pictures: seconds and comparisons of both, their ratio, and how many of the rival's pairs
were found. The pictures are those of an ingested catalogue, so the crowding is real.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from vestiary.catalogue import load_catalogue
from vestiary.checks import measure_pictures
from vestiary.checks.duplicates import MAX_DISTANCE, find_close_hashes
from vestiary.checks.measure import stack_bytes


def find_by_all_pairs(hashes: NDArray[np.uint8]) -> set[tuple[int, int]]:
    """Every pair of rows of ``uint8 [n, 32]`` that differ in at most MAX_DISTANCE bits."""
    words = hashes.view(np.uint64)
    found: set[tuple[int, int]] = set()
    for row in range(len(words) - 1):
        differing = np.bitwise_count(words[row + 1 :] ^ words[row]).sum(axis=1)
        found.update((row, row + 1 + int(other)) for other in np.flatnonzero(differing <= MAX_DISTANCE))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalogue")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 20_000, 40_000])
    options = parser.parse_args()
    facts = measure_pictures(load_catalogue(options.catalogue))
    hashes = stack_bytes([entry.look.hash for entry in facts if entry.look is not None])
    print("pictures  search s  compared     all pairs s  compared       times faster  found")
    for size in options.sizes:
        own = np.ascontiguousarray(hashes[:size])
        start = time.perf_counter()
        close = find_close_hashes(own)
        between = time.perf_counter()
        everything = find_by_all_pairs(own)
        end = time.perf_counter()
        found = len({(int(left), int(right)) for left, right in close.pairs} & everything)
        search, rival, n = between - start, end - between, len(own)
        print(
            f"{n:>8,}  {search:>8.2f}  {close.n_compared:>11,}  {rival:>11.1f}  {n * (n - 1) // 2:>13,}  "
            f"{rival / search:>12.0f}  {found:,} of {len(everything):,}"
        )


if __name__ == "__main__":
    main()
