"""The backbone that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vestiary.errors import require
from vestiary.training.model.normalisation import IMAGENET, Normalisation
from vestiary.training.model.residual import ResidualBackbone
from vestiary.training.model.weights import load_weights
from vestiary.training.recipe import RESIDUAL, Recipe

if TYPE_CHECKING:
    from vestiary.training.model.transformer import TransformersBackbone


@dataclass(frozen=True)
class BuiltBackbone:
    """A backbone, what its pictures are normalised by, and where its weights come from, for people."""

    network: ResidualBackbone | TransformersBackbone
    normalisation: Normalisation
    origin: str


def build_backbone(recipe: Recipe) -> BuiltBackbone:
    """Our residual net or a model of transformers, with published weights, those of a file, or random ones.

    Random weights are drawn from torch's state. Raises RecipeError, TrainingError or MissingExtraError when there is no
    such backbone, or its weights are another's.
    """
    if recipe.backbone == RESIDUAL:
        residual = ResidualBackbone(recipe.stem, recipe.stages, recipe.squeezed)
        origin = load_weights(residual, Path(recipe.backbone_weights)) if recipe.pretrained else "random weights"
        return BuiltBackbone(residual, IMAGENET, origin)
    require("transformers", extra="train", feature=f"The backbone {recipe.backbone}")
    from vestiary.training.model.pretrained import find_normalisation, load_transformer
    from vestiary.training.model.transformer import TransformersBackbone

    model, config, origin = load_transformer(recipe)
    normalisation, remark = find_normalisation(recipe)
    network = TransformersBackbone(model, config)
    for phase in recipe.phases:
        network.look(phase.height, phase.width)
    return BuiltBackbone(network, normalisation, f"{origin}; {remark}" if remark else origin)
