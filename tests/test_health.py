"""``vestiary health``: one line a check, exit 1 when a person should look, and no check that hides another."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT, Running, Vestiary
from vestiary.bundle import Bundle, open_bundle
from vestiary.drift import Sighting, fit_reference
from vestiary.health import NAMES, Bars, Check, State, check_all, check_disk, check_ledger
from vestiary.ledger import FailureRecord, Job, PredictionRecord, open_ledger

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle())


def job(state: str, began: timedelta, ended: timedelta | None = None, finished: datetime | None = None) -> Job:
    return Job(
        kind="batch",
        source="in",
        out="out",
        bundle="f",
        state=state,  # type: ignore[arg-type]
        started_at=NOW - began,
        ended_at=None if ended is None else NOW - ended,
        last_finished_at=NOW - ended if ended is not None and state == "finished" else finished,
    )


def answer(bundle: str = "f", value: str = "Red", age: timedelta = timedelta(hours=1)) -> PredictionRecord:
    return PredictionRecord(
        name="a.jpg",
        source="service",
        bundle=bundle,
        bundle_name="tiny",
        accepted=True,
        tags={"baseColour": {"value": value, "confidence": 0.9, "accepted": True, "runners_up": []}},
        at=NOW - age,
    )


def failure(age: timedelta = timedelta(hours=1)) -> FailureRecord:
    return FailureRecord(name="b.jpg", source="service", code="damaged", message="Cut short.", at=NOW - age)


def check(place: Path, bundle: Bundle, **parts: object) -> dict[str, Check]:
    found = check_all(lambda: open_ledger(place), bundle=lambda: bundle, now=NOW, **parts)  # type: ignore[arg-type]
    assert [own.name for own in found] == list(NAMES)
    assert all(own.line.endswith(".") and "\n" not in own.line for own in found)
    return {own.name: own for own in found}


def hours(n: float) -> timedelta:
    return timedelta(hours=n)


def test_all_is_well(place: Path, bundle: Bundle) -> None:
    with open_ledger(place) as ledger:
        ledger.start_job(job("finished", hours(6), hours(5)))
        ledger.add(predictions=[answer() for _ in range(95)], failures=[failure() for _ in range(5)])
    found = check(place, bundle)
    assert found["ledger"] == Check("ledger", State.OK, f"{place} can be written.")
    assert found["batch"] == Check("batch", State.OK, "the last one ended well 5 h ago.")
    assert found["failures"].line == "5 of 100 pictures in the last 24 h failed (5.0 %), within the bar of 10 %."
    assert found["failures"].state is State.OK
    assert found["disk"].state is State.OK
    assert found["disk"].line.endswith(f"free at {place.parent}.")


@pytest.mark.parametrize(
    ("jobs", "state", "line"),
    [
        ([], State.FAILED, "no batch has run yet."),
        (
            [job("running", hours(1))],
            State.FAILED,
            "none has ended well; one that is running gave its last sign of life 1 h ago; "
            "more than 26 h is too long, see its log.",
        ),
        (
            [job("running", hours(0.2))],
            State.OK,
            "none has ended well; one that is running gave its last sign of life 12 min ago.",
        ),
        ([job("finished", hours(300), hours(25.9))], State.OK, "the last one ended well 25 h ago."),
        (
            [job("finished", hours(30), hours(27))],
            State.FAILED,
            "the last one ended well 27 h ago; more than 26 h is too long, see its log.",
        ),
        (
            [job("finished", hours(30), hours(29)), job("failed", hours(300), hours(4))],
            State.FAILED,
            "the last one ended well 29 h ago; one failed 4 h ago; more than 26 h is too long, see its log.",
        ),
        (
            [job("finished", hours(24), hours(23)), job("stopped", hours(2), hours(1))],
            State.OK,
            "the last one ended well 23 h ago; one was stopped 1 h ago.",
        ),
        (
            [job("running", hours(300), finished=NOW - hours(24))],
            State.OK,
            "the last one ended well 24 h ago; one that is running gave its last sign of life 12 d ago.",
        ),
        (
            [job("failed", hours(300), hours(4), finished=NOW - hours(28))],
            State.FAILED,
            "the last one ended well 28 h ago; one failed 4 h ago; more than 26 h is too long, see its log.",
        ),
    ],
)
def test_the_last_batch_is_on_time_or_not(
    jobs: list[Job], state: State, line: str, place: Path, bundle: Bundle
) -> None:
    with open_ledger(place) as ledger:
        for own in jobs:
            ledger.start_job(own)
    assert check(place, bundle)["batch"] == Check("batch", state, line)


def test_only_failures_within_the_window_count(place: Path, bundle: Bundle) -> None:
    with open_ledger(place) as ledger:
        ledger.add(predictions=[answer() for _ in range(15)], failures=[failure(hours(25)) for _ in range(100)])
    few = check(place, bundle)["failures"]
    assert few.state is State.NOT_CHECKED
    assert few.line == "15 pictures in the last 24 h are too few to tell; 20 are needed."
    with open_ledger(place) as ledger:
        ledger.add(failures=[failure() for _ in range(5)])
    over = check(place, bundle)["failures"]
    assert over.state is State.FAILED
    assert over.line == "5 of 20 pictures in the last 24 h failed (25.0 %), over the bar of 10 %."
    assert check(place, bundle, bars=Bars(max_failure_rate=0.25))["failures"].state is State.OK


def test_a_full_disk_is_told(place: Path, bundle: Bundle) -> None:
    found = check(place, bundle, bars=Bars(min_free=10**18))["disk"]
    assert found.state is State.FAILED
    assert "and 1,000,000,000.0 GB are needed; make room." in found.line
    missing = check_disk((place.parent / "nowhere",), 1)
    assert missing == Check(
        "disk", State.FAILED, f"{place.parent}/nowhere cannot be looked at (No such file or directory)."
    )


def test_drift_is_told(place: Path, make_bundle: Callable[..., Path], bundle: Bundle) -> None:
    assert check(place, bundle)["drift"].line.startswith("the bundle tiny has no reference;")
    draw = np.random.default_rng(1).choice(["Red", "Green", "Blue"], 600)
    seen = [Sighting({"baseColour": (str(own), 0.9), "season": ("Summer", 0.96)}) for own in draw]
    values = {"baseColour": ("Red", "Green", "Blue"), "season": ("Summer", "Winter")}
    fitted = open_bundle(make_bundle(place.parent / "fitted", reference=fit_reference(seen, values, np.arange(600))))
    assert check(place, fitted)["drift"].state is State.NOT_CHECKED, "no pictures, nothing to tell"
    with open_ledger(place) as ledger:
        ledger.add(predictions=[answer(fitted.fingerprint, "Green") for _ in range(300)])
    found = check(place, fitted)["drift"]
    assert found.state is State.FAILED
    assert "baseColour" in found.line


def test_a_ledger_that_cannot_be_opened_fails_all_that_need_it(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "words.db").write_text("These are words, and no ledger, however long they may be.")
    found = check(tmp_path / "words.db", bundle)
    assert found["ledger"].state is State.FAILED
    assert "is no ledger but some other file" in found["ledger"].line
    assert {name for name, own in found.items() if own.state is State.FAILED} == set(NAMES) - {"service"}
    assert found["batch"].line == "the ledger cannot be opened."


def test_a_ledger_that_cannot_be_written_is_told(place: Path) -> None:
    with open_ledger(place) as ledger:
        with sqlite3.connect(place) as other:
            other.execute("DROP TABLE alembic_version")
        other.close()
        found = check_ledger(ledger)
    assert found.state is State.FAILED
    assert str(place) in found.line


def test_a_running_service_is_ready_and_none_is_told(place: Path, bundle: Bundle, service: Running) -> None:
    assert (
        check(place, bundle, url=service.url)["service"].line == f"{service.address[0]}:{service.address[1]} is ready."
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        gone = check(place, bundle, url=f"http://{address}")["service"]
    assert gone.state is State.FAILED
    assert gone.line == f"{address} does not answer (connection refused); start it with vestiary serve."
    other = check(place, bundle, url=f"{service.url}/docs")["service"]
    assert (other.state, other.line) == (State.FAILED, f"{service.address[0]}:{service.address[1]} answers 404.")


class Stranger(BaseHTTPRequestHandler):
    """Something else that answers on a port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "fine.\\nAnd you"}')

    def log_message(self, *_: object) -> None:
        pass


def test_what_is_not_the_service_is_told(place: Path, bundle: Bundle) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        found = check(place, bundle, url=f"http://{address}")["service"]
    assert found == Check("service", State.FAILED, f"what answers at {address} is not the service; check the address.")


def test_the_command_prints_a_line_a_check_and_leaves_with_one(vestiary: Vestiary, place: Path) -> None:
    code, out, err = vestiary("health", "--ledger", place)
    assert (code, err) == (1, "")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert [line.split()[2 if line.startswith("not") else 1] for line in out.splitlines()] == list(NAMES)
    assert ["failed", "batch     no batch has run yet."] in lines
    assert out.startswith("not checked  service   no address was given; name it with --url.\n")


def test_checks_can_be_switched_off(vestiary: Vestiary, place: Path) -> None:
    code, out, _ = vestiary(
        "health", "--ledger", place, "--skip", "batch", "--skip", "drift", "--min-free", "0", "--json"
    )
    told = json.loads(out)
    assert (code, told["healthy"]) == (0, True)
    assert {own["check"]: own["state"] for own in told["checks"]} == {
        "service": "not checked",
        "ledger": "ok",
        "batch": "not checked",
        "failures": "not checked",
        "disk": "ok",
        "drift": "not checked",
    }
    assert told["checks"][2]["line"] == "switched off."


def test_a_ledger_that_cannot_be_opened_is_no_good_news_where_its_own_check_is_off(
    vestiary: Vestiary, tmp_path: Path
) -> None:
    (tmp_path / "words.db").write_text("These are words, and no ledger, however long they may be.")
    code, out, _ = vestiary("health", "--ledger", tmp_path / "words.db", "--skip", "ledger")
    assert code == 1
    assert "failed       batch     the ledger cannot be opened." in out


def test_a_variable_is_told_by_its_name(vestiary: Vestiary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESTIARY_LEDGER_URL", "none")
    code, out, _ = vestiary("health")
    assert code == 1
    assert "failed       ledger    VESTIARY_LEDGER_URL says none, so that there is no ledger to use; name one.\n" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--skip", "batches"), "There is no check called 'batches'; --skip takes service, ledger,"),
        (("--max-age", "soon"), "--max-age is 'soon', but must be a length of time such as 90d"),
        (("--max-age", "999999w"), "--max-age is '999999w', which is over a hundred years; write a shorter time"),
        (("--min-free", "inf"), "--min-free is inf, which is no number of gigabytes; write it like 1 or 0.5."),
        (("--url", "localhost:8000"), "--url 'localhost:8000' is no address; write it as http://127.0.0.1:8000."),
        (("--url", "http://[::1"), "--url 'http://[::1' is no address; write it as http://127.0.0.1:8000."),
        (("--url", "http://shop:port"), "--url 'http://shop:port' is no address; write it as http://127.0.0.1:8000."),
    ],
)
def test_wrong_use_gets_one_sentence(words: tuple[str, ...], told: str, vestiary: Vestiary, place: Path) -> None:
    code, out, err = vestiary("health", "--ledger", place, *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_every_check_is_in_the_guide_and_no_other() -> None:
    guide = (ROOT / "docs" / "guides" / "operations.md").read_text(encoding="utf-8")
    table = guide[guide.index("| check | fails when |") :]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.M) == list(NAMES)
