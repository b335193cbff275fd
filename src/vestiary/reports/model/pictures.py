"""The pictures of the model report: what is confused, what is most wrong, and a sample of plain answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from vestiary.catalogue import Catalogue, Progress, Source
from vestiary.metrics import Evaluation, count_pairs
from vestiary.reports.gallery import Photo, show_product

SAMPLE = 24


@dataclass(frozen=True)
class Pair:
    """``n`` of ``total`` products with the label ``true`` were answered ``predicted``; ``back`` the other way round."""

    true: str
    predicted: str
    n: int
    total: int
    back: int
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Loss:
    """A product whose label was given a small ``chance`` while the answer was sure of itself, both 0..1."""

    photo: Photo
    true: str
    predicted: str
    confidence: float
    chance: float


@dataclass(frozen=True)
class Cell:
    """One answer beside its label; ``label`` is None where nobody gave one."""

    attribute: str
    label: str | None
    answer: str
    right: bool


@dataclass(frozen=True)
class Answered:
    """A product with every answer beside its label."""

    photo: Photo
    cells: tuple[Cell, ...]


@dataclass
class Album:
    """Pictures of evaluated products, taken from the catalogue's source when they are shown."""

    source: Source
    evaluation: Evaluation
    progress: Progress | None
    n_stages: int
    _done: int = 0
    _shown: dict[int, Photo] = field(default_factory=dict)

    def tell(self) -> None:
        """Tell that a stage is over."""
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self.n_stages)

    def show(self, row: int) -> Photo:
        """The picture of the product in a row of the evaluation."""
        if row not in self._shown:
            self._shown[row] = show_product(self.source, self.evaluation.products[row])
        return self._shown[row]

    def show_pairs(self, name: str, *, n: int, pictures: int) -> tuple[Pair, ...]:
        """The ``n`` most confused pairs with the surest of their wrong answers in pictures."""
        outcome = self.evaluation.outcomes[name]
        counts = count_pairs(outcome)
        totals = counts.sum(axis=1)
        wrong = counts - np.diag(np.diag(counts))
        pairs = []
        for flat in np.argsort(-wrong, axis=None, kind="stable")[:n].tolist():
            true, predicted = divmod(flat, len(outcome.values))
            if not wrong[true, predicted]:
                break
            rows = np.flatnonzero((outcome.labels == true) & (outcome.answers == predicted))
            surest = rows[np.argsort(-outcome.confidence[rows], kind="stable")][:pictures].tolist()
            pairs.append(
                Pair(
                    true=outcome.values[true],
                    predicted=outcome.values[predicted],
                    n=int(wrong[true, predicted]),
                    total=int(totals[true]),
                    back=int(wrong[predicted, true]),
                    photos=tuple(self.show(row) for row in surest),
                )
            )
        return tuple(pairs)

    def show_losses(self, name: str, *, n: int) -> tuple[Loss, ...]:
        """The ``n`` wrongly answered products whose labels were thought least likely, of one group only one."""
        outcome = self.evaluation.outcomes[name]
        rows = np.flatnonzero((outcome.labels >= 0) & ~outcome.right)
        chance = outcome.probabilities[rows, outcome.labels[rows]]
        losses: list[Loss] = []
        groups: set[str] = set()
        for place in np.argsort(chance, kind="stable").tolist():
            row = int(rows[place])
            group = self.evaluation.products[row].group
            if group in groups:
                continue
            groups.add(group)
            losses.append(
                Loss(
                    photo=self.show(row),
                    true=outcome.values[outcome.labels[row]],
                    predicted=outcome.values[outcome.answers[row]],
                    confidence=float(outcome.confidence[row]),
                    chance=float(chance[place]),
                )
            )
            if len(losses) == n:
                break
        return tuple(losses)

    def show_answers(self, *, seed: int, n: int = SAMPLE) -> tuple[Answered, ...]:
        """``n`` products drawn at random, each of a design of its own, with every answer beside its label."""
        first: dict[str, int] = {}
        rows = list(range(self.evaluation.n))
        random.Random(seed).shuffle(rows)
        for row in rows:
            first.setdefault(self.evaluation.products[row].group, row)
        return tuple(Answered(self.show(row), self._read(row)) for row in list(first.values())[:n])

    def _read(self, row: int) -> tuple[Cell, ...]:
        labels = self.evaluation.products[row].labels
        return tuple(
            Cell(name, labels.get(name), own.values[own.answers[row]], bool(own.right[row]))
            for name, own in self.evaluation.outcomes.items()
        )


def open_album(
    catalogue: Catalogue, evaluation: Evaluation, *, progress: Progress | None = None, n_stages: int = 1
) -> Album:
    """An album of the evaluated products. CatalogueError when the source of the pictures is gone."""
    return Album(catalogue.open_source(), evaluation, progress, n_stages)
