"""From a trained network to ONNX bytes, and the proof that both say the same."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vestiary.errors import TrainingError
from vestiary.predictor import Predictor
from vestiary.taxonomy import Taxonomy
from vestiary.training.model import Classifier, map_classes, to_pixels

MAX_ROUNDING = 0.25
"""The largest change of a logit by weights stored as fp16 that is let through."""
MAX_PARITY = 1e-4
"""The largest difference between a logit of the network and of its export that is let through."""


class _Exported(nn.Module):
    """What ships: normalisation inside, logits, class maps and embedding out."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``uint8 [n, height, width, 3]`` → logits and maps in turn, then the embedding."""
        features = self.model.features(to_pixels(images))
        embedding = self.model.embed(features)
        logits, maps = self.model.answer(embedding), map_classes(self.model, features, embedding)
        return *(output for pair in zip(logits, maps, strict=True) for output in pair), embedding


def export_onnx(model: Classifier, taxonomy: Taxonomy, *, height: int, width: int) -> bytes:
    """ONNX bytes of the trained network, for any number of pictures of one size (pixels)."""
    outputs = [*(name for attribute in taxonomy.names for name in (attribute, f"{attribute}.map")), "embedding"]
    names = {f"output-{number}": name for number, name in enumerate(outputs)}  # as nothing in a network is called
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            _Exported(model.cpu().eval()),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=list(names),
            dynamic_shapes={"images": {0: torch.export.Dim("n")}},
        )
    assert program is not None  # the dynamo exporter always returns its program
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer]:
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    _rename(proto.graph, names | {"images": "images"})
    buffer = io.BytesIO()
    onnx.save(proto, buffer)
    return buffer.getvalue()


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Call values as ``names`` says, and put a dot before all others: no attribute begins with one.

    Without it an attribute called ``view`` or ``relu`` would stand for two values of one graph.
    """

    def rename(name: str) -> str:
        return names.get(name, f".{name}" if name else "")  # an optional input that is left out has no name

    for node in graph.node:
        node.input[:], node.output[:] = map(rename, node.input), map(rename, node.output)
        for own in node.attribute:
            for inner in (own.g, *own.graphs):
                _rename(inner, names)
    for value in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        value.name = rename(value.name)


@torch.inference_mode()
def prove_parity(model: Classifier, predictor: Predictor, images: NDArray[np.uint8]) -> float:
    """The largest difference of any logit between the network and its export, over pictures.

    ``images`` is ``uint8 [n, height, width, 3]``, preprocessed. Raises TrainingError above MAX_PARITY.
    """
    images = np.ascontiguousarray(images)
    ours = model.cpu().eval()(to_pixels(torch.from_numpy(images)))
    theirs = predictor.logits(images)
    worst = max(
        float(np.abs(own.numpy() - theirs[name]).max())
        for name, own in zip(predictor.bundle.taxonomy.names, ours, strict=True)
    )
    if not worst <= MAX_PARITY:
        raise TrainingError(
            f"The exported model differs from the trained one by {worst:.2g} (at most {MAX_PARITY:g} is let through), "
            "so no bundle was written; report this with the recipe."
        )
    return worst


def measure_rounding(exact: Predictor, rounded: Predictor, images: NDArray[np.uint8]) -> float:
    """The largest change of any logit when weights are stored as fp16, over pictures as for ``prove_parity``.

    Raises TrainingError above MAX_ROUNDING.
    """
    ours, theirs = exact.logits(np.ascontiguousarray(images)), rounded.logits(np.ascontiguousarray(images))
    worst = max(float(np.abs(own - theirs[name]).max()) for name, own in ours.items())
    if not worst <= MAX_ROUNDING:
        raise TrainingError(
            f"Weights stored as fp16 change the answers by {worst:.2g} (at most {MAX_ROUNDING:g} is let through), so "
            "no bundle was written; add --resume --set weights=fp32 to store them as they are."
        )
    return worst
