"""Smaller models in a bundle: weights stored as fp16, and the int8 model that is let in only when it is as good."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")

import onnx
import onnxruntime
from numpy.typing import NDArray

from conftest import Vestiary
from vestiary.bundle import CARD, INT8, MANIFEST, MODEL, open_bundle
from vestiary.catalogue import Catalogue, ingest
from vestiary.errors import BundleDamagedError, BundleError, CatalogueError, PrecisionError, UsageError
from vestiary.predictor import Predictor, evaluate
from vestiary.product import Split
from vestiary.training import export as export_module
from vestiary.training import quantise as quantise_module
from vestiary.training.dataset import open_samples
from vestiary.training.quantise import quantise
from vestiary.training.recipe import Phase, Recipe
from vestiary.training.storage import narrow_weights, widen_weights
from vestiary.training.train import train

MAX_LOSS = 0.06
"""For the drawn catalogue, whose validation split is so small that one product is more than a point."""


@pytest.fixture(scope="module")
def pixels(tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Any:
    samples = open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path_factory.mktemp("cache"))
    return np.array(samples.pixels[samples.rows[Split.VALIDATION]])


@pytest.fixture(scope="module")
def quantised(trained_bundle: Path, tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantised") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise_module, "MAX_LOSS", MAX_LOSS)
        quantise(open_bundle(trained_bundle), tiny_catalogue).write(folder)
    return folder


@pytest.fixture
def saved_catalogue(tiny_catalogue: Catalogue, tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    tiny_catalogue.save(folder)
    return folder


def _outputs(model: bytes, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def test_the_int8_model_is_smaller_and_answers_as_the_other_does(
    quantised: Path, trained_bundle: Path, tiny_catalogue: Catalogue
) -> None:
    bundle = open_bundle(quantised)
    assert bundle.int8 is not None
    assert bundle.model == open_bundle(trained_bundle).model
    assert len(bundle.int8.model) < 0.6 * len(bundle.model)
    fp32, int8 = (
        evaluate(Predictor(bundle, precision=precision), tiny_catalogue, split=Split.VALIDATION).attributes
        for precision in ("fp32", "int8")
    )
    for name, own in int8.items():
        assert own.accuracy is not None and fp32[name].accuracy is not None
        assert own.accuracy >= fp32[name].accuracy - MAX_LOSS
        assert bundle.int8.scores["validation"][name]["accuracy"] == own.accuracy
        assert bundle.int8.training["fp32_accuracy"][name] == fp32[name].accuracy


def test_its_backbone_computes_in_integers(quantised: Path, pixels: NDArray[np.uint8]) -> None:
    int8 = open_bundle(quantised).int8
    assert int8 is not None
    graph = onnx.load_from_string(int8.model).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    weights = [
        stored[node.input[0]] for node in graph.node if node.op_type == "DequantizeLinear" if node.input[0] in stored
    ]
    kernels = [weight for weight in weights if len(weight.dims) == 4]
    assert len(kernels) == 9  # every convolution of the backbone but the first
    assert all(weight.data_type == onnx.TensorProto.INT8 for weight in kernels)
    # seven bits, so that sums of two products stay within 16
    assert all(np.abs(onnx.numpy_helper.to_array(weight).astype(int)).max() <= 64 for weight in kernels)
    answers, exact = Predictor(open_bundle(quantised), precision="int8"), Predictor(open_bundle(quantised))
    assert any((answers.logits(pixels)[name] != exact.logits(pixels)[name]).any() for name in exact.logits(pixels))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_attribute_and_value_has_a_class_map_that_adds_up_to_its_logit(
    precision: str, quantised: Path, pixels: NDArray[np.uint8]
) -> None:
    bundle = open_bundle(quantised)
    outputs = _outputs(bundle.choose_model(precision), pixels[:5])
    taxonomy = bundle.taxonomy
    assert set(outputs) == {*taxonomy.names, *(f"{name}.map" for name in taxonomy.names), "embedding"}
    for attribute in taxonomy.attributes:
        logits, maps = outputs[attribute.name], outputs[f"{attribute.name}.map"]
        assert maps.shape[:2] == logits.shape == (5, len(attribute.values))
        biases = logits - maps.mean(axis=(2, 3))
        np.testing.assert_allclose(biases, np.broadcast_to(biases[:1], biases.shape), atol=1e-4)
        assert np.ptp(logits, axis=0).min() > 0


def test_quantising_twice_gives_the_same_model(
    quantised: Path, trained_bundle: Path, tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise_module, "MAX_LOSS", MAX_LOSS)
    again = quantise(open_bundle(trained_bundle), tiny_catalogue)
    assert again.int8 == open_bundle(quantised).int8


def test_an_int8_model_that_loses_accuracy_is_refused_with_its_figures(
    trained_bundle: Path,
    saved_catalogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vestiary: Vestiary,
) -> None:
    sound = quantise_module.quantise_model

    def spoil(model: bytes, images: NDArray[np.uint8]) -> bytes:
        return sound(model, np.full_like(images, 128))  # ranges of pictures of nothing

    monkeypatch.setattr(quantise_module, "quantise_model", spoil)
    out = tmp_path / "out"
    code, told, err = vestiary("quantise", trained_bundle, saved_catalogue, "--out", out)
    assert (code, told) == (1, "")
    assert re.search(
        r"loses more than 0\.5 points of accuracy on \d+ validation products \(.*articleType [\d.]+ → ", err
    )
    assert err.count("\n") == 1
    assert not out.exists()


def test_a_loss_of_half_a_point_passes_and_more_does_not(
    trained_bundle: Path, tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(trained_bundle)
    exact = evaluate(Predictor(bundle), tiny_catalogue, split=Split.VALIDATION)
    assert exact.attributes["gender"].accuracy is not None
    for lost, refused in ((0.0049, False), (0.0051, True)):
        worse = replace(exact.attributes["gender"], accuracy=exact.attributes["gender"].accuracy - lost)
        answers = iter([exact, replace(exact, attributes=exact.attributes | {"gender": worse})])
        monkeypatch.setattr(quantise_module, "evaluate", lambda *_, answers=answers, **__: next(answers))
        if refused:
            with pytest.raises(PrecisionError, match=r"\(gender [\d.]+ → [\d.]+ %\)"):
                quantise(bundle, tiny_catalogue, pictures=8)
        else:
            assert quantise(bundle, tiny_catalogue, pictures=8).int8 is not None


def test_the_command_writes_tells_and_the_others_take_it(
    trained_bundle: Path,
    saved_catalogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vestiary: Vestiary,
) -> None:
    monkeypatch.setattr(quantise_module, "MAX_LOSS", MAX_LOSS)

    out = tmp_path / "out"
    code, told, _ = vestiary("quantise", trained_bundle, saved_catalogue, "--out", out)
    assert code == 0
    assert "articleType" in told and "--precision int8" in told
    assert {file.name for file in out.iterdir()} == {MANIFEST, MODEL, INT8, CARD}
    code, told, _ = vestiary(
        "evaluate", saved_catalogue, "--bundle", out, "--precision", "int8", "--split", "validation", "--json"
    )
    figures = {name: own["accuracy"] for name, own in json.loads(told)["attributes"].items()}
    int8 = open_bundle(out).int8
    assert code == 0 and int8 is not None
    assert figures == {name: own["accuracy"] for name, own in int8.scores["validation"].items()}
    photo = Path(__file__).parents[1] / "examples" / "photos" / "red-dress.jpg"
    code, told, _ = vestiary("tag", photo, "--bundle", out, "--precision", "int8", "--format", "json")
    assert code == 0 and json.loads(told)[0]["tags"]
    code, told, _ = vestiary("inspect", out)
    assert "int8" in told and "in int8" in told
    code, _, err = vestiary("quantise", out, saved_catalogue, "--out", out)
    assert code == 2 and "already holds a bundle" in err
    code, told, _ = vestiary("quantise", out, saved_catalogue, "--out", out, "--overwrite", "--json")
    assert code == 0 and json.loads(told)["bundle"] == open_bundle(out).fingerprint
    for verb in (("tag", photo), ("evaluate", saved_catalogue)):
        code, _, err = vestiary(*verb, "--bundle", trained_bundle, "--precision", "int8")
        assert code == 2 and "has no int8 model; make one with vestiary quantise" in err
        code, _, err = vestiary(*verb, "--bundle", out, "--precision", "int4")
        assert code == 2 and "'int4' is not known; choose one of: fp32, int8" in err


def test_train_adds_an_int8_model_or_keeps_the_bundle_without(
    saved_catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vestiary: Vestiary
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "width = 30\nheight = 40\nphases = [{ epochs = 1, height = 40, width = 30 }]\n"
        "stem = 8\nstages = [[16, 1]]\nbatch_size = 64\n"
    )
    words = ("train", saved_catalogue, "--recipe", recipe, "--int8")
    monkeypatch.setattr(quantise_module, "MAX_LOSS", 1.0)
    code, told, _ = vestiary(*words, "--out", tmp_path / "both")
    assert code == 0 and "in int8" in told
    assert open_bundle(tmp_path / "both").int8 is not None
    monkeypatch.setattr(quantise_module, "MAX_LOSS", -1.0)
    code, told, err = vestiary(*words, "--out", tmp_path / "one")
    assert code == 1 and "points of accuracy" in err
    assert "written to" in told and "in int8" not in told
    assert open_bundle(tmp_path / "one").int8 is None


def test_a_catalogue_that_cannot_judge_is_refused(trained_bundle: Path, tiny_catalogue: Catalogue) -> None:
    bundle = open_bundle(trained_bundle)
    only = replace(tiny_catalogue, products=tiny_catalogue.select(Split.VALIDATION))
    with pytest.raises(CatalogueError, match="train split of this catalogue has no products"):
        quantise(bundle, only)
    bare = tuple(
        replace(product, labels={}) if product.split == Split.VALIDATION else product
        for product in tiny_catalogue.products
    )
    with pytest.raises(CatalogueError, match="no labels to judge an int8 model by"):
        quantise(bundle, replace(tiny_catalogue, products=bare), pictures=8)


def test_weights_stored_as_fp16_halve_the_file_and_hardly_move_an_answer(
    trained_bundle: Path, pixels: NDArray[np.uint8]
) -> None:
    model = open_bundle(trained_bundle).model
    narrow = narrow_weights(model)
    assert len(narrow) < 0.62 * len(model)
    exact, rounded = _outputs(model, pixels), _outputs(narrow, pixels)
    assert exact.keys() == rounded.keys()
    worst = max(float(np.abs(exact[name] - rounded[name]).max()) for name in exact)
    assert 0 < worst < 0.05
    assert all(array.dtype == np.float32 for array in rounded.values())


def test_widening_brings_back_the_stored_numbers(trained_bundle: Path, pixels: NDArray[np.uint8]) -> None:
    model = open_bundle(trained_bundle).model
    assert widen_weights(model) == onnx.load_from_string(model)
    narrow = narrow_weights(model)
    wide = widen_weights(narrow)
    assert not any(node.op_type == "Cast" and node.input[0].endswith(".fp16") for node in wide.graph.node)
    ours, theirs = _outputs(narrow, pixels[:8]), _outputs(wide.SerializeToString(), pixels[:8])
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


def test_a_weight_beyond_fp16_keeps_its_tensor_as_it_is(trained_bundle: Path) -> None:
    proto = onnx.load_from_string(open_bundle(trained_bundle).model)
    (tensor,) = (tensor for tensor in proto.graph.initializer if tensor.name == ".model.heads.weight")
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0, 0] = 1e6
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    stored = {
        tensor.name for tensor in onnx.load_from_string(narrow_weights(proto.SerializeToString())).graph.initializer
    }
    assert ".model.heads.weight" in stored
    assert ".model.backbone.3.first.weight.fp16" in stored


def _quick(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, **{"phases": (Phase(1, recipe.height, recipe.width),), "batch_size": 64, **changes})


def test_a_recipe_stores_weights_as_fp16_and_says_what_that_changed(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    said: list[str] = []
    recipe, cache = _quick(tiny_recipe), tmp_path / "cache"
    wide, _ = train(tiny_catalogue, recipe, tmp_path / "bundle", cache=cache)
    # the finished run is exported anew, not trained anew
    narrow, scores = train(
        tiny_catalogue,
        replace(recipe, weights="fp16"),
        tmp_path / "bundle",
        cache=cache,
        resume=True,
        on_stage=said.append,
    )
    assert len(narrow.model) < 0.62 * len(wide.model)
    assert narrow.training["parity"]["max_difference"] <= 1e-4
    assert 0 < narrow.training["parity"]["rounding"] < 0.05
    assert any("stored as fp16 change no logit there by more than" in line for line in said)
    again = evaluate(Predictor(open_bundle(tmp_path / "bundle")), tiny_catalogue, split=Split.VALIDATION)
    assert {name: own.accuracy for name, own in again.attributes.items()} == {
        name: own.accuracy for name, own in scores.items()
    }


def test_rounding_that_changes_answers_is_refused(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "MAX_ROUNDING", 1e-9)
    with pytest.raises(export_module.TrainingError, match=r"stored as fp16 change .* --set weights=fp32"):
        train(tiny_catalogue, _quick(tiny_recipe, weights="fp16"), tmp_path / "bundle", cache=tmp_path / "cache")


def test_a_model_stored_as_fp16_can_be_quantised(
    trained_bundle: Path, tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(trained_bundle)
    narrow = replace(bundle, model=narrow_weights(bundle.model))
    monkeypatch.setattr(quantise_module, "MAX_LOSS", MAX_LOSS)
    done = quantise(narrow, tiny_catalogue)
    assert done.int8 is not None
    assert len(done.int8.model) < 0.6 * len(bundle.model)


@pytest.mark.parametrize("change", ["flip", "cut", "remove", "other"])
def test_an_int8_model_that_was_tampered_with_is_noticed(change: str, quantised: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(quantised, folder)
    file = folder / INT8
    data = bytearray(file.read_bytes())
    if change == "flip":
        data[len(data) // 2] ^= 1
    file.write_bytes(data[:-1] if change == "cut" else (folder / MODEL).read_bytes() if change == "other" else data)
    if change == "remove":
        file.unlink()
    with pytest.raises(BundleDamagedError, match=INT8):
        open_bundle(folder)


def test_a_bundle_with_both_models_is_read_as_it_was_written_and_replaced_as_a_bundle(
    quantised: Path, trained_bundle: Path, tmp_path: Path
) -> None:
    opened = open_bundle(quantised)
    again = opened.write(tmp_path / "again")
    assert again.fingerprint == opened.fingerprint == open_bundle(tmp_path / "again").fingerprint
    assert opened.fingerprint != open_bundle(trained_bundle).fingerprint
    open_bundle(trained_bundle).write(tmp_path / "again", overwrite=True)
    assert not (tmp_path / "again" / INT8).exists()


def test_readers_from_before_find_no_file_they_do_not_know(quantised: Path, trained_bundle: Path) -> None:
    manifest, before = (json.loads((own / MANIFEST).read_text(encoding="utf-8")) for own in (quantised, trained_bundle))
    assert manifest["format"] == before["format"]
    assert set(manifest["files"]) == {MODEL, CARD}


def test_a_manifest_that_describes_no_int8_model_rightly_is_refused(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestiary.bundle import Int8

    monkeypatch.setattr(Int8, "manifest", lambda self: {"sha256": "0"})
    folder = make_bundle(int8=Int8(b"", {}, {}))
    with pytest.raises(BundleError, match=f"does not describe {INT8}"):
        open_bundle(folder)


def test_precision_is_checked_in_python_too(make_bundle: Callable[..., Path]) -> None:
    bundle = open_bundle(make_bundle())
    with pytest.raises(UsageError, match="has no int8 model"):
        Predictor(bundle, precision="int8")
    with pytest.raises(UsageError, match="'half' is not known"):
        Predictor(bundle, precision="half")


@pytest.mark.slow
def test_the_shipped_bundle_keeps_its_accuracy_in_int8(real_small: Path) -> None:
    done = quantise(open_bundle(), ingest(real_small))
    assert done.int8 is not None
    assert len(done.int8.model) <= 8_000_000
