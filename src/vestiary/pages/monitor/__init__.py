"""The page "Monitor": what the service does, live."""

from vestiary.pages.monitor.page import show

__all__ = ["show"]
