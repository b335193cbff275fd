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


def _table(kind: Any) -> Any:
    """A table of settings by name; numbers in it lie above 0."""
    return field(default_factory=dict, metadata={"kind": kind, "low": 1e-6, "high": 1e6})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every choice of a training run. Bounds are checked by ``parse_recipe``, which names all errors at once."""

    name: str
    seed: int = _number(0, 2**31, 42)
    width: int = _number(8, 4096, 60)
    height: int = _number(8, 4096, 80)
    phases: tuple[Phase, ...] = ()
    """Resolutions in turn; the last one must be the full ``height`` and ``width``."""

    backbone: str = "residual"
    """"residual" (stem and stages below), or the id or folder of a transformers vision model."""
    pretrained: bool = False
    """Start from the weights published under the backbone's id; without them weights are drawn from the seed."""
    architecture: Mapping[str, Any] = _table(Any)
    """Configuration of the backbone for random weights: ``model_type`` and what differs from that type's defaults."""
    stem: int = _number(1, 4096, 16)
    """Channels of the first convolution of the residual backbone."""
    stages: tuple[tuple[int, int], ...] = ((32, 1), (64, 2), (128, 2), (320, 2))
    """Channels and number of blocks of each residual stage; each stage halves the resolution."""
    squeezed: int = _number(0, 100, 0)
    """How many residual stages, counted from the last, weigh their channels (squeeze-and-excitation)."""
    train_backbone: Literal["all", "frozen", "staged"] = "all"
    """``frozen``: heads and neck alone are trained; ``staged``: they are for ``frozen_epochs``, then all."""
    frozen_epochs: int = _number(1, 10000, 1)
    layer_decay: float = _number(0.01, 1, 1.0)
    """Factor on the learning rate from each part of the backbone to the one before it (Clark et al. 2020)."""
    attention: Literal["none", "se", "cbam"] = "none"
    """Attention on the features before they are pooled: squeeze-and-excitation (Hu et al. 2018) or CBAM (2018)."""
    neck: tuple[int, ...] = ()
    """Widths of hidden layers that all heads share."""
    head_widths: Mapping[str, int] = _table(int)
    """Width of a hidden layer of an attribute's own; an attribute not named has a linear head."""
    dropout: float = _number(0, 0.95, 0.0)

    batch_size: int = _number(0, 65536, 128)
    """Pictures that go through the network at once, over all processes; 0 takes the most that fit into memory."""
    accumulate: int = _number(1, 1024, 1)
    """Batches whose gradients are added up before a step."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    learning_rate: float = _number(0, 10, 4e-3)
    """Peak of the schedule; 0 looks for one with the range test of Smith (2017) first."""
    warmup: float = _number(0, 0.9, 0.25)
    """Share of all steps in which the learning rate rises."""
    weight_decay: float = _number(0, 10, 0.05)
    clip: float = _number(0, 1e6, 0.0)
    """Largest norm of the gradient; 0 lets any pass."""
    ema: float = _number(0, 0.999999, 0.0)
    """Decay per step of the moving average of the weights, which is what is measured and shipped; 0 for none."""
    patience: int = _number(0, 10000, 0)
    """Stop after this many epochs without a better validation loss; 0 never stops early."""
    keep: Literal["last", "best"] = "last"
    """Which epoch's weights are shipped; best means of the lowest validation loss."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the forward and backward pass; weights and the exported model are always fp32."""

    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    focal_gamma: float = _number(0, 10, 2.0)
    label_smoothing: float = _number(0, 0.9, 0.05)
    class_weights: Literal["none", "inverse", "effective"] = "none"
    """Weights of values: inverse to their frequency, or to their effective number (Cui et al. 2019)."""
    effective_beta: float = _number(0, 0.999999, 0.999)
    logit_adjustment: float = _number(0, 5, 0.0)
    """Strength with which the log frequency of values is added to the logits in training (Menon et al. 2021)."""
    attribute_weights: Mapping[str, float] = _table(float)
    """Weight of an attribute's loss; 1 for those not named."""
    learn_attribute_weights: bool = False
    """Learn the weights of attributes by their uncertainty (Kendall et al. 2018)."""

    flip: float = _number(0, 1, 0.5)
    """Chance of a mirrored picture."""
    shift: float = _number(0, 0.5, 0.08)
    """Largest move, as a share of each side."""
    zoom: float = _number(0, 0.9, 0.0)
    """Largest change of scale, as a share, for each side on its own."""
    rotate: float = _number(0, 180, 0.0)
    """Largest turn, in degrees."""
    perspective: float = _number(0, 0.5, 0.0)
    """Largest move of a corner, as a share of each side."""
    crop: float = _number(0, 0.95, 0.0)
    """Random resized crop: the largest share of the picture's area that is cut away."""
    lighting: float = _number(0, 0.9, 0.0)
    """Largest change of brightness and contrast, as a share; it alters colours, so leave it 0 where they are asked."""
    erase: float = _number(0, 1, 0.0)
    """Chance of a blanked rectangle (cutout, random erasing)."""
    background: float = _number(0, 1, 0.0)
    """Chance that a white background is replaced by clutter."""
    mixup: float = _number(0, 10, 0.0)
    """Parameter of the Beta distribution that mixes pairs of pictures (Zhang et al. 2018); 0 for none."""
    cutmix: float = _number(0, 1, 0.0)
    """Chance that a batch has rectangles exchanged between its pictures (Yun et al. 2019)."""

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

    @property
    def choices(self) -> dict[str, Any]:
        """What differs from the defaults: equal for equal runs, also across versions that add keys."""
        plain = self.to_dict()
        return {
            spec.name: plain[spec.name]
            for spec in fields(self)
            if getattr(self, spec.name) != (spec.default_factory() if callable(spec.default_factory) else spec.default)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML; ``parse_recipe`` reads them back."""
        return asdict(self) | {
            "phases": [asdict(phase) for phase in self.phases],
            "stages": [list(stage) for stage in self.stages],
            "neck": list(self.neck),
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
        elif spec.default is MISSING and spec.default_factory is MISSING:
            problems.append(f"{spec.name} is missing, but must be given")
    problems += _check_phases(plain, values)
    if problems:
        raise RecipeError(where, problems)
    return Recipe(**values)


def _check(value: Any, hint: Any, bounds: Mapping[str, Any]) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"is {value!r}, but must be one of: {', '.join(get_args(hint))}")
        return value
    if "kind" in bounds:
        return _check_table(value, bounds)
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"is {value!r}, but must be true or false")
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
    if hint == tuple[int, ...]:
        return _check_list(value, "widths", lambda entry: _whole_numbers({"width": entry})["width"], least=0)
    return _check_list(value, "[channels, blocks]", lambda entry: _pair(entry))


def _check_table(value: Any, bounds: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"is {value!r}, but must be a table of name = value")
    if bounds["kind"] is Any:
        return dict(value)
    return {
        name: _check(entry, bounds["kind"], {"low": bounds["low"], "high": bounds["high"]})
        for name, entry in value.items()
    }


def _check_list(value: Any, form: str, read: Any, *, least: int = 1) -> tuple[Any, ...]:
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
