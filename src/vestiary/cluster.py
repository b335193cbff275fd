"""Ray, as batches and training use it: one way in, nothing sent outside, and a sentence for what goes wrong."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from vestiary.errors import UsageError, first_sentence, require

LOCAL: Final = "local"
"""The address that starts a Ray on this machine, for as long as it is needed."""
ANSWER_S: Final = 5.0
"""Seconds in which a cluster must answer; Ray itself would ask for minutes."""
TRIES: Final = 4
"""How often a Ray is started here: it gives its own processes half a minute, which a busy machine exceeds."""
STORE_BYTES: Final = 200_000_000
"""Shared memory of a Ray that is started here; what does not fit goes to the disk."""
QUIET: Final[Mapping[str, str]] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
"""Nothing is reported to Ray's makers, its advice for programmers is not printed, and processes stay in the folder that
they were started in; what still runs when a cluster is left starts none of its own. Whoever sets one of these is
obeyed."""


@dataclass(frozen=True)
class Cluster:
    """Where to find Ray: ``host:port`` of a head node, "auto" for the cluster that this machine belongs to, "local".

    None means what ``RAY_ADDRESS`` says, and "local" where that is not set.
    """

    address: str | None = None

    @property
    def place(self) -> str:
        """The address in the end."""
        return self.address or os.environ.get("RAY_ADDRESS") or LOCAL

    @contextmanager
    def join(self) -> Iterator[Any]:
        """The package ``ray``, connected; left again at the end, unless this process was connected before.

        Raises MissingExtraError without Ray, UsageError for an address that does not answer within ANSWER_S.
        """
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        ray = require("ray", extra="ray", feature="The engine ray")
        if ray.is_initialized():
            yield ray
            return
        self._connect(ray)
        try:
            yield ray
        finally:
            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        address = self.place
        own = {"include_dashboard": False, "object_store_memory": STORE_BYTES} if address == LOCAL else {}
        if address not in (LOCAL, "auto"):
            _check_address(address)
        for tries_left in reversed(range(TRIES if address == LOCAL else 1)):
            try:
                with keep_handler(signal.SIGTERM):
                    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
                return
            except Exception as error:  # Ray raises almost any kind, the plainest for a node that starts too slowly
                ray.shutdown()
                if not tries_left:
                    raise _describe(address, error, ray.__version__) from error


def _describe(address: str, error: Exception, version: str) -> UsageError:
    """Why there is no Ray, and what to do about it."""
    reason = first_sentence(error)
    if address == LOCAL:
        return UsageError(
            f"Ray cannot be started on this machine ({reason}); try again when it has less to do, or name a cluster "
            "with --ray-address."
        )
    return UsageError(
        f"Ray cannot be used at {address} ({reason}); check that the cluster runs, and that it has the Ray {version} "
        "and the Python that are here."
    )


def choose_cluster(engine: str, address: str | None, **others: object) -> Cluster | None:
    """The cluster that the options ``--engine`` and ``--ray-address`` ask for; None for this machine without Ray.

    ``others`` are further options by name that only Ray knows. Raises UsageError for an engine that is none, and for
    options of Ray without it.
    """
    if engine == "ray":
        return Cluster(address)
    if engine != "local":
        raise UsageError(f"--engine {engine} is not known; choose one of: local, ray.")
    for option, value in {"--ray-address": address, **others}.items():
        if value:
            raise UsageError(f"{option} is for a Ray cluster; add --engine ray, or leave it out.")
    return None


def _check_address(address: str) -> None:
    """Raise UsageError for an address that is none, and for one at which nobody speaks Ray's protocol."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UsageError(
            f"{address} is no address of a Ray cluster; name its head node as host:port (6379 is Ray's port), and run "
            "the command on a machine of that cluster."
        )
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return  # Ray's own certificates would be needed for a first look
    grpc = require("grpc", extra="ray", feature="The engine ray")
    channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    try:
        grpc.channel_ready_future(channel).result(timeout=ANSWER_S)
    except grpc.FutureTimeoutError:
        raise UsageError(
            f"No Ray cluster answers at {address} within {ANSWER_S:g} s; check the address, and that the cluster runs "
            "and can be reached from here."
        ) from None
    finally:
        channel.close()


@contextmanager
def keep_handler(number: signal.Signals) -> Iterator[None]:
    """Put back what answers a signal: Ray sets answers of its own, and whoever uses it may have something to finish."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(number)
    try:
        yield
    finally:
        signal.signal(number, before)
