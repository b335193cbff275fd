"""The page "Model": how good a bundle is, and where it fails."""

from vestiary.pages.model.page import show

__all__ = ["show"]
