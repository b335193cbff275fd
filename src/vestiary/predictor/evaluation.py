"""The figures of a bundle on a catalogue, through the path that every answer takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vestiary.bundle import Bundle
from vestiary.calibration import softmax
from vestiary.catalogue import Catalogue, Progress
from vestiary.errors import CatalogueError, VestiaryError
from vestiary.metrics import Evaluation, Outcome, Resamples, match_all, score
from vestiary.predictor.session import BATCH, Predictor
from vestiary.predictor.views import match_main
from vestiary.product import Product, Split
from vestiary.taxonomy import Taxonomy


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
    outputs = collect_outputs(predictor, catalogue, products, progress=progress)
    return evaluate_outputs(predictor.bundle, catalogue, products, outputs, split=name)


def evaluate_outputs(
    bundle: Bundle,
    catalogue: Catalogue,
    products: Sequence[Product],
    outputs: Mapping[str, NDArray[np.float32]],
    *,
    split: str,
) -> Evaluation:
    """The figures of ``products`` of a catalogue, from the model's outputs for them as ``Bundle.answer`` takes them."""
    names = [name for name in bundle.taxonomy.names if name in catalogue.taxonomy.names]
    outcomes = judge(bundle, outputs, encode_labels(bundle.taxonomy, products), names)
    resamples = Resamples([product.group for product in products])
    right, labelled = match_all(outcomes)
    told = Evaluation(
        bundle=bundle.fingerprint,
        split=split,
        n=len(products),
        attributes={name: score(own, resamples=resamples) for name, own in outcomes.items()},
        exact_match=float(right[labelled].mean()) if labelled.any() else None,
        exact_match_interval=resamples.share(right & labelled, labelled),
        outcomes=outcomes,
        products=tuple(products),
    )
    return replace(told, exact_match_of=match_main(bundle, catalogue, told))


def judge(
    bundle: Bundle,
    outputs: Mapping[str, NDArray[np.float32]],
    labels: Mapping[str, NDArray[np.int64]],
    names: Sequence[str],
) -> dict[str, Outcome]:
    """What a user is told about the named attributes, beside the labels ``int64 [n]``."""
    answers = bundle.answer(outputs)
    return {
        name: Outcome(
            attribute=name,
            values=bundle.taxonomy[name].values,
            labels=labels[name],
            probabilities=answers[name].probabilities,
            answers=answers[name].indices,
            accepted=answers[name].accepted,
            raw=softmax(outputs[name]),
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
