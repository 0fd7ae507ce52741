"""The compiled loops on views that are made: on arrays alone, with ``out`` last.

A body whose joints are all zero in a frame is absent there, and stays so.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

__all__ = ["add_noise", "blur", "gaussians", "hide_frames", "scale_bones", "to_bones", "to_motion"]


@njit(cache=True, nogil=True, parallel=True)
def scale_bones(
    parents: NDArray[np.int64],
    outward: NDArray[np.int64],
    factor: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Each bone becomes factor[n, v] times as long and keeps its direction; the roots stay in place.

    parents (V,): of the roots the joints themselves; outward (V,): all joints, each after its parent;
    factor (N, V); out (N, F, M, V, 3), changed in place
    """
    for n in prange(out.shape[0]):
        for f in range(out.shape[1]):
            for m in range(out.shape[2]):
                pose = out[n, f, m]
                # Inward first, joints to bones, for which the parent must still be where it was.
                for i in range(len(outward) - 1, -1, -1):
                    v, parent = outward[i], parents[outward[i]]
                    if parent != v:
                        for axis in range(3):
                            pose[v, axis] = factor[n, v] * (pose[v, axis] - pose[parent, axis])
                for v in outward:
                    if parents[v] != v:
                        for axis in range(3):
                            pose[v, axis] += pose[parents[v], axis]


@njit(cache=True, nogil=True, parallel=True)
def blur(views: NDArray[np.float32], sigma: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Each body's joints averaged over the frames around in which it is there, weighted by a Gaussian that is
    cut off at 4 standard deviations.

    views and out (N, F, M, V, 3), not the same array; sigma (N,) in frames, 0 for none
    """
    frames, joints = views.shape[1], views.shape[3]
    for n in prange(views.shape[0]):
        radius = int(4.0 * sigma[n] + 0.5)
        for m in range(views.shape[2]):
            for f in range(frames):
                out[n, f, m] = 0.0
                if not views[n, f, m].any():
                    continue
                total = np.float32(0)
                for g in range(max(0, f - radius), min(frames, f + radius + 1)):
                    if views[n, g, m].any():
                        away = (g - f) / sigma[n] if g != f else 0.0
                        weight = np.float32(np.exp(-0.5 * away * away))
                        total += weight
                        for v in range(joints):
                            for axis in range(3):
                                out[n, f, m, v, axis] += weight * views[n, g, m, v, axis]
                for v in range(joints):
                    for axis in range(3):
                        out[n, f, m, v, axis] /= total


@njit(cache=True, nogil=True, parallel=True)
def gaussians(uniforms: NDArray[np.float64], sigma: float, out: NDArray[np.float32]) -> None:
    """Two independent normal numbers of mean 0 from every two uniform ones (Box and Muller 1958).

    uniforms (N, K) in [0, 1), K even; sigma their standard deviation; out (N, K)
    """
    for n in prange(out.shape[0]):
        for i in range(0, out.shape[1], 2):
            radius = sigma * np.sqrt(-2.0 * np.log(1.0 - uniforms[n, i]))  # no logarithm of 0
            turn = 2.0 * np.pi * uniforms[n, i + 1]
            out[n, i] = radius * np.cos(turn)
            out[n, i + 1] = radius * np.sin(turn)


@njit(cache=True, nogil=True, parallel=True)
def add_noise(noise: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Add noise to all joints of the bodies that are there.

    noise and out (N, F, M, V, 3)
    """
    for n in prange(out.shape[0]):
        for f in range(out.shape[1]):
            for m in range(out.shape[2]):
                if out[n, f, m].any():
                    for v in range(out.shape[3]):
                        for axis in range(3):
                            out[n, f, m, v, axis] += noise[n, f, m, v, axis]


@njit(cache=True, nogil=True, parallel=True)
def hide_frames(hidden: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
    """Set frames to zero.

    hidden (N, F); out (N, F, M, V, 3)
    """
    for n in prange(out.shape[0]):
        for f in range(out.shape[1]):
            if hidden[n, f]:
                out[n, f] = 0.0


@njit(cache=True, nogil=True, parallel=True)
def to_bones(views: NDArray[np.float32], parents: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Each joint less its parent; the roots, their own parents, become zero.

    views and out (N, F, M, V, 3), not the same array; parents (V,)
    """
    for n in prange(out.shape[0]):
        for f in range(out.shape[1]):
            for m in range(out.shape[2]):
                for v in range(out.shape[3]):
                    for axis in range(3):
                        out[n, f, m, v, axis] = views[n, f, m, v, axis] - views[n, f, m, parents[v], axis]


@njit(cache=True, nogil=True, parallel=True)
def to_motion(views: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Each frame's successor less the frame; the last frame becomes zero.

    views and out (N, F, M, V, 3), not the same array
    """
    last = views.shape[1] - 1
    for n in prange(out.shape[0]):
        out[n, last] = 0.0
        for f in range(last):
            for m in range(out.shape[2]):
                for v in range(out.shape[3]):
                    for axis in range(3):
                        out[n, f, m, v, axis] = views[n, f + 1, m, v, axis] - views[n, f, m, v, axis]
