"""Who dealt out the splits of a catalogue: what to do about a bad split depends on it."""

from __future__ import annotations

from enum import Enum

from vestiary.catalogue import Catalogue
from vestiary.catalogue.catalogue import BY_GROUP
from vestiary.catalogue.steps import SplitEach


class Dealer(Enum):
    """Ingest, by groups; the source, whose splits were kept; or a preparation that splits each product on its own."""

    GROUPS = "groups"
    SOURCE = "source"
    PREPARATION = "preparation"


def find_dealer(catalogue: Catalogue) -> Dealer:
    """By what the catalogue says it was split, and the steps it went through."""
    if catalogue.split_by == BY_GROUP:
        return Dealer.GROUPS
    if any(isinstance(applied.step, SplitEach) for applied in catalogue.applied):
        return Dealer.PREPARATION
    return Dealer.SOURCE
