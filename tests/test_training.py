"""Training as a user meets it: it learns, survives a kill, refuses what cannot work, and ships what it measured."""

from __future__ import annotations

import errno
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from PIL import Image  # noqa: E402

from vestiary.batch.formats import full_layout  # noqa: E402
from vestiary.bundle import open_bundle  # noqa: E402
from vestiary.catalogue import Catalogue, ingest  # noqa: E402
from vestiary.errors import CatalogueError, TrainingError, UsageError  # noqa: E402
from vestiary.predictor import Predictor, evaluate  # noqa: E402
from vestiary.product import Split  # noqa: E402
from vestiary.tags import KEPT_COLUMNS, find_clash, list_columns  # noqa: E402
from vestiary.taxonomy import Attribute, Taxonomy  # noqa: E402
from vestiary.training import export as export_module  # noqa: E402
from vestiary.training import fit as fit_module  # noqa: E402
from vestiary.training.dataset import Samples, open_samples  # noqa: E402
from vestiary.training.fit import fit  # noqa: E402
from vestiary.training.merging import merge_models  # noqa: E402
from vestiary.training.model import Classifier, to_pixels  # noqa: E402
from vestiary.training.quantise import quantise_model  # noqa: E402
from vestiary.training.recipe import Phase, Recipe  # noqa: E402
from vestiary.training.train import train  # noqa: E402


def quick(recipe: Recipe, **changes: Any) -> Recipe:
    """A recipe of two short epochs at two resolutions."""
    phases = (Phase(1, 20, 15), Phase(1, recipe.height, recipe.width))
    return replace(recipe, **{"phases": phases, "batch_size": 64, **changes})


@pytest.fixture(scope="module")
def samples(tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path_factory.mktemp("cache"))


def weights(model: Classifier) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_small_run_learns_to_tell_articles_and_colours(trained_bundle: Path, tiny_catalogue: Catalogue) -> None:
    figures = evaluate(Predictor(open_bundle(trained_bundle)), tiny_catalogue, split=Split.TEST).attributes
    assert figures["masterCategory"].accuracy > 0.85
    assert figures["subCategory"].accuracy > 0.7
    # 25 article types and 19 colours: chance is far below
    assert figures["articleType"].accuracy > 0.5
    assert figures["baseColour"].accuracy > 0.4


def test_the_bundle_says_how_it_was_made(trained_bundle: Path, tiny_catalogue: Catalogue, tiny_recipe: Recipe) -> None:
    bundle = open_bundle(trained_bundle)
    assert bundle.training["recipe"] == tiny_recipe.to_dict()
    assert bundle.training["catalogue"]["fingerprint"] == tiny_catalogue.fingerprint
    assert 0 <= bundle.training["parity"]["max_difference"] <= 1e-4
    assert bundle.taxonomy == tiny_catalogue.taxonomy
    assert set(bundle.scores["validation"]) == set(bundle.taxonomy.names)
    for name in bundle.taxonomy.names:
        assert f"| {name} |" in bundle.card
    assert {file.name for file in trained_bundle.iterdir()} == {"manifest.json", "model.onnx", "card.md"}


def test_validation_figures_in_the_bundle_are_those_of_the_shipped_path(
    trained_bundle: Path, tiny_catalogue: Catalogue
) -> None:
    bundle = open_bundle(trained_bundle)
    again = evaluate(Predictor(bundle), tiny_catalogue, split=Split.VALIDATION)
    for name, own in again.attributes.items():
        assert bundle.scores["validation"][name]["accuracy"] == pytest.approx(own.accuracy)
        assert bundle.scores["validation"][name]["ece"] == pytest.approx(own.ece)


def test_the_mean_of_a_class_map_plus_bias_is_the_logit(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, samples: Samples
) -> None:
    import onnxruntime

    model = Classifier(tiny_recipe, tiny_catalogue.taxonomy).eval()
    height, width = tiny_recipe.height, tiny_recipe.width
    data = export_module.export_onnx(model, tiny_catalogue.taxonomy, height=height, width=width)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    biases = model.heads.bias.detach().split(model.sizes)
    for n in (1, 3):
        for name, bias in zip(tiny_catalogue.taxonomy.names, biases, strict=True):
            logits, maps = session.run([name, f"{name}.map"], {"images": np.array(samples.pixels[:n])})
            np.testing.assert_allclose(maps.mean(axis=(2, 3)) + bias.numpy(), logits, atol=1e-5)
    assert session.run(["embedding"], {"images": np.array(samples.pixels[:2])})[0].shape == (2, model.backbone.channels)


def test_attributes_may_be_called_as_what_is_inside_a_network(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    names = {"view": "season", "relu": "gender", "getitem": "usage"}
    taxonomy = Taxonomy(tuple(replace(tiny_catalogue.taxonomy[old], name=name) for name, old in names.items()))
    products = [
        replace(product, labels={name: product.labels[old] for name, old in names.items() if old in product.labels})
        for product in tiny_catalogue.products
    ]
    catalogue = replace(tiny_catalogue, taxonomy=taxonomy, products=tuple(products))
    bundle, _ = train(catalogue, quick(tiny_recipe), tmp_path / "bundle", cache=tmp_path / "cache")
    pixels = np.array(samples.pixels[:4])
    predictor = Predictor(bundle)
    logits = predictor.logits(pixels)
    assert set(logits) == set(names)
    assert predictor.explain(list(pixels), "relu").shape == (4, 5, 4)
    twice = Predictor(
        replace(bundle, model=merge_models([bundle.model, bundle.model], taxonomy.names), familiarity=None)
    )
    int8 = Predictor(replace(bundle, model=quantise_model(bundle.model, pixels)))
    for name in names:
        np.testing.assert_allclose(twice.logits(pixels)[name], logits[name], atol=1e-5)
        np.testing.assert_allclose(int8.logits(pixels)[name], logits[name], atol=1)


def test_what_is_renamed_is_renamed_wherever_it_stands() -> None:
    import onnxruntime
    from onnx import TensorProto, helper

    own = helper.make_tensor_value_info("mine", TensorProto.FLOAT, [1])
    branch = helper.make_graph([helper.make_node("Add", ["images", "weight"], ["mine"])], "branch", [], [own])
    nodes = [
        helper.make_node("ReduceSum", ["images", ""], ["relu"]),
        helper.make_node("Cast", ["relu"], ["is"], to=TensorProto.BOOL),
        helper.make_node("If", ["is"], ["output-0"], then_branch=branch, else_branch=branch),
    ]
    images, answer = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("images", "output-0"))
    between = [helper.make_tensor_value_info("relu", TensorProto.FLOAT, [1])]
    weights = [helper.make_tensor("weight", TensorProto.FLOAT, [1], [2.0])]
    graph = helper.make_graph(nodes, "tiny", [images], [answer], weights, value_info=between)
    export_module._rename(graph, {"images": "images", "output-0": "relu"})
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    assert [value.name for value in (*graph.value_info, *graph.initializer)] == [".relu", ".weight"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(["relu"], {"images": np.float32([3])})[0].tolist() == [5.0]


@pytest.mark.parametrize("name", ["images", "embedding"])
def test_an_attribute_that_every_model_has_is_refused_before_training(
    name: str, tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    named = replace(tiny_catalogue, taxonomy=Taxonomy((Attribute(name, ("a", "b")),)))
    with pytest.raises(TrainingError, match=f"Attribute {name} cannot be learnt .*, such as --attribute kind={name}"):
        train(named, tiny_recipe, tmp_path / "bundle", cache=tmp_path / "cache")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "clash"),
    [(("status",), "status"), (("season", "bundle"), "bundle"), (("colour", "colour_accepted"), "colour_accepted")],
)
def test_an_attribute_whose_answers_would_lie_in_another_column_is_refused_before_training(
    names: tuple[str, ...], clash: str, tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    named = replace(tiny_catalogue, taxonomy=Taxonomy(tuple(Attribute(name, ("a", "b")) for name in names)))
    with pytest.raises(
        TrainingError, match=f"Attribute {clash} cannot .* column of that name.*--attribute kind={clash}"
    ):
        train(named, tiny_recipe, tmp_path / "bundle", cache=tmp_path / "cache")
    assert not list(tmp_path.iterdir())


def test_the_columns_that_no_attribute_may_have_are_those_of_a_batch(tiny_catalogue: Catalogue) -> None:
    columns = full_layout(tiny_catalogue.taxonomy).columns
    assert set(columns) - set(list_columns(tiny_catalogue.taxonomy.names)) == KEPT_COLUMNS
    assert find_clash(tiny_catalogue.taxonomy.names) is None


def test_an_export_that_says_something_else_is_refused(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "MAX_PARITY", -1.0)
    with pytest.raises(TrainingError, match="differs from the trained one"):
        train(tiny_catalogue, quick(tiny_recipe), tmp_path / "bundle", cache=tmp_path / "cache")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_a_run_stopped_anywhere_and_resumed_ends_as_an_unbroken_one(
    stop_at: int,
    tiny_catalogue: Catalogue,
    tiny_recipe: Recipe,
    samples: Samples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = quick(tiny_recipe, dropout=0.3, erase=0.5, ema=0.8, cutmix=0.5, squeezed=1)
    whole, _ = fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop(progress: fit_module.FitProgress) -> None:
        if progress.step == stop_at:
            raise Stopped

    monkeypatch.setattr(fit_module, "CHECKPOINT_EVERY_S", -1.0)
    with pytest.raises(Stopped):
        fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path / "broken", on_progress=stop)
    resumed_at = []
    resumed, _ = fit(
        recipe,
        tiny_catalogue.taxonomy,
        samples,
        tmp_path / "broken",
        resume=True,
        on_progress=lambda progress: resumed_at.append(progress.step),
    )
    assert resumed_at[0] == stop_at + 1
    assert same_weights(weights(whole), weights(resumed))

    def without_time(path: Path) -> list[list[str]]:
        rows = [line.split(",") for line in (path / "log.csv").read_text().splitlines()]
        return [row[:1] + row[2:] for row in rows]

    assert without_time(tmp_path / "whole") == without_time(tmp_path / "broken")


def test_the_seed_alone_decides_the_weights(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    recipe = quick(tiny_recipe)
    runs = [
        weights(fit(replace(recipe, seed=seed), tiny_catalogue.taxonomy, samples, tmp_path / str(number))[0])
        for number, seed in enumerate((1, 1, 2))
    ]
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])


def test_an_earlier_run_is_neither_overwritten_nor_mixed_with_another(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    recipe = quick(tiny_recipe)
    fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path)
    with pytest.raises(TrainingError, match="--resume to go on with it, or --overwrite"):
        fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path)
    with pytest.raises(TrainingError, match="another recipe or catalogue"):
        fit(replace(recipe, learning_rate=1e-3), tiny_catalogue.taxonomy, samples, tmp_path, resume=True)
    torch.save({}, tmp_path / "empty.pt")
    for content in (b"not a checkpoint", (tmp_path / "empty.pt").read_bytes()):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(TrainingError, match=r"is damaged and cannot be .* --overwrite\.$"):
            fit(recipe, tiny_catalogue.taxonomy, samples, tmp_path, resume=True)


def test_resume_without_a_run_starts_nothing(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, trained_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(trained_bundle, out)
    with pytest.raises(TrainingError, match="no checkpoint to go on from; leave --resume out"):
        train(tiny_catalogue, quick(tiny_recipe, seed=9), out, cache=tmp_path / "cache", resume=True)
    assert open_bundle(out).fingerprint == open_bundle(trained_bundle).fingerprint


def test_a_second_run_into_the_same_place_is_refused(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    seen = []

    def meddle(progress: fit_module.FitProgress) -> None:
        if not seen:
            seen.append(progress)
            with pytest.raises(TrainingError, match="Another run is writing to"):
                train(tiny_catalogue, quick(tiny_recipe), tmp_path / "bundle", cache=cache, overwrite=True)

    train(tiny_catalogue, quick(tiny_recipe), tmp_path / "bundle", cache=cache, on_progress=meddle)
    assert seen
    assert open_bundle(tmp_path / "bundle").training["seconds"] >= 0


def test_overwrite_discards_nothing_before_the_new_run_can_start(
    drawn_folder: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(drawn_folder, source)
    catalogue = ingest(source)
    work = tmp_path / "bundle.training"
    fit(quick(tiny_recipe), catalogue.taxonomy, open_samples(catalogue, tiny_recipe.preprocess, tmp_path / "a"), work)
    source.rename(tmp_path / "moved")
    with pytest.raises(CatalogueError, match="which is not there"):
        train(catalogue, quick(tiny_recipe), tmp_path / "bundle", cache=tmp_path / "b", overwrite=True)
    assert (work / "checkpoint.pt").exists()


def test_the_working_folder_is_no_place_for_a_bundle(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (Path("."), tmp_path, tmp_path.parent):
        with pytest.raises(UsageError, match="holds the working folder"):
            train(tiny_catalogue, tiny_recipe, out, cache=tmp_path, overwrite=True)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY junk", None])
def test_a_cache_cut_short_is_decoded_again(
    content: bytes | None, tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    first = open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path)
    expected = np.array(first.pixels)
    (file,) = tmp_path.glob("*.npy")
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    again = open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path)
    np.testing.assert_array_equal(again.pixels, expected)


class FullDisk(io.FileIO):
    """A file on a disk with room for some pictures."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 20_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_while_pictures_are_decoded_is_told_and_leaves_nothing(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def open_file(path: Path, *arguments: Any, **options: Any) -> Any:
        return io.BufferedWriter(FullDisk(path, "w")) if path.suffix == ".part" else real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_file)
    cache = tmp_path / "cache"
    with pytest.raises(TrainingError) as caught:
        train(tiny_catalogue, tiny_recipe, tmp_path / "bundle", cache=cache)
    assert str(caught.value) == (
        f"Decoded pictures cannot be written to {cache} (No space left on device); make room there or mend the place, "
        "and start again."
    )
    assert not list(cache.iterdir())


def test_a_cache_in_a_place_that_is_no_folder_is_told(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(TrainingError, match=r"^Decoded pictures cannot be written to .*cache \(.*\); "):
        open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path / "cache")
    assert (tmp_path / "cache").read_text() == "mine"


def test_the_cache_is_a_plain_array_of_numpy(tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path) -> None:
    samples = open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    np.save(tmp_path / "again.npy", np.array(samples.pixels))
    assert file.read_bytes() == (tmp_path / "again.npy").read_bytes()


def test_train_refuses_a_place_that_is_taken_before_it_starts(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "mine" / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(UsageError, match="is no bundle; choose another place"):
        train(tiny_catalogue, tiny_recipe, tmp_path / "mine", cache=tmp_path, overwrite=True)
    with pytest.raises(UsageError, match="is no bundle; choose another place"):
        train(tiny_catalogue, tiny_recipe, tmp_path / "mine", cache=tmp_path, resume=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_pictures_are_decoded_once_and_again_only_for_another_preprocess(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    decoded: list[int] = []

    def count(done: int, total: int) -> None:
        decoded.append(done)

    first = open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path, progress=count)
    assert decoded[-1] == len(tiny_catalogue.products)
    decoded.clear()
    again = open_samples(tiny_catalogue, tiny_recipe.preprocess, tmp_path, progress=count)
    assert not decoded
    assert isinstance(again.pixels, np.memmap)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    open_samples(tiny_catalogue, replace(tiny_recipe.preprocess, width=20), tmp_path, progress=count)
    assert decoded
    assert not list(tmp_path.glob("*.part"))


def test_cached_pixels_are_those_the_predictor_sees(
    tiny_catalogue: Catalogue, samples: Samples, tiny_recipe: Recipe
) -> None:
    source = tiny_catalogue.open_source()
    for number in (0, 7, 100):
        data = source.read(tiny_catalogue.products[number].images[0])
        shipped = tiny_recipe.preprocess(tiny_recipe.preprocess.read(data).image)
        np.testing.assert_array_equal(samples.pixels[number], shipped)


def test_a_picture_gone_since_ingest_is_named(drawn_folder: Path, tmp_path: Path, tiny_recipe: Recipe) -> None:
    folder = tmp_path / "source"
    shutil.copytree(drawn_folder, folder)
    catalogue = ingest(folder)
    gone = catalogue.products[3]
    (folder / gone.images[0]).unlink()
    with pytest.raises(TrainingError, match=f"product {gone.id} could be read at ingest but not now"):
        open_samples(catalogue, tiny_recipe.preprocess, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_an_attribute_with_one_value_or_an_empty_split_is_refused(
    tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    single = replace(tiny_catalogue, taxonomy=Taxonomy((Attribute("gender", ("Men",)),)))
    with pytest.raises(TrainingError, match="gender has the single value 'Men'"):
        train(single, tiny_recipe, tmp_path / "one", cache=tmp_path)
    only_train = replace(tiny_catalogue, products=tiny_catalogue.select(Split.TRAIN))
    with pytest.raises(TrainingError, match="validation split has no pictures"):
        train(only_train, tiny_recipe, tmp_path / "two", cache=tmp_path)


def test_bf16_trains_and_exports_in_fp32(tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = quick(tiny_recipe, precision="bf16")
    bundle, _ = train(tiny_catalogue, recipe, tmp_path / "bundle", cache=tmp_path / "cache")
    answer = Predictor(bundle).predict([Image.new("RGB", (60, 80), "red")])[0]
    assert answer.failure is None


def test_the_model_sees_pixels_in_their_own_order() -> None:
    images = torch.randint(0, 256, (2, 5, 4, 3), dtype=torch.uint8)
    pixels = to_pixels(images)
    assert pixels.shape == (2, 3, 5, 4)
    assert (pixels[1, 2, 4, 3] == images[1, 4, 3, 2]).all()


def test_squeezed_stages_are_those_at_the_end(tiny_catalogue: Catalogue, tiny_recipe: Recipe) -> None:
    plain = weights(Classifier(tiny_recipe, tiny_catalogue.taxonomy))
    squeezed = weights(Classifier(replace(tiny_recipe, squeezed=1), tiny_catalogue.taxonomy))
    added = set(squeezed) - set(plain)
    assert set(plain) <= set(squeezed)
    last = max(int(name.split(".")[1]) for name in plain if name.startswith("backbone."))
    first_of_last = last + 1 - tiny_recipe.stages[-1][1]
    assert {int(name.split(".")[1]) for name in added} == set(range(first_of_last, last + 1))
