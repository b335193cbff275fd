"""The questions asked of a product, and their closed answers."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vestiary.errors import TaxonomyError

MISSING = -1
"""The index that stands for "no label": masked in the loss, left out of every score."""

CATEGORY = "articleType"
"""The attribute that older clients call the category, where a taxonomy has it."""

PARENT_SHARE = 0.05
"""The share of a value's products from which on a parent counts as its own."""

UNKNOWN = -2
"""The index that stands for a label this taxonomy has no value for: never predicted, so always wrong."""


@dataclass(frozen=True)
class Attribute:
    """One question. The position of a value in ``values`` *is* the model's output index.

    ``aliases`` maps other spellings to values, ``groups`` names sets of values (colour groups, say). Raises
    TaxonomyError for no values, a value given twice or in two groups, or an alias or group of a value not there.
    """

    name: str
    values: tuple[str, ...]
    title: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be decoded again."""
        if not self.name or "." in self.name:
            raise TaxonomyError(f"Attribute name {self.name!r} is not usable: give it letters and no dot.")
        if not self.values:
            raise TaxonomyError(f"Attribute {self.name} has no values: give it at least one.")
        known = Counter(self.values)
        twice = sorted(value for value, n in known.items() if n > 1)
        if twice:
            raise TaxonomyError(f"Attribute {self.name} names the value {twice[0]!r} twice: keep one of them.")
        for alias, value in self.aliases.items():
            if value not in known:
                raise TaxonomyError(
                    f"Attribute {self.name} has an alias {alias!r} for {value!r}, which is not one of its values."
                )
        grouped = Counter(value for members in self.groups.values() for value in members)
        for value, n in grouped.items():
            if value not in known:
                raise TaxonomyError(f"Attribute {self.name} groups {value!r}, which is not one of its values.")
            if n > 1:
                raise TaxonomyError(f"Attribute {self.name} has {value!r} in two groups: keep it in one.")

    @cached_property
    def _index(self) -> dict[str, int]:
        index = {value: position for position, value in enumerate(self.values)}
        return {**{alias: index[value] for alias, value in self.aliases.items()}, **index}

    def index_of(self, label: str | None) -> int:
        """Output index of a value or alias; MISSING for None, UNKNOWN for anything else."""
        return MISSING if label is None else self._index.get(label, UNKNOWN)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        plain: dict[str, Any] = {"name": self.name, "title": self.title, "values": list(self.values)}
        if self.aliases:
            plain["aliases"] = dict(self.aliases)
        if self.groups:
            plain["groups"] = {group: list(members) for group, members in self.groups.items()}
        return plain


@dataclass(frozen=True)
class ParentRule:
    """Which values of ``parent`` a value of ``child`` may go with; a child value that is not named goes with any."""

    child: str
    parent: str
    allowed: Mapping[str, tuple[str, ...]]

    def allows(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels of one product agree with this rule; a missing label always does."""
        own, above = labels.get(self.child), labels.get(self.parent)
        return own is None or above is None or above in self.allowed.get(own, (above,))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``Taxonomy.from_dict`` reads them back."""
        allowed = {value: list(parents) for value, parents in self.allowed.items()}
        return {"child": self.child, "parent": self.parent, "allowed": allowed}


@dataclass(frozen=True)
class Taxonomy:
    """All the questions of one catalogue or bundle, in the order in which they are shown."""

    attributes: tuple[Attribute, ...]
    parents: tuple[ParentRule, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an empty taxonomy, a name used twice, and a parent rule about what is not there."""
        names = [attribute.name for attribute in self.attributes]
        if not names:
            raise TaxonomyError("The taxonomy has no attributes: give it at least one.")
        if len(set(names)) < len(names):
            raise TaxonomyError(f"The taxonomy names an attribute twice: {', '.join(names)}.")
        for rule in self.parents:
            _check_rule(rule, {attribute.name: attribute for attribute in self.attributes})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in order."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def titles(self) -> dict[str, str]:
        """What people call each attribute, by its name; the name itself where it has no title."""
        return {attribute.name: attribute.title or attribute.name for attribute in self.attributes}

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The values of each attribute, by its name."""
        return {attribute.name: attribute.values for attribute in self.attributes}

    @property
    def category(self) -> str:
        """What older clients call the category: the articleType, else the first (of one: the only) attribute."""
        return CATEGORY if CATEGORY in self.names else self.names[0]

    def __getitem__(self, name: str) -> Attribute:
        """The attribute of that name; KeyError when there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        raise KeyError(name)

    def encode(self, labels: Mapping[str, str]) -> dict[str, int]:
        """Output index per attribute: MISSING where there is no label, UNKNOWN where no value fits."""
        return {attribute.name: attribute.index_of(labels.get(attribute.name)) for attribute in self.attributes}

    def decode(self, indices: Mapping[str, int]) -> dict[str, str]:
        """Labels of the given output indices; negative ones are left out."""
        return {name: self[name].values[index] for name, index in indices.items() if index >= 0}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the questions and answers: equal exactly when the model outputs mean the same."""
        meaning = [[attribute.name, list(attribute.values)] for attribute in self.attributes]
        return hashlib.sha256(json.dumps(meaning, ensure_ascii=False).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        plain: dict[str, Any] = {"attributes": [attribute.to_dict() for attribute in self.attributes]}
        return plain | ({"parents": [rule.to_dict() for rule in self.parents]} if self.parents else {})

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Taxonomy:
        """Read what ``to_dict`` wrote. TaxonomyError when keys or types are wrong."""
        try:
            return cls(
                tuple(
                    Attribute(
                        name=str(entry["name"]),
                        values=tuple(_texts(entry["values"])),
                        title=str(entry.get("title", "")),
                        aliases={str(alias): str(value) for alias, value in entry.get("aliases", {}).items()},
                        groups=_lists(entry.get("groups", {})),
                    )
                    for entry in plain["attributes"]
                ),
                _read_rules(plain.get("parents", [])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise TaxonomyError(
                "The taxonomy is not in the expected form: 'attributes' must list tables with 'name' and 'values'."
            ) from error

    @classmethod
    def from_labels(
        cls,
        labels: Iterable[Mapping[str, str]],
        titles: Mapping[str, str],
        hierarchy: Sequence[tuple[str, str]] = (),
    ) -> Taxonomy:
        """The values found in ``labels``, sorted, per attribute in ``titles``; one without any is left out.

        For each (child, parent) pair of ``hierarchy`` a parent is allowed when at least PARENT_SHARE of the products
        with that child value have it: rarer ones are taken for slips.
        """
        found: dict[str, set[str]] = {name: set() for name in titles}
        pairs: dict[tuple[str, str], Counter[tuple[str, str]]] = {pair: Counter() for pair in hierarchy}
        for row in labels:
            for name, value in row.items():
                found[name].add(value)
            for child, parent in hierarchy:
                if child in row and parent in row:
                    pairs[child, parent][row[child], row[parent]] += 1
        attributes = (Attribute(name, tuple(sorted(found[name])), titles[name]) for name in titles if found[name])
        rules = (ParentRule(*pair, _usual_parents(counts)) for pair, counts in pairs.items() if counts)
        return cls(tuple(attributes), tuple(rules))

    @classmethod
    def load(cls, path: Path) -> Taxonomy:
        """Read a TOML file.

        ``[[attributes]]`` tables have name, values and, if wanted, title, aliases (spelling = value) and groups
        (group = [values]); ``[[parents]]`` tables have child, parent and allowed (child value = [parent values]).
        """
        try:
            plain = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise TaxonomyError(f"The taxonomy {path} cannot be read ({error.strerror}); check the path.") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise TaxonomyError(f"The taxonomy {path} is not valid TOML ({error}); mend it there.") from error
        try:
            return cls.from_dict(plain)
        except TaxonomyError as error:
            raise TaxonomyError(f"{path}: {error}") from error


def split_names(text: str | None) -> tuple[str, ...]:
    """The names of attributes in a text that has commas between them; none of None."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _read_rules(plain: Any) -> tuple[ParentRule, ...]:
    try:
        return tuple(ParentRule(str(rule["child"]), str(rule["parent"]), _lists(rule["allowed"])) for rule in plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise TaxonomyError(
            "The parent rules are not in the expected form: 'parents' must list tables with 'child', 'parent' and "
            "'allowed' (child value = [parent values])."
        ) from error


def _check_rule(rule: ParentRule, attributes: Mapping[str, Attribute]) -> None:
    for name in (rule.child, rule.parent):
        if name not in attributes:
            raise TaxonomyError(f"A parent rule names the attribute {name!r}, which the taxonomy does not have.")
    known = {name: frozenset(attributes[name].values) for name in (rule.child, rule.parent)}
    for value, parents in rule.allowed.items():
        for name, wrong in ((rule.child, value), *((rule.parent, parent) for parent in parents)):
            if wrong not in known[name]:
                raise TaxonomyError(f"A parent rule names {wrong!r}, which is not one of the values of {name}.")


def _usual_parents(counts: Counter[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    totals: Counter[str] = Counter()
    for (child, _), n in counts.items():
        totals[child] += n
    usual: dict[str, list[str]] = {child: [] for child in sorted(totals)}
    for (child, parent), n in sorted(counts.items()):
        if n >= PARENT_SHARE * totals[child]:
            usual[child].append(parent)
    return {child: tuple(parents) for child, parents in usual.items()}


def _lists(plain: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {str(key): tuple(_texts(values)) for key, values in plain.items()}


def _texts(values: Any) -> list[str]:
    if isinstance(values, str):
        raise TypeError("values must be a list")
    return [str(value) for value in values]
