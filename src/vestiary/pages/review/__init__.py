"""The page "Review": one photo after the other, looked at by a person."""

from vestiary.pages.review.page import show

__all__ = ["show"]
