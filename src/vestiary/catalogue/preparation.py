"""Preparations: what a user, or a reference system, does to a catalogue before learning from it.

A preparation is a list of steps in a TOML file, or made from options of ``vestiary ingest``. What was done is written
into the catalogue, and every product left out is a reject with its reason, so that the counts still add up.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestiary.catalogue.columns import suggest
from vestiary.catalogue.steps import (
    Composite,
    DropValues,
    KeepTop,
    KeepValues,
    MergeValues,
    MinCount,
    OnlyAttributes,
    SplitEach,
    Step,
    Work,
    read_step,
    write_step,
)
from vestiary.errors import CatalogueError, UsageError
from vestiary.product import Product
from vestiary.taxonomy import Attribute, ParentRule, Taxonomy

if TYPE_CHECKING:
    from vestiary.catalogue.catalogue import Catalogue


@dataclass(frozen=True)
class Preparation:
    """Steps in the order in which they are applied."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Applied:
    """A step that a catalogue went through, and how many products it left out."""

    preparation: str
    step: Step
    left_out: int

    def describe(self) -> str:
        """What was done, and how many products that cost, for people."""
        products = "1 product" if self.left_out == 1 else f"{self.left_out:,} products"
        return f"{self.step}: {products} left out" if self.left_out else str(self.step)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        return {"preparation": self.preparation, **write_step(self.step), "left_out": self.left_out}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Applied:
        """Read what ``to_dict`` wrote; KeyError or ValueError when it is something else."""
        step = {key: value for key, value in plain.items() if key not in ("preparation", "left_out")}
        return cls(str(plain["preparation"]), read_step(step), int(plain["left_out"]))


def prepare(
    catalogue: Catalogue, preparation: Preparation, *, strict: bool = False, earlier: Catalogue | None = None
) -> Catalogue:
    """The catalogue after every step; products keep their split unless a step splits anew.

    The answers of each attribute become the values that products still have; merged spellings become aliases. A
    question that no product answered even before keeps its values. With
    ``strict`` a step that names a value no product has is refused. A step that splits anew keeps what ``earlier`` says.
    Raises UsageError for an attribute or value that is not there, CatalogueError when no product or label is left.
    """
    known = {product.id: product.split for product in earlier.products} if earlier is not None else {}
    titles = {attribute.name: attribute.title for attribute in catalogue.taxonomy.attributes}
    work = Work(list(catalogue.products), titles, strict, known, catalogue.split_by)
    applied = []
    for step in preparation.steps:
        before = len(work.products)
        step.apply(work)
        applied.append(Applied(preparation.name, step, before - len(work.products)))
        if not work.products:
            raise CatalogueError(f"The preparation leaves no product: the step '{step}' left out the last; change it.")
    rejects = sorted([*catalogue.rejects, *work.rejects], key=lambda reject: (reject.line is None, reject.line or 0))
    return dataclasses.replace(
        catalogue,
        taxonomy=_rebuild_taxonomy(catalogue, work),
        products=tuple(work.products),
        rejects=tuple(rejects),
        split_by=work.split_by,
        applied=(*catalogue.applied, *applied),
    )


def freeze(preparation: Preparation, catalogue: Catalogue) -> Preparation:
    """The preparation without what it counts: steps that go by counts keep the values they keep in ``catalogue``.

    So it can be applied to any product alone. Splitting is left out. Raises UsageError as ``prepare`` does.
    """
    work = Work(list(catalogue.products), {own.name: own.title for own in catalogue.taxonomy.attributes})
    steps: list[Step] = []
    for step in preparation.steps:
        if isinstance(step, SplitEach):
            continue
        step.apply(work)
        if isinstance(step, KeepTop):
            steps.append(KeepValues(step.attribute, tuple(sorted(work.count(step.attribute)))))
        elif isinstance(step, MinCount):
            names = step.attributes or tuple(work.titles)
            steps += [KeepValues(name, tuple(sorted(work.count(name)))) for name in names]
        else:
            steps.append(step)
    return Preparation(preparation.name, tuple(steps))


def relabel(
    preparation: Preparation, products: Sequence[Product], names: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    """What the steps make of the labels of each product, by id; products that they leave out are not there.

    ``names`` are the attributes that the products may have labels for. Raises UsageError as ``prepare`` does.
    """
    work = Work(list(products), {name: name for name in names})
    for step in preparation.steps:
        step.apply(work)
    return {product.id: product.labels for product in work.products}


def _rebuild_taxonomy(catalogue: Catalogue, work: Work) -> Taxonomy:
    old = catalogue.taxonomy
    attributes = []
    for name, title in work.titles.items():
        values = tuple(sorted(work.count(name)))
        if not values and name in old.names and not any(name in product.labels for product in catalogue.products):
            renamed = work.renamed.get(name, {})
            values = tuple(dict.fromkeys(renamed.get(value, value) for value in old[name].values))
        if not values:
            raise CatalogueError(f"The preparation leaves no label of {name}; leave the attribute out of it.")
        before = old[name] if name in old.names else Attribute(name, values, title)
        attributes.append(_rebuild_attribute(before, values, work.renamed.get(name, {})))
    found = {attribute.name: attribute for attribute in attributes}
    rules = [_rebuild_rule(rule, found, work) for rule in old.parents if {rule.child, rule.parent} <= set(found)]
    return Taxonomy(tuple(attributes), tuple(rule for rule in rules if rule.allowed))


def _rebuild_attribute(old: Attribute, values: Sequence[str], renamed: Mapping[str, str]) -> Attribute:
    """The attribute with the values left; what was merged away stays readable as an alias."""
    left = frozenset(values)
    aliases = {alias: renamed.get(value, value) for alias, value in old.aliases.items()} | dict(renamed)
    groups: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for group, members in old.groups.items():
        new = dict.fromkeys(renamed.get(value, value) for value in members)
        own = tuple(value for value in new if value in left and value not in taken)
        taken.update(own)
        if own:
            groups[group] = own
    known = {alias: value for alias, value in aliases.items() if value in left and alias not in left}
    return Attribute(old.name, tuple(values), old.title, known, groups)


def _rebuild_rule(rule: ParentRule, found: Mapping[str, Attribute], work: Work) -> ParentRule:
    children, parents = work.renamed.get(rule.child, {}), work.renamed.get(rule.parent, {})
    left = {name: frozenset(found[name].values) for name in (rule.child, rule.parent)}
    allowed: dict[str, dict[str, None]] = {}
    for value, above in rule.allowed.items():
        new = children.get(value, value)
        own = [parents.get(parent, parent) for parent in above]
        own = [parent for parent in own if parent in left[rule.parent]]
        if new in left[rule.child] and own:
            allowed.setdefault(new, {}).update(dict.fromkeys(own))
    return ParentRule(rule.child, rule.parent, {value: tuple(above) for value, above in allowed.items()})


def load_preparation(name: str) -> Preparation:
    """A preparation that ships with the package (r1 … r5), or a TOML file.

    The file has ``[[steps]]`` tables with ``do`` and the keys of that step; ``from`` in a merge-values step names a
    file of groups. Raises UsageError when there is none, or it cannot be understood.
    """
    text, where = _read_text(name, "preparation")
    plain = _parse(text, where)
    entries = plain.get("steps", [])
    if not isinstance(entries, list):
        raise UsageError(f"{where} is not understood ('steps' must be [[steps]] tables); mend it there.")
    steps = []
    for number, entry in enumerate(entries, start=1):
        try:
            given = dict(entry)
            if "from" in given:
                groups = load_groups(str(given.pop("from")), beside=Path(name).parent)
                given = {**write_step(groups), **given}
            steps.append(read_step(given))
        except (ValueError, TypeError) as error:
            raise UsageError(f"Step {number} of {where} is not understood ({error}); mend it there.") from error
    if not steps:
        raise UsageError(f"{where} has no [[steps]]; write at least one.")
    return Preparation(Path(name).stem, tuple(steps))


def load_groups(name: str, *, attribute: str | None = None, beside: Path | None = None) -> MergeValues:
    """Groups of values: ``colour-groups``, which ships with the package, or a TOML file.

    The file has ``attribute``, a table ``groups`` (new value = [old values]) and, if wanted, ``rest``, the value for
    all others. ``attribute`` replaces the one in the file. Raises UsageError when it cannot be read or understood.
    """
    near = beside / name if beside is not None else None
    text, where = _read_text(str(near) if near is not None and near.is_file() else name, "file of groups")
    plain = _parse(text, where)
    if attribute is not None:
        plain["attribute"] = attribute
    try:
        step = read_step({"do": MergeValues.do, **plain})
    except ValueError as error:
        raise UsageError(f"{where} is not understood ({error}); mend it there.") from error
    if not isinstance(step, MergeValues):
        raise UsageError(f"{where} is a preparation, not a file of groups; name it with --preparation.")
    members = Counter(value for group in step.groups.values() for value in group)
    twice = next((value for value, n in members.items() if n > 1), None)
    if twice is not None:
        raise UsageError(f"{where} has {twice!r} in two groups; keep it in one.")
    return step


def _read_text(name: str, what: str) -> tuple[str, str]:
    """The text of a file, or of one that ships; and what to call it."""
    path = Path(name)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8-sig"), str(path)
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8; save it as UTF-8.") from error
    folder = resources.files("vestiary.catalogue") / "preparations"
    shipped = sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
    stem = name.removesuffix(".toml")
    if stem not in shipped:
        raise UsageError(f"There is no {what} {name!r}, neither as a file nor in the package; {suggest(stem, shipped)}")
    return (folder / f"{stem}.toml").read_text(encoding="utf-8"), f"{stem}.toml"


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not valid TOML ({error}); mend it there.") from error


def build_preparation(
    *,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    merge: Sequence[str] = (),
    rename: Sequence[str] = (),
    composite: str | None = None,
    top: int | None = None,
    min_count: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Preparation:
    """The preparation that the options of ``vestiary ingest`` ask for.

    The order is drop, keep, merge, rename, composite, top, min-count, only; drop and keep that name the composite come
    after top. Raises UsageError for an option that is not understood.
    """
    chosen: list[DropValues | KeepValues] = [DropValues(*_pair("--drop-value", text)) for text in drop]
    kept: dict[str, tuple[str, ...]] = {}
    for text in keep:
        attribute, values = _pair("--keep-value", text)
        kept[attribute] = (*kept.get(attribute, ()), *values)
    chosen += [KeepValues(attribute, values) for attribute, values in kept.items()]
    late = Composite.name if composite else None
    steps: list[Step] = [step for step in chosen if step.attribute != late]
    for text in merge:
        attribute, equals, file = text.rpartition("=")
        steps.append(load_groups(file, attribute=attribute if equals else None))
    steps += [_read_rename(text) for text in rename]
    if top is not None and not composite:
        raise UsageError("--top goes with --composite; add --composite 'articleType-gender', say.")
    if composite:
        steps.append(Composite(tuple(part.strip() for part in composite.split("-"))))
        steps += [KeepTop(Composite.name, top)] if top is not None else []
    steps += [step for step in chosen if step.attribute == late]
    steps += [_read_min_count(text) for text in min_count]
    names = [name.strip() for text in only for name in text.split(",") if name.strip()]
    steps += [OnlyAttributes(tuple(names))] if names else []
    return Preparation("options", tuple(steps))


def _pair(option: str, text: str) -> tuple[str, tuple[str, ...]]:
    attribute, _, value = (part.strip() for part in text.partition("="))
    if not attribute or not value:
        raise UsageError(f"{option} {text!r} is not understood; write ATTRIBUTE=VALUE.")
    return attribute, (value,)


def _read_rename(text: str) -> MergeValues:
    parts = [part.strip() for part in text.split("=")]
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"--rename-value {text!r} is not understood; write ATTRIBUTE=OLD=NEW.")
    return MergeValues(parts[0], {parts[2]: (parts[1],)})


def _read_min_count(text: str) -> MinCount:
    attribute, _, number = text.rpartition("=")
    if not number.strip().isdecimal():
        raise UsageError(f"--min-count {text!r} is not understood; write N or ATTRIBUTE=N.")
    return MinCount(int(number), (attribute.strip(),) if attribute.strip() else ())
