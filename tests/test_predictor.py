"""Pictures in, predictions out: with a tiny model whose answers follow the colour of the picture."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vestiary.bundle import open_bundle
from vestiary.calibration import Calibration, softmax
from vestiary.catalogue import Catalogue, ingest
from vestiary.errors import BundleError, CatalogueError, PictureError, UsageError, VestiaryError
from vestiary.images import Limits, Preprocess
from vestiary.predictor import BATCH, Evaluation, Predictor, collect_outputs, count_threads, evaluate
from vestiary.predictor.heatmap import Explained, draw_over
from vestiary.product import Product, Split
from vestiary.tags import Prediction
from vestiary.taxonomy import Attribute, Taxonomy

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"


@pytest.fixture
def predictor(make_bundle: Callable[..., Path]) -> Predictor:
    return Predictor(open_bundle(make_bundle()), threads=1)


def _picture(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (24, 32), colour)


def _encode(colour: tuple[int, int, int], file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    _picture(colour).save(buffer, file_format)
    return buffer.getvalue()


def _array(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.asarray(_picture(colour))


def _values(prediction: Prediction) -> dict[str, str]:
    assert prediction.failure is None
    return {tag.attribute: tag.value for tag in prediction.tags}


def _colour(prediction: Prediction) -> str:
    return _values(prediction)["baseColour"]


def _fail(predictor: Predictor, picture: Any) -> tuple[str, str]:
    """Code and message of the failure of one picture; the picture beside it must be answered all the same."""
    failed, sound = predictor.predict([picture, _picture(BLUE)], ids=["bad", "good"])
    assert failed.failure is not None and failed.tags == () and not failed.accepted and failed.id == "bad"
    assert _colour(sound) == "Blue"
    message = failed.failure.message
    assert message.endswith(".") and "\n" not in message and ". " not in message
    return failed.failure.code, message


def test_every_form_of_a_picture_gets_the_same_answer(predictor: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    file.write_bytes(_encode(RED))
    forms = [file, str(file), _encode(RED), _encode(RED, "JPEG"), _picture(RED), _array(RED), Image.open(file)]
    predictions = predictor.predict(forms)
    assert [_values(prediction) for prediction in predictions] == [{"baseColour": "Red", "season": "Summer"}] * 7
    lossless = [predictions[index].tags for index in (0, 1, 2, 4, 5, 6)]
    assert all(tags == lossless[0] for tags in lossless)


def test_confidences_are_told_to_six_digits(predictor: Predictor) -> None:
    [prediction] = predictor.predict([_picture((190, 60, 90))])
    told = [score for tag in prediction.tags for _, score in [(tag.value, tag.confidence), *tag.runners_up]]
    assert told == [float(f"{score:.6f}") for score in told]
    assert any(score not in (0.0, 1.0) for score in told)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 3), (16, 17)])
def test_one_thread_more_than_several_cores_answers(cores: int, threads: int) -> None:
    assert count_threads(cores) == threads


@pytest.mark.parametrize(
    ("colour", "values"),
    [(RED, ("Red", "Summer")), (GREEN, ("Green", "Summer")), (BLUE, ("Blue", "Winter"))],
)
def test_the_answer_depends_on_the_picture(
    predictor: Predictor, colour: tuple[int, int, int], values: tuple[str, str]
) -> None:
    (prediction,) = predictor.predict([_array(colour)])
    assert tuple(_values(prediction).values()) == values


def test_a_bytes_or_path_input_tells_the_hash_of_its_bytes(predictor: Predictor, tmp_path: Path) -> None:
    data = _encode(RED)
    (tmp_path / "red.png").write_bytes(data)
    of_path, of_bytes, of_pixels = predictor.predict([tmp_path / "red.png", data, _array(RED)])
    assert of_path.image_sha256 == of_bytes.image_sha256 == hashlib.sha256(data).hexdigest()
    assert of_pixels.image_sha256 is None


def test_predictions_name_the_bundle_that_answered(predictor: Predictor) -> None:
    assert predictor.predict([_array(RED)])[0].bundle == predictor.bundle.fingerprint != ""


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((32, 24, 3), dtype=np.float32),
        np.zeros((32, 24, 3), dtype=np.int64),
        np.zeros((32, 24), dtype=np.uint8),
        np.zeros((32, 24, 4), dtype=np.uint8),
        np.zeros((3, 32, 24), dtype=np.uint8),
        np.zeros((1, 32, 24, 3), dtype=np.uint8),
        np.zeros((), dtype=np.uint8),
    ],
)
def test_an_array_of_another_kind_is_a_failure_that_tells_the_right_one(predictor: Predictor, array: Any) -> None:
    code, message = _fail(predictor, array)
    assert code == "unusable"
    assert str(array.dtype) in message and str(list(array.shape)) in message
    assert "give uint8 [height, width, 3]" in message


def test_a_strided_array_is_a_picture_like_any_other(predictor: Predictor) -> None:
    wide = np.zeros((64, 48, 3), dtype=np.uint8)
    wide[::2, ::2, 2] = 255
    assert _colour(predictor.predict([wide[::2, ::2]])[0]) == "Blue"
    assert _colour(predictor.predict([wide[::2, ::2, ::-1]])[0]) == "Red"


@pytest.mark.parametrize("picture", [np.zeros((0, 24, 3), dtype=np.uint8), Image.new("RGB", (0, 5))])
def test_a_picture_without_pixels_is_a_failure(predictor: Predictor, picture: Any) -> None:
    assert _fail(predictor, picture)[0] == "too-small"


@pytest.mark.parametrize("picture", [None, 7, ["red.png"], object()])
def test_what_is_no_picture_at_all_is_a_failure(predictor: Predictor, picture: Any) -> None:
    code, message = _fail(predictor, picture)
    assert code == "unusable" and type(picture).__name__ in message


def test_a_pillow_picture_that_turns_out_broken_is_a_failure(predictor: Predictor) -> None:
    lazy = Image.open(io.BytesIO(_encode(RED, "BMP")[:300]))
    assert _fail(predictor, lazy)[0] == "damaged"


def test_each_way_of_being_unreadable_has_its_own_code(predictor: Predictor, tmp_path: Path) -> None:
    tiny = io.BytesIO()
    Image.new("RGB", (4, 4)).save(tiny, "PNG")
    jpeg = _encode(RED, "JPEG")
    assert _fail(predictor, b"")[0] == "not-a-picture"
    assert _fail(predictor, b"plain text")[0] == "not-a-picture"
    assert _fail(predictor, jpeg[: len(jpeg) // 2])[0] == "damaged"
    assert _fail(predictor, tiny.getvalue())[0] == "too-small"
    assert _fail(predictor, tmp_path / "nowhere.jpg")[0] == "unusable"
    assert _fail(predictor, str(tmp_path))[0] == "unusable"


def test_limits_hold_for_files_and_bytes(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    strict = Predictor(open_bundle(make_bundle()), threads=1, limits=Limits(max_bytes=20))
    (tmp_path / "red.png").write_bytes(_encode(RED))
    predictions = strict.predict([tmp_path / "red.png", _encode(RED)])
    assert [prediction.failure and prediction.failure.code for prediction in predictions] == ["too-large"] * 2


def test_exactly_one_of_tags_and_failure_is_there(predictor: Predictor) -> None:
    for prediction in predictor.predict([_array(RED), b"no picture", _picture(BLUE), "nowhere.jpg"]):
        assert bool(prediction.tags) != bool(prediction.failure)


def test_ids_default_to_the_path_as_given_and_else_to_the_place(predictor: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    file.write_bytes(_encode(RED))
    predictions = predictor.predict([file, _array(RED), "nowhere.jpg", _encode(RED)])
    assert [prediction.id for prediction in predictions] == [str(file), "1", "nowhere.jpg", "3"]


def test_given_ids_name_the_predictions_and_must_be_one_each(predictor: Predictor) -> None:
    predictions = predictor.predict([_array(RED), b"bad"], ids=["first", "second"])
    assert [prediction.id for prediction in predictions] == ["first", "second"]
    with pytest.raises(UsageError, match="2 pictures but 1 ids"):
        predictor.predict([_array(RED), _array(RED)], ids=["only"])


def test_no_pictures_give_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_order_is_kept_over_several_batches_with_bad_pictures_among_them(predictor: Predictor) -> None:
    colours = {"Red": RED, "Green": GREEN, "Blue": BLUE}
    wanted = [list(colours)[(7 * number) % 3] for number in range(2 * BATCH + 9)]
    pictures: list[Any] = [_array(colours[name]) for name in wanted]
    bad = {0, 5, BATCH - 1, BATCH, BATCH + 30, len(pictures) - 1}
    for place in bad:
        pictures[place] = b"no picture"
    predictions = predictor.predict(pictures)
    assert [prediction.id for prediction in predictions] == [str(number) for number in range(len(pictures))]
    assert {place for place, prediction in enumerate(predictions) if prediction.failure} == bad
    answered = [(place, _colour(prediction)) for place, prediction in enumerate(predictions) if place not in bad]
    assert answered == [(place, name) for place, name in enumerate(wanted) if place not in bad]


def test_a_whole_batch_of_bad_pictures_spoils_neither_the_one_before_nor_the_one_after(predictor: Predictor) -> None:
    predictions = predictor.predict([_array(RED)] * BATCH + [b"bad"] * BATCH + [_array(GREEN)])
    assert [prediction.failure is None for prediction in predictions] == [True] * BATCH + [False] * BATCH + [True]
    assert _colour(predictions[-1]) == "Green"


def test_the_same_picture_gets_the_same_answer_alone_and_among_others(predictor: Predictor) -> None:
    pictures = [_array((level, 40, 200 - level)) for level in range(0, 200, 5)]
    together = predictor.predict(pictures)
    for picture, prediction in zip(pictures, together, strict=True):
        (alone,) = predictor.predict([picture])
        assert _values(alone) == _values(prediction)
        assert alone.tags[0].confidence == pytest.approx(prediction.tags[0].confidence, abs=1e-6)


@pytest.mark.parametrize(("top_k", "n_colours", "n_seasons"), [(1, 1, 1), (2, 2, 2), (3, 3, 2), (99, 3, 2)])
def test_top_k_is_how_many_answers_are_told(predictor: Predictor, top_k: int, n_colours: int, n_seasons: int) -> None:
    (prediction,) = predictor.predict([_array((200, 20, 100))], top_k=top_k)
    assert [1 + len(tag.runners_up) for tag in prediction.tags] == [n_colours, n_seasons]
    ranked = ["Red", "Blue", "Green"]
    assert [prediction.tags[0].value, *(value for value, _ in prediction.tags[0].runners_up)] == ranked[:n_colours]


def test_top_k_under_one_is_refused(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="top_k is 0, but must be at least 1"):
        predictor.predict([_array(RED)], top_k=0)


def test_confidences_fall_and_sum_to_one_over_all_answers(predictor: Predictor) -> None:
    for prediction in predictor.predict([_array((90, 80, 60)), _array(BLUE)], top_k=99):
        for tag in prediction.tags:
            confidences = [tag.confidence, *(confidence for _, confidence in tag.runners_up)]
            assert confidences == sorted(confidences, reverse=True)
            assert sum(confidences) == pytest.approx(1)


def test_confidence_is_the_calibrated_probability(make_bundle: Callable[..., Path]) -> None:
    calibration = Calibration({"baseColour": 2.0, "season": 0.5}, {"baseColour": None, "season": None})
    (prediction,) = Predictor(open_bundle(make_bundle(calibration=calibration))).predict([_array(RED)])
    colour, season = prediction.tags
    assert colour.confidence == pytest.approx(softmax(np.array([[8.0, 0.0, 0.0]]), 2.0)[0, 0])
    assert season.confidence == pytest.approx(softmax(np.array([[6.0, 0.0]]), 0.5)[0, 0])


def test_a_tag_is_accepted_from_its_threshold_on(make_bundle: Callable[..., Path]) -> None:
    def accepted(**thresholds: float | None) -> tuple[dict[str, bool], bool]:
        calibration = Calibration({"baseColour": 1.0, "season": 1.0}, thresholds)
        predictor = Predictor(open_bundle(make_bundle(calibration=calibration, overwrite=True)), threads=1)
        (prediction,) = predictor.predict([_array((130, 100, 100))])
        return {tag.attribute: tag.accepted for tag in prediction.tags}, prediction.accepted

    # Red by a small lead: (130 - 100) / 255 * 8 in logits.
    red = softmax(np.array([[130, 100, 100]]) / 255 * 8)[0, 0]
    assert accepted(baseColour=red - 0.01, season=0.5) == ({"baseColour": True, "season": True}, True)
    assert accepted(baseColour=red + 0.01, season=0.5) == ({"baseColour": False, "season": True}, False)
    assert accepted(baseColour=red - 0.01, season=None) == ({"baseColour": True, "season": False}, False)


def test_the_wire_form_of_an_answer(predictor: Predictor) -> None:
    (prediction,) = predictor.predict([_encode(RED)], ids=["a1"])
    plain = json.loads(json.dumps(prediction.to_dict()))
    assert list(plain) == ["id", "status", "tags", "decision", "unfamiliar", "note", "image_sha256", "bundle"]
    assert (plain["id"], plain["status"], plain["decision"], plain["note"]) == ("a1", "success", "auto", None)
    assert list(plain["tags"]) == ["baseColour", "season"]
    colour = plain["tags"]["baseColour"]
    assert list(colour) == ["value", "confidence", "accepted", "runners_up", "candidates"]
    assert (colour["value"], colour["accepted"]) == ("Red", True)
    assert colour["confidence"] == pytest.approx(prediction.tags[0].confidence, abs=1e-6)
    assert [sorted(runner) for runner in colour["runners_up"]] == [["confidence", "value"]] * 2


def test_the_wire_form_of_doubt_and_of_a_failure(predictor: Predictor) -> None:
    doubt, failed = predictor.predict([_array(BLACK), b"no picture"])
    assert doubt.to_dict()["decision"] == "review"
    plain = json.loads(json.dumps(failed.to_dict()))
    assert list(plain) == ["id", "status", "error", "note", "image_sha256", "bundle"]
    assert plain["status"] == "error"
    assert plain["error"]["code"] == "not-a-picture" and plain["error"]["message"].endswith(".")


def test_a_note_tells_that_only_the_first_frame_was_used(predictor: Predictor) -> None:
    buffer = io.BytesIO()
    _picture(GREEN).save(buffer, "GIF", save_all=True, append_images=[_picture(RED), _picture(BLUE)])
    (prediction,) = predictor.predict([buffer.getvalue()])
    assert prediction.note is not None and "3 frames" in prediction.note
    assert _colour(prediction) == "Green"


def test_threads_may_share_a_predictor(make_bundle: Callable[..., Path]) -> None:
    shared = Predictor(open_bundle(make_bundle()), threads=2)
    random = np.random.default_rng(3)
    jobs = [list(random.integers(0, 256, (12, 20, 15, 3), dtype=np.uint8)) for _ in range(16)]
    alone = [shared.predict(job) for job in jobs]
    with ThreadPoolExecutor(max_workers=4) as pool:
        assert list(pool.map(shared.predict, jobs)) == alone


def test_an_embedding_per_picture(predictor: Predictor) -> None:
    embeddings = predictor.embed([_array(RED), _encode(BLUE), _picture(GREEN), _picture(BLACK)])
    assert embeddings.shape == (4, 3) and embeddings.dtype == np.float32
    assert embeddings == pytest.approx(np.array([RED, BLUE, GREEN, BLACK]) / 255)


@pytest.mark.parametrize(("picture", "kind"), [(b"no picture", PictureError), (np.zeros(3), UsageError)])
def test_embedding_raises_for_an_unusable_picture(
    predictor: Predictor, picture: Any, kind: type[VestiaryError]
) -> None:
    with pytest.raises(kind):
        predictor.embed([_array(RED), picture])


def test_a_class_map_shows_where_the_colour_is(predictor: Predictor) -> None:
    halves = np.zeros((32, 24, 3), dtype=np.uint8)
    halves[:16, :, 0], halves[16:, :, 2] = 255, 200
    red = predictor.explain([halves], "baseColour", "Red")
    assert red.shape == (1, 16, 12) and red.dtype == np.float32
    assert red[0, :7] == pytest.approx(np.full((7, 12), 8), abs=0.1)
    assert red[0, 9:] == pytest.approx(np.zeros((7, 12)), abs=0.1)
    navy = predictor.explain([halves], "baseColour", "Navy")  # an alias of Blue
    assert navy[0, 9:] == pytest.approx(np.full((7, 12), 8 * 200 / 255), abs=0.1)


def test_a_heat_map_over_an_endless_photo_takes_no_endless_memory() -> None:
    grid = np.linspace(0, 1, 5)[:, None].repeat(4, 1) * [1, 1, 0, 0]
    explained = Explained("Red", 0.5, grid, (0, -5e8, 1, 5e8 + 1))
    photo = io.BytesIO()
    Image.new("RGB", (600, 8), "white").save(photo, "PNG")
    drawn = draw_over(explained, photo.getvalue(), Limits())
    pixels = np.asarray(Image.open(io.BytesIO(drawn)), dtype=float)
    assert pixels.shape == (8, 600, 3)
    assert pixels[:, 100].mean() > pixels[:, 500].mean() + 20


def test_without_a_value_the_map_is_that_of_each_answer(predictor: Predictor) -> None:
    pictures = [_array(RED), _encode(BLUE), *[_array(GREEN)] * BATCH]
    answered = predictor.explain(pictures, "baseColour")
    assert answered.shape == (BATCH + 2, 16, 12)
    for row, value in ((0, "Red"), (1, "Blue"), (BATCH + 1, "Green")):
        assert answered[row] == pytest.approx(predictor.explain([pictures[row]], "baseColour", value)[0])
    assert answered.mean(axis=(1, 2)) == pytest.approx(np.full(BATCH + 2, 8), abs=1e-3)
    assert predictor.explain([], "season").shape == (0, 16, 12)


def test_only_the_map_that_is_asked_for_is_computed(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    run = predictor._run

    def watched(names: Sequence[str], pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        asked.append(list(names))
        return run(names, pixels)

    monkeypatch.setattr(predictor, "_run", watched)
    predictor.explain([_array(RED)], "season", "Winter")
    predictor.explain([_array(RED)], "season")
    predictor.predict([_array(RED)])
    assert asked[0] == ["season.map"]
    assert [[name for name in names if name.endswith(".map")] for names in asked[1:]] == [["season.map"], []]


def test_what_cannot_be_explained_is_refused_in_words(
    predictor: Predictor, make_bundle: Callable[..., Path], make_model: Callable[..., bytes]
) -> None:
    with pytest.raises(UsageError, match=r"answers no 'fit'; choose one of: baseColour, season\."):
        predictor.explain([_array(RED)], "fit")
    with pytest.raises(UsageError, match="season has no value 'Monsoon'; vestiary inspect --json"):
        predictor.explain([_array(RED)], "season", "Monsoon")
    with pytest.raises(UsageError, match="put it into a list"):
        predictor.explain(_encode(RED), "season")  # type: ignore[arg-type]
    with pytest.raises(PictureError):
        predictor.explain([_array(RED), b"no picture"], "season")
    unmapped = make_model().replace(b"season.map", b"season.mop")
    blind = Predictor(open_bundle(make_bundle(model=unmapped, overwrite=True)), threads=1)
    with pytest.raises(UsageError, match="bundle tiny has no class maps for season"):
        blind.explain([_array(RED)], "season")


def test_logits_are_those_of_the_rule(predictor: Predictor) -> None:
    logits = predictor.logits(np.stack([predictor.bundle.preprocess(_picture(colour)) for colour in (RED, BLUE)]))
    assert {name: part.dtype for name, part in logits.items()} == {"baseColour": np.float32, "season": np.float32}
    assert logits["baseColour"] == pytest.approx(np.array([[8, 0, 0], [0, 0, 8]]))
    assert logits["season"] == pytest.approx(np.array([[6, 0], [0, 6]]))


def _refuse_model(make_bundle: Callable[..., Path], **parts: Any) -> str:
    bundle = open_bundle(make_bundle(**parts))
    with pytest.raises(BundleError) as caught:
        Predictor(bundle)
    text = str(caught.value)
    assert "bundle tiny" in text and text.endswith("make the bundle again.") and "\n" not in text
    return text


@pytest.mark.parametrize("model", [b"", b"garbage", b"\x08\x08\x12\x04abcd", bytes(1000)])
def test_a_model_that_is_no_onnx_is_refused(make_bundle: Callable[..., Path], model: bytes) -> None:
    _refuse_model(make_bundle, model=model)


def test_a_model_cut_short_is_refused(make_bundle: Callable[..., Path], make_model: Callable[..., bytes]) -> None:
    model = make_model()
    _refuse_model(make_bundle, model=model[: len(model) // 2])


def test_a_model_that_lacks_an_attribute_is_refused(
    make_bundle: Callable[..., Path], make_model: Callable[..., bytes]
) -> None:
    model = make_model({"baseColour": ((1.0, 0.0, 0.0, 0.0),) * 3})
    assert "does not answer season with 2 values" in _refuse_model(make_bundle, model=model)


def test_a_model_with_another_number_of_values_is_refused(
    make_bundle: Callable[..., Path], make_model: Callable[..., bytes]
) -> None:
    model = make_model({"baseColour": ((1.0, 0.0, 0.0, 0.0),) * 4, "season": ((1.0, 0.0, 0.0, 0.0),) * 2})
    assert "does not answer baseColour with 3 values" in _refuse_model(make_bundle, model=model)


def test_a_model_for_pictures_of_another_size_is_refused(
    make_bundle: Callable[..., Path], make_model: Callable[..., bytes]
) -> None:
    model = make_model(preprocess=Preprocess(width=16, height=12))
    assert "pictures of 12×16 px as 'images'" in _refuse_model(make_bundle, model=model)


def test_a_model_whose_input_has_another_name_is_refused(
    make_bundle: Callable[..., Path], make_model: Callable[..., bytes]
) -> None:
    model = make_model().replace(b"images", b"pixels")
    assert "as 'images'" in _refuse_model(make_bundle, model=model)


def _catalogue(folder: Path, rows: Sequence[tuple[str, tuple[int, int, int], str, str]]) -> Catalogue:
    """A catalogue in Kaggle's layout of (id, colour of the picture, baseColour label, season label)."""
    (folder / "images").mkdir(parents=True)
    lines = [HEADER]
    for number, (name, colour, base_colour, season) in enumerate(rows):
        picture = _picture(colour)
        picture.putpixel((number % 24, number // 24), (128, 128, 128))  # no two pictures alike
        picture.save(folder / "images" / f"{name}.jpg", "JPEG", quality=95)
        lines.append(f"{name},,,,,{base_colour},{season},2026,,Product {name}")
    (folder / "styles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ingest(folder)


def _move(catalogue: Catalogue, split: Split) -> Catalogue:
    """The same catalogue with all its products in one split."""
    return replace(catalogue, products=tuple(replace(product, split=split) for product in catalogue.products))


def _figures(evaluation: Evaluation, name: str) -> Mapping[str, Any]:
    figures: Mapping[str, Any] = evaluation.to_dict()["attributes"][name]
    return figures


def test_evaluation_figures_are_exact_for_known_answers(predictor: Predictor, tmp_path: Path) -> None:
    catalogue = _catalogue(
        tmp_path / "shop",
        [
            ("1", RED, "Red", "Summer"),
            ("2", RED, "Green", "Summer"),
            ("3", GREEN, "Green", "Winter"),
            ("4", BLUE, "Blue", "NA"),
            ("5", BLUE, "Navy", "Winter"),
        ],
    )
    evaluation = evaluate(predictor, catalogue, split=None)
    assert (evaluation.bundle, evaluation.split, evaluation.n) == (predictor.bundle.fingerprint, "all", 5)
    colour, season = _figures(evaluation, "baseColour"), _figures(evaluation, "season")
    # Navy is an alias of Blue in this bundle, so four of five colours are right.
    assert (colour["n"], colour["accuracy"], colour["top5"]) == (5, 0.8, 1.0)
    assert colour["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert (colour["coverage"], colour["accepted_accuracy"]) == (1.0, 0.8)
    assert colour["ece"] == pytest.approx(0.2, abs=0.01)
    assert (season["n"], season["accuracy"]) == (4, 0.75)
    assert evaluation.exact_match == 0.6
    assert json.loads(json.dumps(evaluation.to_dict()))["exact_match"] == 0.6


def test_evaluation_in_json_has_the_figures_and_no_tables(predictor: Predictor, tmp_path: Path) -> None:
    plain = evaluate(predictor, _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer")]), split=None).to_dict()
    assert {"bundle", "split", "n", "attributes", "exact_match"} <= set(plain)
    assert plain["intervals"] == {"level": 0.95, "resamples": 1000, "seed": 42, "by": "group"}
    assert list(plain["attributes"]) == ["baseColour", "season"]
    names = {"n", "accuracy", "macro_f1", "top5", "ece", "coverage", "accepted_accuracy"}
    assert names <= set(plain["attributes"]["season"])
    assert not {"values", "confusions"} & set(plain["attributes"]["season"])


def test_labels_that_the_bundle_cannot_give_count_as_wrong(predictor: Predictor, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer"), ("2", RED, "Crimson", "Summer")])
    evaluation = evaluate(predictor, catalogue, split=None)
    assert _figures(evaluation, "baseColour")["accuracy"] == 0.5
    assert _figures(evaluation, "season")["accuracy"] == 1.0
    assert evaluation.exact_match == 0.5


def test_an_attribute_that_only_one_side_knows_is_left_out(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    taxonomy = Taxonomy((Attribute("baseColour", ("Red", "Blue")), Attribute("fit", ("slim", "wide"))))
    rule = {"baseColour": ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)), "fit": ((1.0, 0.0, 0.0, 0.0),) * 2}
    predictor = Predictor(open_bundle(make_bundle(taxonomy=taxonomy, rule=rule)), threads=1)
    catalogue = _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer"), ("2", BLUE, "Blue", "Winter")])
    evaluation = evaluate(predictor, catalogue, split=None)
    assert list(evaluation.attributes) == ["baseColour"]
    assert evaluation.exact_match == 1.0


def test_only_the_products_of_the_split_are_answered(predictor: Predictor, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer"), ("2", BLUE, "Red", "Winter")])
    right, wrong = catalogue.products
    mixed = replace(catalogue, products=(replace(right, split=Split.TEST), replace(wrong, split=Split.TRAIN)))
    tested, trained = evaluate(predictor, mixed), evaluate(predictor, mixed, split=Split.TRAIN)
    assert (tested.split, tested.n, _figures(tested, "baseColour")["accuracy"]) == ("test", 1, 1.0)
    assert (trained.split, trained.n, _figures(trained, "baseColour")["accuracy"]) == ("train", 1, 0.0)
    assert evaluate(predictor, mixed, split=None).n == 2


def test_an_empty_split_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    catalogue = _move(_catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer")]), Split.TRAIN)
    with pytest.raises(CatalogueError, match="test split of this catalogue has no products; choose another"):
        evaluate(predictor, catalogue)


def test_a_catalogue_that_shares_no_attribute_is_refused(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    taxonomy = Taxonomy((Attribute("fit", ("slim", "wide")),))
    predictor = Predictor(open_bundle(make_bundle(taxonomy=taxonomy, rule={"fit": ((1.0, 0.0, 0.0, 0.0),) * 2})))
    catalogue = _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer")])
    with pytest.raises(CatalogueError, match="has baseColour, season, but the bundle answers only fit"):
        evaluate(predictor, catalogue, split=None)


def test_a_picture_that_has_gone_since_ingest_is_named(predictor: Predictor, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer"), ("22", BLUE, "Blue", "Winter")])
    (tmp_path / "shop" / "images" / "22.jpg").unlink()
    with pytest.raises(CatalogueError, match="product 22 could be read at ingest but not now"):
        evaluate(predictor, catalogue, split=None)


def test_evaluation_tells_its_progress(predictor: Predictor, tmp_path: Path) -> None:
    rows = [(str(number), RED, "Red", "Summer") for number in range(BATCH + 3)]
    told: list[tuple[int, int]] = []
    catalogue = _catalogue(tmp_path / "shop", rows)
    evaluate(predictor, catalogue, split=None, progress=lambda done, total: told.append((done, total)))
    assert told == [(BATCH, BATCH + 3), (BATCH + 3, BATCH + 3)]


def _views(catalogue: Catalogue, *products: tuple[str, ...]) -> Catalogue:
    """Products with the given pictures as their views, in place of those of the catalogue."""
    first = catalogue.products[0]
    made = (
        Product("+".join(names), tuple(f"images/{name}.jpg" for name in names), ("",) * len(names), first.labels,
                "", "+".join(names), Split.TEST, first.source)
        for names in products
    )  # fmt: skip
    return replace(catalogue, products=tuple(made))


def test_the_answer_for_a_product_is_the_mean_over_its_views(predictor: Predictor, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer"), ("2", BLUE, "Blue", "Winter")])
    viewed = _views(catalogue, ("1", "2"), ("2",), ("1", "1", "2"))
    logits = collect_outputs(predictor, viewed, viewed.products)["baseColour"]
    assert logits == pytest.approx(np.array([[4, 0, 4], [0, 0, 8], [16 / 3, 0, 8 / 3]]), abs=0.1)
    evaluation = evaluate(predictor, viewed)
    assert evaluation.n == 3
    # All are labelled Red: the third is by two views to one, the second is not.
    right = _figures(evaluate(predictor, _views(catalogue, ("2",), ("1", "1", "2"))), "baseColour")["accuracy"]
    assert right == 0.5


def test_rows_stay_with_their_products_over_several_batches_of_views(predictor: Predictor, tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path / "shop", [("1", RED, "Red", "Summer"), ("2", BLUE, "Blue", "Winter")])
    views = [("1",) * (1 + number % 3) if number % 2 else ("2",) * (1 + number % 2) for number in range(BATCH + 10)]
    viewed = _views(catalogue, *views)
    logits = collect_outputs(predictor, viewed, viewed.products)["baseColour"]
    assert logits.argmax(axis=1).tolist() == [0 if names[0] == "1" else 2 for names in views]
    assert logits.max(axis=1) == pytest.approx(np.full(BATCH + 10, 8), abs=0.2)


def test_a_single_picture_instead_of_a_list_is_refused(make_bundle: Callable[..., Path]) -> None:
    predictor = Predictor(open_bundle(make_bundle()))
    for single in ("photo.jpg", b"bytes", Path("photo.jpg"), Image.new("RGB", (20, 20))):
        with pytest.raises(UsageError, match="put it into a list"):
            predictor.predict(single)  # type: ignore[arg-type]


def test_no_pictures_give_no_predictions_and_no_embeddings(make_bundle: Callable[..., Path]) -> None:
    predictor = Predictor(open_bundle(make_bundle()))
    assert predictor.predict([]) == []
    assert predictor.embed([]).shape[0] == 0


def test_a_pillow_picture_is_answered_like_its_file(predictor: Predictor) -> None:
    turned = Image.new("RGB", (24, 32), RED)
    turned.paste(BLUE, (0, 0, 24, 16))
    clear = Image.new("RGBA", (24, 32), (255, 0, 0, 0))
    for picture, exif in ((turned, 6), (clear, 1)):
        orientation = Image.Exif()
        orientation[0x0112] = exif
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", exif=orientation)
        by_file, by_picture = predictor.predict([buffer.getvalue(), Image.open(buffer)])
        assert by_file.tags == by_picture.tags
