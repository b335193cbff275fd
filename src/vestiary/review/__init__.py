"""What a person is to look at, what they say of it, and how that goes back into the catalogue."""

from vestiary.review.items import ORDERS, Item, Queue
from vestiary.review.photos import find_photo
from vestiary.review.scope import BANDS, Band, find_band, fit_thresholds

__all__ = [
    "BANDS",
    "ORDERS",
    "Band",
    "Item",
    "Queue",
    "find_band",
    "find_photo",
    "fit_thresholds",
]
