"""Labels that are probably wrong, found by confident learning over out-of-fold predictions.

A linear probe (multinomial logistic regression) on a bundle's embeddings is fitted on four fifths of the products and
answers the other fifth, for each fifth, products of one group always on the same side, so that no product and none
of its twins has taught the probe its own label. Where the probe says another value with at least the confidence that it
usually has for that value, confident learning takes the label for wrong: Northcutt, Jiang and Chuang (2021), "Confident
Learning: Estimating Uncertainty in Dataset Labels", as the package cleanlab has it. Of these, the ones are told where
the probe is certain of the other value.

The embeddings should not have seen the labels either: a bundle trained on the same products defends what it was taught.
With the default bundle a fifth of the articleType suspects are in its training split, which holds 70 % of the products.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.catalogue import Catalogue
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.wording import count, list_some, verb
from vestiary.errors import require

FOLDS: Final = 5
SEED: Final = 42
MIN_GROUPS: Final = 2 * FOLDS
"""Groups a value needs so that every fold can learn it; labels with rarer values are neither used nor judged."""
PENALTY: Final = 0.003
"""Weight of the probe's L2 penalty beside the mean loss, on standardised embeddings."""
MIN_CONFIDENCE: Final = 0.9
"""How certain the probe must be of another value. Without it 22 % of the articleTypes of the Fashion Product Images are
suspects with a weak bundle, most of them wrongly."""
MAX_ITERATIONS: Final = 40
"""Steps of the probe's solver (L-BFGS): more gained 1 point of accuracy in twice the time on 39,721 products."""
SHOWN_PER_ATTRIBUTE: Final = 100
"""Suspects of an attribute that get a finding of their own; the finding about the attribute names them all."""

_FEATURE: Final = "Finding label errors"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that is probably wrong: ``row`` of the arrays given, the ``label`` it has and what it looks like.

    ``label`` and ``looks_like`` are output indices; the confidences in them, 0..1, are the probe's.
    """

    row: int
    label: int
    looks_like: int
    confidence_in_label: float
    confidence_in_other: float


def require_packages() -> None:
    """MissingExtraError, naming the extra, when cleanlab or scikit-learn is not installed."""
    for module in ("sklearn.linear_model", "cleanlab.filter"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            require(module, extra="checks", feature=_FEATURE)


def find_label_errors(
    labels: NDArray[np.int64], embeddings: NDArray[np.float32], groups: Sequence[str], *, folds: int = FOLDS
) -> list[Suspect]:
    """Suspects of one attribute, the most certain first.

    ``labels`` is ``int64 [n]`` of output indices (negative: no label, left out), ``embeddings`` ``float32 [n,
    channels]``, ``groups`` names what must not stand on both sides of a fold. Empty when fewer than two values have
    MIN_GROUPS groups. Raises MissingExtraError without cleanlab and scikit-learn.
    """
    require_packages()
    rows = _judgeable_rows(labels, groups)
    values, dense = np.unique(labels[rows], return_inverse=True)
    if len(values) < 2:
        return []
    fold_of = _deal_folds([groups[row] for row in rows], folds)
    probabilities = predict_out_of_fold(dense, embeddings[rows], fold_of)
    suspects = []
    for index in _rank_issues(dense, probabilities):
        others = probabilities[index].copy()
        others[dense[index]] = -1.0
        other = int(others.argmax())
        if others[other] < MIN_CONFIDENCE:
            continue
        suspects.append(
            Suspect(
                row=int(rows[index]),
                label=int(labels[rows[index]]),
                looks_like=int(values[other]),
                confidence_in_label=float(probabilities[index, dense[index]]),
                confidence_in_other=float(others[other]),
            )
        )
    return suspects


def predict_out_of_fold(
    labels: NDArray[np.int64], embeddings: NDArray[np.float32], fold_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probabilities ``float64 [n, values]`` of each row by a probe fitted on the rows of the other folds."""
    linear_model = require("sklearn.linear_model", extra="checks", feature=_FEATURE)
    n_values = int(labels.max()) + 1
    probabilities = np.zeros((len(labels), n_values))
    for fold in np.unique(fold_of):
        inside, outside = fold_of == fold, fold_of != fold
        learnt = np.unique(labels[outside])
        if len(learnt) == 1:  # nothing to tell apart
            probabilities[np.ix_(inside, learnt)] = 1.0
            continue
        mean, spread = embeddings[outside].mean(axis=0), embeddings[outside].std(axis=0) + 1e-6
        probe = linear_model.LogisticRegression(C=1 / (PENALTY * outside.sum()), max_iter=MAX_ITERATIONS, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "did not converge" is by design, see MAX_ITERATIONS
            probe.fit((embeddings[outside] - mean) / spread, labels[outside])
            answers = probe.predict_proba((embeddings[inside] - mean) / spread)
        probabilities[np.ix_(inside, probe.classes_)] = answers
    return probabilities


def check_label_errors(
    catalogue: Catalogue,
    embeddings: NDArray[np.float32],
    *,
    shown: int = SHOWN_PER_ATTRIBUTE,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Likely label errors of every attribute; ``embeddings`` is ``float32 [n, channels]``, a row per product.

    Per attribute one finding about all suspects, most certain first, and one for each of the first ``shown`` with the
    picture and what it looks like. ``progress`` is told of attributes done. Raises MissingExtraError without cleanlab.
    """
    groups = [product.group for product in catalogue.products]
    encoded = [catalogue.taxonomy.encode(product.labels) for product in catalogue.products]
    findings: list[Finding] = []
    for done, name in enumerate(catalogue.taxonomy.names, start=1):
        labels = np.array([row[name] for row in encoded], dtype=np.int64)
        suspects = find_label_errors(labels, embeddings, groups)
        if suspects:
            findings.append(_tell_attribute(catalogue, name, suspects))
            findings += [_tell_suspect(catalogue, name, suspect) for suspect in suspects[:shown]]
        if progress is not None:
            progress(done, len(catalogue.taxonomy.names))
    return findings


def _judgeable_rows(labels: NDArray[np.int64], groups: Sequence[str]) -> NDArray[np.int64]:
    """Rows with a label whose value is found in MIN_GROUPS groups or more."""
    holders: dict[int, set[str]] = {}
    for label, group in zip(labels.tolist(), groups, strict=True):
        holders.setdefault(label, set()).add(group)
    common = [label for label, own in holders.items() if label >= 0 and len(own) >= MIN_GROUPS]
    return np.flatnonzero(np.isin(labels, common))


def _deal_folds(groups: Sequence[str], folds: int) -> NDArray[np.int64]:
    """The fold of each row: groups in an order drawn by SEED, the same for the same groups, dealt out in turn."""
    names, group_of = np.unique(np.array(groups), return_inverse=True)
    fold_of = np.random.default_rng(SEED).permutation(len(names)) % folds
    return fold_of[group_of]


def _rank_issues(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[int]:
    """Rows that confident learning takes for wrongly labelled, least confidence in the label first."""
    cleanlab = require("cleanlab.filter", extra="checks", feature=_FEATURE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values without a single confident row, which is no matter here
        ranked: list[int] = cleanlab.find_label_issues(
            labels,
            probabilities,
            filter_by="both",
            return_indices_ranked_by="normalized_margin",
            n_jobs=1,
        ).tolist()
    return ranked


def _tell_attribute(catalogue: Catalogue, name: str, suspects: Sequence[Suspect]) -> Finding:
    values = catalogue.taxonomy[name].values
    pairs = Counter((values[suspect.label], values[suspect.looks_like]) for suspect in suspects)
    told = list_some(f"{label} that look like {other} ({n:,})" for (label, other), n in pairs.most_common())
    n = len(suspects)
    return Finding(
        "labels.likely_errors",
        Severity.WARNING,
        tuple(catalogue.products[suspect.row].id for suspect in suspects),
        f"{count(n, 'label')} of {name} {verb(n, 'is', 'are')} probably wrong, most often {told}.",
        "Look at these pictures, the most certain first, and correct the labels in the source.",
    )


def _tell_suspect(catalogue: Catalogue, name: str, suspect: Suspect) -> Finding:
    values, product = catalogue.taxonomy[name].values, catalogue.products[suspect.row]
    return Finding(
        "labels.likely_error",
        Severity.INFO,
        (product.id,),
        f"Product {product.id} ({product.images[0]}) has {name} {values[suspect.label]} "
        f"({100 * suspect.confidence_in_label:.1f} % likely) but looks like {values[suspect.looks_like]} "
        f"({100 * suspect.confidence_in_other:.1f} %).",
        f"Look at the picture and correct {name} in {product.source} where it is wrong.",
    )
