"""Several processes on one port, and one that watches over them: a worker that dies is replaced."""

from __future__ import annotations

import gc
import multiprocessing
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

from vestiary.errors import UsageError, VestiaryError
from vestiary.web.logs import write_line
from vestiary.web.mounting import explain_absence
from vestiary.web.recorder import STOP_S
from vestiary.web.server import Server, open_socket
from vestiary.web.service import Shared, open_parts
from vestiary.web.settings import Settings
from vestiary.web.tally import Tally

SOON_S: Final = 2.0
"""A worker that dies within so many seconds is replaced only after as many: a fault must not keep the cores busy."""
SPARE_FILES: Final = 64
"""What a worker has open beside its connections, and those that are just being sent away."""
_LOOK_S: Final = 0.2

multiprocessing.allow_connection_pickling()
_spawn = multiprocessing.get_context("spawn")


class _Resident(Server):
    """A server with a process of its own."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen; what has been loaded by now stays, and the garbage collector need not look at it again."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()


def serve(settings: Settings, tell: Callable[[socket.socket], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``tell`` gets the listening socket just before the start.

    Raises BundleError, LedgerError, SimilarError or UsageError for a bundle, ledger, index or folder that cannot be
    used, and UsageError for an address that cannot be had.
    """
    if sys.platform == "win32" and settings.workers > 1:
        raise UsageError("Several workers need a POSIX system; start one, with --workers 1.")
    _allow_files(settings.max_connections + SPARE_FILES)
    if settings.workers == 1:
        server = _Resident(settings)
        listener = open_socket(settings)
        tell(listener)
        server.run(sockets=[listener])
        return
    from vestiary.bundle import locate_bundle, open_bundle

    # What no worker could use is refused here, once, and not by each of them for ever. A bundle at an address is looked
    # up here alone, so that a worker that is started later answers by the same one.
    settings = settings.model_copy(update={"bundle": str(locate_bundle(settings.bundle))})
    bundle = open_bundle(settings.bundle)
    bundle.choose_model(settings.precision)
    bundle.choose_attributes(settings.decide_on)
    _, recorder = open_parts(settings, bundle, Tally(()))
    if recorder is not None and recorder.ledger is not None:
        recorder.ledger.close()
    listener = open_socket(settings)
    explain_absence(settings)
    tell(listener)
    with tempfile.TemporaryDirectory(prefix="vestiary-") as folder:
        shared = Shared(Path(folder) / "tally", Path(folder) / "rates", secrets.token_bytes(16), time.time())
        shared.tally.touch()
        shared.rates.touch()
        _Watch(settings, listener, shared).run()


def _allow_files(n: int) -> None:
    """Let this process and its workers open so many files, as far as the system allows it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < n:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n if hard == resource.RLIM_INFINITY else min(n, hard), hard))


class _Watch:
    """The parent: starts the workers, replaces the dead, passes the word to stop."""

    def __init__(self, settings: Settings, listener: socket.socket, shared: Shared) -> None:
        self._arguments = (settings, listener, shared)
        self._settings = settings
        self._is_stopping = False
        self._workers: dict[SpawnProcess, float] = {}
        self._due: list[float] = []

    def run(self) -> None:
        """Watch until told to stop and every worker has ended."""
        before = {kind: signal.signal(kind, self._stop) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            for _ in range(self._settings.workers):
                self._start()
            while not self._is_stopping:
                wait([worker.sentinel for worker in self._workers], timeout=_LOOK_S)
                for worker in [worker for worker in self._workers if not worker.is_alive()]:
                    self._bury(worker)
                for due in [due for due in self._due if due <= time.monotonic()]:
                    self._due.remove(due)
                    self._start()
            self._end()
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _stop(self, kind: int, frame: object) -> None:
        self._is_stopping = True

    def _start(self) -> None:
        worker = _spawn.Process(target=_work, args=self._arguments)
        worker.start()
        self._workers[worker] = time.monotonic()

    def _bury(self, worker: SpawnProcess) -> None:
        """Forget a dead worker, and settle when its replacement is due."""
        now = time.monotonic()
        lived = now - self._workers.pop(worker)
        self._due.append(now if lived >= SOON_S else now + SOON_S)
        write_line("worker", state="died", exit_code=worker.exitcode)

    def _end(self) -> None:
        self._arguments[1].close()  # the workers have copies, and the last of them to leave closes the port
        for worker in self._workers:
            worker.terminate()
        until = time.monotonic() + self._settings.shutdown_s + STOP_S + 5
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


def _work(settings: Settings, listener: socket.socket, shared: Shared) -> None:
    """One worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    try:
        _Resident(settings, shared).run(sockets=[listener])
    except VestiaryError as error:
        write_line("fault", kind=type(error).__name__)
        sys.exit(error.exit_code)


def _follow(sentinel: int) -> None:
    """End when the parent is gone, however it went."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
