"""Requests per second of the service against its rivals: one model, the same pictures, the same machine, one run.

    python benchmarks/serving.py [--seconds 10] [--rounds 3] [--connections 1 16 64] [--only vestiary bare …]
                                 [--steady 60] [--flood 500]

The rivals, each a process of its own on a free port of the loopback address:

    flask     Flask and an eager torch network of the same recipe, as the older services were built (its own server,
              threads on); needs flask and the extra train
    litserve  LitServe and ONNX Runtime, batches of up to 16; needs litserve
    fastapi   FastAPI and ONNX Runtime, a picture at a time, in its thread pool
    vestiary  vestiary serve
    workers   vestiary serve with a worker for each core
    bare      no server: decoding and the model in a loop on as many threads as there are cores; what is left of this is
              what serving costs

A rival whose packages are not installed is named and left out. The load comes from wrk, or where it is not installed
from this process: so many connections are kept open, each sends its next request when it has its answer. For each
rival, size of picture and number of connections: requests/s, median, 95th and 99th percentile in ms, CPU ms of the
server for each request, its memory. In each round all rivals have their turn; the ratios are those of the medians.
With ``--steady S`` the service is then sent 80 % of what it managed, at fixed times, for S seconds; with ``--flood N``
it gets N connections with a request each at once, nine times, and is asked how soon it told those it sent away.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import importlib.util
import io
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from load import HAS_WRK, Load, encode_request, load_closed, load_open, load_wrk, send_flood
from PIL import Image

from vestiary.bundle import open_bundle
from vestiary.predictor import Predictor

SIZES = {"60x80": (60, 80), "1080x1440": (1080, 1440)}
FLOODS = 9
NEEDS = {"flask": ("flask", "torch"), "litserve": ("litserve",), "fastapi": ("fastapi",)}
NEEDS |= {"vestiary": ("fastapi",), "workers": ("fastapi",)}
RIVALS = (*NEEDS, "bare")
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Figures:
    """What was measured: what became of the load, and the processor seconds and bytes of memory that it cost."""

    load: Load
    cpu_s: float
    memory: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.load.answered / self.load.seconds

    def describe(self) -> str:
        """The columns of the table."""
        if self.load.answered < 2:
            return "no answers"
        cuts = statistics.quantiles(self.load.times, n=100, method="inclusive")
        cpu = 1000 * self.cpu_s / self.load.answered
        columns = [f"{self.rate:8.1f}", *(f"{1000 * cuts[at]:8.1f}" for at in (49, 94, 98))]
        return " ".join([*columns, f"{cpu:8.2f}", f"{self.memory / 1e6:8.0f}", f"{self.load.failed:6d}"])


def load_photo(size: tuple[int, int]) -> bytes:
    """A product photo as a JPEG of this size."""
    path = Path(__file__).parents[1] / "examples" / "photos" / "red-dress.jpg"
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def find_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(rival: str, ledger: str = "none") -> Iterator[tuple[int, int]]:
    """A rival's process while it answers: its port and process id. Only vestiary can keep a ledger."""
    port = find_port()
    own = ["-m", "vestiary", "serve", "--port", str(port)]
    commands = {
        "vestiary": own,
        "workers": [*own, "--workers", str(CORES)],
        "litserve": [str(Path(__file__).with_name("litserve_rival.py")), str(port)],
    }
    command = [sys.executable, *commands.get(rival, [__file__, "--serve", rival, "--port", str(port)])]
    with tempfile.TemporaryFile() as log:
        quiet = os.environ | {"VESTIARY_LOG_REQUESTS": "false", "VESTIARY_LEDGER_URL": ledger}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=quiet, start_new_session=True)
        try:
            until = time.monotonic() + 120
            while True:
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise RuntimeError(f"{rival} did not start:\n{log.read().decode()[-2000:]}")
                try:
                    # Any answer will do; a port that listens is not enough, since it is opened before all is ready.
                    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    asking.request("GET", "/healthz")
                    asking.getresponse()
                    asking.close()
                    break
                except (OSError, http.client.HTTPException):
                    time.sleep(0.1)
            yield port, process.pid
        finally:
            for end, seconds in ((signal.SIGTERM, 60), (signal.SIGKILL, 5)):  # LitServe leaves processes that compute
                with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(process.pid, end)
                    process.wait(seconds)


def read_usage(group: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of every process of a session."""
    cpu, memory = 0.0, 0
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == group:
                cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            continue
    return cpu, memory


def measure(pid: int, work: Callable[[], Load]) -> Figures:
    """What a load did, and what it cost the server."""
    before = read_usage(pid)[0]
    load = work()
    after, memory = read_usage(pid)
    return Figures(load, after - before, memory)


def measure_bare(photo: bytes, connections: int, seconds: float) -> Figures:
    """Decoding and the model in a loop: ``connections`` pictures are shared out to a thread for each core."""
    predictor = Predictor(open_bundle(), threads=1)
    batch = max(1, min(16, connections // CORES))
    times: list[float] = []
    lock = threading.Lock()
    until = time.perf_counter() + seconds

    def loop(_: int) -> None:
        while (start := time.perf_counter()) < until:
            predictor.answer([predictor.prepare("a", photo) for _ in range(batch)], top_k=3)
            with lock:
                times.extend([time.perf_counter() - start] * batch)

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    threads = min(CORES, connections)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(loop, range(threads)))
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figures(Load(seconds, len(times), times, 0), cpu, 1024 * after.ru_maxrss)


def serve_flask(port: int) -> None:
    """As the older services were built: an eager network, a picture at a time, Flask's own server with threads."""
    import torch

    from vestiary.training.model import Classifier, to_pixels
    from vestiary.training.recipe import parse_recipe

    flask: Any = importlib.import_module("flask")
    bundle = open_bundle()
    network = Classifier(parse_recipe(dict(bundle.training["recipe"])), bundle.taxonomy).eval()
    app = flask.Flask("rival")

    @app.post("/predict")  # type: ignore[untyped-decorator]
    def predict() -> Any:
        image = Image.open(flask.request.files["file"].stream).convert("RGB")
        pixels = torch.from_numpy(bundle.preprocess(image).copy())[None]
        with torch.no_grad():
            logits = network(to_pixels(pixels))
        best = [torch.softmax(scores, 1)[0].max(0) for scores in logits]
        values = {
            attribute.name: attribute.values[int(found.indices)]
            for attribute, found in zip(bundle.taxonomy.attributes, best, strict=True)
        }
        scores = [float(found.values) for found in best]
        return flask.jsonify(predictions=values, confidences=dict(zip(values, scores, strict=True)), status="success")

    app.run("127.0.0.1", port, threaded=True)


def serve_fastapi(port: int) -> None:
    """FastAPI with the same model in ONNX Runtime, a picture at a time in FastAPI's thread pool."""
    import fastapi
    import uvicorn

    predictor = Predictor(open_bundle(), threads=1)
    app = fastapi.FastAPI()

    def predict(file: fastapi.UploadFile) -> dict[str, Any]:
        return predictor.answer([predictor.prepare("a", file.file.read())])[0].to_dict()

    predict.__annotations__ = {"file": fastapi.UploadFile, "return": dict[str, Any]}
    app.post("/predict")(predict)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def find_missing(rival: str) -> list[str]:
    """The packages of a rival that are not installed."""
    return [package for package in NEEDS.get(rival, ()) if importlib.util.find_spec(package) is None]


def run_rival(
    rival: str, photos: dict[str, bytes], connections: list[int], seconds: float
) -> dict[tuple[str, int], Figures]:
    """Measure one rival at every size and number of connections, and print as it goes."""
    found: dict[tuple[str, int], Figures] = {}

    def note(size: str, n: int, figures: Figures) -> None:
        found[size, n] = figures
        print(f"{rival:<9} {size:<10} {n:>5} {figures.describe()}", flush=True)

    if rival == "bare":
        for size, photo in photos.items():
            for n in connections:
                note(size, n, measure_bare(photo, n, seconds))
        return found
    with running(rival) as (port, pid):

        def load(photo: bytes, n: int, seconds: float) -> Load:
            if HAS_WRK:
                return load_wrk(port, photo, n, seconds)
            return load_closed(port, encode_request(photo), n, seconds)

        for size, photo in photos.items():
            load(photo, 4, 2.0)  # the first answers are not counted
            for n in connections:
                note(size, n, measure(pid, partial(load, photo, n, seconds)))
    return found


def main() -> None:
    """Measure, and print a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--only", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--steady", type=float, default=0.0, help="seconds at 80 %% of what the service managed")
    parser.add_argument("--flood", type=int, default=0, help="connections with a request at once")
    parser.add_argument("--serve", choices=("flask", "fastapi"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        {"flask": serve_flask, "fastapi": serve_fastapi}[options.serve](options.port)
        return
    photos = {name: load_photo(SIZES[name]) for name in options.sizes}
    print(f"{CORES} cores, {options.seconds:g} s each; {'wrk' if HAS_WRK else 'an own generator'} on the same cores")
    columns = [f"{name:>8}" for name in ("req/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "MB")]
    print(f"{'':<9} {'picture':<10} conns {' '.join(columns)} failed")
    rates: dict[str, dict[tuple[str, int], list[float]]] = {}
    for rival in options.only:
        if missing := find_missing(rival):
            print(f"{rival:<9} left out: {', '.join(missing)} is not installed")
        else:
            rates[rival] = {}
    for _ in range(options.rounds):
        for rival, found in rates.items():
            for key, figures in run_rival(rival, photos, options.connections, options.seconds).items():
                found.setdefault(key, []).append(figures.rate)
    medians = {rival: {key: statistics.median(each) for key, each in found.items()} for rival, found in rates.items()}
    for own in [rival for rival in ("vestiary", "workers") if rival in medians]:
        for rival, table in medians.items():
            ratios = [f"{size} at {n}: {medians[own][size, n] / rate:.2f}" for (size, n), rate in table.items() if rate]
            if rival != own:
                print(f"{own} / {rival}: {', '.join(ratios)}")
    if options.steady and "vestiary" in medians:
        hold_steady(photos, medians["vestiary"], max(options.connections), options.steady)
    if options.flood:
        measure_flood(photos, options.flood)


def measure_flood(photos: dict[str, bytes], n: int) -> None:
    """How soon each of many at once was answered or sent away; the first flood warms up and is not told."""
    with running("vestiary") as (port, _):
        for size, photo in photos.items():
            request = encode_request(photo)
            send_flood(port, request, n)
            floods = []
            for _ in range(FLOODS):
                time.sleep(2)
                floods.append(send_flood(port, request, n))
            for status in sorted({status for flood in floods for status, times in flood.items() if times}):
                each = [flood[status] for flood in floods if flood.get(status)]
                count = statistics.median(map(len, each))
                half, last = (
                    f"{statistics.median(found):.0f} ms ({min(found):.0f} to {max(found):.0f})"
                    for found in ([1000 * of(times) for times in each] for of in (statistics.median, max))
                )
                told = f"{count:.0f} times {status or 'no answer'}, half after {half}, the last after {last}"
                print(f"flood of {n}, {size}: {told}", flush=True)


def hold_steady(photos: dict[str, bytes], rates: dict[tuple[str, int], float], n: int, seconds: float) -> None:
    """80 % of what the service managed, at fixed times."""
    with running("vestiary") as (port, pid):
        for size, photo in photos.items():
            rate, request = 0.8 * rates[size, n], encode_request(photo)
            figures = measure(pid, lambda r=request, per_s=rate: asyncio.run(load_open(port, r, per_s, seconds)))  # type: ignore[misc]
            print(f"steady {rate:.0f}/s for {seconds:g} s, {size}: {figures.describe()}", flush=True)


if __name__ == "__main__":
    main()
