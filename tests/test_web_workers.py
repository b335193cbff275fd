"""The service as its own process, with one worker or several: kills, stops, and figures that stay true."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from conftest import wait_until
from vestiary.ledger import open_ledger

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="several workers need a POSIX system")


class Started:
    """``vestiary serve`` as a process of its own on a free port."""

    def __init__(self, log: Path, *arguments: str, **variables: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "vestiary", "serve", "--port", "0", *arguments]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stderr=file, env=os.environ | variables)
        wait_until(lambda: "answers at" in log.read_text() or self.process.poll() is not None)
        found = re.search(r"http://[\d.:]+", log.read_text())
        assert found, log.read_text()
        self.url = found[0]

    def children(self) -> list[int]:
        pid = self.process.pid
        known = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in known}
        return [child for child, command in commands.items() if b"spawn_main" in command]

    def ready_workers(self) -> int:
        with contextlib.suppress(httpx.TransportError):
            return int(httpx.get(f"{self.url}/readyz", timeout=30).json()["workers"]["ready"])
        return -1

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def run(*arguments: str, **variables: str) -> Started:
        started.append(Started(tmp_path / f"log-{len(started)}", *arguments, **variables))
        return started[-1]

    yield run
    for each in started:
        each.end()


def read_counts(url: str) -> tuple[float, float]:
    text = httpx.get(f"{url}/metrics", timeout=30).text
    requests = re.search(r'vestiary_requests_total\{route="/predict",status="200"\} ([\d.]+)', text)
    pictures = re.search(r'vestiary_pictures_total\{outcome="success"\} ([\d.]+)', text)
    assert requests is not None
    assert pictures is not None
    return float(requests[1]), float(pictures[1])


def test_workers_tell_one_set_of_figures_and_a_killed_one_is_replaced(
    start: Callable[..., Started], photo: bytes
) -> None:
    service = start("--workers", "2", VESTIARY_LOG_REQUESTS="false")
    wait_until(lambda: service.ready_workers() == 2)
    for _ in range(24):
        assert httpx.post(f"{service.url}/predict", files={"file": photo}, timeout=30).status_code == 200
    assert {read_counts(service.url) for _ in range(12)} == {(24.0, 24.0)}
    assert httpx.get(f"{service.url}/stats").json()["total_requests"] == 24

    victim = service.children()[0]
    service.process.send_signal(signal.SIGSTOP)  # so that it replaces nobody while we look
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: service.ready_workers() == 1)
    told = httpx.get(f"{service.url}/readyz")
    assert (told.status_code, told.json()["status"]) == (200, "degraded")
    assert httpx.post(f"{service.url}/predict", files={"file": photo}, timeout=30).status_code == 200
    service.process.send_signal(signal.SIGCONT)
    wait_until(lambda: service.ready_workers() == 2)
    assert victim not in service.children()
    assert {read_counts(service.url) for _ in range(12)} == {(25.0, 25.0)}
    assert '"event": "worker", "state": "died", "exit_code": -9' in service.log.read_text()

    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0


def test_several_workers_are_refused_where_they_cannot_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    from vestiary.errors import UsageError
    from vestiary.web import workers
    from vestiary.web.settings import load_settings

    monkeypatch.setattr(workers.sys, "platform", "win32")
    with pytest.raises(UsageError, match="start one, with --workers 1"):
        workers.serve(load_settings(workers=2), lambda listener: pytest.fail("the port was opened"))


def test_as_many_connections_as_are_set_fit_under_the_limit_of_open_files(start: Callable[..., Started]) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        service = start(VESTIARY_MAX_CONNECTIONS="400")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)[0] >= min(400, hard)


def test_two_that_look_at_once_do_not_take_a_dead_worker_for_a_living_one(tmp_path: Path) -> None:
    from vestiary.web.tally import Tally

    table = tmp_path / "tally"
    table.touch()
    tally = Tally((), rows=2, path=table)
    tally.set_gauge("ready", 1)
    make = (
        f"from vestiary.web.tally import Tally; own = Tally((), rows=2, path={str(table)!r}); own.set_gauge('ready', 1)"
    )
    look = "print(own.row, own.gauge('ready'))"
    told = subprocess.run([sys.executable, "-c", f"{make}; {look}"], capture_output=True, text=True, timeout=60)
    assert told.stdout == "1 2.0\n"
    looking = "import fcntl, sys; file = open(sys.argv[1]); "
    looking += "fcntl.lockf(file, fcntl.LOCK_SH, 1, 1); print(flush=True); input()"
    command = [sys.executable, "-c", looking, str(table)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert tally.gauge("ready") == 1
        other.communicate(b"\n", timeout=60)


def test_rates_are_kept_over_all_workers(start: Callable[..., Started], photo: bytes) -> None:
    service = start("--workers", "2", VESTIARY_RATE_PER_MINUTE="1", VESTIARY_RATE_BURST="5")
    wait_until(lambda: service.ready_workers() == 2)
    answers = [httpx.post(f"{service.url}/predict", files={"file": photo}, timeout=30) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 7


def test_workers_do_not_outlive_their_parent(start: Callable[..., Started]) -> None:
    service = start("--workers", "2")
    wait_until(lambda: service.ready_workers() == 2)
    children = service.children()
    service.process.kill()
    service.process.wait(60)
    wait_until(lambda: not any(is_running(child) for child in children))


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_under_load_loses_no_accepted_request(start: Callable[..., Started], photo: bytes, workers: str) -> None:
    service = start("--workers", workers, VESTIARY_LOG_REQUESTS="false", VESTIARY_SHUTDOWN_S="20")
    wait_until(lambda: service.ready_workers() == int(workers))
    with open_ledger() as ledger:
        before = ledger.describe()["rows"]["predictions"]
    is_over = threading.Event()
    outcomes: list[str] = []

    def send_until_over() -> None:
        while not is_over.is_set():
            try:
                answer = httpx.post(f"{service.url}/predict", files={"file": photo}, timeout=30)
                outcomes.append(str(answer.status_code))
            except httpx.ConnectError:
                outcomes.append("refused")
                return
            except httpx.TransportError as error:
                outcomes.append(type(error).__name__)

    senders = [threading.Thread(target=send_until_over) for _ in range(8)]
    for sender in senders:
        sender.start()
    wait_until(lambda: outcomes.count("200") > 30)
    service.process.send_signal(signal.SIGTERM)
    code = service.process.wait(60)
    is_over.set()
    for sender in senders:
        sender.join(60)
    assert code == 0
    assert set(outcomes) <= {"200", "503", "refused"}, sorted(outcomes)
    assert "refused" in outcomes
    with open_ledger() as ledger:
        assert ledger.describe()["rows"]["predictions"] - before == outcomes.count("200")


def test_a_bundle_that_was_damaged_since_is_refused_at_the_start(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    bundle = make_bundle()
    model = bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    for workers in ("1", "2"):
        options = ["--port", "0", "--workers", workers, "--bundle", str(bundle)]
        command = [sys.executable, "-m", "vestiary", "serve", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert "model.onnx is not as it was written" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_precision_that_the_bundle_does_not_have_is_refused_at_the_start(
    make_bundle: Callable[..., Path], workers: str
) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    command = [sys.executable, "-m", "vestiary", "serve", "--port", "0", "--workers", workers]
    variables = os.environ | {"VESTIARY_PRECISION": "int8", "VESTIARY_BUNDLE": str(make_bundle())}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables)
    assert done.returncode == 2
    assert "has no int8 model" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("VESTIARY_INDEX", "holds no index of similar products"),
        ("VESTIARY_KEEP_PICTURES", "is a file, but photos are kept in a folder"),
        ("VESTIARY_LEDGER_URL", "is no ledger but some other file"),
    ],
)
def test_what_no_worker_could_use_is_refused_before_there_are_any(tmp_path: Path, variable: str, said: str) -> None:
    place = tmp_path / "note.txt"
    place.write_text("only words\n" * 200)
    command = [sys.executable, "-m", "vestiary", "serve", "--port", "0", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {variable: str(place)})
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
