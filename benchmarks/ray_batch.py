"""Pictures per second of ``vestiary batch --engine ray`` on one machine, against the local engine in the same run.

    python benchmarks/ray_batch.py [--pictures 20000 3000] [--actors 1 2] [--rounds 3] [--intake 20000 [--url …]]

For each size of picture: the local engine with one thread and with one for each core, then Ray with each number of
``--actors``. The first ratio is Ray's overhead (one actor to one thread), the last is scaling (N actors to one). Ray is
started once, before anything is measured; of each run the time from listing the folder to the last rename counts, which
holds the start of the actors (printed apart: a run over 64 pictures). Answers of both engines must be the same, or
nothing is printed.

``--intake N`` measures the other end: how many answers a second one process writes down (parts, ledger, final files)
when they cost nothing, at N pictures: no cluster makes one job faster than that. ``--url`` is the ledger, else a new
SQLite file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from batch import draw_pictures
from serving import CORES, SIZES

from vestiary.batch import job, run_batch
from vestiary.batch.pipeline import PARCEL, Answered, Pipeline, cut
from vestiary.bundle import open_bundle
from vestiary.cluster import Cluster
from vestiary.ledger import open_ledger
from vestiary.ledger.jobs import Item

FEW = 64


def run(photos: Path, url: str | None = None, **engine: Any) -> tuple[float, list[Any]]:
    """Seconds of one batch over a folder, and its answers without their times."""
    with tempfile.TemporaryDirectory() as place, open_ledger(url or f"{place}/ledger.db") as ledger:
        start = time.perf_counter()
        run_batch(str(photos), Path(place) / "out", bundle=open_bundle(), ledger=ledger, **engine)
        seconds = time.perf_counter() - start
        lines = (Path(place) / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return seconds, [json.loads(line) | {"at": None} for line in lines]


def measure_size(size: str, n: int, actors: list[int], rounds: int) -> None:
    """Every engine at one size of picture, in turn, so many rounds; medians and ratios."""
    engines: dict[str, dict[str, Any]] = {"local 1": {"threads": 1}, f"local {CORES}": {"threads": CORES}}
    engines |= {f"ray {count}": {"cluster": Cluster(), "actors": count} for count in actors}
    with tempfile.TemporaryDirectory() as place:
        photos, few = Path(place) / "photos", Path(place) / "few"
        draw_pictures(photos, SIZES[size], n)
        draw_pictures(few, SIZES[size], FEW)
        found: dict[str, list[float]] = {name: [] for name in engines}
        expected: list[Any] = []
        for _ in range(rounds):
            for name, options in engines.items():
                seconds, answers = run(photos, **options)
                if expected and answers != expected:
                    raise RuntimeError(f"{name} does not answer as the others do")
                expected = answers
                found[name].append(n / seconds)
        start_s = run(few, cluster=Cluster(), actors=actors[0])[0]
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    for name, rates in found.items():
        print(
            f"{size:<10} {name:<8} {medians[name]:8.1f} pictures/s  ({min(rates):.1f} … {max(rates):.1f})", flush=True
        )
    first = medians[f"ray {actors[0]}"]
    print(f"{size:<10} ray {actors[0]} / local 1: {first / medians['local 1']:.2f}")
    for count in actors[1:]:
        print(f"{size:<10} ray {count} / ray {actors[0]}: {medians[f'ray {count}'] / first:.2f}")
    print(f"{size:<10} a run over {FEW} pictures: {start_s:.1f} s")


class Replay:
    """In the place of a pipeline: the answers to one parcel, again and again, for nothing."""

    def __init__(self, parcel: list[Answered]) -> None:
        self._parcel = parcel

    def answer(self, items: Iterable[Item]) -> Iterator[list[Answered]]:
        """Parcels of the same answers under the names that are asked for."""
        for asked in cut(items, PARCEL):
            yield [
                replace(known, item=item, prediction=replace(known.prediction, id=item.name))
                for known, item in zip(self._parcel, asked, strict=False)
            ]

    def close(self) -> None:
        """Nothing to end."""


def measure_intake(n: int, url: str | None) -> None:
    """Answers a second that one process writes down."""
    with tempfile.TemporaryDirectory() as place:
        photos = Path(place) / "photos"
        draw_pictures(photos, SIZES["60x80"], n)
        parcels: list[list[Answered]] = []
        real = Pipeline.answer

        def keep(self: Pipeline, items: Iterable[Item]) -> Iterator[list[Answered]]:
            for parcel in real(self, items):
                parcels.append(parcel)
                yield parcel

        with mock.patch.object(Pipeline, "answer", keep):
            draw_pictures(Path(place) / "few", SIZES["60x80"], PARCEL)
            run(Path(place) / "few")
        with mock.patch.object(job, "_open_pipeline", lambda *given: Replay(parcels[0])):
            began_s = time.process_time()
            seconds, answers = run(photos, url)
            cpu_ms = 1000 * (time.process_time() - began_s) / len(answers)
    print(f"intake     {len(answers) / seconds:8.1f} answers/s written down by one process, listing included")
    print(f"           {cpu_ms:8.2f} ms of CPU for each")


def main() -> None:
    """Measure, and print a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs=2, default=[20000, 3000], help="small and original-size ones")
    parser.add_argument("--actors", type=int, nargs="+", default=list(range(1, CORES + 1)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--intake", type=int, default=0)
    parser.add_argument("--url")
    options = parser.parse_args()
    if options.intake:
        measure_intake(options.intake, options.url)
        return
    print(f"{CORES} cores, medians of {options.rounds} rounds")
    with Cluster("local").join():
        for size, n in zip(SIZES, options.pictures, strict=True):
            if n:
                measure_size(size, n, options.actors, options.rounds)


if __name__ == "__main__":
    main()
