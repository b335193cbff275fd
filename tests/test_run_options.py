"""Each option of a training run by what it visibly does to the run."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from vestiary.catalogue import Catalogue, ingest  # noqa: E402
from vestiary.errors import TrainingError  # noqa: E402
from vestiary.product import Split  # noqa: E402
from vestiary.taxonomy import MISSING, Attribute, Taxonomy  # noqa: E402
from vestiary.training import batches as batches_module  # noqa: E402
from vestiary.training import fit as fit_module  # noqa: E402
from vestiary.training import trials as trials_module  # noqa: E402
from vestiary.training.batches import Batches  # noqa: E402
from vestiary.training.dataset import Pictures, Samples, open_samples  # noqa: E402
from vestiary.training.fit import fit  # noqa: E402
from vestiary.training.model import Classifier  # noqa: E402
from vestiary.training.processes import Processes  # noqa: E402
from vestiary.training.progress import FitProgress  # noqa: E402
from vestiary.training.recipe import Phase, Recipe  # noqa: E402
from vestiary.training.train import train  # noqa: E402

TAXONOMY = Taxonomy((Attribute("kind", ("Common", "Rare")),))
CPU = torch.device("cpu")
SMALL = Recipe(
    name="small",
    width=8,
    height=8,
    phases=(Phase(4, 8, 8),),
    stem=4,
    stages=((8, 1),),
    batch_size=32,
    learning_rate=1e-2,
    label_smoothing=0.0,
    flip=0.0,
    shift=0.0,
)
EVERYTHING: dict[str, Any] = {
    "dropout": 0.2, "ema": 0.8, "accumulate": 2, "clip": 1.0, "loss": "focal", "class_weights": "effective",
    "logit_adjustment": 0.5, "attribute_weights": {"gender": 0.5}, "learn_attribute_weights": True, "zoom": 0.1,
    "rotate": 5.0, "perspective": 0.1, "crop": 0.2, "lighting": 0.1, "erase": 0.3, "background": 0.5, "mixup": 0.3,
    "cutmix": 0.4, "keep": "best", "precision": "bf16", "learning_rate": 0.0, "batch_size": 0,
}  # fmt: skip


def draw_samples(common: int = 180, rare: int = 20, seed: int = 0) -> Samples:
    """Pictures of one grey each, darker for the rare kind; the two overlap. Validation has as many of both."""
    rng = np.random.default_rng(seed)
    labels = np.array([0] * common + [1] * rare + [0] * 100 + [1] * 100)
    grey = np.where(labels == 0, 150, 110) + rng.normal(0, 25, len(labels))
    pixels = np.clip(grey[:, None, None, None] + rng.normal(0, 5, (len(labels), 8, 8, 3)), 0, 255).astype(np.uint8)
    n = common + rare
    rows = {Split.TRAIN: np.arange(n), Split.VALIDATION: np.arange(n, n + 200), Split.TEST: np.arange(0)}
    return Samples(pixels, labels[:, None].astype(np.int64), rows)


def recall_of_rare(model: Classifier, samples: Samples) -> float:
    rows = samples.rows[Split.VALIDATION][100:]
    with torch.inference_mode():
        answers = model(batches_module.to_pixels(torch.from_numpy(samples.pixels[rows])))[0].argmax(1)
    return float((answers == 1).float().mean())


def weights(model: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_weights(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def read_log(work: Path, name: str = "log.csv") -> list[dict[str, float]]:
    with (work / name).open(encoding="utf-8") as table:
        return [{key: float(value) for key, value in line.items()} for line in csv.DictReader(table)]


class Stopped(Exception):
    """The end of a run that is taken up again."""


@pytest.fixture(scope="module")
def samples(tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    "choices",
    [
        {"class_weights": "inverse"},
        {"class_weights": "effective", "effective_beta": 0.9999},
        {"logit_adjustment": 1.0},
    ],
)
def test_what_is_done_for_the_long_tail_raises_its_recall(choices: dict[str, Any], tmp_path: Path) -> None:
    samples = draw_samples()
    recipe = replace(SMALL, phases=(Phase(12, 8, 8),))
    plain, _ = fit(recipe, TAXONOMY, samples, tmp_path / "plain")
    helped, _ = fit(replace(recipe, **choices), TAXONOMY, samples, tmp_path / "helped")
    assert recall_of_rare(helped, samples) > recall_of_rare(plain, samples) + 0.2


def test_every_option_on_a_run_stopped_and_resumed_ends_as_an_unbroken_one(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = (Phase(1, 20, 15), Phase(2, 40, 30))
    recipe = replace(tiny_recipe, phases=phases, **EVERYTHING)
    monkeypatch.setattr(trials_module, "RATE_STEPS", 20)
    whole, facts = fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path / "whole")
    again, _ = fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path / "again")
    assert same_weights(weights(whole), weights(again))

    def stop(progress: FitProgress) -> None:
        if progress.step == 7:
            raise Stopped

    monkeypatch.setattr(fit_module, "CHECKPOINT_EVERY_S", -1.0)
    with pytest.raises(Stopped):
        fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path / "broken", on_progress=stop)
    monkeypatch.setattr(trials_module, "MEMORY_SHARE", 0.0)  # were the batch size looked for again, it would be 1
    resumed, told = fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path / "broken", resume=True)
    assert same_weights(weights(whole), weights(resumed))
    assert (told.batch_size, told.learning_rate) == (facts.batch_size, facts.learning_rate)
    assert told.attribute_weights == facts.attribute_weights


def test_a_checkpoint_of_version_0_1_is_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those held neither the loss's parameters nor what was found."""
    samples = draw_samples()
    whole, _ = fit(SMALL, TAXONOMY, samples, tmp_path / "whole")

    def stop(progress: FitProgress) -> None:
        if progress.finished_epoch:
            raise Stopped

    with pytest.raises(Stopped):
        fit(SMALL, TAXONOMY, samples, tmp_path / "old", on_progress=stop)
    state = torch.load(tmp_path / "old" / "checkpoint.pt", weights_only=True)
    kept = ("identity", "model", "optimiser", "step", "losses", "log", "seconds", "ema")
    torch.save({key: state[key] for key in kept}, tmp_path / "old" / "checkpoint.pt")
    resumed, _ = fit(SMALL, TAXONOMY, samples, tmp_path / "old", resume=True)
    assert same_weights(weights(whole), weights(resumed))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_each_optimiser_learns_and_goes_its_own_way(name: str, tmp_path: Path) -> None:
    recipe = replace(SMALL, optimiser=name, weight_decay=1e-3, schedule="constant", warmup=0.0)
    samples = draw_samples(100, 100)
    model, facts = fit(recipe, TAXONOMY, samples, tmp_path / name)
    other, _ = fit(replace(recipe, optimiser="sgd" if name != "sgd" else "adam"), TAXONOMY, samples, tmp_path / "other")
    assert facts.log[-1]["accuracy.kind"] > 0.7
    assert not same_weights(weights(model), weights(other))


def take_gradients(recipe: Recipe, samples: Samples, work: Path) -> list[Any]:
    """Gradients of the first step."""
    run = fit_module._Run(recipe, TAXONOMY, samples, work, Processes(CPU), lambda line: None)
    run.start(resume=False, overwrite=True)
    # batch norm knows only its own part of a batch, so let it be none
    for module in list(run.model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
    run._compute_gradients(0)
    return [parameter.grad for parameter in run.model.parameters() if parameter.grad is not None]


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    samples = draw_samples()
    samples.labels[::3] = MISSING
    choices = {"mixup": 0.4, "flip": 0.5, "erase": 0.5, "learn_attribute_weights": True, "class_weights": "inverse"}
    one = take_gradients(replace(SMALL, batch_size=96, **choices), samples, tmp_path)
    three = take_gradients(replace(SMALL, batch_size=32, accumulate=3, **choices), samples, tmp_path)
    assert one and len(one) == len(three)
    for own, other in zip(one, three, strict=True):
        assert torch.allclose(own, other, rtol=1e-4, atol=1e-6)


def test_accumulation_takes_fewer_steps_of_more_pictures(tmp_path: Path) -> None:
    steps = []
    recipe = replace(SMALL, accumulate=3)
    fit(recipe, TAXONOMY, draw_samples(), tmp_path, on_progress=lambda progress: steps.append(progress.steps))
    assert set(steps) == {4 * 3}  # 200 pictures are three steps of up to 96


def test_a_lone_picture_at_the_end_of_an_epoch_is_let_go(tmp_path: Path) -> None:
    steps = []
    recipe = replace(SMALL, stages=((8, 1), (8, 1), (8, 1)))  # one place is left of 8 × 8: no variance of one picture
    fit(recipe, TAXONOMY, draw_samples(141), tmp_path, on_progress=lambda progress: steps.append(progress.steps))
    assert set(steps) == {4 * 5}  # 161 pictures


def test_clipping_limits_the_norm_of_the_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    real = torch.optim.SGD.step

    def note(self: Any, *args: Any) -> Any:
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))
        return real(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", note)
    recipe = replace(SMALL, optimiser="sgd", learning_rate=1e-3)
    fit(recipe, TAXONOMY, draw_samples(), tmp_path / "free")
    free, norms[:] = list(norms), []
    fit(replace(recipe, clip=0.05), TAXONOMY, draw_samples(), tmp_path / "clipped")
    assert max(free) > 0.1
    assert max(norms) <= 0.0501


def test_the_moving_average_is_what_is_measured_and_shipped(tmp_path: Path) -> None:
    samples = draw_samples(100, 100)
    moved, _ = fit(SMALL, TAXONOMY, samples, tmp_path / "plain")
    averaged, facts = fit(replace(SMALL, ema=0.999999), TAXONOMY, samples, tmp_path / "averaged")
    shipped = torch.load(tmp_path / "averaged" / "checkpoint.pt", weights_only=True)
    assert same_weights(weights(moved), shipped["model"])  # the run itself is the same
    # an average that hardly moves stays where the first step left it, and so does what is measured
    assert not torch.allclose(averaged.heads.weight, moved.heads.weight, atol=1e-3)
    losses = [line["validation_loss"] for line in facts.log]
    assert losses == pytest.approx([losses[0]] * 4, rel=0.2)


def spoil_late_epochs(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let the validation loss rise from an epoch on."""
    real = fit_module.validate

    def validate(model: Any, taxonomy: Any, batches: Any, step: int, loss: Any) -> dict[str, float]:
        epoch = (step + 1) // batches.per_epoch
        return real(model, taxonomy, batches, step, loss) | {"validation_loss": 1.0 + abs(epoch - after) / 10}

    monkeypatch.setattr(fit_module, "validate", validate)


def test_patience_stops_the_run_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_late_epochs(monkeypatch, after=3)
    recipe = replace(SMALL, phases=(Phase(20, 8, 8),), patience=2)
    said: list[str] = []
    model, facts = fit(recipe, TAXONOMY, draw_samples(), tmp_path, on_stage=said.append)
    assert len(facts.log) == 5
    assert said == ["stopped after epoch 5: no better validation loss since epoch 3"]
    assert facts.epoch == 5
    again, _ = fit(recipe, TAXONOMY, draw_samples(), tmp_path, resume=True)  # nothing is left to do
    assert same_weights(weights(model), weights(again))


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_best_epoch_is_kept_beside_the_last_and_shipped_when_asked(
    ema: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_late_epochs(monkeypatch, after=2)
    seen: dict[int, dict[str, Any]] = {}
    real = fit_module._Run.end_epoch

    def end_epoch(self: Any) -> Any:
        line = real(self)
        seen[line["epoch"]] = weights(self.shipped)
        return line

    monkeypatch.setattr(fit_module._Run, "end_epoch", end_epoch)
    best, facts = fit(replace(SMALL, keep="best", ema=ema), TAXONOMY, draw_samples(), tmp_path / "best")
    assert facts.epoch == 2
    assert same_weights(weights(best), seen[2])
    last, facts = fit(replace(SMALL, ema=ema), TAXONOMY, draw_samples(), tmp_path / "last")
    assert facts.epoch == 4
    assert same_weights(weights(last), seen[4])
    for name in ("best", "last"):
        stored = torch.load(tmp_path / name / "best.pt", weights_only=True)
        assert stored["epoch"] == 2
        assert same_weights(stored["model"], seen[2])


def test_a_run_that_gets_no_better_is_ended_on_resume_and_ships_its_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_late_epochs(monkeypatch, after=2)
    recipe = replace(SMALL, phases=(Phase(20, 8, 8),))

    def stop(progress: Any) -> None:
        if progress.finished_epoch is not None and progress.finished_epoch["epoch"] == 5:
            raise Stopped

    with pytest.raises(Stopped):
        fit(recipe, TAXONOMY, draw_samples(), tmp_path / "run", on_progress=stop)
    wanted = replace(recipe, patience=3, keep="best")
    ended, facts = fit(wanted, TAXONOMY, draw_samples(), tmp_path / "run", resume=True)
    assert (facts.epoch, len(facts.log)) == (2, 5)
    whole, _ = fit(wanted, TAXONOMY, draw_samples(), tmp_path / "whole")
    assert same_weights(weights(ended), weights(whole))


def test_a_run_stopped_within_an_epoch_ends_with_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_late_epochs(monkeypatch, after=1)
    recipe = replace(SMALL, phases=(Phase(20, 8, 8),))
    monkeypatch.setattr(fit_module, "CHECKPOINT_EVERY_S", -1.0)

    def stop(progress: Any) -> None:
        if progress.step * 20 / progress.steps > 3:
            raise Stopped

    with pytest.raises(Stopped):
        fit(recipe, TAXONOMY, draw_samples(), tmp_path / "run", on_progress=stop)
    ended, facts = fit(replace(recipe, patience=1), TAXONOMY, draw_samples(), tmp_path / "run", resume=True)
    assert (facts.epoch, len(facts.log)) == (4, 4)
    whole, _ = fit(replace(recipe, patience=3), TAXONOMY, draw_samples(), tmp_path / "whole")
    assert same_weights(weights(ended), weights(whole))


def test_a_best_epoch_that_is_gone_is_named(tmp_path: Path) -> None:
    recipe = replace(SMALL, keep="best")
    fit(recipe, TAXONOMY, draw_samples(), tmp_path)
    (tmp_path / "best.pt").unlink()
    with pytest.raises(TrainingError, match=r"best\.pt, with the weights of the best epoch, is gone; start again"):
        fit(recipe, TAXONOMY, draw_samples(), tmp_path, resume=True)


@pytest.mark.parametrize(("optimiser", "low", "high"), [("adamw", 1e-4, 0.1), ("sgd", 1e-4, 1.0)])
def test_the_range_test_finds_a_rate_that_learns_and_leaves_no_trace(
    optimiser: str, low: float, high: float, tmp_path: Path
) -> None:
    samples = draw_samples(100, 100)
    said: list[str] = []
    recipe = replace(SMALL, learning_rate=0.0, optimiser=optimiser, ema=0.5)
    found, facts = fit(recipe, TAXONOMY, samples, tmp_path / "found", on_stage=said.append)
    assert low <= facts.learning_rate <= high
    assert facts.log[-1]["accuracy.kind"] > 0.7
    assert said == [
        f"learning rate {facts.learning_rate:g} found; the curve is in {tmp_path / 'found' / 'range_test.csv'}"
    ]
    curve = read_log(tmp_path / "found", "range_test.csv")
    rates = [point["learning_rate"] for point in curve]
    assert rates[0] == pytest.approx(1e-6)
    assert rates == sorted(rates) and len(rates) > 20
    lowest = min(curve, key=lambda point: point["smoothed_loss"])["learning_rate"]
    assert facts.learning_rate == pytest.approx(lowest / 10, rel=0.06)
    # the very run that one gets by writing the rate down
    given, _ = fit(replace(recipe, learning_rate=facts.learning_rate), TAXONOMY, samples, tmp_path / "given")
    assert same_weights(weights(found), weights(given))


def test_the_batch_size_found_is_the_largest_that_fits_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = draw_samples(900, 100)
    recipe = replace(SMALL, batch_size=0, phases=(Phase(1, 8, 8),))
    said: list[str] = []
    roomy, facts = fit(recipe, TAXONOMY, samples, tmp_path / "roomy", on_stage=said.append)
    assert facts.batch_size == 64  # 1,000 pictures are then still more than eight steps
    assert said == ["batch size 64: it fits into memory, and an epoch keeps 16 steps"]
    given, _ = fit(replace(recipe, batch_size=64), TAXONOMY, samples, tmp_path / "given")
    assert same_weights(weights(roomy), weights(given))

    sizes = []
    for budget in (2e5, 8e5):
        monkeypatch.setattr(trials_module, "psutil", Memory(int(budget)))
        _, facts = fit(recipe, TAXONOMY, samples, tmp_path / "narrow", overwrite=True)
        sizes.append(facts.batch_size)
    assert sizes[0] * 4 == sizes[1] < 64


class Memory:
    """Stands in for the machine's memory."""

    def __init__(self, available: int) -> None:
        self.available = available

    def virtual_memory(self) -> Memory:
        return self


def test_a_gpu_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, without one."""
    tried: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def compute(n: int) -> None:
        tried.append(n)
        if n > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")

    size = trials_module.find_batch_size(
        lambda n: trials_module.fits_into_memory(n, compute, [], torch.device("cuda")), pictures=100_000
    )
    assert size == 64
    assert tried == [1024, 512, 256, 128, 64]


def test_what_the_backward_pass_keeps_grows_with_the_pictures() -> None:
    model = Classifier(SMALL, TAXONOMY)

    def measure(n: int) -> int:
        pixels = torch.zeros(n, 3, 8, 8)
        return trials_module.measure_bytes(lambda: sum(s.sum() for s in model(pixels)), list(model.parameters()))

    assert measure(8) - measure(4) == pytest.approx(measure(16) / 4, rel=0.1)
    assert measure(4) > 4 * 8 * 8 * 4 * 4  # the first convolution's output alone


def test_losses_that_are_fetched_rarely_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, which is not asked at every step."""
    fit(SMALL, TAXONOMY, draw_samples(), tmp_path / "often")
    monkeypatch.setattr(fit_module._Run, "asks_at_once", False)
    fit(SMALL, TAXONOMY, draw_samples(), tmp_path / "rarely")
    for one, other in zip(read_log(tmp_path / "often"), read_log(tmp_path / "rarely"), strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("every", [1e9, -1.0])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(
    at_once: bool, every: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fit_module.AttributeLoss.forward
    calls: list[int] = []

    def breaking(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        return real(self, *args, **options) * (float("nan") if len(calls) > 10 else 1)

    monkeypatch.setattr(fit_module.AttributeLoss, "forward", breaking)
    monkeypatch.setattr(fit_module._Run, "asks_at_once", at_once)
    monkeypatch.setattr(fit_module, "CHECKPOINT_EVERY_S", every)
    with pytest.raises(TrainingError, match=r"^The loss is no longer a number at step 10 of 28; lower learning_rate"):
        fit(SMALL, TAXONOMY, draw_samples(), tmp_path)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == (7 if every > 0 else 10)
    assert all(torch.isfinite(tensor).all() for tensor in kept["model"].values())


def test_weights_that_are_no_numbers_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient can break although the loss before it was sound."""
    real = fit_module._Run._apply_gradients

    def breaking(self: Any, rate: float) -> None:
        real(self, rate)
        if self.step == 9:
            with torch.no_grad():
                self.model.heads.bias[0] = float("inf")

    monkeypatch.setattr(fit_module._Run, "_apply_gradients", breaking)
    monkeypatch.setattr(fit_module, "CHECKPOINT_EVERY_S", -1.0)
    with pytest.raises(TrainingError, match=r"^A weight is no longer a number at step 10 of 28; lower learning_rate"):
        fit(SMALL, TAXONOMY, draw_samples(), tmp_path)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 9
    assert all(torch.isfinite(tensor).all() for tensor in kept["model"].values())


def test_the_log_holds_the_curves(tmp_path: Path) -> None:
    _, facts = fit(SMALL, TAXONOMY, draw_samples(), tmp_path)
    lines = read_log(tmp_path)
    assert list(lines[0]) == ["epoch", "seconds", "learning_rate", "train_loss", "validation_loss", "accuracy.kind"]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines == facts.log
    assert json.loads(json.dumps(facts.log)) == facts.log


def test_validation_loss_counts_every_label_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = draw_samples()
    samples.labels[250:290] = MISSING
    logs = []
    for size in (256, 37):
        monkeypatch.setattr(batches_module, "VALIDATION_BATCH", size)
        logs.append(fit(SMALL, TAXONOMY, samples, tmp_path / str(size))[1].log)
    for one, other in zip(*logs, strict=True):
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], abs=2e-5)
        assert one["accuracy.kind"] == other["accuracy.kind"]


def test_pixels_kept_on_the_device_are_those_of_the_file(samples: Samples) -> None:
    """The way of a GPU, walked on the processor."""
    fetched, kept = (Pictures(samples, CPU, resident=resident) for resident in (False, True))
    rows = np.concatenate([samples.rows[Split.VALIDATION][:5], samples.rows[Split.TRAIN][::7]])
    assert torch.equal(fetched.pixels(rows), kept.pixels(rows))
    assert torch.equal(fetched.pixels(rows), torch.from_numpy(samples.pixels[rows]))
    assert torch.equal(kept.labels(rows), torch.from_numpy(samples.labels[rows]))


@pytest.mark.parametrize("pictures", [1, 2, 3, 64, 65, 200])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_processes_together_see_what_one_alone_sees(pictures: int, accumulate: int, count: int) -> None:
    samples = draw_samples(pictures, 0)
    recipe = replace(SMALL, batch_size=32, accumulate=accumulate)
    parts = [
        part
        for rank in range(count)
        for part in Batches(recipe, Pictures(samples, CPU, resident=False), Processes(CPU, rank, count)).parts(0)
    ]
    expected = min(pictures, 32 * accumulate)
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert sum(part.share * expected for part in parts) == pytest.approx(expected)
    assert all(float(part.counts[0]) == expected for part in parts)
    if pictures >= count:
        assert sum(len(part.pixels) for part in parts) == expected
        assert max(len(part.pixels) for part in parts) <= 32
    else:
        assert {len(part.pixels) for part in parts} == {pictures}


def test_an_attribute_with_one_answer_or_none_is_named_with_its_split(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    def without(product: Any) -> Any:
        labels = dict(product.labels)
        if product.split == Split.VALIDATION:
            labels.pop("season", None)
        if product.split == Split.TRAIN:
            labels["gender"] = "Men"
        return replace(product, labels=labels)

    catalogue = replace(tiny_catalogue, products=tuple(without(product) for product in tiny_catalogue.products))
    with pytest.raises(TrainingError) as caught:
        train(catalogue, tiny_recipe, tmp_path / "bundle", cache=tmp_path / "cache")
    assert str(caught.value) == (
        "gender has the single value 'Men' in the train split; season has no label in the validation split; "
        "label more products, or leave the attribute out of the catalogue."
    )


LIMITED = "import sys, resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
"""No file may grow beyond what the log needs and a checkpoint does not."""


def start_training(catalogue: Path, tmp_path: Path, *options: str, before: str = "import sys") -> Any:
    """A long run on a catalogue, started through ``before``."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "width = 30\nheight = 40\nphases = [{ epochs = 60, height = 40, width = 30 }]\nstem = 8\n"
        "stages = [[16, 1], [32, 1]]\nbatch_size = 32\n"
    )
    code = f"{before}; from vestiary.cli.main import main; main()"
    command = [sys.executable, "-c", code, "train", str(catalogue), "--recipe", str(recipe), "--threads", "1"]
    return subprocess.Popen([*command, "--out", str(tmp_path / "bundle"), *options], stderr=subprocess.PIPE, text=True)


def test_ctrl_c_and_a_full_disk_leave_a_checkpoint_to_go_on_from(drawn_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="files are limited this way on Unix only")
    ingest(drawn_folder).save(tmp_path / "catalogue")
    run = start_training(tmp_path / "catalogue", tmp_path)
    assert any(line.startswith("epoch 2/60 ") for line in run.stderr)
    os.kill(run.pid, signal.SIGINT)
    rest = run.communicate()[1]
    assert run.returncode == 130
    assert "stopped at step " in rest and "go on with --resume" in rest
    assert rest.endswith("vestiary: Stopped.\n")
    step = int(rest.partition("stopped at step ")[2].split()[0].replace(",", ""))
    checkpoint = tmp_path / "bundle.training" / "checkpoint.pt"
    kept = checkpoint.read_bytes()
    assert torch.load(checkpoint, weights_only=True)["step"] == step > 0
    assert not (tmp_path / "bundle").exists()

    run = start_training(tmp_path / "catalogue", tmp_path, "--resume", before=LIMITED)
    said = run.communicate()[1].splitlines()
    assert run.returncode == 2
    assert re.fullmatch(
        rf"vestiary: (best|checkpoint)\.pt cannot be written to {tmp_path}/bundle\.training; "
        r"make room there and add --resume to go on\.",
        said[-1],
    )
    assert checkpoint.read_bytes() == kept
    assert not list(checkpoint.parent.glob("*.part"))


def test_the_guide_names_every_key_with_its_default() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "guides" / "training-options.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in guide.splitlines() if line.startswith("| `")]
    told = {}
    for keys, defaults, does in rows:
        names = re.findall(r"`(\w+)`", keys)
        assert does.strip(), names
        values = [defaults] if len(names) == 1 else defaults.split(", ", len(names) - 1)
        told |= dict(zip(names, (value.strip(" `") for value in values), strict=True))
    assert set(told) == {spec.name for spec in fields(Recipe)}
    for spec in fields(Recipe):
        if isinstance(spec.default, bool):
            assert told[spec.name] == str(spec.default).lower()
        elif isinstance(spec.default, int | float):
            assert float(told[spec.name]) == spec.default, spec.name
        elif isinstance(spec.default, str):
            assert told[spec.name] == (spec.default or "–")
