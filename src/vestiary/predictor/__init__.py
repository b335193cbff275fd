"""Pictures in, predictions out: the one path that every figure, tag and service answer takes."""

from vestiary.predictor.evaluation import (
    Evaluation,
    collect_embeddings,
    collect_logits,
    encode_labels,
    evaluate,
    score_logits,
)
from vestiary.predictor.session import BATCH, ImageInput, Predictor, Prepared

__all__ = [
    "BATCH",
    "Evaluation",
    "ImageInput",
    "Predictor",
    "Prepared",
    "collect_embeddings",
    "collect_logits",
    "encode_labels",
    "evaluate",
    "score_logits",
]
