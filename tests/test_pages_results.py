"""What the page Tag does without a browser: answers, corrections and their forms, and words for how sure."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the extra 'ui' is not installed")

from streamlit.testing.v1 import AppTest

from conftest import paint_picture, run_overlapping
from vestiary.bundle import open_bundle
from vestiary.errors import LedgerUnavailableError, UsageError
from vestiary.ledger import Ledger, PredictionRecord, Verdict, open_ledger
from vestiary.pages import look
from vestiary.pages.desk import Answered, Desk
from vestiary.pages.tag import page, results
from vestiary.pages.tag.page import Visit
from vestiary.pages.uploads import Upload
from vestiary.predictor import Predictor
from vestiary.taxonomy import Taxonomy

RED, GREEN = paint_picture((250, 5, 5)), paint_picture((5, 250, 5))


@pytest.fixture
def make_desk(make_bundle: Callable[..., Path], tmp_path: Path) -> Callable[[Ledger | None], Desk]:
    """A desk whose answers come straight from the predictor, and are in the ledger at once."""
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    bundle = open_bundle(make_bundle())
    predictor = Predictor(bundle)

    def make(ledger: Ledger | None) -> Desk:
        def answer(pictures: object) -> list[Answered]:
            names, photos = zip(*pictures, strict=True)  # type: ignore[call-overload]
            answered = []
            for prediction in predictor.predict(list(photos), ids=list(names), top_k=3):
                record = None
                if ledger is not None and prediction.failure is None:
                    record = PredictionRecord.from_prediction(prediction, source="service", bundle_name="tiny")
                    ledger.add([record])
                answered.append(Answered(prediction, record.id if record else None, (12, 16)))
            return answered

        return Desk(bundle=bundle, predictor=predictor, answer=answer, ledger=ledger, jobs=tmp_path)

    return make


def test_a_photo_is_answered_once_and_shown_while_the_ledger_is_away(
    make_desk: Callable[[Ledger | None], Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Ledger) -> None:
        raise LedgerUnavailableError("The ledger's server does not answer; check that it runs.")

    def answer(pictures: Sequence[tuple[str, bytes]]) -> list[Answered]:
        asked.append(len(pictures))
        return desk.answer(pictures)

    asked: list[int] = []
    desk = make_desk(None)
    monkeypatch.setattr(Ledger, "reading", refuse)
    photo: Any = SimpleNamespace(getvalue=lambda: RED, file_id="shirt")
    with open_ledger(tmp_path / "ledger.db") as ledger:
        monkeypatch.setattr("vestiary.pages.desk._held", [replace(desk, ledger=ledger, answer=answer)])
        app = AppTest.from_string("from vestiary.pages.tag import show\nshow()", default_timeout=120)
        app.session_state["tag_visit"] = Visit(waiting=[Upload("shirt", photo)], n_of_batch=1, open=0)
        app.run()
        app.run()
    assert not app.exception
    assert [own.value for own in app.header] == ["shirt"]
    assert asked == [1]


def test_photos_are_answered_once_where_a_click_begins_a_newer_run_meanwhile(
    make_desk: Callable[[Ledger | None], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Streamlit does: the run that it breaks off goes on until it touches Streamlit again."""
    own, began, may_end, asked = make_desk(None), threading.Event(), threading.Event(), []

    def answer(pictures: Sequence[tuple[str, bytes]]) -> list[Answered]:
        asked.extend(name for name, _ in pictures)
        began.set()
        may_end.wait(60)
        return own.answer(pictures)

    desk = replace(own, answer=answer)
    monkeypatch.setattr("vestiary.pages.desk._held", [desk])
    names = [f"{number}.png" for number in range(10)]
    photo: Any = SimpleNamespace(getvalue=lambda: RED, file_id="red")
    visit = Visit(waiting=[Upload(name, photo) for name in names], n_of_batch=len(names))

    def break_off() -> None:
        with visit.in_turn:
            page._answer_some(desk, visit)

    app = AppTest.from_string("from vestiary.pages.tag import show\nshow()", default_timeout=120)
    app.session_state["tag_visit"] = visit
    run_overlapping(break_off, app.run, began, may_end)
    assert asked == names
    assert [result.name for result in visit.results] == names


def test_a_correction_changes_what_is_copied_and_is_known_again(
    make_desk: Callable[[Ledger | None], Desk], ledger_url: str
) -> None:
    with open_ledger(ledger_url) as ledger:
        desk = make_desk(ledger)
        [first, other] = results.answer_photos(desk, [("a.png", RED), ("b.png", GREEN)], first_number=0)
        results.correct(desk, first, "season", "Winter", "Ada")
        results.correct(desk, first, "season", "Summer", "Ada")
        results.correct(desk, first, "baseColour", "Blue", "Bo")
        told = json.loads(results.render_json([first]))
        assert told["tags"]["baseColour"]["value"] == "Blue"
        assert told["tags"]["baseColour"]["answered"] == "Red"
        rows = list(csv.DictReader(io.StringIO(results.render_csv([first, other], desk.bundle))))
        assert [(row["id"], row["baseColour"], row["season"]) for row in rows] == [
            ("a.png", "Blue", "Summer"),
            ("b.png", "Green", "Summer"),
        ]
        assert told["tags"]["baseColour"]["confidence"] is None  # the model was sure of Red, and says nothing of Blue
        assert [row["baseColour_confidence"] for row in rows] == ["", "0.9991"]
        [again, unknown] = results.answer_photos(desk, [("z.png", RED), ("y.png", GREEN)], first_number=2)
        assert again.corrections == {
            "season": results.Correction("Summer", "Ada"),
            "baseColour": results.Correction("Blue", "Bo"),
        }
        assert unknown.corrections == {}
        assert len(list(ledger.verdicts())) == 2


def test_what_cannot_be_corrected_says_why(make_desk: Callable[[Ledger | None], Desk], tmp_path: Path) -> None:
    desk = make_desk(None)
    [result] = results.answer_photos(desk, [("a.png", RED)], first_number=0)
    with pytest.raises(UsageError, match="keeps no ledger"):
        results.correct(desk, result, "season", "Winter", "Ada")
    with pytest.raises(UsageError, match="Type your name first"):
        results.correct(desk, result, "season", "Winter", "")
    assert result.corrections == {}


def show_visit(desk: Desk, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr("vestiary.pages.desk._held", [desk])
    app = AppTest.from_string("from vestiary.pages.tag import show\nshow()", default_timeout=120)
    app.session_state["tag_visit"] = visit
    app.run()
    assert not app.exception
    return app


def test_a_value_that_the_bundle_does_not_know_is_shown_as_it_was_said(
    make_desk: Callable[[Ledger | None], Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        desk = make_desk(ledger)
        [result] = results.answer_photos(desk, [("a.png", RED)], first_number=0)
        given = {"attribute": "baseColour", "value": "Crimson", "previous_value": "Red", "reviewer": "Ada"}
        ledger.add_verdict(Verdict(prediction_id=str(result.answered.prediction_id), **given))
        [again] = results.answer_photos(desk, [("a.png", RED)], first_number=0)
        app = show_visit(desk, Visit(results=[again], n_taken=1, n_of_batch=1, open=0), monkeypatch)
        assert any("Crimson" in own.proto.body for own in app.get("html"))
        assert (app.selectbox(key="better-0-baseColour").value, app.button(key="save-0-baseColour").disabled) == (
            None,
            True,
        )
        app.selectbox(key="better-0-baseColour").select("Blue").run()
        assert not app.button(key="save-0-baseColour").disabled


def test_photos_that_had_to_make_room_are_told(
    make_desk: Callable[[Ledger | None], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = replace(make_desk(None), max_upload_files=2)
    earlier = results.answer_photos(desk, [("a.png", RED), ("b.png", GREEN)], first_number=0)
    photo: Any = SimpleNamespace(getvalue=lambda: RED, file_id="c")
    visit = Visit(results=earlier, n_taken=2, waiting=[Upload("c.png", photo)], n_of_batch=1)
    app = show_visit(desk, visit, monkeypatch)
    assert [own.name for own in visit.results] == ["c.png", "a.png"]
    assert any("1 earlier photo is gone from here" in own.value for own in app.caption)
    app.button[-1].click().run()
    assert (visit.results, visit.n_gone) == ([], 0)


def test_titles_of_attributes_are_no_markup(
    make_desk: Callable[[Ledger | None], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(None)
    first, second = desk.bundle.taxonomy.attributes
    odd = Taxonomy((replace(first, title="Price $5 or $6"), replace(second, title="*S* [x](y)")))
    desk = replace(desk, bundle=replace(desk.bundle, taxonomy=odd))
    found = results.answer_photos(desk, [("a.png", RED)], first_number=0)
    app = show_visit(desk, Visit(results=found, n_taken=1, n_of_batch=1, open=0), monkeypatch)
    [why] = app.button_group
    assert why.options == [r"Price \$5 or \$6", r"\*S\* \[x\]\(y\)"]
    assert app.selectbox(key="better-0-season").label == r"\*S\* \[x\]\(y\): the right value"
    assert r"price \$5 or \$6 and \*s\*" in app.caption[0].value


def test_a_file_that_is_no_picture_has_a_sentence_and_a_row(make_desk: Callable[[Ledger | None], Desk]) -> None:
    desk = make_desk(None)
    both = results.answer_photos(desk, [("a.png", RED), ("letter.txt", b"Dear Sir")], first_number=0)
    assert [result.refusal is None for result in both] == [True, False]
    [good, bad] = csv.DictReader(io.StringIO(results.render_csv(both, desk.bundle)))
    assert (good["status"], bad["status"]) == ("success", "error")
    assert "not a picture we read" in bad["error"]


def test_a_value_under_its_threshold_stays_open_until_somebody_decides(
    make_desk: Callable[[Ledger | None], Desk], tmp_path: Path
) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        desk = make_desk(ledger)
        [result] = results.answer_photos(desk, [("dusk.png", paint_picture((60, 60, 120)))], first_number=0)
        assert set(result.open_attributes) == {"baseColour", "season"}
        results.correct(desk, result, "baseColour", "Red", "Ada")
        assert results.describe(result)["decision"] == "review"
        results.correct(desk, result, "season", "Winter", "Ada")
        assert results.describe(result)["decision"] == "auto"


@pytest.mark.parametrize(
    ("confidence", "said"),
    [
        (1.0, "100 % · sure"),
        (0.8, "80 % · sure"),
        (0.7999, "79 % · fairly sure"),
        (0.6, "60 % · fairly sure"),
        (0.5999, "59 % · unsure"),
        (0.0, "0 % · unsure"),
    ],
)
def test_a_figure_never_says_more_than_its_word(confidence: float, said: str) -> None:
    assert look.tell_confidence(confidence) == said
    assert said in look.draw_bar(confidence)


def test_the_line_for_programs_names_the_key_where_one_is_needed() -> None:
    assert results.render_curl("https://x.example", needs_key=False) == (
        "curl -F file=@photo.jpg https://x.example/predict"
    )
    assert "X-API-Key" in results.render_curl("https://x.example", needs_key=True)
