"""Pictures in, predictions out: the one path that every figure, tag and service answer takes."""

from vestiary.predictor.evaluation import (
    Evaluation,
    collect_embeddings,
    collect_outputs,
    encode_labels,
    evaluate,
    score_answers,
)
from vestiary.predictor.recalibration import calibrate_bundle
from vestiary.predictor.session import BATCH, ImageInput, Predictor, Prepared

__all__ = [
    "BATCH",
    "Evaluation",
    "ImageInput",
    "Predictor",
    "Prepared",
    "calibrate_bundle",
    "collect_embeddings",
    "collect_outputs",
    "encode_labels",
    "evaluate",
    "score_answers",
]
