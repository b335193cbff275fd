"""The figures of a bundle on a catalogue, through the path that every answer takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestiary.calibration import Answers
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import CatalogueError, VestiaryError
from vestiary.metrics import Scores, exact_match, score
from vestiary.predictor.session import BATCH, Predictor
from vestiary.product import Product, Split
from vestiary.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a bundle on ``n`` products.

    ``attributes`` holds Scores in the taxonomy's order; ``exact_match`` is the share of products with every label
    answered rightly, 0..1, None without labels.
    """

    bundle: str
    split: str
    n: int
    attributes: dict[str, Scores]
    exact_match: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the per-value tables."""
        return {
            "bundle": self.bundle,
            "split": self.split,
            "n": self.n,
            "attributes": {name: scores.to_brief() for name, scores in self.attributes.items()},
            "exact_match": self.exact_match,
        }


def evaluate(
    predictor: Predictor, catalogue: Catalogue, *, split: Split | None = Split.TEST, progress: Progress | None = None
) -> Evaluation:
    """Answer every product of a split (None: all) and compare with its labels.

    Labels are matched by value; a label that the bundle has no value for counts as answered wrongly. Raises
    CatalogueError when the split is empty, shares no attribute with the bundle, or a picture cannot be read any more.
    """
    products = catalogue.select(split)
    name = str(split) if split is not None else "all"
    if not products:
        raise CatalogueError(f"The {name} split of this catalogue has no products; choose another with --split.")
    taxonomy = predictor.bundle.taxonomy
    shared = [attribute for attribute in taxonomy.attributes if attribute.name in catalogue.taxonomy.names]
    if not shared:
        raise CatalogueError(
            f"The catalogue has {', '.join(catalogue.taxonomy.names)}, but the bundle answers only "
            f"{', '.join(taxonomy.names)}; evaluate it on a catalogue with one of these."
        )
    answers = predictor.bundle.answer(collect_outputs(predictor, catalogue, products, progress=progress))
    labels = encode_labels(taxonomy, products)
    return Evaluation(
        bundle=predictor.bundle.fingerprint,
        split=name,
        n=len(products),
        attributes=score_answers(taxonomy, answers, labels, [attribute.name for attribute in shared]),
        exact_match=exact_match(
            {attribute.name: answers[attribute.name].indices for attribute in shared},
            {attribute.name: labels[attribute.name] for attribute in shared},
        ),
    )


def score_answers(
    taxonomy: Taxonomy, answers: Mapping[str, Answers], labels: Mapping[str, NDArray[np.int64]], names: Sequence[str]
) -> dict[str, Scores]:
    """Scores of the named attributes, from the answers for ``n`` products and their labels ``int64 [n]``."""
    return {
        name: score(
            name, taxonomy[name].values, answers[name].probabilities, labels[name], accepted=answers[name].accepted
        )
        for name in names
    }


def collect_outputs(
    predictor: Predictor, catalogue: Catalogue, products: Sequence[Product], *, progress: Progress | None = None
) -> dict[str, NDArray[np.float32]]:
    """All that ``Bundle.answer`` wants, one row per product: logits and ``embedding``, each the mean over its views.

    Raises CatalogueError when a picture cannot be read any more.
    """
    return _collect(predictor, catalogue, products, predictor.outputs, progress)


def collect_embeddings(
    predictor: Predictor, catalogue: Catalogue, products: Sequence[Product], *, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Embeddings ``float32 [n, channels]``, one row per product: the mean over its views.

    Raises CatalogueError when a picture cannot be read any more.
    """

    def embed(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return {"embedding": predictor.embeddings(pixels)}

    return _collect(predictor, catalogue, products, embed, progress)["embedding"]


def _collect(
    predictor: Predictor,
    catalogue: Catalogue,
    products: Sequence[Product],
    answer: Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]],
    progress: Progress | None,
) -> dict[str, NDArray[np.float32]]:
    """What ``answer`` says of the pictures of each product, by name: the mean over its views."""
    parts: dict[str, list[NDArray[np.float32]]] = {}
    done = 0
    for pixels, counts in _batches(predictor, catalogue, products):
        starts = np.cumsum([0, *counts[:-1]])
        for name, rows in answer(pixels).items():
            summed = np.add.reduceat(rows, starts, axis=0)
            parts.setdefault(name, []).append((summed / np.array(counts)[:, None]).astype(np.float32))
        done += len(counts)
        if progress is not None:
            progress(done, len(products))
    return {name: np.concatenate(batches) for name, batches in parts.items()}


def _batches(
    predictor: Predictor, catalogue: Catalogue, products: Sequence[Product]
) -> Iterator[tuple[NDArray[np.uint8], list[int]]]:
    """Preprocessed views of BATCH products at a time, and how many views each product has."""
    source = catalogue.open_source()
    preprocess = predictor.bundle.preprocess

    def read(product: Product) -> list[NDArray[np.uint8]]:
        try:
            return [preprocess(preprocess.read(source.read(name)).image) for name in product.images]
        except VestiaryError as error:
            raise CatalogueError(
                f"The picture of product {product.id} could be read at ingest but not now ({error}) "
                "Ingest the source again."
            ) from error

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(products), BATCH):
            views = list(pool.map(read, products[start : start + BATCH]))
            yield np.stack([view for own in views for view in own]), [len(own) for own in views]


def encode_labels(taxonomy: Taxonomy, products: Sequence[Product]) -> dict[str, NDArray[np.int64]]:
    """Output indices ``int64 [n]`` per attribute: MISSING without a label, UNKNOWN for one the taxonomy lacks."""
    encoded = [taxonomy.encode(product.labels) for product in products]
    return {name: np.array([row[name] for row in encoded], dtype=np.int64) for name in taxonomy.names}
