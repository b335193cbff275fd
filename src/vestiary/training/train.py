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
from vestiary.calibration import Calibration, Hierarchy
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import TrainingError
from vestiary.metrics import Scores
from vestiary.predictor import Predictor, calibrate_bundle
from vestiary.product import Split
from vestiary.reports.card import describe_machine, write_card
from vestiary.tags import find_clash
from vestiary.taxonomy import MISSING
from vestiary.training.dataset import Samples, open_samples
from vestiary.training.export import export_onnx, measure_rounding, prove_parity
from vestiary.training.fit import fit
from vestiary.training.losses import describe_weights
from vestiary.training.model import Classifier
from vestiary.training.processes import join_processes
from vestiary.training.progress import OnProgress, OnStage
from vestiary.training.rare import settle_rare_values
from vestiary.training.recipe import Recipe, check_catalogue
from vestiary.training.rehearsal import rehearse
from vestiary.training.storage import narrow_weights
from vestiary.training.teaching import open_teachers
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
    teachers: Sequence[str | Path] = (),
    logs: Sequence[str] = (),
    hosted: bool = False,
    on_decode: Progress | None = None,
    on_progress: OnProgress | None = None,
    on_calibrate: Progress | None = None,
    on_stage: OnStage = lambda line: None,
) -> tuple[Bundle, dict[str, Scores]]:
    """Train and write the bundle to ``out``; the bundle and its figures on the validation split, by attribute.

    ``cache`` is a folder for decoded pictures; checkpoints and the log go to ``<out>.training`` beside the bundle, and
    stay. ``threads`` is the number of cores to use, 0 for all; ``teachers`` are bundles whose answers are learnt beside
    the labels; ``logs`` names further logs, as ``fit`` takes them. The
    test split is not touched. Where ``accelerate launch`` started several processes they train together; the first one
    writes, the others end when training does, or raise HasLeftError where they are ``hosted``. Raises UsageError when
    ``out`` may not be written, RecipeError when the recipe does not fit the catalogue, TrainingError as ``rehearse``
    and ``fit`` do, when an attribute cannot be learnt, when another run is writing to ``out``, and when the export does
    not say what the network says.
    """
    out = out.resolve()
    work = out.with_name(f"{out.name}.training")
    check_writable(out, overwrite=overwrite or resume)
    check_catalogue(recipe, catalogue)
    check_logs(logs)
    refuse_attributes(catalogue)
    Hierarchy.of(catalogue.taxonomy)  # refuses rules that cannot be answered by, before the hours of training
    if threads:
        torch.set_num_threads(threads)
    processes = join_processes(hosted=hosted)
    if not processes.is_main:
        on_decode = on_progress = None
        on_stage = _say_nothing
    rehearse(recipe, catalogue.taxonomy, on_stage)
    masters = open_teachers(teachers, recipe, catalogue.taxonomy, processes.device, on_stage=on_stage)
    if any(master.bundle.learnt_from != {catalogue.fingerprint} for master in masters):
        on_stage(
            "a teacher learnt from another catalogue or split (or it is not recorded from which), so it may have seen "
            "test products"
        )
    with processes.main_first():
        samples = open_samples(catalogue, recipe.preprocess, cache, progress=on_decode)
    samples, rare = settle_rare_values(samples, catalogue.taxonomy, recipe)
    refuse_missing_answers(catalogue, samples)
    if processes.count > 1:
        on_stage(f"{processes.count} processes train together")
    on_stage(f"{len(samples.pixels):,} pictures at {recipe.width}×{recipe.height} px are ready in {cache}")
    weighed = describe_weights(recipe, catalogue.taxonomy, samples.labels[samples.rows[Split.TRAIN]])
    for line in [*rare, *weighed]:
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
                teachers=masters,
                logs=logs,
                on_progress=on_progress,
                on_stage=on_stage,
            )
            processes.leave()
            bundle, parity = _export(model, catalogue, recipe, samples, licence)
            worst, pictures = parity["max_difference"], parity["pictures"]
            on_stage(f"export and network agree to {worst:.1e} on {pictures} validation pictures")
            if "rounding" in parity:
                on_stage(f"weights stored as fp16 change no logit there by more than {parity['rounding']:.1e}")
            bundle, evaluation = calibrate_bundle(
                bundle, catalogue, target_precision=recipe.target_precision, progress=on_calibrate
            )
            n = len(catalogue.select(Split.VALIDATION))
            on_stage(f"calibrated on {n:,} validation products through the exported model")
            training: dict[str, Any] = {
                **bundle.training,
                "recipe": recipe.to_dict(),
                "catalogue": {"fingerprint": catalogue.fingerprint, "counts": catalogue.counts},
                "parity": parity,
                "backbone": model.describe(),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "seconds": round(facts.seconds),
                "machine": describe_machine(),
                "epoch": facts.epoch,
                "batch_size": facts.batch_size,
                "learning_rate": facts.learning_rate,
                "attribute_weights": facts.attribute_weights,
                "log": facts.log,
            }
            if masters:
                training["teachers"] = [master.to_dict() for master in masters]
            bundle = replace(bundle, training=training)
            card = write_card(bundle, catalogue, evaluation)
            return replace(bundle, card=card).write(out, overwrite=True), evaluation.attributes
    except Timeout as error:
        raise TrainingError(f"Another run is writing to {out}; wait for it or choose another place.") from error


def _export(
    model: Classifier, catalogue: Catalogue, recipe: Recipe, samples: Samples, licence: str
) -> tuple[Bundle, dict[str, Any]]:
    """The uncalibrated bundle, and its largest difference from the network on some validation pictures.

    Parity is proved with weights as trained; what storing them as fp16 changes is measured beside it.
    """
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
    pixels = samples.pixels[samples.rows[Split.VALIDATION][:PARITY_PICTURES]]
    exact = Predictor(bundle)
    parity = {"max_difference": prove_parity(model, exact, pixels), "pictures": len(pixels)}
    if recipe.weights == "fp16":
        bundle = replace(bundle, model=narrow_weights(bundle.model))
        parity["rounding"] = measure_rounding(exact, Predictor(bundle), pixels)
    return bundle, parity


def refuse_attributes(catalogue: Catalogue) -> None:
    """Raise TrainingError for an attribute called as what models or tables have, or with one value."""
    clash = find_clash(catalogue.taxonomy.names)
    if clash is not None:
        raise TrainingError(
            f"Attribute {clash} cannot be learnt under this name, since tables of answers have a column of that name; "
            f"ingest the source again with another name, such as --attribute kind={clash}."
        )
    for attribute in catalogue.taxonomy.attributes:
        if attribute.name in ("images", "embedding"):
            raise TrainingError(
                f"Attribute {attribute.name} cannot be learnt under this name, since every model has images and an "
                "embedding of its own; ingest the source again with another name, such as --attribute "
                f"kind={attribute.name}."
            )
        if len(attribute.values) < 2:
            raise TrainingError(
                f"Attribute {attribute.name} has the single value {attribute.values[0]!r}, so there is nothing "
                "to learn; leave it out of the taxonomy."
            )


def refuse_missing_answers(catalogue: Catalogue, samples: Samples) -> None:
    """Raise TrainingError where an attribute has not two values to learn and one label to be measured by."""
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
