"""A second model in a bundle, with its backbone in 8-bit integers: smaller, faster, and let in only when as good."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from vestiary.bundle import Bundle, Int8
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import CatalogueError, PrecisionError, VestiaryError
from vestiary.predictor import Evaluation, Predictor, evaluate
from vestiary.product import Split
from vestiary.training.storage import widen_weights

PICTURES = 256
"""Training pictures on which the ranges of activations are found."""
MAX_LOSS = 0.005
"""The largest drop of an attribute's validation accuracy that is let through: half a point."""
READ_AT_ONCE = 32
LAYERS = ("Conv", "Gemm", "MatMul")
POOLINGS = ("GlobalAveragePool", "ReduceMean")


def quantise(
    bundle: Bundle, catalogue: Catalogue, *, pictures: int = PICTURES, progress: Progress | None = None
) -> Bundle:
    """The bundle with an int8 model beside its fp32 one, and that model's figures on the validation split.

    Ranges are taken from ``pictures`` of the training split; the calibration of the bundle serves both models. Raises
    PrecisionError when an attribute loses more than MAX_LOSS of its validation accuracy, CatalogueError when the
    catalogue has no training products, no validation labels, or a picture that cannot be read any more.
    """
    images = read_pictures(bundle, catalogue, Split.TRAIN, pictures)
    int8 = Int8(quantise_model(bundle.model, images), scores={}, training={})
    quantised = replace(bundle, int8=int8)
    before = evaluate(Predictor(bundle), catalogue, split=Split.VALIDATION, progress=progress)
    after = evaluate(Predictor(quantised, precision="int8"), catalogue, split=Split.VALIDATION, progress=progress)
    _refuse_losses(before, after)
    scores = {"validation": {name: own.to_brief() for name, own in after.attributes.items()}}
    training = {
        "catalogue": {"fingerprint": catalogue.fingerprint},
        "pictures": len(images),
        "fp32_accuracy": {name: own.accuracy for name, own in before.attributes.items()},
    }
    return replace(quantised, int8=replace(int8, scores=scores, training=training))


def quantise_model(model: bytes, images: NDArray[np.uint8]) -> bytes:
    """ONNX bytes of a network of ours with its backbone in int8, from preprocessed ``uint8 [n, height, width, 3]``.

    Static, per channel, with weights of 7 bits, which no processor's 8-bit arithmetic lets overflow. The first layer
    stays fp32, since it alone sees the picture in full, and so does all that follows the pooled features: class maps
    still add up to their logits.
    """
    proto = widen_weights(model)
    del proto.graph.value_info[:]  # shapes of another graph than the one that the quantiser makes
    for number, node in enumerate(proto.graph.node):
        node.name = node.name or f"node_{number}"
    logging.getLogger().addFilter(_is_not_the_quantisers)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(
                proto,
                path,
                _Pictures(images),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                nodes_to_exclude=_find_kept_nodes(proto.graph),
            )
            return path.read_bytes()
    finally:
        logging.getLogger().removeFilter(_is_not_the_quantisers)


def _is_not_the_quantisers(record: logging.LogRecord) -> bool:
    """The quantiser advises a step of its own before each run, and tells of every norm that it leaves per tensor."""
    return "onnxruntime" not in record.pathname


def _find_kept_nodes(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that stay fp32: up to the first layer of each network, and all that follows its pooling."""
    last = next(node for node in graph.node if "embedding" in node.output)
    backbone: set[str] = set()
    for embedding in last.input if last.op_type == "Concat" else ["embedding"]:  # merged networks put theirs in a row
        sources = _find_sources(graph, embedding)
        pooled = [node.output[0] for node in graph.node if node.name in sources and node.op_type in POOLINGS]
        backbone |= _find_sources(graph, pooled[-1] if pooled else embedding)
    raw = {"images"}
    for node in graph.node:
        if raw.intersection(node.input):
            backbone.discard(node.name)
            if node.op_type not in LAYERS:
                raw.update(node.output)
    return [node.name for node in graph.node if node.name not in backbone]


def _find_sources(graph: onnx.GraphProto, value: str) -> set[str]:
    """Names of the nodes that a value is computed by; nodes stand in their order of computation."""
    needed, sources = {value}, set()
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            sources.add(node.name)
    return sources


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Hands pictures to the quantiser, some at a time."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (
            images[start : start + READ_AT_ONCE] for start in range(0, len(images), READ_AT_ONCE)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def read_pictures(bundle: Bundle, catalogue: Catalogue, split: Split, n: int) -> NDArray[np.uint8]:
    """Preprocessed ``uint8 [at most n, height, width, 3]``: first views of a split's products, by a fixed seed.

    Raises CatalogueError when the split is empty or a picture cannot be read any more.
    """
    products = catalogue.select(split)
    if not products:
        raise CatalogueError(f"The {split} split of this catalogue has no products; ingest a larger one.")
    chosen = np.sort(np.random.default_rng(0).permutation(len(products))[:n])
    source, preprocess = catalogue.open_source(), bundle.preprocess
    pixels = []
    for index in chosen:
        product = products[index]
        try:
            pixels.append(preprocess(preprocess.read(source.read(product.images[0])).image))
        except VestiaryError as error:
            raise CatalogueError(
                f"The picture of product {product.id} could be read at ingest but not now ({error}) "
                "Ingest the source again."
            ) from error
    return np.stack(pixels)


def _refuse_losses(before: Evaluation, after: Evaluation) -> None:
    pairs = {name: (own.accuracy, after.attributes[name].accuracy) for name, own in before.attributes.items()}
    known = {name: (old, new) for name, (old, new) in pairs.items() if old is not None and new is not None}
    if not known:
        raise CatalogueError(
            "The validation split of this catalogue has no labels to judge an int8 model by; ingest one with labels."
        )
    lost = [f"{name} {100 * old:.2f} → {100 * new:.2f} %" for name, (old, new) in known.items() if old - new > MAX_LOSS]
    if lost:
        raise PrecisionError(
            f"The int8 model loses more than {100 * MAX_LOSS:g} points of accuracy on {before.n:,} validation products "
            f"({', '.join(lost)}), so it was not kept; stay with fp32."
        )
