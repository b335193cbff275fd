"""Long work behind a page: begun once however many visitors wait for it, told while it goes on, kept when done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Any, Final, Generic, TypeVar

import streamlit as st

from vestiary.catalogue import Progress
from vestiary.priority import BACKGROUND, step_back

T = TypeVar("T")

TICK_S: Final = 1.0
"""Seconds between two looks at work that goes on."""


class Chore(Generic[T]):
    """One piece of work; ``n_done`` of ``n_total`` steps are over, which are 0 until it has told."""

    def __init__(self) -> None:
        self.n_done = self.n_total = 0
        self._future: Future[T] = Future()

    @property
    def is_done(self) -> bool:
        """Whether there is a result, or a failure."""
        return self._future.done()

    @property
    def has_failed(self) -> bool:
        """Whether it ended with an exception."""
        return self._future.done() and self._future.exception() is not None

    @property
    def share(self) -> float:
        """How much of it is over, 0..1."""
        return min(self.n_done / self.n_total, 1.0) if self.n_total else 0.0

    def wait(self, seconds: float) -> None:
        """Return when it is done, or after this time."""
        wait([self._future], seconds)

    def result(self) -> T:
        """What it gave, or raises what it raised; waits until it is done."""
        return self._future.result()

    def work(self, make: Callable[[Progress], T]) -> None:
        """Do it, in the thread that calls."""
        try:
            self._future.set_result(make(self._tell))
        except BaseException as error:  # told to whoever asks for the result
            self._future.set_exception(error)

    def _tell(self, done: int, total: int) -> None:
        self.n_done, self.n_total = done, total


class Chores:
    """Pieces of work by a key, done one after another in the background; the newest ``kept`` results stay."""

    def __init__(self, kept: int = 6) -> None:
        self._kept = kept
        self._chores: dict[Hashable, Chore[Any]] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def ask(self, key: Hashable, make: Callable[[Progress], T]) -> Chore[T]:
        """The work with this key: the one that is known, or ``make``, which begins now.

        A failure is kept as a result is, until ``forget``.
        """
        with self._lock:
            chore = self._chores.pop(key, None)
            if chore is None:
                chore = Chore()
                threading.Thread(target=self._work, args=(chore, make), name="vestiary-chore", daemon=True).start()
            self._chores[key] = chore
            done = [own for own in self._chores if self._chores[own].is_done]
            for old in done[: max(0, len(self._chores) - self._kept)]:
                del self._chores[old]
            return chore

    def forget(self, key: Hashable) -> None:
        """Begin anew when asked again; what is still going on is left to end, and stays."""
        with self._lock:
            if key in self._chores and self._chores[key].is_done:
                del self._chores[key]

    def _work(self, chore: Chore[T], make: Callable[[Progress], T]) -> None:
        with self._turn:
            step_back(BACKGROUND)
            chore.work(make)


CHORES: Final = Chores()
"""Work that takes minutes, of all visitors and pages together."""


def wait_for(chore: Chore[Any], words: str) -> None:
    """Show how far a piece of work is, and the page anew when it is done."""

    @st.fragment(run_every=TICK_S)
    def tell() -> None:
        if chore.is_done:
            st.rerun()
        st.progress(chore.share, f"{words} {chore.n_done:,} of {chore.n_total:,}." if chore.n_total else words)

    tell()
