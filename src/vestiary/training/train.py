"""From catalogue and recipe to bundle: decode, fit, export, prove parity, calibrate through the shipped path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from vestiary import __version__
from vestiary.bundle import Bundle, check_writable
from vestiary.calibration import Calibration, calibrate
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import TrainingError
from vestiary.metrics import Evaluation, Scores
from vestiary.predictor import Predictor, collect_logits, encode_labels, evaluate_logits
from vestiary.product import Split
from vestiary.reports.card import describe_machine, write_card
from vestiary.reports.model import load_log
from vestiary.training.dataset import Samples, open_samples
from vestiary.training.export import export_onnx, prove_parity
from vestiary.training.fit import OnProgress, fit
from vestiary.training.model import Classifier
from vestiary.training.recipe import Recipe

PARITY_PICTURES = 256

OnStage = Callable[[str], None]
"""Called with a short line for people whenever a stage ends."""


def train(
    catalogue: Catalogue,
    recipe: Recipe,
    out: Path,
    *,
    cache: Path,
    resume: bool = False,
    overwrite: bool = False,
    licence: str = "unspecified",
    threads: int = 0,
    on_decode: Progress | None = None,
    on_progress: OnProgress | None = None,
    on_calibrate: Progress | None = None,
    on_stage: OnStage = lambda line: None,
) -> tuple[Bundle, dict[str, Scores]]:
    """Train and write the bundle to ``out``; the bundle and its figures on the validation split, by attribute.

    ``cache`` is a folder for decoded pictures; checkpoints and the log go to ``<out>.training`` beside the bundle, and
    stay. ``threads`` is the number of cores to use, 0 for all. The test split is not touched. Raises UsageError when
    ``out`` may not be written, TrainingError as ``fit`` does, when another run is writing to ``out``, and when the
    export does not say what the network says.
    """
    out = out.resolve()
    work = out.with_name(f"{out.name}.training")
    check_writable(out, overwrite=overwrite or resume)
    _refuse_single_answers(catalogue)
    if threads:
        torch.set_num_threads(threads)
    samples = open_samples(catalogue, recipe.preprocess, cache, progress=on_decode)
    on_stage(f"{len(samples.pixels):,} pictures at {recipe.width}×{recipe.height} px are ready in {cache}")
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            model, seconds = fit(
                recipe,
                catalogue.taxonomy,
                samples,
                work,
                resume=resume,
                overwrite=overwrite,
                on_progress=on_progress,
            )
            bundle, parity, pictures = _export(model, catalogue, recipe, samples, licence)
            on_stage(f"export and network agree to {parity:.1e} on {pictures} validation pictures")
            bundle, evaluation = _calibrate(bundle, catalogue, recipe, on_calibrate)
            n = len(catalogue.select(Split.VALIDATION))
            on_stage(f"calibrated on {n:,} validation products through the exported model")
            training: dict[str, Any] = {
                "recipe": recipe.to_dict(),
                "catalogue": {"fingerprint": catalogue.fingerprint, "counts": catalogue.counts},
                "parity": {"max_difference": parity, "pictures": pictures},
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "seconds": round(seconds),
                "machine": describe_machine(),
                "log": load_log(work / "log.csv"),
            }
            scores = {name: own.to_dict() for name, own in evaluation.attributes.items()}
            bundle = replace(bundle, scores={"validation": scores}, training=training)
            card = write_card(bundle, catalogue, evaluation)
            return replace(bundle, card=card).write(out, overwrite=True), evaluation.attributes
    except Timeout as error:
        raise TrainingError(f"Another run is writing to {out}; wait for it or choose another place.") from error


def _export(
    model: Classifier, catalogue: Catalogue, recipe: Recipe, samples: Samples, licence: str
) -> tuple[Bundle, float, int]:
    """The uncalibrated bundle, its largest difference from the network, and on how many pictures that was measured."""
    bundle = Bundle(
        name=recipe.name,
        version=__version__,
        taxonomy=catalogue.taxonomy,
        preprocess=recipe.preprocess,
        calibration=Calibration.neutral(catalogue.taxonomy.names),
        model=export_onnx(model, catalogue.taxonomy, height=recipe.height, width=recipe.width),
        card="",
        licence=licence,
        scores={},
        training={},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    rows = samples.rows[Split.VALIDATION][:PARITY_PICTURES]
    return bundle, prove_parity(model, Predictor(bundle), samples.pixels[rows]), len(rows)


def _calibrate(
    bundle: Bundle, catalogue: Catalogue, recipe: Recipe, progress: Progress | None
) -> tuple[Bundle, Evaluation]:
    """The bundle with temperatures and thresholds fitted on validation, and its figures there."""
    products = catalogue.select(Split.VALIDATION)
    logits = collect_logits(Predictor(bundle), catalogue, products, progress=progress)
    labels = encode_labels(catalogue.taxonomy, products)
    bundle = replace(bundle, calibration=calibrate(logits, labels, target_precision=recipe.target_precision))
    return bundle, evaluate_logits(bundle, catalogue, products, logits, split=str(Split.VALIDATION))


def _refuse_single_answers(catalogue: Catalogue) -> None:
    for attribute in catalogue.taxonomy.attributes:
        if len(attribute.values) < 2:
            raise TrainingError(
                f"Attribute {attribute.name} has the single value {attribute.values[0]!r}, so there is nothing "
                "to learn; leave it out of the taxonomy."
            )
