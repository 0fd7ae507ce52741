"""The compiled scanners of text files: bytes to numbers, bare loops on arrays alone, with ``out`` last.

Each has a slow twin in tests/naive.py. Numbers are parted by blanks, tabs and carriage returns, lines by
line feeds; what a scanner stumbles over comes out as a status, which `skelkit.readers` turns into words.

``data`` (bytes,) must end with a line feed: every loop stops at one, and so none asks whether the file has
ended. Places in it are unsigned, which spares the loops Python's counting from the end; what is inlined is so
because it was measured to help.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from skelkit.findings import (
    BODY,
    BODY_COUNT,
    ENDS_EARLY,
    FRAME_COUNT,
    JOINT,
    JOINT_COUNT,
    NOT_FINITE,
    NOT_INTEGER,
    NOT_NUMBER,
    NTU_BODY_FIELDS,
    NTU_JOINT_FIELDS,
    NTU_JOINTS,
    OK,
    OUT_OF_RANGE,
    PKU_NUMBERS,
    TOO_FEW,
    TOO_MANY,
    TRAILING,
)
from skelkit.masks import skip_plain_numbers

__all__ = ["scan_ntu", "scan_pku"]

_1 = np.uint64(1)
_EXACT_INTEGERS = np.uint64(1) << np.uint64(53)
_MANTISSA_LIMIT = np.uint64(10**18)
_TEN = np.uint64(10)
_POWERS = np.array([float(10**n) for n in range(23)])
_NUMBER, _HARD, _INFINITE, _NO_NUMBER = range(4)


@njit(cache=True, nogil=True)
def _skip_blanks(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    while data[at] <= 32 and (data[at] == 32 or data[at] == 13 or data[at] == 9):
        at += _1
    return at


@njit(cache=True, nogil=True)
def _ends_token(c: int) -> bool:
    return c <= 32 and (c == 32 or c == 10 or c == 13 or c == 9)


@njit(cache=True, nogil=True)
def _token_end(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    while not _ends_token(data[at]):
        at += _1
    return at


@njit(cache=True, nogil=True)
def _is_infinite(data: NDArray[np.uint8], at: np.uint64, end: np.uint64) -> bool:
    """nan or inf, in any case, with or without a sign."""
    if data[at] == 43 or data[at] == 45:
        at += _1
    if end - at != 3:
        return False
    a, b, c = data[at] | 32, data[at + _1] | 32, data[at + _1 + _1] | 32
    return (a == 110 and b == 97 and c == 110) or (a == 105 and b == 110 and c == 102)


@njit(cache=True, nogil=True)
def _scan_spelling(data: NDArray[np.uint8], at: np.uint64) -> tuple[float, np.uint64, int]:
    """The number at ``at`` in any spelling that ``float()`` takes too: its value, where it ends, its kind.

    A mantissa below 2**53 times a power of ten up to 22 is correctly rounded by one multiplication or
    division (Clinger 1990); the caller gives the rare others, of kind _HARD, to ``float()``.
    """
    begin = at
    negative = data[at] == 45
    if negative or data[at] == 43:
        at += _1
    mantissa = np.uint64(0)
    digits = 0
    exponent = 0
    hard = False
    fraction = False
    while True:
        c = data[at]
        if 48 <= c <= 57:
            digits += 1
            if mantissa < _MANTISSA_LIMIT:
                mantissa = mantissa * _TEN + np.uint64(c - 48)
                if fraction:
                    exponent -= 1
            else:
                hard = True
        elif c == 46 and not fraction:
            fraction = True
        else:
            break
        at += _1
    if digits > 0 and (data[at] == 101 or data[at] == 69):
        at += _1
        down = data[at] == 45
        if down or data[at] == 43:
            at += _1
        first = at
        power = 0
        while 48 <= data[at] <= 57:
            power = min(power * 10 + np.int64(data[at] - 48), 100000)
            at += _1
        if at == first:
            digits = 0
        exponent += -power if down else power
    end = _token_end(data, at)
    if digits == 0 or end != at:
        return 0.0, end, _INFINITE if _is_infinite(data, begin, end) else _NO_NUMBER
    if hard or mantissa >= _EXACT_INTEGERS or exponent < -22 or exponent > 22:
        return 0.0, end, _HARD
    value = float(mantissa)
    value = value / _POWERS[-exponent] if exponent < 0 else value * _POWERS[exponent]
    return (-value if negative else value), end, _NUMBER


@njit(cache=True, nogil=True, inline="always")
def _scan_number(data: NDArray[np.uint8], at: np.uint64) -> tuple[float, np.uint64, int]:
    """As _scan_spelling, but fast where the number is written as nearly all are: -1.234567."""
    begin = at
    negative = data[at] == 45
    if negative or data[at] == 43:
        at += _1
    mantissa = np.uint64(0)
    first = at
    while 48 <= data[at] <= 57 and mantissa < _MANTISSA_LIMIT:
        mantissa = mantissa * _TEN + np.uint64(data[at] - 48)
        at += _1
    digits = at - first
    places = np.uint64(0)
    if data[at] == 46:
        at += _1
        first = at
        while 48 <= data[at] <= 57 and mantissa < _MANTISSA_LIMIT:
            mantissa = mantissa * _TEN + np.uint64(data[at] - 48)
            at += _1
        places = at - first
        digits += places
    if digits == 0 or not _ends_token(data[at]) or mantissa >= _EXACT_INTEGERS or places > 22:
        return _scan_spelling(data, begin)
    value = float(mantissa) / _POWERS[places]
    return (-value if negative else value), at, _NUMBER


@njit(cache=True, nogil=True)
def _scan_integer(data: NDArray[np.uint8], at: np.uint64) -> tuple[int, np.uint64, bool]:
    """The whole number at ``at``: its value, where it ends, and whether it is one that an int64 holds."""
    end = _token_end(data, at)
    sign = 1
    if data[at] == 45:
        sign = -1
        at += _1
    good = bool(0 < end - at <= 18)
    value = 0
    while at < end and good:
        c = data[at]
        good = 48 <= c <= 57
        value = value * 10 + (np.int64(c) - 48)
        at += _1
    return sign * value, end, good


@njit(cache=True, nogil=True)
def _scan_count(data: NDArray[np.uint8], at: np.uint64) -> tuple[int, np.uint64, int]:
    """A line with one whole number: its value, where it ends, and a status."""
    if at >= np.uint64(data.size):
        return 0, at, ENDS_EARLY
    at = _skip_blanks(data, at)
    if data[at] == 10:
        return 0, at, TOO_FEW
    value, end, good = _scan_integer(data, at)
    if not good:
        return 0, at, NOT_INTEGER
    at = _skip_blanks(data, end)
    if data[at] != 10:
        return 0, at, TOO_MANY
    return value, at, OK


@njit(cache=True, nogil=True)
def _scan_fields(
    data: NDArray[np.uint8],
    at: np.uint64,
    fields: int,
    wanted: int,
    place: int,
    hards: int,
    hard: NDArray[np.int64],
    out: NDArray[np.float32],
) -> tuple[int, np.uint64, int, int]:
    """The rest of a line: exactly ``fields`` numbers, of which the first ``wanted``, finite, go to
    out[place:] and the others are only looked at. How many there are, where it ends or stumbles, a status,
    and ``hards`` with the hard numbers of this line.
    """
    if at >= np.uint64(data.size):
        return 0, at, ENDS_EARLY, hards
    end = at
    at = _skip_blanks(data, at)
    field = 0
    while data[at] != 10:
        if field == wanted:
            end = skip_plain_numbers(data, end, fields - wanted)
            if end:
                return fields, end, OK, hards
        if field == fields:
            return field, at, TOO_MANY, hards
        number, end, kind = _scan_number(data, at)
        if kind == _NO_NUMBER:
            return field, at, NOT_NUMBER, hards
        if field < wanted:
            if kind == _NUMBER:
                out[place + field] = number
            elif kind == _HARD:
                if hards < hard.shape[0]:
                    hard[hards, 0] = place + field
                    hard[hards, 1] = at
                hards += 1
            else:
                return field, at, NOT_FINITE, hards
        at = _skip_blanks(data, end)
        field += 1
    return field, at, OK if field == fields else TOO_FEW, hards


@njit(cache=True, nogil=True)
def _scan_tail(data: NDArray[np.uint8], at: np.uint64, line: int) -> tuple[np.uint64, int]:
    """Skip blank lines: where something else stands, or the file ends, and in which line."""
    size = np.uint64(data.size)
    while at < size and _ends_token(data[at]):
        if data[at] == 10:
            line += 1
        at += _1
    return at, line


@njit(cache=True, nogil=True)
def scan_ntu(
    data: NDArray[np.uint8],
    bodies: NDArray[np.int64],
    tracks: NDArray[np.int64],
    joints: NDArray[np.float32],
    hard: NDArray[np.int64],
    result: NDArray[np.int64],
) -> None:
    """Scan a whole .skeleton file.

    data (bytes,); bodies (T,) how many in each frame; tracks (R,) and joints (R * 75,), x y z of 25 joints
    a body, in file order; hard (H, 2) place in ``joints``, and byte, of numbers left to ``float()``;
    result: status, line (from 1), byte, what was being read, its value, T, R, hard numbers (which may be
    more than H).

    ``bodies`` and the rows must be long enough for all that the file can hold: `skelkit.readers.ntu` takes
    both from its size.
    """
    line = 1
    rows = 0
    hards = 0
    reading = FRAME_COUNT
    frames, at, status = _scan_count(data, np.uint64(0))
    value = frames
    if status == OK and frames < 0:
        status = OUT_OF_RANGE
    frame = 0
    while status == OK and frame < frames:
        reading = BODY_COUNT
        line += 1
        count, at, status = _scan_count(data, at + _1)
        value = count
        if status == OK and count < 0:
            status = OUT_OF_RANGE
        if status == OK:
            bodies[frame] = count
        body = 0
        while status == OK and body < count:
            reading = BODY
            line += 1
            value = 0
            at += _1
            if at >= np.uint64(data.size):
                status = ENDS_EARLY
                break
            at = _skip_blanks(data, at)
            if data[at] == 10:
                status = TOO_FEW
                break
            track, end, good = _scan_integer(data, at)
            if not good:
                status = NOT_INTEGER
                break
            value, at, status, hards = _scan_fields(data, end, NTU_BODY_FIELDS - 1, 0, 0, hards, hard, joints)
            value += 1
            if status != OK:
                break
            reading = JOINT_COUNT
            line += 1
            value, at, status = _scan_count(data, at + _1)
            if status == OK and value != NTU_JOINTS:
                status = OUT_OF_RANGE
            if status == OK and rows >= tracks.size:
                status = ENDS_EARLY
            if status != OK:
                break
            tracks[rows] = track
            reading = JOINT
            for joint in range(NTU_JOINTS):
                line += 1
                place = (rows * NTU_JOINTS + joint) * 3
                value, at, status, hards = _scan_fields(
                    data, at + _1, NTU_JOINT_FIELDS, 3, place, hards, hard, joints
                )
                if status != OK:
                    break
            rows += 1
            body += 1
        frame += 1
    if status == OK:
        at, line = _scan_tail(data, at, line)
        if at < np.uint64(data.size):
            status = TRAILING
    result[0] = status
    result[1] = line
    result[2] = at
    result[3] = reading
    result[4] = value
    result[5] = frames
    result[6] = rows
    result[7] = hards


@njit(cache=True, nogil=True)
def scan_pku(
    data: NDArray[np.uint8],
    joints: NDArray[np.float32],
    hard: NDArray[np.int64],
    result: NDArray[np.int64],
) -> None:
    """Scan a whole skeleton file of PKU-MMD.

    data (bytes,); joints (T * 150,), which must be long enough for all that the file can hold; hard (H, 2)
    as in `scan_ntu`; result: status, line (from 1), byte, numbers before it in its line, T, hard numbers
    (which may be more than H).
    """
    line = 1
    frames = 0
    hards = 0
    value = 0
    at = np.uint64(0)
    status = OK
    tail, _ = _scan_tail(data, at, line)
    while status == OK and tail < np.uint64(data.size):
        value, at, status, hards = _scan_fields(
            data, at, PKU_NUMBERS, PKU_NUMBERS, frames * PKU_NUMBERS, hards, hard, joints
        )
        if status == OK:
            frames += 1
            line += 1
            at += _1
            tail, _ = _scan_tail(data, at, line)
    result[0] = status
    result[1] = line
    result[2] = at
    result[3] = value
    result[4] = frames
    result[5] = hards
