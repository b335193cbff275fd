"""Several services on one ledger: any of them knows what any of them answered, and none is needed for the others."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from conftest import wait_until
from test_web_workers import Started
from vestiary.ledger import open_ledger
from vestiary.ledger.summaries import count_outcomes, count_verdicts

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the services are stopped by POSIX signals")


@pytest.fixture
def url(postgres: Callable[[], str]) -> str:
    return postgres()


@pytest.fixture
def pair(url: str, photo: bytes, tmp_path: Path) -> Iterator[tuple[Started, Started]]:
    """Two services with the default bundle on one PostgreSQL ledger; the tables are made by whichever is first."""
    started = [Started(tmp_path / f"log-{number}", VESTIARY_LEDGER_URL=url) for number in range(2)]
    yield started[0], started[1]
    for each in started:
        each.end()


def ask(service: Started, photo: bytes, request_id: str) -> dict[str, object]:
    answer = httpx.post(
        f"{service.url}/predict", files={"file": photo}, headers={"X-Request-ID": request_id}, timeout=60
    )
    return dict(answer.json())


def give(service: Started, **fields: object) -> httpx.Response:
    return httpx.post(f"{service.url}/feedback", json={"attribute": "articleType"} | fields, timeout=60)


def read_gauges(service: Started) -> dict[str, float]:
    """The figures of /metrics that are measured on the ledger."""
    text = httpx.get(f"{service.url}/metrics", timeout=60).text
    found = re.findall(r"^(vestiary_drift_(?!measured)\w+(?:\{[^}]*\})?) (\S+)$", text, re.M)
    return {name: float(value) for name, value in found}


def test_what_one_answered_is_judged_through_the_other_and_both_tell_the_same(
    pair: tuple[Started, Started], url: str, photo: bytes
) -> None:
    one, other = pair
    for number in range(6):
        assert ask(pair[number % 2], photo, f"r{number}")["status"] == "success"
    assert ask(one, b"no picture", "bad")["status"] == 415
    since = datetime.now(UTC) - timedelta(hours=1)
    with open_ledger(url) as ledger:
        wait_until(lambda: count_outcomes(ledger, since, datetime.now(UTC)) == (6, 1))

        # An answer of one service gets its verdict through the other, and the last word of a reviewer is the one kept.
        before = str(give(other, request_id="r0", value="Dresses", reviewer="ada").json()["previous_value"])
        assert before == str(give(one, request_id="r1", value="Tops", reviewer="ada").json()["previous_value"])
        assert give(one, request_id="r0", value="Tops", reviewer="ada").status_code == 200
        assert give(other, request_id="r0", value="Dresses", reviewer="bob").status_code == 200
        kept = sorted((verdict.reviewer, verdict.value, verdict.previous_value) for verdict in ledger.verdicts())
        assert kept == [("ada", "Tops", before), ("ada", "Tops", before), ("bob", "Dresses", before)]
        reviewed = count_verdicts(ledger, since, datetime.now(UTC))
        assert (reviewed.n_pictures, reviewed.n_reviewers) == (2, 2)

    # What is measured on the ledger is measured on all answers, whoever is asked.
    wait_until(lambda: bool(read_gauges(one)))
    wait_until(lambda: bool(read_gauges(other)))
    assert read_gauges(one) == read_gauges(other)
    assert read_gauges(one)["vestiary_drift_pictures"] == 6


def test_nothing_is_lost_with_a_service_that_is_gone(pair: tuple[Started, Started], url: str, photo: bytes) -> None:
    one, other = pair
    ask(one, photo, "before")
    with open_ledger(url) as ledger:
        wait_until(lambda: bool(ledger.find_request("before")))
        one.process.kill()
        one.process.wait(60)
        assert give(other, request_id="before", value="Dresses", reviewer="ada").status_code == 200
        assert ask(other, photo, "after")["status"] == "success"
        wait_until(lambda: bool(ledger.find_request("after")))
        assert [verdict.value for verdict in ledger.verdicts()] == ["Dresses"]


def test_verdicts_of_one_reviewer_through_both_at_once_leave_one(
    pair: tuple[Started, Started], url: str, photo: bytes
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ask(pair[0], photo, "r")
    with open_ledger(url) as ledger:
        wait_until(lambda: bool(ledger.find_request("r")))
        values = ["Dresses", "Tops"] * 8
        with ThreadPoolExecutor(4) as pool:
            told = list(
                pool.map(
                    lambda item: give(pair[item[0] % 2], request_id="r", value=item[1], reviewer="ada").status_code,
                    enumerate(values),
                )
            )
        assert told == [200] * len(values)
        (verdict,) = ledger.verdicts()
        assert verdict.value in ("Dresses", "Tops")
