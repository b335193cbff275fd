"""The pages Batch and Review in their states, run as Streamlit runs them but without a browser."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

from batches import paint_folder
from conftest import paint_picture, run_overlapping
from reviews import make_record, make_tag
from vestiary.album import Album
from vestiary.batch import run_batch
from vestiary.bundle import open_bundle
from vestiary.ledger import Job, now, open_ledger, prune
from vestiary.pages.batch.jobs import Jobs, Standing
from vestiary.pages.batch.page import tell_progress
from vestiary.pages.batch.rows import DECISIONS, count_decisions, read_rows
from vestiary.pages.desk import Desk, set_desk
from vestiary.pages.look import keep_plain
from vestiary.pages.review import keys, page
from vestiary.pages.review.turn import Turn
from vestiary.predictor import Predictor
from vestiary.review import Queue
from vestiary.taxonomy import Taxonomy

testing = pytest.importorskip("streamlit.testing.v1", reason="the extra 'ui' is not installed")


def no_answer(pictures: object) -> list[object]:
    raise AssertionError("these pages ask the service nothing")


@pytest.fixture
def desk(make_bundle: Callable[..., Path], tmp_path: Path) -> Iterator[Desk]:
    import streamlit

    bundle = open_bundle(make_bundle())
    with open_ledger(tmp_path / "ledger.db") as ledger:
        made = Desk(
            bundle=bundle,
            predictor=Predictor(bundle),
            answer=no_answer,  # type: ignore[arg-type]
            ledger=ledger,
            jobs=tmp_path / "jobs",
        )
        set_desk(made)
        yield made
    streamlit.cache_resource.clear()
    streamlit.cache_data.clear()


def run(page: str) -> testing.AppTest:
    shown = testing.AppTest.from_string(f"from vestiary.pages.{page} import show\nshow()", default_timeout=30).run()
    assert not shown.exception
    return shown


def text(shown: testing.AppTest) -> str:
    """All that the page says."""
    told = [*shown.markdown, *shown.caption, *shown.error, *shown.warning]
    return "\n".join([own.value for own in told] + [own.proto.body for own in shown.get("html")])


def answer(desk: Desk, tmp_path: Path, names: list[str]) -> str:
    """Run a batch of so many photos, one that is unsure and one that is none; the id of the job."""
    folder = paint_folder(tmp_path / "photos", names)
    (folder / "unsure.png").write_bytes(paint_picture((62, 60, 122)))
    (folder / "broken.png").write_bytes(b"no photo")
    assert desk.ledger is not None
    run_batch(str(folder), tmp_path / "out", bundle=desk.bundle, ledger=desk.ledger, sleep=lambda seconds: None)
    return next(desk.ledger.jobs(kind="batch")).id


@pytest.mark.parametrize("page", ["batch", "review"])
def test_without_a_ledger_a_page_says_what_is_missing(desk: Desk, page: str) -> None:
    set_desk(replace(desk, ledger=None))
    assert "VESTIARY_LEDGER_URL" in text(run(page))


def test_an_empty_ledger_is_no_error(desk: Desk) -> None:
    assert "No batch yet" in text(run("batch"))
    review = run("review")
    assert "Write your name first" in text(review)
    review.text_input[0].input("Anna").run()
    assert "Nothing waits for a look" in text(review)


def test_nothing_can_be_begun_before_photos_are_there(desk: Desk) -> None:
    paint_folder(desk.jobs / "inbox" / "march", ["a.png"])
    shown = run("batch")
    assert shown.button(key="batch_start").disabled
    shown.selectbox(key="batch_inbox").select("march").run()
    assert not shown.button(key="batch_start").disabled


def test_a_batch_of_the_command_line_is_shown_counted_and_filtered(desk: Desk, tmp_path: Path) -> None:
    answer(desk, tmp_path, ["a.png", "b.png", "c.png"])
    shown = run("batch")
    assert [own.value for own in shown.metric] == ["5", "3", "1", "1"]
    assert shown.selectbox(key="batch_chosen").value is not None
    shown.text_input(key="batch_words").input("unsure").run()
    assert "1 of 5 photos." in text(shown)
    shown.text_input(key="batch_words").input("nonsense").run()
    assert "No photo is like that" in text(shown)


def test_the_plain_table_says_everything_in_words_and_takes_corrections(desk: Desk, tmp_path: Path) -> None:
    answer(desk, tmp_path, ["a.png", "<b>.png"])
    shown = run("batch")
    shown.toggle(key="batch_plain").set_value(True).run()
    (table,) = [own.proto.body for own in shown.get("html") if "<table>" in own.proto.body]
    assert not shown.dataframe
    assert '<th scope="col">Base colour</th>' in table
    assert '<th scope="row">&lt;b&gt;.png</th><td>sure</td>' in table
    assert table.count('alt="The photo ') == 3 and 'alt="The photo &lt;b&gt;.png"' in table
    assert "% · " in table and '<td>not answered</td><td colspan="3">' in table
    assert desk.ledger is not None
    ids = {own.name: own.id for own in desk.ledger.predictions()}
    shown.pills(key="batch_decisions").set_value(["sure"]).run()
    shown.selectbox(key=f"batch_plain_value_{ids['<b>.png']}_baseColour").select("Green").run()
    shown.button(key="batch_plain_save").click().run()
    assert "A correction needs a name" in text(shown)
    shown.text_input(key="batch_reviewer_field").input("Anna").run()
    shown.button(key="batch_plain_save").click().run()
    assert [(own.reviewer, own.value) for own in desk.ledger.verdicts()] == [("Anna", "Green")]
    assert "<td>Green (corrected)</td>" in text(shown)
    shown.selectbox(key="batch_plain_photo").select_index(1).run()
    assert shown.selectbox(key=f"batch_plain_value_{ids['a.png']}_baseColour").value is None
    assert shown.button(key="batch_plain_save").disabled, "the value was meant for the photo before"


def test_a_batch_of_many_photos_is_shown_a_page_at_a_time(desk: Desk, tmp_path: Path) -> None:
    from vestiary.pages.batch import table

    answer(desk, tmp_path, [f"{n}.png" for n in range(10)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "PAGE", 2)
        shown = run("batch")
        assert "1–2 of 12 photos" in text(shown)
        shown.button(key="batch_page-Next").click().run()
        assert "3–4 of 12 photos" in text(shown)
        shown.number_input(key="batch_page-number").set_value(6).run()
        assert "11–12 of 12 photos" in text(shown)
        assert shown.button(key="batch_page-Next").disabled
        shown.selectbox(key="batch_order").select("Surest first").run()
        assert "1–2 of 12 photos" in text(shown), "another order begins at its beginning"
        shown.text_input(key="batch_words").input("1").run()
        assert "1 of 12 photos." in text(shown), "what is chosen since has fewer pages"


def test_a_name_that_is_no_utf8_is_shown_with_a_mark(desk: Desk, tmp_path: Path) -> None:
    answer(desk, tmp_path, ["h\udcfct.png"])
    assert desk.ledger is not None
    shown = run("batch")
    assert "h\N{REPLACEMENT CHARACTER}t.png" in list(shown.dataframe[0].value["name"])


def test_a_broken_off_batch_says_how_to_go_on(desk: Desk, tmp_path: Path) -> None:
    answer(desk, tmp_path, ["a.png"])
    assert desk.ledger is not None
    (job,) = desk.ledger.jobs()
    desk.ledger.change_job(job.id, state="stopped", n_total=9)
    shown = run("batch")
    assert "was stopped with 6 photos still to do" in text(shown)
    assert "run the same command again" in text(shown)
    desk.ledger.change_job(job.id, out=str(desk.jobs / "batches" / job.id / "out"))
    assert "Its photos were removed from the server" in text(run("batch"))


def test_a_ledger_that_went_away_is_told_and_nothing_else_breaks(desk: Desk) -> None:
    assert desk.ledger is not None
    file = Path(desk.ledger.place)
    desk.ledger.close()
    file.write_bytes(b"something else" * 100)
    assert "ledger" in text(run("batch"))


def test_review_shows_what_the_model_was_not_sure_of(desk: Desk, tmp_path: Path) -> None:
    answer(desk, tmp_path, ["a.png", "b.png"])
    shown = run("review")
    shown.text_input[0].input("Anna").run()
    assert "unsure.png" in text(shown)
    assert "data:image/jpeg;base64," in text(shown), "the photo is there"
    shown.button(key="review_next").click().run()
    next(own for own in shown.button if own.label.startswith("Accept")).click().run()
    assert "Nothing waits for a look" in text(shown)
    assert desk.ledger is not None
    assert {one.reviewer for one in desk.ledger.verdicts()} == {"Anna"}
    shown.button(key="review_undo").click().run()
    assert "unsure.png" in text(shown)
    assert not list(desk.ledger.verdicts())


def test_a_name_from_outside_is_shown_as_it_is(desk: Desk) -> None:
    """Who sends a photo chooses its name: nothing of it is drawn, and none keeps the page from showing."""
    name = "![a](https://elsewhere.example/x.png) <b> \udcff.png"
    assert desk.ledger is not None
    desk.ledger.add([make_record(1, name=name, data=b"a"), make_record(2, name=name, data=paint_picture((9, 9, 9)))])
    album = Album(Path(desk.ledger.place).with_name("album"))
    album.keep(hashlib.sha256(paint_picture((9, 9, 9))).hexdigest(), paint_picture((9, 9, 9)))
    set_desk(replace(desk, album=album))
    shown = run("review")
    shown.text_input[0].input("*Anna*").run()
    for _ in range(2):
        assert not shown.exception
        assert "![a](https://elsewhere.example/x.png) &lt;b&gt; \N{REPLACEMENT CHARACTER}.png" in text(shown)
        assert "![a]" not in "".join(own.value for own in [*shown.markdown, *shown.caption])
        next(own for own in shown.button if own.label.startswith("Accept")).click().run()
    assert r"Finished by \*Anna\*: 2." in text(shown)


def test_a_photo_that_is_pruned_under_the_reviewers_eyes_is_let_go(desk: Desk, tmp_path: Path) -> None:
    answer(desk, tmp_path, ["a.png", "b.png"])
    shown = run("review")
    shown.text_input[0].input("Anna").run()
    assert desk.ledger is not None
    prune(desk.ledger, now() + timedelta(minutes=1))
    next(own for own in shown.button if own.label.startswith("Accept")).click().run()
    assert "holds no prediction" in text(shown)
    assert "Nothing waits for a look" in text(shown)


def test_who_comes_back_late_is_told_and_shown_the_next_photo(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from vestiary.ledger import claims

    assert desk.ledger is not None
    one_look = "f" * 32  # of those that one reviewer looks at
    desk.ledger.add([make_record(n, id=f"{n}{one_look[1:]}", data=bytes([n])) for n in range(1, 6)])
    shown = run("review")
    shown.text_input[0].input("Anna").run()
    real = claims.now
    monkeypatch.setattr(claims, "now", lambda: real() + timedelta(minutes=16))
    (first, *_), ben = shown.session_state["review_sitting"].items, Queue(desk.ledger, desk.bundle, reviewer="Ben")
    record = shown.session_state["review_sitting"].turn.item.record
    seen = record.id
    theirs = {own.record.id for own in ben.next_items(4)}
    assert theirs >= {seen, first.record.id}
    next(own for own in shown.button if own.label.startswith("Accept")).click().run()
    assert f"Another reviewer was given {keep_plain(record.name)} after" in text(shown), (
        "which is not the photo that is shown now"
    )
    assert not list(desk.ledger.verdicts())
    assert shown.session_state["review_sitting"].turn.item.record.id not in theirs
    next(own for own in shown.button if own.label.startswith("Accept")).click().run()
    assert "Another reviewer" not in text(shown)
    assert list(desk.ledger.verdicts())


def test_each_key_is_heard_once_also_when_its_run_is_broken_off() -> None:
    """As Streamlit breaks a run off for a newer one: half of what was pressed is heard by then."""
    app = """
        import streamlit as st
        from vestiary.pages.review.keys import hear

        def press(photo, key):
            st.session_state.pressed.append((photo, key))
            if key == "n":
                st.rerun()

        st.session_state.setdefault("pressed", [])
        hear(press, key="keys")
    """
    shown = testing.AppTest.from_string(dedent(app)).run()
    visit = shown.session_state["keys_heard"].visit
    log = [[1, visit, "p", "2"], [2, visit, "p", "n"], [3, "another visit", "p", "u"], [4, visit, "q", "a"]]
    shown.session_state["keys"] = {"log": log}
    assert shown.run().session_state["pressed"] == [("p", "2"), ("p", "n"), ("q", "a")]
    shown.session_state["keys"] = {"log": [*log, [5, visit, "q", "s"]]}
    assert shown.run().session_state["pressed"] == [("p", "2"), ("p", "n"), ("q", "a"), ("q", "s")]
    assert not shown.exception


def test_keys_of_two_runs_that_overlap_are_pressed_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Streamlit begins a newer run before the one that it breaks off has ended."""
    state: dict[str, Any] = {}
    monkeypatch.setattr(keys, "st", SimpleNamespace(session_state=state))
    began, may_end, pressed = threading.Event(), threading.Event(), []

    def press(photo: str, key: str) -> None:
        if key == "2":
            began.set()
            may_end.wait(60)
        pressed.append(key)

    keys.hear(press, key="keys")
    state["keys"] = {"log": [[number, state["keys_heard"].visit, "p", key] for number, key in ((1, "2"), (2, "a"))]}
    run_overlapping(partial(keys.hear, press, key="keys"), partial(keys.hear, press, key="keys"), began, may_end)
    assert pressed == ["2", "a"]


def test_what_a_key_does_touches_nothing_where_streamlit_would_break_it_off(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.ledger is not None
    desk.ledger.add([make_record(n, id=f"{n}{31 * 'f'}", data=bytes([n])) for n in (1, 2)])
    queue = Queue(desk.ledger, desk.bundle, reviewer="Ada")
    first, second = queue.next_items(2)
    sitting = page.Sitting(items=[second], turn=Turn(queue, first))
    monkeypatch.setattr(page, "st", None)
    for key in ("n", "2", "ArrowDown", "ArrowUp", "a"):
        page._press(sitting, queue, first.record.id, key)
    assert sitting.turn is None
    assert {verdict.prediction_id for verdict in desk.ledger.verdicts()} == {first.record.id}
    page._press(sitting, queue, "", "u")
    assert sitting.turn is not None
    assert (sitting.turn.item.record.id, sitting.items, sitting.problem) == (first.record.id, [second], "")
    page._press(sitting, queue, "", "u")
    assert sitting.had_none_to_undo


def test_titles_and_values_are_no_markup(desk: Desk) -> None:
    colour, season = desk.bundle.taxonomy.attributes
    sizes = ("$5 or $6", "*S*", "[x](y)")
    odd = Taxonomy((replace(colour, values=sizes, aliases={}, groups={}), replace(season, title="_Season_ :red[x]")))
    assert desk.ledger is not None
    own = make_tag(sizes[0], 0.4, **{sizes[1]: 0.3, sizes[2]: 0.3})
    desk.ledger.add([make_record(1, {"baseColour": own, "season": make_tag("Summer", 0.95)})])
    set_desk(replace(desk, bundle=replace(desk.bundle, taxonomy=odd)))
    shown = run("review")
    shown.text_input[0].input("Anna").run()
    assert [shown.button(key=f"review_choice_{number}").label for number in (1, 2, 3)] == [
        r"1 · \$5 or \$6 · 40 %",
        r"2 · \*S\* · 30 %",
        r"3 · \[x\]\(y\) · 30 %",
    ]
    assert shown.button(key="review_go_season").label == r"\_Season\_ \:red\[x\]"


def test_keys_of_an_earlier_session_are_not_pressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser's log of keys outlives the session when the service is restarted under the reviewer's hands."""
    from vestiary.pages.review import keys

    pressed: list[str] = []
    given: dict[str, Any] = {}
    monkeypatch.setattr(keys, "_register", lambda: lambda **parts: given.update(parts))

    def begin_session() -> tuple[dict[str, Any], str]:
        state: dict[str, Any] = {}
        monkeypatch.setattr(keys, "st", SimpleNamespace(session_state=state))
        keys.listen("p", ["u", "n"], lambda photo, key: pressed.append(key), key="own")
        return state, given["data"]["visit"]

    state, first = begin_session()
    state["own"] = {"log": [[1, first, "p", "u"]]}
    given["on_log_change"]()
    assert pressed == ["u"]
    state, second = begin_session()
    state["own"] = {"log": [[1, first, "p", "u"], [2, second, "p", "n"]]}
    given["on_log_change"]()
    assert pressed == ["u", "n"]


def test_photos_that_were_handed_over_leave_memory_when_their_batch_begins(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[str] = []
    monkeypatch.setattr(Jobs, "go_on", lambda *given: None)
    manager = "streamlit.runtime.memory_uploaded_file_manager.MemoryUploadedFileManager"
    monkeypatch.setattr(f"{manager}.remove_file", lambda self, session_id, file_id: freed.append(file_id))
    shown = run("batch")
    photo = paint_picture((250, 5, 5))
    shown.file_uploader[0].set_value([("a.png", photo, "image/png"), ("b.png", photo, "image/png")]).run()
    assert freed == []
    shown.button(key="batch_start").click().run()
    assert not shown.exception
    assert len(set(freed)) == 2


def test_a_second_click_begins_no_second_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit begins a run for it before the one that it breaks off has ended."""
    paint_folder(desk.jobs / "inbox" / "march", ["a.png"])
    begun: list[str] = []
    monkeypatch.setattr(Jobs, "begin_inbox", lambda self, name: begun.append(name) or "another batch")
    shown = run("batch")
    shown.selectbox(key="batch_inbox").select("march").run()
    handing = shown.session_state["batch_handing"]
    with handing.in_turn:  # as the run of the first click has it, which is about to begin
        second = threading.Thread(target=shown.button(key="batch_start").click().run)
        second.start()
        second.join(0.5)
        handing.begun = "the batch"
    second.join()
    assert not shown.exception
    assert (begun, shown.query_params["batch"]) == ([], "the batch")
    assert shown.selectbox(key="batch_inbox").value == "march"
    shown.button(key="batch_start").click().run()
    assert (begun, shown.query_params["batch"]) == (["march"], "another batch")


def test_figures_of_a_batch_too_large_for_the_table_say_what_they_are_of(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = answer(desk, tmp_path, [f"{number}.png" for number in range(4)])
    assert desk.ledger is not None
    rows = list(read_rows(desk.ledger, job_id))  # those answered at one moment in any order
    monkeypatch.setattr("vestiary.pages.batch.page.MOST_ROWS", 3)
    monkeypatch.setattr("vestiary.pages.batch.table.MOST_ROWS", 3)
    shown = run("batch")
    counts = count_decisions(rows[:3])
    assert [own.value for own in shown.metric] == ["6", *(str(counts[decision]) for decision in DECISIONS)]
    assert counts["failed"] == 1
    assert "are of 3 of these photos, those that were not answered first" in text(shown)
    shown.text_input(key="batch_words").input(rows[-1].name).run()  # one that the table has no room for
    assert "None of the 3 photos of the table is like that; the files look through all." in text(shown)
    assert shown.get("download_button")


def test_progress_is_told_in_words() -> None:
    job = Job(kind="batch", source="s", out="o", bundle="b", n_total=400, n_done=110, n_failed=10)
    standing = Standing(job.id, "t", "running", job.started_at, job)
    assert tell_progress(standing, None) == (0.3, "120 of 400 photos")
    assert tell_progress(standing, 35.0) == (0.3, "120 of 400 photos, 35.0 a second, 8 s left")
    assert tell_progress(standing, 0.5)[1].endswith("0.5 a second, 9 min left")
    begun = Standing(job.id, "t", "starting", job.started_at - timedelta(seconds=1))
    assert tell_progress(begun, None)[0] == 0
