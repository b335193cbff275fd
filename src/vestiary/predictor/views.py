"""Answers and labels read as other systems put them, from the answers of one bundle and without training again.

A view is a preparation of the package. What it makes of a product's labels is the truth; products that it leaves out
are not counted. What it makes of every combination of answers that the parent rules allow tells which of its values
that combination stands for; the probabilities of combinations with one value are added, and the best value is the
answer. Combinations that the view has no value for are left out, so the answer is always one of the view.

Adding up was chosen on validation products of the Fashion Product Images: against taking the value of the single best
combination it is right in 73.8 % instead of 73.3 % of the colour groups, and in as many of the 65 categories (84.3 %).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestiary.bundle import Bundle
from vestiary.calibration import softmax
from vestiary.catalogue import Catalogue, Preparation, freeze, load_groups, load_preparation, relabel
from vestiary.errors import CatalogueError, UsageError
from vestiary.metrics import Evaluation, Outcome, Resamples, match_all, score
from vestiary.product import Product, Split
from vestiary.taxonomy import MISSING, UNKNOWN, Taxonomy


@dataclass(frozen=True, slots=True)
class View:
    """A preparation by name, the attributes it is made of, the one whose values it gives, and what to call that."""

    preparation: str
    attributes: tuple[str, ...]
    result: str
    title: str


COLOUR_GROUPS = "colour-groups"
VIEWS: Mapping[str, View] = {
    "10-way": View("r5", ("articleType",), "articleType", "articleType"),
    "65-way": View("r3", ("articleType", "gender", "subCategory", "masterCategory"), "category", "category"),
    COLOUR_GROUPS: View(COLOUR_GROUPS, ("baseColour",), "baseColour", "colour group"),
}
MAIN = ("gender", "articleType")
"""Attributes that most people look at, beside the group of the colour."""

_BLOCK = 512


def take_all_views(bundle: Bundle, catalogue: Catalogue, evaluation: Evaluation) -> list[Evaluation]:
    """The evaluation in every view in which bundle and catalogue have anything to say."""
    views = []
    for name in VIEWS:
        with contextlib.suppress(CatalogueError, UsageError):
            views.append(take_view(name, bundle, catalogue, evaluation))
    return views


def take_view(name: str, bundle: Bundle, catalogue: Catalogue, evaluation: Evaluation) -> Evaluation:
    """The evaluation read in the view ``name``, one of VIEWS, on the products that have a place in it.

    Nothing is accepted or left for review: thresholds are those of attributes. ``plain_accuracy`` is that of the
    combination of plain answers, right when it stands for the value of the labels. Raises CatalogueError when bundle or
    catalogue lack an attribute, or no answer or product has a place.
    """
    for taxonomy, what in ((bundle.taxonomy, "bundle"), (catalogue.taxonomy, "catalogue")):
        lacking = [own for own in VIEWS[name].attributes if own not in taxonomy.names]
        if lacking:
            raise CatalogueError(
                f"The view {name} needs {', '.join(VIEWS[name].attributes)}, but the {what} has no "
                f"{' and no '.join(lacking)}; leave --by out, or use another {what}."
            )
    outcome, plain, kept = _read_view(name, bundle, catalogue, evaluation)
    if not kept.any():
        raise CatalogueError(
            f"No product of the {evaluation.split} split has a place in the view {name}; choose another with --split."
        )
    outcome, plain = outcome.select(kept), plain[kept]
    products = tuple(itertools.compress(evaluation.products, kept))
    resamples = Resamples([product.group for product in products])
    right, labelled = match_all({name: outcome})
    return Evaluation(
        bundle=evaluation.bundle,
        split=evaluation.split,
        n=len(products),
        attributes={outcome.attribute: score(outcome, resamples=resamples)},
        exact_match=float(right[labelled].mean()),
        exact_match_interval=resamples.share(right & labelled, labelled),
        view=name,
        left_out=evaluation.n - len(products),
        plain_accuracy=float(((plain == outcome.labels) & (plain >= 0)).mean()),
        outcomes={outcome.attribute: outcome},
        products=products,
    )


def match_main(bundle: Bundle, catalogue: Catalogue, evaluation: Evaluation) -> dict[str, float | None]:
    """Exact match over the attributes that most people look at: gender, articleType and the group of the colour."""
    names = [name for name in MAIN if name in evaluation.outcomes]
    if len(names) < len(MAIN) or not evaluation.outcomes.keys() >= set(VIEWS[COLOUR_GROUPS].attributes):
        return {}
    colours, _, _ = _read_view(COLOUR_GROUPS, bundle, catalogue, evaluation)
    outcomes = {name: evaluation.outcomes[name] for name in names} | {colours.attribute: colours}
    right, labelled = match_all(outcomes)
    return {" + ".join(outcomes): float(right[labelled].mean()) if labelled.any() else None}


@dataclass(frozen=True, eq=False)
class _Combinations:
    """Rows of output indices ``int64 [combinations, attributes]`` and the place of each in ``values``."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    values: tuple[str, ...]


def _read_view(
    name: str, bundle: Bundle, catalogue: Catalogue, evaluation: Evaluation
) -> tuple[Outcome, NDArray[np.int64], NDArray[np.bool_]]:
    """The outcome of all products, the values that their plain answers stand for, and which have a place."""
    view = VIEWS[name]
    preparation = freeze(_load(view), catalogue)
    found = _combine(name, preparation, bundle.taxonomy)
    index = {value: place for place, value in enumerate(found.values)}
    made = relabel(preparation, evaluation.products, catalogue.taxonomy.names)
    truth = {product_id: labels[view.result] for product_id, labels in made.items() if view.result in labels}
    kept = np.array([product.id in truth for product in evaluation.products], dtype=bool)
    labels = [
        index.get(truth[product.id], UNKNOWN) if here else MISSING
        for product, here in zip(evaluation.products, kept, strict=True)
    ]
    probabilities = _add_up(view, bundle, evaluation, found)
    outcome = Outcome(
        attribute=view.title,
        values=found.values,
        labels=np.array(labels, dtype=np.int64),
        probabilities=probabilities,
        answers=probabilities.argmax(axis=1).astype(np.int64),
    )
    return outcome, _place_answers(view, evaluation, found), kept


def _load(view: View) -> Preparation:
    if view.preparation == COLOUR_GROUPS:
        return Preparation(COLOUR_GROUPS, (load_groups(COLOUR_GROUPS),))
    return load_preparation(view.preparation)


def _combine(name: str, preparation: Preparation, taxonomy: Taxonomy) -> _Combinations:
    """Every allowed combination of the bundle's values that the view has a value for."""
    view = VIEWS[name]
    rows = list(_list_allowed(taxonomy, view.attributes))
    probes = [
        Product(
            str(number), (), (), taxonomy.decode(dict(zip(view.attributes, row, strict=True))), "", "", Split.TEST, ":0"
        )
        for number, row in enumerate(rows)
    ]
    told = {
        int(number): labels[view.result] for number, labels in relabel(preparation, probes, view.attributes).items()
    }
    if not told:
        raise CatalogueError(
            f"No answer of the bundle has a place in the view {name}; leave --by out, or use another bundle."
        )
    values = tuple(sorted(set(told.values())))
    index = {value: place for place, value in enumerate(values)}
    return _Combinations(
        rows=np.array([rows[number] for number in told], dtype=np.int64).reshape(-1, len(view.attributes)),
        places=np.array([index[value] for value in told.values()], dtype=np.int64),
        values=values,
    )


def _list_allowed(taxonomy: Taxonomy, attributes: Sequence[str]) -> Iterator[tuple[int, ...]]:
    rules = [rule for rule in taxonomy.parents if rule.child in attributes and rule.parent in attributes]

    def extend(row: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(row) == len(attributes):
            yield row
            return
        for index in range(len(taxonomy[attributes[len(row)]].values)):
            longer = (*row, index)
            labels = taxonomy.decode(dict(zip(attributes, longer, strict=False)))
            if all(rule.allows(labels) for rule in rules):
                yield from extend(longer)

    return extend(())


def _add_up(view: View, bundle: Bundle, evaluation: Evaluation, found: _Combinations) -> NDArray[np.float64]:
    """Probabilities ``float64 [n, values]`` of the values of the view, each row summing to 1."""
    parts = []
    for attribute in view.attributes:
        raw = evaluation.outcomes[attribute].raw
        if raw is None:
            raise ValueError(f"the outcome of {attribute} has no raw probabilities")
        parts.append(softmax(np.log(np.maximum(raw, 1e-300)), bundle.calibration.temperatures[attribute]))
    gather = np.zeros((len(found.rows), len(found.values)))
    gather[np.arange(len(found.rows)), found.places] = 1
    blocks = [np.zeros((0, len(found.values)))]
    for start in range(0, evaluation.n, _BLOCK):
        joint = np.ones((len(parts[0][start : start + _BLOCK]), len(found.rows)))
        for column, part in enumerate(parts):
            joint *= part[start : start + _BLOCK, found.rows[:, column]]
        blocks.append(joint @ gather)
    mass = np.maximum(np.concatenate(blocks), 1e-300)
    probabilities: NDArray[np.float64] = mass / mass.sum(axis=1, keepdims=True)
    return probabilities


def _place_answers(view: View, evaluation: Evaluation, found: _Combinations) -> NDArray[np.int64]:
    """The value that the plain answers of each product stand for, ``int64 [n]``; UNKNOWN for none."""
    known = dict(zip(map(tuple, found.rows.tolist()), found.places.tolist(), strict=True))
    columns = [evaluation.outcomes[attribute].answers.tolist() for attribute in view.attributes]
    return np.array([known.get(row, UNKNOWN) for row in zip(*columns, strict=True)], dtype=np.int64)
