"""The page "Catalogue": what a catalogue holds, and what is wrong with it."""

from vestiary.pages.catalogue.page import show

__all__ = ["show"]
