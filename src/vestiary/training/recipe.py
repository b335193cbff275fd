"""A training recipe: every choice of a run, from TOML and ``--set key=value``, checked before anything starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_type_hints

from vestiary.errors import RecipeError, UsageError
from vestiary.images import Preprocess
from vestiary.training.settings import Phase as Phase
from vestiary.training.settings import check_setting, suggest

if TYPE_CHECKING:
    from vestiary.catalogue import Catalogue


RESIDUAL: Final = "residual"
"""The backbone that is our own; any other name is a vision model of the transformers library."""

ANY_PREPARATION: Final = "any"


def _number(low: float, high: float, default: Any) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


def _table(kind: Any) -> Any:
    """A table of settings by name; numbers in it lie above 0."""
    return field(default_factory=dict, metadata={"kind": kind, "each": {"low": 1e-6, "high": 1e6}})


AFTER_TRAINING: Final = frozenset({"target_precision", "weights"})
"""Keys that change nothing of a run itself."""
CHANGEABLE: Final = AFTER_TRAINING | {"keep", "patience"}
"""Keys that a run may be resumed with another value of: when it ends, what of it ships, and in which form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every choice of a training run. Bounds are checked by ``parse_recipe``, which names all errors at once."""

    name: str
    seed: int = _number(0, 2**31, 42)
    width: int = _number(8, 4096, 60)
    height: int = _number(8, 4096, 80)
    phases: tuple[Phase, ...] = ()
    """Resolutions in turn; the last one must be the full ``height`` and ``width``."""

    preparation: str = ANY_PREPARATION
    """The preparation that the catalogue must have gone through (``ingest --preparation``); "any" asks for none."""
    rare_below: int = _number(0, 1000000, 10)
    """A value with fewer training pictures than this is rare; how many there are is told when training starts."""
    rare: Literal["keep", "mask"] = "keep"
    """What is done about rare values: they are learnt as any other, or their labels are masked in training."""

    backbone: str = RESIDUAL
    """"residual" (stem and stages below), or the id or folder of a transformers vision model."""
    pretrained: bool = False
    """Start from the weights published under the backbone's name; without them weights are drawn from the seed."""
    backbone_weights: str = field(default="", metadata={"may_be_empty": True})
    """File with the weights to start from (safetensors, or torch tensors alone), instead of the published ones."""
    architecture: Mapping[str, Any] = _table(Any)
    """What differs from the backbone's own configuration; with ``model_type`` nothing is asked of the hub for it."""
    stem: int = _number(1, 4096, 16)
    """Channels of the first convolution of the residual backbone."""
    stages: tuple[tuple[int, int], ...] = ((32, 1), (64, 2), (128, 2), (320, 2))
    """Channels and number of blocks of each residual stage; each stage halves the resolution."""
    squeezed: int = _number(0, 100, 0)
    """How many residual stages, counted from the last, weigh their channels (squeeze-and-excitation)."""
    train_backbone: Literal["all", "frozen", "staged"] = "all"
    """``frozen``: heads and neck alone are trained; ``staged``: they are for ``frozen_epochs``, then all."""
    frozen_epochs: int = _number(1, 10000, 1)
    backbone_rate: float = _number(1e-6, 1, 1.0)
    """Factor on the learning rate of the last part of the backbone; heads, neck and attention have 1."""
    layer_decay: float = _number(0.01, 1, 1.0)
    """Further factor from each part of the backbone to the one before it (Clark et al. 2020)."""
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
    """Arithmetic of the forward and backward pass; weights and the exported model's are fp32."""

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
    teaching: float = _number(0, 1, 0.5)
    """What the answers of teachers count for, beside labels (Hinton et al. 2015); without teachers labels are all."""
    teaching_temperature: float = _number(0.1, 20, 1.0)
    """What the logits of teachers and network are divided by before they are compared."""

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

    weights: Literal["fp32", "fp16"] = "fp32"
    """How the exported model stores them: fp16 halves the file and rounds each to 11 bits; arithmetic stays fp32."""
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


def load_recipe(name_or_file: str, settings: Sequence[str] = (), *, backbone: str | None = None) -> Recipe:
    """A recipe by shipped name or TOML file, with another backbone and ``key=value`` settings laid over it.

    ``backbone`` is "residual", the id or folder of a transformers vision model, or a file with weights; a setting's key
    may reach into a table (``architecture.depths``). Raises UsageError when there is no such recipe or backbone,
    RecipeError naming every wrong key and value.
    """
    path = Path(name_or_file)
    if name_or_file in recipe_names():
        text = (resources.files("vestiary.training") / "recipes" / f"{name_or_file}.toml").read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    else:
        raise UsageError(
            f"There is no recipe {name_or_file!r}; name a TOML file or one of: {', '.join(recipe_names())}."
        )
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"Recipe {name_or_file}", [f"not valid TOML: {error}; correct it there"]) from error
    if backbone is not None:
        plain |= _choose_backbone(backbone)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} has no '='; write --set key=value.")
        table, dot, name = key.strip().partition(".")
        if dot and isinstance(plain.setdefault(table, {}), dict):
            plain[table][name] = parse_value(value.strip())
        else:
            plain[key.strip()] = parse_value(value.strip())
    return parse_recipe({"name": path.stem, **plain}, where=f"Recipe {name_or_file}")


def _choose_backbone(name: str) -> dict[str, Any]:
    """The keys that another backbone changes. UsageError when it cannot be one."""
    path = Path(name)
    if path.is_file():
        return {"pretrained": True, "backbone_weights": name}
    is_folder = bool(name) and path.is_dir()
    if is_folder and not (path / "config.json").is_file():
        raise UsageError(
            f"The folder {name} holds no model (no config.json); give one that save_pretrained or hf download wrote, "
            "or the file with the weights."
        )
    if not is_folder and not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name, re.ASCII):
        raise UsageError(
            f"The backbone {name!r} is no file, no folder and no model's id; write {RESIDUAL}, a path, or an id like "
            "facebook/convnext-tiny-224."
        )
    return {"backbone": name, "pretrained": name != RESIDUAL, "backbone_weights": "", "architecture": {}}


def parse_value(text: str) -> Any:
    """A setting's value as TOML reads it; bare words are strings."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _correct_key(key: str, known: Mapping[str, Any]) -> str:
    if key in {spec.name for spec in fields(Phase)}:
        return "give it in phases, as in 'phases=[{epochs=16, height=80, width=60}]'"
    return suggest(key, known, otherwise="remove it")


def parse_recipe(plain: Mapping[str, Any], *, where: str = "The recipe") -> Recipe:
    """Check plain values and build the Recipe. Raises RecipeError naming every problem with the nearest right key."""
    hints = get_type_hints(Recipe)
    problems = [f"unknown key '{key}', {_correct_key(key, hints)}" for key in plain if key not in hints]
    values: dict[str, Any] = {}
    for spec in fields(Recipe):
        if spec.name in plain:
            value, wrong = check_setting(spec.name, plain[spec.name], hints[spec.name], spec.metadata)
            problems += wrong
            if not wrong:
                values[spec.name] = value
        elif spec.default is MISSING and spec.default_factory is MISSING:
            problems.append(f"{spec.name} is missing, but must be given")
    problems += _check_phases(plain, values)
    if values.get("pretrained") and values.get("backbone", RESIDUAL) == RESIDUAL and not values.get("backbone_weights"):
        problems.append(
            "pretrained is true, but nobody publishes weights for the residual backbone, give --backbone FILE"
        )
    if values.get("backbone_weights") and not values.get("pretrained"):
        problems.append("backbone_weights names a file, but pretrained is false, set it to true or leave the file out")
    if problems:
        raise RecipeError(where, problems)
    return Recipe(**values)


def check_catalogue(recipe: Recipe, catalogue: Catalogue) -> None:
    """Raise RecipeError naming everything in which the recipe does not fit the catalogue it shall be trained on."""
    names = catalogue.taxonomy.names
    problems = [
        f"unknown attribute '{key}.{name}', {suggest(name, names, otherwise='name one of: ' + ', '.join(names))}"
        for key in ("head_widths", "attribute_weights")
        for name in getattr(recipe, key)
        if name not in names
    ]
    applied = list(dict.fromkeys(step.preparation for step in catalogue.applied))
    if recipe.preparation not in (ANY_PREPARATION, *applied):
        found = f"went through {', '.join(applied)}" if applied else "went through none"
        problems.append(
            f"preparation is {recipe.preparation!r}, but the catalogue {found}, so make one with vestiary ingest "
            f"SOURCE --preparation {recipe.preparation}, or take this one as it is with --set "
            f"preparation={ANY_PREPARATION}"
        )
    if problems:
        raise RecipeError(f"Recipe {recipe.name}", problems)


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
