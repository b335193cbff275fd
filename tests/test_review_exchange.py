"""What goes out of the review and what comes in: agreement, corrections, Label Studio, the verbs."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import Vestiary, paint_picture
from reviews import START, make_record, make_tag
from vestiary.album import Album
from vestiary.bundle import Bundle, open_bundle
from vestiary.errors import UsageError
from vestiary.ledger import Ledger, Verdict, open_ledger
from vestiary.review import (
    Queue,
    export_corrections,
    find_kappa,
    measure_agreement,
    read_annotations,
    write_tasks,
)

RED = paint_picture((250, 5, 5))


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle())


@pytest.fixture
def place(ledger_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of this test's own is the default of the verbs."""
    monkeypatch.setenv("VESTIARY_LEDGER_URL", str(tmp_path / "ledger.db"))
    monkeypatch.delenv("VESTIARY_KEEP_PICTURES", raising=False)
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(place: Path) -> Iterator[Ledger]:
    with open_ledger(place) as opened:
        yield opened


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path / "album")


def say(
    ledger: Ledger, prediction: str, reviewer: str, value: str, attribute: str = "baseColour", day: int = 0
) -> None:
    ledger.add_verdict(
        Verdict(
            prediction_id=prediction,
            attribute=attribute,
            value=value,
            previous_value="Red",
            reviewer=reviewer,
            at=START + timedelta(days=day),
        )
    )


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "corrections.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_kappa_is_that_of_the_textbook() -> None:
    # Cohen's measure on 50 answers, 20 + 15 of them equal: p = 0.7, e = 0.5, so 0.4.
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert find_kappa(pairs) == pytest.approx(0.4)
    assert find_kappa([("a", "b"), ("b", "a")]) == pytest.approx(-1)
    assert find_kappa([("a", "a")] * 3) is None


def test_agreement_is_over_all_pairs_who_saw_the_same_photo(ledger: Ledger) -> None:
    twice = make_record(1, id="p1b", image_sha256="a" * 64)
    ledger.add(
        [make_record(1, id="p1", image_sha256="a" * 64), twice, *(make_record(n, id=f"p{n}") for n in (2, 3, 4))]
    )
    for prediction, reviewer, value in (
        *(("p1", "ada", "Red"), ("p1b", "bob", "Red")),
        *(("p2", "ada", "Blue"), ("p2", "bob", "Blue")),
        *(("p3", "ada", "Blue"), ("p3", "bob", "Red"), ("p3", "cem", "Red")),
        ("p4", "ada", "Red"),
    ):
        say(ledger, prediction, reviewer, value)
    say(ledger, "p4", "bob", "Winter", "season", day=5)
    say(ledger, "p4", "ada", "Winter", "season", day=5)
    colour, season = measure_agreement(ledger)
    assert (colour.attribute, colour.n) == ("baseColour", 5)
    assert colour.share == pytest.approx(3 / 5)
    assert colour.kappa == pytest.approx(0.3), (
        "0.4 for ada and bob on three, 0 for ada and cem on one, none for the third"
    )
    assert (season.share, season.kappa) == (1.0, None)
    assert [own.attribute for own in measure_agreement(ledger, START + timedelta(days=1))] == ["season"]


def test_corrections_are_what_most_people_say_with_the_photo(ledger: Ledger, album: Album, tmp_path: Path) -> None:
    ledger.add(
        [make_record(1, id="p1", data=RED, name="a\udcff.png"), make_record(2, id="p2"), make_record(3, id="p3")]
    )
    album.keep(hashlib.sha256(RED).hexdigest(), RED)
    say(ledger, "p1", "ada", "Blue")
    say(ledger, "p1", "bob", "Green")
    say(ledger, "p1", "cem", "Blue", day=1)
    say(ledger, "p2", "ada", "Red")
    say(ledger, "p3", "ada", "Red")
    say(ledger, "p3", "bob", "Blue")
    out = tmp_path / "out"
    told = export_corrections(ledger, out, album)
    assert (told.labels, told.corrected, told.photos, told.without_picture, told.disagreed) == (2, 1, 2, 1, 1)
    first, second = read_table(out)
    assert (first["value"], first["previous_value"], first["reviewer"]) == ("Blue", "Red", "cem")
    assert (first["name"], first["product_id"]) == ("a\\udcff.png", "")
    assert (out / first["picture"]).read_bytes() == RED
    assert first["picture"] == f"pictures/{hashlib.sha256(RED).hexdigest()}.png"
    assert (second["picture"], second["image_sha256"]) == ("", make_record(2).image_sha256)
    with pytest.raises(UsageError, match="holds corrections already; name another folder, or allow it"):
        export_corrections(ledger, out, album)
    say(ledger, "p3", "cem", "Blue")
    assert export_corrections(ledger, out, album, overwrite=True).labels == 3
    later = tmp_path / "later"
    assert export_corrections(ledger, later, album, since=START + timedelta(hours=1)).labels == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="holds something else than corrections"):
        export_corrections(ledger, tmp_path / "other", album, overwrite=True)


def test_an_export_that_was_broken_off_is_gone_on_with(ledger: Ledger, album: Album, tmp_path: Path) -> None:
    ledger.add([make_record(1, id="p1", data=RED), make_record(2, id="p2")])
    album.keep(hashlib.sha256(RED).hexdigest(), RED)
    for prediction in ("p1", "p2"):
        say(ledger, prediction, "ada", "Blue")

    def break_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_corrections(ledger, tmp_path / "out", album, progress=break_off)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pictures"]
    assert export_corrections(ledger, tmp_path / "out", album).labels == 2
    assert len(read_table(tmp_path / "out")) == 2


def test_tasks_for_label_studio_hold_photo_and_answers(
    ledger: Ledger, bundle: Bundle, album: Album, tmp_path: Path
) -> None:
    album.keep(hashlib.sha256(RED).hexdigest(), RED)
    ledger.add([make_record(1, id="p1", data=RED), make_record(2)])
    items = Queue(ledger, bundle, reviewer="export", album=album).peek(9)
    assert write_tasks(items, bundle, tmp_path / "out") == 1
    [task] = json.loads((tmp_path / "out" / "tasks.json").read_text())
    kind, data = task["data"]["image"].split(",")
    assert (kind, base64.b64decode(data)) == ("data:image/png;base64", RED)
    [prediction] = task["predictions"]
    page = ElementTree.fromstring((tmp_path / "out" / "labels.xml").read_text())
    choices = {own.attrib["name"]: [one.attrib["value"] for one in own] for own in page.iter("Choices")}
    assert choices == {name: list(values) for name, values in bundle.taxonomy.values.items()}
    for result in prediction["result"]:
        assert result["to_name"] == page[0].attrib["name"] == "image"
        assert result["value"]["choices"][0] in choices[result["from_name"]]
    assert [own["value"]["choices"] for own in prediction["result"]] == [["Red"], ["Summer"]]
    write_tasks(items, bundle, tmp_path / "files", images_at="/data/local-files/?d=shop/")
    [task] = json.loads((tmp_path / "files" / "tasks.json").read_text())
    assert task["data"]["image"].startswith("/data/local-files/?d=shop/pictures/")
    assert (tmp_path / "files" / task["data"]["image"].partition("shop/")[2]).read_bytes() == RED
    with pytest.raises(UsageError, match="is there already; name another folder"):
        write_tasks(items, bundle, tmp_path / "files")


def annotate(prediction: str, value: str, who: object = 7, **fields: object) -> dict[str, object]:
    result = {"from_name": "baseColour", "to_name": "image", "type": "choices", "value": {"choices": [value]}}
    annotation = {"completed_by": who, "result": [result], "updated_at": "2026-03-02T10:00:00.5Z"} | fields
    return {"id": 1, "data": {"prediction_id": prediction, "image": "x"}, "annotations": [annotation]}


def test_annotations_become_verdicts_once(ledger: Ledger, bundle: Bundle, tmp_path: Path) -> None:
    ledger.add([make_record(n, id=f"p{n}") for n in range(4)])
    file = tmp_path / "export.json"
    tasks = [
        annotate("p0", "Navy", {"id": 3, "email": "ada@shop.example"}),
        annotate("p1", "Red"),
        annotate("p2", "Mauve"),
        annotate("p3", "Red", was_cancelled=True),
        annotate("gone", "Red"),
    ]
    file.write_text(json.dumps(tasks))
    for _ in range(2):
        told = read_annotations(ledger, bundle, file)
        assert (told.tasks, told.verdicts, told.unanswered, told.unknown_photos, told.unusable) == (5, 2, 1, 1, 1)
        assert {(own.prediction_id, own.reviewer, own.value, own.previous_value) for own in ledger.verdicts()} == {
            ("p0", "ada@shop.example", "Blue", "Red"),
            ("p1", "label-studio:7", "Red", "Red"),
        }
    assert {own.at.isoformat() for own in ledger.verdicts()} == {"2026-03-02T10:00:00.500000+00:00"}
    waiting = Queue(ledger, bundle, reviewer="bob", agreement_share=0).next_items(9)
    assert sorted(item.record.id for item in waiting) == ["p2", "p3"]


def test_an_older_annotation_does_not_replace_what_the_same_person_said_since(
    ledger: Ledger, bundle: Bundle, tmp_path: Path
) -> None:
    ledger.add([make_record(1, id="p1"), make_record(2, id="p2")])
    file, who = tmp_path / "export.json", {"email": "ada@shop.example"}
    file.write_text(json.dumps([annotate("p1", "Blue", who), annotate("p2", "Blue", who)]))
    read_annotations(ledger, bundle, file)
    say(ledger, "p1", "ada@shop.example", "Green", day=2)
    file.write_text(
        json.dumps([annotate("p1", "Blue", who), annotate("p2", "Red", who, updated_at="2026-03-05T10:00Z")])
    )
    read_annotations(ledger, bundle, file)
    assert {own.prediction_id: own.value for own in ledger.verdicts()} == {"p1": "Green", "p2": "Red"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("<xml/>", "is not JSON; export it from Label Studio as JSON"),
        ('[{"image": "x", "baseColour": "Red"}]', "not as JSON-MIN"),
        ('{"a": 1}', "not as JSON-MIN"),
        ('[{"data": {}, "annotations": 5}]', "not as JSON-MIN"),
        ('[{"data": {}, "annotations": [1]}]', "not as JSON-MIN"),
        ('[{"data": {}, "annotations": [{"result": [1]}]}]', "not as JSON-MIN"),
    ],
)
def test_a_file_of_something_else_is_refused(
    text: str | None, told: str, place: Path, vestiary: Vestiary, tmp_path: Path
) -> None:
    file = tmp_path / "export.json"
    if text is not None:
        file.write_text(text)
    done = vestiary("review", "import", file)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert told in done.err


def test_the_verbs_tell_what_waits_and_what_was_said(
    ledger: Ledger, make_bundle: Callable[..., Path], album: Album, tmp_path: Path, vestiary: Vestiary
) -> None:
    folder = make_bundle()
    assert "Nothing waits for review." in vestiary("review", "list", "--bundle", folder).out
    album.keep(hashlib.sha256(RED).hexdigest(), RED)
    ledger.add([make_record(1, id="p1", data=RED), make_record(2, {"baseColour": make_tag("Red", 0.99)})])
    listed = vestiary("review", "list", "--bundle", folder)
    assert "1.png" in listed.out and "baseColour Red 50 %" in listed.out and "2.png" not in listed.out
    [row] = json.loads(vestiary("review", "list", "--bundle", folder, "--band", "review", "--json").out)
    assert (row["prediction_id"], row["band"], row["open"]) == ("p1", "review", {"baseColour": ["Red", 0.5]})
    assert json.loads(vestiary("review", "progress", "--json").out)["waiting"] == 1
    say(ledger, "p1", "ada", "Blue")
    say(ledger, "p1", "bob", "Blue")
    assert "1 reviewed." in vestiary("review", "progress").out
    assert "Tags that people looked at: 2, of which 2 were wrong." in vestiary("review", "progress").out
    assert "baseColour: 100.0 % of 1 pair of answers equal, no kappa" in vestiary("review", "agreement").out
    assert json.loads(vestiary("review", "agreement", "--since", "1d", "--json").out) == []
    assert "looked at by two people" in vestiary("review", "agreement", "--since", "1d").out
    done = vestiary("review", "export", tmp_path / "out", "--album", album.folder)
    assert "1 label on 1 photo written to" in done.out
    assert read_table(tmp_path / "out")[0]["picture"]
    tasks = ("review", "export", tmp_path / "tasks", "--label-studio", "--bundle", folder, "--album", album.folder)
    assert json.loads(vestiary(*tasks, "--json").out) == {"tasks": 0, "without_picture": 0}
    for words, told in (
        (("list", "--order", "best"), "There is no order 'best'; choose one of: value, uncertain, newest."),
        (("export", tmp_path / "x", "--band", "review"), "choose tasks; add --label-studio"),
        (("export", tmp_path / "x", "--label-studio", "--since", "1d"), "are about corrections; leave them out"),
        (("agreement", "--since", "soon"), "--since is 'soon'"),
    ):
        refused = vestiary("review", *words)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert told in refused.err


def test_a_name_from_outside_is_shown_as_it_is(
    ledger: Ledger, make_bundle: Callable[..., Path], vestiary: Vestiary
) -> None:
    """Who sends a photo chooses its name; it must neither break the list nor steer the terminal."""
    ledger.add([make_record(1, name="[/red] \x1b[2J \udcff é")])
    listed = vestiary("review", "list", "--bundle", make_bundle())
    assert listed.code == 0, listed.err
    assert "[/red] \\x1b[2J \\udcff é" in listed.out


def test_odd_answers_are_unusable_and_odd_names_are_told(
    ledger: Ledger, make_bundle: Callable[..., Path], tmp_path: Path, vestiary: Vestiary
) -> None:
    """None of them ends in a fault, now or when it is exported."""
    ledger.add([make_record(1, id="p1")])
    values = ({"choices": ["Blue"]}, {"choices": "Blue"}, {"choices": []}, ["Blue"], None)
    result = [{"type": "choices", "from_name": "baseColour", "value": value} for value in values]
    annotation = {"completed_by": {"email": "a@b\ud800\x1b"}, "result": result}
    file = tmp_path / "export.json"
    file.write_text(json.dumps([{"data": {"prediction_id": "p1"}, "annotations": [annotation]}]))
    done = vestiary("review", "import", file, "--bundle", make_bundle(), "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["verdicts"], told["unusable"]) == (1, 4)
    assert "      1  a@b?\\x1b" in vestiary("review", "progress").out
    ledger.add_verdict(
        Verdict(prediction_id="p1", attribute="season", value="Summer", previous_value="Summer", reviewer="\ud800")
    )
    assert vestiary("review", "export", tmp_path / "out").code == 0
    assert {row["reviewer"] for row in read_table(tmp_path / "out")} == {"a@b?\x1b", "\\ud800"}
