"""What happened over the epochs of a training, from its log."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vestiary.charts import Line


@dataclass(frozen=True)
class TrainingCurves:
    """Lines over epochs: losses, accuracy on validation per attribute (0..1), learning rate."""

    epochs: int
    losses: tuple[Line, ...]
    accuracies: tuple[Line, ...]
    rates: tuple[Line, ...]


def load_log(path: Path) -> list[dict[str, float]]:
    """The rows of a training's ``log.csv``, cells that are no numbers left out; none when there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as table:
        return [_read_row(row) for row in csv.DictReader(table)]


def _read_row(row: Mapping[str | None, Any]) -> dict[str, float]:
    found = {}
    for name, cell in row.items():
        try:
            number = float(cell)
        except (TypeError, ValueError):
            continue
        if name is not None and math.isfinite(number):
            found[name] = number
    return found


def trace_training(log: Sequence[Mapping[str, Any]], names: Sequence[str]) -> TrainingCurves | None:
    """The lines that a log has for the attributes ``names``; None without at least two epochs."""
    rows = [row for row in log if isinstance(row.get("epoch"), (int, float))]
    if len(rows) < 2:
        return None

    def draw(name: str, *keys: str) -> tuple[Line, ...]:
        """The line of the first of these columns that the log has."""
        for key in keys:
            points = tuple((row["epoch"], row[key]) for row in rows if isinstance(row.get(key), (int, float)))
            if points:
                return (Line(name, points),)
        return ()

    return TrainingCurves(
        epochs=len(rows),
        losses=draw("training", "train_loss") + draw("validation", "validation_loss"),
        accuracies=tuple(line for name in names for line in draw(name, f"accuracy.{name}", name)),
        rates=draw("learning rate", "learning_rate"),
    )
