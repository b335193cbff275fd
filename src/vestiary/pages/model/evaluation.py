"""How good a bundle is on a catalogue's validation split, product by product, and what follows from it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestiary.bundle import Bundle
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import CatalogueError
from vestiary.metrics import Evaluation, Outcome, trace_risk_coverage
from vestiary.pages.background import CHORES, wait_for
from vestiary.pages.cache import recall
from vestiary.pages.shelf import Shelf
from vestiary.predictor import Predictor, collect_outputs, evaluate_outputs
from vestiary.product import Split

SPLIT = Split.VALIDATION
"""The products that pages measure on; those of the test split are left for the last word of a report."""


def evaluate_bundle(bundle: Bundle, catalogue: Catalogue, progress: Progress | None = None) -> Evaluation:
    """The evaluation of ``bundle`` on SPLIT; the model's answers are kept, so that only the first takes long.

    One core is used, so that the service beside it stays quick. Raises CatalogueError when there is nothing to measure
    or a photo cannot be read any more.
    """
    products = catalogue.select(SPLIT)
    if not products:
        raise CatalogueError(f"The {SPLIT} split of this catalogue has no products; ingest the source again.")
    shared = [name for name in bundle.taxonomy.names if name in catalogue.taxonomy.names]
    if not shared:
        raise CatalogueError(
            f"The catalogue has {', '.join(catalogue.taxonomy.names)}, but {bundle.name} answers "
            f"{', '.join(bundle.taxonomy.names)}; look at it with a catalogue that has one of these."
        )
    if not any(name in product.labels for product in products for name in shared):
        raise CatalogueError(
            f"No product of the {SPLIT} split has a label of {', '.join(shared)}; ingest a source where more have one."
        )

    def make() -> bytes:
        file = io.BytesIO()
        outputs: dict[str, Any] = {
            **collect_outputs(Predictor(bundle, threads=1), catalogue, products, progress=progress)
        }
        np.savez(file, **outputs)
        return file.getvalue()

    kept = recall("answers", (bundle.fingerprint, catalogue.fingerprint, str(SPLIT)), make)
    with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
        return evaluate_outputs(bundle, catalogue, products, dict(arrays), split=str(SPLIT))


def ask_evaluation(shelf: Shelf, bundle: Bundle) -> Evaluation | None:
    """The figures of a bundle on the catalogue, or None while they are worked out. Raises what that raises."""
    key = ("evaluation", bundle.fingerprint, shelf.key)
    chore = CHORES.ask(key, lambda progress: evaluate_bundle(bundle, shelf.catalogue, progress))
    if not chore.is_done:
        wait_for(chore, f"The bundle {bundle.name} answers the {SPLIT} split, once; this may take minutes.")
        return None
    if chore.has_failed:  # told once: whoever looks again may have mended it
        CHORES.forget(key)
    return chore.result()


def find_rows(outcome: Outcome, *, label: str | None = None, answer: str | None = None) -> NDArray[np.int64]:
    """Rows with this label and this answer (None: any), the surest answers first: ``int64 [rows]``."""
    chosen = outcome.known.copy()
    if label is not None:
        chosen &= outcome.labels == outcome.values.index(label)
    if answer is not None:
        chosen &= outcome.answers == outcome.values.index(answer)
    return _surest_first(outcome, chosen)


def find_wrong(outcome: Outcome, label: str) -> NDArray[np.int64]:
    """Rows with this label that were answered otherwise, the surest answers first: ``int64 [rows]``."""
    return _surest_first(outcome, (outcome.labels == outcome.values.index(label)) & ~outcome.right)


def find_turned(now: Outcome, then: Outcome, *, gained: bool) -> NDArray[np.int64]:
    """Rows that only ``now`` answers rightly (or, not ``gained``, only ``then``), the surest of ``now`` first."""
    better, worse = (now, then) if gained else (then, now)
    return _surest_first(now, now.known & better.right & ~worse.right)


def _surest_first(outcome: Outcome, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(chosen)
    ordered: NDArray[np.int64] = rows[np.argsort(-outcome.confidence[rows], kind="stable")]
    return ordered


@dataclass(frozen=True)
class Ease:
    """How many answers need nobody when so many of them shall be right: ``coverage`` 0..1, from ``threshold`` on.

    ``threshold`` is None where no confidence reaches the precision.
    """

    precision: float
    coverage: float
    threshold: float | None


def ease_at(outcome: Outcome, precision: float) -> Ease:
    """The lowest threshold at which ``precision`` (0..1) of the labelled answers above it are right."""
    own = outcome.select(outcome.known)
    coverage = trace_risk_coverage(own.confidence, own.right).coverage_at(precision)
    if not coverage:
        return Ease(precision, 0.0, None)
    ranked = np.sort(own.confidence)[::-1]
    return Ease(precision, coverage, float(ranked[round(coverage * len(ranked)) - 1]))


def share_untouched(outcomes: Mapping[str, Outcome], precision: float) -> float:
    """The share of products, 0..1, all of whose answers are taken without a look at that precision of each."""
    taken = [
        np.zeros(len(own.labels), dtype=bool) if ease.threshold is None else own.confidence >= ease.threshold
        for own in outcomes.values()
        if own.known.any()
        for ease in [ease_at(own, precision)]
    ]
    return float(np.all(taken, axis=0).mean()) if taken else 0.0
