"""Similar products against their rival, exact search by NumPy over the same points, in one run.

    python benchmarks/similar.py CATALOGUE [--bundle BUNDLE] [--queries 2000]

An index is built of the whole catalogue and asked with pictures of the validation split, one after the other. Prints
recall@10 against the rival, and milliseconds a query of both. Then, for the space that is used and those that were
tried: how often one of the ten nearest training products has the label of a validation product, and how many of its
siblings (validation products of its group with another picture, looked for among both splits) are among the ten
nearest. Products of the test split are in the index; their labels are not looked at.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestiary.bundle import Bundle, open_bundle
from vestiary.catalogue import load_catalogue
from vestiary.predictor import Predictor, collect_outputs, encode_labels
from vestiary.product import Product, Split
from vestiary.similar import Index, build_index, locate

K = 10
Points = NDArray[np.float32]
Outputs = Mapping[str, NDArray[np.float32]]


def find_exactly(points: Points, queries: Points) -> tuple[NDArray[np.int64], float]:
    """Rows of the K nearest points to each query ``int64 [n, K]``, and the median of milliseconds a query."""
    found, taken = [], []
    for query in queries:
        start = time.perf_counter()
        near = points @ query
        best = np.argpartition(-near, K)[:K]
        found.append(best[np.argsort(-near[best])])
        taken.append(time.perf_counter() - start)
    return np.array(found), 1000 * float(np.median(taken))


def ask_index(index: Index, outputs: Outputs) -> tuple[list[list[str]], float]:
    """Ids of the K products nearest to each picture, and the median of milliseconds a query, ``locate`` included."""
    found, taken = [], []
    for row in range(len(outputs["embedding"])):
        one = {name: rows[row : row + 1] for name, rows in outputs.items()}
        start = time.perf_counter()
        [neighbours] = index.search(one, K)
        taken.append(time.perf_counter() - start)
        found.append([neighbour.product_id for neighbour in neighbours])
    return found, 1000 * float(np.median(taken))


def compare(index: Index, ids: Sequence[str], points: Points, queries: Outputs) -> None:
    """Print recall and times of the index and the rival."""
    exact, rival = find_exactly(points, locate(index.bundle, queries))
    found, own = ask_index(index, queries)
    hits = sum(len({ids[row] for row in rows} & set(told)) for rows, told in zip(exact.tolist(), found, strict=True))
    print(
        f"{index.n_products:>8,}  {hits / exact.size:>9.4f}  {own:>8.3f}  {rival:>14.3f}  {rival / own:>12.1f}",
        flush=True,
    )


def _scale(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled


def make_spaces(bundle: Bundle, base: Outputs) -> dict[str, Callable[[Outputs], NDArray[np.float64]]]:
    """The spaces that were tried, by name: outputs to points of any length; what is fitted is fitted on ``base``."""
    embeddings = base["embedding"].astype(np.float64)
    mean, spread = embeddings.mean(axis=0), embeddings.std(axis=0) + 1e-6
    powers, axes = np.linalg.eigh(np.cov(embeddings.T))
    powers, axes = powers[::-1], axes[:, ::-1]

    def answer(outputs: Outputs) -> NDArray[np.float64]:
        answers = bundle.answer(outputs)
        return _scale(np.hstack([np.sqrt(answers[name].probabilities) for name in bundle.taxonomy.names]))

    def mix(weight: float) -> Callable[[Outputs], NDArray[np.float64]]:
        return lambda own: np.hstack([_scale(own["embedding"].astype(np.float64)), weight * answer(own)])

    spaces: dict[str, Callable[[Outputs], NDArray[np.float64]]] = {
        "embedding": lambda own: own["embedding"].astype(np.float64),
        "embedding, centred": lambda own: own["embedding"] - mean,
        "embedding, centred and scaled": lambda own: (own["embedding"] - mean) / spread,
        "64 main components": lambda own: (own["embedding"] - mean) @ axes[:, :64],
        "64 main components, whitened": lambda own: (own["embedding"] - mean) @ axes[:, :64] / np.sqrt(powers[:64]),
        "answers alone": answer,
    }
    if bundle.familiarity is not None:
        project = bundle.familiarity.project
        spaces[f"whitened within {bundle.familiarity.attribute}"] = lambda own: project(own["embedding"])
    return spaces | {f"embedding + {weight} × answers": mix(weight) for weight in (0.5, 1.0, 1.5, 2.0, 3.0)}


def find_rows(
    points: Points, queries: Points, left_out: Mapping[int, Sequence[int]] | None = None
) -> NDArray[np.int64]:
    """As ``find_exactly`` for many queries at once, in any order; ``left_out`` has rows that a query may not find."""
    found = []
    for start in range(0, len(queries), 500):
        near = queries[start : start + 500] @ points.T
        for row in range(len(near)):
            near[row, (left_out or {}).get(start + row, ())] = -2
        found.append(np.argpartition(-near, K, axis=1)[:, :K])
    return np.concatenate(found)


def share_labels(found: NDArray[np.int64], labels: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    """The share of neighbours with the query's label, of those where both have one."""
    known = (labels[found] >= 0) & (wanted >= 0)[:, None]
    return float((labels[found] == wanted[:, None])[known].mean())


def find_siblings(products: Sequence[Product], first: int) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Of each product from row ``first`` on that has any: rows of its siblings, and rows it must not find."""
    groups: dict[str, list[int]] = {}
    twins: dict[str, list[int]] = {}
    for row, product in enumerate(products):
        groups.setdefault(product.group, []).append(row)
        twins.setdefault(product.pixel_hashes[0], []).append(row)
    siblings, left_out = {}, {}
    for row, product in enumerate(products[first:], start=first):
        same = twins[product.pixel_hashes[0]]
        others = [other for other in groups[product.group] if other not in same]
        if others:
            siblings[row], left_out[row] = others, same
    return siblings, left_out


def share_siblings(points: Points, siblings: Mapping[int, list[int]], left_out: Mapping[int, list[int]]) -> float:
    """The share of siblings (of ten, where there are more) among the ten nearest, mean over the products."""
    rows = list(siblings)
    found = find_rows(points, points[rows], {number: left_out[row] for number, row in enumerate(rows)})
    shares = [
        len(set(own) & set(siblings[row])) / min(K, len(siblings[row])) for own, row in zip(found, rows, strict=True)
    ]
    return float(np.mean(shares))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalogue")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--queries", type=int, default=2000)
    options = parser.parse_args()
    catalogue, predictor = load_catalogue(options.catalogue), Predictor(open_bundle(options.bundle), threads=1)
    bundle = predictor.bundle
    everything = collect_outputs(predictor, catalogue, catalogue.products)
    splits = np.array([product.split for product in catalogue.products])
    outputs, wanted = (
        {name: rows[splits == split] for name, rows in everything.items()} for split in (Split.TRAIN, Split.VALIDATION)
    )
    base, asked = catalogue.select(Split.TRAIN), catalogue.select(Split.VALIDATION)

    print("products  recall@10  index ms  exact search ms  times faster")
    with tempfile.TemporaryDirectory() as folder:
        index = build_index(catalogue, predictor, Path(folder) / "index")
        some = {name: rows[: options.queries] for name, rows in wanted.items()}
        compare(index, [product.id for product in catalogue.products], locate(bundle, everything), some)

    labels, truth = encode_labels(bundle.taxonomy, base), encode_labels(bundle.taxonomy, asked)
    siblings, left_out = find_siblings([*base, *asked], len(base))
    names = [name for name in bundle.taxonomy.names if name in catalogue.taxonomy.names]
    print(f"\n{'neighbours with the same':30}  {'  '.join(names)}  siblings ({len(siblings):,} products)")
    for title, place in make_spaces(bundle, outputs).items():
        own, queries = (_scale(np.asarray(place(each))).astype(np.float32) for each in (outputs, wanted))
        found = find_rows(own, queries)
        shares = [f"{share_labels(found, labels[name], truth[name]):{len(name)}.4f}" for name in names]
        near = share_siblings(np.concatenate([own, queries]), siblings, left_out)
        print(f"{title:30}  {'  '.join(shares)}  {near:.4f}", flush=True)


if __name__ == "__main__":
    main()
