"""Pictures in, predictions out: the one path that every figure, tag and service answer takes."""

from vestiary.metrics import Evaluation
from vestiary.predictor.evaluation import (
    collect_embeddings,
    collect_logits,
    encode_labels,
    evaluate,
    evaluate_logits,
    judge,
)
from vestiary.predictor.session import BATCH, ImageInput, Predictor
from vestiary.predictor.views import VIEWS, take_all_views, take_view

__all__ = [
    "BATCH",
    "VIEWS",
    "Evaluation",
    "ImageInput",
    "Predictor",
    "collect_embeddings",
    "collect_logits",
    "encode_labels",
    "evaluate",
    "evaluate_logits",
    "judge",
    "take_all_views",
    "take_view",
]
