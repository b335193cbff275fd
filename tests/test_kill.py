"""A training run that is killed, for real, and taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RECIPE = """
width = 30
height = 40
phases = [{ epochs = 6, height = 20, width = 15 }, { epochs = 6, height = 40, width = 30 }]
stem = 8
stages = [[16, 1], [32, 1], [64, 1]]
batch_size = 32
accumulate = 2
dropout = 0.2
erase = 0.3
mixup = 0.3
cutmix = 0.3
ema = 0.9
background = 0.3
learn_attribute_weights = true
learning_rate = 0
keep = "best"
"""


def start(catalogue: Path, recipe: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vestiary", "train", str(catalogue), "--recipe", str(recipe), "--out", str(out)]
    return subprocess.Popen([*command, "--threads", "1", *options], stderr=subprocess.PIPE, text=True)


def test_killed_three_times_it_ends_with_the_very_model_of_an_unbroken_run(drawn_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    catalogue, recipe = tmp_path / "catalogue", tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    ingest = [sys.executable, "-m", "vestiary", "ingest", str(drawn_folder), "--out", str(catalogue)]
    subprocess.run(ingest, check=True, stdout=subprocess.DEVNULL)
    whole = start(catalogue, recipe, tmp_path / "whole")
    assert whole.communicate() is not None
    assert whole.returncode == 0

    options: tuple[str, ...] = ()
    for epoch in ("2/12", "5/12", "9/12"):
        run = start(catalogue, recipe, tmp_path / "broken", *options)
        assert run.stderr is not None
        assert any(line.startswith(f"epoch {epoch} ") for line in run.stderr), f"it ended before epoch {epoch}"
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        assert not (tmp_path / "broken").exists()
        options = ("--resume",)
    last = start(catalogue, recipe, tmp_path / "broken", *options)
    last.communicate()
    assert last.returncode == 0
    models = [(tmp_path / name / "model.onnx").read_bytes() for name in ("whole", "broken")]
    assert models[0] == models[1]
