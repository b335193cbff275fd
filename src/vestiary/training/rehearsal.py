"""The network of a recipe, built and exported once before hours are spent on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vestiary.errors import TrainingError, first_sentence
from vestiary.taxonomy import Taxonomy
from vestiary.training.export import export_onnx
from vestiary.training.model import Classifier
from vestiary.training.recipe import RESIDUAL, Recipe


def rehearse(recipe: Recipe, taxonomy: Taxonomy, on_stage: Callable[[str], None]) -> None:
    """Build the network, say what it is, and see that it can be exported.

    Raises what ``Classifier`` raises, and TrainingError when ONNX cannot hold the backbone.
    """
    is_residual = recipe.backbone == RESIDUAL
    if recipe.pretrained and not is_residual and not Path(recipe.backbone).exists():
        on_stage(f"asking the Hugging Face hub for {recipe.backbone}")
    model = Classifier(recipe, taxonomy)
    on_stage(model.describe())
    if recipe.train_backbone == "frozen" and not recipe.pretrained:
        on_stage("the backbone is frozen with random weights, so only the heads learn")
    if recipe.train_backbone == "staged" and recipe.frozen_epochs >= recipe.epochs:
        on_stage(f"the backbone never learns: frozen_epochs is {recipe.frozen_epochs}, and the run has no more epochs")
    if is_residual:
        return
    try:
        export_onnx(model, taxonomy, height=recipe.height, width=recipe.width)
    except Exception as error:  # the exporter wraps whatever it stumbled over
        raise TrainingError(
            f"The backbone {recipe.backbone} cannot be exported to ONNX at {recipe.width}×{recipe.height} px "
            f"({first_sentence(error.__cause__ or error)}); choose another backbone or size."
        ) from error
