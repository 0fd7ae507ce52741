"""How far long work is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import IO, Any

from tqdm import tqdm

__all__ = ["progress_bar"]

_SECONDS = 30
"""Between two lines of a log."""
_PATIENCE = 10
"""Seconds before the first line of a bar that does not stay."""


class _Lines:
    """A stream that gets each state of a bar as a line of its own."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        text = text.strip()
        if text:
            self.stream.write(f"{text}\n")

    def flush(self) -> None:
        self.stream.flush()


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    shown: bool,
    leave: bool = True,
    delay: float = 0,
    **settings: Any,
) -> tqdm[Any]:
    """A bar on standard error. Where that is no terminal, as in the log file of a job, its states are lines,
    two a minute; a bar that stays has one at its beginning and its end, too.

    Parameters
    ----------
    items, leave, delay, settings : as tqdm takes them
    shown : whether at all
    """
    if not shown or sys.stderr is None:
        return tqdm(items, disable=True, **settings)
    if sys.stderr.isatty():
        if _width() == 0:  # not known, where tqdm would show nothing
            settings |= {"ncols": 80, "nrows": 24}
        return tqdm(items, leave=leave, delay=delay, **settings)
    settings |= {"file": _Lines(sys.stderr), "mininterval": _SECONDS, "maxinterval": _SECONDS}
    # Position: a bar within another one has lines like it, and moves no cursor.
    if leave:
        return tqdm(items, position=0, **settings)
    bar = tqdm(items, leave=False, delay=_PATIENCE, position=0, **settings)
    bar.last_print_t += _PATIENCE - _SECONDS
    return bar


def _width() -> int:
    """Columns of the terminal that standard error is."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 0
