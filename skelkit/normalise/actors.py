"""Steps that choose among bodies: who acts, who is noise, and who comes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelkit.normalise.bodies import called, listed, take_bodies
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = [
    "WIDE_RATIO",
    "WIDE_SHARE",
    "drop_short_tracks",
    "drop_wide_bodies",
    "most_moving",
    "rank_by_motion",
    "two_actors",
]

WIDE_RATIO, WIDE_SHARE = 0.8, 0.69754
"""CTR-GCN's thresholds: a body with an x extent above 0.8 of its y extent, in this share of its frames, is
more likely a reflection or a piece of furniture than a person."""


def most_moving(sequence: SkeletonSequence, _: JointLayout, *, bodies: int) -> SkeletonSequence:
    """The bodies with the largest spread, largest first: the standard deviations of x, y and z over the
    frames in which a body is present and all its joints, summed. Bodies that are never present go.
    """
    there = [int(m) for m in np.flatnonzero(sequence.present.any(axis=0))]
    if len(there) < 2:
        return take_bodies(sequence, there[:bodies])
    from skelkit import kernels  # numba: half a second

    spread = {m: float(kernels.spread(sequence.joints, sequence.present, m)) for m in there}
    ranked = sorted(there, key=lambda m: (-spread[m], m))
    kept = ranked[:bodies]
    notes = []
    for m in ranked[bodies:]:
        others = listed([f"{called(sequence, k)} ({spread[k]:.2f} m)" for k in kept])
        less = f"its coordinates vary less ({spread[m]:.2f} m) than those of {others}"
        notes.append(f"{called(sequence, m)} left out: {less}")
    for m in kept:
        suspicion = _suspicion(sequence, m, WIDE_RATIO, WIDE_SHARE)
        if suspicion:
            first = " and comes first" if m == kept[0] else ""
            notes.append(f"{called(sequence, m)} is kept{first}, but {suspicion}")
    return take_bodies(sequence, kept, tuple(notes))


def _frames_of(sequence: SkeletonSequence, body: int) -> NDArray[np.float32]:
    """(frames with the body, V, 3)"""
    poses: NDArray[np.float32] = sequence.joints[sequence.present[:, body], body]
    return poses


def _extents(poses: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, frames) the extents in x and in y of every pose, metres."""
    x_y = np.ascontiguousarray(poses[..., :2].T)  # for along the last axis numpy compares one by one
    extents: NDArray[np.float32] = x_y.max(axis=1) - x_y.min(axis=1)
    return extents


def _suspicion(sequence: SkeletonSequence, body: int, ratio: float, share: float) -> str:
    """Why the body may be no person, or nothing."""
    x, y = _extents(_frames_of(sequence, body))
    wide = x > ratio * y
    if not wide.any() or wide.sum() < share * len(wide):
        return ""
    return (
        f"spread out in x by {np.median(x[wide]):.2f} m and in y by {np.median(y[wide]):.2f} m in "
        f"{wide.sum()} of its {len(wide)} frames, like a reflection or furniture"
    )


def drop_short_tracks(sequence: SkeletonSequence, _: JointLayout, *, frames: int) -> SkeletonSequence:
    """Leave out bodies that are in fewer than so many frames, unless all are, and those never present.

    One that is alone stays, however short. Where all of several are too short, the paper's code fails; here
    all stay.
    """
    lengths = sequence.present.sum(axis=0)
    there, enough = lengths > 0, lengths >= frames
    if there.sum() < 2 or not enough.any():
        return take_bodies(sequence, np.flatnonzero(there).tolist())
    notes = tuple(
        f"{called(sequence, m)} left out: in {lengths[m]} frames, at least {frames} wanted"
        for m in np.flatnonzero(there & ~enough).tolist()
    )
    return take_bodies(sequence, np.flatnonzero(enough).tolist(), notes)


def drop_wide_bodies(
    sequence: SkeletonSequence, _: JointLayout, *, ratio: float, share: float
) -> SkeletonSequence:
    """Leave out bodies whose x extent exceeds ``ratio`` times their y extent in ``share`` or more of their
    frames; never the last that is left.
    """
    kept, notes = list(range(sequence.bodies)), []
    for m in range(sequence.bodies):
        suspicion = _suspicion(sequence, m, ratio, share) if len(kept) > 1 else ""
        if suspicion:
            kept.remove(m)
            notes.append(f"{called(sequence, m)} left out: {suspicion}")
    return take_bodies(sequence, kept, tuple(notes))


def rank_by_motion(sequence: SkeletonSequence, _: JointLayout, *, ratio: float) -> SkeletonSequence:
    """Order the bodies by the variances of x, y and z over their frames and joints, summed, largest first.

    Where a body's x extent exceeds ``ratio`` times its y extent in some frames only, the motion without
    these counts if it is less.
    """
    if sequence.bodies < 2:
        return sequence
    motion = [_motion(_frames_of(sequence, m), ratio) for m in range(sequence.bodies)]
    return take_bodies(sequence, sorted(range(sequence.bodies), key=lambda m: (-motion[m], m)))


def _motion(poses: NDArray[np.float32], ratio: float) -> float:
    x, y = _extents(poses)
    upright = x <= ratio * y
    chosen = [poses, poses[upright]] if upright.any() and not upright.all() else [poses]
    return min(float(some.reshape(-1, 3).var(axis=0).sum()) for some in chosen)


def two_actors(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """Cast the bodies, in their order, as at most two actors.

    As the paper's code does it: the first body is the first actor. Every other one continues the first actor
    if the two have at most one frame in common, else the second actor, else it is left out. An actor is
    taken to be there from its first body's first frame to its last one's last, the second one already from
    frame 0. In a common frame the later body counts.
    """
    if sequence.bodies < 2:
        return sequence
    cast: list[list[int]] = [[0], []]
    spans = [_span(sequence.present[:, 0]), (0, 0)]
    notes = []
    for m in range(1, sequence.bodies):
        first, last = _span(sequence.present[:, m])
        free = [a for a, (start, end) in enumerate(spans) if min(end, last) - max(start, first) <= 0]
        if not free:
            notes.append(f"{called(sequence, m)} left out: both actors are taken when it is there")
            continue
        actor = free[0]
        cast[actor].append(m)
        spans[actor] = (min(spans[actor][0], first), max(spans[actor][1], last))
    for members in cast:
        if len(members) > 1:
            who = listed([called(sequence, m) for m in members])
            notes.append(f"{who} play one actor, one after the other")
    return _merge(sequence, [members for members in cast if members], tuple(notes))


def _span(present: NDArray[np.bool_]) -> tuple[int, int]:
    """The first and the last frame."""
    here = np.flatnonzero(present)
    return int(here[0]), int(here[-1])


def _merge(sequence: SkeletonSequence, cast: list[list[int]], notes: tuple[str, ...]) -> SkeletonSequence:
    shape = (sequence.frames, len(cast))
    joints = np.zeros(shape + sequence.joints.shape[2:], dtype=np.float32)
    present = np.zeros(shape, dtype=np.bool_)
    for actor, members in enumerate(cast):
        for m in members:
            here = sequence.present[:, m]
            joints[here, actor] = sequence.joints[here, m]
            present[here, actor] = True
    return sequence.changed(joints=joints, present=present, tracks=None, notes=sequence.notes + notes)
