"""From catalogue and recipe to bundle: decode, fit, export, prove parity, calibrate through the shipped path."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from vestiary import __version__
from vestiary.bundle import Bundle, check_writable
from vestiary.calibration import Calibration, calibrate
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import TrainingError
from vestiary.metrics import Scores
from vestiary.predictor import Predictor, collect_logits, encode_labels, score_logits
from vestiary.product import Split
from vestiary.reports.card import write_card
from vestiary.taxonomy import MISSING
from vestiary.training.dataset import Samples, open_samples
from vestiary.training.export import export_onnx, prove_parity
from vestiary.training.fit import fit
from vestiary.training.losses import describe_weights
from vestiary.training.model import Classifier
from vestiary.training.processes import join_processes
from vestiary.training.progress import OnProgress, OnStage
from vestiary.training.recipe import Recipe
from vestiary.training.tracking import check_logs

PARITY_PICTURES = 256


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
    logs: Sequence[str] = (),
    on_decode: Progress | None = None,
    on_progress: OnProgress | None = None,
    on_calibrate: Progress | None = None,
    on_stage: OnStage = lambda line: None,
) -> tuple[Bundle, dict[str, Scores]]:
    """Train and write the bundle to ``out``; the bundle and its figures on the validation split, by attribute.

    ``cache`` is a folder for decoded pictures; checkpoints and the log go to ``<out>.training`` beside the bundle, and
    stay. ``threads`` is the number of cores to use, 0 for all; ``logs`` names further logs, as ``fit`` takes them. The
    test split is not touched. Where ``accelerate launch`` started several processes they train together; the first one
    writes, the others end when training does. Raises UsageError when ``out`` may not be written,
    TrainingError as ``fit`` does, when an attribute cannot be learnt, when another run is writing to ``out``, and when
    the export does not say what the network says.
    """
    out = out.resolve()
    work = out.with_name(f"{out.name}.training")
    check_writable(out, overwrite=overwrite or resume)
    check_logs(logs)
    _refuse_single_answers(catalogue)
    if threads:
        torch.set_num_threads(threads)
    processes = join_processes()
    if not processes.is_main:
        on_decode = on_progress = None
        on_stage = _say_nothing
    with processes.main_first():
        samples = open_samples(catalogue, recipe.preprocess, cache, progress=on_decode)
    _refuse_missing_answers(catalogue, samples)
    if processes.count > 1:
        on_stage(f"{processes.count} processes train together")
    on_stage(f"{len(samples.pixels):,} pictures at {recipe.width}×{recipe.height} px are ready in {cache}")
    for line in describe_weights(recipe, catalogue.taxonomy, samples.labels[samples.rows[Split.TRAIN]]):
        on_stage(line)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0) if processes.is_main else nullcontext():
            model, facts = fit(
                recipe,
                catalogue.taxonomy,
                samples,
                work,
                resume=resume,
                overwrite=overwrite,
                processes=processes,
                logs=logs,
                on_progress=on_progress,
                on_stage=on_stage,
            )
            processes.leave()
            bundle, parity, pictures = _export(model, catalogue, recipe, samples, licence)
            on_stage(f"export and network agree to {parity:.1e} on {pictures} validation pictures")
            bundle, scores = _calibrate(bundle, catalogue, recipe, on_calibrate)
            n = len(catalogue.select(Split.VALIDATION))
            on_stage(f"calibrated on {n:,} validation products through the exported model")
            training: dict[str, Any] = {
                "recipe": recipe.to_dict(),
                "catalogue": {"fingerprint": catalogue.fingerprint, "counts": catalogue.counts},
                "parity": {"max_difference": parity, "pictures": pictures},
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "seconds": round(facts.seconds),
                "epoch": facts.epoch,
                "batch_size": facts.batch_size,
                "learning_rate": facts.learning_rate,
                "attribute_weights": facts.attribute_weights,
                "log": facts.log,
            }
            told = {"validation": {name: own.to_dict() for name, own in scores.items()}}
            bundle = replace(bundle, scores=told, training=training)
            return replace(bundle, card=write_card(bundle, scores)).write(out, overwrite=True), scores
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
) -> tuple[Bundle, dict[str, Scores]]:
    """The bundle with temperatures and thresholds fitted on validation, and its figures there."""
    products = catalogue.select(Split.VALIDATION)
    logits = collect_logits(Predictor(bundle), catalogue, products, progress=progress)
    labels = encode_labels(catalogue.taxonomy, products)
    bundle = replace(bundle, calibration=calibrate(logits, labels, target_precision=recipe.target_precision))
    return bundle, score_logits(bundle, logits, labels, catalogue.taxonomy.names)


def _refuse_single_answers(catalogue: Catalogue) -> None:
    for attribute in catalogue.taxonomy.attributes:
        if len(attribute.values) < 2:
            raise TrainingError(
                f"Attribute {attribute.name} has the single value {attribute.values[0]!r}, so there is nothing "
                "to learn; leave it out of the taxonomy."
            )


def _refuse_missing_answers(catalogue: Catalogue, samples: Samples) -> None:
    """Every attribute needs two answers to learn and one to be measured by."""
    problems = []
    for number, name in enumerate(catalogue.taxonomy.names):
        for split, needed in ((Split.TRAIN, 2), (Split.VALIDATION, 1)):
            labels = samples.labels[samples.rows[split], number]
            values = np.unique(labels[labels != MISSING])
            if len(labels) and not len(values):
                problems.append(f"{name} has no label in the {split} split")
            elif len(labels) and len(values) < needed:
                only = catalogue.taxonomy[name].values[values[0]]
                problems.append(f"{name} has the single value {only!r} in the {split} split")
    if problems:
        raise TrainingError(f"{'; '.join(problems)}; label more products, or leave the attribute out of the catalogue.")


def _say_nothing(line: str) -> None:
    """For processes that do not speak."""
