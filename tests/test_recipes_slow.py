"""Every shipped recipe from the command line, on a slice of the real catalogue, small and with random weights."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("transformers", reason="the extra 'train' is not installed")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EVERY = 60
"""One row of so many is taken."""
SMALL = {
    "default": ["stages=[[16, 1], [32, 1]]"],
    "small": ["stages=[[16, 1], [32, 1]]"],
    "large": [
        "architecture.hidden_size=32",
        "architecture.num_hidden_layers=2",
        "architecture.num_attention_heads=2",
        "architecture.patch_size=8",
    ],
    "r1-convnext": ["architecture.depths=[1, 1, 2, 1]", "architecture.hidden_sizes=[16, 32, 48, 64]"],
    "r2-efficientnet": [
        "architecture.width_coefficient=0.25",
        "architecture.depth_coefficient=0.1",
        "architecture.hidden_dim=320",
    ],
    "r3-resnet-65": ["architecture.depths=[1, 1, 1, 1]", "architecture.hidden_sizes=[16, 24, 32, 48]"],
    "r4-resnet-multihead": ["architecture.depths=[1, 1, 1, 1]", "architecture.hidden_sizes=[16, 24, 32, 48]"],
    "r5-mobilenet-10": ["architecture.depth_multiplier=0.25"],
}
"""What makes each recipe's model small enough for two cores; nothing else of it is changed but size and length."""
LENGTH = [
    "phases=[{epochs = 2, height = 64, width = 48}]",
    "height=64",
    "width=48",
    "frozen_epochs=1",
    "pretrained=false",
]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vestiary", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def slice_of_real(real_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip in Kaggle's layout with every sixtieth product."""
    path = tmp_path_factory.mktemp("slice") / "slice.zip"
    with zipfile.ZipFile(real_small) as whole, zipfile.ZipFile(path, "w") as part:
        header, *lines = whole.read("styles.csv").decode("utf-8-sig").splitlines()
        lines = lines[::EVERY]
        part.writestr("styles.csv", "\n".join([header, *lines]))
        names = set(whole.namelist())
        for name in (f"images/{line.partition(',')[0]}.jpg" for line in lines):
            if name in names:
                part.writestr(name, whole.read(name))
    return path


def test_every_recipe_has_its_small_form() -> None:
    from vestiary.training.recipe import recipe_names

    assert set(SMALL) == set(recipe_names())


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_runs_from_the_source_to_tags(name: str, slice_of_real: Path, tmp_path: Path) -> None:
    from vestiary.catalogue import load_catalogue
    from vestiary.training.recipe import ANY_PREPARATION, load_recipe

    catalogue, bundle = str(tmp_path / "catalogue"), str(tmp_path / "bundle")
    needed = load_recipe(name).preparation
    steps = [] if needed == ANY_PREPARATION else ["--preparation", needed]
    run("ingest", str(slice_of_real), "--out", catalogue, *steps)
    settings = [part for setting in (*LENGTH, *SMALL[name]) for part in ("--set", setting)]
    figures = json.loads(
        run("train", catalogue, "--recipe", name, "--out", bundle, "--threads", "1", "--json", *settings)
    )
    pictures = [str(ROOT / "examples" / "photos" / f"{photo}.jpg") for photo in ("red-dress", "black-watch")]
    predictions = json.loads(run("tag", *pictures, "--bundle", bundle, "--format", "json"))
    assert [prediction["status"] for prediction in predictions] == ["success", "success"]
    for prediction in predictions:
        assert set(prediction["tags"]) == set(figures) == set(load_catalogue(catalogue).taxonomy.names)


@pytest.mark.parametrize("name", ["r1-convnext", "r5-mobilenet-10"])
def test_a_reference_network_of_its_true_size_is_exported_as_it_is(name: str) -> None:
    import onnxruntime

    from vestiary.taxonomy import Attribute, Taxonomy
    from vestiary.training.export import export_onnx
    from vestiary.training.model import Classifier, to_pixels
    from vestiary.training.recipe import load_recipe

    names = ("baseColour", "articleType", "season", "gender")
    taxonomy = Taxonomy(tuple(Attribute(own, tuple(f"{own} {n}" for n in range(10))) for own in names))
    recipe = load_recipe(name, ["pretrained=false"])
    torch.manual_seed(recipe.seed)
    model = Classifier(recipe, taxonomy)
    pictures = torch.randint(0, 256, (2, recipe.height, recipe.width, 3), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(export_onnx(model, taxonomy, height=recipe.height, width=recipe.width))
    with torch.no_grad():
        expected = model.eval()(to_pixels(pictures))
    for own, logits in zip(names, expected, strict=True):
        np.testing.assert_allclose(session.run([own], {"images": pictures.numpy()})[0], logits, atol=1e-4)
    assert session.run(["articleType.map"], {"images": pictures.numpy()})[0].shape == (2, 10, 7, 7)
