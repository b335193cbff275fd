"""Merged bundles: one graph that says the mean of what its networks say, and a bundle like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")

import onnx

from conftest import TINY_TAXONOMY, Vestiary
from vestiary.bundle import open_bundle
from vestiary.catalogue import Catalogue
from vestiary.errors import TrainingError, UsageError
from vestiary.images import Preprocess
from vestiary.predictor import Predictor
from vestiary.product import Split
from vestiary.taxonomy import Attribute, Taxonomy
from vestiary.training.merging import merge, merge_models, prove_merger
from vestiary.training.quantise import quantise_model, read_pictures
from vestiary.training.recipe import Phase, Recipe
from vestiary.training.train import train

OTHER_RULE = {
    "baseColour": ((2.0, 1.0, 0.0, 0.5), (0.0, 2.0, 1.0, 0.0), (1.0, 0.0, 2.0, 0.0)),
    "season": ((0.0, 3.0, 0.0, 1.0), (1.0, 0.0, 3.0, 0.0)),
}


def test_logits_and_maps_are_means_and_embeddings_stand_in_a_row(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    places = make_bundle(), make_bundle(tmp_path / "other", rule=OTHER_RULE), make_bundle(tmp_path / "third")
    bundles = [open_bundle(place) for place in places]
    model = merge_models([bundle.model for bundle in bundles], TINY_TAXONOMY.names)
    merged = open_bundle(make_bundle(tmp_path / "merged", model=model))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 12, 3), dtype=np.uint8)
    parts, whole = [Predictor(bundle) for bundle in bundles], Predictor(merged)
    for name in TINY_TAXONOMY.names:
        expected = np.mean([part.logits(pixels)[name] for part in parts], axis=0)
        np.testing.assert_allclose(whole.logits(pixels)[name], expected, atol=1e-5)
        shown = np.mean([part.explain(list(pixels), name, TINY_TAXONOMY[name].values[0]) for part in parts], axis=0)
        found = whole.explain(list(pixels), name, TINY_TAXONOMY[name].values[0])
        np.testing.assert_allclose(found, shown, atol=1e-5)
    expected = np.concatenate([part.embeddings(pixels) for part in parts], axis=1)
    np.testing.assert_allclose(whole.embeddings(pixels), expected, atol=1e-6)
    assert prove_merger(bundles, merged, pixels) < 1e-5
    with pytest.raises(TrainingError, match="differs from the mean of its parts"):
        prove_merger(bundles[:2], merged, pixels)


def test_what_does_not_fit_is_refused_in_a_sentence(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    first = open_bundle(make_bundle())
    turned = Taxonomy((TINY_TAXONOMY.attributes[0], Attribute("season", ("Winter", "Summer"))))
    other = open_bundle(make_bundle(tmp_path / "turned", taxonomy=turned))
    large = open_bundle(make_bundle(tmp_path / "large", preprocess=Preprocess(width=24, height=32)))
    grey = open_bundle(make_bundle(tmp_path / "grey", preprocess=replace(first.preprocess, background=(9, 9, 9))))
    for bundles, sentence in (
        ([first], "One bundle alone cannot be merged"),
        ([first, other], "answers other attributes or values, or in another order, than tiny"),
        ([first, grey], r"sees pictures on the background \(9, 9, 9\) and tiny \(.{12}\) on \(255, 255, 255\)"),
        ([first, large], r"sees pictures of 24×32 px and tiny \(.{12}\) of 12×16 px"),
    ):
        with pytest.raises(UsageError, match=sentence):
            merge(bundles, None, target_precision=0.95)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="class maps of the first and of bundle 2 are of different sizes"):
        merge_models([first.model, large.model], TINY_TAXONOMY.names)


def count_int8_kernels(model: bytes) -> int:
    initializers = onnx.load_from_string(model).graph.initializer
    return sum(tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4 for tensor in initializers)


def test_the_command_writes_a_bundle_that_is_calibrated_told_of_and_quantised(
    trained_bundle: Path, tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path, vestiary: Vestiary
) -> None:
    other = replace(tiny_recipe, seed=1, phases=(Phase(6, 40, 30),))
    train(tiny_catalogue, other, tmp_path / "other", cache=trained_bundle.with_name("cache"))
    tiny_catalogue.save(tmp_path / "catalogue")
    catalogue, out = tmp_path / "catalogue", tmp_path / "merged"
    done = vestiary("merge", trained_bundle, tmp_path / "other", "--catalogue", catalogue, "--out", out)
    assert done.code == 0, done.err
    assert "of 2 networks written to" in done.out
    assert "another catalogue" not in done.err
    bundle = open_bundle(out)
    parts = [open_bundle(trained_bundle), open_bundle(tmp_path / "other")]
    assert [part["fingerprint"] for part in bundle.training["merged"]] == [part.fingerprint for part in parts]
    assert f"Merged from: tiny ({parts[0].fingerprint[:12]}), tiny ({parts[1].fingerprint[:12]})." in bundle.card
    assert "vestiary merge PART PART --catalogue CATALOGUE" in bundle.card
    assert bundle.familiarity is not None
    assert bundle.familiarity.channels == 128
    assert bundle.scores["validation"]["articleType"]["accuracy"] > 0.5
    assert vestiary("inspect", out).code == 0
    images = read_pictures(bundle, tiny_catalogue, Split.TRAIN, 32)
    kernels = [count_int8_kernels(quantise_model(each.model, images)) for each in (*parts, bundle)]
    assert kernels[2] == kernels[0] + kernels[1] > 0
    replace(parts[0], training={}).write(tmp_path / "foreign")
    foreign = vestiary("merge", tmp_path / "foreign", "--catalogue", catalogue, "--out", tmp_path / "one")
    assert foreign.err.startswith("a part learnt from another catalogue or split (or it is not recorded from which), ")
    again = vestiary("merge", trained_bundle, "--catalogue", catalogue, "--out", tmp_path / "one")
    assert (again.code, again.err) == (2, "vestiary: One bundle alone cannot be merged; name two or more.\n")
