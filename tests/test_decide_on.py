"""Attributes that decide whether a picture needs a look, beside others that may stay open."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image

from batches import open_batches, paint_folder
from conftest import Running, Vestiary, paint_picture
from vestiary.bundle import open_bundle
from vestiary.calibration import Calibration
from vestiary.errors import UsageError
from vestiary.ledger.exports import export
from vestiary.pages.batch.rows import Row
from vestiary.predictor import Predictor
from vestiary.review import Queue

NEVER = Calibration({"baseColour": 1.0, "season": 1.0}, {"baseColour": None, "season": 0.9})
"""No answer for the colour is accepted, every plain one for the season is."""
BLUR = (130, 10, 120)
"""Of no season for sure."""


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    """A bundle that never accepts a colour."""
    return make_bundle(calibration=NEVER)


def test_a_picture_waits_only_for_what_decides(bundle: Path) -> None:
    red = Image.open(io.BytesIO(paint_picture((250, 5, 5))))
    opened = open_bundle(bundle)
    for decide_on, expected in (((), False), (("season",), True), (("season", "baseColour"), False)):
        (prediction,) = Predictor(opened, decide_on=decide_on).predict([red])
        assert (prediction.accepted, prediction.to_dict()["decision"] == "auto") == (expected, expected)
        assert [tag.accepted for tag in prediction.tags] == [False, True]


def test_an_attribute_that_is_not_answered_cannot_decide(bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"answers no 'fabric'; choose from: baseColour, season"):
        Predictor(open_bundle(bundle), decide_on=("season", "fabric"))


def test_the_command_line_decides_by_what_is_named(vestiary: Vestiary, bundle: Path, tmp_path: Path) -> None:
    photo = tmp_path / "red.png"
    photo.write_bytes(paint_picture((250, 5, 5)))
    tagged = vestiary("tag", photo, "--bundle", bundle, "--format", "jsonl", "--decide-on", " season,")
    assert json.loads(tagged.out)["decision"] == "auto"
    shown = vestiary("tag", photo, "--bundle", bundle, "--decide-on", "season, ")
    assert "1 picture, 2 tags: 1 accepted ✓, 0 for review ?, 1 left open ·." in shown.out
    refused = vestiary("batch", tmp_path, "--out", tmp_path / "out", "--bundle", bundle, "--decide-on", "fabric")
    assert refused.code == 2
    assert "answers no 'fabric'" in refused.err


def test_a_batch_sends_to_review_only_what_decides(bundle: Path, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos", ["a.png", "b.png"])
    (photos / "c.png").write_bytes(paint_picture(BLUR))
    batches = open_batches(open_bundle(bundle), tmp_path / "work")
    batches.run(photos, decide_on="season")
    decisions = {row["id"]: row["decision"] for row in batches.rows()}
    assert decisions == {"a.png": "auto", "b.png": "auto", "c.png": "review"}
    assert (batches.summary()["accepted"], batches.summary()["review"]) == (2, 1)

    (item,) = Queue(batches.ledger, open_bundle(bundle), reviewer="ada", agreement_share=0.0).next_items(5, "uncertain")
    assert (item.record.name, item.open) == ("c.png", ("season",))
    assert item.left_open == {"baseColour"}
    rows = {record.name: Row(record, {}).decision for record in batches.ledger.predictions()}
    assert rows == {"a.png": "sure", "b.png": "sure", "c.png": "review"}

    with pytest.raises(UsageError, match="holds a batch with --decide-on season, not none"):
        batches.run(photos)
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'ui' is not installed")
    export(batches.ledger, tmp_path / "tables")
    (told, *_) = parquet.read_table(tmp_path / "tables" / "predictions.parquet").column("tags").to_pylist()
    assert {tag["attribute"]: tag["decides"] for tag in told} == {"baseColour": False, "season": True}
    batches.ledger.close()


def test_accepting_a_photo_says_nothing_of_what_is_left_open(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "c.png").write_bytes(paint_picture(BLUR))
    batches = open_batches(open_bundle(bundle), tmp_path / "work")
    batches.run(tmp_path / "photos", decide_on="season")
    queue = Queue(batches.ledger, open_bundle(bundle), reviewer="ada", agreement_share=0.0)
    queue.accept(queue.next_items(1)[0])
    assert [verdict.attribute for verdict in batches.ledger.verdicts()] == ["season"]
    item = queue.undo()
    assert item is not None
    queue.correct(item, "baseColour", item.tags["baseColour"].runners_up[0][0])
    queue.accept(item)
    assert {verdict.attribute for verdict in batches.ledger.verdicts()} == {"baseColour", "season"}
    batches.ledger.close()


def test_the_service_decides_by_what_is_set(start_service: Callable[..., Running], bundle: Path) -> None:
    running = start_service(bundle=bundle, decide_on="season")
    answer = httpx.post(f"{running.url}/predict", files={"file": paint_picture((250, 5, 5))}).json()
    assert answer["decision"] == "auto"
    assert not answer["attributes"]["baseColour"]["accepted"]
    wary = httpx.post(
        f"{running.url}/predict",
        files={"file": paint_picture((250, 5, 5))},
        data={"min_confidence": "1"},
    ).json()
    assert wary["decision"] == "review"


def test_the_page_of_a_photo_asks_for_no_look_at_what_is_left_open(
    start_service: Callable[..., Running], bundle: Path
) -> None:
    running = start_service(bundle=bundle, decide_on="baseColour")
    page = httpx.post(f"{running.url}/uploader", files={"file": paint_picture(BLUR)}).text
    assert "Needs a look" in page
    assert "<td>no</td>" in page and "<td>yes</td>" not in page
