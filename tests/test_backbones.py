"""Backbones: any vision model becomes a map of features, keeps its norm, starts from given weights, and is exported."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("transformers", reason="the extra 'train' is not installed")

from transformers import (  # noqa: E402
    AutoModel,
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextForImageClassification,
)

from vestiary.errors import RecipeError, TrainingError  # noqa: E402
from vestiary.taxonomy import Attribute, Taxonomy  # noqa: E402
from vestiary.training.export import export_onnx  # noqa: E402
from vestiary.training.freezing import RATE, parameter_groups  # noqa: E402
from vestiary.training.model import Classifier, map_classes, to_pixels  # noqa: E402
from vestiary.training.model.normalisation import IMAGENET, Normalisation  # noqa: E402
from vestiary.training.recipe import Recipe, load_recipe, parse_recipe  # noqa: E402
from vestiary.training.rehearsal import rehearse  # noqa: E402

FULL_SIZE = "phases=[{epochs = 1, height = 64, width = 48}]"
"""Of the recipe small, whose first phase is too small for most models."""
TAXONOMY = Taxonomy((Attribute("colour", ("Red", "Green", "Blue")), Attribute("season", ("Summer", "Winter"))))
HEIGHT, WIDTH = 64, 48
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8, "image_size": 32}
TOWER = VIT | {"intermediate_size": 64}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
FOCAL = {"embed_dim": 8, "depths": [1] * 4, "focal_levels": [1] * 4, "focal_windows": [1] * 4}
FAMILIES: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "convnext": (STAGES, (32, 2, 1)),
    "convnextv2": (STAGES, (32, 2, 1)),
    "efficientnet": ({"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320}, (320, 2, 1)),
    "resnet": (STAGES | {"embedding_size": 8, "layer_type": "basic"}, (32, 2, 2)),
    "mobilenet_v2": ({"depth_multiplier": 0.25}, (1280, 2, 2)),
    "dinov2": (VIT, (32, 8, 6)),
    "clip_vision_model": (TOWER, (32, 8, 6)),
    "siglip_vision_model": (TOWER, (32, 8, 6)),
    "focalnet": (FOCAL, (64, 2, 2)),
}
"""What makes each kind of model tiny, and the channels, rows and columns of its features for a picture of 48×64 px."""


def make_recipe(kind: str = "convnext", **changes: Any) -> Recipe:
    """A recipe with a tiny model of one kind and random weights."""
    described = {"model_type": kind, **FAMILIES[kind][0]} if kind in FAMILIES else {}
    plain = {"name": "tiny", "height": HEIGHT, "width": WIDTH, "backbone": f"owner/{kind}", "architecture": described}
    return parse_recipe(plain | {"phases": [{"epochs": 1, "height": HEIGHT, "width": WIDTH}]} | changes)


def make_model(recipe: Recipe) -> Classifier:
    """Its network, with norms that have seen something, so that features are as large as after training."""
    torch.manual_seed(0)
    model = Classifier(recipe, TAXONOMY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        for _ in range(40):
            model.train()(to_pixels(make_pictures(8)))
    return model.eval()


def make_pictures(n: int = 3) -> torch.Tensor:
    """Pictures of large blocks of colour, as unlike each other as products are."""
    blocks = torch.randint(0, 256, (n, 4, 3, 3), dtype=torch.uint8)
    return blocks.repeat_interleave(HEIGHT // 4, 1).repeat_interleave(WIDTH // 3, 2)


@pytest.mark.parametrize("kind", FAMILIES)
def test_each_kind_of_model_gives_maps_and_is_exported_as_it_is(kind: str) -> None:
    attention = "cbam" if kind == "resnet" else "se" if kind == "convnextv2" else "none"
    model = make_model(make_recipe(kind, head_widths={"colour": 8}, attention=attention))
    pictures = make_pictures()
    with torch.no_grad():
        features = model.features(to_pixels(pictures))
        colours, seasons = model(to_pixels(pictures))
    assert features.shape[1:] == FAMILIES[kind][1]
    session = onnxruntime.InferenceSession(export_onnx(model, TAXONOMY, height=HEIGHT, width=WIDTH))
    names = ["colour", "season", "season.map", "colour.map", "embedding"]
    got = dict(zip(names, session.run(names, {"images": pictures.numpy()}), strict=True))
    assert np.ptp(got["season"], axis=0).max() > 1e-3, "three pictures, one answer: the test shows nothing"
    np.testing.assert_allclose(got["colour"], colours, atol=1e-4)
    np.testing.assert_allclose(got["season"], seasons, atol=1e-4)
    # a linear head: the mean of the map and a constant that is the same for every picture are the logit
    constant = got["season"] - got["season.map"].mean((2, 3))
    np.testing.assert_allclose(constant - constant[:1], 0, atol=1e-4 * max(1, np.abs(got["season"]).max()))
    expected = torch.cat([gradient_map(model, to_pixels(pictures[[n]]), 0) for n in range(3)])
    np.testing.assert_allclose(got["colour.map"], expected, atol=1e-4 * max(1, float(expected.abs().max())))
    assert got["embedding"].shape == (3, features.shape[1])


def gradient_map(model: Classifier, pixels: torch.Tensor, column: int) -> torch.Tensor:
    """The definition of a class map by torch's own derivatives, for one picture: ``[1, values, h, w]``."""
    with torch.no_grad():
        features = model.features(pixels)
        pooled = features.mean((2, 3))
        norm = model.backbone.norm
        shares = features
        if norm is not None:
            spread = (pooled.var(correction=0) + norm.eps).sqrt()
            shares = (features - features.mean(1, keepdim=True)) / spread * norm.weight[:, None, None]
    embedding = model.embed(features).detach().requires_grad_()
    logits = model.answer(embedding)[column][0]
    rows = [torch.autograd.grad(logit, embedding, retain_graph=True)[0] for logit in logits]
    return torch.einsum("vc,chw->vhw", torch.cat(rows), shares[0])[None]


@pytest.mark.parametrize("neck", [[], [16], [16, 12]])
@pytest.mark.parametrize("head_widths", [{}, {"season": 5}])
def test_class_maps_are_the_gradient_through_neck_and_heads(neck: list[int], head_widths: dict[str, int]) -> None:
    model = make_model(make_recipe("convnext", neck=neck, head_widths=head_widths, dropout=0.5))
    pixels = to_pixels(make_pictures(1))
    with torch.no_grad():
        features = model.features(pixels)
        maps = map_classes(model, features, model.embed(features))
    for column in (0, 1):
        torch.testing.assert_close(maps[column], gradient_map(model, pixels, column), atol=1e-5, rtol=1e-4)


def test_the_norm_after_the_pooling_is_kept() -> None:
    model = make_model(make_recipe("convnext"))
    pixels = to_pixels(make_pictures())
    with torch.no_grad():
        own = model.backbone.model((pixels - model.mean) / model.deviation).pooler_output
        torch.testing.assert_close(model.embed(model.features(pixels)), own)


@pytest.mark.parametrize("kind", ["dinov2", "siglip_vision_model", "clip_vision_model"])
def test_tokens_are_laid_out_as_patches_with_the_last_norm_applied(kind: str) -> None:
    model = make_model(make_recipe(kind))
    normalised = (to_pixels(make_pictures()) - model.mean) / model.deviation
    with torch.no_grad():
        tokens = model.backbone.model(normalised, **model.backbone.options).last_hidden_state
        if kind == "clip_vision_model":
            tokens = model.backbone.model.post_layernorm(tokens)
        features = model.backbone(normalised)
    patches = tokens[:, -48:]
    torch.testing.assert_close(features[:, :, 3, 4], patches[:, 3 * 6 + 4])


def test_tokens_of_a_model_with_stages_fill_the_last_column() -> None:
    backbone = make_model(make_recipe("focalnet")).backbone
    pixels = torch.randn(2, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        tokens, features = backbone.model(pixels).last_hidden_state, backbone(pixels)
    torch.testing.assert_close(features.flatten(2).transpose(1, 2), tokens)


def test_tokens_that_are_no_grid_are_refused() -> None:
    kind = {"model_type": "hiera", "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4}
    size = {"height": 224, "width": 224}
    recipe = make_recipe("hiera", architecture=kind, phases=[{"epochs": 1, **size}], **size)
    assert "hiera can do nothing with pictures of 224×224 px (its 49 tokens are no grid of 4×4)" in refuse(recipe)


def test_norms_keep_statistics_of_many_batches() -> None:
    for kind in ("mobilenet_v2", "efficientnet"):
        norms = [module for module in Classifier(make_recipe(kind), TAXONOMY).modules() if hasattr(module, "momentum")]
        assert norms
        assert {norm.momentum for norm in norms} == {0.1}


def test_random_weights_follow_the_seed() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([tensor.flatten() for tensor in Classifier(make_recipe("dinov2"), TAXONOMY).parameters()])

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_the_names_of_weights_are_those_of_checkpoints_already_written() -> None:
    names = set(Classifier(load_recipe("default", ["squeezed=1"]), TAXONOMY).state_dict())
    for name in (
        "backbone.0.weight",
        "backbone.3.first_norm.running_mean",
        "backbone.9.attention.squeeze.weight",
        "heads.bias",
    ):
        assert name in names


def rates(model: Classifier, recipe: Recipe) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(own)]: group[RATE] for group in parameter_groups(model, recipe) for own in group["params"]}


def test_rates_fall_from_the_heads_to_the_first_layers() -> None:
    recipe = make_recipe("convnext", backbone_rate=0.1, layer_decay=0.5, neck=[4], attention="se")
    found = rates(Classifier(recipe, TAXONOMY), recipe)
    assert {found["heads.weight"], found["neck.0.bias"], found["attention.squeeze.weight"]} == {1.0}
    assert found["backbone.model.layernorm.weight"] == pytest.approx(0.1)
    assert found["backbone.model.encoder.stages.3.layers.0.dwconv.weight"] == pytest.approx(0.1)
    assert found["backbone.model.encoder.stages.0.layers.0.dwconv.weight"] == pytest.approx(0.1 / 8)
    assert found["backbone.model.embeddings.patch_embeddings.weight"] == pytest.approx(0.1 / 16)
    residual = load_recipe("default", ["layer_decay=0.5"])
    found = rates(Classifier(residual, TAXONOMY), residual)
    assert found["backbone.0.weight"] == found["backbone.1.bias"] == pytest.approx(0.5**7)
    assert found["backbone.3.first.weight"] == pytest.approx(0.5**6)
    assert found["backbone.9.second.weight"] == 1.0


def test_every_parameter_is_in_one_group_and_only_matrices_decay() -> None:
    recipe = make_recipe("clip_vision_model", layer_decay=0.9, weight_decay=0.1)
    model = Classifier(recipe, TAXONOMY)
    groups = parameter_groups(model, recipe)
    assert len(rates(model, recipe)) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        assert {own.ndim > 1 for own in group["params"]} == {group["weight_decay"] == 0.1}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub has them: a classifier of another task, with the means its pictures were normalised by."""
    folder = tmp_path_factory.mktemp("published") / "convnext"
    torch.manual_seed(5)
    ConvNextForImageClassification(ConvNextConfig(**STAGES)).save_pretrained(folder)
    plain = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1], "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps(plain))
    return folder


def same_backbone(model: Classifier, folder: Path) -> bool:
    want = AutoModel.from_pretrained(folder).state_dict()
    own = model.backbone.model.state_dict()
    return all(torch.equal(own[name], tensor) for name, tensor in want.items())


def test_weights_and_normalisation_come_from_a_folder(published: Path) -> None:
    recipe = load_recipe("small", [FULL_SIZE, "attention=se"], backbone=str(published))
    model = Classifier(recipe, TAXONOMY)
    assert same_backbone(model, published)
    assert model.mean.flatten().tolist() == pytest.approx([127.5, 102, 76.5])
    assert model.deviation.flatten().tolist() == pytest.approx([51, 51, 25.5])
    assert "63 of 63 weights" in model.describe()


def test_weights_come_from_a_file(published: Path, tmp_path: Path) -> None:
    described = make_recipe("convnext")
    for file in (published / "model.safetensors", tmp_path / "weights.pt"):
        if file.suffix == ".pt":
            torch.save(AutoModel.from_pretrained(published).state_dict(), file)
        recipe = replace(described, pretrained=True, backbone_weights=str(file))
        model = Classifier(recipe, TAXONOMY)
        assert same_backbone(model, published)
        assert f"63 of 63 weights from {file}" in model.origin
    assert model.mean.flatten().tolist() == pytest.approx(IMAGENET.mean)
    assert "no preprocessor_config.json" in model.origin


def test_the_picture_tower_of_a_larger_model_is_taken(tmp_path: Path) -> None:
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    whole = CLIPModel(CLIPConfig(text_config=text, vision_config=TOWER, projection_dim=8))
    whole.save_pretrained(tmp_path / "clip")
    model = Classifier(load_recipe("small", [FULL_SIZE], backbone=str(tmp_path / "clip")), TAXONOMY)
    own = model.backbone.model.state_dict()["encoder.layers.1.mlp.fc1.weight"]
    assert torch.equal(own, whole.state_dict()["vision_model.encoder.layers.1.mlp.fc1.weight"])


def test_a_checkpoint_of_a_run_gives_its_backbone(tmp_path: Path) -> None:
    recipe = load_recipe("small")
    torch.manual_seed(3)
    first = Classifier(recipe, TAXONOMY)
    torch.save({"model": first.state_dict(), "step": 4}, tmp_path / "checkpoint.pt")
    again = Classifier(load_recipe("small", backbone=str(tmp_path / "checkpoint.pt")), TAXONOMY)
    names = [name for name in first.state_dict() if name.startswith("backbone.")]
    assert all(torch.equal(first.state_dict()[name], again.state_dict()[name]) for name in names)
    foreign = make_recipe("convnext")
    first = Classifier(foreign, TAXONOMY)
    torch.save({"model": first.state_dict()}, tmp_path / "other.pt")
    again = Classifier(replace(foreign, pretrained=True, backbone_weights=str(tmp_path / "other.pt")), TAXONOMY)
    assert again.origin.startswith("63 of 63")


def refuse(recipe: Recipe, error: type[Exception] = TrainingError) -> str:
    with pytest.raises(error) as caught:
        Classifier(recipe, TAXONOMY)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and ". " not in text
    return text


def test_weights_of_which_some_fit_are_counted_and_others_refused(published: Path, tmp_path: Path) -> None:
    state = AutoModel.from_pretrained(published).state_dict()
    some = {name: tensor for name, tensor in state.items() if "stages.3" not in name}
    torch.save(some, tmp_path / "some.pt")
    recipe = replace(make_recipe("convnext"), pretrained=True, backbone_weights=str(tmp_path / "some.pt"))
    assert f"{len(some)} of 63 weights from" in Classifier(recipe, TAXONOMY).origin
    assert f"the other {63 - len(some)} are random" in Classifier(recipe, TAXONOMY).origin
    few = {name: tensor for name, tensor in state.items() if "stages.3" in name}
    torch.save(few, tmp_path / "few.pt")
    told = refuse(replace(recipe, backbone_weights=str(tmp_path / "few.pt")))
    assert f"Only {len(few)} of the backbone's 63 weights are in {tmp_path / 'few.pt'}" in told
    assert "Only 0 of" in refuse(load_recipe("small", backbone=str(published / "model.safetensors")))


class Surprise:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code ran while weights were read",))


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_file_that_would_run_code_or_is_no_weights_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (pickle.dumps({"weight": Surprise()}), b"", b"junk" * 100):
        (tmp_path / name).write_bytes(content)
        told = refuse(load_recipe("small", backbone=str(tmp_path / name)))
        assert f"{name} cannot be read as weights" in told
    assert "code ran" not in capsys.readouterr().out


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    recipe = parse_recipe(
        load_recipe("small").to_dict() | {"pretrained": True, "backbone_weights": str(tmp_path / "gone.pt")}
    )
    assert "gone.pt is not there" in refuse(recipe)


def test_a_hub_out_of_reach_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    told = refuse(load_recipe("r1-convnext"))
    assert "facebook/convnext-tiny-224 is not on this computer, and the Hugging Face hub cannot be reached" in told
    assert "--backbone FOLDER" in told and "--set pretrained=false" in told


def test_folders_that_hold_no_vision_model_are_refused(published: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert f"The folder {tmp_path} holds no vision model" in refuse(load_recipe("small", backbone=str(tmp_path)))
    (tmp_path / "config.json").write_text((published / "config.json").read_text())
    assert "model.safetensors" in refuse(load_recipe("small", backbone=str(tmp_path)))
    text = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    recipe = replace(make_recipe("convnext"), architecture=text)
    assert "bert can do nothing with pictures of 48×64 px" in refuse(recipe)


def test_an_architecture_is_held_against_its_kind_of_model() -> None:
    recipe = make_recipe("convnext", architecture={"model_type": "convnext", "depth": [1], "hidden_size": [2]})
    told = refuse(recipe, RecipeError)
    assert "unknown key 'architecture.depth', write 'depths'" in told
    assert "unknown key 'architecture.hidden_size', write 'hidden_sizes'" in told
    told = refuse(make_recipe("convnext", architecture={"model_type": "convnex"}), RecipeError)
    assert "architecture.model_type is 'convnex', write 'convnext'" in told
    told = refuse(make_recipe("convnext", architecture={"model_type": "convnext", "depths": "deep"}), RecipeError)
    assert "architecture is not accepted by convnext" in told


@pytest.mark.slow
def test_a_backbone_that_onnx_cannot_hold_is_refused_before_training() -> None:
    swin = {"model_type": "swin", "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
    with pytest.raises(TrainingError, match=r"cannot be exported to ONNX at 48×64 px .*choose another backbone"):
        rehearse(make_recipe("convnext", architecture=swin), TAXONOMY, lambda line: None)


def test_a_rehearsal_says_what_will_be_trained() -> None:
    lines: list[str] = []
    rehearse(load_recipe("small", ["train_backbone=frozen"]), TAXONOMY, lines.append)
    assert lines[0].startswith("backbone residual, 1.2 million parameters: random weights")
    assert "frozen with random weights" in lines[1]


@pytest.mark.parametrize(
    ("plain", "mean", "deviation"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255}, 127.5, 127.5),
        ({"image_mean": 0.5, "image_std": 0.25, "do_rescale": False}, 0.5, 0.25),
        ({"do_normalize": False}, 0.0, 255.0),
        # google/efficientnet-b0: the deviation is the root of ImageNet's, and is divided by twice
        ({"image_mean": [0.485] * 3, "image_std": [0.47853944] * 3, "include_top": True}, 123.675, 58.395),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, 127.5, 127.5),
    ],
)
def test_pictures_are_normalised_as_the_processor_of_a_model_says(
    plain: dict[str, Any], mean: float, deviation: float
) -> None:
    found = Normalisation.from_processor(plain)
    assert found.mean[0] == pytest.approx(mean, abs=1e-3)
    assert found.deviation[0] == pytest.approx(deviation, abs=1e-3)
