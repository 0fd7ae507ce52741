"""The compiled loops: bare, on arrays alone, with ``out`` last. Every one has a slow twin in tests/naive.py.

Kernels are compiled for the types in use on the first call and cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

__all__ = ["make_views", "philox_uniforms", "scan_ntu"]

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_11 = np.uint64(11)
_ROUND_0 = np.uint64(0xD2E7470EE14C6C93)
_ROUND_1 = np.uint64(0xCA5A826395121157)
_WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
_WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
_UNIT = 1.0 / (1 << 53)


@njit(cache=True, nogil=True)
def _multiply_high(a: np.uint64, b: np.uint64) -> np.uint64:
    """The upper 64 bits of the 128-bit product."""
    low_a, high_a = a & _LOW, a >> _32
    low_b, high_b = b & _LOW, b >> _32
    middle = high_a * low_b + ((low_a * low_b) >> _32)
    other = low_a * high_b + (middle & _LOW)
    return high_a * high_b + (middle >> _32) + (other >> _32)


@njit(cache=True, nogil=True)
def philox_uniforms(
    seed: np.uint64,
    epoch: np.uint64,
    stream: np.uint64,
    sample: NDArray[np.uint64],
    view: NDArray[np.uint64],
    out: NDArray[np.float64],
) -> None:
    """Philox 4x64-10 (Salmon et al. 2011, section 3.3): out[n] is the first numbers in [0, 1) of
    ``numpy.random.Philox(key=[seed, epoch], counter=[0, stream, sample[n], view[n]])``.

    sample (N,), view (N,), out (N, numbers)
    """
    for n in range(out.shape[0]):
        block = np.uint64(0)
        for first in range(0, out.shape[1], 4):
            block += np.uint64(1)
            c0, c1, c2, c3 = block, stream, sample[n], view[n]
            k0, k1 = seed, epoch
            for _ in range(10):
                high_0, low_0 = _multiply_high(_ROUND_0, c0), _ROUND_0 * c0
                high_1, low_1 = _multiply_high(_ROUND_1, c2), _ROUND_1 * c2
                c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
                k0 += _WEYL_0
                k1 += _WEYL_1
            last = min(4, out.shape[1] - first)
            out[n, first] = (c0 >> _11) * _UNIT
            if last > 1:
                out[n, first + 1] = (c1 >> _11) * _UNIT
            if last > 2:
                out[n, first + 2] = (c2 >> _11) * _UNIT
            if last > 3:
                out[n, first + 3] = (c3 >> _11) * _UNIT


@njit(cache=True, nogil=True, parallel=True)
def make_views(
    rows: NDArray[np.float32],
    offset: NDArray[np.int64],
    bodies: NDArray[np.int64],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    maps: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Crop, resample and map joints linearly, in one pass over the packed rows of a store.

    rows (R, V, 3); offset, bodies, start, length (N,): sequence n lies at rows[offset[n]:], frame by
    frame with bodies[n] rows each, and its frames start[n] .. start[n] + length[n] - 1 are taken;
    maps (N, V, 3, 3): joint v becomes maps[n, v] @ joint; out (N, F, M, V, 3): bodies beyond a
    sequence's own are zero, and those beyond M are left out.

    Resampling is linear with half-pixel centres, as torch's ``interpolate(align_corners=False)``.
    """
    frames, bodies_out, joints = out.shape[1], out.shape[2], out.shape[3]
    for n in prange(out.shape[0]):
        stored = bodies[n]
        copied = min(stored, bodies_out)
        out[n, :, copied:] = 0.0
        for f in range(frames):
            position = max((f + 0.5) * length[n] / frames - 0.5, 0.0)
            below = int(position)
            above = min(below + 1, length[n] - 1)
            weight = np.float32(position - below)
            row_below = offset[n] + (start[n] + below) * stored
            row_above = offset[n] + (start[n] + above) * stored
            for m in range(copied):
                for v in range(joints):
                    x = rows[row_below + m, v, 0]
                    y = rows[row_below + m, v, 1]
                    z = rows[row_below + m, v, 2]
                    x += (rows[row_above + m, v, 0] - x) * weight
                    y += (rows[row_above + m, v, 1] - y) * weight
                    z += (rows[row_above + m, v, 2] - z) * weight
                    a = maps[n, v]
                    out[n, f, m, v, 0] = a[0, 0] * x + a[0, 1] * y + a[0, 2] * z
                    out[n, f, m, v, 1] = a[1, 0] * x + a[1, 1] * y + a[1, 2] * z
                    out[n, f, m, v, 2] = a[2, 0] * x + a[2, 1] * y + a[2, 2] * z


# What a scanner can stumble over; `skelkit.readers` turns them into words.
OK, ENDS_EARLY, NOT_NUMBER, NOT_INTEGER, NOT_FINITE, TOO_FEW, TOO_MANY, OUT_OF_RANGE, TRAILING = range(9)
# What the scanner of .skeleton files was reading.
FRAME_COUNT, BODY_COUNT, BODY, JOINT_COUNT, JOINT = range(5)

NTU_JOINTS = 25
NTU_BODY_FIELDS = 10
NTU_JOINT_FIELDS = 12

_EXACT_INTEGERS = np.uint64(1) << np.uint64(53)
_MANTISSA_LIMIT = np.uint64(10**18)
_TEN = np.uint64(10)
_POWERS = np.array([float(10**n) for n in range(23)])
_NUMBER, _HARD, _INFINITE, _NO_NUMBER = range(4)


@njit(cache=True, nogil=True)
def _skip_blanks(data: NDArray[np.uint8], at: int) -> int:
    while at < data.size and (data[at] == 32 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _token_end(data: NDArray[np.uint8], at: int) -> int:
    while at < data.size and data[at] != 32 and data[at] != 10 and data[at] != 13 and data[at] != 9:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _at_line_end(data: NDArray[np.uint8], at: int) -> bool:
    return at >= data.size or data[at] == 10


@njit(cache=True, nogil=True)
def _is_infinite(data: NDArray[np.uint8], at: int, end: int) -> bool:
    """nan or inf, in any case, with or without a sign."""
    if at < end and (data[at] == 43 or data[at] == 45):
        at += 1
    if end - at != 3:
        return False
    a, b, c = data[at] | 32, data[at + 1] | 32, data[at + 2] | 32
    return (a == 110 and b == 97 and c == 110) or (a == 105 and b == 110 and c == 102)


@njit(cache=True, nogil=True)
def _scan_number(data: NDArray[np.uint8], at: int) -> tuple[float, int, int]:
    """The decimal number at ``at``: its value, where it ends, and its kind.

    A mantissa below 2**53 times a power of ten up to 22 is correctly rounded by one multiplication or
    division (Clinger 1990); the caller gives the rare others, of kind _HARD, to ``float()``.
    """
    begin = at
    negative = False
    if at < data.size and (data[at] == 45 or data[at] == 43):
        negative = data[at] == 45
        at += 1
    mantissa = np.uint64(0)
    digits = 0
    exponent = 0
    hard = False
    fraction = False
    while at < data.size:
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
        at += 1
    if digits > 0 and at < data.size and (data[at] == 101 or data[at] == 69):
        at += 1
        down = False
        if at < data.size and (data[at] == 45 or data[at] == 43):
            down = data[at] == 45
            at += 1
        first = at
        power = 0
        while at < data.size and 48 <= data[at] <= 57:
            power = min(power * 10 + np.int64(data[at] - 48), 100000)
            at += 1
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


@njit(cache=True, nogil=True)
def _scan_integer(data: NDArray[np.uint8], at: int) -> tuple[int, int, bool]:
    """The whole number at ``at``: its value, where it ends, and whether it is one that an int64 holds."""
    end = _token_end(data, at)
    sign = 1
    if at < end and data[at] == 45:
        sign = -1
        at += 1
    good = 0 < end - at <= 18
    value = 0
    while at < end and good:
        c = data[at]
        good = 48 <= c <= 57
        value = value * 10 + (np.int64(c) - 48)
        at += 1
    return sign * value, end, good


@njit(cache=True, nogil=True)
def _scan_count(data: NDArray[np.uint8], at: int) -> tuple[int, int, int]:
    """A line with one whole number: its value, where it ends, and a status."""
    at = _skip_blanks(data, at)
    if at >= data.size:
        return 0, at, ENDS_EARLY
    if _at_line_end(data, at):
        return 0, at, TOO_FEW
    value, end, good = _scan_integer(data, at)
    if not good:
        return 0, at, NOT_INTEGER
    at = _skip_blanks(data, end)
    if not _at_line_end(data, at):
        return 0, at, TOO_MANY
    return value, at, OK


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

    data (bytes,); bodies (T,) how many in each frame; tracks (R,) and joints (R, 25, 3), one row a body,
    in file order; hard (H, 2) place among the numbers of ``joints``, and byte, of numbers left to
    ``float()``; result: status, line (from 1), byte, what was being read, its value, T, R, hard numbers
    (which may be more than H).

    ``bodies`` and the rows must be long enough for all that the file can hold: `skelkit.readers.ntu` takes
    both from its size.
    """
    line = 1
    rows = 0
    hards = 0
    reading = FRAME_COUNT
    frames, at, status = _scan_count(data, 0)
    value = frames
    if status == OK and frames < 0:
        status = OUT_OF_RANGE
    frame = 0
    while status == OK and frame < frames:
        reading = BODY_COUNT
        line += 1
        count, at, status = _scan_count(data, at + 1)
        value = count
        if status == OK and count < 0:
            status = OUT_OF_RANGE
        if status == OK and frame < bodies.size:
            bodies[frame] = count
        body = 0
        while status == OK and body < count:
            reading = BODY
            line += 1
            at = _skip_blanks(data, at + 1)
            value = 0
            while status == OK and not _at_line_end(data, at):
                if value == NTU_BODY_FIELDS:
                    status = TOO_MANY
                elif value == 0:
                    track, end, good = _scan_integer(data, at)
                    if not good:
                        status = NOT_INTEGER
                    elif rows < tracks.size:
                        tracks[rows] = track
                else:
                    _, end, kind = _scan_number(data, at)
                    if kind == _NO_NUMBER:
                        status = NOT_NUMBER
                if status == OK:
                    at = _skip_blanks(data, end)
                    value += 1
            if status == OK and value < NTU_BODY_FIELDS:
                status = ENDS_EARLY if at >= data.size else TOO_FEW
            if status != OK:
                break
            reading = JOINT_COUNT
            line += 1
            value, at, status = _scan_count(data, at + 1)
            if status == OK and value != NTU_JOINTS:
                status = OUT_OF_RANGE
            if status == OK and rows >= tracks.size:
                status = ENDS_EARLY
            joint = 0
            while status == OK and joint < NTU_JOINTS:
                reading = JOINT
                line += 1
                at = _skip_blanks(data, at + 1)
                value = 0
                while status == OK and not _at_line_end(data, at):
                    if value == NTU_JOINT_FIELDS:
                        status = TOO_MANY
                        break
                    number, end, kind = _scan_number(data, at)
                    if kind == _NO_NUMBER:
                        status = NOT_NUMBER
                    elif value < 3:
                        if kind == _INFINITE:
                            status = NOT_FINITE
                        elif kind == _HARD:
                            if hards < hard.shape[0]:
                                hard[hards, 0] = (rows * NTU_JOINTS + joint) * 3 + value
                                hard[hards, 1] = at
                            hards += 1
                        else:
                            joints[rows, joint, value] = number
                    if status == OK:
                        at = _skip_blanks(data, end)
                        value += 1
                if status == OK and value < NTU_JOINT_FIELDS:
                    status = ENDS_EARLY if at >= data.size else TOO_FEW
                joint += 1
            if status == OK:
                rows += 1
                body += 1
        if status == OK:
            frame += 1
    if status == OK:
        while at < data.size and (data[at] == 10 or data[at] == 32 or data[at] == 13 or data[at] == 9):
            if data[at] == 10:
                line += 1
            at += 1
        if at < data.size:
            status = TRAILING
    result[0] = status
    result[1] = line
    result[2] = at
    result[3] = reading
    result[4] = value
    result[5] = frames
    result[6] = rows
    result[7] = hards
