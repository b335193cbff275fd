"""A bundle's confidences, fitted on the validation split of a catalogue through the path that every answer takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from vestiary.bundle import Bundle
from vestiary.calibration import (
    FALSE_ALARMS,
    SET_COVERAGE,
    TARGET_PRECISION,
    Familiarity,
    calibrate,
    fit_familiarity,
)
from vestiary.catalogue import Catalogue, Progress
from vestiary.drift import Reference, Sighting, fit_reference
from vestiary.errors import CatalogueError
from vestiary.metrics import Evaluation
from vestiary.predictor.evaluation import collect_embeddings, collect_outputs, encode_labels, evaluate_outputs
from vestiary.predictor.session import BATCH, Predictor
from vestiary.product import Product, Split

MAX_REFERENCE = 50_000
"""Training pictures that the reference of what is familiar is made from; of more, evenly spaced ones are taken."""
MAX_WATCHED = 20_000
"""Validation pictures that the reference of what is usual is made from; of more, evenly spaced ones are taken."""


def calibrate_bundle(
    bundle: Bundle,
    catalogue: Catalogue,
    *,
    target_precision: float = TARGET_PRECISION,
    set_coverage: float = SET_COVERAGE,
    false_alarms: float = FALSE_ALARMS,
    progress: Progress | None = None,
) -> tuple[Bundle, Evaluation]:
    """The bundle with everything fitted anew that its confidences rest on, and its figures on the validation split.

    Temperatures, thresholds, set limits, the limit of what is unfamiliar and the reference for drift come from the
    validation split, the reference of what is familiar from the training split (where that gives none, the bundle's
    own stays; of too few validation pictures no reference for drift is made); each view of
    a product counts on its own, as tagging answers it, while the figures are those of ``evaluate``. An attribute
    without labels there is left for review. The fp32 model is the same, and so is the card, and nothing is written; an
    int8 model, which was measured and let in with the confidences of before, is left out.
    CatalogueError when the validation split is empty, has no label that the bundle answers, or has unreadable pictures.
    """
    taxonomy = bundle.taxonomy
    products = catalogue.select(Split.VALIDATION)
    if not products:
        raise CatalogueError("The validation split of this catalogue has no products; ingest it with more of them.")
    views = _part_views(products)
    labels = encode_labels(taxonomy, views)
    if not any((labels[name] >= 0).any() for name in taxonomy.names):
        raise CatalogueError(
            f"The validation split has no label for {', '.join(taxonomy.names)}, which the bundle answers; "
            "calibrate on a catalogue with one of these."
        )
    predictor = Predictor(bundle)
    outputs = collect_outputs(predictor, catalogue, views, progress=progress)
    calibration = calibrate(
        {name: outputs[name] for name in taxonomy.names},
        labels,
        taxonomy,
        target_precision=target_precision,
        set_coverage=set_coverage,
        groups=np.unique([view.group for view in views], return_inverse=True)[1],
    )
    reference = _refer(predictor, catalogue, progress)
    if reference is not None:
        reference = reference.limited(outputs["embedding"], false_alarms=false_alarms)
    told = {"catalogue": catalogue.fingerprint, "products": len(products)}
    bundle = replace(
        bundle,
        calibration=calibration,
        familiarity=reference,
        int8=None,
        reference=None,
        training={**bundle.training, "calibration": told},
        fingerprint="",
    )
    if len(views) > len(products):
        outputs = collect_outputs(predictor, catalogue, products, progress=progress)
    evaluation = evaluate_outputs(bundle, catalogue, products, outputs, split=str(Split.VALIDATION))
    scores = {name: own.to_dict() for name, own in evaluation.attributes.items() if own.n}
    bundle = replace(bundle, scores={"validation": scores}, reference=_watch(bundle, catalogue, views, progress))
    return bundle, evaluation


def _part_views(products: Sequence[Product]) -> list[Product]:
    """A product for each picture: a tag is an answer for one, which is less sure than the mean over all views."""
    return [replace(product, images=(image,)) for product in products for image in product.images]


def _space_out(products: list[Product], most: int) -> list[Product]:
    """All products, or of more than ``most`` evenly spaced ones."""
    if len(products) <= most:
        return products
    return [products[index] for index in np.linspace(0, len(products) - 1, most).astype(int)]


def _watch(bundle: Bundle, catalogue: Catalogue, views: list[Product], progress: Progress | None) -> Reference | None:
    """What the finished bundle says of the validation pictures, answered as any other picture is."""
    predictor, source, views = Predictor(bundle), catalogue.open_source(), _space_out(views, MAX_WATCHED)
    sightings: list[Sighting] = []
    for start in range(0, len(views), BATCH):
        pictures = [partial(source.read, view.images[0]) for view in views[start : start + BATCH]]
        sightings += [Sighting.from_prediction(prediction) for prediction in predictor.predict(pictures)]
        if progress is not None:
            progress(len(sightings), len(views))
    groups = np.unique([view.group for view in views], return_inverse=True)[1]
    return fit_reference(sightings, bundle.taxonomy.values, groups)


def _refer(predictor: Predictor, catalogue: Catalogue, progress: Progress | None) -> Familiarity | None:
    """The reference of what is familiar, from the training split; that of the bundle where it gives none."""
    products = _part_views(catalogue.select(Split.TRAIN))
    products = _space_out(products, MAX_REFERENCE)
    if not products:
        return predictor.bundle.familiarity
    embeddings = collect_embeddings(predictor, catalogue, products, progress=progress)
    found = fit_familiarity(embeddings, encode_labels(predictor.bundle.taxonomy, products))
    return found or predictor.bundle.familiarity
