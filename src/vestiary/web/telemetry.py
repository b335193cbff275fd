"""The counts of the service as others read them: Prometheus text, and the summary that older clients poll."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vestiary.bundle import Bundle
from vestiary.web.tally import Tally
from vestiary.web.watch import Measured

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_STAGES: Final = ("queue", "decode", "infer")


class _Counts(Collector):
    def __init__(self, tally: Tally, bundle: Bundle, drift: Measured | None) -> None:
        self.tally, self.bundle, self.drift = tally, bundle, drift

    def collect(self) -> Iterator[Metric]:
        tally = self.tally
        requests = CounterMetricFamily("vestiary_requests", "Requests that are over.", labels=["route", "status"])
        for (route, status), n in tally.requests().items():
            requests.add_metric([route, str(status)], n)
        yield requests
        refused = CounterMetricFamily(
            "vestiary_refused_connections", "Connections answered before there was a request.", labels=["status"]
        )
        for status, n in tally.refusals().items():
            refused.add_metric([str(status)], n)
        yield refused
        pictures = CounterMetricFamily("vestiary_pictures", "Pictures that were looked at.", labels=["outcome"])
        pictures.add_metric(["success"], tally.counter("successes"))
        pictures.add_metric(["failure"], tally.counter("failures"))
        yield pictures
        yield CounterMetricFamily("vestiary_received_bytes", "Bytes of bodies.", value=tally.counter("bytes_in"))
        records = CounterMetricFamily("vestiary_ledger_records", "Answers for the ledger.", labels=["outcome"])
        for outcome in ("written", "dropped", "lost"):
            records.add_metric([outcome], tally.counter(f"records_{outcome}"))
        yield records
        photos = CounterMetricFamily("vestiary_album_photos", "Photos for review.", labels=["outcome"])
        for outcome in ("kept", "lost"):
            photos.add_metric([outcome], tally.counter(f"photos_{outcome}"))
        yield photos
        total = HistogramMetricFamily("vestiary_request_seconds", "From the head of a request to its answer.")
        total.add_metric([], *tally.histogram("total"))
        yield total
        stages = HistogramMetricFamily("vestiary_stage_seconds", "Where a picture's time goes.", labels=["stage"])
        for stage in _STAGES:
            stages.add_metric([stage], *tally.histogram(stage))
        yield stages
        batches = HistogramMetricFamily("vestiary_batch_pictures", "Pictures that went through the model at once.")
        batches.add_metric([], *tally.histogram("batch"))
        yield batches
        yield from self._gauges()
        if self.drift is not None:
            yield from _list_drift(self.drift)

    def _gauges(self) -> Iterator[Metric]:
        tally = self.tally
        yield GaugeMetricFamily("vestiary_requests_in_flight", "Requests held now.", value=tally.gauge("in_flight"))
        yield GaugeMetricFamily("vestiary_pictures_waiting", "Pictures not begun yet.", value=tally.gauge("waiting"))
        workers = GaugeMetricFamily("vestiary_workers", "Processes that answer.", labels=["state"])
        workers.add_metric(["wanted"], tally.rows)
        workers.add_metric(["ready"], tally.gauge("ready"))
        yield workers
        yield GaugeMetricFamily("vestiary_start_time_seconds", "When the service started.", value=tally.started_at)
        bundle = GaugeMetricFamily("vestiary_bundle", "The bundle.", labels=["name", "version", "fingerprint"])
        bundle.add_metric([self.bundle.name, self.bundle.version, self.bundle.fingerprint], 1)
        yield bundle


def _list_drift(drift: Measured) -> Iterator[Metric]:
    """What was measured; of too few pictures only their number."""
    report = drift.report
    yield GaugeMetricFamily("vestiary_drift_pictures", "Pictures compared with the reference.", value=report.n)
    yield GaugeMetricFamily("vestiary_drift_measured_time_seconds", "When drift was measured.", value=drift.at)
    if not report.is_judged:
        return
    yield GaugeMetricFamily("vestiary_drift_alarm", "Whether any figure is over its limit.", value=report.alarm)
    distance = GaugeMetricFamily(
        "vestiary_drift_distance", "How far pictures are from the reference.", labels=["figure", "attribute"]
    )
    limit = GaugeMetricFamily("vestiary_drift_limit", "How far they may be.", labels=["figure", "attribute"])
    for figure in report.figures:
        if figure.distance is not None:
            distance.add_metric([figure.name, figure.attribute], figure.distance)
            limit.add_metric([figure.name, figure.attribute], figure.limit)
    yield distance
    yield limit


def render_metrics(tally: Tally, bundle: Bundle, drift: Measured | None = None) -> bytes:
    """Everything in Prometheus' text format 0.0.4; the gauges of drift only where it has been measured."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Counts(tally, bundle, drift))
    return bytes(generate_latest(registry))


def summarise(tally: Tally, counted_routes: Iterable[str], now: float | None = None) -> dict[str, Any]:
    """The keys of ``/stats`` that are counts and times; ``success_rate`` is a share, 0..1, 0 before any picture."""
    uptime = int((time.time() if now is None else now) - tally.started_at)
    wanted = set(counted_routes)
    total = sum(n for (route, _), n in tally.requests().items() if route in wanted)
    successes, failures = tally.counter("successes"), tally.counter("failures")
    hours, rest = divmod(uptime, 3600)
    return {
        "uptime_seconds": uptime,
        "uptime_human": f"{hours}h {rest // 60}m {rest % 60}s",
        "total_requests": total,
        "total_images_processed": successes + failures,
        "successful_predictions": successes,
        "failed_predictions": failures,
        "success_rate": round(successes / (successes + failures), 4) if successes + failures else 0.0,
    }
