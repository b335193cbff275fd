"""What is asked of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from vestiary.taxonomy import split_names


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What is asked of a batch, the same for every run of it.

    ``format`` is "jsonl", "csv" or "parquet", ``layout`` "full" or "r5"; ``file_by`` names an attribute by whose value
    the pictures are put into folders, by ``file_mode`` "copy", "link" or "move". ``decide_on`` names attributes, with
    commas between them, whose answers must be accepted for a picture to need no review (None: all). ``images`` and
    ``image_column`` are for a table: where its pictures lie, and which column names them.
    """

    format: str = "jsonl"
    layout: str = "full"
    file_by: str | None = None
    file_mode: str = "copy"
    precision: str = "fp32"
    decide_on: str | None = None
    images: str | None = None
    image_column: str | None = None

    @property
    def deciding(self) -> tuple[str, ...]:
        """The names in ``decide_on``; none stands for all."""
        return split_names(self.decide_on)
