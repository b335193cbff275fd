"""One setting of a recipe held against the type and the bounds of its key. Knows no key by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin


@dataclass(frozen=True, slots=True)
class Phase:
    """Some epochs at one resolution (pixels); pictures are averaged down from the preprocess's size."""

    epochs: int
    height: int
    width: int


def suggest(word: object, known: Iterable[str], *, otherwise: str, cutoff: float = 0.6) -> str:
    """What to write instead of an unknown word: the nearest known one, or what ``otherwise`` says."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=cutoff)
    return f"write '{near[0]}'" if near else otherwise


def check_setting(key: str, value: Any, hint: Any, bounds: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The value as its type wants it, and what is wrong with it, each problem beginning with the key."""
    if "kind" in bounds:
        return _check_table(key, value, bounds)
    try:
        return _check(value, hint, bounds), []
    except ValueError as error:
        return None, [f"{key} {error}"]


def _check(value: Any, hint: Any, bounds: Mapping[str, Any]) -> Any:
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value not in choices:
            near = suggest(str(value).casefold(), choices, otherwise="", cutoff=0.8) if isinstance(value, str) else ""
            raise ValueError(f"is {value!r}, but must be one of: {', '.join(choices)}{near and ', ' + near}")
        return value
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"is {value!r}, but must be true or false")
        return value
    if hint is str:
        if not isinstance(value, str) or not (value or bounds.get("may_be_empty")):
            raise ValueError(f"is {value!r}, but must be a word or text")
        return value
    if hint in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (hint is float and isinstance(value, float))):
            raise ValueError(f"is {value!r}, but must be a {'whole number' if hint is int else 'number'}")
        if not bounds["low"] <= value <= bounds["high"]:
            raise ValueError(f"is {value}, but must lie between {bounds['low']:.10g} and {bounds['high']:.10g}")
        return hint(value)
    if hint == tuple[Phase, ...]:
        return _check_list(value, "{epochs, height, width}", lambda entry: Phase(**_whole_numbers(entry)))
    if hint == tuple[int, ...]:
        return _check_list(value, "widths", lambda entry: _whole_numbers({"width": entry})["width"], least=0)
    return _check_list(value, "[channels, blocks]", lambda entry: _pair(entry))


def _check_table(key: str, value: Any, bounds: Mapping[str, Any]) -> tuple[Any, list[str]]:
    if not isinstance(value, Mapping):
        return None, [f"{key} is {value!r}, but must be a table of name = value"]
    if bounds["kind"] is Any:
        return dict(value), []
    checked = {
        name: check_setting(f"{key}.{name}", entry, bounds["kind"], bounds["each"]) for name, entry in value.items()
    }
    return {name: own for name, (own, _) in checked.items()}, [line for _, lines in checked.values() for line in lines]


def _check_list(value: Any, form: str, read: Callable[[Any], Any], *, least: int = 1) -> tuple[Any, ...]:
    try:
        entries: tuple[Any, ...] | None = tuple(read(entry) for entry in value)
    except (ValueError, TypeError, AttributeError):
        entries = None
    if entries is None or len(entries) < least:
        raise ValueError(f"is {value!r}, but must be a list of {form} with whole numbers from 1")
    return entries


def _pair(entry: Any) -> tuple[int, int]:
    channels, blocks = entry
    numbers = _whole_numbers({"channels": channels, "blocks": blocks})
    return numbers["channels"], numbers["blocks"]


def _whole_numbers(entry: Mapping[str, Any]) -> dict[str, int]:
    for value in entry.values():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(value)
    return dict(entry)
