"""The page "Batch": many photos at once."""

from vestiary.pages.batch.page import show

__all__ = ["show"]
