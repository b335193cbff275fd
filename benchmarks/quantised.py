"""The int8 model of a bundle against its fp32 one: size, seconds a batch, and agreement of their answers.

Medians of alternating calls in one process on one core, on pictures of a catalogue's validation split:

    python benchmarks/quantised.py BUNDLE CATALOGUE
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

from vestiary.bundle import open_bundle
from vestiary.catalogue import load_catalogue
from vestiary.predictor import Predictor
from vestiary.product import Split
from vestiary.training.quantise import read_pictures

ROUNDS = 15
BATCHES = (1, 64)
PICTURES = 512


def main() -> None:
    """Print sizes, milliseconds a picture with their ratio, and how often both models answer the same."""
    if len(sys.argv) != 3:
        sys.exit("Give a bundle with an int8 model (vestiary quantise makes one) and a catalogue.")
    bundle, catalogue = open_bundle(sys.argv[1]), load_catalogue(Path(sys.argv[2]))
    predictors = {name: Predictor(bundle, precision=name, threads=1) for name in ("fp32", "int8")}
    pixels = read_pictures(bundle, catalogue, Split.VALIDATION, PICTURES)
    sizes = {name: len(bundle.choose_model(name)) / 1e6 for name in predictors}
    print(f"size: fp32 (rival) {sizes['fp32']:.1f} MB, int8 {sizes['int8']:.1f} MB")
    for batch in BATCHES:
        seconds: dict[str, list[float]] = {name: [] for name in predictors}
        for start in range(ROUNDS + 2):
            chosen = np.roll(pixels, -start * batch, axis=0)[:batch]
            for name, predictor in predictors.items():
                started = time.perf_counter()
                predictor.logits(chosen)
                seconds[name].append((time.perf_counter() - started) / batch)
        fp32, int8 = (1000 * statistics.median(seconds[name][2:]) for name in ("fp32", "int8"))
        each = f"fp32 (rival) {fp32:.2f} ms a picture, int8 {int8:.2f} ms, {fp32 / int8:.2f} × as fast"
        print(f"batch of {batch}: {each}")
    answers = [predictor.logits(pixels) for predictor in predictors.values()]
    for attribute in bundle.taxonomy.names:
        same = np.mean(answers[0][attribute].argmax(axis=1) == answers[1][attribute].argmax(axis=1))
        print(f"{attribute}: both answer the same for {100 * same:.1f} % of {len(pixels)} pictures")


if __name__ == "__main__":
    main()
