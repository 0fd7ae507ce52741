"""Slow, obvious twins of every kernel: one thing after the other, in plain Python where that is clearest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Joints = NDArray[np.float32]


def uniforms(seed: int, epoch: int, stream: int, sample: int, view: int, numbers: int) -> NDArray[np.float64]:
    """numpy's own generator, at the counter of one view."""
    key, counter = np.array([seed, epoch], np.uint64), np.array([0, stream, sample, view], np.uint64)
    bits = np.random.Philox(key=key, counter=counter)
    return np.random.Generator(bits).random(numbers)


def crop(joints: Joints, start: int, length: int) -> Joints:
    return joints[start : start + length]


def resample(joints: Joints, frames: int) -> Joints:
    """(T, M, V, 3) to (frames, M, V, 3), each coordinate by itself, half-pixel centres."""
    length = len(joints)
    result = np.zeros((frames, *joints.shape[1:]), dtype=np.float64)
    for f in range(frames):
        position = (f + 0.5) * length / frames - 0.5
        if position < 0:
            position = 0.0
        below = int(position)
        above = below + 1 if below + 1 < length else below
        result[f] = (1 - (position - below)) * joints[below] + (position - below) * joints[above]
    return result.astype(np.float32)


def linear(joints: Joints, matrix: NDArray[np.float64]) -> Joints:
    """Shear and rotation: every joint times one matrix."""
    result = np.zeros_like(joints)
    for index in np.ndindex(*joints.shape[:3]):
        result[index] = matrix @ joints[index]
    return result


def jitter(joints: Joints, chosen: NDArray[np.bool_], matrix: NDArray[np.float64]) -> Joints:
    """The chosen joints times one matrix, which is zero where they are dropped."""
    result = joints.copy()
    for t, m, v in np.ndindex(*joints.shape[:3]):
        if chosen[v]:
            result[t, m, v] = matrix @ joints[t, m, v]
    return result
