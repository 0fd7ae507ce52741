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


Bodies = list[list[tuple[int, list[list[float]]]]]
"""Frame by frame, body by body: tracking id and the joints' x, y, z."""


def skeleton_text(frames: list[list[tuple[int, list[list[object]]]]], end: str = "\n") -> bytes:
    """A .skeleton file of these bodies; coordinates may be texts, and are written as they are."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for track, joints in bodies:
            lines += [f"{track} 0 1 1 1 1 0 0.02 -0.1 2", str(len(joints))]
            lines += [f"{x} {y} {z} 250.1 190.2 1000.3 540.4 0.1 0.2 0.3 0.9 2" for x, y, z in joints]
    return (end.join(lines) + end).encode()


def read_skeleton(data: bytes) -> Bodies:
    """A .skeleton file, by line and by word."""
    lines = [line.split() for line in data.decode("ascii").split("\n")]
    frames: Bodies = []
    at = 1
    for _ in range(int(lines[0][0])):
        bodies = []
        count = int(lines[at][0])
        at += 1
        for _ in range(count):
            track, joints = int(lines[at][0]), int(lines[at + 1][0])
            rows = lines[at + 2 : at + 2 + joints]
            bodies.append((track, [[float(word) for word in row[:3]] for row in rows]))
            at += 2 + joints
        frames.append(bodies)
    return frames


def isc(frames: Bodies) -> Joints:
    """The recipe ``isc``, one frame, one body, one joint after the other: (T, up to 2, 25, 3)."""
    bodies = []
    for slot in range(4):
        shown = [np.array(frame[slot][1], np.float32) if len(frame) > slot else None for frame in frames]
        shown = [pose if pose is not None and pose.any() else None for pose in shown]
        there = np.array([pose for pose in shown if pose is not None], np.float64)
        if len(there):
            bodies.append((sum(there[..., axis].std() for axis in range(3)), shown))
    bodies.sort(key=lambda body: -body[0])
    nobody = np.zeros((25, 3), np.float32)
    result = np.zeros((len(frames), len(bodies[:2]), 25, 3), np.float32)
    for m, (_, shown) in enumerate(bodies[:2]):
        if shown[0] is None:
            shown = [pose for pose in shown if pose is not None]
        while shown[-1] is None:
            shown.pop()
        for t in range(len(frames)):
            pose = shown[t % len(shown)]
            result[t, m] = nobody if pose is None else pose
    for t in range(len(frames)):
        centre = result[t, 0, 1].copy()
        for m, v in np.ndindex(*result.shape[1:3]):
            if result[t, m, v].sum() != 0:
                result[t, m, v] -= centre
    for tail, head, target in ((0, 1, [0, 0, 1]), (4, 8, [1, 0, 0])):
        bone = result[0, 0, head] - result[0, 0, tail]
        for index in np.ndindex(*result.shape[:3]):
            result[index] = _turned(result[index], bone, np.array(target, float))
    return result


def _turned(point: NDArray[np.float32], bone: NDArray[np.float32], target: NDArray[np.float64]) -> Joints:
    """Rodrigues' formula: the point after the shortest turn that takes ``bone`` to ``target``."""
    axis = np.cross(bone, target)
    if np.abs(axis).sum() < 1e-6:
        return point
    axis /= np.linalg.norm(axis)
    angle = np.arccos(np.dot(bone / np.linalg.norm(bone), target))
    along = axis * np.dot(axis, point) * (1 - np.cos(angle))
    return (point * np.cos(angle) + np.cross(axis, point) * np.sin(angle) + along).astype(np.float32)
