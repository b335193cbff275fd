"""A bundle's confidences, fitted anew on a catalogue: the same model, other figures."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vestiary.bundle import Bundle, Int8, open_bundle
from vestiary.calibration import Calibration, Hierarchy
from vestiary.catalogue import Catalogue, ingest
from vestiary.errors import CatalogueError
from vestiary.predictor import Predictor, calibrate_bundle, evaluate
from vestiary.product import Split
from vestiary.taxonomy import Attribute, Taxonomy

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained(trained_bundle: Path) -> Bundle:
    return open_bundle(trained_bundle)


def _strip(bundle: Bundle) -> Bundle:
    """The bundle as one of before: not calibrated, without any reference."""
    return replace(bundle, calibration=Calibration.neutral(bundle.taxonomy.names), familiarity=None, fingerprint="")


def test_training_ends_with_all_that_confidence_rests_on(trained: Bundle, tiny_catalogue: Catalogue) -> None:
    assert trained.calibration.joint and trained.calibration.limits is not None
    assert trained.familiarity is not None and trained.familiarity.false_alarms == 0.01
    told = trained.training["calibration"]
    n = len(tiny_catalogue.select(Split.VALIDATION))
    assert told == {"catalogue": tiny_catalogue.fingerprint, "products": n}


def test_calibrating_gives_an_old_bundle_what_training_gives_a_new_one(
    trained: Bundle, tiny_catalogue: Catalogue
) -> None:
    told: list[tuple[int, int]] = []
    made, evaluation = calibrate_bundle(
        _strip(trained), tiny_catalogue, progress=lambda done, total: told.append((done, total))
    )
    assert made.calibration == trained.calibration
    assert made.familiarity == trained.familiarity
    assert json.loads(json.dumps(made.scores)) == trained.scores
    assert made.model == trained.model
    assert made.reference == trained.reference
    looked_at = (Split.VALIDATION, Split.TRAIN, Split.VALIDATION)
    splits = [len(tiny_catalogue.select(split)) for split in looked_at]
    assert [done for done, total in told if done == total] == splits
    assert set(evaluation.attributes) == set(made.taxonomy.names)


def test_the_figures_told_are_those_that_evaluation_finds(trained: Bundle, tiny_catalogue: Catalogue) -> None:
    made, evaluation = calibrate_bundle(_strip(trained), tiny_catalogue, target_precision=0.8)
    again = evaluate(Predictor(made, threads=1), tiny_catalogue, split=Split.VALIDATION)
    for name, own in evaluation.attributes.items():
        assert again.attributes[name] == own
        assert own.accepted_accuracy is None or own.accepted_accuracy >= 0.8


def test_every_answer_for_a_whole_catalogue_keeps_to_its_rules(trained: Bundle, tiny_catalogue: Catalogue) -> None:
    groups = Hierarchy.of(trained.taxonomy).groups
    assert {name for group in groups for name in group.names} == {"masterCategory", "subCategory", "articleType"}
    source = tiny_catalogue.open_source()
    pictures = [source.read(product.images[0]) for product in tiny_catalogue.products[:200]]
    for prediction in Predictor(trained, threads=1).predict(pictures):
        answers = {tag.attribute: tag.value for tag in prediction.tags}
        assert all(rule.allows(answers) for rule in trained.taxonomy.parents), answers


@pytest.mark.slow
def test_answering_together_costs_no_attribute_of_real_products_it_did_not_learn_from(real_small: Path) -> None:
    catalogue = ingest(real_small)
    split_of = runpy.run_path(str(ROOT / "examples" / "default_catalogue.py"))["split_of"]
    products = tuple(replace(product, split=split_of(product)) for product in catalogue.products)
    catalogue, shipped = replace(catalogue, products=products), open_bundle()
    alone = replace(shipped, calibration=replace(shipped.calibration, joint=False), fingerprint="")
    together, apart = (evaluate(Predictor(bundle), catalogue, split=Split.VALIDATION) for bundle in (shipped, alone))
    for name, own in together.attributes.items():
        assert (own.accuracy or 0) - (apart.attributes[name].accuracy or 0) >= -0.001
        assert own.accepted_accuracy is None or own.accepted_accuracy >= 0.95
    assert (together.exact_match or 0) >= (apart.exact_match or 0)


def test_an_attribute_without_labels_is_left_for_review(trained: Bundle, tiny_catalogue: Catalogue) -> None:
    bare = replace(
        tiny_catalogue,
        products=tuple(
            replace(one, labels={name: value for name, value in one.labels.items() if name != "season"})
            for one in tiny_catalogue.products
        ),
    )
    made, evaluation = calibrate_bundle(trained, bare)
    scores = {name for name, own in evaluation.attributes.items() if own.n}
    assert scores == set(made.scores["validation"]) == set(made.taxonomy.names) - {"season"}
    assert made.calibration.thresholds["season"] is None


def test_without_training_products_the_reference_stays_and_its_limit_moves(
    trained: Bundle, tiny_catalogue: Catalogue
) -> None:
    only = replace(tiny_catalogue, products=tiny_catalogue.select(Split.VALIDATION))
    made, _ = calibrate_bundle(trained, only, false_alarms=0.2)
    assert made.familiarity is not None and trained.familiarity is not None
    assert (made.familiarity.means == trained.familiarity.means).all()
    assert made.familiarity.limit < trained.familiarity.limit
    assert calibrate_bundle(_strip(trained), only)[0].familiarity is None
    bare = tuple(replace(one, labels={}) if one.split == Split.TRAIN else one for one in tiny_catalogue.products)
    made, _ = calibrate_bundle(trained, replace(tiny_catalogue, products=bare))
    assert made.familiarity is not None
    assert (made.familiarity.means == trained.familiarity.means).all()


def test_an_int8_model_that_was_let_in_with_the_old_confidences_is_left_out_aloud(
    trained: Bundle, ingested: Path, tmp_path: Path
) -> None:
    both = replace(trained, int8=Int8(trained.model, {"validation": {}}, {})).write(tmp_path / "both")
    assert both.int8 is not None
    done = _vestiary("calibrate", tmp_path / "both", ingested, "--out", tmp_path / "new")
    assert done.returncode == 0
    assert "is left out; vestiary quantise adds one again." in done.stderr
    assert open_bundle(tmp_path / "new").int8 is None


def test_views_of_a_product_are_calibrated_on_one_by_one_as_they_are_tagged(
    trained: Bundle, tiny_catalogue: Catalogue
) -> None:
    together, apart = [], []
    for split in (Split.TRAIN, Split.VALIDATION):
        own = tiny_catalogue.select(split)
        for one, other in zip(own, own[1:] + own[:1], strict=True):
            images = one.images + other.images
            together.append(replace(one, images=images))
            apart += [replace(one, id=f"{one.id}-{number}", images=(image,)) for number, image in enumerate(images)]
    made, evaluation = calibrate_bundle(trained, replace(tiny_catalogue, products=tuple(together)))
    single, _ = calibrate_bundle(trained, replace(tiny_catalogue, products=tuple(apart)))
    assert made.calibration == single.calibration
    assert made.familiarity == single.familiarity
    assert evaluation.n == made.training["calibration"]["products"] == len(tiny_catalogue.select(Split.VALIDATION))


def test_nothing_to_calibrate_on_is_refused(
    trained: Bundle, tiny_catalogue: Catalogue, make_bundle: Callable[..., Path]
) -> None:
    empty = replace(tiny_catalogue, products=tiny_catalogue.select(Split.TRAIN))
    with pytest.raises(CatalogueError, match="validation split of this catalogue has no products; ingest it"):
        calibrate_bundle(trained, empty)
    other = make_bundle(
        taxonomy=Taxonomy((Attribute("fit", ("slim", "wide")),)), rule={"fit": ((1.0, 0.0, 0.0, 0.0),) * 2}
    )
    with pytest.raises(CatalogueError, match="has no label for fit, which the bundle answers; calibrate on"):
        calibrate_bundle(open_bundle(other), tiny_catalogue)


def _vestiary(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vestiary", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ingested(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ingested") / "catalogue"
    done = _vestiary("ingest", drawn_folder, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_the_verb_writes_a_bundle_that_answers_and_tells_its_figures(
    trained: Bundle, ingested: Path, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    _strip(trained).write(old)
    before = _vestiary("inspect", old)
    assert "always review" in before.stdout and "not applied to answers; vestiary calibrate" in before.stdout
    done = _vestiary("calibrate", old, ingested, "--out", new)
    assert (done.returncode, done.stderr) == (0, "")
    assert "right among accepted" in done.stdout and f"written to {new}." in done.stdout
    inspected = _vestiary("inspect", new).stdout
    for words in (
        "are answered together",
        "hold the true value in 90 %",
        "called unfamiliar when",
        "1 % of the validation",
    ):
        assert words in inspected
    made = open_bundle(new)
    assert made.calibration == trained.calibration
    assert made.fingerprint != open_bundle(old).fingerprint
    assert "## Figures on the validation split" in made.card
    again = _vestiary("calibrate", old, ingested, "--out", new, "--overwrite", "--target-precision", "0.6", "--json")
    figures = json.loads(again.stdout)
    assert figures["articleType"]["coverage"] >= made.scores["validation"]["articleType"]["coverage"]
    assert open_bundle(new).calibration.target_precision == 0.6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target-precision", "95"], "--target-precision is 95, but must be between 0 and 1."),
        (["--set-coverage", "0"], "--set-coverage is 0, but must be between 0 and 1."),
        (["--false-alarms", "1"], "--false-alarms is 1, but must be between 0 and 1."),
        ([], "already holds a bundle; choose another place or add --overwrite."),
    ],
)
def test_wrong_use_is_one_sentence(
    options: list[str], words: str, trained_bundle: Path, ingested: Path, tmp_path: Path
) -> None:
    out = trained_bundle if not options else tmp_path / "new"
    done = _vestiary("calibrate", trained_bundle, ingested, "--out", out, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_a_training_split_is_thinned_evenly(
    trained: Bundle, tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vestiary.predictor.recalibration as recalibration

    monkeypatch.setattr(recalibration, "MAX_REFERENCE", 50)
    told: list[int] = []
    made, _ = calibrate_bundle(trained, tiny_catalogue, progress=lambda done, total: told.append(total))
    assert set(told) == {len(tiny_catalogue.select(Split.VALIDATION)), 50}
    assert made.familiarity is not None and np.isfinite(made.familiarity.limit)
