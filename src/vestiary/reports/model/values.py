"""Everything the model report says, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from vestiary.bundle import Bundle
from vestiary.catalogue import Catalogue, Progress
from vestiary.catalogue.sources import name_place
from vestiary.metrics import (
    Comparison,
    Evaluation,
    Outcome,
    ReliabilityBin,
    RiskCoverage,
    Scores,
    ValueScores,
    bin_reliability,
    trace_risk_coverage,
)
from vestiary.reports.bias import AdultLabels, PeopleGroup, compare_people, count_adult_labels
from vestiary.reports.model.hierarchy import Agreement, Matrix, build_matrix, check_agreement
from vestiary.reports.model.pictures import Album, Answered, Loss, Pair, open_album
from vestiary.reports.model.training import TrainingCurves, trace_training

TARGETS = (0.90, 0.95, 0.98, 0.99)
"""Shares of right answers for which the report tells the coverage they cost."""

WORST, LEAST_CASES = 5, 20
"""How many of the worst values are called out, among those with at least so many products."""

SEED = 42


@dataclass(frozen=True)
class AttributeReport:
    """One attribute: its figures, how its confidence holds, its values (most products first), and where it fails.

    ``targets`` are pairs (share right, coverage): how many answers could be taken on these very products.
    ``chosen`` is the (coverage, risk) of the threshold.
    """

    name: str
    title: str
    scores: Scores
    temperature: float
    threshold: float | None
    reliability: tuple[ReliabilityBin, ...]
    reliability_before: tuple[ReliabilityBin, ...]
    curve: RiskCoverage
    chosen: tuple[float, float] | None
    targets: tuple[tuple[float, float], ...]
    values: tuple[ValueScores, ...]
    worst: tuple[ValueScores, ...]
    matrix: Matrix
    pairs: tuple[Pair, ...]
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class ModelReport:
    """Everything the report says; ``finest`` is the attribute with the most values, shown in pictures."""

    bundle: Bundle
    catalogue: str
    catalogue_fingerprint: str
    trained_on_it: bool
    calibrated_on_it: bool
    made_at: datetime
    evaluation: Evaluation
    attributes: tuple[AttributeReport, ...]
    skipped: tuple[str, ...]
    views: tuple[Evaluation, ...]
    comparison: Comparison | None
    agreement: tuple[Agreement, ...]
    answered: tuple[Answered, ...]
    people: tuple[str, str | None, tuple[PeopleGroup, ...]] | None
    adults: AdultLabels | None
    curves: TrainingCurves | None
    advice: tuple[tuple[str, str], ...]

    @property
    def finest(self) -> AttributeReport:
        """The attribute with the most values."""
        return max(self.attributes, key=lambda own: len(own.values))


def build_model_report(
    bundle: Bundle,
    catalogue: Catalogue,
    evaluation: Evaluation,
    *,
    views: Sequence[Evaluation] = (),
    comparison: Comparison | None = None,
    log: Sequence[Mapping[str, Any]] = (),
    made_at: datetime | None = None,
    on_pictures: Progress | None = None,
) -> ModelReport:
    """Sum up an evaluation of ``bundle`` on a split of ``catalogue``, and choose the pictures that tell most.

    ``log`` are the epochs of the training, for a bundle that does not hold them itself. Raises CatalogueError when the
    pictures' source is gone.
    """
    taxonomy = bundle.taxonomy
    labelled = [name for name, own in evaluation.attributes.items() if own.n]
    finest = max(labelled, key=lambda name: len(taxonomy[name].values), default="")
    album = open_album(catalogue, evaluation, progress=on_pictures, n_stages=len(labelled) + 1)
    attributes = []
    for name in labelled:
        attributes.append(_sum_up(name, bundle, catalogue, evaluation, album, first=name == finest))
        album.tell()
    answered = album.show_answers(seed=SEED)
    album.tell()
    return ModelReport(
        bundle=bundle,
        catalogue=name_place(catalogue.source),
        catalogue_fingerprint=catalogue.fingerprint,
        trained_on_it=catalogue.fingerprint in bundle.learnt_from,
        calibrated_on_it=bundle.calibrated_on == catalogue.fingerprint,
        made_at=made_at or datetime.now(UTC),
        evaluation=evaluation,
        attributes=tuple(attributes),
        skipped=tuple(name for name in taxonomy.names if name not in labelled),
        views=tuple(views),
        comparison=comparison,
        agreement=check_agreement(taxonomy, evaluation),
        answered=answered,
        people=compare_people(evaluation),
        adults=count_adult_labels(evaluation),
        curves=trace_training(bundle.training.get("log") or log, taxonomy.names),
        advice=tuple(_advise(attributes, bundle)),
    )


def _sum_up(
    name: str, bundle: Bundle, catalogue: Catalogue, evaluation: Evaluation, album: Album, *, first: bool
) -> AttributeReport:
    outcome, scores = evaluation.outcomes[name], evaluation.attributes[name]
    own = outcome.select(outcome.known)
    curve = trace_risk_coverage(own.confidence, own.right)
    occurring = [value for value in scores.values if value.n or value.answered]
    common = [value for value in occurring if value.n >= LEAST_CASES]
    chosen = None
    if scores.coverage and scores.accepted_accuracy is not None:
        chosen = (scores.coverage, 1 - scores.accepted_accuracy)
    return AttributeReport(
        name=name,
        title=bundle.taxonomy.titles[name],
        scores=scores,
        temperature=bundle.calibration.temperatures[name],
        threshold=bundle.calibration.thresholds[name],
        reliability=bin_reliability(own.confidence, own.right),
        reliability_before=_bin_before(own),
        curve=curve,
        chosen=chosen,
        targets=tuple((target, curve.coverage_at(target)) for target in TARGETS),
        values=tuple(sorted(occurring, key=lambda value: -value.n)),
        worst=tuple(sorted(common, key=lambda value: value.f1 or 0.0)[:WORST]),
        matrix=build_matrix(name, bundle.taxonomy, catalogue, outcome),
        pairs=album.show_pairs(name, n=12 if first else 6, pictures=4 if first else 2),
        losses=album.show_losses(name, n=24 if first else 8),
    )


def _bin_before(own: Outcome) -> tuple[ReliabilityBin, ...]:
    if own.raw is None:
        return ()
    return bin_reliability(own.raw.max(axis=1), np.asarray(own.raw.argmax(axis=1) == own.labels))


def _advise(attributes: Sequence[AttributeReport], bundle: Bundle) -> list[tuple[str, str]]:
    """What to do next, as (title, text): what costs most first."""
    advice = []
    for own in attributes:
        if own.threshold is None:
            advice.append(
                (
                    f"{own.title}: every answer waits for a person",
                    "No threshold reached the target precision. Collect more or cleaner labels of it, or train again "
                    "with a lower target_precision.",
                )
            )
        elif own.scores.accepted_accuracy is not None and own.chosen is not None:
            gap = bundle.calibration.target_precision - own.scores.accepted_accuracy
            low_high = own.scores.intervals.get("accepted_accuracy")
            if gap > 0 and low_high is not None and low_high[1] < bundle.calibration.target_precision:
                advice.append(
                    (
                        f"{own.title}: accepted answers miss their target by {100 * gap:.1f} points",
                        "These products differ from those that the threshold was fitted on. Calibrate again on "
                        "products like these.",
                    )
                )
        weak = [value for value in own.worst if value.recall is not None and value.recall < 0.5]
        if weak:
            named = ", ".join(f"{value.value} ({value.n:,})" for value in weak)
            what = f"{len(weak)} common values are" if len(weak) > 1 else f"{weak[0].value} are"
            advice.append(
                (
                    f"{own.title}: most products of {what} answered otherwise",
                    f"{named}. Look at their pictures: mend labels, merge values that nobody can tell apart, or "
                    "collect more of them.",
                )
            )
    return advice
