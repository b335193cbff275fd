"""The gauges of drift on /metrics, and the dashboard and alert rules that read what the service tells."""

from __future__ import annotations

import itertools
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vestiary.bundle import open_bundle
from vestiary.drift import Sighting, fit_reference
from vestiary.ledger import PredictionRecord, open_ledger

httpx = pytest.importorskip("httpx", reason="the extra 'serve' is not installed")
parser = pytest.importorskip("prometheus_client.parser", reason="the extra 'serve' is not installed")
watch_module = pytest.importorskip("vestiary.web.watch", reason="the extra 'serve' is not installed")

if TYPE_CHECKING:
    from conftest import Running

DEPLOY = Path(__file__).parents[1] / "deploy"
VALUES = {"baseColour": ("Red", "Green", "Blue"), "season": ("Summer", "Winter")}


def _see(n: int, seed: int, *, red: float = 0.5) -> list[Sighting]:
    colours = np.random.default_rng(seed).choice(["Red", "Blue"], n, p=[red, 1 - red])
    return [Sighting({"baseColour": (str(colour), 0.9), "season": ("Summer", 0.8)}) for colour in colours]


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle(reference=fit_reference(_see(400, 1), VALUES, np.arange(400)))


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own" / "ledger.db"
    path.parent.mkdir()
    monkeypatch.setenv("VESTIARY_LEDGER_URL", str(path))
    return path


def _keep(ledger: Path, bundle: Path, sightings: list[Sighting]) -> None:
    tags = [
        {
            name: {"value": value, "confidence": share, "accepted": True, "runners_up": []}
            for name, (value, share) in given
        }
        for given in (one.answers.items() for one in sightings)
    ]
    with open_ledger(ledger) as opened:
        opened.add(
            PredictionRecord(
                name="photo.jpg",
                source="service",
                bundle=open_bundle(bundle).fingerprint,
                bundle_name="tiny",
                accepted=True,
                tags=own,  # type: ignore[arg-type]
                at=datetime.now(UTC) - timedelta(hours=1),
            )
            for own in tags
        )


def _read_samples(running: Running) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and values of the labels, these in the order of their names."""
    families = parser.text_string_to_metric_families(httpx.get(f"{running.url}/metrics").text)
    return {
        (one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def _measure(running: Running) -> dict[tuple[str, tuple[str, ...]], float]:
    """What is told once the measurement that the first question begins is over."""
    _read_samples(running)
    running.service.watch.close()
    return _read_samples(running)


def test_the_gauges_tell_what_the_drift_report_finds(
    start_service: Callable[..., Running], bundle: Path, ledger: Path
) -> None:
    _keep(ledger, bundle, _see(150, 2, red=0.05))
    running = start_service(bundle=bundle)
    assert not [name for name, _ in _read_samples(running) if "drift" in name]  # nothing waits for the first
    found = _measure(running)
    assert found["vestiary_drift_alarm", ()] == 1
    assert found["vestiary_drift_pictures", ()] == 150
    key = ("baseColour", "jensen_shannon")
    assert found["vestiary_drift_distance", key] > found["vestiary_drift_limit", key] > 0
    assert found["vestiary_drift_distance", ("season", "psi")] == 0
    assert ("vestiary_drift_distance", ("", "brightness")) not in found  # these records do not know it
    assert found["vestiary_drift_measured_time_seconds", ()] == pytest.approx(datetime.now(UTC).timestamp(), abs=300)


def test_unchanged_pictures_raise_no_alarm_and_too_few_tell_only_their_number(
    start_service: Callable[..., Running], bundle: Path, ledger: Path
) -> None:
    _keep(ledger, bundle, _see(99, 2))
    found = _measure(start_service(bundle=bundle))
    assert found["vestiary_drift_pictures", ()] == 99
    assert ("vestiary_drift_alarm", ()) not in found
    _keep(ledger, bundle, _see(51, 3))
    assert _measure(start_service(bundle=bundle))["vestiary_drift_alarm", ()] == 0


def test_a_measurement_stands_for_a_while(bundle: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _keep(ledger, bundle, _see(120, 2))
    watch = watch_module.DriftWatch(open_bundle(bundle), str(ledger))
    assert watch.latest() is None
    watch._pool.submit(int).result()  # the one thread is through with what came before
    first = watch.latest()
    _keep(ledger, bundle, _see(10, 3))
    assert watch.latest() is first
    watch._pool.submit(int).result()
    assert watch.latest().report.n == 120
    monkeypatch.setattr(watch_module, "PERIOD_S", 0.0)
    assert watch.latest() is first
    watch._pool.submit(int).result()
    assert watch.latest().report.n == 130
    watch.close()


def test_a_measurement_that_fails_leaves_the_last_one_with_its_time(
    bundle: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or the rule that alarms when drift is no longer measured would have nothing to look at."""
    _keep(ledger, bundle, _see(120, 2))
    monkeypatch.setattr(watch_module, "PERIOD_S", 0.0)
    watch = watch_module.DriftWatch(open_bundle(bundle), str(ledger))
    watch.latest()
    watch._pool.submit(int).result()
    first = watch.latest()
    watch._pool.submit(int).result()
    for path in ledger.parent.iterdir():
        path.unlink()
    ledger.write_bytes(b"no database at all, and long enough to be looked at as one" * 20)
    second = watch.latest()
    assert second.report.n == first.report.n == 120
    watch._pool.submit(int).result()
    assert watch.latest() is second
    watch.close()
    assert "is no ledger but some other file" in capsys.readouterr().err


def test_without_ledger_or_reference_there_are_no_gauges(
    make_bundle: Callable[..., Path], bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = make_bundle(folder=tmp_path / "plain")
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all, and long enough to be looked at as one" * 20)
    for path, url in ((plain, str(tmp_path / "new.db")), (bundle, "none"), (bundle, str(broken))):
        watch = watch_module.DriftWatch(open_bundle(path), url)
        assert watch.latest() is None
        watch.close()
        assert watch.latest() is None
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["message"].partition(";")[0]) == (
        "drift",
        "The ledger broken.db is no ledger but some other file",
    )


def test_a_fault_while_drift_is_measured_is_logged_and_stops_no_figures(
    bundle: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch_module, "read_window", lambda *args, **options: {}["secret"])
    watch = watch_module.DriftWatch(open_bundle(bundle), str(ledger))
    assert watch.latest() is None
    watch.close()
    assert [watch.latest(), watch.latest()] == [None, None]
    (line,) = capsys.readouterr().err.splitlines()
    assert (json.loads(line)["event"], json.loads(line)["kind"]) == ("fault", "KeyError")
    assert "secret" not in line


@pytest.fixture
def exported(start_service: Callable[..., Running], bundle: Path, ledger: Path, photo: bytes) -> Mapping[str, set[str]]:
    """Every metric that a service which has answered, refused and measured drift tells, with its labels."""
    _keep(ledger, bundle, _see(150, 2))
    running = start_service(bundle=bundle)
    assert httpx.post(f"{running.url}/predict", files={"file": photo}).status_code == 200
    with socket.create_connection(running.address, timeout=30) as connection:
        connection.sendall(b"no HTTP\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 400")
    _measure(running)
    families = parser.text_string_to_metric_families(httpx.get(f"{running.url}/metrics").text)
    found: dict[str, set[str]] = {}
    for sample in itertools.chain.from_iterable(family.samples for family in families):
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _check_expression(expression: str, exported: Mapping[str, set[str]]) -> None:
    """Metrics and labels are those of the service (and ``up``, Prometheus' own), and brackets close."""
    names = set(re.findall(r"\b(?:vestiary_\w+|up)\b(?=[\s{\[)]|$)", expression))
    assert names and names <= exported.keys() | {"up"}, expression
    for name, labels in re.findall(r"(vestiary_\w+)\{([^}]*)\}", expression):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
        assert used <= exported[name] | {"instance", "job"}, expression
    for name, span in re.findall(r"(vestiary_\w+)(?:\{[^}]*\})?\[(\w+)\]", expression):
        assert name.endswith(("_total", "_bucket", "_sum", "_count")) and re.fullmatch(r"\d+[smhd]", span), expression
    closing = {")": "(", "]": "[", "}": "{"}
    waiting: list[str] = []
    for letter in re.sub(r'"[^"]*"', "", expression):
        if letter in "([{":
            waiting.append(letter)
        elif letter in closing:
            assert waiting and waiting.pop() == closing[letter], expression
    assert not waiting, expression


def test_every_alert_rule_reads_what_the_service_tells(exported: Mapping[str, set[str]]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) >= 8
    for rule in group["rules"]:
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))
        assert set(rule["annotations"]) == {"summary", "description"}
        assert all(text.endswith(".") for text in rule["annotations"].values()), rule["alert"]
        _check_expression(rule["expr"], exported)


def _list_panels() -> Iterator[dict[str, Any]]:
    yield from json.loads((DEPLOY / "grafana" / "vestiary.json").read_text(encoding="utf-8"))["panels"]


def test_every_panel_of_the_dashboard_reads_what_the_service_tells(exported: Mapping[str, set[str]]) -> None:
    read = set()
    for panel in _list_panels():
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            _check_expression(target["expr"], exported)
            read |= {_name_family(name) for name in re.findall(r"vestiary_\w+", target["expr"])}
    told = {_name_family(name) for name in exported if name.startswith("vestiary_")}
    assert told - read == {"vestiary_start_time_seconds"}, "which gives the choice of instances"


def _name_family(sample: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", sample)


def test_the_panels_of_the_dashboard_lie_side_by_side() -> None:
    panels = list(_list_panels())
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"] and (panel["type"] == "row" or panel["description"].endswith("."))
        taken |= cells
