"""What a search may vary: recipe keys with a range or a list of values, checked before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_type_hints

from vestiary.errors import RecipeError, UsageError
from vestiary.training.recipe import AFTER_TRAINING, Recipe, parse_recipe, parse_value
from vestiary.training.settings import suggest

WHERE: Final = "The search"
KEPT: Final = {
    **dict.fromkeys(("name", "seed"), "it makes no recipe better"),
    **dict.fromkeys(("width", "height", "phases"), "pictures are decoded once, for all trials alike"),
    "preparation": "the catalogue has gone through the one it has",
    **dict.fromkeys(AFTER_TRAINING, "it changes nothing that is measured while training"),
}
"""Recipe keys that are no part of a search, and why."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; ``log`` draws their logarithm evenly."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """Two or more values of any kind that the key takes."""

    values: tuple[Any, ...]


Space = Mapping[str, Range | Choices]
"""By recipe key."""


def default_space(recipe: Recipe) -> Space:
    """What matters for most networks: the learning rate around the recipe's own, and what holds it back."""
    rate = recipe.learning_rate
    return ({"learning_rate": Range(rate / 8, min(rate * 4, 10.0), log=True)} if rate else {}) | {
        "weight_decay": Range(1e-3, 0.3, log=True),
        "dropout": Range(0.0, 0.5),
        "label_smoothing": Range(0.0, 0.2),
    }


def load_space(path: Path, recipe: Recipe) -> Space:
    """A space from a TOML file with a table for each key: ``low``, ``high`` and ``log``, or ``values``.

    Raises UsageError when there is no such file, RecipeError naming every problem.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}; name a TOML file with the search space.")
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8-sig", errors="replace"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"The search in {path}", [f"not valid TOML: {error}; correct it there"]) from error
    space: dict[str, Range | Choices] = {}
    problems = [] if plain else [f"{path} names no key, write at least one"]
    for key, entry in plain.items():
        try:
            space[key] = _read_table(key, entry)
        except ValueError as error:
            problems.append(str(error))
    return _check_space(space, recipe, problems)


def parse_space(texts: Sequence[str], recipe: Recipe) -> Space:
    """A space from texts such as ``dropout=0:0.5``, ``learning_rate=1e-4:1e-2:log``, ``optimiser=adamw,sgd``.

    Raises RecipeError naming every problem.
    """
    space: dict[str, Range | Choices] = {}
    problems: list[str] = []
    for text in texts:
        key = text.partition("=")[0].strip()
        try:
            if key in space:
                raise ValueError(f"{key} is given twice, keep one of them")
            space[key] = _read_text(key, text)
        except ValueError as error:
            problems.append(str(error))
    return _check_space(space, recipe, problems)


def _read_text(key: str, text: str) -> Range | Choices:
    value = text.partition("=")[2].strip()
    if not value:
        raise ValueError(f"'{text}' is no search, write key=low:high, key=low:high:log or key=a,b,c")
    if ":" not in value:
        return Choices(_read_values(value))
    parts = [parse_value(part.strip()) for part in value.split(":")]
    numbers = [part for part in parts[:2] if isinstance(part, (int, float)) and not isinstance(part, bool)]
    if len(numbers) != 2 or parts[2:] not in ([], ["log"]):
        raise ValueError(f"{key} has the range '{value}', write low:high or low:high:log")
    return Range(numbers[0], numbers[1], log=len(parts) == 3)


def _read_values(text: str) -> tuple[Any, ...]:
    """Values as TOML reads them, such as ``[[32, 1]], [[64, 1]]``; bare words are strings."""
    try:
        return tuple(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        return tuple(parse_value(part.strip()) for part in text.split(","))


def _read_table(key: str, entry: Any) -> Range | Choices:
    form = f"write {key} = {{ low = …, high = …, log = true }} or {{ values = […] }}"
    if not isinstance(entry, dict):
        raise ValueError(f"{key} is {entry!r}, {form}")
    known = ("low", "high", "log", "values")
    for name in entry:
        if name not in known:
            raise ValueError(f"{key} has the unknown part '{name}', {suggest(name, known, otherwise=form)}")
    if entry.keys() == {"values"} and isinstance(entry["values"], list):
        return Choices(tuple(entry["values"]))
    ends = [entry.get("low"), entry.get("high")]
    numbers = [end for end in ends if isinstance(end, (int, float)) and not isinstance(end, bool)]
    log = entry.get("log", False)
    if "values" in entry or len(numbers) != 2 or not isinstance(log, bool):
        raise ValueError(f"{key} is {entry!r}, {form}")
    return Range(numbers[0], numbers[1], log=log)


def _check_space(space: Space, recipe: Recipe, problems: list[str]) -> Space:
    """The space as it is; RecipeError with its problems and those found before."""
    for key, entry in space.items():
        problems += _find_problems(key, entry, recipe)
    if problems:
        raise RecipeError(WHERE, list(dict.fromkeys(problems)))
    return space


def _find_problems(key: str, entry: Range | Choices, recipe: Recipe) -> list[str]:
    if key in KEPT:
        return [f"{key} cannot be searched ({KEPT[key]}), remove it"]
    hint = get_type_hints(Recipe).get(key)
    tried = entry.values if isinstance(entry, Choices) else (entry.low, entry.high)
    if isinstance(entry, Range) and hint is not None and hint not in (int, float):
        return [f"{key} is no number, but has a range, list its values: {key}=a,b,c"]
    problems = []
    for value in tried:
        try:
            parse_recipe(recipe.to_dict() | {key: value})
        except RecipeError as error:
            problems += error.problems
    if isinstance(entry, Choices) and len(entry.values) < 2:
        problems.append(f"{key} has one value, give several, or fix it with --set")
    elif isinstance(entry, Range) and not entry.low < entry.high:
        problems.append(f"{key} has the empty range {entry.low:g} to {entry.high:g}, write the lower number first")
    elif isinstance(entry, Range) and entry.log and not entry.low > 0:
        problems.append(f"{key} starts at {entry.low:g}, but a logarithmic range must start above 0")
    return problems
