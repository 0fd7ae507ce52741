"""The one family of errors that skelkit raises on purpose.

Commands print such an error as one line and exit with 1; every other exception is a defect of skelkit.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

__all__ = [
    "InputError",
    "SkelkitError",
    "Stopped",
    "StoreError",
    "UnreadableError",
    "did_you_mean",
    "look_up",
    "no_such",
]


_LOOKED_AT = 2000
"""Names beside a missing path: more take too long to compare."""

Value = TypeVar("Value")


def look_up(table: Mapping[str, Value], name: str, what: str) -> Value:
    """The value of a name.

    Raises
    ------
    SkelkitError : the table lacks it
    """
    if name not in table:
        raise SkelkitError(f"{name}: no such {what}; expected {', '.join(table)}")
    return table[name]


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """The end of a message about an unknown name: those that are like it, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=most, cutoff=0.7)
    return f"; did you mean {', '.join(near)}?" if near else ""


def no_such(what: str, path: Path) -> str:
    """The reason where nothing is at a path, with what lies beside it under a similar name."""
    try:
        some = islice(path.absolute().parent.iterdir(), _LOOKED_AT)
        beside = sorted(other.name for other in some if other.name != path.name)
    except OSError:
        beside = []
    return f"no such {what}{did_you_mean(path.name, beside)}"


class SkelkitError(Exception):
    """Something a user can mend; the message is one clear line.

    >>> import skelkit
    >>> try:
    ...     skelkit.load_layout("ntu26")
    ... except skelkit.SkelkitError as error:
    ...     print(error)
    ntu26: no such joint layout; expected ntu25, kinect20, coco17 or a .toml file
    """


class InputError(SkelkitError):
    """A file from outside is not what its format demands.

    >>> import skelkit
    >>> try:
    ...     skelkit.read_file("S001C001P001R001A001.skeleton", dataset="ntu60")
    ... except skelkit.InputError as error:
    ...     error.file, error.line, error.reason
    ('S001C001P001R001A001.skeleton', None, 'cannot be read: No such file or directory')

    Parameters
    ----------
    file : the file's name, or the archive's and the member's joined by ``!``
    reason : what was found and what was expected, without the file and the line
    line : 1-based line in the file, where the format has lines
    """

    def __init__(self, file: str, reason: str, line: int | None = None) -> None:
        self.file = file
        self.reason = reason
        self.line = line
        super().__init__(f"{file}, line {line}: {reason}" if line else f"{file}: {reason}")

    def row(self) -> dict[str, str | int | None]:
        """As reports have it."""
        return {"file": self.file, "line": self.line, "reason": self.reason}

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, int | None]]:
        return type(self), (self.file, self.reason, self.line)


class UnreadableError(InputError):
    """A file could not be read, which may be the disk's or the network's fault, and pass."""


class Stopped(SkelkitError):
    """Work ended before its end because it was asked to; the message says what is kept, and how to go on."""


class StoreError(SkelkitError):
    """A store is damaged, is of another version, or lacks what was asked of it.

    >>> import skelkit
    >>> try:
    ...     skelkit.Store("absent.h5")
    ... except skelkit.StoreError as error:
    ...     print(error)
    absent.h5: no such file
    """
