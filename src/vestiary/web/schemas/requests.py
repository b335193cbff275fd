"""What clients send: pictures and what is asked about them, and verdicts."""

from __future__ import annotations

from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
MAX_ID = 256
MAX_URL = 2048
MAX_LIST = 10_000
"""Entries of a list that are looked at, whatever a service is set to: checking millions would take seconds."""
Item = TypeVar("Item")
Several = Annotated[list[Item], FailFast(), Field(max_length=MAX_LIST)]
"""A list whose first wrong entry is the end of it: told one by one, those of one body would fill the memory."""


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

    images: Several[str | BatchImage] = Field(description="Pictures as base64 or data URLs, with or without an id.")


class ExplainOptions(BaseModel):
    """What is to be explained."""

    attribute: str = Field(description="The attribute whose tag is explained.")
    value: str | None = Field(None, description="The value to explain; the predicted one when left out.")


class ExplainRequest(ExplainOptions, Pictured):
    """One picture, and what is to be explained about it."""


class SimilarOptions(Named):
    """What may be asked beside one picture when similar products are looked for."""

    top_k: int = Field(10, ge=1, le=1000, description="How many products are told.")
    exclude_same: bool = Field(False, description="Leave out products that have this very picture, to the last pixel.")
    exclude: str | None = Field(None, max_length=MAX_ID, description="The id of a product to leave out.")


class SimilarRequest(SimilarOptions, Pictured):
    """One picture, and how many similar products are wanted."""


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
