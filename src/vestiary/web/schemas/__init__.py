"""What goes over the wire, as it is checked (requests) and as it is told in ``/openapi.json`` (both)."""

from vestiary.web.schemas.about import Alive, Classes, Health, Info, Readiness, Stats, Summary
from vestiary.web.schemas.answers import Answer, BatchAnswer, Explanation, FeedbackAnswer, ProblemAnswer
from vestiary.web.schemas.protocol import (
    InferAnswer,
    InferInput,
    InferRequest,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from vestiary.web.schemas.requests import (
    MAX_ID,
    BatchRequest,
    ExplainOptions,
    ExplainRequest,
    FeedbackRequest,
    Named,
    Options,
    Pictured,
    PictureOptions,
    PictureRequest,
)

__all__ = [
    "MAX_ID",
    "Alive",
    "Answer",
    "BatchAnswer",
    "BatchRequest",
    "Classes",
    "ExplainOptions",
    "ExplainRequest",
    "Explanation",
    "FeedbackAnswer",
    "FeedbackRequest",
    "Health",
    "InferAnswer",
    "InferInput",
    "InferRequest",
    "Info",
    "ModelMetadata",
    "ModelReady",
    "Named",
    "Options",
    "PictureOptions",
    "PictureRequest",
    "Pictured",
    "ProblemAnswer",
    "Readiness",
    "ServerLive",
    "ServerMetadata",
    "ServerReady",
    "Stats",
    "Summary",
]
