"""Recipes: read from TOML and settings, and refused with every mistake named at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vestiary.errors import RecipeError, UsageError, VestiaryError
from vestiary.images import Preprocess
from vestiary.training.recipe import Phase, Recipe, check_catalogue, load_recipe, parse_recipe, recipe_names

SOUND: dict[str, Any] = {"name": "small", "phases": [{"epochs": 2, "height": 80, "width": 60}]}


def _refuse(**changes: Any) -> list[str]:
    """The problems of a sound recipe with the given changes."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(SOUND | changes, where="Recipe small")
    _check_sentence(caught.value)
    return caught.value.problems


def _check_sentence(error: VestiaryError) -> None:
    """One line, one full stop at its end, no remains of a sentence within it."""
    text = str(error)
    assert text.endswith(".") and not text.endswith(("..", "?."))
    assert "\n" not in text and ". " not in text and ".;" not in text


def _write(tmp_path: Path, text: str) -> str:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = "phases = [{epochs = 3, height = 80, width = 60}]\n"
    assert load_recipe(_write(tmp_path, f"\ufeff{text}")) == load_recipe(_write(tmp_path, text))


def test_the_default_recipe_loads() -> None:
    recipe = load_recipe("default")
    assert recipe.name == "default"
    assert recipe.preprocess == Preprocess(width=recipe.width, height=recipe.height)
    assert recipe.epochs == sum(phase.epochs for phase in recipe.phases) > 0
    assert (recipe.phases[-1].height, recipe.phases[-1].width) == (recipe.height, recipe.width)


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_under_its_own_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_a_recipe_file_needs_only_phases_and_is_named_after_the_file(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, "phases = [{ epochs = 3, height = 80, width = 60 }]\n"))
    assert recipe == Recipe(name="mine", phases=(Phase(3, 80, 60),))


def test_what_a_recipe_writes_it_reads_again() -> None:
    recipe = load_recipe("default", ["dropout=0.5", "stages=[[8, 1], [16, 3]]", "seed=7"])
    assert parse_recipe(recipe.to_dict()) == recipe


def test_an_unknown_key_is_answered_with_the_nearest_right_name() -> None:
    assert _refuse(drop_out=0.1) == ["unknown key 'drop_out', write 'dropout'"]
    [told] = _refuse(epochs=3)
    assert told.startswith("unknown key 'epochs', give it in phases, as in 'phases=[{epochs=")
    assert _refuse(learning_rat=0.1) == ["unknown key 'learning_rat', write 'learning_rate'"]


def test_an_unknown_key_like_no_other_is_to_be_removed() -> None:
    assert _refuse(zzzz=1) == ["unknown key 'zzzz', remove it"]


def test_all_mistakes_are_reported_at_once_in_one_sentence() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(
            SOUND | {"drop_out": 1, "seed": -1, "flip": "often", "precision": "fp8", "stages": []}, where="Recipe small"
        )
    _check_sentence(caught.value)
    assert str(caught.value).startswith("Recipe small: ")
    for word in ("'drop_out'", "seed is -1", "flip is 'often'", "precision is 'fp8'", "stages is []"):
        assert word in str(caught.value)
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("key", "value", "bounds"),
    [
        ("seed", -1, "0 and 2147483648"),
        ("seed", 2**31 + 1, "0 and 2147483648"),
        ("width", 7, "8 and 4096"),
        ("batch_size", -1, "0 and 65536"),
        ("dropout", 0.96, "0 and 0.95"),
        ("learning_rate", 11, "0 and 10"),
        ("flip", 1.01, "0 and 1"),
        ("target_precision", 0.4, "0.5 and 1"),
        ("rotate", float("nan"), "0 and 180"),
        ("zoom", float("inf"), "0 and 0.9"),
    ],
)
def test_a_number_out_of_range_is_named_with_its_bounds(key: str, value: float, bounds: str) -> None:
    phases = [{"epochs": 1, "height": 80, "width": value if key == "width" else 60}]
    assert _refuse(**{key: value, "phases": phases}) == [f"{key} is {value}, but must lie between {bounds}"]


@pytest.mark.parametrize(("key", "value"), [("seed", 0), ("seed", 2**31), ("dropout", 0.95), ("flip", 1), ("flip", 0)])
def test_the_bounds_themselves_are_allowed(key: str, value: float) -> None:
    assert getattr(parse_recipe(SOUND | {key: value}), key) == value


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("seed", True, "a whole number"),
        ("seed", 1.0, "a whole number"),
        ("seed", "42", "a whole number"),
        ("batch_size", 12.5, "a whole number"),
        ("batch_size", [128], "a whole number"),
        ("dropout", "0.1", "a number"),
        ("dropout", False, "a number"),
        ("dropout", {"p": 0.1}, "a number"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key: str, value: Any, wanted: str) -> None:
    assert _refuse(**{key: value}) == [f"{key} is {value!r}, but must be {wanted}"]


def test_a_whole_number_will_do_for_a_number() -> None:
    recipe = parse_recipe(SOUND | {"dropout": 0})
    assert recipe.dropout == 0.0 and isinstance(recipe.dropout, float)


@pytest.mark.parametrize("value", ["fp16", 32, ["fp32"]])
def test_a_choice_that_does_not_exist_is_answered_with_those_that_do(value: Any) -> None:
    assert _refuse(precision=value) == [f"precision is {value!r}, but must be one of: fp32, bf16"]


@pytest.mark.parametrize(
    "phases",
    [
        [],
        5,
        "long",
        {"epochs": 1, "height": 80, "width": 60},
        [[1, 80, 60]],
        [{"epochs": 1, "height": 80}],
        [{"epochs": 1, "height": 80, "width": 60, "depth": 3}],
        [{"epochs": 0, "height": 80, "width": 60}],
        [{"epochs": True, "height": 80, "width": 60}],
        [{"epochs": 1.0, "height": 80, "width": 60}],
        [{"epochs": 1, "height": "80", "width": 60}],
    ],
)
def test_phases_of_another_form_are_refused_once(phases: Any) -> None:
    form = "a list of {epochs, height, width} with whole numbers from 1"
    assert _refuse(phases=phases) == [f"phases is {phases!r}, but must be {form}"]


@pytest.mark.parametrize(
    "stages", [[], 3, "wide", [32, 64], [[32]], [[32, 1, 1]], [[32, 0]], [[32.0, 1]], [["32", 1]], [[True, 1]]]
)
def test_stages_of_another_form_are_refused(stages: Any) -> None:
    form = "a list of [channels, blocks] with whole numbers from 1"
    assert _refuse(stages=stages) == [f"stages is {stages!r}, but must be {form}"]


def test_missing_phases_and_a_missing_name_are_named() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"seed": 1})
    _check_sentence(caught.value)
    assert [problem.split(",")[0] for problem in caught.value.problems] == ["name is missing", "phases is missing"]


def test_the_last_phase_must_have_the_full_size() -> None:
    small, full = {"epochs": 1, "height": 40, "width": 30}, {"epochs": 1, "height": 80, "width": 60}
    assert parse_recipe(SOUND | {"phases": [small, full]}).epochs == 2
    for phases in ([full, small], [small]):
        assert _refuse(phases=phases) == ["the last phase has 30×40 px, but must have the full 60×80"]


def test_no_phase_may_be_larger_than_the_pictures() -> None:
    large, full = {"epochs": 1, "height": 160, "width": 60}, {"epochs": 1, "height": 80, "width": 60}
    assert _refuse(phases=[large, full]) == ["a phase is larger than the pictures (60×80 px)"]


def test_phases_are_not_held_against_a_size_that_is_itself_wrong() -> None:
    phases = [{"epochs": 1, "height": 5, "width": 60}]
    assert _refuse(height=5, phases=phases) == ["height is 5, but must lie between 8 and 4096"]


def test_a_choice_almost_right_is_answered_with_the_right_one() -> None:
    wanted = "optimiser is 'AdamW', but must be one of: adamw, adam, sgd, write 'adamw'"
    assert _refuse(optimiser="AdamW", schedule="onecycle") == [
        wanted,
        "schedule is 'onecycle', but must be one of: one-cycle, cosine, constant, write 'one-cycle'",
    ]


def test_every_wrong_entry_of_a_table_is_named() -> None:
    assert _refuse(head_widths={"season": 0, "gender": "wide", "usage": 8}, attribute_weights=[1]) == [
        "head_widths.season is 0, but must lie between 1e-06 and 1000000",
        "head_widths.gender is 'wide', but must be a whole number",
        "attribute_weights is [1], but must be a table of name = value",
    ]


def test_settings_reach_into_tables() -> None:
    recipe = load_recipe("r1-convnext", ["head_widths.season=8", "architecture.depths=[1, 1, 1, 1]"])
    assert recipe.head_widths == {"baseColour": 256, "articleType": 128, "season": 8, "gender": 64}
    assert recipe.architecture["depths"] == [1, 1, 1, 1]
    assert recipe.architecture["model_type"] == "convnext"
    assert load_recipe("small", ["attribute_weights.season=0.5"]).attribute_weights == {"season": 0.5}
    with pytest.raises(RecipeError, match=r"unknown key 'backbone\.kind', write 'backbone'"):
        load_recipe("small", ["backbone.kind=1"])


def test_another_backbone_replaces_the_recipes_own(tmp_path: Path) -> None:
    recipe = load_recipe("r1-convnext", backbone="facebook/dinov2-base")
    assert (recipe.backbone, recipe.pretrained, recipe.architecture) == ("facebook/dinov2-base", True, {})
    recipe = load_recipe("r1-convnext", backbone="residual")
    assert (recipe.backbone, recipe.pretrained, recipe.architecture) == ("residual", False, {})
    (tmp_path / "config.json").write_text("{}")
    assert load_recipe("small", backbone=str(tmp_path)).backbone == str(tmp_path)
    file = tmp_path / "weights.pt"
    file.touch()
    recipe = load_recipe("r1-convnext", backbone=str(file))
    assert (recipe.backbone, recipe.backbone_weights) == ("facebook/convnext-tiny-224", str(file))
    assert recipe.architecture["model_type"] == "convnext"
    with pytest.raises(RecipeError, match="backbone_weights names a file, but pretrained is false"):
        load_recipe("r1-convnext", ["pretrained=false"], backbone=str(file))


def test_what_cannot_be_a_backbone_is_refused(tmp_path: Path) -> None:
    for name in ("./gone.safetensors", "a/b/c", "", "two words", "../x"):
        with pytest.raises(UsageError, match="is no file, no folder and no model's id") as caught:
            load_recipe("small", backbone=name)
        _check_sentence(caught.value)
    with pytest.raises(UsageError, match=r"holds no model \(no config\.json\)") as caught:
        load_recipe("small", backbone=str(tmp_path))
    assert _refuse(pretrained=True) == [
        "pretrained is true, but nobody publishes weights for the residual backbone, give --backbone FILE"
    ]


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("r")])
def test_recipes_of_references_need_no_hub_for_random_weights(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.pretrained and "/" in recipe.backbone and recipe.architecture["model_type"]
    assert recipe.preparation == name[:2]
    if "baseColour" in name or name in ("r1-convnext", "r2-efficientnet", "r4-resnet-multihead"):
        assert recipe.lighting == 0, "colour is asked, so nothing may alter it"


def test_what_does_not_fit_the_catalogue_is_named_at_once(drawn_folder: Path) -> None:
    from vestiary.catalogue import ingest, load_preparation, prepare

    catalogue = ingest(drawn_folder)
    recipe = parse_recipe(
        SOUND | {"head_widths": {"articletype": 8}, "attribute_weights": {"price": 2.0}, "preparation": "r4"}
    )
    with pytest.raises(RecipeError) as caught:
        check_catalogue(recipe, catalogue)
    _check_sentence(caught.value)
    assert caught.value.problems[0] == "unknown attribute 'head_widths.articletype', write 'articleType'"
    assert caught.value.problems[1].startswith("unknown attribute 'attribute_weights.price', name one of: gender,")
    assert "vestiary ingest SOURCE --preparation r4" in caught.value.problems[2]
    assert "went through none" in caught.value.problems[2]
    check_catalogue(parse_recipe(SOUND | {"preparation": "r4"}), prepare(catalogue, load_preparation("r4")))
    with pytest.raises(RecipeError, match="preparation is 'r2', but the catalogue went through r4"):
        check_catalogue(parse_recipe(SOUND | {"preparation": "r2"}), prepare(catalogue, load_preparation("r4")))


def test_every_recipe_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "guides" / "train.md").read_text(encoding="utf-8")
    for name in recipe_names():
        assert f"| `{name}` |" in guide


def test_settings_are_laid_over_the_recipe() -> None:
    recipe = load_recipe(
        "default",
        [
            "seed=7",
            "dropout = 0.25",
            "stages=[[8, 1], [16, 2]]",
            "phases=[{epochs = 1, height = 80, width = 60}]",
            "precision=fp32",
            "name=bare words",
            'backbone="residual"',
        ],
    )
    assert (recipe.seed, recipe.dropout, recipe.precision, recipe.name) == (7, 0.25, "fp32", "bare words")
    assert recipe.stages == ((8, 1), (16, 2))
    assert recipe.phases == (Phase(1, 80, 60),)
    assert recipe.weight_decay == load_recipe("default").weight_decay


def test_the_last_setting_of_a_key_holds() -> None:
    assert load_recipe("default", ["seed=1", "seed=2"]).seed == 2


def test_a_wrong_setting_is_refused_like_a_wrong_line() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("default", ["seeds=1", "dropout=lots", "flip="])
    _check_sentence(caught.value)
    assert [problem.split(",")[0] for problem in caught.value.problems] == [
        "unknown key 'seeds'",
        "dropout is 'lots'",
        "flip is ''",
    ]


def test_a_setting_without_an_equals_sign_is_refused() -> None:
    with pytest.raises(UsageError, match="write --set key=value") as caught:
        load_recipe("default", ["dropout"])
    _check_sentence(caught.value)


def test_an_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    for name in ("nope", str(tmp_path), ""):
        with pytest.raises(UsageError) as caught:
            load_recipe(name)
        _check_sentence(caught.value)
        assert str(caught.value) == (
            f"There is no recipe {name!r}; name a TOML file or one of: {', '.join(recipe_names())}."
        )
    assert "default" in recipe_names()


@pytest.mark.parametrize("text", ["seed = = 1\n", "seed = 1\nseed = 2\n", "[phases\n", "\x00", "{}"])
def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path: Path, text: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(RecipeError, match=r"not valid TOML: .*line.*correct it") as caught:
        load_recipe(path)
    _check_sentence(caught.value)
    assert path in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(bytes(range(256)))
    with pytest.raises(RecipeError):
        load_recipe(str(file))


def test_reading_a_recipe_loads_no_torch() -> None:
    code = (
        "import sys, vestiary.training.recipe as r; r.load_recipe('default'); "
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
