"""Vestiary turns product photos into catalogue attributes.

    import vestiary

    predictor = vestiary.Predictor(vestiary.open_bundle())
    for prediction in predictor.predict(["photo.jpg"]):
        print(prediction.id, {tag.attribute: tag.value for tag in prediction.tags})

Importing this package loads nothing heavy: each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

# What is run is told to nobody. These packages tell their makers unless they hear so before they are imported; ONNX
# Runtime does, from 1.29 on, as soon as it is loaded.
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
for _variable, _word in _QUIET.items():
    os.environ.setdefault(_variable, _word)

if TYPE_CHECKING:
    from vestiary.bundle import Bundle, open_bundle
    from vestiary.catalogue import Catalogue, ingest, load_catalogue
    from vestiary.errors import VestiaryError
    from vestiary.images import Limits, Preprocess
    from vestiary.predictor import Evaluation, Predictor, calibrate_bundle, evaluate
    from vestiary.product import Split
    from vestiary.tags import Failure, Observation, Prediction, Tag, Unfamiliar
    from vestiary.taxonomy import Attribute, Taxonomy

__version__ = "0.1.0"

_HOMES = {
    "Attribute": "taxonomy",
    "Bundle": "bundle",
    "Catalogue": "catalogue",
    "Evaluation": "predictor",
    "Failure": "tags",
    "Limits": "images",
    "Observation": "tags",
    "Prediction": "tags",
    "Predictor": "predictor",
    "Preprocess": "images",
    "Split": "product",
    "Tag": "tags",
    "Taxonomy": "taxonomy",
    "Unfamiliar": "tags",
    "VestiaryError": "errors",
    "calibrate_bundle": "predictor",
    "evaluate": "predictor",
    "ingest": "catalogue",
    "load_catalogue": "catalogue",
    "open_bundle": "bundle",
}

__all__ = [
    "Attribute",
    "Bundle",
    "Catalogue",
    "Evaluation",
    "Failure",
    "Limits",
    "Observation",
    "Prediction",
    "Predictor",
    "Preprocess",
    "Split",
    "Tag",
    "Taxonomy",
    "Unfamiliar",
    "VestiaryError",
    "__version__",
    "calibrate_bundle",
    "evaluate",
    "ingest",
    "load_catalogue",
    "open_bundle",
]


def __getattr__(name: str) -> object:
    """Import a public name from its room when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vestiary' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vestiary.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
