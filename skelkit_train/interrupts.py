"""Ctrl-C and SIGTERM, which ask a training to save what it has, and to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["stop_signals"]


@contextmanager
def stop_signals(said: bool) -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or SIGTERM asks to stop after this step, which is ``said``; a second
    Ctrl-C does at once."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        # A second SIGTERM asks for no more: under torchrun a process may get it from two sides.
        if number == signal.SIGINT and asked:
            raise KeyboardInterrupt
        asked.append(number)
        if said and len(asked) == 1 and sys.stderr is not None:
            with suppress(OSError):  # by the system: Python's own stream may be in the midst of a line
                os.write(2, b"\nstopping after this step, and saving it; another Ctrl-C stops at once\n")

    # In a script's background Ctrl-C is ignored: it is meant for another.
    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    try:
        old = {number: signal.signal(number, note) for number in heard}
    except ValueError:  # not the main thread: whoever runs us there stops us
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
