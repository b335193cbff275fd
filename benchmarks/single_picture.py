"""One picture at a time on one core: the default bundle against ResNet-50 at 224×224 px.

    python benchmarks/single_picture.py [BUNDLE]

Both are ONNX files of the same exporter with the same heads, run by ONNX Runtime with one thread, alternating in one
process; the rival has random weights, which cost what trained ones do. Prints medians of the model alone, of the whole
way from JPEG bytes (60×80 and 1080×1440 px) to tags, and the ratios.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from vestiary.bundle import Bundle, open_bundle
from vestiary.calibration import Calibration
from vestiary.images import Preprocess
from vestiary.predictor import Predictor
from vestiary.training.export import export_onnx
from vestiary.training.model import Classifier
from vestiary.training.recipe import load_recipe

ROUNDS = 40
SIZE = 224
RESNET_50 = {
    "model_type": "resnet",
    "layer_type": "bottleneck",
    "embedding_size": 64,
    "hidden_sizes": [256, 512, 1024, 2048],
    "depths": [3, 4, 6, 3],
}


def make_rival(bundle: Bundle) -> Bundle:
    """A bundle of the same questions whose model is a ResNet-50 with random weights."""
    recipe = replace(
        load_recipe("r4-resnet-multihead"),
        backbone="microsoft/resnet-50",
        architecture=RESNET_50,
        pretrained=False,
        width=SIZE,
        height=SIZE,
    )
    model = Classifier(recipe, bundle.taxonomy)
    return replace(
        bundle,
        preprocess=Preprocess(width=SIZE, height=SIZE),
        model=export_onnx(model, bundle.taxonomy, height=SIZE, width=SIZE),
        calibration=Calibration.neutral(bundle.taxonomy.names),
        familiarity=None,
        int8=None,
    )


def encode_jpeg(width: int, height: int) -> bytes:
    """A drawn picture of that size as JPEG."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (12, 9, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def time_alternately(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each call, taken in turns; the first two rounds do not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(own[2:]) for name, own in taken.items()}


def main() -> None:
    """Measure and print."""
    bundle = open_bundle(sys.argv[1] if len(sys.argv) > 1 else None)
    contenders = {"default": bundle, "ResNet-50 (rival)": make_rival(bundle)}
    precisions = {name: Predictor(own, threads=1) for name, own in contenders.items()}
    if bundle.int8 is not None:
        precisions["default, int8"] = Predictor(bundle, precision="int8", threads=1)

    def show(what: str, found: dict[str, float]) -> None:
        rival = found["ResNet-50 (rival)"]
        for name, own in found.items():
            print(f"{what:28}  {name:18}  {own:8.2f} ms  {own / rival:6.3f} of the rival")

    models: dict[str, Callable[[], object]] = {}
    for name, predictor in precisions.items():
        shape = predictor.bundle.preprocess
        pixels = np.random.default_rng(0).integers(0, 255, (1, shape.height, shape.width, 3), dtype=np.uint8)
        models[name] = lambda predictor=predictor, pixels=pixels: predictor.outputs(pixels)  # type: ignore[misc]
    show("model alone", time_alternately(models))
    for width, height in ((60, 80), (1080, 1440)):
        data = encode_jpeg(width, height)
        whole: dict[str, Callable[[], object]] = {
            name: lambda predictor=predictor, data=data: predictor.predict([data])  # type: ignore[misc]
            for name, predictor in precisions.items()
        }
        show(f"JPEG of {width}×{height} px to tags", time_alternately(whole))


if __name__ == "__main__":
    main()
