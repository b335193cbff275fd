"""Teachers: what they say is learnt, they see what the network sees, and a run stays with those it began with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from vestiary.bundle import open_bundle  # noqa: E402
from vestiary.catalogue import Catalogue  # noqa: E402
from vestiary.errors import TrainingError, UsageError  # noqa: E402
from vestiary.images import Preprocess  # noqa: E402
from vestiary.predictor import Predictor, evaluate  # noqa: E402
from vestiary.product import Split  # noqa: E402
from vestiary.reports.card import write_card  # noqa: E402
from vestiary.taxonomy import MISSING, Attribute, Taxonomy  # noqa: E402
from vestiary.training.batches import Batches, resize  # noqa: E402
from vestiary.training.dataset import Pictures, Samples  # noqa: E402
from vestiary.training.fit import fit  # noqa: E402
from vestiary.training.model import Classifier, to_pixels  # noqa: E402
from vestiary.training.processes import Processes  # noqa: E402
from vestiary.training.recipe import Phase, Recipe  # noqa: E402
from vestiary.training.teaching import Teacher, open_teachers, teach  # noqa: E402
from vestiary.training.train import train  # noqa: E402

CPU = torch.device("cpu")
PUPIL = Recipe(
    name="pupil",
    width=12,
    height=16,
    phases=(Phase(2, 8, 6), Phase(10, 16, 12)),
    stem=4,
    stages=((8, 1),),
    batch_size=32,
    learning_rate=2e-2,
    teaching=0.5,
)
TAXONOMY = Taxonomy((Attribute("baseColour", ("Red", "Green", "Blue")), Attribute("season", ("Summer", "Winter"))))


def paint_samples(n: int = 192) -> Samples:
    """Pictures of one plain colour; all know their colour, none of those to learn from its season."""
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 3, n + 60)
    pixels = rng.integers(0, 60, (n + 60, 1, 1, 3)) + 180 * np.eye(3)[colours][:, None, None]
    labels = np.stack([colours, (colours == 2).astype(np.int64)], 1)
    labels[:n, 1] = MISSING
    rows = {Split.TRAIN: np.arange(n), Split.VALIDATION: np.arange(n, n + 60), Split.TEST: np.arange(0)}
    return Samples(np.broadcast_to(pixels, (n + 60, 16, 12, 3)).astype(np.uint8).copy(), labels, rows)


def say_nothing(line: str) -> None:
    """For runs that are not listened to."""


def open_some(*places: Path, recipe: Recipe = PUPIL) -> tuple[Teacher, ...]:
    return open_teachers(places, recipe, TAXONOMY, CPU, on_stage=say_nothing)


def share_of_right_seasons(model: Classifier, samples: Samples) -> float:
    rows = samples.rows[Split.VALIDATION]
    with torch.inference_mode():
        answers = model(to_pixels(torch.from_numpy(samples.pixels[rows])))[1].argmax(1).numpy()
    return float((answers == samples.labels[rows, 1]).mean())


def test_an_attribute_without_labels_is_learnt_from_the_teacher(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    samples = paint_samples()
    taught, _ = fit(PUPIL, TAXONOMY, samples, tmp_path / "taught", teachers=open_some(make_bundle()))
    assert share_of_right_seasons(taught, samples) > 0.95
    unused = replace(PUPIL, teaching=0.0)
    alone, _ = fit(unused, TAXONOMY, samples, tmp_path / "alone", teachers=open_some(make_bundle(tmp_path / "same")))
    without, _ = fit(unused, TAXONOMY, samples, tmp_path / "without")
    assert share_of_right_seasons(without, samples) < 0.9
    assert share_of_right_seasons(alone, samples) < 0.9


def test_several_teachers_are_averaged_at_the_temperature(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    plain = {"baseColour": ((0.0,) * 4,) * 3, "season": ((0.0, 0.0, 0.0, 4.0), (0.0,) * 4)}
    teachers = open_some(make_bundle(), make_bundle(tmp_path / "other", rule=plain))
    red = torch.tensor([255.0, 0.0, 0.0])[None, :, None, None].expand(2, 3, 16, 12)
    said = teach(teachers, red, temperature=2.0)
    assert said is not None
    odds = np.exp([8 / 2, 0, 0])
    assert said[0][0].numpy() == pytest.approx((odds / odds.sum() + 1 / 3) / 2, rel=1e-4)
    summer = (1 / (1 + np.exp(-6 / 2)) + 1 / (1 + np.exp(-4 / 2))) / 2
    assert said[1][1].numpy() == pytest.approx([summer, 1 - summer], rel=1e-4)


def test_teachers_see_the_pictures_of_the_step_at_the_full_resolution() -> None:
    recipe = replace(PUPIL, cutmix=1.0, rotate=20.0, accumulate=2)
    pictures = Pictures(paint_samples(), CPU, resident=False)
    batches = Batches(recipe, pictures, Processes(CPU), taught=True)
    for step, size in ((0, (8, 6)), (batches.steps - 1, (16, 12))):
        parts = list(batches.parts(step))
        assert len(parts) == 2
        for part in parts:
            assert tuple(part.pixels.shape[2:]) == size
            assert tuple(part.shown.shape[2:]) == (16, 12)
            assert torch.equal(part.pixels, resize(part.shown, batches.phase(step)))


def test_a_resumed_run_ends_like_an_unbroken_one_and_keeps_its_teachers(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    recipe, samples, teachers = replace(PUPIL, cutmix=0.5), paint_samples(), open_some(make_bundle())

    class Stopped(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.step == 20:
            raise Stopped

    whole, _ = fit(recipe, TAXONOMY, samples, tmp_path / "whole", teachers=teachers)
    with pytest.raises(Stopped):
        fit(recipe, TAXONOMY, samples, tmp_path / "broken", teachers=teachers, on_progress=stop)
    with pytest.raises(TrainingError, match=r"is taught by tiny \(.{12}\); name the same with --teacher"):
        fit(recipe, TAXONOMY, samples, tmp_path / "broken", resume=True)
    resumed, _ = fit(recipe, TAXONOMY, samples, tmp_path / "broken", resume=True, teachers=teachers)
    expected, found = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_teacher_of_another_order_or_shape_is_refused_in_a_sentence(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    turned = Taxonomy((TAXONOMY.attributes[0], Attribute("season", ("Winter", "Summer"))))
    with pytest.raises(UsageError, match="answers other attributes or values, or in another order"):
        open_some(make_bundle(taxonomy=turned))
    square = make_bundle(tmp_path / "square", preprocess=Preprocess(width=16, height=16))
    with pytest.raises(UsageError, match=r"sees pictures of 16×16 px, another shape than the recipe's 12×16 px"):
        open_some(square)
    larger = make_bundle(tmp_path / "larger", preprocess=Preprocess(width=24, height=32))
    said = teach(open_some(larger), torch.full((1, 3, 16, 12), 255.0), temperature=1.0)
    assert said is not None
    assert said[0].shape == (1, 3)


def test_a_bundle_answers_from_its_checkpoint_only_where_both_say_the_same(
    trained_bundle: Path,
    tiny_catalogue: Catalogue,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def open_one(place: Path) -> tuple[Teacher, str]:
        said: list[str] = []
        teachers = open_teachers([place], tiny_recipe, tiny_catalogue.taxonomy, CPU, on_stage=said.append)
        return teachers[0], said[0]

    alone = shutil.copytree(trained_bundle, tmp_path / "alone")
    spoilt = shutil.copytree(trained_bundle, tmp_path / "spoilt")
    shutil.copytree(trained_bundle.with_name("bundle.training"), tmp_path / "spoilt.training")
    state = torch.load(tmp_path / "spoilt.training" / "checkpoint.pt", weights_only=True)
    state["model"]["heads.weight"] += 1
    torch.save(state, tmp_path / "spoilt.training" / "checkpoint.pt")
    teacher, how = open_one(trained_bundle)
    assert how.endswith("through its checkpoint")
    pixels = torch.rand(3, 3, 40, 30, generator=torch.Generator().manual_seed(1)).mul(255).round()
    for place in (alone, spoilt):
        other, how = open_one(place)
        assert how.endswith("through ONNX Runtime")
        for own, exported in zip(teacher.answer(pixels), other.answer(pixels), strict=True):
            assert torch.allclose(own, exported, atol=1e-3)
    monkeypatch.chdir(trained_bundle)
    assert open_one(Path("."))[1].endswith("through its checkpoint")


def test_the_bundle_tells_by_whom_it_was_taught(
    trained_bundle: Path, tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe, phases=(Phase(1, 40, 30),), batch_size=64)
    cache = trained_bundle.with_name("cache")
    said: list[str] = []
    bundle, _ = train(
        tiny_catalogue, recipe, tmp_path / "pupil", cache=cache, teachers=[trained_bundle], on_stage=said.append
    )
    assert not any("another catalogue" in line for line in said)
    fingerprint, learnt = open_bundle(trained_bundle).fingerprint, [tiny_catalogue.fingerprint]
    assert bundle.training["teachers"] == [{"name": "tiny", "fingerprint": fingerprint, "catalogues": learnt}]
    assert f"Taught by: labels, and the answers of tiny ({fingerprint[:12]})" in bundle.card
    assert "--teacher BUNDLE" in bundle.card
    assert "Taught by" not in open_bundle(trained_bundle).card


def test_a_teacher_that_may_know_the_test_split_is_told_of_before_training(
    trained_bundle: Path, tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    class Told(Exception):
        pass

    def hear(line: str) -> None:
        if "another catalogue" in line:
            raise Told(line)

    own = open_bundle(trained_bundle)
    other = {"catalogue": {"fingerprint": "f" * 64}}
    taught = {"teachers": [{"name": "tiny", "fingerprint": "e" * 64, "catalogues": ["f" * 64]}]}
    for number, training in enumerate((other, {"catalogue": {}}, taught)):
        teacher = tmp_path / f"teacher-{number}"
        replace(own, training={**own.training, **training}).write(teacher)
        with pytest.raises(Told, match=r"^a teacher learnt from another catalogue .* may have seen test products$"):
            train(tiny_catalogue, tiny_recipe, tmp_path / "pupil", cache=tmp_path, teachers=[teacher], on_stage=hear)


def test_the_card_vouches_for_the_test_split_only_where_all_learnt_from_this_catalogue(
    trained_bundle: Path, tiny_catalogue: Catalogue
) -> None:
    bundle = open_bundle(trained_bundle)
    evaluation = evaluate(Predictor(bundle), tiny_catalogue, split=Split.TEST)

    def introduce(**training: Any) -> str:
        return write_card(replace(bundle, training=training), tiny_catalogue, evaluation)

    own, other = (
        {"catalogue": {"fingerprint": print_, "counts": None}} for print_ in (tiny_catalogue.fingerprint, "f")
    )
    named = {"name": "tiny", "fingerprint": "e" * 64}
    same, elsewhere = (named | {"catalogues": [print_]} for print_ in (tiny_catalogue.fingerprint, "f"))
    merged = {"backbone": "2 networks"}
    vouch, doubt = "None of their names or pictures occur in training", "A part or teacher of it learnt from another"
    for training, is_sure in (
        (own, True),
        (own | {"teachers": [same]}, True),
        (own | {"teachers": [same, elsewhere]}, False),
        (own | {"teachers": [named]}, False),  # as it was recorded once
        (own | merged | {"merged": [named | {"training": own}] * 2}, True),
        (merged | {"merged": [named | {"training": own}, named | {"training": other}]}, False),
        (own | merged | {"merged": [named | {"training": own | {"teachers": [elsewhere]}}] * 2}, False),
    ):
        card = introduce(**training)
        assert (vouch in card, doubt in card) == (is_sure, not is_sure)
    assert "They come from another catalogue" in introduce(**other)
