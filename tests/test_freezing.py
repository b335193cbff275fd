"""What learns when, and what is done about rare values, as a run shows it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from vestiary.catalogue import Catalogue  # noqa: E402
from vestiary.errors import TrainingError  # noqa: E402
from vestiary.product import Split  # noqa: E402
from vestiary.taxonomy import MISSING, Attribute, Taxonomy  # noqa: E402
from vestiary.training.dataset import Samples, open_samples  # noqa: E402
from vestiary.training.fit import fit  # noqa: E402
from vestiary.training.rare import settle_rare_values  # noqa: E402
from vestiary.training.recipe import Phase, Recipe  # noqa: E402
from vestiary.training.train import train  # noqa: E402


@pytest.fixture(scope="module")
def samples(tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path_factory.mktemp("cache"))


def watch_epochs(recipe: Recipe, catalogue: Catalogue, samples: Samples, work: Path) -> list[dict[str, torch.Tensor]]:
    """The weights in the checkpoint after each epoch, statistics of batch norms among them."""
    seen = []

    def look(progress: object) -> None:
        if getattr(progress, "finished_epoch", None):
            seen.append(torch.load(work / "checkpoint.pt", weights_only=True)["model"])

    fit(recipe, catalogue.taxonomy, samples, work, on_progress=look)
    return seen


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    """The parts of the network, backbone or heads, of which anything differs."""
    return {name.partition(".")[0] for name in one if not torch.equal(one[name], other[name])}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"train_backbone": "all"}, [{"backbone", "heads"}] * 2),
        ({"train_backbone": "frozen"}, [{"heads"}] * 2),
        ({"train_backbone": "staged", "frozen_epochs": 2}, [{"heads"}, {"backbone", "heads"}]),
    ],
)
def test_the_backbone_learns_when_the_recipe_says(
    settings: dict[str, object],
    expected: list[set[str]],
    tiny_catalogue: Catalogue,
    tiny_recipe: Recipe,
    samples: Samples,
    tmp_path: Path,
) -> None:
    phases = (Phase(3, tiny_recipe.height, tiny_recipe.width),)
    recipe = replace(tiny_recipe, phases=phases, batch_size=64, **settings)
    epochs = watch_epochs(recipe, tiny_catalogue, samples, tmp_path)
    assert [changed(one, other) for one, other in pairwise(epochs)] == expected


def test_slower_parts_move_less(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    phases = (Phase(2, tiny_recipe.height, tiny_recipe.width),)
    recipe = replace(tiny_recipe, phases=phases, batch_size=64, weight_decay=0.0)

    def moved(name: str, **settings: float) -> dict[str, float]:
        epochs = watch_epochs(replace(recipe, **settings), tiny_catalogue, samples, tmp_path / name)
        names = ("backbone.0.weight", "backbone.5.second.weight", "heads.weight")
        return {part: float((epochs[1][part] - epochs[0][part]).abs().mean()) for part in names}

    plain, slow = moved("plain"), moved("slow", backbone_rate=0.1, layer_decay=0.1)
    shares = [slow[part] / plain[part] for part in plain]
    assert shares[0] < 0.01
    assert 0.03 < shares[1] < 0.3
    assert 0.5 < shares[2] < 2


def make_samples() -> tuple[Samples, Taxonomy]:
    """Four values with 12, 3, 1 and 0 training pictures, each once in validation, and a second attribute's two."""
    labels = [0] * 12 + [1] * 3 + [2] + [0, 1, 2, 3] + [MISSING]
    splits = {Split.TRAIN: [*range(16), 20], Split.VALIDATION: [16, 17, 18, 19], Split.TEST: []}
    both = np.array([[label, number % 2] for number, label in enumerate(labels)], dtype=np.int64)
    rows = {split: np.array(numbers, dtype=np.int64) for split, numbers in splits.items()}
    taxonomy = Taxonomy(
        (Attribute("article", ("Shirt", "Coat", "Cape", "Muff")), Attribute("season", ("Fall", "Spring")))
    )
    return Samples(np.zeros((len(labels), 8, 8, 3), dtype=np.uint8), both, rows), taxonomy


def test_rare_values_are_counted_aloud_and_kept(tiny_recipe: Recipe) -> None:
    samples, taxonomy = make_samples()
    same, lines = settle_rare_values(samples, taxonomy, replace(tiny_recipe, rare_below=5))
    np.testing.assert_array_equal(same.labels, samples.labels)
    assert lines == [
        "article: 3 of 4 values have fewer than 5 training pictures (4 in all) and are learnt like any other"
    ]
    assert settle_rare_values(samples, taxonomy, replace(tiny_recipe, rare_below=0))[1] == []


def test_rare_values_are_masked_in_training_and_still_asked_in_validation(tiny_recipe: Recipe) -> None:
    samples, taxonomy = make_samples()
    recipe = replace(tiny_recipe, rare="mask", rare_below=3)
    masked, lines = settle_rare_values(samples, taxonomy, recipe)
    assert lines == ["article: 2 of 4 values have fewer than 3 training pictures (1 in all) and are masked in training"]
    assert masked.labels[15].tolist() == [MISSING, 1]
    unchanged = [number for number in range(21) if number != 15]
    np.testing.assert_array_equal(masked.labels[unchanged], samples.labels[unchanged])
    assert samples.labels[15, 0] == 2, "the samples given stay as they are"
    with pytest.raises(
        TrainingError, match=r"Only 1 of the values of article have 5 training pictures.*lower rare_below"
    ):
        settle_rare_values(samples, taxonomy, replace(recipe, rare_below=5))


def test_a_run_says_which_network_it_trains_and_what_is_rare(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    lines: list[str] = []
    phases = (Phase(1, tiny_recipe.height, tiny_recipe.width),)
    bundle, _ = train(
        tiny_catalogue,
        replace(tiny_recipe, phases=phases, rare_below=8, train_backbone="staged", frozen_epochs=2),
        tmp_path / "bundle",
        cache=tmp_path / "cache",
        on_stage=lines.append,
    )
    assert lines[0] == "backbone residual, 0.1 million parameters: random weights"
    assert bundle.training["backbone"] == lines[0]
    assert f"{lines[0]}." in bundle.card
    assert lines[1] == "the backbone never learns: frozen_epochs is 2, and the run has no more epochs"
    assert any("have fewer than 8 training pictures" in line for line in lines)
