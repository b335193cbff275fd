"""A training recipe: every choice of a run, from TOML and ``--set key=value``, checked before anything starts."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vestiary.errors import RecipeError, UsageError
from vestiary.images import Preprocess


@dataclass(frozen=True, slots=True)
class Phase:
    """Some epochs at one resolution (pixels); pictures are averaged down from the preprocess's size."""

    epochs: int
    height: int
    width: int


def _number(low: float, high: float, default: Any) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every choice of a training run. Bounds are checked by ``parse_recipe``, which names all errors at once."""

    name: str
    seed: int = _number(0, 2**31, 42)
    width: int = _number(8, 4096, 60)
    height: int = _number(8, 4096, 80)
    phases: tuple[Phase, ...] = ()
    """Resolutions in turn; the last one must be the full ``height`` and ``width``."""

    backbone: Literal["residual"] = "residual"
    stem: int = _number(1, 4096, 16)
    """Channels of the first convolution."""
    stages: tuple[tuple[int, int], ...] = ((32, 1), (64, 2), (128, 2), (320, 2))
    """Channels and number of blocks of each stage; each stage halves the resolution."""
    dropout: float = _number(0, 0.95, 0.0)

    batch_size: int = _number(1, 65536, 128)
    learning_rate: float = _number(1e-8, 10, 4e-3)
    """Peak of the one-cycle schedule."""
    warmup: float = _number(0, 0.9, 0.25)
    """Share of all steps in which the learning rate rises."""
    weight_decay: float = _number(0, 10, 0.05)
    label_smoothing: float = _number(0, 0.9, 0.05)
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the forward and backward pass; weights and the exported model are always fp32."""

    flip: float = _number(0, 1, 0.5)
    """Chance of a mirrored picture."""
    shift: float = _number(0, 0.5, 0.08)
    """Largest move, as a share of each side."""
    zoom: float = _number(0, 0.9, 0.0)
    """Largest change of scale, as a share, for each side on its own."""
    rotate: float = _number(0, 180, 0.0)
    """Largest turn, in degrees."""
    erase: float = _number(0, 1, 0.0)
    """Chance of a blanked rectangle."""

    target_precision: float = _number(0.5, 1, 0.95)
    """Accuracy that accepted tags shall have; the thresholds are chosen for it on validation."""

    @property
    def preprocess(self) -> Preprocess:
        """The way from a picture to this recipe's model input."""
        return Preprocess(width=self.width, height=self.height)

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML; ``parse_recipe`` reads them back."""
        return asdict(self) | {
            "phases": [asdict(phase) for phase in self.phases],
            "stages": [list(stage) for stage in self.stages],
        }


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("vestiary.training") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name_or_file: str, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by shipped name or TOML file, with ``key=value`` settings laid over it.

    Raises UsageError when there is no such recipe, RecipeError naming every wrong key and value.
    """
    path = Path(name_or_file)
    if name_or_file in recipe_names():
        text = (resources.files("vestiary.training") / "recipes" / f"{name_or_file}.toml").read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace")
    else:
        raise UsageError(
            f"There is no recipe {name_or_file!r}; name a TOML file or one of: {', '.join(recipe_names())}."
        )
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"Recipe {name_or_file}", [f"not valid TOML: {error}; correct it there"]) from error
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} has no '='; write --set key=value.")
        plain[key.strip()] = _parse_value(value.strip())
    return parse_recipe({"name": path.stem, **plain}, where=f"Recipe {name_or_file}")


def _parse_value(text: str) -> Any:
    """A setting's value as TOML reads it; bare words are strings."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_recipe(plain: Mapping[str, Any], *, where: str = "The recipe") -> Recipe:
    """Check plain values and build the Recipe. Raises RecipeError naming every problem with the nearest right key."""
    hints = get_type_hints(Recipe)
    problems = []
    values: dict[str, Any] = {}
    for key in plain:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            problems.append(f"unknown key '{key}', " + (f"write '{near[0]}'" if near else "remove it"))
    for spec in fields(Recipe):
        if spec.name in plain:
            try:
                values[spec.name] = _check(plain[spec.name], hints[spec.name], spec.metadata)
            except (ValueError, TypeError, KeyError) as error:
                problems.append(f"{spec.name} {error}")
        elif spec.default is MISSING:
            problems.append(f"{spec.name} is missing, but must be given")
    problems += _check_phases(plain, values)
    if problems:
        raise RecipeError(where, problems)
    return Recipe(**values)


def _check(value: Any, hint: Any, bounds: Mapping[str, float]) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"is {value!r}, but must be one of: {', '.join(get_args(hint))}")
        return value
    if hint is str:
        if not isinstance(value, str) or not value:
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
    return _check_list(value, "[channels, blocks]", lambda entry: _pair(entry))


def _check_list(value: Any, form: str, read: Any) -> tuple[Any, ...]:
    try:
        entries = tuple(read(entry) for entry in value)
    except (ValueError, TypeError, AttributeError):
        entries = ()
    if not entries:
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


def _check_phases(plain: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    if "phases" not in plain:
        return ["phases is missing, but must be a list of {epochs, height, width}"]
    if any(key in plain and key not in values for key in ("phases", "height", "width")):
        return []  # named already, and nothing to compare with
    defaults = {spec.name: spec.default for spec in fields(Recipe)}
    height, width = (values.get(key, defaults[key]) for key in ("height", "width"))
    last = values["phases"][-1]
    problems = []
    if (last.height, last.width) != (height, width):
        problems.append(f"the last phase has {last.width}×{last.height} px, but must have the full {width}×{height}")
    if any(phase.height > height or phase.width > width for phase in values["phases"]):
        problems.append(f"a phase is larger than the pictures ({width}×{height} px)")
    return problems
