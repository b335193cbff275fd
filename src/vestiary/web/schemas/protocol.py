"""The Open Inference Protocol: what is sent to ``/v2`` and what comes from there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from vestiary.web.schemas.requests import MAX_ID, Several


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
    data: Several[str] = []


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
    outputs: Several[InferWanted] = []


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
