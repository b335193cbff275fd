"""The page "Tag": photos in, answers out."""

from vestiary.pages.tag.page import show

__all__ = ["show"]
