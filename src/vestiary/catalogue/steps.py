"""The steps a preparation is made of: each is a plain value that says what becomes of products, labels or splits."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from vestiary.catalogue.columns import suggest, title_of
from vestiary.catalogue.rows import Reject, RejectReason
from vestiary.catalogue.splits import RATIOS, SEED, assign_splits
from vestiary.errors import UsageError
from vestiary.product import Product, Split


@dataclass
class Work:
    """What the steps change: the products, the titles of the attributes, and what every value has become.

    ``strict`` refuses a step that names a value no product has; ``earlier`` holds splits to keep, by product id.
    """

    products: list[Product]
    titles: dict[str, str]
    strict: bool = False
    earlier: Mapping[str, Split] = field(default_factory=dict)
    split_by: str = ""
    rejects: list[Reject] = field(default_factory=list)
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)

    def require(self, attribute: str) -> None:
        """UsageError when there is no such attribute."""
        if attribute not in self.titles:
            raise UsageError(f"The catalogue has no attribute {attribute!r}; {suggest(attribute, list(self.titles))}")

    def count(self, attribute: str) -> Counter[str]:
        """Products by value of one attribute."""
        labels = (product.labels.get(attribute) for product in self.products)
        return Counter(label for label in labels if label is not None)

    def require_values(self, attribute: str, patterns: Iterable[str]) -> None:
        """In a strict run, UsageError for a value or pattern that no product has."""
        found = list(self.count(attribute)) if self.strict else []
        for pattern in patterns if self.strict else ():
            if not any(matches(value, [pattern]) for value in found):
                raise UsageError(f"No product has the {attribute} {pattern!r}; {suggest(pattern, sorted(found))}")

    def leave_out(self, reason: Callable[[Product], str | None]) -> None:
        """Turn every product for which there is a reason into a reject."""
        kept = []
        for product in self.products:
            detail = reason(product)
            if detail is None:
                kept.append(product)
            else:
                line = int(product.source.rpartition(":")[2])
                self.rejects.append(Reject(line, product.id, RejectReason.LEFT_OUT, detail))
        self.products = kept

    def relabel(self, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """Give every product new labels; products with the same ones go on sharing them."""
        known: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}
        changed = []
        for product in self.products:
            old = product.labels
            if id(old) not in known:
                known[id(old)] = (old, change(old))
            changed.append(dataclasses.replace(product, labels=known[id(old)][1]))
        self.products = changed


def matches(value: str, patterns: Iterable[str]) -> bool:
    """Whether a value is one of these; ``*`` in a pattern stands for any text."""
    for pattern in patterns:
        if pattern == value:
            return True
        if "*" in pattern and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value):
            return True
    return False


@dataclass(frozen=True)
class MergeValues:
    """Put values together: ``groups`` maps a new value to the old ones; ``rest`` takes all others where it is given."""

    do: ClassVar[str] = "merge-values"
    attribute: str
    groups: Mapping[str, tuple[str, ...]]
    rest: str | None = None

    def apply(self, work: Work) -> None:
        """Relabel the products and remember what became of each value."""
        work.require(self.attribute)
        before = work.count(self.attribute)
        olds = [old for members in self.groups.values() for old in members]
        if not before.keys() & set(olds):  # a file of groups may name values that are not here, but not only such
            work.require_values(self.attribute, olds)
        new_of = {old: new for new, members in self.groups.items() for old in members}

        def change(labels: Mapping[str, str]) -> Mapping[str, str]:
            old = labels.get(self.attribute)
            if old is None:
                return labels
            known = old in new_of or old in self.groups
            new = new_of.get(old, old if known or self.rest is None else self.rest)
            return labels if new == old else {**labels, self.attribute: new}

        work.relabel(change)
        renamed = work.renamed.setdefault(self.attribute, {})
        steps = {old: change({self.attribute: old})[self.attribute] for old in {**new_of, **before}}
        renamed.update({old: steps.get(new, new) for old, new in renamed.items()})
        renamed.update({old: new for old, new in steps.items() if old != new})

    def __str__(self) -> str:
        merged = sum(len(members) for members in self.groups.values())
        rest = f", all others into {self.rest}" if self.rest else ""
        return f"merge {merged} values of {self.attribute} into {', '.join(self.groups)}{rest}"


@dataclass(frozen=True)
class DropValues:
    """Leave out every product that has one of these values; ``*`` stands for any text."""

    do: ClassVar[str] = "drop-values"
    attribute: str
    values: tuple[str, ...]

    def apply(self, work: Work) -> None:
        """Leave the products out."""
        work.require(self.attribute)
        work.require_values(self.attribute, self.values)
        dropped = {value for value in work.count(self.attribute) if matches(value, self.values)}
        work.leave_out(
            lambda product: (
                f"{self.attribute} {product.labels[self.attribute]!r} is dropped"
                if product.labels.get(self.attribute) in dropped
                else None
            )
        )

    def __str__(self) -> str:
        return f"drop {self.attribute} {', '.join(self.values)}"


@dataclass(frozen=True)
class KeepValues:
    """Leave out every product that has none of these values; ``*`` stands for any text."""

    do: ClassVar[str] = "keep-values"
    attribute: str
    values: tuple[str, ...]

    def apply(self, work: Work) -> None:
        """Leave the other products out, those without a label among them."""
        work.require(self.attribute)
        work.require_values(self.attribute, self.values)
        kept = {value for value in work.count(self.attribute) if matches(value, self.values)}
        work.leave_out(
            lambda product: (
                None
                if product.labels.get(self.attribute) in kept
                else f"{self.attribute} {product.labels.get(self.attribute, '')!r} is not kept"
            )
        )

    def __str__(self) -> str:
        return f"keep {self.attribute} {', '.join(self.values)}"


@dataclass(frozen=True)
class MinCount:
    """Leave out the products of values that fewer than ``count`` products have, until no such value is left.

    Without ``attributes`` every attribute is looked at.
    """

    do: ClassVar[str] = "min-count"
    count: int
    attributes: tuple[str, ...] = ()

    def apply(self, work: Work) -> None:
        """Leave products out, again and again while that makes another value rare."""
        names = self.attributes or tuple(work.titles)
        for name in names:
            work.require(name)
        while True:
            rare = {name: {v: n for v, n in work.count(name).items() if n < self.count} for name in names}
            if not any(rare.values()):
                return
            work.leave_out(lambda product, rare=rare: self._reason(product, rare))  # type: ignore[misc]

    def _reason(self, product: Product, rare: Mapping[str, Mapping[str, int]]) -> str | None:
        for name, counts in rare.items():
            value = product.labels.get(name, "")
            if value in counts:
                return f"{name} {value!r} has {counts[value]} of the {self.count} products it needs"
        return None

    def __str__(self) -> str:
        return (
            f"leave out values of {', '.join(self.attributes) or 'every attribute'} on fewer than {self.count} products"
        )


@dataclass(frozen=True)
class Composite:
    """Make one attribute of several: ``name`` holds their values in this order, joined; all of them must be there."""

    do: ClassVar[str] = "composite"
    attributes: tuple[str, ...]
    name: str = "category"
    separator: str = "-"

    def apply(self, work: Work) -> None:
        """Label every product, and leave out those that lack a part."""
        for name in self.attributes:
            work.require(name)
        if self.name in work.titles:
            raise UsageError(
                f"The catalogue has an attribute {self.name!r} already; call the composite something else."
            )

        def lacking(product: Product) -> str | None:
            gaps = [name for name in self.attributes if name not in product.labels]
            return f"{self.name} cannot be made without {', '.join(gaps)}" if gaps else None

        work.leave_out(lacking)
        work.relabel(
            lambda labels: {**labels, self.name: self.separator.join(labels[name] for name in self.attributes)}
        )
        work.titles[self.name] = title_of(self.name)

    def __str__(self) -> str:
        return f"make {self.name} of {self.separator.join(self.attributes)}"


@dataclass(frozen=True)
class KeepTop:
    """Leave out the products of all but the ``count`` values that most products have; equals by their spelling."""

    do: ClassVar[str] = "top"
    attribute: str
    count: int

    def apply(self, work: Work) -> None:
        """Leave the others out, those without a label among them."""
        work.require(self.attribute)
        counts = work.count(self.attribute)
        top = set(sorted(counts, key=lambda value: (-counts[value], value))[: self.count])
        work.leave_out(
            lambda product: (
                None
                if product.labels.get(self.attribute) in top
                else f"{self.attribute} {product.labels.get(self.attribute, '')!r} is not among the {self.count} "
                "most frequent"
            )
        )

    def __str__(self) -> str:
        return f"keep the {self.count} most frequent values of {self.attribute}"


@dataclass(frozen=True)
class OnlyAttributes:
    """Ask about these attributes alone, in this order."""

    do: ClassVar[str] = "only-attributes"
    attributes: tuple[str, ...]

    def apply(self, work: Work) -> None:
        """Forget the labels of the others; the products stay."""
        for name in self.attributes:
            work.require(name)
        wanted = self.attributes
        work.relabel(lambda labels: {name: labels[name] for name in wanted if name in labels})
        work.titles = {name: work.titles[name] for name in wanted}

    def __str__(self) -> str:
        return f"ask only about {', '.join(self.attributes)}"


@dataclass(frozen=True)
class SplitEach:
    """Split anew, every product on its own, stratified by one attribute.

    Products with the same name or picture may come to stand on both sides, which flatters every figure: for comparing
    with figures made so.
    """

    do: ClassVar[str] = "split-each"
    stratify: str
    train: float = RATIOS[Split.TRAIN]
    validation: float = RATIOS[Split.VALIDATION]
    test: float = RATIOS[Split.TEST]
    seed: int = SEED

    def apply(self, work: Work) -> None:
        """Assign splits and make every product a group of its own."""
        work.require(self.stratify)
        ratios = {Split.TRAIN: self.train, Split.VALIDATION: self.validation, Split.TEST: self.test}
        if min(ratios.values()) < 0 or abs(sum(ratios.values()) - 1) > 1e-6:
            raise UsageError(f"The shares of a split must make 1, not {sum(ratios.values()):g}; correct them.")
        ids = [product.id for product in work.products]
        strata = [product.labels.get(self.stratify, "") for product in work.products]
        known = {product_id: work.earlier[product_id] for product_id in ids if product_id in work.earlier}
        splits = assign_splits(ids, strata, ratios=ratios, seed=self.seed, earlier=known)
        work.products = [
            dataclasses.replace(product, group=product.id, split=split)
            for product, split in zip(work.products, splits, strict=True)
        ]
        work.split_by = f"each product on its own, stratified by {self.stratify}, seed {self.seed}"

    def __str__(self) -> str:
        shares = "/".join(f"{100 * share:g}" for share in (self.train, self.validation, self.test))
        return f"split {shares}, stratified by {self.stratify}, every product on its own, seed {self.seed}"


Step = MergeValues | DropValues | KeepValues | MinCount | Composite | KeepTop | OnlyAttributes | SplitEach
STEPS: Mapping[str, type[Step]] = {
    kind.do: kind
    for kind in (MergeValues, DropValues, KeepValues, MinCount, Composite, KeepTop, OnlyAttributes, SplitEach)
}


def read_step(plain: Mapping[str, Any]) -> Step:
    """Read what ``write_step`` wrote, or a table of a TOML file. ValueError, in plain words, when it is another."""
    keys = dict(plain)
    kind = STEPS.get(str(keys.pop("do", "")))
    if kind is None:
        raise ValueError(f"'do' must be one of {', '.join(STEPS)}")
    fields = {one.name: one for one in dataclasses.fields(kind)}
    for key in keys:
        if key not in fields:
            raise ValueError(f"{kind.do} has no key {key!r}; {suggest(key, list(fields)).rstrip('.')}")
    missing = [name for name, one in fields.items() if one.default is dataclasses.MISSING and name not in keys]
    if missing:
        raise ValueError(f"{kind.do} needs the key {missing[0]!r}")
    return kind(**{key: _read_value(kind.do, key, value) for key, value in keys.items()})


def _read_value(do: str, key: str, value: Any) -> Any:
    if key in ("values", "attributes"):
        return _texts(do, key, value)
    if key == "groups":
        if not isinstance(value, Mapping):
            raise ValueError(f"{do} needs a table for {key!r}")
        return {str(name): _texts(do, key, members) for name, members in value.items()}
    kind = {"count": int, "seed": int, "train": (int, float), "validation": (int, float), "test": (int, float)}
    if not isinstance(value, kind.get(key, (str, type(None)))) or isinstance(value, bool):  # type: ignore[arg-type]
        raise ValueError(f"{do} has an unusable {key!r}: {value!r}")
    return value


def _texts(do: str, key: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not all(isinstance(v, str) for v in values):
        raise ValueError(f"{do} needs a list of texts for {key!r}")
    return tuple(values)


def write_step(step: Step) -> dict[str, Any]:
    """A step as plain values for JSON."""
    plain = {key: value for key, value in dataclasses.asdict(step).items() if value is not None}
    return {"do": step.do, **plain}
