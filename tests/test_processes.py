"""Two processes on this machine train what one would have."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("accelerate", reason="the extra 'train' is not installed")

from vestiary.bundle import open_bundle  # noqa: E402
from vestiary.catalogue import ingest  # noqa: E402

pytestmark = pytest.mark.slow

RECIPE = """
width = 30
height = 40
phases = [{ epochs = 1, height = 20, width = 15 }, { epochs = 2, height = 40, width = 30 }]
stem = 8
stages = [[16, 1], [32, 1], [64, 1]]
batch_size = 64
optimiser = "sgd"  # Adam divides by the gradient's own size, so that rounding alone would show
learning_rate = 0.02
warmup = 0.5
ema = 0.8
clip = 1.0
mixup = 0.3
cutmix = 0.5
erase = 0.3
class_weights = "inverse"
learn_attribute_weights = true
keep = "best"
"""


def run_training(launch: list[str], catalogue: Path, out: Path, recipe: Path) -> str:
    command = [*launch, "-m", "vestiary", "train", str(catalogue), "--recipe", str(recipe), "--out", str(out)]
    done = subprocess.run([*command, "--threads", "1", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def read_log(out: Path) -> list[dict[str, float]]:
    with (out.with_name(f"{out.name}.training") / "log.csv").open(encoding="utf-8") as table:
        return [{key: float(value) for key, value in line.items()} for line in csv.DictReader(table)]


ACCELERATE = "-m accelerate.commands.launch --num_processes 2 --num_machines 1 --multi_gpu --mixed_precision no"
ACCELERATE += " --dynamo_backend no --num_cpu_threads_per_process 1"
TORCHRUN = "-m torch.distributed.run --standalone --nproc-per-node 2"


@pytest.mark.parametrize("launcher", [ACCELERATE, TORCHRUN], ids=["accelerate", "torchrun"])
def test_two_processes_end_where_one_does_and_only_one_speaks(
    drawn_folder: Path, tmp_path: Path, launcher: str
) -> None:
    catalogue, recipe = tmp_path / "catalogue", tmp_path / "recipe.toml"
    ingest(drawn_folder).save(catalogue)
    recipe.write_text(RECIPE)
    run_training([sys.executable], catalogue, tmp_path / "one", recipe)
    said = run_training([sys.executable, *launcher.split()], catalogue, tmp_path / "two", recipe)
    assert said.count("2 processes train together") == 1
    assert sum(line.startswith("epoch 3/3 ") for line in said.splitlines()) == 1

    # in the first epoch both differ by rounding; after that ReLU turns some of it into other gradients
    for close, one, two in zip((1e-5, 1e-3, 1e-3), read_log(tmp_path / "one"), read_log(tmp_path / "two"), strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=close)
        assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=close)
    one, two = (
        torch.load(tmp_path / f"{name}.training" / "checkpoint.pt", weights_only=True) for name in ("one", "two")
    )
    assert one["identity"] == two["identity"]
    for name, tensor in one["model"].items():
        assert torch.allclose(tensor.float(), two["model"][name].float(), rtol=2e-2, atol=2e-2), name
    bundles = [open_bundle(tmp_path / name) for name in ("one", "two")]
    assert bundles[0].training["epoch"] == bundles[1].training["epoch"]
