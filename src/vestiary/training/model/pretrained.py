"""Models of the transformers library: their configuration and weights from the hub, a folder, a file or the seed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import huggingface_hub
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, OfflineModeIsEnabled
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PreTrainedConfig
from transformers.image_processing_base import ImageProcessingMixin

from vestiary.errors import RecipeError, TrainingError, VestiaryError, first_sentence
from vestiary.training.model.normalisation import IMAGENET, Normalisation
from vestiary.training.model.weights import count_found, read_weights
from vestiary.training.recipe import Recipe
from vestiary.training.settings import suggest

DERIVED = ("out_features", "out_indices", "stage_names")
"""Keys of a configuration that follow from its others."""

AFTER_FEATURES = ("pooler.", "head.")
"""Parts of a vision model that stand after its features and are not used."""


def load_transformer(recipe: Recipe) -> tuple[nn.Module, PreTrainedConfig, str]:
    """The recipe's model of transformers in fp32, its configuration, and where its weights come from, for people.

    Raises RecipeError for an ``architecture`` that this kind of model does not know, TrainingError when the hub or
    a folder does not give the model, or when the weights are those of another one.
    """
    _quieten()
    config = _find_config(recipe)
    options: dict[str, Any] = {"config": config, "dtype": torch.float32, "output_loading_info": True}
    options |= {"ignore_mismatched_sizes": True, "trust_remote_code": False}
    try:
        if not recipe.pretrained:
            return _draw(config), config, "random weights"
        if recipe.backbone_weights:
            state = read_weights(Path(recipe.backbone_weights))
            kind = cast(type[transformers.PreTrainedModel], type(_draw(config)))
            model, info = cast(Any, kind.from_pretrained(None, state_dict=state, **options))
        else:
            model, info = AutoModel.from_pretrained(recipe.backbone, **options)
    except VestiaryError:
        raise
    except Exception as error:  # the library and each of its models have their own kinds
        raise _explain(error, recipe) from error
    absent = {key if isinstance(key, str) else key[0] for key in (*info["missing_keys"], *info["mismatched_keys"])}
    names = [name for name in model.state_dict() if not name.startswith(AFTER_FEATURES)]
    place = recipe.backbone_weights or recipe.backbone
    return model, config, count_found([name for name in names if name not in absent], names, place)


def _draw(config: PreTrainedConfig) -> nn.Module:
    """The model that a configuration describes, with random weights.

    Batch norms start at a scale of 1, and convolutions beside them as He et al. (2015) say: the library draws the
    scales of EfficientNet around 0, and no signal reaches its last block.
    """
    model = cast(nn.Module, AutoModel.from_config(config)).float()  # type: ignore[no-untyped-call]
    has_norms = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Conv2d) and has_norms:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


def find_normalisation(recipe: Recipe) -> tuple[Normalisation, str]:
    """What the pretrained model's pictures were normalised by, from its processor's configuration, else ImageNet's.

    With it a remark for people, empty when the configuration was there.
    """
    if not recipe.pretrained:
        return IMAGENET, ""
    place = str(Path(recipe.backbone_weights).parent) if recipe.backbone_weights else recipe.backbone
    try:
        plain, _ = ImageProcessingMixin.get_image_processor_dict(place)
        return Normalisation.from_processor(plain), ""
    except (OSError, ValueError, TypeError):
        return IMAGENET, "no preprocessor_config.json, so pictures are normalised as ImageNet's"


def _find_config(recipe: Recipe) -> PreTrainedConfig:
    """The configuration of the backbone with the recipe's ``architecture`` laid over it."""
    table = dict(recipe.architecture)
    kind = table.pop("model_type", None)
    where = f"Recipe {recipe.name}"
    if kind is None or (recipe.pretrained and not recipe.backbone_weights):
        try:
            config = AutoConfig.from_pretrained(recipe.backbone, trust_remote_code=False)
        except Exception as error:  # as above
            raise _explain(error, recipe) from error
    elif kind in CONFIG_MAPPING:
        config = CONFIG_MAPPING[kind]()
    else:
        raise RecipeError(where, [f"architecture.model_type is {kind!r}, {_suggest(kind, CONFIG_MAPPING)}"])
    config = getattr(config, "vision_config", config)  # of CLIP and its like
    known = config.to_dict()
    wrong = [f"unknown key 'architecture.{key}', {_suggest(key, known)}" for key in table if key not in known]
    if kind is not None and kind not in (config.model_type, config.model_type.removesuffix("_vision_model")):
        wrong.append(f"architecture.model_type is {kind!r}, but {recipe.backbone} is a {config.model_type}")
    if wrong:
        raise RecipeError(where, wrong)
    if not table:
        return cast(PreTrainedConfig, config)
    kept = {key: value for key, value in known.items() if key not in DERIVED}
    try:
        return cast(PreTrainedConfig, type(config).from_dict(kept | table))
    except Exception as error:  # each configuration checks its values in its own way
        problem = f"architecture is not accepted by {config.model_type} ({first_sentence(error)})"
        raise RecipeError(where, [problem]) from error


def _suggest(word: object, known: Iterable[str]) -> str:
    return suggest(word, known, otherwise="which transformers does not know")


def _explain(error: Exception, recipe: Recipe) -> TrainingError:
    """The error as one sentence with its remedy."""
    name = recipe.backbone
    causes = _chain(error)
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return TrainingError(f"The hub gives the backbone {name} only to those it knows; ask there, and set HF_TOKEN.")
    if any(isinstance(cause, LocalEntryNotFoundError | OfflineModeIsEnabled | ConnectionError) for cause in causes):
        random = "" if "model_type" in recipe.architecture else " and architecture.model_type named"
        return TrainingError(
            f"The backbone {name} is not on this computer, and the Hugging Face hub cannot be reached; fetch it where "
            f"there is a network (hf download {name} --local-dir FOLDER) and give --backbone FOLDER, or start from "
            f"random weights with --set pretrained=false{random}."
        )
    if Path(name).is_dir() and not recipe.backbone_weights:
        return TrainingError(
            f"The folder {name} holds no vision model of the transformers library ({first_sentence(error)}); "
            "give one with config.json and model.safetensors."
        )
    return TrainingError(
        f"The backbone {name} cannot be loaded ({first_sentence(error)}); name a vision model of the Hugging Face hub "
        "or a folder with one."
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _quieten() -> None:
    """Leave only downloads their progress; what was found and what not is told in one line of our own."""
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    huggingface_hub.utils.enable_progress_bars()  # type: ignore[attr-defined]
    huggingface_hub.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
