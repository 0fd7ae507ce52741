"""Raw PKU-MMD files, with their labels and split lists.

A frame is a line of 150 numbers: two bodies of 25 joints, x y z in metres; an absent body is all zeros. A
label file has one line per action, ``class,start,end,confidence``: the class counts from 1, the frames from
0, the end is the first frame after. Both are written the way the dataset's authors wrote them, blanks and
"Validataion" included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelkit.synthetic.bodies import (
    Floats,
    V,
    add_motion,
    ease,
    film,
    idle,
    invent_subject,
    motion_of,
    people,
    pose,
    stand,
    timing,
)

__all__ = ["PHASE_1", "PHASE_2", "Phase", "count", "files"]

_CAMERAS = {"L": 3, "M": 1, "R": 2}
_ACTIONS = 10  # at most, of one recording
_PRESENT, _ABSENT = " ".join(["%.6f"] * 3 * V), " ".join(["0.000000"] * 3 * V)


@dataclass(frozen=True)
class Phase:
    """How the files of a phase are named, and who validates."""

    skeletons: str
    labels: str
    cross_subject: str
    cross_view: str
    list_end: str
    """After the last name of a split list."""
    validation: frozenset[int] | None
    """The subjects of the official split; None: the last quarter, for the files do not tell the subjects."""

    def video(self, subject: int, number: int, recordings: int, camera: str) -> str:
        """The name of a subject's recording, out of so many of each subject; both count from 1."""
        if self.validation is not None:
            return f"A{number:02}N{subject:02}-{camera}"
        return f"{(subject - 1) * recordings + number + 1:04}-{camera}"  # the official ones begin with 0002

    def validates(self, subject: int, subjects: int) -> bool:
        if self.validation is not None:
            return subject in self.validation
        return subject > subjects * 3 // 4


PHASE_1 = Phase(
    skeletons="PKU_Skeleton_Renew",
    labels="Train_Label_PKU_final",
    cross_subject="Split/cross-subject.txt",
    cross_view="Split/cross-view.txt",
    list_end=", ",
    validation=None,
)
PHASE_2 = Phase(
    skeletons="PKU_Skeleton_v2",
    labels="Label_PKU_v2",
    cross_subject="Split_v2/cross_subject_v2.txt",
    cross_view="Split_v2/cross_view_v2.txt",
    list_end="",
    validation=frozenset([2, 3, 7]),
)


def _parts(actions: int) -> int:
    """Recordings needed for so many actions."""
    return -(-actions // _ACTIONS)


def _recordings(subject: int, *, classes: int, repeats: int, seed: int) -> list[list[int]]:
    """The classes in each of a subject's recordings, in the order performed.

    As in PKU-MMD, actions of one person and of two do not share a recording.
    """
    generator = np.random.default_rng((seed, subject, 0, 1))
    recordings = []
    for bodies in (1, 2):
        labels = [label for label in range(1, classes + 1) if people(label, classes) == bodies]
        takes = generator.permutation(np.repeat(labels, repeats))
        if len(takes):
            recordings += [part.tolist() for part in np.array_split(takes, _parts(len(takes)))]
    return recordings


def _perform(
    labels: list[int], subject: int, number: int, *, seed: int, bodies: int
) -> tuple[Floats, NDArray[np.bool_], list[tuple[int, int]]]:
    """One recording as it happens in the room, whichever camera looks.

    Returns the joints (T, M, V, 3) in metres, y up from the floor; who is seen, (T, M); and of each action
    the first frame and the one after its last.
    """
    generator = np.random.default_rng((seed, subject, number))
    progress = [timing(generator) for _ in labels]
    rests = generator.integers(30, 91, len(labels) + 1)
    lengths = np.array([len(part) for part in progress])
    stops = np.cumsum(rests[:-1] + lengths)
    starts = stops - lengths
    frames = int(stops[-1] + rests[-1])
    spans = list(zip(starts.tolist(), stops.tolist(), strict=True))

    spot = generator.normal(0.0, 0.1, 3) * (1, 0, 1)
    joints = np.empty((frames, bodies, V, 3))
    for body in range(bodies):
        who = invent_subject(seed, subject + body)
        place, heading = stand(who, body, bodies, 180.0, spot, generator)  # towards the camera in the middle
        tracks = idle(who, frames, generator, gestures=frames / 50)
        following = [*starts.tolist()[1:], frames]
        for label, part, (start, stop), until in zip(labels, progress, spans, following, strict=True):
            before = tracks[stop - 1].copy()
            add_motion(tracks[start:stop], motion_of(label, body), who, part, generator)
            # What an action leaves, a step or a turn, is undone until the next one.
            left = tracks[stop - 1] - before
            tracks[stop:until] += left * ease(np.linspace(1.0, 0.0, until - stop))[:, None]
        joints[:, body] = place + pose(tracks, who.offsets, heading)

    present = np.ones((frames, bodies), dtype=np.bool_)
    if bodies == 2:  # comes later, now and then into the first action, and may go earlier
        present[: generator.integers(3, starts[0] + 13), 1] = False
        present[generator.integers(stops[-1], frames + 1) :, 1] = False
    return joints, present, spans


def _write(joints: Floats, present: NDArray[np.bool_]) -> str:
    """The text of the skeleton file of joints (T, M, V, 3) of bodies present (T, M)."""
    slots = np.zeros((len(present), 2), dtype=np.bool_)
    slots[:, : present.shape[1]] = present
    # Every line but the first begins with a blank in genuine files.
    template = "\n ".join(
        " ".join([_PRESENT if here else _ABSENT for here in frame]) for frame in slots.tolist()
    )
    return f"{template % tuple(joints[present].ravel().tolist())}\n"


def _split(trains: dict[str, bool], end: str) -> str:
    """The text of a split list, by video whether it trains; end stands after the last name."""
    training, validation = [
        ", ".join(sorted(video for video in trains if trains[video] == part)) + end for part in (True, False)
    ]
    return f"Training videos: \n{training}\nValidataion videos: \n{validation}\n"


def count(*, classes: int, subjects: int, repeats: int) -> int:
    """How many `files` there are."""
    both = classes // 4
    recordings = subjects * (_parts((classes - both) * repeats) + _parts(both * repeats))
    return recordings * len(_CAMERAS) * 2 + 2


def files(phase: Phase, *, classes: int, subjects: int, repeats: int, seed: int) -> Iterator[tuple[str, str]]:
    """Path and text of every file: by subject, recording and camera skeletons and labels, then the splits.

    A recording does not depend on how many subjects there are; from two on, both parts of a split have some.
    """
    videos: dict[str, tuple[int, str]] = {}
    for subject in range(1, subjects + 1):
        recordings = _recordings(subject, classes=classes, repeats=repeats, seed=seed)
        for number, labels in enumerate(recordings, 1):
            bodies = people(labels[0], classes)
            joints, present, spans = _perform(labels, subject, number, seed=seed, bodies=bodies)
            actions = [
                f"{label},{start},{stop},2\n" for label, (start, stop) in zip(labels, spans, strict=True)
            ]
            for letter, camera in _CAMERAS.items():
                video = phase.video(subject, number, len(recordings), letter)
                videos[video] = subject, letter
                generator = np.random.default_rng((seed, subject, number, camera))
                yield f"{phase.skeletons}/{video}.txt", _write(film(joints, camera, generator), present)
                yield f"{phase.labels}/{video}.txt", "".join(actions)
    by_subject = {video: not phase.validates(who, subjects) for video, (who, _) in videos.items()}
    by_view = {video: letter != "L" for video, (_, letter) in videos.items()}
    yield phase.cross_subject, _split(by_subject, phase.list_end)
    yield phase.cross_view, _split(by_view, phase.list_end)
