"""Steps that say what a body is, and the words in which notes speak of bodies and frames.

Amid a chain every body has an id, the same in all its frames: its tracking id or, where bodies go by slot,
-1 less the slot; real tracking ids are not negative.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = [
    "bodies_by_track",
    "called",
    "drop_zero_bodies",
    "first_slots",
    "in_frames",
    "listed",
    "take_bodies",
]


def called(sequence: SkeletonSequence, body: int) -> str:
    """What notes call a body: by its id, or by its slot."""
    there = sequence.present[:, body]
    number = -1 - body if sequence.tracks is None else int(sequence.tracks[np.argmax(there), body])
    return f"the body in slot {-1 - number}" if number < 0 else f"body {number}"


def listed(words: list[str]) -> str:
    """
    >>> listed(["0", "3", "7"])
    '0, 3 and 7'
    """
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), *words[-1:]])


def in_frames(chosen: NDArray[np.bool_]) -> str:
    """The chosen of (T,) frames in words.

    >>> in_frames(np.array([True, True, False, True]))
    'frames 0-1 and 3'
    """
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    runs = [f"{start}-{end - 1}" if end - start > 1 else f"{start}" for start, end in edges.reshape(-1, 2)]
    if len(runs) > 4:
        return f"{int(chosen.sum())} frames between {edges[0]} and {edges[-1] - 1}"
    return f"frame{'s' if chosen.sum() > 1 else ''} {listed(runs)}"


def take_bodies(
    sequence: SkeletonSequence, bodies: list[int], notes: tuple[str, ...] = ()
) -> SkeletonSequence:
    """These bodies in this order, with more notes."""
    if bodies == list(range(sequence.bodies)):
        return sequence.changed(notes=sequence.notes + notes)
    return sequence.changed(
        joints=sequence.joints[:, bodies],
        present=sequence.present[:, bodies],
        tracks=None if sequence.tracks is None else sequence.tracks[:, bodies],
        notes=sequence.notes + notes,
    )


def drop_zero_bodies(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """A body whose coordinates are all zero in a frame is absent there, though the file lists it."""
    zero = sequence.present & ~sequence.joints.any(axis=(2, 3))
    if not zero.any():
        return sequence
    notes = tuple(
        f"slot {m} holds a body of zeros in {in_frames(zero[:, m])}: taken for absent"
        for m in np.flatnonzero(zero.any(axis=0))
    )
    return sequence.changed(present=sequence.present & ~zero, notes=sequence.notes + notes)


def bodies_by_track(sequence: SkeletonSequence, _: JointLayout) -> SkeletonSequence:
    """Give every tracked person one place for the whole sequence, in the order of appearance.

    In the raw files a person's slot in the frame can change; the tracking id does not. An id that occurs
    twice in one frame is taken for two persons. Without tracking ids a body is a slot, and those at the end
    that are in no frame are none.
    """
    if sequence.tracks is None:
        here = np.flatnonzero(sequence.present.any(axis=0))
        bodies = slice(here[-1] + 1 if len(here) else 1)
        sequence = sequence.changed(joints=sequence.joints[:, bodies], present=sequence.present[:, bodies])
        sequence = sequence.changed(tracks=_slot_ids(sequence))
        return sequence.changed(notes=sequence.notes + _come_and_go(sequence))
    again = _occurred_before(sequence.tracks, sequence.present)
    t, slot = np.nonzero(sequence.present)
    ids = sequence.tracks[t, slot]
    places: dict[tuple[int, int], int] = {}
    persons = zip(ids.tolist(), again[t, slot].tolist(), strict=True)
    place = np.array([places.setdefault(person, len(places)) for person in persons], dtype=np.int64)
    if len(places) == sequence.bodies and np.array_equal(place, slot):
        result = sequence
    else:
        shape = (sequence.frames, len(places))
        joints = np.zeros(shape + sequence.joints.shape[2:], dtype=np.float32)
        present = np.zeros(shape, dtype=np.bool_)
        tracks = np.zeros(shape, dtype=np.int64)
        joints[t, place] = sequence.joints[t, slot]
        present[t, place] = True
        tracks[t, place] = ids
        result = sequence.changed(joints=joints, present=present, tracks=tracks)
    notes = tuple(
        f"body {track} occurs twice in {in_frames(((sequence.tracks == track) & (again == 1)).any(axis=1))}: "
        "taken for two persons"
        for track, nth in places
        if nth == 1
    )
    return result.changed(notes=sequence.notes + notes + _come_and_go(result))


def _occurred_before(tracks: NDArray[np.int64], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(T, M) in how many slots before this one the frame has the same id."""
    before = np.zeros(tracks.shape, dtype=np.int64)
    for slot in range(1, tracks.shape[1]):
        same = (tracks[:, :slot] == tracks[:, slot : slot + 1]) & present[:, :slot]
        before[:, slot] = same.sum(axis=1) * present[:, slot]
    return before


def _slot_ids(sequence: SkeletonSequence) -> NDArray[np.int64]:
    return np.where(sequence.present, -1 - np.arange(sequence.bodies), 0)


def _come_and_go(sequence: SkeletonSequence) -> tuple[str, ...]:
    return tuple(
        f"{called(sequence, m)} only in {in_frames(sequence.present[:, m])} of {sequence.frames}"
        for m in np.flatnonzero(~sequence.present.all(axis=0) & sequence.present.any(axis=0)).tolist()
    )


def first_slots(sequence: SkeletonSequence, _: JointLayout, *, bodies: int) -> SkeletonSequence:
    """Only the first ``bodies`` bodies of every frame; from here on a body is a slot, whoever is in it."""
    counting = f"slots 0-{bodies - 1} count" if bodies > 1 else "slot 0 counts"
    notes = tuple(
        f"slot {m} left out: it is in {in_frames(sequence.present[:, m])}, but only {counting}"
        for m in range(bodies, sequence.bodies)
        if sequence.present[:, m].any()
    )
    sequence = take_bodies(sequence, list(range(min(bodies, sequence.bodies))), notes)
    notes = _shared_slots(sequence)
    return sequence.changed(tracks=_slot_ids(sequence), notes=sequence.notes + notes)


def _shared_slots(sequence: SkeletonSequence) -> tuple[str, ...]:
    if sequence.tracks is None:
        return ()
    notes = []
    for m in range(sequence.bodies):
        ids, here = sequence.tracks[:, m], sequence.present[:, m]
        if (ids[here] == ids[here][:1]).all():
            continue
        persons = dict.fromkeys(ids[here].tolist())
        who = [f"body {track} in {in_frames(here & (ids == track))}" for track in persons]
        notes.append(f"slot {m} holds several persons, who are taken for one: {listed(who)}")
    return tuple(notes)
