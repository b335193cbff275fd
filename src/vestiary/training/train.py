"""From catalogue and recipe to bundle: decode, fit, export, prove parity, calibrate through the shipped path."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from vestiary import __version__
from vestiary.bundle import Bundle, check_writable
from vestiary.calibration import Calibration, calibrate
from vestiary.catalogue import Catalogue
from vestiary.errors import TrainingError
from vestiary.predictor import Evaluation, Predictor, collect_logits, encode_labels, evaluate
from vestiary.product import Split
from vestiary.reports.card import write_card
from vestiary.training.dataset import Progress, open_samples
from vestiary.training.export import export_onnx, prove_parity
from vestiary.training.fit import OnProgress, fit
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
    on_decode: Progress | None = None,
    on_progress: OnProgress | None = None,
    on_stage: OnStage = lambda line: None,
) -> tuple[Bundle, Evaluation]:
    """Train and write the bundle to ``out``; the bundle and its figures on the validation split.

    ``cache`` is a folder for decoded pictures; checkpoints and the log go to ``<out>.training`` beside the bundle,
    and stay. The test split is not touched. Raises UsageError when ``out`` may not be written, TrainingError as
    ``fit`` does and when the export does not say what the network says.
    """
    work = out.with_name(f"{out.name}.training")
    check_writable(out, overwrite=overwrite or resume)
    _refuse_single_answers(catalogue)
    if overwrite:
        shutil.rmtree(work, ignore_errors=True)
    samples = open_samples(catalogue, recipe.preprocess, cache, progress=on_decode)
    on_stage(f"{len(samples.pixels):,} pictures at {recipe.width}×{recipe.height} px are ready in {cache}")
    model = fit(recipe, catalogue.taxonomy, samples, work, resume=resume, on_progress=on_progress)
    onnx_bytes = export_onnx(model, catalogue.taxonomy, height=recipe.height, width=recipe.width)
    draft = Bundle(
        name=recipe.name,
        version=__version__,
        taxonomy=catalogue.taxonomy,
        preprocess=recipe.preprocess,
        calibration=Calibration.neutral(catalogue.taxonomy.names),
        model=onnx_bytes,
        card="",
        licence=licence,
        scores={},
        training={},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    predictor = Predictor(draft)
    rows = samples.rows[Split.VALIDATION][:PARITY_PICTURES]
    parity = prove_parity(model, predictor, list(samples.pixels[rows]))
    on_stage(f"export and network agree to {parity:.1e} on {len(rows)} validation pictures")
    validation = catalogue.select(Split.VALIDATION)
    calibration = calibrate(
        collect_logits(predictor, catalogue, validation),
        encode_labels(predictor, validation),
        target_precision=recipe.target_precision,
    )
    predictor.bundle = draft = replace(draft, calibration=calibration)
    evaluation = evaluate(predictor, catalogue, split=Split.VALIDATION)
    on_stage(f"calibrated on {evaluation.n:,} validation products through the exported model")
    training = {
        "recipe": recipe.to_dict(),
        "catalogue": {"fingerprint": catalogue.fingerprint, "counts": catalogue.counts},
        "parity": {"max_difference": parity, "pictures": len(rows)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    scores = {"validation": {name: own.to_dict() for name, own in evaluation.attributes.items()}}
    draft = replace(draft, scores=scores, training=training)
    bundle = replace(draft, card=write_card(draft, evaluation.attributes)).write(out, overwrite=True)
    return bundle, evaluation


def _refuse_single_answers(catalogue: Catalogue) -> None:
    for attribute in catalogue.taxonomy.attributes:
        if len(attribute.values) < 2:
            raise TrainingError(
                f"Attribute {attribute.name} has the single value {attribute.values[0]!r}, so there is nothing "
                "to learn; leave it out of the taxonomy."
            )
