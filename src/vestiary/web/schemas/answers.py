"""What is said of pictures and verdicts, and of what went wrong."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from vestiary.web.schemas.about import ModelFacts
from vestiary.web.schemas.requests import Share


class FeedbackAnswer(BaseModel):
    """The verdict as it is kept, and the value that the model had said."""

    status: Literal["success"]
    request_id: str
    prediction_id: str
    attribute: str
    value: str
    previous_value: str
    timestamp: str


class Ranked(BaseModel):
    """A value and its calibrated confidence."""

    value: str
    confidence: Share


class AttributeAnswer(BaseModel):
    """The tag of one attribute; ``accepted``: no person needs to look.

    ``candidates`` hold the true value as often as the bundle promises; ``top_k`` begins with the tag itself.
    """

    value: str
    confidence: Share
    accepted: bool
    candidates: list[str]
    top_k: list[Ranked]


class UnfamiliarFacts(BaseModel):
    """How unlike the training pictures the picture is; of a flagged one nothing is accepted."""

    score: Share
    flag: bool


class ImageFacts(BaseModel):
    """The picture as it came: upright size in pixels, SHA-256 of its bytes."""

    width: int
    height: int
    sha256: str


class TimingFacts(BaseModel):
    """Milliseconds: own decoding, waiting, and in the model (with the batch)."""

    decode: float
    queue: float
    infer: float


class Facts(BaseModel):
    """What is said of every picture that was answered, with the keys of older services beside ours."""

    status: Literal["success"]
    id: str
    predictions: dict[str, str]
    confidences: dict[str, Share]
    attributes: dict[str, AttributeAnswer]
    decision: Literal["auto", "review"]
    unfamiliar: UnfamiliarFacts | None
    category: str
    confidence: Share
    note: str | None
    image: ImageFacts
    timing_ms: TimingFacts


class Answer(Facts):
    """One prediction."""

    request_id: str
    all_probabilities: dict[str, Share] = Field(description="Every value of the category, the likeliest first.")
    model: ModelFacts
    timestamp: str


class BatchItem(Facts):
    """One picture of a batch that was answered."""

    filename: str | None


class FailedItem(BaseModel):
    """One picture of a batch that could not be answered; ``problem`` is what /predict would have said."""

    status: Literal["error"]
    filename: str | None
    id: str
    error: str
    problem: dict[str, Any]


class BatchAnswer(BaseModel):
    """The answers of a batch, in the order of its pictures."""

    status: Literal["success"]
    request_id: str
    results: list[BatchItem | FailedItem]
    total_processed: int
    successful: int
    failed: int
    model: ModelFacts
    timestamp: str


class Explanation(BaseModel):
    """Where in the picture the model saw a value.

    ``grid`` has a row for each strip of the model's input, top to bottom, 0..1: 0 speaks least for the value, 1 most.
    ``box`` is the part of the picture, in shares of its width and height (left, top, right, bottom), that it covers.
    """

    status: Literal["success"]
    request_id: str
    attribute: str
    value: str
    confidence: Share
    grid: list[list[Share]]
    box: tuple[float, float, float, float]
    model: ModelFacts


class NeighbourFacts(BaseModel):
    """A product like the picture; ``distance`` is the cosine distance, 0 for the same picture; labels as catalogued."""

    product_id: str
    distance: float = Field(ge=0, le=2)
    labels: dict[str, str]


class IndexFacts(BaseModel):
    """The index that was searched: how many products it has, and the fingerprint of their catalogue."""

    products: int
    catalogue: str


class SimilarAnswer(BaseModel):
    """The products most like a picture, nearest first."""

    status: Literal["success"]
    request_id: str
    id: str
    neighbours: list[NeighbourFacts]
    index: IndexFacts
    model: ModelFacts
    timestamp: str


class ProblemAnswer(BaseModel):
    """Any answer that is no success (RFC 9457); ``error`` repeats ``detail`` for older clients."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    request_id: str
