"""Normalisation: pure steps on a sequence, and the recipes made of them.

A recipe is a named chain of steps with its source; name and steps with all parameters are kept in the store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = [
    "RECIPES",
    "Recipe",
    "bodies_by_track",
    "centre_each_frame",
    "drop_zero_bodies",
    "fill_gaps",
    "first_slots",
    "most_moving",
    "turn_shoulders",
    "turn_spine",
]

Step = Callable[[SkeletonSequence, JointLayout], SkeletonSequence]


@dataclass(frozen=True)
class Recipe:
    """A named chain of normalisation steps."""

    name: str
    source: str
    steps: tuple[Step, ...]

    def apply(self, sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
        """The sequence after all steps, without tracking ids: its bodies now keep their places.

        It may have no body left, where nobody was in any frame.
        """
        for step in self.steps:
            sequence = step(sequence, layout)
        return replace(sequence, tracks=None)

    def describe(self) -> dict[str, Any]:
        """Name, source, and every step with its parameters, as plain data."""
        return {"name": self.name, "source": self.source, "steps": [_describe(step) for step in self.steps]}


def _describe(step: Step) -> dict[str, Any]:
    if isinstance(step, partial):
        return {"step": step.func.__name__, **step.keywords}
    return {"step": step.__name__}


def _take_bodies(sequence: SkeletonSequence, bodies: list[int]) -> SkeletonSequence:
    return replace(
        sequence,
        joints=sequence.joints[:, bodies],
        present=sequence.present[:, bodies],
        tracks=None if sequence.tracks is None else sequence.tracks[:, bodies],
    )


def bodies_by_track(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """Give every tracked person one place for the whole sequence, in the order of appearance.

    In the raw files a person's slot in the frame can change; the tracking id does not. An id that occurs
    twice in one frame is taken for two persons.
    """
    if sequence.tracks is None:
        return sequence
    places: dict[tuple[int, int], int] = {}
    moves: list[tuple[int, int, int]] = []
    for t in range(sequence.frames):
        seen: dict[int, int] = {}
        for slot in np.flatnonzero(sequence.present[t]):
            track = int(sequence.tracks[t, slot])
            seen[track] = seen.get(track, 0) + 1
            moves.append((t, int(slot), places.setdefault((track, seen[track]), len(places))))
    shape = (sequence.frames, len(places))
    joints = np.zeros(shape + sequence.joints.shape[2:], dtype=np.float32)
    present = np.zeros(shape, dtype=np.bool_)
    tracks = np.zeros(shape, dtype=np.int64)
    if moves:
        t, slot, place = np.array(moves).T
        joints[t, place] = sequence.joints[t, slot]
        present[t, place] = True
        tracks[t, place] = sequence.tracks[t, slot]
    return replace(sequence, joints=joints, present=present, tracks=tracks)


def drop_zero_bodies(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """A body whose coordinates are all zero in a frame is absent there, though the file lists it."""
    present = sequence.present & sequence.joints.any(axis=(2, 3))
    return replace(sequence, present=present)


def first_slots(sequence: SkeletonSequence, _: JointLayout, *, bodies: int) -> SkeletonSequence:
    """Only the first ``bodies`` bodies of every frame, by slot."""
    return _take_bodies(sequence, list(range(min(bodies, sequence.bodies))))


def most_moving(sequence: SkeletonSequence, _: JointLayout, *, bodies: int) -> SkeletonSequence:
    """The bodies with the largest spread, largest first: the standard deviations of x, y and z over the
    frames in which a body is present and all its joints, summed. Bodies that are never present go.
    """
    spread = [
        float(sequence.joints[sequence.present[:, m], m].astype(np.float64).std(axis=(0, 1)).sum())
        if sequence.present[:, m].any()
        else -1.0
        for m in range(sequence.bodies)
    ]
    ranked = sorted(range(sequence.bodies), key=lambda m: (-spread[m], m))
    return _take_bodies(sequence, [m for m in ranked if spread[m] >= 0][:bodies])


def fill_gaps(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """As the paper's code does it, body by body: one that is absent in the first frame has its present
    frames moved together to the start; then the frames after its last one are filled by playing it again
    from the start. Gaps inside a body that is present in the first frame stay.
    """
    joints, present = sequence.joints.copy(), sequence.present.copy()
    for m in range(sequence.bodies):
        here = sequence.present[:, m]
        if not here.any():
            continue
        source = np.arange(sequence.frames) if here[0] else np.flatnonzero(here)
        played = source[: len(source) if not here[0] else np.flatnonzero(here)[-1] + 1]
        again = played[np.arange(sequence.frames) % len(played)]
        joints[:, m] = sequence.joints[again, m]
        present[:, m] = here[again]
    return replace(sequence, joints=joints, present=present, tracks=None)


def centre_each_frame(sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
    """Subtract the first body's centre joint from all bodies, frame by frame.

    As in the paper's code: where the first body is absent nothing is subtracted, and a joint whose
    coordinates sum to exactly zero counts as not tracked and stays.
    """
    if not sequence.bodies:
        return sequence
    centre = sequence.joints[:, :1, layout.centre : layout.centre + 1]
    tracked = sequence.joints.sum(axis=-1, keepdims=True) != 0
    return replace(sequence, joints=(sequence.joints - centre) * tracked)


def turn_spine(sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
    """Turn everything about the origin so that in frame 0 the first body's spine points along +z."""
    return _turn(sequence, *layout.spine, (0.0, 0.0, 1.0))


def turn_shoulders(sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
    """Turn everything about the origin so that in frame 0 the line from the first body's left to its right
    shoulder points along +x."""
    right, left = layout.shoulders
    return _turn(sequence, left, right, (1.0, 0.0, 0.0))


def _turn(
    sequence: SkeletonSequence, tail: int, head: int, target: tuple[float, float, float]
) -> SkeletonSequence:
    if not sequence.joints.size:
        return sequence
    bone = sequence.joints[0, 0, head] - sequence.joints[0, 0, tail]
    matrix = _shortest_turn(bone, np.array(target))
    turned = (sequence.joints @ matrix.T).astype(np.float32)
    return replace(sequence, joints=np.where(sequence.present[:, :, None, None], turned, np.float32(0)))


def _shortest_turn(bone: NDArray[np.float32], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (3, 3) that takes the direction of ``bone`` to the unit vector ``target``.

    The angle comes from the arc cosine of float32 directions: ill-conditioned near 0 and 180 degrees, but
    what the paper's code does, and so what its numbers rest on.
    """
    axis = np.cross(bone, target)
    if np.abs(bone).sum() < 1e-6 or np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    angle = math.acos(np.clip(np.dot(bone / np.linalg.norm(bone), target), -1.0, 1.0))
    if angle < 1e-6:
        return np.eye(3)
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()


RECIPES: Mapping[str, Recipe] = {
    "isc": Recipe(
        "isc",
        "Skeleton-Contrastive 3D Action Representation Learning, arXiv 2108.03656, section 4.1: the data "
        "generation of its published code",
        (
            drop_zero_bodies,
            partial(first_slots, bodies=4),
            partial(most_moving, bodies=2),
            fill_gaps,
            centre_each_frame,
            turn_spine,
            turn_shoulders,
        ),
    ),
    "raw": Recipe("raw", "the file's own coordinates, one place for each tracked person", (bodies_by_track,)),
}
