"""What a look at every photo of a catalogue brings: the findings of the checks, and what the photos are like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vestiary.bundle import Bundle
from vestiary.catalogue import Catalogue, Progress
from vestiary.checks import Finding, Severity, measure_pictures, run_checks
from vestiary.checks.label_errors import check_label_errors, require_packages
from vestiary.pages.cache import drop, recall
from vestiary.predictor import Predictor, collect_embeddings
from vestiary.reports.figures import PictureSummary, sum_up_pictures

_KIND, _LABELS = "survey", "labels"


@dataclass(frozen=True)
class Survey:
    """Findings in the order of ``sort_findings``, and the summary of the photos."""

    findings: tuple[Finding, ...]
    pictures: PictureSummary

    def to_bytes(self) -> bytes:
        """As JSON."""
        plain = {"findings": _to_plain(self.findings), "pictures": asdict(self.pictures)}
        return json.dumps(plain).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Survey:
        """What ``to_bytes`` wrote."""
        plain = json.loads(data)
        pictures = PictureSummary(**{name: _tuples(own) for name, own in plain["pictures"].items()})
        return cls(_from_plain(plain["findings"]), pictures)


def survey(catalogue: Catalogue, progress: Progress | None = None) -> Survey:
    """The survey of a catalogue: the one kept from an earlier time, or a new one, which takes minutes.

    Raises CatalogueError when the photos are gone.
    """

    def make() -> bytes:
        facts = measure_pictures(catalogue, progress=progress)
        return Survey(tuple(run_checks(catalogue, facts=facts)), sum_up_pictures(facts)).to_bytes()

    return Survey.from_bytes(recall(_KIND, _name_parts(catalogue), make))


def survey_labels(catalogue: Catalogue, bundle: Bundle, progress: Progress | None = None) -> tuple[Finding, ...]:
    """The labels that are probably wrong by a bundle's embeddings: kept from an earlier time, or new.

    New ones take minutes; one core is used for the embeddings, so that the service beside it stays quick. Raises
    MissingExtraError without the extra ``checks``, CatalogueError for a photo that cannot be read.
    """
    require_packages()

    def make() -> bytes:
        predictor = Predictor(bundle, threads=1)
        embeddings = collect_embeddings(predictor, catalogue, catalogue.products, progress=progress)
        return json.dumps(_to_plain(check_label_errors(catalogue, embeddings))).encode()

    return _from_plain(json.loads(recall(_LABELS, (*_name_parts(catalogue), bundle.fingerprint), make)))


def forget_survey(catalogue: Catalogue, bundle: Bundle) -> None:
    """Make the next survey a new one, that of the labels too, for photos that were mended since."""
    drop(_KIND, _name_parts(catalogue))
    drop(_LABELS, (*_name_parts(catalogue), bundle.fingerprint))


def _name_parts(catalogue: Catalogue) -> tuple[str, ...]:
    return (catalogue.fingerprint, str(catalogue.source), str(len(catalogue.rejects)))


def _to_plain(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [own.to_dict() for own in findings]


def _from_plain(plain: Sequence[dict[str, Any]]) -> tuple[Finding, ...]:
    return tuple(
        Finding(**own | {"severity": Severity(own["severity"]), "products": tuple(own["products"])}) for own in plain
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
