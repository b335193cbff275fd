"""Weights from a file, read without running code, and how many of them were found."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vestiary.errors import TrainingError


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or torch file by name; of a checkpoint of ours, those of its backbone.

    Raises TrainingError when the file is absent or is anything that could only be read by running code.
    """
    if not file.is_file():
        raise TrainingError(f"The weights file {file} is not there; correct backbone_weights or --backbone.")
    try:
        if file.suffix == ".safetensors":
            state: Any = load_file(file)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd pickles, which are refused below
                state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise almost anything on broken bytes
        raise TrainingError(
            f"{file} cannot be read as weights; give a safetensors file, or a torch file that holds tensors alone."
        ) from error
    for nested in ("model", "state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(nested), Mapping):
            state = state[nested]
    if not isinstance(state, Mapping):
        raise TrainingError(f"{file} holds no weights by name; give the state_dict of a model.")
    state = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    own = {
        name.removeprefix("backbone.").removeprefix("model."): tensor
        for name, tensor in state.items()
        if name.startswith("backbone.")
    }
    return own or state


def load_weights(module: nn.Module, file: Path) -> str:
    """Put a file's weights into a module, by name and shape; where they come from, for people."""
    state, own = read_weights(file), module.state_dict()
    found = {name: state[name] for name in own if name in state and state[name].shape == own[name].shape}
    told = count_found(list(found), list(own), str(file))
    module.load_state_dict(found, strict=False)
    return told


def count_found(found: Sequence[str], names: Sequence[str], place: str) -> str:
    """How many of the backbone's tensors were found, for people. TrainingError when that is under half."""
    found, names = _weights_alone(found), _weights_alone(names)
    if 2 * len(found) < len(names):
        raise TrainingError(
            f"Only {len(found)} of the backbone's {len(names)} weights are in {place} by name and shape, so they are "
            "those of another model; give the weights of this backbone, or choose the backbone they belong to."
        )
    rest = "" if len(found) == len(names) else f", the other {len(names) - len(found)} are random"
    return f"{len(found)} of {len(names)} weights from {place}{rest}"


def _weights_alone(names: Sequence[str]) -> list[str]:
    """Without the counters of batch norms, which are no weights."""
    return [name for name in names if not name.endswith("num_batches_tracked")]
