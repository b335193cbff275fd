"""Who goes first on busy cores: event loops before threads that answer, those before work behind the pages."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

ANSWERING: Final = 10
"""Steps of ``nice`` by which threads that answer stand behind the event loop, which tells everybody else to wait."""
BACKGROUND: Final = 19
"""Steps by which long work behind a page stands behind answers."""


def step_back(steps: int) -> None:
    """Let others go before the thread that calls this, by so many steps of ``nice``.

    Linux alone gives threads priorities of their own (man 2 nice); on other systems, and in a sandbox that refuses,
    nothing happens.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.nice(steps)
