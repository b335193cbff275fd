"""Teachers: finished bundles from whose answers a network learns, beside the labels (Hinton et al. 2015).

They see the very pictures of each step, moved, mixed and all (Beyer et al. 2022), at their own size, and also answer
where a label is missing. Of several teachers the mean of the probabilities is taught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vestiary.bundle import Bundle, open_bundle
from vestiary.errors import TrainingError, UsageError, VestiaryError
from vestiary.predictor import Predictor
from vestiary.taxonomy import Taxonomy
from vestiary.training.checkpoint import read_state
from vestiary.training.export import MAX_ROUNDING
from vestiary.training.model import Classifier, to_pixels
from vestiary.training.progress import OnStage
from vestiary.training.recipe import Recipe, parse_recipe

TRIED_ON = 8
"""Pictures on which a checkpoint must say what its bundle says."""

Answer = Callable[[Tensor], list[Tensor]]
"""From ``float [n, 3, height, width]`` pictures (0..255) of the teacher's size to logits ``float [n, values]`` each."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A bundle that is learnt from; ``answer`` gives its logits for pictures of its own size."""

    bundle: Bundle
    answer: Answer

    def to_dict(self) -> dict[str, Any]:
        """What is told of it where the student's origin is told."""
        catalogues = sorted(self.bundle.learnt_from)
        return {"name": self.bundle.name, "fingerprint": self.bundle.fingerprint, "catalogues": catalogues}


def open_teachers(
    places: Sequence[str | Path], recipe: Recipe, taxonomy: Taxonomy, device: torch.device, *, on_stage: OnStage
) -> tuple[Teacher, ...]:
    """The teachers at ``places``, each a bundle as ``open_bundle`` takes it.

    A bundle with its training folder beside it (``<bundle>.training``) answers from the checkpoint there, on
    ``device`` and in the recipe's precision, when that says what the bundle says; any other through ONNX Runtime on the
    processor. Raises what ``open_bundle`` raises, and UsageError for a bundle of other attributes or values, or of
    pictures of another shape.
    """
    teachers = []
    for place in places:
        bundle = open_bundle(place)
        _check_fit(bundle, str(place), recipe, taxonomy)
        answer = _answer_by_network(bundle, Path(place), recipe, device)
        how = "its checkpoint" if answer is not None else "ONNX Runtime"
        on_stage(f"taught by {bundle.name} ({bundle.fingerprint[:12]}) through {how}")
        teachers.append(Teacher(bundle, answer or _answer_by_session(bundle, device)))
    return tuple(teachers)


def _check_fit(bundle: Bundle, place: str, recipe: Recipe, taxonomy: Taxonomy) -> None:
    if bundle.taxonomy.fingerprint != taxonomy.fingerprint:
        raise UsageError(
            f"The teacher {place} answers other attributes or values, or in another order, than the catalogue has; "
            "ingest the catalogue with --taxonomy of the one that the teacher was trained on, or name another teacher."
        )
    own, wanted = bundle.preprocess, recipe.preprocess
    if own.width * wanted.height != own.height * wanted.width or own.background != wanted.background:
        raise UsageError(
            f"The teacher {place} sees pictures of {own.width}×{own.height} px, another shape than the recipe's "
            f"{wanted.width}×{wanted.height} px; set width and height to the same shape, or name another teacher."
        )


def _answer_by_session(bundle: Bundle, device: torch.device) -> Answer:
    predictor = Predictor(bundle, threads=torch.get_num_threads())

    def answer(pixels: Tensor) -> list[Tensor]:
        images = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        found = predictor.logits(images)
        return [torch.from_numpy(found[name]).to(device) for name in bundle.taxonomy.names]

    return answer


def _answer_by_network(bundle: Bundle, place: Path, recipe: Recipe, device: torch.device) -> Answer | None:
    """By the network that the bundle was exported from; None where it is not at hand or says something else."""
    place = place.resolve()
    network = _restore(bundle, place.with_name(f"{place.name}.training"))
    if network is None:
        return None
    size = (TRIED_ON, bundle.preprocess.height, bundle.preprocess.width, 3)
    images = torch.randint(256, size, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = Predictor(bundle, threads=torch.get_num_threads()).logits(images.numpy())
    with torch.inference_mode():
        found = zip(bundle.taxonomy.names, network(to_pixels(images)), strict=True)
        worst = max(float((own - torch.from_numpy(expected[name])).abs().max()) for name, own in found)
    if not worst <= MAX_ROUNDING:
        return None
    network = network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def answer(pixels: Tensor) -> list[Tensor]:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits: list[Tensor] = network(pixels.contiguous(memory_format=torch.channels_last))
        return logits

    return answer


def _restore(bundle: Bundle, work: Path) -> Classifier | None:
    """The network of a run's folder, in the processor's memory; None where there is none that fits the bundle."""
    try:
        made = parse_recipe({**bundle.training["recipe"], "pretrained": False, "backbone_weights": ""})
        network = Classifier(made, bundle.taxonomy)
        network.load_state_dict(_read_weights(work, made))
    except (KeyError, RuntimeError, VestiaryError):
        return None
    return network.eval().requires_grad_(False)


def _read_weights(work: Path, recipe: Recipe) -> dict[str, Any]:
    """What the run shipped. TrainingError where it left nothing."""
    missing = f"{work} holds no checkpoint."
    if recipe.keep == "best":
        return dict(read_state(work / "best.pt", missing=missing)["model"])
    state = read_state(work / "checkpoint.pt", missing=missing)
    if state.get("ema") is None:
        return dict(state["model"])
    return {name.removeprefix("module."): weight for name, weight in state["ema"].items() if name.startswith("module.")}


@torch.no_grad()
def teach(teachers: Sequence[Teacher], pixels: Tensor, temperature: float) -> list[Tensor] | None:
    """What the teachers say of ``float [n, 3, height, width]`` pictures (0..255); None without teachers.

    Their probabilities at the temperature, ``float [n, values]`` per attribute, averaged over them.
    """
    if not teachers:
        return None
    total: list[Tensor] = []
    for teacher in teachers:
        wanted = teacher.bundle.preprocess
        size = (wanted.height, wanted.width)
        seen = pixels
        if tuple(pixels.shape[2:]) != size:
            seen = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        said = [(own.float() / temperature).softmax(1) / len(teachers) for own in teacher.answer(seen)]
        total = [before + own for before, own in zip(total, said, strict=True)] if total else said
    return total


def check_pupil(before: Sequence[dict[str, Any]], teachers: Sequence[Teacher], work: Path) -> None:
    """TrainingError when a run that is gone on with had other teachers ``before``."""
    if [entry["fingerprint"] for entry in before] == [teacher.bundle.fingerprint for teacher in teachers]:
        return
    told = ", ".join(f"{entry['name']} ({entry['fingerprint'][:12]})" for entry in before) or "no bundle"
    raise TrainingError(f"The run in {work} is taught by {told}; name the same with --teacher, or add --overwrite.")
