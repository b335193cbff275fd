"""Waiting for a Ray cluster: when it goes on, and when it ends with a reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from vestiary.batch import lookout
from vestiary.batch.lookout import Lookout, wait_for


@dataclass
class Simulated:
    """What a look at a cluster finds, and the time at which."""

    at: float = 0.0
    nodes: list[str] = field(default_factory=lambda: ["head", "one"])
    actors: dict[str, tuple[str, int]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def list_actors(self, job_id: str) -> dict[str, dict[str, Any]]:
        assert job_id == "job 01"
        other = {"ActorClassName": "Other", "State": "ALIVE", "NumRestarts": 0}
        return {"other": other} | {
            name: {"ActorClassName": "MapWorker(MapBatches(Answerer))", "State": state, "NumRestarts": deaths}
            for name, (state, deaths) in self.actors.items()
        }

    def pass_by(self, seconds: float) -> str | None:
        """What a Lookout says so much later."""
        self.at += seconds
        return self.lookout.find_reason()

    def __post_init__(self) -> None:
        ray = SimpleNamespace(
            JobID=SimpleNamespace(from_hex=lambda text: f"job {text}"),
            get_runtime_context=lambda: SimpleNamespace(get_job_id=lambda: "01"),
            nodes=lambda: [
                {"NodeID": name, "Alive": name != "gone", "Resources": {} if name == "head" else {"CPU": 2.0}}
                for name in self.nodes
            ],
        )
        self.begin = lambda cores=2: Lookout(ray, "Answerer", cores, self.said.append)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    made: list[Simulated] = []
    state = SimpleNamespace(actors=lambda job_id: made[0].list_actors(job_id))
    monkeypatch.setattr(lookout, "require", lambda *given, **more: state)
    monkeypatch.setattr(lookout, "time", SimpleNamespace(monotonic=lambda: made[0].at))
    made.append(Simulated())
    made[0].lookout = made[0].begin()
    return made[0]


def test_without_room_for_an_actor_it_ends_and_says_what_room_there_is(cluster: Simulated) -> None:
    cluster.actors["a"] = ("PENDING_CREATION", 0)
    assert [cluster.pass_by(seconds) for seconds in (0, 300, 299)] == [None] * 3
    assert cluster.pass_by(1) == (
        "none came for 600 s: no actor came up on its nodes (2), whose cores may be taken by others"
    )
    assert not cluster.said


def test_where_all_nodes_are_gone_it_ends(cluster: Simulated) -> None:
    cluster.actors["a"] = ("ALIVE", 0)
    assert cluster.pass_by(0) is None
    cluster.nodes, cluster.actors["a"] = ["head", "gone"], ("RESTARTING", 1)
    ending = "that an actor needs (--threads)"
    assert cluster.pass_by(600) == f"none came for 600 s: none of its nodes (1) has the 2 cores {ending}"
    cluster.lookout = cluster.begin(1)
    assert cluster.pass_by(600) == f"none came for 600 s: none of its nodes (1) has a core {ending}"


def test_actors_that_are_at_work_are_waited_for_as_long_as_they_take_and_that_is_said(cluster: Simulated) -> None:
    cluster.actors |= {"a": ("ALIVE", 7), "b": ("DEAD", 9)}
    cluster.lookout.hear()
    assert [cluster.pass_by(seconds) for seconds in (0, 600, 300, 300)] == [None] * 4
    assert cluster.said[-1] == (
        "The Ray cluster has given no answer for 1,200 s; it has actors at work (1), which are waited for."
    )
    assert len(cluster.said) == 2


def test_actors_that_die_again_and_again_end_it_though_one_is_alive_when_it_looks(cluster: Simulated) -> None:
    cluster.actors["a"] = ("ALIVE", 0)
    assert cluster.pass_by(0) is None
    for deaths in (1, 3):
        cluster.actors["a"] = ("ALIVE", deaths)
        assert cluster.pass_by(600) is None
    cluster.actors["a"] = ("ALIVE", 4)
    assert cluster.pass_by(600) == (
        "none came for 1,800 s, and actors died (deaths: 4), mostly for lack of memory: take fewer of them with "
        "--actors, or nodes with more memory"
    )


def test_a_cluster_that_grows_is_given_as_long_again(cluster: Simulated) -> None:
    assert cluster.pass_by(0) is None
    cluster.nodes.append("two")
    assert cluster.pass_by(600) is None
    assert cluster.pass_by(599) is None
    assert "no actor came up on its nodes (3)" in (cluster.pass_by(1) or "")


def test_a_node_that_comes_for_one_that_was_lost_is_given_as_long_again_but_not_for_ever(cluster: Simulated) -> None:
    cluster.actors["a"] = ("ALIVE", 0)
    assert cluster.pass_by(0) is None
    cluster.nodes, cluster.actors["a"] = ["head", "two"], ("RESTARTING", 1)
    assert cluster.pass_by(600) is None
    assert cluster.said == ["The Ray cluster has given no answer for 600 s; a node has joined it, and is waited for."]
    cluster.nodes, cluster.actors["a"] = ["head", "three"], ("RESTARTING", 4)
    assert "actors died (deaths: 4)" in (cluster.pass_by(600) or "")


def test_an_answer_lets_patience_begin_anew(cluster: Simulated) -> None:
    assert cluster.pass_by(0) is None
    assert cluster.pass_by(599) is None
    cluster.lookout.hear()
    assert [cluster.pass_by(seconds) for seconds in (1, 599)] == [None] * 2
    assert cluster.pass_by(1) is not None


def test_what_comes_is_passed_on_in_order_and_errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one for one in wait_for(range(50)) if one is not None] == list(range(50))

    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("lost")

    found: list[int | None] = []
    with pytest.raises(ValueError, match="lost"):
        found.extend(wait_for(fail()))
    assert [one for one in wait_for([]) if one is not None] == []


def test_waiting_for_what_never_comes_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "BEAT_S", 0.001)
    monkeypatch.setattr(lookout, "LEAVE_S", 0.001)
    never, closed = threading.Event(), threading.Event()

    def hang() -> Iterator[int]:
        try:
            yield 1
            never.wait()
            yield 2
        finally:
            closed.set()

    things = wait_for(hang())
    assert next(one for one in things if one is not None) == 1
    assert next(things) is None
    things.close()  # type: ignore[attr-defined]
    never.set()
    assert closed.wait(30)
