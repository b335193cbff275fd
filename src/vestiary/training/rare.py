"""Values with few training pictures: counted aloud, and masked where the recipe says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vestiary.errors import TrainingError
from vestiary.product import Split
from vestiary.taxonomy import MISSING, Taxonomy
from vestiary.training.dataset import Samples
from vestiary.training.recipe import Recipe


def settle_rare_values(samples: Samples, taxonomy: Taxonomy, recipe: Recipe) -> tuple[Samples, list[str]]:
    """The samples as the recipe wants rare values, and a line for people per attribute that has any.

    Masked labels are missing in training alone: validation and test still ask for them, so the figures stay honest.
    Raises TrainingError when masking leaves an attribute fewer than two values.
    """
    rows, labels = samples.rows[Split.TRAIN], samples.labels.copy()
    lines = []
    for column, attribute in enumerate(taxonomy.attributes):
        own = labels[rows, column]
        counts = np.bincount(own[own != MISSING], minlength=len(attribute.values))
        rare = counts < recipe.rare_below
        if not rare.any():
            continue
        if recipe.rare == "mask":
            if (~rare).sum() < 2:
                raise TrainingError(
                    f"Only {(~rare).sum()} of the values of {attribute.name} have {recipe.rare_below} training "
                    "pictures, so masking the rare ones leaves nothing to learn; lower rare_below, or set rare to keep."
                )
            labels[rows, column] = np.where((own != MISSING) & rare[own], MISSING, own)
        done = "masked in training" if recipe.rare == "mask" else "learnt like any other"
        share = f"{rare.sum()} of {len(rare)} values have fewer than {recipe.rare_below} training pictures"
        lines.append(f"{attribute.name}: {share} ({counts[rare].sum():,} in all) and are {done}")
    return replace(samples, labels=labels), lines
