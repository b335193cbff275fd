"""How often a drift report alarms where nothing has changed and where something has, against fixed limits of PSI.

Windows are drawn from pictures of the test split, as they are and changed, and compared with the bundle's reference.
The rival is the rule of thumb that any attribute's PSI over 0.25 is a change, whatever the number of pictures:

    python benchmarks/drift.py CATALOGUE [BUNDLE] [ZIP of other photos]
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from vestiary.bundle import open_bundle
from vestiary.catalogue import Catalogue, load_catalogue
from vestiary.drift import Reference, Sighting, Window, compare_window
from vestiary.images import SUFFIXES
from vestiary.predictor import Predictor
from vestiary.product import Split

SIZES = (100, 200, 500, 1000)
PICTURES = 2000
CHANGED = 500
WINDOWS = 200
RULE_OF_THUMB = 0.25

Sample = tuple[Sequence[Sighting], NDArray[np.float64] | None]
"""Pictures, and how likely each is to be drawn (None: all alike, and none twice)."""


def read_products(catalogue: Catalogue, n: int) -> list[Callable[[], bytes]]:
    """So many pictures of the test split, by chance."""
    source, products = catalogue.open_source(), catalogue.select(Split.TEST)
    chosen = np.random.default_rng(0).permutation(len(products))[:n]
    return [partial(source.read, products[index].images[0]) for index in chosen]


def read_zip(path: Path, n: int) -> list[Callable[[], bytes]]:
    """So many pictures of a zip, by chance."""
    archive = zipfile.ZipFile(path)
    names = sorted(name for name in archive.namelist() if Path(name).suffix.lower() in SUFFIXES)
    return [partial(archive.read, names[index]) for index in np.random.default_rng(0).permutation(len(names))[:n]]


def darken(read: Callable[[], bytes], share: float) -> bytes:
    """A picture with ``share`` of its light."""
    buffer = io.BytesIO()
    ImageEnhance.Brightness(Image.open(io.BytesIO(read())).convert("RGB")).enhance(share).save(buffer, "PNG")
    return buffer.getvalue()


def look(predictor: Predictor, pictures: Sequence[Callable[[], bytes]]) -> list[Sighting]:
    """What drift sees of pictures."""
    return [Sighting.from_prediction(one) for one in predictor.predict(pictures) if one.failure is None]


def swap_shares(sightings: Sequence[Sighting], attribute: str) -> NDArray[np.float64]:
    """Weights under which the most frequent answers come as seldom as the rarest ones, and the other way round."""
    values = [sighting.answers[attribute][0] for sighting in sightings]
    ranked = Counter(values).most_common()
    wanted = {value: n for (value, _), (_, n) in zip(ranked, reversed(ranked), strict=True)}
    counts = dict(ranked)
    weights = np.array([wanted[value] / counts[value] for value in values])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def collect_samples(predictor: Predictor, catalogue: Catalogue, others: Path | None) -> dict[str, Sample]:
    """Pictures as they are, and with each change."""
    reads = read_products(catalogue, PICTURES)
    usual = look(predictor, reads)
    attributes = predictor.bundle.taxonomy.names
    swapped = swap_shares(usual, "masterCategory" if "masterCategory" in attributes else attributes[0])
    samples: dict[str, Sample] = {
        "unchanged": (usual, None),
        "a tenth as after a swap": (usual, 0.9 / len(usual) + 0.1 * swapped),
        "categories swapped": (usual, swapped),
    }
    for percent in (10, 30):
        dark = [partial(darken, read, 1 - percent / 100) for read in reads[:CHANGED]]
        samples[f"darkened by {percent} %"] = (look(predictor, dark), None)
    if others is not None:
        wild = look(predictor, read_zip(others, CHANGED))
        mixed = np.repeat([0.95 / len(usual), 0.05 / len(wild)], [len(usual), len(wild)])
        samples["one in twenty other photos"] = ([*usual, *wild], mixed)
        samples["other photos"] = (wild, None)
    return samples


def measure_alarms(reference: Reference, sample: Sample, n: int) -> tuple[float, float]:
    """The shares of windows of ``n`` pictures in which we alarm, and in which the rule of thumb does."""
    sightings, weights = sample
    rows, random = reference.layout.encode(sightings), np.random.default_rng(1)
    ours = rule = 0
    for _ in range(WINDOWS):
        drawn = random.choice(len(rows), n, p=weights, replace=weights is not None)
        report = compare_window(reference, Window(n, rows[drawn].sum(axis=0), n))
        ours += report.alarm
        rule += any(own.name == "psi" and (own.distance or 0) > RULE_OF_THUMB for own in report.figures)
    return ours / WINDOWS, rule / WINDOWS


def measure_all(reference: Reference, samples: Mapping[str, Sample]) -> dict[tuple[str, int], tuple[float, float]]:
    """``measure_alarms`` of every sample and size of window that it has pictures for."""
    return {
        (name, n): measure_alarms(reference, sample, n)
        for name, sample in samples.items()
        for n in SIZES
        if n <= len(sample[0])
    }


def main() -> None:
    """Print a table."""
    bundle = open_bundle(sys.argv[2] if len(sys.argv) > 2 else None)
    if bundle.reference is None:
        sys.exit(f"The bundle {bundle.name} has no reference; vestiary calibrate makes a bundle with one.")
    others = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    samples = collect_samples(Predictor(bundle), load_catalogue(Path(sys.argv[1])), others)
    found = measure_all(bundle.reference, samples)
    print(f"{'windows with an alarm: ours / PSI over 0.25':<44}" + "".join(f"{n:>16,}" for n in SIZES))
    for name in samples:
        cells = [found.get((name, n)) for n in SIZES]
        told = ["–" if cell is None else f"{cell[0]:.1%} / {cell[1]:.1%}" for cell in cells]
        print(f"{name:<44}" + "".join(f"{cell:>16}" for cell in told))


if __name__ == "__main__":
    main()
