"""Pictures in, predictions out: the one path that every figure, tag and service answer takes."""

from vestiary.metrics import Evaluation
from vestiary.predictor.evaluation import (
    collect_embeddings,
    collect_outputs,
    encode_labels,
    evaluate,
    evaluate_outputs,
    judge,
)
from vestiary.predictor.recalibration import calibrate_bundle
from vestiary.predictor.session import BATCH, ImageInput, Predictor, Prepared, count_cores, count_threads
from vestiary.predictor.views import VIEWS, take_all_views, take_view

__all__ = [
    "BATCH",
    "VIEWS",
    "Evaluation",
    "ImageInput",
    "Predictor",
    "Prepared",
    "calibrate_bundle",
    "collect_embeddings",
    "collect_outputs",
    "count_cores",
    "count_threads",
    "encode_labels",
    "evaluate",
    "evaluate_outputs",
    "judge",
    "take_all_views",
    "take_view",
]
