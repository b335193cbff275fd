"""What a person is to look at, what they say of it, and how that goes back into the catalogue."""

from vestiary.review.exports import Exported, export_corrections
from vestiary.review.items import ORDERS, Item, Queue
from vestiary.review.judgements import Agreement, Judged, find_kappa, measure_agreement, read_judged, settle
from vestiary.review.label_studio import Imported, read_annotations, write_tasks
from vestiary.review.photos import find_photo
from vestiary.review.scope import BANDS, Band, find_band, fit_thresholds

__all__ = [
    "BANDS",
    "ORDERS",
    "Agreement",
    "Band",
    "Exported",
    "Imported",
    "Item",
    "Judged",
    "Queue",
    "export_corrections",
    "find_band",
    "find_kappa",
    "find_photo",
    "fit_thresholds",
    "measure_agreement",
    "read_annotations",
    "read_judged",
    "settle",
    "write_tasks",
]
