"""The compiled loops of the normalisation: on arrays alone, with ``out`` last.

Kernels are compiled for the types in use on the first call and cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["centre_frames", "spread", "turn"]


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
