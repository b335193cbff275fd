"""What training waits for its pictures: our cache against two rivals, same network, same machine, one run.

    python benchmarks/training_input.py CATALOGUE [--recipe default] [--pictures 8192] [--rounds 3]

Rival (a) is a DataLoader whose workers decode the JPEGs with Pillow in every epoch, rival (b) has all pixels as one
tensor in memory. Each variant runs in a process of its own, in turns; the time for decoding the cache, which is paid
once, is not counted. Prints pictures a second, both ratios, and the peak memory of each process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vestiary.catalogue import Catalogue, load_catalogue
from vestiary.product import Product, Split
from vestiary.training.augment import augment, draw_changes
from vestiary.training.batches import resize
from vestiary.training.dataset import Pictures, Samples, open_samples
from vestiary.training.losses import AttributeLoss, Targets
from vestiary.training.model import Classifier, to_pixels
from vestiary.training.recipe import Phase, Recipe, load_recipe
from vestiary.training.schedule import make_optimiser

VARIANTS = {"ours": "our cache", "memory": "(b) tensors in memory", "jpeg": "(a) DataLoader, JPEGs"}


class Photos(Dataset[tuple[Tensor, Tensor]]):
    """Rival (a): each picture is read and decoded whenever it is wanted."""

    def __init__(self, catalogue: Catalogue, samples: Samples, recipe: Recipe) -> None:
        self.catalogue, self.recipe = catalogue, recipe
        self.views = [(product, view) for product in catalogue.products for view in range(len(product.images))]
        self.rows, self.labels = samples.rows[Split.TRAIN], torch.from_numpy(samples.labels)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if not hasattr(self, "source"):  # each worker opens the source for itself
            self.source = self.catalogue.open_source()
        row = int(self.rows[number])
        product, view = self.views[row]
        return torch.from_numpy(self.decode(product, view)), self.labels[row]

    def decode(self, product: Product, view: int) -> NDArray[np.uint8]:
        """``uint8 [height, width, 3]``."""
        with Image.open(io.BytesIO(self.source.read(product.images[view]))) as picture:
            sized = picture.convert("RGB").resize((self.recipe.width, self.recipe.height), Image.Resampling.BILINEAR)
        return np.array(sized)


def open_batches(
    variant: str, catalogue: Catalogue, samples: Samples, recipe: Recipe
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch of ``uint8 [n, height, width, 3]`` pictures and their labels, shuffled."""
    rows, labels = samples.rows[Split.TRAIN], torch.from_numpy(samples.labels)
    if variant == "jpeg":
        workers = os.cpu_count() or 1
        yield from DataLoader(Photos(catalogue, samples, recipe), recipe.batch_size, shuffle=True, num_workers=workers)
        return
    pixels = torch.from_numpy(samples.pixels[rows]) if variant == "memory" else None
    pictures = Pictures(samples, torch.device("cpu"), resident=False)
    order = np.random.default_rng(0).permutation(len(rows))
    yield torch.empty(0), torch.empty(0)  # what is above is done once, before the clock runs
    for start in range(0, len(order), recipe.batch_size):
        chosen = np.sort(order[start : start + recipe.batch_size])
        picked = pictures.pixels(rows[chosen]) if pixels is None else pixels[torch.from_numpy(chosen)]
        yield picked, labels[torch.from_numpy(rows[chosen])]


def measure(variant: str, options: argparse.Namespace) -> dict[str, float]:
    """Train one epoch; pictures a second and the peak memory in MiB."""
    recipe = load_recipe(options.recipe)
    recipe = replace(recipe, phases=(Phase(1, recipe.height, recipe.width),))
    catalogue = load_catalogue(options.catalogue)
    whole = open_samples(catalogue, recipe.preprocess, options.cache or options.catalogue / "cache")
    train = whole.rows[Split.TRAIN]
    kept = np.sort(np.random.default_rng(1).permutation(train)[: options.pictures])
    samples = replace(whole, rows=whole.rows | {Split.TRAIN: kept})
    model = Classifier(recipe, catalogue.taxonomy).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = AttributeLoss(recipe, catalogue.taxonomy, samples.labels[kept])
    optimiser = make_optimiser(model, loss.parameters(), recipe)
    generator = torch.Generator().manual_seed(0)
    seen, started = 0, time.perf_counter()
    for images, labels in open_batches(variant, catalogue, samples, recipe):
        if not len(images):
            started = time.perf_counter()
            continue
        pixels = resize(to_pixels(images), recipe.phases[0])
        pixels = augment(pixels, recipe, draw_changes(len(pixels), recipe, generator))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = model(pixels.contiguous(memory_format=torch.channels_last))
        targets = Targets(labels)
        optimiser.zero_grad()
        loss(logits, targets, targets.count()).backward()
        optimiser.step()
        seen += len(images)
    return {"rate": seen / (time.perf_counter() - started), "peak": read_peak()}


def read_peak() -> float:
    """The largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print a line for each variant, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--pictures", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="Folder of decoded pictures; the catalogue's own by default.")
    parser.add_argument("--variant", choices=list(VARIANTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(measure(options.variant, options)))
        return
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    peaks: dict[str, float] = dict.fromkeys(VARIANTS, 0.0)
    for _ in range(options.rounds):
        for name in VARIANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--variant", name]
            done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rates[name].append(done["rate"])
            peaks[name] = max(peaks[name], done["peak"])
    medians = {name: statistics.median(own) for name, own in rates.items()}
    for name, title in VARIANTS.items():
        workers = f", and its {os.cpu_count()} workers" if name == "jpeg" else ""
        print(f"{title:<24} {medians[name]:8.0f} pictures/s   peak {peaks[name]:6.0f} MiB{workers}")
    print(f"ours is {medians['ours'] / medians['memory']:.3f} × (b), {medians['ours'] / medians['jpeg']:.2f} × (a)")


if __name__ == "__main__":
    main()
