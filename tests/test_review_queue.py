"""The queue: who is given what, in which order, and what their answers do."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from reviews import make_record, make_tag
from vestiary.album import Album
from vestiary.bundle import Bundle, open_bundle
from vestiary.errors import UsageError
from vestiary.ledger import Ledger, PredictionRecord, Verdict, claims, open_ledger
from vestiary.ledger.claims import Claims, FreePage
from vestiary.review import ORDERS, Item, Queue, find_band, fit_thresholds, items
from vestiary.review.items import Order
from vestiary.review.ranking import Candidate, Rarity, rank_by_value

HEX = "0123456789abcdef"


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle())


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        yield opened


def open_queue(ledger: Ledger, bundle: Bundle, reviewer: str = "ada", **given: object) -> Queue:
    return Queue(ledger, bundle, reviewer=reviewer, **({"agreement_share": 0.0} | given))  # type: ignore[arg-type]


def names(items: list[Item]) -> list[str]:
    return [item.record.name for item in items]


def said(ledger: Ledger) -> set[tuple[str, str, str, str]]:
    """Reviewer, attribute, what the model said, what the reviewer said."""
    return {(own.reviewer, own.attribute, own.previous_value, own.value) for own in ledger.verdicts()}


def unsure(number: int, confidence: float, value: str = "Red", **fields: object) -> PredictionRecord:
    tags = {"baseColour": make_tag(value, confidence), "season": make_tag("Summer", 0.95)}
    return make_record(number, tags, **fields)


def test_only_what_is_for_review_is_given_with_its_tags(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.5), unsure(2, 0.99), unsure(3, 0.75)])
    [first, second] = open_queue(ledger, bundle).next_items(5, "uncertain")
    assert names([first, second]) == ["1.png", "3.png"]
    assert (first.open, first.band, second.band) == (("baseColour",), "review", "medium")
    assert (first.tags["baseColour"].value, first.tags["season"].accepted) == ("Red", True)
    assert first.photo() is None


def test_orders_are_by_confidence_by_time_and_by_value(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.6), unsure(2, 0.4), unsure(3, 0.5)])
    queue = open_queue(ledger, bundle)
    assert names(queue.peek(3, "uncertain")) == ["2.png", "3.png", "1.png"]
    assert names(queue.peek(3, "newest")) == ["3.png", "2.png", "1.png"]
    with pytest.raises(UsageError, match="There is no order 'best'; choose one of: value, uncertain, newest"):
        queue.peek(3, "best")  # type: ignore[arg-type]


def test_by_value_no_kind_comes_again_and_again(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(number, 0.3) for number in range(5)])
    ledger.add([unsure(10, 0.5, "Green"), unsure(11, 0.51, "Blue")])
    queue = open_queue(ledger, bundle)
    assert [item.tags["baseColour"].value for item in queue.peek(4)] == ["Red", "Green", "Blue", "Red"]
    one_by_one = [queue.next_items(n)[-1].tags["baseColour"].value for n in range(1, 4)]
    assert one_by_one == ["Red", "Green", "Blue"], "what was given before counts, too"


def test_by_value_rare_values_come_first(ledger: Ledger, bundle: Bundle) -> None:
    from dataclasses import replace

    import numpy as np

    from vestiary.drift import Sighting, fit_reference

    seen = [Sighting({"baseColour": ("Red" if n % 40 else "Blue", 0.9), "season": ("Summer", 0.9)}) for n in range(120)]
    reference = fit_reference(seen, bundle.taxonomy.values, np.arange(120))
    assert reference is not None
    ledger.add([unsure(1, 0.4, "Red"), unsure(2, 0.5, "Blue")])
    assert names(open_queue(ledger, bundle).peek(2)) == ["1.png", "2.png"]
    assert names(open_queue(ledger, replace(bundle, reference=reference)).peek(2)) == ["2.png", "1.png"]


def test_accepting_says_that_all_other_tags_are_right(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.5), unsure(2, 0.6)])
    queue = open_queue(ledger, bundle)
    [item] = queue.next_items()
    queue.correct(item, "baseColour", "Navy")
    assert said(ledger) == {("ada", "baseColour", "Red", "Blue")}, "an alias is the value it stands for"
    [again] = open_queue(ledger, bundle).next_items()
    assert (again.record.id, again.given) == (item.record.id, {"baseColour": "Blue"}), "a reload loses nothing"
    queue.accept(item)
    assert said(ledger) == {("ada", "baseColour", "Red", "Blue"), ("ada", "season", "Summer", "Summer")}
    assert names(queue.next_items(5)) == ["2.png"]
    assert names(open_queue(ledger, bundle, "bob").next_items(5)) == []
    counts = queue.progress()
    assert (counts.waiting, counts.held, counts.reviewed, counts.verdicts, counts.corrected) == (1, 1, 1, 2, 1)
    assert counts.by_reviewer == {"ada": 1}


def test_a_value_that_cannot_be_is_refused(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.5)])
    queue = open_queue(ledger, bundle)
    [item] = queue.next_items()
    with pytest.raises(UsageError, match="baseColour has no value 'Mauve'"):
        queue.correct(item, "baseColour", "Mauve")
    with pytest.raises(UsageError, match="no tag for 'size'; choose one of: baseColour, season"):
        queue.correct(item, "size", "L")
    assert not said(ledger)


def test_what_one_skips_another_is_given(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.5)])
    ada, bob = open_queue(ledger, bundle), open_queue(ledger, bundle, "bob")
    [item] = ada.next_items()
    assert bob.next_items() == []
    ada.skip(item)
    assert ada.next_items() == []
    assert names(bob.next_items()) == ["1.png"]
    assert ada.undo() is None, "it is with bob by now"
    bob.skip(item)
    undone = ada.undo()
    assert undone is not None
    assert names(ada.next_items()) == ["1.png"]


def test_undo_takes_back_one_item_after_the_other(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.4), unsure(2, 0.5), unsure(3, 0.6)])
    queue = open_queue(ledger, bundle)
    assert queue.undo() is None
    first, second, _ = queue.next_items(3, "uncertain")
    queue.accept(first)
    queue.correct(second, "baseColour", "Green")
    queue.accept(second)
    undone = open_queue(ledger, bundle).undo()
    assert undone is not None
    assert (undone.record.name, undone.given, undone.open) == ("2.png", {}, ("baseColour",))
    assert said(ledger) == {("ada", "baseColour", "Red", "Red"), ("ada", "season", "Summer", "Summer")}
    undone = queue.undo()
    assert undone is not None
    assert undone.record.name == "1.png"
    assert not said(ledger)
    assert queue.undo() is None
    assert sorted(names(queue.next_items(5))) == ["1.png", "2.png", "3.png"]


def test_undo_leaves_what_was_said_elsewhere(ledger: Ledger, bundle: Bundle) -> None:
    record = unsure(1, 0.5)
    ledger.add([record])
    before = Verdict(
        prediction_id=record.id, attribute="season", value="Winter", previous_value="Summer", reviewer="ada"
    )
    ledger.add_verdict(before)
    queue = open_queue(ledger, bundle)
    [item] = queue.next_items()
    assert item.given == {"season": "Winter"}
    queue.accept(item)
    assert said(ledger) == {("ada", "baseColour", "Red", "Red"), ("ada", "season", "Summer", "Winter")}
    queue.undo()
    assert said(ledger) == {("ada", "season", "Summer", "Winter")}


def test_what_somebody_has_answered_elsewhere_needs_no_look(ledger: Ledger, bundle: Bundle) -> None:
    record = unsure(1, 0.5)
    ledger.add([record, unsure(2, 0.6)])
    ledger.add_verdict(
        Verdict(prediction_id=record.id, attribute="baseColour", value="Red", previous_value="Red", reviewer="desk")
    )
    partly = make_record(3, {"baseColour": make_tag("Red", 0.5), "season": make_tag("Summer", 0.6)})
    ledger.add([partly])
    ledger.add_verdict(
        Verdict(prediction_id=partly.id, attribute="baseColour", value="Blue", previous_value="Red", reviewer="desk")
    )
    queue = open_queue(ledger, bundle)
    assert queue.progress().waiting == 2
    items = queue.next_items(5)
    assert {item.record.name: item.open for item in items} == {"2.png": ("baseColour",), "3.png": ("season",)}
    for item in items:
        queue.accept(item)
    assert (queue.progress().waiting, queue.progress().reviewed) == (0, 3)


def test_bands_and_attributes_choose_what_is_asked(ledger: Ledger, bundle: Bundle) -> None:
    def answer(number: int, colour: float, season: float) -> PredictionRecord:
        return make_record(number, {"baseColour": make_tag("Red", colour), "season": make_tag("Summer", season)})

    ledger.add([answer(1, 0.5, 0.99), answer(2, 0.8, 0.99), answer(3, 0.95, 0.6), answer(4, 0.95, 0.99)])
    queue = open_queue(ledger, bundle)

    def ask(**given: object) -> list[tuple[str, tuple[str, ...]]]:
        return sorted((item.record.name, item.open) for item in queue.peek(9, **given))  # type: ignore[arg-type]

    assert ask(bands=["review"]) == [("1.png", ("baseColour",)), ("3.png", ("season",))]
    assert ask(bands=["medium"]) == [("2.png", ("baseColour",))]
    assert ask(bands=["review", "medium"], attribute="baseColour") == [
        ("1.png", ("baseColour",)),
        ("2.png", ("baseColour",)),
    ]
    assert len(ask(bands=["automatic"])) == 4
    assert ask(attribute="season") == [("3.png", ("season",))]
    for given, told in (
        ({"bands": ["low"]}, "no band 'low'; choose from: review, medium, automatic"),
        ({"attribute": "size"}, "answers no 'size'; review one of: baseColour, season"),
        ({"bands": ["review"], "target_precision": 0.9}, "name one of them"),
        ({"target_precision": 1.5}, "must be between 0 and 1"),
    ):
        with pytest.raises(UsageError, match=told):
            ask(**given)
    assert [find_band(share) for share in (0.0, 0.6999, 0.70, 0.8499, 0.85, 1.0, None)] == [
        *("review", "review", "medium", "medium", "automatic", "automatic", "review")
    ]


def test_a_target_precision_moves_what_needs_no_look(ledger: Ledger, bundle: Bundle) -> None:
    shares = (0.99, 0.9, 0.8, 0.7, 0.6)
    ledger.add([unsure(number, share, bundle=bundle.fingerprint) for number, share in enumerate(shares)])
    ledger.add([unsure(9, 0.999, bundle=bundle.fingerprint, unfamiliar=True, accepted=False)])
    own = bundle.calibration
    assert fit_thresholds(ledger, bundle, own.target_precision) == own.thresholds
    assert fit_thresholds(ledger, bundle, 0.89)["baseColour"] == 0.8, "the mean of 0.99, 0.9 and 0.8 is over 0.89"
    assert fit_thresholds(ledger, bundle, 0.995) == {"baseColour": None, "season": None}
    queue = open_queue(ledger, bundle)
    asked = queue.peek(9, "uncertain", target_precision=0.89)
    assert names(asked) == ["4.png", "3.png", "9.png"], "the unfamiliar photo is always looked at"


def test_a_photo_that_was_answered_twice_is_looked_at_once(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.5, image_sha256="a" * 64), unsure(2, 0.6, image_sha256="a" * 64)])
    ada, bob = open_queue(ledger, bundle), open_queue(ledger, bundle, "bob")
    [item] = ada.next_items(5)
    assert bob.next_items(5) == []
    assert ada.progress().waiting == 1
    ada.accept(item)
    assert ada.next_items(5) == bob.next_items(5) == []
    assert ada.progress().waiting == 0, "as many as the queue still gives"


def test_a_photo_that_was_answered_twice_waits_once(ledger: Ledger, bundle: Bundle) -> None:
    for number, share in ((1, 0.4), (2, 0.5)):
        two = {"baseColour": make_tag("Red", share), "season": make_tag("Summer", 0.6)}
        ledger.add([make_record(number, two, image_sha256="a" * 64)])
    ledger.add([unsure(3, 0.7)])
    queue = open_queue(ledger, bundle)
    assert names(queue.peek(5, "newest")) == ["3.png", "2.png"]
    [item, _] = queue.peek(5, "uncertain")
    queue.correct(item, "baseColour", "Blue")
    assert queue.progress().waiting == 2
    queue.skip(item)
    assert names(open_queue(ledger, bundle, "bob").next_items(5, "uncertain")) == ["1.png", "3.png"]


def test_a_photo_answered_again_stands_where_its_first_answer_does(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.5, image_sha256="a" * 64), unsure(2, 0.5), unsure(3, 0.5, image_sha256="a" * 64)])
    assert names(open_queue(ledger, bundle).peek(5, "newest")) == ["3.png", "2.png"]


def test_undo_takes_back_what_was_said_of_a_photo_that_was_only_looked_up(ledger: Ledger, bundle: Bundle) -> None:
    ledger.add([unsure(1, 0.5)])
    queue = open_queue(ledger, bundle)
    [item] = queue.peek()
    queue.accept(item)
    assert queue.undo() is not None
    assert not said(ledger)


def test_by_value_many_are_ranked_as_a_few_are(bundle: Bundle) -> None:
    """The order is that of choosing the best of all that are left, one after the other."""
    chance = random.Random(1)
    rarity = Rarity(bundle)
    told = [
        {
            "baseColour": make_tag(chance.choice(["Red", "Green", "Blue"]), round(chance.uniform(0.2, 0.8), 1)),
            "season": make_tag(chance.choice(["Summer", "Winter"]), round(chance.uniform(0.5, 0.8), 1)),
        }
        for _ in range(60)
    ]
    left = [Candidate(make_record(number, tags), tuple(tags)) for number, tags in enumerate(told)]
    ranked = list(rank_by_value(left, rarity))
    for number, chosen in enumerate(ranked):
        seen = [own.record for own in ranked[:number]]
        assert chosen is next(rank_by_value(left, rarity, seen))
        left.remove(chosen)


@pytest.fixture
def go_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes it sixteen minutes later."""
    from vestiary.ledger import claims

    real = claims.now
    return lambda: monkeypatch.setattr(claims, "now", lambda: real() + timedelta(minutes=16))


def test_what_is_not_finished_in_time_is_given_to_others(
    ledger: Ledger, bundle: Bundle, go_late: Callable[[], None]
) -> None:
    ledger.add([unsure(1, 0.5)])
    ada, bob = open_queue(ledger, bundle), open_queue(ledger, bundle, "bob")
    [item] = ada.next_items()
    ada.correct(item, "season", "Winter")
    go_late()
    [other] = bob.next_items()
    assert other.record.id == item.record.id
    assert other.given == {}
    for say in (ada.accept, lambda item: ada.correct(item, "season", "Summer")):
        with pytest.raises(UsageError, match=r"Another reviewer was given \S+ after your 15 minutes with it"):
            say(item)
    bob.correct(other, "baseColour", "Blue")
    bob.accept(other)
    with pytest.raises(UsageError, match="what you said of it last was not kept"):
        ada.accept(item)
    assert said(ledger) == {
        ("ada", "season", "Summer", "Winter"),
        ("bob", "baseColour", "Red", "Blue"),
        ("bob", "season", "Summer", "Summer"),
    }
    assert ada.next_items() == []
    bob.accept(other)
    assert ada.progress().by_reviewer == {"bob": 1}


def test_who_is_late_with_a_photo_that_nobody_took_loses_nothing(
    ledger: Ledger, bundle: Bundle, go_late: Callable[[], None]
) -> None:
    ledger.add([unsure(1, 0.5)])
    ada, bob = open_queue(ledger, bundle), open_queue(ledger, bundle, "bob")
    [item] = ada.next_items()
    go_late()
    ada.correct(item, "baseColour", "Blue")
    assert bob.next_items() == [], "it is hers again"
    ada.accept(item)
    assert said(ledger) == {("ada", "baseColour", "Red", "Blue"), ("ada", "season", "Summer", "Summer")}


def test_who_is_late_with_a_photo_for_two_is_the_second(
    ledger: Ledger, bundle: Bundle, go_late: Callable[[], None]
) -> None:
    ledger.add([unsure(1, 0.5)])
    ada, bob, cem = (open_queue(ledger, bundle, name, agreement_share=1) for name in ("ada", "bob", "cem"))
    [item] = ada.next_items()
    go_late()
    for other in (bob, cem):
        with_other = other.next_items()
        assert names(with_other) == ["1.png"]
        if other is bob:
            bob.accept(*with_other)
    with pytest.raises(UsageError, match="Another reviewer"):
        ada.accept(item)
    cem.skip(item)
    ada.accept(item)
    assert {own[0] for own in said(ledger)} == {"ada", "bob"}


def test_a_share_is_seen_by_two_and_no_more(ledger: Ledger, bundle: Bundle) -> None:
    ids = [f"{number:031x}{digit}" for number, digit in enumerate(HEX)]
    ledger.add([unsure(number, 0.5, id=own[:-3] + own[-1] + "00") for number, own in enumerate(ids)])
    reviewed: dict[str, list[str]] = {}
    for reviewer in ("ada", "bob", "cem"):
        queue = open_queue(ledger, bundle, reviewer, agreement_share=0.25)
        for item in queue.next_items(99):
            reviewed.setdefault(item.record.name, []).append(reviewer)
            queue.accept(item)
    assert sorted(len(people) for people in reviewed.values()) == [1] * 12 + [2] * 4
    assert open_queue(ledger, bundle, "dee", agreement_share=0.25).next_items(99) == []


def test_nobody_is_given_what_another_has(ledger: Ledger, bundle: Bundle, ledger_url: str) -> None:
    """Four reviewers at once, each with a connection of their own, as processes have."""
    ledger.add([unsure(number, 0.5, image_sha256=f"{number % 45:064x}") for number in range(60)])
    gate = threading.Barrier(4)

    def review(reviewer: str) -> list[str]:
        with open_ledger(ledger_url) as own:
            queue = open_queue(own, bundle, reviewer)
            gate.wait()
            mine: list[str] = []
            while items := queue.next_items(2):
                for item in items:
                    mine.append(str(item.record.image_sha256))
                    queue.accept(item)
            return mine

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(review, ("ada", "bob", "cem", "dee")))
    together = [one for mine in given for one in mine]
    assert len(together) == len(set(together)) == 45, "photos, of which some were answered twice"
    assert len(list(ledger.verdicts())) == 90


REVIEW = """
import sys
from vestiary.bundle import open_bundle
from vestiary.ledger import open_ledger
from vestiary.review import Queue

place, bundle, reviewer = sys.argv[1:]
with open_ledger(place) as ledger:
    queue = Queue(ledger, open_bundle(bundle), reviewer=reviewer, agreement_share=0)
    print("ready", flush=True)
    sys.stdin.readline()
    while items := queue.next_items(3, "uncertain"):
        for item in items:
            print(item.record.id)
            queue.accept(item)
"""
"""A reviewer in a process of their own, who begins when told."""


def test_two_processes_share_the_work(ledger: Ledger, ledger_url: str, make_bundle: Callable[..., Path]) -> None:
    ledger.add([unsure(number, 0.5) for number in range(40)])
    words = [sys.executable, "-c", REVIEW, ledger_url, str(make_bundle())]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    people = [subprocess.Popen([*words, name], **pipes) for name in ("ada", "bob")]  # type: ignore[call-overload]
    for one in people:
        assert one.stdout.readline() == "ready\n"
    for one in people:
        one.stdin.write("go\n")
        one.stdin.flush()
    given = [one.communicate(timeout=120)[0].split() for one in people]
    assert [one.returncode for one in people] == [0, 0]
    assert sorted([*given[0], *given[1]]) == sorted(record.id for record in ledger.predictions())


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_claimed_moves_nothing_past_the_next_page(
    ledger: Ledger, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    monkeypatch.setattr(items, "PAGE", 6)
    monkeypatch.setattr(items, "POOL", 6)
    asked = ["0.png", "6.png", "12.png", "19.png"]
    for number in range(20):
        name = "baseColour" if f"{number}.png" in asked else "season"
        ledger.add([make_record(number, {name: make_tag("Red", 0.3 + number / 100)})])
    queue = open_queue(ledger, bundle)
    assert sorted(names(queue.peek(4, order, attribute="baseColour"))) == sorted(asked)
    assert sorted(names(queue.next_items(4, order, attribute="baseColour"))) == sorted(asked)


def test_photos_that_others_are_faster_to_claim_make_way_for_the_next(
    ledger: Ledger, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add([unsure(number, 0.5) for number in range(20)])
    take, bob = Claims.take, Claims(ledger, "bob")

    def take_behind_bob(claims: Claims, records: list[PredictionRecord], n: int) -> list[PredictionRecord]:
        take(bob, records, 5)
        return take(claims, records, n)

    monkeypatch.setattr(Claims, "take", take_behind_bob)
    assert len(open_queue(ledger, bundle).next_items(3)) == 3


def test_a_photo_of_two_pages_is_offered_once(ledger: Ledger, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "PAGE", 2)
    ledger.add([unsure(number, 0.05 * number, data=b"the same") for number in (1, 10)])
    ledger.add([make_record(number, {"season": make_tag("Summer", 0.05 * number)}) for number in range(2, 10)])
    queue = open_queue(ledger, bundle)
    assert names(queue.peek(2, "uncertain", attribute="baseColour")) == ["1.png"]
    assert names(queue.next_items(2, "uncertain", attribute="baseColour")) == ["1.png"]


def test_a_search_for_what_few_photos_have_reads_ever_larger_pages(
    ledger: Ledger, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "PAGE", 3)
    monkeypatch.setattr(items, "MAX_PAGE", 40)
    ledger.add([make_record(number, {"season": make_tag("Summer", 0.5)}) for number in range(100)])
    read, limits = Claims.find_free, []

    def find_and_count(claims: Claims, *given: object, offset: int, limit: int) -> FreePage:
        limits.append(limit)
        return read(claims, *given, offset=offset, limit=limit)  # type: ignore[arg-type]

    monkeypatch.setattr(Claims, "find_free", find_and_count)
    assert open_queue(ledger, bundle).next_items(1, "uncertain", attribute="baseColour") == []
    assert limits == [3, 6, 12, 24, 40, 40]


def test_a_database_is_asked_for_no_more_at_a_time_than_it_takes(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "MAX_PAGE", 80)
    monkeypatch.setattr(items, "TAKEN_AT_ONCE", 20)
    monkeypatch.setattr(claims, "BLOCK", 50)
    with open_ledger(tmp_path / "ledger.db") as opened:
        for start in range(0, 200, 4):
            opened.add([unsure(number, 0.5) for number in range(start, start + 4)])
        event.listen(opened.engine, "checkout", lambda raw, *_: raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 100))
        queue = open_queue(opened, bundle)
        assert (len(queue.peek(150)), len(queue.next_items(150))) == (150, 150)


def test_a_reviewer_has_a_name(ledger: Ledger, bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="A review needs a reviewer; give a name"):
        open_queue(ledger, bundle, " ")
    with pytest.raises(UsageError, match="must be from 0 to 1"):
        open_queue(ledger, bundle, agreement_share=2)


def test_the_photo_comes_from_the_album(ledger: Ledger, bundle: Bundle, tmp_path: Path) -> None:
    album = Album(tmp_path / "album")
    record = make_record(1, data=b"photo")
    ledger.add([record])
    [item] = open_queue(ledger, bundle, album=album).next_items()
    assert item.photo() is None
    album.keep(str(record.image_sha256), b"photo")
    assert item.photo() == b"photo"
