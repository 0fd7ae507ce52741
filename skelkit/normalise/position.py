"""Steps that move and turn everybody together: where the origin is, and where the axes point."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = ["centre_each_frame", "centre_first_frame", "turn_shoulders", "turn_spine"]

Axis = tuple[float, float, float]


def centre_each_frame(sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
    """Subtract the first body's centre joint from all bodies, frame by frame.

    As in the paper's code: where the first body is absent nothing is subtracted, and a joint whose
    coordinates sum to exactly zero counts as not tracked and is zero.
    """
    if not sequence.bodies:
        return sequence
    joints = np.empty(sequence.joints.shape, np.float32)
    from skelkit import kernels  # numba: half a second

    kernels.centre_frames(sequence.joints, layout.centre, joints)
    return sequence.changed(joints=joints)


def centre_first_frame(sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
    """Subtract the first body's centre joint in its first frame from all bodies in all frames."""
    if not sequence.joints.size:
        return sequence
    start = int(np.argmax(sequence.present[:, 0]))
    joints = sequence.joints - sequence.joints[start, 0, layout.centre]
    joints[~sequence.present] = 0
    return sequence.changed(joints=joints)


def turn_spine(sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
    """Turn everything about the origin so that in frame 0 the first body's spine points along +z."""
    return _turn(sequence, *layout.spine, (0.0, 0.0, 1.0))


def turn_shoulders(sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
    """Turn everything about the origin so that in frame 0 the line from the first body's left to its right
    shoulder points along +x."""
    right, left = layout.shoulders
    return _turn(sequence, left, right, (1.0, 0.0, 0.0))


def _turn(sequence: SkeletonSequence, tail: int, head: int, target: Axis) -> SkeletonSequence:
    if not sequence.joints.size:
        return sequence
    bone = sequence.joints[0, 0, head] - sequence.joints[0, 0, tail]
    matrix = _shortest_turn(bone, target)
    turned = np.empty(sequence.joints.shape, np.float32)
    from skelkit import kernels

    kernels.turn(sequence.joints, matrix, turned)
    return sequence.changed(joints=turned)


def _shortest_turn(bone: NDArray[np.float32], target: Axis) -> NDArray[np.float64]:
    """The rotation (3, 3) that takes the direction of ``bone`` to the unit vector ``target``.

    The angle comes from the arc cosine of float32 directions: ill-conditioned near 0 and 180 degrees, but
    what the paper's code does, and so what its numbers rest on.
    """
    # In plain numbers: for a single vector np.cross and scipy's Rotation take longer than all the rest.
    (x, y, z), (u, v, w) = bone.tolist(), target
    axis = (y * w - z * v, z * u - x * w, x * v - y * u)
    if abs(x) + abs(y) + abs(z) < 1e-6 or sum(map(abs, axis)) < 1e-6:
        return np.eye(3)
    cosine = float(np.dot(bone / np.linalg.norm(bone), np.array(target)))
    angle = math.acos(min(max(cosine, -1.0), 1.0))
    if angle < 1e-6:
        return np.eye(3)
    return _rotation(axis, angle)


def _rotation(axis: Axis, angle: float) -> NDArray[np.float64]:
    """Rodrigues' formula."""
    length = math.hypot(*axis)
    x, y, z = (along / length for along in axis)
    c, s = math.cos(angle), math.sin(angle)
    r = 1 - c
    return np.array(
        [
            [c + r * x * x, r * x * y - s * z, r * x * z + s * y],
            [r * x * y + s * z, c + r * y * y, r * y * z - s * x],
            [r * x * z - s * y, r * y * z + s * x, c + r * z * z],
        ]
    )
