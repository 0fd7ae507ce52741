"""How far long work is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any

from tqdm import tqdm

__all__ = ["progress_bar"]

_SECONDS = 30
"""Between two lines of a log."""


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
    two a minute, and one that will not stay is not shown before the first half minute.

    Parameters
    ----------
    items, leave, delay, settings : as tqdm takes them
    shown : whether at all
    """
    shown = shown and sys.stderr is not None
    if shown and not sys.stderr.isatty():
        settings |= {"file": _Lines(sys.stderr), "mininterval": _SECONDS, "maxinterval": _SECONDS}
        settings["position"] = 0  # a bar within another one has a line, and moves no cursor
        delay = delay if leave else _SECONDS
    return tqdm(items, disable=not shown, leave=leave, delay=delay, **settings)
