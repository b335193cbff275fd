"""Attributes that parent rules tie together are answered together, over the combinations that the rules allow.

Each attribute is asked on its own by the network. Here the product of their probabilities is restricted to the allowed
combinations, and each attribute gets its marginal of that: the share of all combinations with this value. So what the
article type says counts for the category as well, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.errors import TaxonomyError
from vestiary.taxonomy import ParentRule, Taxonomy

MAX_COMBINATIONS: Final = 50_000
"""More than these are refused: every answer weighs them all."""

BLOCK: Final = 4_000_000
"""Shares of combinations that are held at once."""

LEAST: Final = 1e-12
"""Probabilities count at least this much, so that no row of combinations vanishes."""

Probabilities = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Combinations:
    """The allowed ``rows`` (``int64 [combinations, attributes]`` of output indices) of attributes tied together.

    ``names`` and ``sizes`` tell the attributes in the order of the columns, and how many values each has.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    rows: NDArray[np.int64]

    @cached_property
    def _grouping(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]]:
        """Per attribute: the order that sorts the combinations by value, where each value starts, and the values."""
        grouping = []
        for column in self.rows.T:
            order = np.argsort(column, kind="stable")
            values, starts = np.unique(column[order], return_index=True)
            grouping.append((order, starts, values))
        return grouping

    @cached_property
    def _allowed(self) -> set[tuple[int, ...]]:
        return set(map(tuple, self.rows.tolist()))

    def weigh(self, probabilities: Probabilities) -> dict[str, NDArray[np.float64]]:
        """Marginals ``float64 [n, values]`` per attribute: the share of all allowed combinations with that value."""
        return self._in_blocks(probabilities, lambda block: self._marginals(self._joint(block)))

    def decode(self, probabilities: Probabilities) -> dict[str, NDArray[np.float64]]:
        """Probabilities ``float64 [n, values]`` whose best values together are an allowed combination, in every row.

        They are the marginals. Where their best values are no allowed combination (few rows), the surest of them is
        settled and the rest is weighed again given that, until all agree.
        """
        return self._in_blocks(probabilities, self._decode_block)

    def _in_blocks(
        self, probabilities: Probabilities, work: Callable[[Probabilities], dict[str, NDArray[np.float64]]]
    ) -> dict[str, NDArray[np.float64]]:
        """What ``work`` says of some rows at a time, so that the combinations of all need not be held at once."""
        n, step = len(probabilities[self.names[0]]), max(1, BLOCK // len(self.rows))
        blocks = [
            work({name: probabilities[name][start : start + step] for name in self.names})
            for start in range(0, max(n, 1), step)
        ]
        return {name: np.concatenate([block[name] for block in blocks]) for name in self.names}

    def _decode_block(self, probabilities: Probabilities) -> dict[str, NDArray[np.float64]]:
        joint = self._joint(probabilities)
        found = self._marginals(joint)
        for _ in self.names[1:]:
            answers = np.stack([found[name].argmax(axis=1) for name in self.names], axis=1)
            torn = [row for row, answer in enumerate(answers.tolist()) if tuple(answer) not in self._allowed]
            if not torn:
                break
            joint[torn] = self._settle(joint[torn], answers[torn], {name: found[name][torn] for name in self.names})
            for name, again in self._marginals(joint[torn]).items():
                found[name][torn] = again
        return found

    def _joint(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """``float64 [n, combinations]``, rows summing to 1: the product of the attributes' probabilities, rescaled."""
        logs = sum(
            np.log(np.maximum(probabilities[name], LEAST))[:, self.rows[:, column]]
            for column, name in enumerate(self.names)
        )
        shares: NDArray[np.float64] = np.exp(logs - np.max(logs, axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def _marginals(self, joint: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        found = {}
        for name, size, (order, starts, values) in zip(self.names, self.sizes, self._grouping, strict=True):
            found[name] = np.zeros((len(joint), size))
            found[name][:, values] = np.add.reduceat(joint[:, order], starts, axis=1)
        return found

    def _settle(
        self, joint: NDArray[np.float64], answers: NDArray[np.int64], found: Probabilities
    ) -> NDArray[np.float64]:
        """The joint shares given the surest answer that is still in doubt."""
        sure = np.stack([found[name].max(axis=1) for name in self.names], axis=1)
        column = np.where(sure < 1 - LEAST, sure, -1).argmax(axis=1)
        settled = answers[np.arange(len(answers)), column]
        kept = np.where(self.rows.T[column] == settled[:, None], joint, 0.0)
        shares: NDArray[np.float64] = kept / kept.sum(axis=1, keepdims=True)
        return shares


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """The groups of attributes that the parent rules of a taxonomy tie together; attributes without rules are in none.

    A child value that a rule does not name goes with any parent. A parent value that no child value goes with is never
    answered. A child value whose own rules leave it no combination, because another rule contradicts them, is kept
    with the parents its own rules name.
    """

    groups: tuple[Combinations, ...]

    @classmethod
    def of(cls, taxonomy: Taxonomy) -> Hierarchy:
        """Find the groups and their combinations. TaxonomyError when rules allow none, or over MAX_COMBINATIONS."""
        return cls(tuple(_combine(taxonomy, names) for names in _tied(taxonomy)))

    def decode(self, probabilities: Probabilities) -> dict[str, NDArray[np.float64]]:
        """Probabilities ``float64 [n, values]`` of every attribute given, those of the groups decoded together.

        All attributes of a group must be there.
        """
        decoded = dict(probabilities)
        for group in self.groups:
            decoded.update(group.decode(probabilities))
        return decoded


def _tied(taxonomy: Taxonomy) -> list[tuple[str, ...]]:
    """Names of the attributes of each group, each next to one before it."""
    groups: list[tuple[str, ...]] = []
    for rule in taxonomy.parents:
        if any(rule.child in group for group in groups):
            continue
        names = [rule.child]
        for name in names:
            ends = [end for other in taxonomy.parents for end in (other.child, other.parent) if _joins(other, name)]
            names += [end for end in dict.fromkeys(ends) if end not in names]
        groups.append(tuple(names))
    return groups


def _joins(rule: ParentRule, name: str) -> bool:
    return name in (rule.child, rule.parent)


def _combine(taxonomy: Taxonomy, names: tuple[str, ...]) -> Combinations:
    rules = [rule for rule in taxonomy.parents if rule.child in names]
    everything = {name: range(len(taxonomy[name].values)) for name in names}
    rows = _enumerate(taxonomy, rules, everything)
    rows = np.concatenate([rows, *_spared(taxonomy, rules, everything, rows)])
    if not len(rows):
        raise TaxonomyError(f"The parent rules allow no combination of {', '.join(names)}; mend them in the taxonomy.")
    return Combinations(names, tuple(len(values) for values in everything.values()), np.unique(rows, axis=0))


def _enumerate(
    taxonomy: Taxonomy, rules: Sequence[ParentRule], values: Mapping[str, Iterable[int]]
) -> NDArray[np.int64]:
    """Every combination ``int64 [n, attributes]`` of the given output indices that all rules allow."""
    names = list(values)
    rows = np.empty((1, 0), dtype=np.int64)
    for column, name in enumerate(names):
        new = np.fromiter(values[name], dtype=np.int64)
        rows = np.column_stack([np.repeat(rows, len(new), axis=0), np.tile(new, len(rows))])
        placed = names[: column + 1]
        for rule in rules:
            if _joins(rule, name) and rule.child in placed and rule.parent in placed:
                rows = rows[_obeys(taxonomy, rule, rows, names)]
        if len(rows) > MAX_COMBINATIONS:
            raise TaxonomyError(
                f"The parent rules leave over {MAX_COMBINATIONS:,} combinations of {', '.join(placed)}; "
                "take attributes that may go with anything out of the rules."
            )
    return rows


def _obeys(taxonomy: Taxonomy, rule: ParentRule, rows: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each combination keeps to a rule."""
    child, parent = taxonomy[rule.child], taxonomy[rule.parent]
    allowed = np.ones((len(child.values), len(parent.values)), dtype=bool)
    for value, parents in rule.allowed.items():
        allowed[child.index_of(value)] = False
        allowed[child.index_of(value), [parent.index_of(above) for above in parents]] = True
    obeys: NDArray[np.bool_] = allowed[rows[:, names.index(rule.child)], rows[:, names.index(rule.parent)]]
    return obeys


def _spared(
    taxonomy: Taxonomy, rules: Sequence[ParentRule], values: Mapping[str, Iterable[int]], rows: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Combinations for child values whose parents the rules among these parents forbid: those that break fewest."""
    names = list(values)
    for name in dict.fromkeys(rule.child for rule in rules):
        above = [rule for rule in rules if rule.child in _ancestors(rules, name)]
        others = [rule for rule in rules if rule not in above]
        for value in sorted(set(values[name]) - set(rows[:, names.index(name)].tolist())):
            upward = [rule for rule in rules if rule in above or rule.child == name]
            if len(_enumerate(taxonomy, upward, {**values, name: [value]})):
                continue
            kept = _enumerate(taxonomy, others, {**values, name: [value]})
            broken = np.zeros(len(kept), dtype=np.int64)
            for rule in above:
                broken += ~_obeys(taxonomy, rule, kept, names)
            yield kept[broken == broken.min(initial=len(rules))]


def _ancestors(rules: Sequence[ParentRule], name: str) -> set[str]:
    """The attributes above ``name``, itself left out."""
    found = [name]
    for below in found:
        found += [rule.parent for rule in rules if rule.child == below and rule.parent not in found]
    return set(found[1:])
