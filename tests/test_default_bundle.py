"""The bundle that ships: small, whole, and as good as promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestiary.bundle import open_bundle
from vestiary.catalogue import ingest
from vestiary.predictor import Predictor, evaluate, take_all_views
from vestiary.product import Split
from vestiary.reports.card import write_card

ROOT = Path(__file__).parents[1]

PROMISED = {
    "gender": 0.90,
    "masterCategory": 0.99,
    "subCategory": 0.955,
    "articleType": 0.855,
    "baseColour": 0.66,
    "season": 0.75,
    "usage": 0.90,
}
"""Least accuracy on the test split, full label sets."""

DRAWN = {
    "black-watch.jpg": ("Watches", "Black"),
    "blue-backpack.jpg": ("Backpacks", "Blue"),
    "blue-jeans.jpg": ("Jeans", "Blue"),
    "brown-formal-shoe.jpg": ("Formal Shoes", "Brown"),
    "brown-handbag.jpg": ("Handbags", "Brown"),
    "green-kurta.jpg": ("Kurtas", "Green"),
    "navy-blue-tshirt.jpg": ("Tshirts", "Navy Blue"),
    "red-cap.jpg": ("Caps", "Red"),
    "red-dress.jpg": ("Dresses", "Red"),
    "red-heels.jpg": ("Heels", "Red"),
    "white-shirt.jpg": ("Shirts", "White"),
    "white-sports-shoe.jpg": ("Sports Shoes", "White"),
}


def test_it_is_small_and_answers_the_full_label_sets() -> None:
    bundle = open_bundle()
    files = [file for file in (ROOT / "src" / "vestiary" / "bundles" / "default").iterdir()]
    assert sum(file.stat().st_size for file in files) <= 16_000_000
    sizes = {attribute.name: len(attribute.values) for attribute in bundle.taxonomy.attributes}
    assert sizes == {
        "gender": 5,
        "masterCategory": 7,
        "subCategory": 45,
        "articleType": 141,
        "baseColour": 46,
        "season": 4,
        "usage": 8,
    }


def test_its_validation_figures_keep_the_promise() -> None:
    scores = open_bundle().scores["validation"]
    for name, least in PROMISED.items():
        assert scores[name]["accuracy"] >= least


def test_it_reads_most_of_the_drawn_photos_rightly() -> None:
    photos = [ROOT / "examples" / "photos" / name for name in DRAWN]
    answers = [{tag.attribute: tag.value for tag in prediction.tags} for prediction in Predictor().predict(photos)]
    types = sum(answer["articleType"] == truth[0] for answer, truth in zip(answers, DRAWN.values(), strict=True))
    colours = sum(answer["baseColour"] == truth[1] for answer, truth in zip(answers, DRAWN.values(), strict=True))
    assert types >= 9
    assert colours >= 9


def test_the_model_card_in_the_documentation_is_about_this_bundle() -> None:
    page = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
    assert page.endswith(f"Fingerprint `{open_bundle().fingerprint}`.\n")
    assert "## Figures on the test split" in page


@pytest.mark.slow
def test_the_model_card_in_the_documentation_is_the_generated_one(real_small: Path) -> None:
    bundle, catalogue = open_bundle(), ingest(real_small)
    evaluation = evaluate(Predictor(bundle), catalogue, split=Split.TEST)
    notes = (ROOT / "docs" / "default-notes.md").read_text(encoding="utf-8")
    card = write_card(bundle, catalogue, evaluation, views=take_all_views(bundle, catalogue, evaluation), notes=notes)
    assert (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8") == card


def test_it_reaches_the_promised_accuracy_on_products_it_never_saw(real_small: Path) -> None:
    evaluation = evaluate(Predictor(), ingest(real_small), split=Split.TEST)
    assert evaluation.n == 5_961
    for name, least in PROMISED.items():
        accuracy = evaluation.attributes[name].accuracy
        assert accuracy is not None
        assert accuracy >= least, name
