"""Waiting for a Ray cluster: as long as it takes where somebody is at work, and not for ever where nobody can be.

Ray itself waits without end for a node that has room, for an actor that dies each time it is started, and for an answer
that was lost together with all who could give it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, Final, TypeVar

from vestiary.errors import require

Thing = TypeVar("Thing")

BEAT_S: Final = 1.0
"""Seconds between two looks up while nothing comes."""
IDLE_S: Final = 600.0
"""Seconds without an answer after which the cluster is looked at; one that grows may need some minutes for a node."""
DEATHS: Final = 3
"""How often an actor may die without an answer from any: before it has begun, one after the other; and after that."""
LEAVE_S: Final = 5.0
"""Seconds in which Ray may tidy up when its answers are no longer wanted."""


def wait_for(things: Iterable[Thing]) -> Iterator[Thing | None]:
    """Each of ``things``, and a None for every BEAT_S in which none came.

    A thread of its own takes them, so that waiting can be ended where what is waited for never returns. What it raises
    is raised here.
    """
    got: Queue[tuple[Thing | None, BaseException | None]] = Queue(1)
    is_over = threading.Event()

    def take() -> None:
        try:
            for thing in things:
                got.put((thing, None))
                if is_over.is_set():
                    return
            got.put((None, None))
        except BaseException as error:
            got.put((None, error))

    thread = threading.Thread(target=take, name="vestiary-ray", daemon=True)
    thread.start()
    try:
        while True:
            try:
                thing, error = got.get(timeout=BEAT_S)
            except Empty:
                yield None
                continue
            if error is not None:
                raise error
            if thing is None:
                return
            yield thing
    finally:
        is_over.set()
        with suppress(Empty):
            got.get_nowait()  # the thread may wait for room
        thread.join(LEAVE_S)


@dataclass(frozen=True)
class _Sight:
    """A cluster at one moment: its nodes, and of each of our actors whether it is at work and how often it died.

    ``has_place`` tells whether a node is large enough for an actor, be it in use or not.
    """

    at: float
    nodes: frozenset[str]
    has_place: bool
    actors: Mapping[str, tuple[bool, int]]

    def count_deaths(self, actor: str) -> int:
        return self.actors[actor][1] if actor in self.actors else 0


class Lookout:
    """Tells a cluster that is slow from one that will never answer."""

    def __init__(self, ray: Any, actor: str, cores: int, say: Callable[[str], None]) -> None:
        """To be made before the actors are: ``actor`` stands in the name of their class; each needs so many ``cores``.

        ``say`` is told, in a sentence, when the cluster goes on being waited for.
        """
        self._ray, self._actor, self._cores, self._say = ray, actor, cores, say
        self._state = require("ray._private.state", extra="ray", feature="The engine ray")
        self._first: _Sight | None = self._look()
        self._last = self._first

    def hear(self) -> None:
        """An answer came: patience begins anew."""
        self._first = None

    def find_reason(self) -> str | None:
        """Why there is no point in waiting on, in some words; None as long as there is one.

        There is for IDLE_S, and then for as many again whenever an actor is at work or a node has joined meanwhile;
        but not where every actor has died more than DEATHS times since there was an answer from any.
        """
        if self._first is None:
            self._first = self._last = self._look()
        if time.monotonic() - self._last.at < IDLE_S:
            return None
        before, now = self._last, self._look()
        self._last, idle_s = now, round(now.at - self._first.at)
        deaths = {actor: now.count_deaths(actor) - self._first.count_deaths(actor) for actor in now.actors}
        n_at_work = sum(is_alive and deaths[actor] <= DEATHS for actor, (is_alive, _) in now.actors.items())
        if n_at_work:
            self._say(
                f"The Ray cluster has given no answer for {idle_s:,} s; it has actors at work ({n_at_work}), "
                "which are waited for."
            )
            return None
        if now.nodes - before.nodes and min(deaths.values(), default=0) <= DEATHS:
            self._say(f"The Ray cluster has given no answer for {idle_s:,} s; a node has joined it, and is waited for.")
            return None
        n_deaths = sum(deaths.values())
        if n_deaths and now.has_place:
            return (
                f"none came for {idle_s:,} s, and actors died (deaths: {n_deaths}), mostly for lack of memory: take "
                "fewer of them with --actors, or nodes with more memory"
            )
        return f"none came for {idle_s:,} s: {self._describe_room(now)}"

    def _look(self) -> _Sight:
        job = self._ray.JobID.from_hex(self._ray.get_runtime_context().get_job_id())
        actors = {
            actor: (row["State"] == "ALIVE", int(row["NumRestarts"]))
            for actor, row in self._state.actors(job_id=job).items()
            if self._actor in row["ActorClassName"] and row["State"] != "DEAD"
        }
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        has_place = any(node["Resources"].get("CPU", 0) >= self._cores for node in nodes)
        return _Sight(time.monotonic(), frozenset(node["NodeID"] for node in nodes), has_place, actors)

    def _describe_room(self, now: _Sight) -> str:
        if not now.has_place:
            cores = "a core" if self._cores == 1 else f"the {self._cores} cores"
            return f"none of its nodes ({len(now.nodes)}) has {cores} that an actor needs (--threads)"
        return f"no actor came up on its nodes ({len(now.nodes)}), whose cores may be taken by others"
