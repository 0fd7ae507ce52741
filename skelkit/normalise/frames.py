"""Steps along time: frames with nobody, and frames in which a body is absent."""

from __future__ import annotations

import numpy as np

from skelkit.normalise.bodies import called, in_frames
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = ["close_gaps", "drop_empty_frames", "fill_gaps"]


def fill_gaps(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """As the paper's code does it, body by body: one that is absent in the first frame has its present
    frames moved together to the start; then the frames after its last one are filled by playing it again
    from the start. Gaps inside a body that is present in the first frame stay.
    """
    if sequence.present.all():
        return sequence
    joints, present = sequence.joints.copy(), sequence.present.copy()
    notes = []
    for m in range(sequence.bodies):
        here = sequence.present[:, m]
        if here.all() or not here.any():
            continue
        shown = np.flatnonzero(here)
        played = np.arange(shown[-1] + 1) if here[0] else shown
        again = played[np.arange(sequence.frames) % len(played)]
        joints[:, m] = sequence.joints[again, m]
        present[:, m] = here[again]
        done = [] if here[0] else ["moved to the start"]
        done += ["its gaps stay"] if len(played) > len(shown) else []
        done += [f"played again from frame {len(played)} on"] if len(played) < sequence.frames else []
        what = ", ".join(done)
        notes.append(f"{called(sequence, m)} only in {in_frames(here)} of {sequence.frames}: {what}")
    return sequence.changed(joints=joints, present=present, tracks=None, notes=sequence.notes + tuple(notes))


def drop_empty_frames(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """Only the frames with somebody in them."""
    somebody = sequence.present.any(axis=1)
    if somebody.all():
        return sequence
    dropped = int((~somebody).sum())
    return sequence.changed(
        joints=sequence.joints[somebody],
        present=sequence.present[somebody],
        tracks=None if sequence.tracks is None else sequence.tracks[somebody],
        notes=(*sequence.notes, f"{dropped} frame{'s' if dropped > 1 else ''} with nobody dropped"),
    )


def close_gaps(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """Move the frames of every body together, from its first one on.

    The paper's code counts a body's frames instead of keeping their places; so after a gap a body is out of
    step with the others.
    """
    shown = [np.flatnonzero(sequence.present[:, m]) for m in range(sequence.bodies)]
    torn = [m for m, frames in enumerate(shown) if len(frames) and np.ptp(frames) >= len(frames)]
    if not torn:
        return sequence
    joints, present = sequence.joints.copy(), sequence.present.copy()
    tracks = None if sequence.tracks is None else sequence.tracks.copy()
    for m in torn:
        start, end = shown[m][0], shown[m][0] + len(shown[m])
        joints[start:end, m], joints[end:, m] = joints[shown[m], m], 0
        present[start:end, m], present[end:, m] = True, False
        if tracks is not None:
            tracks[start:end, m], tracks[end:, m] = tracks[shown[m], m], 0
    notes = tuple(
        f"{called(sequence, m)} comes back after {np.ptp(shown[m]) + 1 - len(shown[m])} frames of absence: "
        "its later frames move up to close the gap"
        for m in torn
    )
    return sequence.changed(joints=joints, present=present, tracks=tracks, notes=sequence.notes + notes)
