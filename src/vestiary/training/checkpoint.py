"""Files of a run: written whole or not at all, and read without running code from them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vestiary.errors import TrainingError, TrainingUnwritableError
from vestiary.product import Split
from vestiary.taxonomy import Taxonomy
from vestiary.training.dataset import Samples
from vestiary.training.recipe import CHANGEABLE, Recipe


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain values. Raises TrainingUnwritableError, leaving what was there, when that fails."""
    _write_whole(path, lambda part: torch.save(dict(state), part))


def write_log(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the log as CSV, one line an epoch. Raises TrainingUnwritableError as ``write_state``."""

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as table:
            writer = csv.DictWriter(table, fieldnames=list(lines[-1]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)

    _write_whole(path, write)


def _write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    part = path.with_suffix(".part")
    try:
        write(part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        part.unlink(missing_ok=True)
        raise TrainingUnwritableError(
            f"{path.name} cannot be written to {path.parent}; make room there and add --resume to go on."
        ) from error


def identify(recipe: Recipe, taxonomy: Taxonomy, samples: Samples) -> str:
    """What must be equal for a run to be gone on with: a digest (hex) of recipe, questions, labels and split."""
    choices = {key: value for key, value in recipe.choices.items() if key not in CHANGEABLE}
    digest = hashlib.sha256(json.dumps(choices, sort_keys=True).encode())
    digest.update(taxonomy.fingerprint.encode())
    digest.update(np.ascontiguousarray(samples.labels).tobytes())
    digest.update(samples.rows[Split.TRAIN].tobytes())
    return digest.hexdigest()


def read_state(path: Path, *, missing: str) -> dict[str, Any]:
    """Read what ``write_state`` wrote, into the processor's memory.

    Raises TrainingError, with the sentence ``missing`` where there is no file.
    """
    if not path.exists():
        raise TrainingError(missing)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if "identity" not in state:
            raise KeyError("identity")
        return dict(state)
    except Exception as error:  # torch raises many kinds for a broken file
        raise describe_damage(path) from error


def describe_damage(path: Path) -> TrainingError:
    """The error for a file of a run that says nothing sensible."""
    return TrainingError(f"{path} is damaged and cannot be gone on from; start again with --overwrite.")
