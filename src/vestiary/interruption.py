"""Ctrl-C during long work: the first waits for the end of the step, so that it can be written down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


@contextmanager
def catch_interrupt(signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed (or one of ``signals`` came); a second one interrupts.

    Outside the main thread Python delivers no signals, and nothing is caught.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def remember(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.default_int_handler)
        pressed.set()

    before = {each: signal.signal(each, remember) for each in signals}
    try:
        yield pressed.is_set
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
