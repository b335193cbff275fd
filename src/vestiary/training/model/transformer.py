"""Any vision model of the transformers library as a backbone: whatever it gives becomes a map of features."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from vestiary.errors import TrainingError, first_sentence


class TransformersBackbone(nn.Module):
    """A vision model of transformers without its pooling; ``float [n, 3, height, width]`` → ``[n, channels, h, w]``.

    Tokens are laid out as the grid they come from; class and register tokens are dropped: the patches have seen them.
    """

    def __init__(self, model: nn.Module, config: PreTrainedConfig) -> None:
        super().__init__()
        for unused in ("pooler", "head"):
            if isinstance(getattr(model, unused, None), nn.Module) and list(getattr(model, unused).parameters()):
                setattr(model, unused, nn.Identity())
        for module in model.modules():
            # MobileNet and EfficientNet carry TensorFlow's momentum over, which torch reads the other way round: each
            # batch would then replace the statistics of all before it.
            if isinstance(module, nn.BatchNorm2d) and (module.momentum or 0) > 0.5:
                module.momentum = 0.1
        self.model = model
        self.kind = config.model_type
        self.stride, self.has_stages = _find_stride(config)
        # CLIP normalises its class token alone; SigLIP and DINOv2 give every token normalised.
        self.has_bare_tokens = "clip" in config.model_type
        asks_to_resize = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if asks_to_resize else {}
        self.channels = 0
        self.gives_tokens = False

    @property
    def norm(self) -> nn.LayerNorm | None:
        """The norm that comes after the pooling, where the model has one, as ConvNeXt does."""
        norm = getattr(self.model, "layernorm", None)
        return norm if isinstance(norm, nn.LayerNorm) and not self.gives_tokens else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Features of normalised pictures."""
        features: Tensor = self.model(pixel_values=pixels, **self.options).last_hidden_state
        if features.ndim == 4:
            return features
        if self.has_bare_tokens:
            features = self.model.post_layernorm(features)  # type: ignore[operator]
        h, w = self._find_grid(pixels.shape[2], pixels.shape[3])
        patches = features[:, features.shape[1] - h * w :]
        return patches.transpose(1, 2).reshape(-1, features.shape[2], h, w)

    def _find_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens: what a patch does not fill is left out, or filled up by a model with stages."""
        if self.has_stages:
            return -(-height // self.stride), -(-width // self.stride)
        return height // self.stride, width // self.stride

    def number_parts(self) -> dict[str, int]:
        """The part that each parameter belongs to, by name.

        Parts are the members of the outermost list of layers or stages; what comes before it is part 0, what comes
        after it belongs to the last part.
        """
        lists = [(name, module) for name, module in self.named_modules() if isinstance(module, nn.ModuleList)]
        found, layers = min(lists, key=lambda entry: entry[0].count("."), default=("", ()))
        parts, before = {}, True
        for name, _ in self.named_parameters():
            inside = bool(found) and name.startswith(f"{found}.")
            before = before and not inside
            outside = 0 if before else len(layers)
            parts[name] = int(name.removeprefix(f"{found}.").partition(".")[0]) + 1 if inside else outside
        return parts

    @torch.no_grad()
    def look(self, height: int, width: int) -> None:
        """Look at a blank picture of this size, to learn what the model gives. TrainingError when that is of no use."""
        blank = torch.zeros(1, 3, height, width)
        try:
            self.eval()
            given = self.model(pixel_values=blank, **self.options).last_hidden_state
            self.gives_tokens = given.ndim == 3
            h, w = self._find_grid(height, width)
            if self.gives_tokens and (given.shape[1] != h * w if self.has_stages else given.shape[1] < h * w):
                raise ValueError(f"its {given.shape[1]} tokens are no grid of {w}×{h}")
            features = self(blank)
            self.channels = int(features.shape[1])
            if not features.numel():
                raise ValueError("nothing is left of them")
        except Exception as error:  # each model has its own way to fail
            raise TrainingError(
                f"The backbone {self.kind} can do nothing with pictures of {width}×{height} px "
                f"({first_sentence(error)}); choose a larger size, or another vision model."
            ) from error


def _find_stride(config: PreTrainedConfig) -> tuple[int, bool]:
    """Pixels per side of a token in the last layer, 1 for models that give maps; whether stages came to it."""
    patch = getattr(config, "patch_size", 1)
    patch = patch if isinstance(patch, int) else patch[0]
    stages = getattr(config, "depths", None) or []
    return int(patch) << max(len(stages) - 1, 0), bool(stages)
