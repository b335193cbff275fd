"""A reader of Dockerfiles, as far as the project's own needs one: stages, instructions, words."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction: its word in capitals, and what follows on its line and those that continue it."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """What follows, as a list: of the JSON form, or as a shell would take it apart."""
        return list(json.loads(self.rest)) if self.rest.startswith("[") else shlex.split(self.rest)


@dataclass
class Stage:
    """From one FROM to the next. ``arguments`` are the ARGs with their defaults, ``environment`` what ENV sets."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def arguments(self) -> dict[str, str]:
        pairs = (each.rest.partition("=") for each in self.instructions if each.word == "ARG")
        return {name: value for name, _, value in pairs}

    @property
    def environment(self) -> dict[str, str]:
        words = [word for each in self.instructions if each.word == "ENV" for word in each.words]
        return dict(word.split("=", 1) for word in words)

    def last(self, word: str) -> Instruction:
        """The last instruction with that word; an AssertionError when there is none."""
        found = [each for each in self.instructions if each.word == word]
        assert found, f"stage {self.name or self.base} has no {word}"
        return found[-1]


def read_containerfile(path: Path) -> tuple[dict[str, str], list[Stage]]:
    """The ARGs before the first stage with their defaults, and the stages, in whose FROM these are filled in."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    outer: dict[str, str] = {}
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        each = Instruction(word.upper(), rest.strip())
        if each.word == "FROM":
            base, *name = re.split(r"\s+AS\s+", fill_in(each.rest, outer), flags=re.IGNORECASE)
            stages.append(Stage(base, name[0] if name else ""))
        elif stages:
            stages[-1].instructions.append(each)
        else:
            assert each.word == "ARG", f"{each.word} stands before the first FROM"
            name, _, default = each.rest.partition("=")
            outer[name] = default
    return outer, stages


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """``text`` with ``${name}`` and ``$name`` of known values filled in."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], found[0]), text)
