"""What the readers of text files share, around `skelkit.scanners`."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from skelkit.errors import InputError

__all__ = ["as_lines", "fill_hard_numbers", "shown"]

_TOKEN = re.compile(rb"[^ \t\r\n]+")


def as_lines(data: bytes) -> NDArray[np.uint8]:
    """The bytes as the scanners want them: with a line feed at the end."""
    return np.frombuffer(data if data.endswith(b"\n") else data + b"\n", dtype=np.uint8)


def fill_hard_numbers(joints: NDArray[np.float32], hard: NDArray[np.int64], data: bytes, file: str) -> None:
    """Read with ``float()`` what a scanner left.

    Parameters
    ----------
    joints : (R,), changed
    hard : (H, 2) place in ``joints`` and byte in ``data``

    Raises
    ------
    InputError : a number is beyond float32
    """
    with np.errstate(over="ignore"):
        for place, byte in hard.tolist():
            joints[place] = float(_token(data, byte))
            if np.isinf(joints[place]):
                line = data.count(b"\n", 0, byte) + 1
                raise InputError(file, f"found {shown(data, byte)} as a coordinate, expected metres", line)


def shown(data: bytes, at: int) -> str:
    """The word that stands at a byte, for people: quoted, and not too long."""
    word = _token(data, at)
    return repr(word[:40].decode("ascii", "replace")) if word else "nothing"


def _token(data: bytes, at: int) -> bytes:
    found = _TOKEN.match(data, at)
    return found.group() if found else b""
