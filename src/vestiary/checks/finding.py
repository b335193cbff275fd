"""What a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding matters.

    An error makes figures or training wrong, a warning costs quality, info is good to know.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in a catalogue.

    ``check`` is a stable name such as "files.blank" (family and kind), ``products`` the ids it is about (all of them,
    most telling first), ``message`` one plain sentence of what was found, ``remedy`` one of what to do about it.
    """

    check: str
    severity: Severity
    products: tuple[str, ...]
    message: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "check": self.check,
            "severity": str(self.severity),
            "products": list(self.products),
            "message": self.message,
            "remedy": self.remedy,
        }
