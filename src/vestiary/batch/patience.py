"""How long a batch waits: for a ledger that does not answer, and before what failed is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from vestiary.errors import BatchError, LedgerUnavailableError

PATIENCE_S: Final = 300.0
"""Seconds that a ledger which does not answer is waited for."""
MAX_PAUSE_S: Final = 30.0

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """Waits by ``sleep``, but not once ``is_stopped``."""

    is_stopped: Callable[[], bool]
    sleep: Callable[[float], None]

    def keep_trying(self, call: Callable[[], Result]) -> Result:
        """Wait for a ledger that does not answer. Raises BatchError when it stays away."""
        waited, pause = 0.0, 1.0
        while True:
            try:
                return call()
            except LedgerUnavailableError as error:
                if waited >= PATIENCE_S or self.is_stopped():
                    raise BatchError(
                        f"{str(error).rstrip('.')}. It was waited for {waited:.0f} s; everything so far is kept: "
                        "run the same command again."
                    ) from error
            self.pause(pause)
            waited, pause = waited + pause, min(2 * pause, MAX_PAUSE_S)

    def pause(self, seconds: float) -> None:
        """Wait, but not when stopped."""
        until = seconds
        while until > 0 and not self.is_stopped():
            self.sleep(min(until, 0.2))
            until -= 0.2
