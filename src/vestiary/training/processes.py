"""Training shared out among processes that a launcher or Ray started, or by one that knows of no others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from vestiary.errors import require

WORLD_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers say how many processes there are."""


class HasLeftError(Exception):
    """The training is over for this process, which belongs to whoever started it."""


@dataclass(frozen=True)
class Processes:
    """How many processes train together, which of them this is, and its device.

    All begin with the same weights and take the same steps: each sees a part of a step's pictures, and gradients are
    summed over all of them before the optimiser uses them. ``hosted`` ones outlive the training.
    """

    device: torch.device
    rank: int = 0
    count: int = 1
    accelerator: Any = None
    hosted: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """``tensor`` added up over all processes."""
        summed: Tensor = self.accelerator.reduce(tensor, reduction="sum") if self.count > 1 else tensor
        return summed

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every parameter the sum of its gradients over all processes, in one exchange."""
        if self.count > 1:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            summed = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, part in zip(gradients, torch.split(summed, sizes), strict=True):
                gradient.copy_(part.view_as(gradient))

    def least(self, number: int) -> int:
        """The smallest of the processes' numbers."""
        if self.count == 1:
            return number
        return int(self.accelerator.gather(torch.tensor([number], device=self.device)).min())

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the others wait until the main process is through."""
        if self.count > 1 and not self.is_main:
            self.accelerator.wait_for_everyone()
        yield
        if self.count > 1 and self.is_main:
            self.accelerator.wait_for_everyone()

    def leave(self) -> None:
        """End training together; only the main process goes on after this.

        The others end at once, without Python's shutdown, in which gloo's threads now and then abort the process;
        hosted ones raise HasLeftError.
        """
        if self.count > 1:
            self.accelerator.end_training()
            if not self.is_main and self.hosted:
                raise HasLeftError
            if not self.is_main:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)

    def share_norms(self, model: nn.Module) -> None:
        """Let batch norms measure the pictures of all processes, as one process that had them all would."""
        if self.count > 1:
            for module in model.modules():
                for name, child in module.named_children():
                    if type(child) is nn.BatchNorm2d and child.affine and child.momentum is not None:
                        setattr(module, name, _SharedBatchNorm.of(child))


def join_processes(*, hosted: bool = False) -> Processes:
    """The processes that ``accelerate launch``, torchrun, mpirun or Ray started; this one alone where none of them did.

    Raises MissingExtraError when accelerate is needed and not installed.
    """
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if has_gpu else "cpu")
    if all(int(os.environ.get(name, "1")) == 1 for name in WORLD_SIZES):
        return Processes(device)
    accelerate = require("accelerate", extra="train", feature="Training in several processes")
    accelerator = accelerate.Accelerator(cpu=not has_gpu)
    if accelerator.device.type == "cuda":
        device = accelerator.device
    return Processes(device, accelerator.process_index, accelerator.num_processes, accelerator, hosted)


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the pictures of all processes; torch's own SyncBatchNorm knows GPUs alone."""

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> _SharedBatchNorm:
        shared = cls(norm.num_features, norm.eps, norm.momentum, device=norm.weight.device)
        shared.weight, shared.bias = norm.weight, norm.bias
        shared.load_state_dict(norm.state_dict())
        return shared

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.float()
        n = _add_up(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
        mean = _add_up(wide.sum((0, 2, 3))) / n
        centred = wide - mean[:, None, None]
        variance = _add_up(centred.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            share = self.momentum or 0.0
            assert self.running_mean is not None and self.running_var is not None  # they are tracked by default
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * n / (n - 1).clamp(min=1), share)
            self.num_batches_tracked += 1
        factor = self.weight * (variance + self.eps).rsqrt()
        return (centred * factor[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _AddUp(torch.autograd.Function):
    """Sum over processes; the gradient of a sum is the sum of the gradients."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total


def _add_up(tensor: Tensor) -> Tensor:
    summed: Tensor = _AddUp.apply(tensor)  # type: ignore[no-untyped-call]
    return summed
