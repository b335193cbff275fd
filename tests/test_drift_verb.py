"""``vestiary drift``: the ledger's recent pictures against the bundle's reference."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from vestiary.bundle import Bundle, open_bundle
from vestiary.cli.times import parse_moment
from vestiary.drift import Sighting, compare_window, fit_reference
from vestiary.ledger import PredictionRecord, open_ledger
from vestiary.ledger.windows import read_window

NOW = datetime.now(UTC)
VALUES = {"baseColour": ("Red", "Green", "Blue"), "season": ("Summer", "Winter")}


def _see(n: int, seed: int, *, red: float = 0.5) -> list[Sighting]:
    random = np.random.default_rng(seed)
    rest = (1 - red) / 2
    colours = random.choice(["Red", "Green", "Blue"], n, p=[red, rest, rest])
    return [
        Sighting({"baseColour": (str(colour), 0.9), "season": ("Summer", 0.8)}, False, 600, 800, light, 1.0)
        for colour, light in zip(colours, random.normal(0.7, 0.1, n).tolist(), strict=True)
    ]


def _record(one: Sighting, bundle: str, age: timedelta, source: str = "service") -> PredictionRecord:
    return PredictionRecord(
        name="photo.jpg",
        source=source,  # type: ignore[arg-type]
        bundle=bundle,
        bundle_name="tiny",
        accepted=True,
        tags={
            name: {"value": value, "confidence": share, "accepted": True, "runners_up": []}
            for name, (value, share) in one.answers.items()
        },
        width=int(one.width or 0),
        height=int(one.height or 0),
        unfamiliar=one.unfamiliar,
        brightness=one.brightness,
        background=one.background,
        at=NOW - age,
    )


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle(reference=fit_reference(_see(600, 1), VALUES, np.arange(600)))


def _fill(place: Path, bundle: Bundle) -> None:
    """A usual week of the service, a week before it of other colours, and yesterday a batch of other colours."""
    week, day = timedelta(days=6), timedelta(days=1)
    with open_ledger(place) as ledger:
        ledger.add([_record(one, bundle.fingerprint, week) for one in _see(300, 2)])
        ledger.add([_record(one, bundle.fingerprint, week * 2) for one in _see(300, 3, red=0.1)])
        ledger.add([_record(one, bundle.fingerprint, day, "batch") for one in _see(200, 4, red=0.1)])
        ledger.add([_record(one, "another", day) for one in _see(50, 5, red=0.0)])


def _drift(*words: str, ledger: Path, bundle: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vestiary", "drift", "--ledger", str(ledger), "--bundle", str(bundle), *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_verb_says_what_changed_and_ends_with_1(bundle: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    _fill(ledger, open_bundle(bundle))
    usual = _drift("--source", "service", ledger=ledger, bundle=bundle)
    assert usual.returncode == 0, usual.stderr
    assert "50 pictures that other bundles answered are left out." in usual.stdout
    assert usual.stdout.rstrip().endswith("Nothing has changed more than chance explains in 300 pictures.")

    changed = _drift("--source", "batch", "--json", ledger=ledger, bundle=bundle)
    assert changed.returncode == 1, changed.stderr
    told = json.loads(changed.stdout)
    assert told["alarm"] and told["judged"] and told["pictures"] == 200
    (alarm,) = told["alarms"]
    assert alarm.startswith("The answers for baseColour come in other shares (Jensen–Shannon distance 0.")
    assert alarm.endswith(": Red 51.7 → 8.0 %, Blue 24.8 → 49.5 %, Green 23.5 → 42.5 %.")
    over = {(figure["figure"], figure["attribute"]) for figure in told["figures"] if figure["alarm"]}
    assert over == {("jensen_shannon", "baseColour"), ("psi", "baseColour")}

    before = _drift("--since", "14d", "--until", "7d", ledger=ledger, bundle=bundle)
    assert before.returncode == 1
    assert "One thing changed more than chance explains in 300 pictures." in before.stdout
    none = _drift("--since", "1h", ledger=ledger, bundle=bundle)
    assert none.returncode == 0
    assert none.stdout == "Too few pictures to say anything: 0, and at least 100 are needed.\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--since", "soon"), "--since is 'soon', which is neither a length of time nor a date; write it like 7d"),
        (("--since", "7y"), "--since is '7y', but must be a length of time such as 90d, 36h, 30m or 2w."),
        (("--since", "999999d"), "--since is '999999d', which is over a hundred years; write a shorter time"),
        (("--since", "1d", "--until", "2d"), "--until 2d is not after --since 1d; give it a later time."),
        (("--source", "phone"), "--source phone is not known; choose one of: service, batch."),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence(
    bundle: Path, tmp_path: Path, words: Sequence[str], sentence: str
) -> None:
    done = _drift(*words, ledger=tmp_path / "ledger.db", bundle=bundle)
    assert done.returncode == 2
    assert done.stderr.startswith(f"vestiary: {sentence}") and done.stderr.count("\n") == 1


def test_a_bundle_from_before_says_how_to_get_a_reference(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    done = _drift(ledger=tmp_path / "ledger.db", bundle=make_bundle())
    assert done.returncode == 2
    assert done.stderr == (
        "vestiary: The bundle tiny has no reference to tell drift from; vestiary calibrate makes a bundle with one.\n"
    )


def test_of_very_many_pictures_evenly_spaced_ones_are_compared(bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.reference is not None
    _fill(tmp_path / "ledger.db", opened)
    with open_ledger(tmp_path / "ledger.db") as ledger:
        window = read_window(ledger, opened.reference, opened.fingerprint, most=300)
    assert (window.n, window.of, window.others) == (266, 800, 50)  # every third
    report = compare_window(opened.reference, window)
    assert report.remarks()[0] == "266 of 800 pictures were compared, evenly spaced in time."
    block = opened.reference.layout.blocks["values", "baseColour"]
    assert window.sums[block].sum() == 266


def test_moments_are_so_long_ago_or_dates() -> None:
    assert abs(parse_moment("2w", "--since") - (datetime.now(UTC) - timedelta(weeks=2))) < timedelta(minutes=1)
    assert parse_moment("2026-11-03T14:00+02:00", "--since") == datetime(2026, 11, 3, 12, tzinfo=UTC)
    assert parse_moment("2026-11-03", "--since") == datetime(2026, 11, 3).astimezone()
