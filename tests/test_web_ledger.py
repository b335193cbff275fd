"""What the service writes to the ledger, and verdicts: over a real socket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from conftest import Running, paint_picture, wait_until
from vestiary.album import Album
from vestiary.client import AsyncClient, Client
from vestiary.errors import LedgerError, LedgerUnavailableError, ServiceError, UsageError
from vestiary.ledger import Ledger, open_ledger
from vestiary.ledger.opening import describe_url, hide_place, resolve_url
from vestiary.tags import Failure, Prediction

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from vestiary.web.batching import Outcome, Timing
from vestiary.web.recorder import Recorder
from vestiary.web.tally import Tally

NOT_KEPT = "Pictures are answered and not kept."
RED, BLUE = paint_picture((250, 10, 10)), paint_picture((10, 10, 250))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def tiny(start_service: Callable[..., Running], make_bundle: Callable[..., Path], place: Path) -> Running:
    """A service with a ledger of its own, whose bundle answers by colour."""
    return start_service(bundle=make_bundle(), ledger_url=str(place))


def predict(running: Running, picture: bytes = RED, request_id: str = "r1", name: str = "a.png") -> dict[str, object]:
    answer = httpx.post(f"{running.url}/predict", files={"file": (name, picture)}, headers={"X-Request-ID": request_id})
    return dict(answer.json())


def give(running: Running, **fields: object) -> httpx.Response:
    told = {"attribute": "baseColour", "value": "Green"} | fields
    return httpx.post(f"{running.url}/feedback", json=told, timeout=30)


def count_records(running: Running, outcome: str) -> float:
    text = httpx.get(f"{running.url}/metrics").text
    found = re.search(rf'vestiary_ledger_records_total\{{outcome="{outcome}"\}} ([\d.]+)', text)
    assert found is not None
    return float(found[1])


def test_every_answer_is_in_the_ledger_when_the_service_has_stopped(tiny: Running, place: Path) -> None:
    answer = predict(tiny)
    files = [("files", ("b.png", BLUE)), ("files", ("c.txt", b"no picture"))]
    httpx.post(f"{tiny.url}/predict_batch", files=files, headers={"X-Request-ID": "r2"})
    assert predict(tiny, b"no picture", "r3", "d.txt")["status"] == 415
    tiny.stop()
    with open_ledger(place) as ledger:
        first, second = ledger.predictions()
        failures = list(ledger.failures())
    assert (first.name, first.request_id, first.source) == ("a.png", "r1", "service")
    assert {name: tag["value"] for name, tag in first.tags.items()} == answer["predictions"]
    assert first.image_sha256 == hashlib.sha256(RED).hexdigest()
    assert (first.width, first.height, first.bundle_name, first.bundle) == (
        12,
        16,
        "tiny",
        answer["model"]["fingerprint"],  # type: ignore[index]
    )
    assert first.brightness is not None
    assert first.latency_ms is not None
    assert first.latency_ms > 0
    assert (second.name, second.request_id, second.tags["baseColour"]["value"]) == ("b.png", "r2", "Blue")
    assert [(failure.name, failure.code) for failure in failures] == [
        ("c.txt", "not-a-picture"),
        ("d.txt", "not-a-picture"),
    ]


def test_a_verdict_is_kept_and_a_later_one_takes_its_place(tiny: Running, place: Path) -> None:
    predict(tiny)
    told = give(tiny, request_id="r1", reviewer="ada", note="It is.").json()
    assert told["previous_value"] == "Red"
    assert give(tiny, id=told["prediction_id"], value="Navy", reviewer="ada").json()["value"] == "Blue"
    last = give(tiny, request_id="r1", id="a.png", value="Red", reviewer="bob").json()
    with open_ledger(place) as ledger:
        kept = {verdict.reviewer: (verdict.value, verdict.previous_value) for verdict in ledger.verdicts()}
        assert last["timestamp"] in {verdict.at.isoformat(timespec="milliseconds") for verdict in ledger.verdicts()}
    assert kept == {"ada": ("Blue", "Red"), "bob": ("Red", "Red")}


def test_among_several_pictures_of_a_request_the_id_tells_which(tiny: Running, place: Path) -> None:
    files = [("files", ("a.png", RED)), ("files", ("b.png", BLUE)), ("files", ("b.png", BLUE))]
    httpx.post(f"{tiny.url}/predict_batch", files=files, headers={"X-Request-ID": "r1"})
    refused = give(tiny, request_id="r1")
    assert refused.status_code == 400
    assert refused.json()["detail"] == "That request had several pictures; name the one that is meant by its 'id', too."
    assert give(tiny, request_id="r1", id="b.png").json()["previous_value"] == "Blue"


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"request_id": "other"}, 404, "or send it again in a moment if it was answered just now."),
        ({"id": "other"}, 404, "No prediction is known by this id"),
        ({"request_id": "r1", "attribute": "basecolor"}, 422, "no such attribute; did you mean 'baseColour'?"),
        ({"request_id": "r1", "attribute": "xyz"}, 422, "no such attribute; GET /classes lists"),
        ({"request_id": "r1", "value": "gren"}, 422, "baseColour has no such value; did you mean 'Green'?"),
        ({"request_id": "r1", "value": "Summer"}, 422, "baseColour has no such value; GET /classes lists"),
        ({}, 400, "needs the request_id of the answer"),
        ({"request_id": "r1", "value": 3}, 400, "'value' cannot be used"),
    ],
)
def test_a_verdict_that_cannot_be_meant_is_refused(
    tiny: Running, fields: dict[str, object], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.web.routes.feedback.PAUSE_S", 0.0)
    predict(tiny)
    answer = give(tiny, **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]


def test_a_verdict_waits_for_what_another_replica_has_yet_to_write(
    tiny: Running, start_service: Callable[..., Running], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause, sleep = 60.0, asyncio.sleep
    monkeypatch.setattr("vestiary.web.recorder.PAUSE_S", pause)  # of the other, which writes nothing by itself then
    monkeypatch.setattr("vestiary.web.routes.feedback.PAUSE_S", pause)
    other = start_service(bundle=tiny.service.settings.bundle, ledger_url=str(place))
    assert other.service.recorder is not None
    write = other.service.recorder.flush

    async def pass_time(seconds: float) -> None:
        await (asyncio.to_thread(write) if seconds == pause else sleep(seconds))

    monkeypatch.setattr(asyncio, "sleep", pass_time)
    predict(other)
    assert give(tiny, request_id="r1").json()["previous_value"] == "Red"


def test_a_verdict_in_another_form_is_refused(tiny: Running) -> None:
    assert httpx.post(f"{tiny.url}/feedback").json()["detail"] == "The body is empty; send the verdict as JSON."
    answer = httpx.post(f"{tiny.url}/feedback", data={"attribute": "season"})
    assert (answer.status_code, answer.json()["detail"]) == (415, "Send the verdict as application/json.")


def test_both_clients_give_verdicts(tiny: Running, place: Path) -> None:
    async def give_other() -> str:
        async with AsyncClient(tiny.url) as client:
            answers = await client.predict_batch([BLUE, RED])
            told = await client.feedback(answers[0], "baseColour", "Green", reviewer="bob")
            return str(told["previous_value"])

    with Client(tiny.url) as client:
        answer = client.predict(RED)
        told = client.feedback(answer, "baseColour", "Green", reviewer="ada")
        assert told["previous_value"] == "Red"
        assert client.feedback(told["prediction_id"], "season", "Winter", note="cold")["previous_value"] == "Summer"
        with pytest.raises(ServiceError, match="did you mean 'Winter'") as caught:
            client.feedback(answer, "season", "winter")
    assert caught.value.status == 422
    assert asyncio.run(give_other()) == "Blue"


def test_the_key_tells_who_the_reviewer_is_and_without_it_no_verdict_is_taken(
    start_service: Callable[..., Running], make_bundle: Callable[..., Path], place: Path
) -> None:
    from vestiary.web.limits import make_key

    key, digest = make_key()
    running = start_service(bundle=make_bundle(), ledger_url=str(place), api_keys={"returns-desk": digest})
    with Client(running.url, api_key=key) as client:
        client.feedback(client.predict(RED), "season", "Winter")
    assert give(running, id="any").status_code == 401
    with open_ledger(place) as ledger:
        assert [verdict.reviewer for verdict in ledger.verdicts()] == ["returns-desk"]


def test_a_service_without_a_ledger_answers_but_takes_no_verdict(
    start_service: Callable[..., Running], make_bundle: Callable[..., Path]
) -> None:
    running = start_service(bundle=make_bundle(), ledger_url="none")
    assert predict(running)["predictions"] == {"baseColour": "Red", "season": "Summer"}
    answer = give(running, request_id="r1")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("This service keeps no ledger and takes no verdicts")


def test_a_ledger_that_cannot_be_used_is_refused_at_the_start(
    start_service: Callable[..., Running], make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("no ledger at all, only words\n" * 50)
    with pytest.raises(LedgerError, match="is no ledger but some other file"):
        start_service(bundle=make_bundle(), ledger_url=str(tmp_path / "note.txt"))


def test_answers_wait_while_the_ledger_is_held_and_are_written_afterwards(
    tiny: Running, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestiary.web.recorder._FLUSH_S", 0.1)
    predict(tiny)
    wait_until(lambda: count_records(tiny, "written") == 1)
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(5):
        assert predict(tiny, request_id=f"held{number}")["status"] == "success"
    refused = give(tiny, request_id="held1")
    assert (refused.status_code, refused.json()["title"]) == (503, "The ledger does not answer")
    assert count_records(tiny, "written") == 1
    other.close()
    wait_until(lambda: count_records(tiny, "written") == 6)


def test_who_asks_while_the_writing_ends_waits_for_the_next(place: Path) -> None:
    tally = Tally(())
    recorder = Recorder(str(place), bundle_name="tiny", tally=tally)
    late = Outcome(Prediction("late", "", failure=Failure("damaged", "x")), None, Timing(0, 0, 0))
    found: list[tuple[bool, int]] = []
    asker = threading.Thread(target=lambda: found.append((recorder.flush(), tally.counter("records_written"))))
    write = recorder._write_waiting

    def write_while_somebody_asks() -> bool:
        is_written = write()
        if not found and not asker.is_alive():
            recorder.record("r1", [("late", b"")], [late])
            asker.start()
            wait_until(lambda: bool(recorder._asking))
        return is_written

    recorder._write_waiting = write_while_somebody_asks  # type: ignore[method-assign]
    recorder.start()
    wait_until(lambda: bool(found))
    recorder.stop()
    assert found == [(True, 1)]


def test_the_log_says_what_is_wrong_with_the_ledger_and_not_where_it_lies(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Ledger, *records: object) -> None:
        raise LedgerUnavailableError(f"The ledger {place} cannot grow, since its disk is full; free some space.")

    monkeypatch.setattr(Ledger, "add", refuse)
    recorder = Recorder(str(place), bundle_name="tiny", tally=Tally(()))
    failed = Outcome(Prediction("a", "", failure=Failure("damaged", "x")), None, Timing(0, 0, 0))
    recorder.record("r1", [("a", b"")], [failed])
    recorder.start()
    recorder.stop()
    away, stopped = map(json.loads, capsys.readouterr().err.splitlines())
    assert away["reason"] == "The ledger ledger.db cannot grow, since its disk is full; free some space."
    assert (stopped["state"], stopped["lost"]) == ("stopped", 1)
    secret = "postgresql+psycopg://shop:secret@db.example/shop"
    said = f"The ledger's server at {describe_url(resolve_url(secret))} does not answer."
    assert hide_place(said, secret) == "The ledger's server at VESTIARY_LEDGER_URL does not answer."


def test_what_finds_no_room_is_counted_and_everything_else_is_kept(
    start_service: Callable[..., Running],
    make_bundle: Callable[..., Path],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vestiary.web.recorder.ROOM", 2)
    monkeypatch.setattr("vestiary.web.recorder.PAUSE_S", 60.0)
    running = start_service(bundle=make_bundle(), ledger_url=str(place))
    for number in range(5):
        assert predict(running, request_id=f"r{number}")["status"] == "success"
    assert count_records(running, "dropped") == 3
    running.stop()
    with open_ledger(place) as ledger:
        assert [record.request_id for record in ledger.predictions()] == ["r0", "r1"]


def test_a_server_that_is_away_at_the_start_gets_everything_when_it_is_back(
    start_service: Callable[..., Running],
    make_bundle: Callable[..., Path],
    postgres: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vestiary.web import recorder

    url, is_away = postgres(), True

    def open_later(place: str | None) -> Ledger:
        if is_away:
            raise LedgerUnavailableError("The ledger's server does not answer; check that it runs.")
        return open_ledger(place)

    monkeypatch.setattr(recorder, "open_ledger", open_later)
    running = start_service(bundle=make_bundle(), ledger_url=url)
    predict(running)
    refused = give(running, request_id="r1")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["title"] == "The ledger does not answer"
    is_away = False
    running.stop()
    with open_ledger(url) as ledger:
        assert [record.request_id for record in ledger.predictions()] == ["r1"]


def count_photos(running: Running, outcome: str) -> float:
    text = httpx.get(f"{running.url}/metrics").text
    found = re.search(rf'vestiary_album_photos_total\{{outcome="{outcome}"\}} ([\d.]+)', text)
    assert found is not None
    return float(found[1])


def show_pages(running: Running) -> str:
    """The page that asks for a photo, and the one with its answer."""
    html = {"Accept": "text/html"}
    answer = httpx.post(f"{running.url}/uploader", files={"file": ("a.png", RED)}, headers=html)
    assert answer.status_code == 200
    return httpx.get(running.url, headers=html).text + answer.text


def test_only_a_service_that_keeps_no_photos_says_so(
    start_service: Callable[..., Running], tiny: Running, tmp_path: Path
) -> None:
    assert show_pages(tiny).count(NOT_KEPT) == 2
    without = start_service(bundle=tmp_path / "bundle", ledger_url="none", keep_pictures=tmp_path / "album")
    assert show_pages(without).count(NOT_KEPT) == 2


def test_photos_for_review_are_kept_where_that_is_wanted_and_no_others(
    start_service: Callable[..., Running], make_bundle: Callable[..., Path], place: Path, tmp_path: Path
) -> None:
    album = Album(tmp_path / "album")
    running = start_service(bundle=make_bundle(), ledger_url=str(place), keep_pictures=album.folder)
    assert NOT_KEPT not in show_pages(running)
    grey = paint_picture((90, 90, 90))
    for picture in (RED, grey, b"no picture"):
        httpx.post(f"{running.url}/predict", files={"file": ("a.png", picture)})
    running.stop()
    kept = [path for path in album.folder.rglob("*") if path.is_file()]
    assert kept == [album.find(hashlib.sha256(grey).hexdigest())]
    assert kept[0].read_bytes() == grey


def test_a_photo_that_cannot_be_kept_costs_no_record(
    start_service: Callable[..., Running],
    make_bundle: Callable[..., Path],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill_disk(self: Album, sha256: str, data: bytes) -> Path:
        raise OSError(28, "No space left on device")

    running = start_service(bundle=make_bundle(), ledger_url=str(place), keep_pictures=tmp_path / "album")
    monkeypatch.setattr(Album, "keep", fill_disk)
    httpx.post(f"{running.url}/predict", files={"file": ("a.png", paint_picture((90, 90, 90)))})
    wait_until(lambda: count_records(running, "written") == 1)
    assert (count_photos(running, "lost"), count_photos(running, "kept")) == (1, 0)
    monkeypatch.setattr("vestiary.web.recorder.PHOTO_ROOM", 10)
    httpx.post(f"{running.url}/predict", files={"file": ("a.png", paint_picture((91, 91, 91)))})
    wait_until(lambda: count_records(running, "written") == 2)
    assert count_photos(running, "lost") == 2


def test_an_answer_that_cannot_be_recorded_keeps_no_other_from_it(
    start_service: Callable[..., Running],
    make_bundle: Callable[..., Path],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Album.keep

    def fail_once(self: Album, sha256: str, data: bytes) -> Path:
        monkeypatch.setattr(Album, "keep", kept)
        raise ValueError("a fault of ours")

    running = start_service(bundle=make_bundle(), ledger_url=str(place), keep_pictures=tmp_path / "album")
    monkeypatch.setattr(Album, "keep", fail_once)
    for shade in (90, 91):
        httpx.post(f"{running.url}/predict", files={"file": ("a.png", paint_picture((shade, shade, shade)))})
    wait_until(lambda: count_records(running, "written") == 1)
    assert (count_records(running, "lost"), count_photos(running, "kept")) == (1, 1)


def test_an_album_that_cannot_be_is_refused_at_the_start(
    start_service: Callable[..., Running], make_bundle: Callable[..., Path], place: Path
) -> None:
    place.write_text("a file")
    with pytest.raises(UsageError, match="is a file, but photos are kept in a folder"):
        start_service(bundle=make_bundle(), ledger_url=str(place.with_name("l.db")), keep_pictures=place)
