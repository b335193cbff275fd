"""A catalogue: products with their true answers, the questions, and every row that did not make it, with its reason."""

from vestiary.catalogue.catalogue import Catalogue, describe_source, find_source, load_catalogue
from vestiary.catalogue.columns import Columns
from vestiary.catalogue.corrections import Correction, Effect, correct
from vestiary.catalogue.ingest import Progress, ingest
from vestiary.catalogue.preparation import (
    Preparation,
    build_preparation,
    freeze,
    load_groups,
    load_preparation,
    prepare,
    relabel,
)
from vestiary.catalogue.readers import Reading
from vestiary.catalogue.rows import Reject, RejectReason
from vestiary.catalogue.sources import Source, open_source

__all__ = [
    "Catalogue",
    "Columns",
    "Correction",
    "Effect",
    "Preparation",
    "Progress",
    "Reading",
    "Reject",
    "RejectReason",
    "Source",
    "build_preparation",
    "correct",
    "describe_source",
    "find_source",
    "freeze",
    "ingest",
    "load_catalogue",
    "load_groups",
    "load_preparation",
    "open_source",
    "prepare",
    "relabel",
]
