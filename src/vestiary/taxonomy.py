"""The questions asked of a product, and their closed answers."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vestiary.errors import TaxonomyError

MISSING = -1
"""The index that stands for "no label": masked in the loss, left out of every score."""

UNKNOWN = -2
"""The index that stands for a label this taxonomy has no value for: never predicted, so always wrong."""


@dataclass(frozen=True)
class Attribute:
    """One question. The position of a value in ``values`` *is* the model's output index.

    Raises TaxonomyError for no values, a value given twice, or an alias of a value that is not there.
    """

    name: str
    values: tuple[str, ...]
    title: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be decoded again."""
        if not self.name or "." in self.name:
            raise TaxonomyError(f"Attribute name {self.name!r} is not usable: give it letters and no dot.")
        if not self.values:
            raise TaxonomyError(f"Attribute {self.name} has no values: give it at least one.")
        twice = sorted({value for value in self.values if self.values.count(value) > 1})
        if twice:
            raise TaxonomyError(f"Attribute {self.name} names the value {twice[0]!r} twice: keep one of them.")
        for alias, value in self.aliases.items():
            if value not in self.values:
                raise TaxonomyError(
                    f"Attribute {self.name} has an alias {alias!r} for {value!r}, which is not one of its values."
                )

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
        return plain | ({"aliases": dict(self.aliases)} if self.aliases else {})


@dataclass(frozen=True)
class Taxonomy:
    """All the questions of one catalogue or bundle, in the order in which they are shown."""

    attributes: tuple[Attribute, ...]

    def __post_init__(self) -> None:
        """Refuse an empty taxonomy and a name used twice."""
        names = [attribute.name for attribute in self.attributes]
        if not names:
            raise TaxonomyError("The taxonomy has no attributes: give it at least one.")
        if len(set(names)) < len(names):
            raise TaxonomyError(f"The taxonomy names an attribute twice: {', '.join(names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in order."""
        return tuple(attribute.name for attribute in self.attributes)

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
        return {"attributes": [attribute.to_dict() for attribute in self.attributes]}

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
                    )
                    for entry in plain["attributes"]
                )
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise TaxonomyError(
                "The taxonomy is not in the expected form: 'attributes' must list tables with 'name' and 'values'."
            ) from error

    @classmethod
    def from_labels(cls, labels: Iterable[Mapping[str, str]], titles: Mapping[str, str]) -> Taxonomy:
        """The values found in ``labels``, sorted, per attribute in ``titles``; one without any is left out."""
        found: dict[str, set[str]] = {name: set() for name in titles}
        for row in labels:
            for name, value in row.items():
                found[name].add(value)
        return cls(tuple(Attribute(name, tuple(sorted(found[name])), titles[name]) for name in titles if found[name]))

    @classmethod
    def load(cls, path: Path) -> Taxonomy:
        """Read a TOML file with ``[[attributes]]`` tables (name, values, and if wanted title and aliases)."""
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise TaxonomyError(f"The taxonomy {path} cannot be read ({error.strerror}); check the path.") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise TaxonomyError(f"The taxonomy {path} is not valid TOML ({error}); mend it there.") from error


def _texts(values: Any) -> list[str]:
    if isinstance(values, str):
        raise TypeError("values must be a list")
    return [str(value) for value in values]
