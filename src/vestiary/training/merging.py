"""Several bundles as one: one graph that asks each network about the picture and averages what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper

from vestiary import __version__
from vestiary.bundle import Bundle
from vestiary.calibration import Calibration
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import TrainingError, UsageError
from vestiary.predictor import Evaluation, Predictor, calibrate_bundle
from vestiary.product import Split
from vestiary.reports.card import write_card
from vestiary.training.export import MAX_PARITY
from vestiary.training.quantise import read_pictures

PARITY_PICTURES = 256


def merge(
    bundles: Sequence[Bundle], catalogue: Catalogue, *, target_precision: float, progress: Progress | None = None
) -> tuple[Bundle, Evaluation]:
    """One bundle that answers with the mean of the logits of ``bundles``, calibrated on the catalogue; its figures.

    Its class maps are the mean of theirs, its embedding theirs one after the other: a map is still the gradient of the
    logit by the embedding. Raises UsageError for fewer than two bundles and for such as answer other questions, see
    other pictures or were exported otherwise than the first, CatalogueError as ``calibrate_bundle``, TrainingError when
    the merged network does not say what its parts say.
    """
    _check_fit(bundles)
    merged = Bundle(
        name=bundles[0].name,
        version=__version__,
        taxonomy=bundles[0].taxonomy,
        preprocess=bundles[0].preprocess,
        calibration=Calibration.neutral(bundles[0].taxonomy.names),
        model=merge_models([bundle.model for bundle in bundles], bundles[0].taxonomy.names),
        card="",
        licence=" and ".join(dict.fromkeys(bundle.licence for bundle in bundles)),
        scores={},
        training={},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    images = read_pictures(merged, catalogue, Split.VALIDATION, PARITY_PICTURES)
    training = {
        "merged": [
            {"name": bundle.name, "fingerprint": bundle.fingerprint, "training": bundle.training} for bundle in bundles
        ],
        "backbone": f"{len(bundles)} networks whose logits are averaged",
        "parity": {"max_difference": prove_merger(bundles, merged, images), "pictures": len(images)},
    }
    if all("parameters" in bundle.training for bundle in bundles):
        training["parameters"] = sum(bundle.training["parameters"] for bundle in bundles)
    if len({bundle.training.get("catalogue", {}).get("fingerprint") for bundle in bundles}) == 1:
        training["catalogue"] = bundles[0].training.get("catalogue", {})
    calibrated, evaluation = calibrate_bundle(
        replace(merged, training=training), catalogue, target_precision=target_precision, progress=progress
    )
    return replace(calibrated, card=write_card(calibrated, catalogue, evaluation)), evaluation


def _check_fit(bundles: Sequence[Bundle]) -> None:
    if len(bundles) < 2:
        raise UsageError("One bundle alone cannot be merged; name two or more.")
    first = bundles[0]
    for other in bundles[1:]:
        if other.taxonomy.fingerprint != first.taxonomy.fingerprint:
            raise UsageError(
                f"Bundle {other.name} ({other.fingerprint[:12]}) answers other attributes or values, or in another "
                f"order, than {first.name} ({first.fingerprint[:12]}); only bundles of one taxonomy can be merged."
            )
        if other.preprocess.background != first.preprocess.background:
            raise UsageError(
                f"Bundle {other.name} ({other.fingerprint[:12]}) sees pictures on the background "
                f"{other.preprocess.background} and {first.name} ({first.fingerprint[:12]}) on "
                f"{first.preprocess.background}; only bundles of one background can be merged."
            )
        if other.preprocess != first.preprocess:
            raise UsageError(
                f"Bundle {other.name} ({other.fingerprint[:12]}) sees pictures of "
                f"{other.preprocess.width}×{other.preprocess.height} px and {first.name} ({first.fingerprint[:12]}) of "
                f"{first.preprocess.width}×{first.preprocess.height} px; only bundles of one size can be merged."
            )


def merge_models(models: Sequence[bytes], names: Sequence[str]) -> bytes:
    """ONNX bytes of one network from several that have the inputs and outputs of a bundle with attributes ``names``.

    UsageError when the operator sets or the sizes of the class maps differ.
    """
    parts = [onnx.load_from_string(model) for model in models]
    opsets = [sorted((entry.domain, entry.version) for entry in part.opset_import) for part in parts]
    averaged = [name for attribute in names for name in (attribute, f"{attribute}.map")]
    shapes = [_shapes(part) for part in parts]
    for number in range(1, len(parts)):
        if opsets[number] != opsets[0]:
            raise UsageError(
                f"The models of the first and of bundle {number + 1} use other versions of ONNX ({opsets[0]} and "
                f"{opsets[number]}); make both with the same version of Vestiary."
            )
        if any(shapes[number].get(name, [])[1:] != shapes[0].get(name, [])[1:] for name in averaged):
            raise UsageError(
                f"The class maps of the first and of bundle {number + 1} are of different sizes; only networks that "
                "shrink a picture alike can be merged."
            )
    outputs = [*averaged, "embedding"]
    nodes, weights, functions = [], [], []
    for number, part in enumerate(parts):
        part = compose.add_prefix(part, prefix=f"{number}/")
        nodes += [helper.make_node("Identity", ["images"], [f"{number}/images"]), *part.graph.node]
        weights += part.graph.initializer
        functions += part.functions
    for name in averaged:
        nodes.append(helper.make_node("Mean", [f"{number}/{name}" for number in range(len(parts))], [name]))
    embeddings = [f"{number}/embedding" for number in range(len(parts))]
    nodes.append(helper.make_node("Concat", embeddings, ["embedding"], axis=1))
    channels = [shape["embedding"][1] for shape in shapes]
    known = [own for own in channels if isinstance(own, int)]
    shapes[0]["embedding"] = ["n", sum(known) if len(known) == len(channels) else "channels"]
    graph = helper.make_graph(
        nodes,
        "merged",
        parts[0].graph.input,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[0][name]) for name in outputs],
        weights,
    )
    model = helper.make_model(
        graph,
        opset_imports=parts[0].opset_import,
        ir_version=max(part.ir_version for part in parts),
        functions=functions,
    )
    return bytes(model.SerializeToString())


def _shapes(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    """The shapes of the outputs, by name."""
    return {
        output.name: [size.dim_value or size.dim_param for size in output.type.tensor_type.shape.dim]
        for output in model.graph.output
    }


def prove_merger(bundles: Sequence[Bundle], merged: Bundle, images: NDArray[np.uint8]) -> float:
    """The largest difference of any logit between the merged network and the mean of its parts.

    ``images`` is ``uint8 [n, height, width, 3]``, preprocessed. Raises TrainingError above MAX_PARITY.
    """
    parts, whole = [Predictor(bundle).logits(images) for bundle in bundles], Predictor(merged).logits(images)
    means = {name: np.mean([part[name] for part in parts], axis=0) for name in whole}
    worst = max(float(np.abs(means[name] - own).max()) for name, own in whole.items())
    if not worst <= MAX_PARITY:
        raise TrainingError(
            f"The merged model differs from the mean of its parts by {worst:.2g} (at most {MAX_PARITY:g} is let "
            "through), so no bundle was written; report this with both bundles."
        )
    return worst
