"""The queue between routes and predictor: what goes when, and who leaves it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from vestiary.predictor import Prepared
from vestiary.tags import Failure, Prediction
from vestiary.taxonomy import Attribute, Taxonomy
from vestiary.web.batching import BATCH_BYTES, Scheduler
from vestiary.web.service import _unless_gone
from vestiary.web.tally import Tally


class Model:
    """Stands in for a predictor: notes its batches, and waits until it may answer."""

    def __init__(self) -> None:
        self.bundle = SimpleNamespace(taxonomy=Taxonomy((Attribute("kind", ("a", "b")),)))
        self.batches: list[list[str]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.fault: Exception | None = None
        self.on_batch: Callable[[list[str]], object] = lambda batch: None
        self._lock = threading.Lock()

    def prepare(self, name: str, data: bytes) -> Prepared:
        return Prepared(name, failure=Failure("damaged", "x") if data == b"bad" else None)

    def answer(self, prepared: Sequence[Prepared], *, top_k: object) -> list[Prediction]:
        with self._lock:
            self.batches.append([entry.id for entry in prepared])
        assert self.may_answer.wait(30)
        self.on_batch([entry.id for entry in prepared])
        if self.fault is not None:
            raise self.fault
        return [Prediction(entry.id, "bundle", failure=entry.failure) for entry in prepared]


def run(model: Model, work: Any, *, threads: int = 1, max_batch: int = 16) -> Tally:
    tally = Tally([])

    async def main() -> None:
        scheduler = Scheduler(model, tally, category="kind", threads=threads, max_batch=max_batch)  # type: ignore[arg-type]
        try:
            await work(scheduler)
        finally:
            model.may_answer.set()
            await asyncio.to_thread(scheduler.close)

    asyncio.run(main())
    return tally


async def until(is_so: Any) -> None:
    for _ in range(20_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that")


def test_a_lone_picture_goes_at_once() -> None:
    model = Model()

    async def work(scheduler: Scheduler) -> None:
        [outcome] = await scheduler.answer([("a", b"1")], top_k=1)
        assert outcome.prediction.id == "a"

    run(model, work)
    assert model.batches == [["a"]]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_the_event_loop_goes_before_the_threads_that_answer() -> None:
    model = Model()
    steps: list[int] = []
    model.on_batch = lambda batch: steps.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    async def work(scheduler: Scheduler) -> None:
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        await scheduler.answer([("a", b"1")], top_k=1)
        assert steps == [min(own + 10, 19)]

    run(model, work)


def test_batches_form_while_the_model_is_busy_and_keep_to_their_limit() -> None:
    model = Model()
    model.may_answer.clear()

    async def work(scheduler: Scheduler) -> None:
        first = asyncio.create_task(scheduler.answer([("0", b"1")], top_k=1))
        await until(lambda: model.batches)
        others = [asyncio.create_task(scheduler.answer([(str(number), b"1")], top_k=1)) for number in range(1, 11)]
        await until(lambda: scheduler.waiting == 10)
        model.may_answer.set()
        outcomes = await asyncio.gather(first, *others)
        assert [outcome.prediction.id for [outcome] in outcomes] == [str(number) for number in range(11)]

    tally = run(model, work, max_batch=4)
    assert [len(batch) for batch in model.batches] == [1, 4, 4, 2]
    assert tally.counter("successes") == 11
    assert tally.histogram("batch")[1] == 11


def test_free_threads_share_what_waits() -> None:
    model = Model()

    async def work(scheduler: Scheduler) -> None:
        await scheduler.answer([(str(number), b"1") for number in range(6)], top_k=1)

    run(model, work, threads=2)
    assert sorted(len(batch) for batch in model.batches) == [3, 3]


def test_a_thread_goes_on_with_what_waits_while_the_event_loop_is_busy() -> None:
    model = Model()
    model.may_answer.clear()
    is_reached = threading.Event()
    model.on_batch = lambda batch: batch == ["2"] and is_reached.set()

    async def work(scheduler: Scheduler) -> None:
        tasks = [asyncio.create_task(scheduler.answer([(str(number), b"1")], top_k=1)) for number in range(3)]
        await until(lambda: model.batches and scheduler.waiting == 2)
        model.may_answer.set()
        assert is_reached.wait(30), "all three are answered although the loop, which is held here, was told of none"
        assert [outcome.prediction.id for [outcome] in await asyncio.gather(*tasks)] == ["0", "1", "2"]

    run(model, work, max_batch=1)


def test_the_figure_of_those_who_wait_is_true_while_a_batch_runs() -> None:
    model = Model()
    model.may_answer.clear()
    may_go_on = threading.Event()

    def hold_the_second(batch: list[str]) -> None:
        assert len(model.batches) != 2 or may_go_on.wait(30)

    model.on_batch = hold_the_second

    async def work(scheduler: Scheduler) -> None:
        loop = asyncio.get_running_loop()
        call_soon = loop.call_soon_threadsafe

        def call_and_wait(callback: Callable[..., object], *told: object, **options: Any) -> asyncio.Handle:
            is_told = threading.Event()
            handle = call_soon(lambda: (callback(*told), is_told.set()), **options)
            assert is_told.wait(30)
            return handle

        loop.call_soon_threadsafe = call_and_wait  # type: ignore[method-assign, assignment]
        tasks = [asyncio.create_task(scheduler.answer([(str(number), b"1")], top_k=1)) for number in range(9)]
        await until(lambda: model.batches and scheduler.waiting == 8)
        model.may_answer.set()
        await tasks[0]
        assert scheduler._tally.gauge("waiting") == scheduler.waiting == 4
        may_go_on.set()
        await asyncio.gather(*tasks)

    run(model, work, max_batch=4)


def test_large_pictures_do_not_hold_up_others_in_one_batch() -> None:
    model = Model()

    async def work(scheduler: Scheduler) -> None:
        large = bytes(BATCH_BYTES - 1)
        await scheduler.answer([("a", b"1"), ("large", large), ("b", b"1"), ("c", b"12")], top_k=1)

    run(model, work)
    assert model.batches == [["a", "large"], ["b", "c"]]


def test_who_is_cancelled_leaves_the_queue_and_spoils_nothing() -> None:
    model = Model()
    model.may_answer.clear()

    async def work(scheduler: Scheduler) -> None:
        first = asyncio.create_task(scheduler.answer([("first", b"1")], top_k=1))
        await until(lambda: model.batches)
        gone = asyncio.create_task(scheduler.answer([("gone", b"1")] * 5, top_k=1))
        stays = asyncio.create_task(scheduler.answer([("stays", b"1")], top_k=1))
        await until(lambda: scheduler.waiting == 6)
        gone.cancel()
        first.cancel()
        await asyncio.wait([gone, first])
        assert scheduler.waiting == 1
        model.may_answer.set()
        [outcome] = await stays
        assert outcome.prediction.id == "stays"

    run(model, work)
    assert model.batches == [["first"], ["stays"]]


def test_a_picture_that_cannot_be_read_spoils_no_other_in_its_batch() -> None:
    model = Model()

    async def work(scheduler: Scheduler) -> None:
        outcomes = await scheduler.answer([("a", b"1"), ("b", b"bad"), ("c", b"1")], top_k=1)
        assert [outcome.prediction.failure is None for outcome in outcomes] == [True, False, True]

    assert run(model, work).counter("failures") == 1


def test_a_client_that_leaves_as_its_answer_comes_does_not_cancel_what_follows() -> None:
    async def ask() -> str:
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[dict[str, str]] = loop.create_future()
        answer: asyncio.Future[str] = loop.create_future()

        async def receive() -> dict[str, str]:
            return await gone

        async def handle() -> str:
            found = await _unless_gone(receive, answer)
            await asyncio.sleep(0)
            return found

        task = asyncio.create_task(handle())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.call_soon(answer.set_result, "tags")
        gone.set_result({"type": "http.disconnect"})
        return await task

    assert asyncio.run(ask()) == "tags"


def test_a_fault_reaches_its_callers_and_the_next_are_answered() -> None:
    model = Model()

    async def work(scheduler: Scheduler) -> None:
        model.fault = RuntimeError("broken")
        with pytest.raises(RuntimeError, match="broken"):
            await scheduler.answer([("a", b"1"), ("b", b"1")], top_k=1)
        model.fault = None
        await scheduler.answer([("c", b"1")], top_k=1)

    run(model, work)
    assert model.batches == [["a", "b"], ["c"]]
