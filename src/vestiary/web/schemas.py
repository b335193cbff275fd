"""What goes over the wire, as it is checked (requests) and as it is told in ``/openapi.json`` (both)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
MAX_ID = 256
MAX_URL = 2048


class Options(BaseModel):
    """What may be asked beside pictures."""

    model_config = ConfigDict(allow_inf_nan=False)

    top_k: int = Field(3, ge=1, le=10_000, description="How many values are told for each attribute.")
    min_confidence: Share = Field(
        0.0, description="Tags under this confidence are not accepted, whatever the bundle's threshold says."
    )


class Named(BaseModel):
    """What one picture may be called."""

    id: str | None = Field(None, max_length=MAX_ID, description="What the answer is to be called.")


class PictureOptions(Options, Named):
    """What may be asked beside one picture."""


class Pictured(BaseModel):
    """One picture: itself, or where it is."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["url"]}]})

    image: str = Field("", description="The picture as base64 or as a data URL.")
    url: str = Field(
        "",
        max_length=MAX_URL,
        description="The picture's http or https address, where the service is set to fetch pictures.",
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if len(self.model_fields_set & {"image", "url"}) != 1:
            raise ValueError("A picture is needed, either as 'image' or as 'url'")
        return self


class PictureRequest(PictureOptions, Pictured):
    """One picture."""


class BatchImage(Named, Pictured):
    """One picture of a batch, with an id."""


class BatchRequest(Options):
    """Several pictures."""

    images: list[str | BatchImage] = Field(description="Pictures as base64 or data URLs, with or without an id.")


class ExplainOptions(BaseModel):
    """What is to be explained."""

    attribute: str = Field(description="The attribute whose tag is explained.")
    value: str | None = Field(None, description="The value to explain; the predicted one when left out.")


class ExplainRequest(ExplainOptions, Pictured):
    """One picture, and what is to be explained about it."""


class FeedbackRequest(BaseModel):
    """What a person says of an earlier answer. Needs ``request_id``, ``id``, or both."""

    request_id: str | None = Field(None, max_length=64, description="The request_id of the answer.")
    id: str | None = Field(
        None,
        max_length=MAX_ID,
        description="With request_id: what the picture was called; alone: the id of a prediction in the ledger.",
    )
    attribute: str = Field(max_length=MAX_ID, description="The attribute that the verdict is on.")
    value: str = Field(max_length=MAX_ID, description="The right value; the predicted one confirms it.")
    reviewer: str = Field("", max_length=MAX_ID, description="Who says so; the name of the API key when left out.")
    note: str | None = Field(None, max_length=2000, description="Anything else.")

    @model_validator(mode="after")
    def _check_named(self) -> Self:
        if self.request_id is None and self.id is None:
            raise ValueError("A verdict needs the request_id of the answer, or the id of a prediction")
        return self


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


class ModelFacts(BaseModel):
    """The bundle that answered."""

    name: str
    version: str
    fingerprint: str


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


class ProblemAnswer(BaseModel):
    """Any answer that is no success (RFC 9457); ``error`` repeats ``detail`` for older clients."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    request_id: str


class Summary(BaseModel):
    """What the service is."""

    service: str
    version: str
    status: Literal["running", "starting", "stopping"]
    model: str
    endpoints: dict[str, str]


class Health(BaseModel):
    """The summary that older clients read; ``classes`` is the number of values of the category."""

    status: Literal["healthy", "unhealthy"]
    model_loaded: bool
    classes: int
    timestamp: str


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class Workers(BaseModel):
    """Processes that the service wants, and those that answer now."""

    wanted: int
    ready: int


class Readiness(BaseModel):
    """Whether a request would be taken now; "degraded" while a worker is being replaced."""

    status: Literal["ready", "degraded", "starting", "stopping", "full"]
    workers: Workers


class Classes(BaseModel):
    """The values of the category under the keys of older services, and those of every attribute."""

    classes: list[str]
    total: int
    attributes: dict[str, list[str]]


class Stats(BaseModel):
    """Counts since the service started, over all workers."""

    uptime_seconds: int
    uptime_human: str
    total_requests: int
    total_images_processed: int
    successful_predictions: int
    failed_predictions: int
    success_rate: Share
    model_loaded: bool
    timestamp: str


class AttributeFacts(BaseModel):
    """One question that the bundle answers; ``threshold`` None: a person always looks."""

    title: str
    n_values: int
    threshold: float | None
    validation: dict[str, float]


class ServiceLimits(BaseModel):
    """What a request may be."""

    max_body_bytes: int
    max_pixels: int
    max_images: int
    deadline_s: float
    rate_per_minute: int


class Info(BaseModel):
    """The bundle and the limits."""

    service: str
    version: str
    model: ModelFacts
    made_at: str
    licence: str
    precision: Literal["fp32", "int8"]
    input: dict[str, int]
    category: str
    attributes: dict[str, AttributeFacts]
    limits: ServiceLimits


class ServerMetadata(BaseModel):
    """Open Inference Protocol: the server."""

    name: str
    version: str
    extensions: list[str]


class Tensor(BaseModel):
    """Open Inference Protocol: name, type and shape of an input or output."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """Open Inference Protocol: a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class ModelReady(BaseModel):
    """Open Inference Protocol: whether a model answers."""

    name: str
    ready: bool


class ServerLive(BaseModel):
    """Open Inference Protocol: whether the server lives."""

    live: bool


class ServerReady(BaseModel):
    """Open Inference Protocol: whether the server answers."""

    ready: bool


class InferInputParameters(BaseModel):
    """Where an input is: with ``binary_data_size`` bytes behind the JSON, else in it."""

    binary_data_size: int | None = Field(default=None, ge=0)


class InferInput(BaseModel):
    """The pictures: BYTES elements, each a picture file, as base64 in ``data`` or as it is behind the JSON."""

    name: Literal["image"]
    datatype: Literal["BYTES"]
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=2)
    parameters: InferInputParameters = InferInputParameters()
    data: list[str] = []


class InferOutputParameters(BaseModel):
    """Whether an output comes behind the JSON; as the request says for all of them when left out."""

    binary_data: bool | None = None


class InferWanted(BaseModel):
    """One output that is asked for."""

    name: str
    parameters: InferOutputParameters = InferOutputParameters()


class InferParameters(BaseModel):
    """Whether all outputs come behind the JSON."""

    binary_data_output: bool = False


class InferRequest(BaseModel):
    """Open Inference Protocol: a request with its pictures in one BYTES tensor; without ``outputs`` all are given."""

    id: str | None = Field(None, max_length=MAX_ID)
    parameters: InferParameters = InferParameters()
    inputs: list[InferInput] = Field(min_length=1, max_length=1)
    outputs: list[InferWanted] = []


class InferOutput(Tensor):
    """One output, its elements in a flat list; without ``data`` it is behind the JSON."""

    parameters: InferInputParameters = InferInputParameters()
    data: list[str] | list[float] = []


class InferAnswer(BaseModel):
    """Open Inference Protocol: for each attribute its values and their confidences."""

    model_name: str
    model_version: str
    id: str
    outputs: list[InferOutput]
