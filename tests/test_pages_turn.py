"""One photo before one reviewer, without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the extra 'ui' is not installed")

from vestiary.bundle import Bundle, open_bundle
from vestiary.ledger import Ledger, PredictionRecord, TagRecord, open_ledger
from vestiary.pages.review.turn import Turn
from vestiary.review import Queue


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle())


@pytest.fixture
def ledger(bundle: Bundle, tmp_path: Path) -> Iterator[Ledger]:
    """One photo, whose season is plain and whose colour is not."""
    tags: dict[str, TagRecord] = {
        "baseColour": {
            "value": "Blue",
            "confidence": 0.5,
            "accepted": False,
            "runners_up": [["Green", 0.497], ["Red", 0.003]],
        },
        "season": {"value": "Winter", "confidence": 0.95, "accepted": True, "runners_up": [["Summer", 0.05]]},
    }
    with open_ledger(tmp_path / "ledger.db") as opened:
        record = PredictionRecord(
            name="a.png",
            source="service",
            bundle=bundle.fingerprint,
            bundle_name=bundle.name,
            accepted=False,
            tags=tags,
            image_sha256="0" * 64,
        )
        opened.add([record])
        yield opened


@pytest.fixture
def turn(bundle: Bundle, ledger: Ledger) -> Turn:
    return begin(bundle, ledger)


def begin(bundle: Bundle, ledger: Ledger, reviewer: str = "Anna") -> Turn:
    queue = Queue(ledger, bundle, reviewer=reviewer)
    (item,) = queue.next_items()
    return Turn(queue, item)


def said(ledger: Ledger) -> dict[str, str]:
    return {one.attribute: one.value for one in ledger.verdicts()}


def test_it_begins_at_what_needs_a_look(turn: Turn) -> None:
    assert (turn.attribute, turn.value) == ("baseColour", "Blue")
    turn.move(1)
    assert turn.attribute == "season"
    turn.move(1)
    assert turn.attribute == "baseColour"
    turn.go_to("season")
    assert turn.attribute == "season"


def test_the_next_value_goes_through_the_likely_ones_and_round(turn: Turn) -> None:
    assert [value for value, _ in turn.choices] == ["Blue", "Green"], "nobody is asked about 0.3 %"
    seen = []
    for _ in range(3):
        turn.take_next()
        seen.append(turn.value)
    assert seen == ["Green", "Blue", "Green"]
    turn.choose("Red")
    turn.take_next()
    assert turn.value == "Blue", "from another value it begins with the first"


def test_accepting_says_that_all_is_right_as_it_stands(turn: Turn, ledger: Ledger) -> None:
    turn.take_next()
    assert said(ledger) == {}, "what is only tried is not said"
    turn.accept()
    assert said(ledger) == {"baseColour": "Green", "season": "Winter"}


def test_a_value_is_kept_when_the_reviewer_goes_on_and_found_after_a_reload(
    turn: Turn, bundle: Bundle, ledger: Ledger
) -> None:
    turn.choose("Red")
    turn.move(1)
    assert said(ledger) == {"baseColour": "Red"}
    again = begin(bundle, ledger)
    assert again.values == {"baseColour": "Red", "season": "Winter"}
    again.go_to("baseColour")
    again.choose("Blue")
    again.accept()
    assert said(ledger) == {"baseColour": "Blue", "season": "Winter"}


def test_skipping_says_nothing(turn: Turn, bundle: Bundle, ledger: Ledger) -> None:
    turn.take_next()
    turn.skip()
    assert said(ledger) == {}
    assert Queue(ledger, bundle, reviewer="Anna").next_items() == []
    assert begin(bundle, ledger, "Ben").item.record.name == "a.png"
