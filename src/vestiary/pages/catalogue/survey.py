"""What a look at every photo of a catalogue brings: the findings of the checks, and what the photos are like."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from vestiary.catalogue import Catalogue, Progress
from vestiary.checks import Finding, Severity, measure_pictures, run_checks
from vestiary.pages.cache import drop, recall
from vestiary.reports.figures import PictureSummary, sum_up_pictures

_KIND = "survey"


@dataclass(frozen=True)
class Survey:
    """Findings in the order of ``sort_findings``, and the summary of the photos."""

    findings: tuple[Finding, ...]
    pictures: PictureSummary

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(own.severity is severity for own in self.findings)

    def to_bytes(self) -> bytes:
        """As JSON."""
        plain = {"findings": [own.to_dict() for own in self.findings], "pictures": asdict(self.pictures)}
        return json.dumps(plain).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Survey:
        """What ``to_bytes`` wrote."""
        plain = json.loads(data)
        findings = (
            Finding(**own | {"severity": Severity(own["severity"]), "products": tuple(own["products"])})
            for own in plain["findings"]
        )
        return cls(tuple(findings), PictureSummary(**{name: _tuples(own) for name, own in plain["pictures"].items()}))


def survey(catalogue: Catalogue, progress: Progress | None = None) -> Survey:
    """The survey of a catalogue: the one kept from an earlier time, or a new one, which takes minutes.

    Raises CatalogueError when the photos are gone.
    """

    def make() -> bytes:
        facts = measure_pictures(catalogue, progress=progress)
        return Survey(tuple(run_checks(catalogue, facts=facts)), sum_up_pictures(facts)).to_bytes()

    return Survey.from_bytes(recall(_KIND, _name_parts(catalogue), make))


def forget_survey(catalogue: Catalogue) -> None:
    """Make the next survey a new one, for photos that were mended since."""
    drop(_KIND, _name_parts(catalogue))


def _name_parts(catalogue: Catalogue) -> tuple[str, ...]:
    return (catalogue.fingerprint, str(catalogue.source), str(len(catalogue.rejects)))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
