"""The compiled loops: bare, on arrays alone, with ``out`` last. Every one has a slow twin in tests/naive.py.

Kernels are compiled for the types in use on the first call and cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

__all__ = ["centre_frames", "make_views", "philox_uniforms", "spread", "turn"]

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


@njit(cache=True, nogil=True)
def spread(joints: NDArray[np.float32], present: NDArray[np.bool_], body: int) -> float:
    """Standard deviations of a body's x, y and z over its frames and all joints, summed.

    joints (T, M, V, 3); present (T, M), somewhere for this body
    """
    frames, joint_count = joints.shape[0], joints.shape[2]
    count = 0
    mean = np.zeros(3)
    for t in range(frames):
        if present[t, body]:
            count += joint_count
            for v in range(joint_count):
                for axis in range(3):
                    mean[axis] += joints[t, body, v, axis]
    mean /= count
    variance = np.zeros(3)
    for t in range(frames):
        if present[t, body]:
            for v in range(joint_count):
                for axis in range(3):
                    variance[axis] += (joints[t, body, v, axis] - mean[axis]) ** 2
    return np.sqrt(variance / count).sum()


@njit(cache=True, nogil=True)
def centre_frames(joints: NDArray[np.float32], centre: int, out: NDArray[np.float32]) -> None:
    """Subtract joint ``centre`` of the first body from all bodies, frame by frame; a joint whose coordinates
    sum to exactly zero becomes zero.

    joints and out (T, M, V, 3)
    """
    for t in range(joints.shape[0]):
        a, b, c = joints[t, 0, centre, 0], joints[t, 0, centre, 1], joints[t, 0, centre, 2]
        for m in range(joints.shape[1]):
            for v in range(joints.shape[2]):
                x, y, z = joints[t, m, v, 0], joints[t, m, v, 1], joints[t, m, v, 2]
                tracked = x + y + z != 0
                out[t, m, v, 0] = x - a if tracked else np.float32(0)
                out[t, m, v, 1] = y - b if tracked else np.float32(0)
                out[t, m, v, 2] = z - c if tracked else np.float32(0)


@njit(cache=True, nogil=True)
def turn(joints: NDArray[np.float32], matrix: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Each joint times one matrix, in float64.

    joints and out (T, M, V, 3); matrix (3, 3)
    """
    for t in range(joints.shape[0]):
        for m in range(joints.shape[1]):
            for v in range(joints.shape[2]):
                x, y, z = joints[t, m, v, 0], joints[t, m, v, 1], joints[t, m, v, 2]
                for axis in range(3):
                    a = matrix[axis]
                    out[t, m, v, axis] = 0.0 + a[0] * x + a[1] * y + a[2] * z  # not -0 for an absent body
