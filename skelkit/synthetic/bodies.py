"""Made-up people, what they do, and how three Kinects see it.

A class is a handful of joint-angle tracks (a *motion*), fixed by the class number alone. A subject has a
body, a posture, a tempo and a reach; a performance adds timing, sway and stray gestures; a camera adds its
direction and Kinect-like noise. What is random is drawn from a generator that the caller gives.

Frames of reference: a body has x to its left, y up and z forward; a Kinect v2 has x to its own left, y up
and z away from it (both right-handed, so somebody who faces the camera has the right shoulder at larger x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from skelkit.skeleton import load_layout

__all__ = [
    "AZIMUTH",
    "MOTIONS",
    "Floats",
    "Subject",
    "V",
    "add_motion",
    "ease",
    "film",
    "idle",
    "invent_subject",
    "motion_of",
    "people",
    "pose",
    "stand",
    "timing",
]

Floats = NDArray[np.float64]

_RATE = 30.0  # frames a second
_LAYOUT = load_layout("ntu25")
V = _LAYOUT.size

# Joint, parent and the joint's place seen from its parent, in metres, for a person of 1.7 m standing with
# hanging arms. Only the left half is written; the right one is its mirror image.
_BODY = (
    (1, 0, (0.00, 0.25, 0.00)), (20, 1, (0.00, 0.24, 0.00)), (2, 20, (0.00, 0.07, 0.01)),
    (3, 2, (0.00, 0.14, 0.02)), (4, 20, (0.17, -0.04, 0.00)), (5, 4, (0.02, -0.27, -0.01)),
    (6, 5, (0.01, -0.24, 0.01)), (7, 6, (0.00, -0.07, 0.01)), (21, 7, (0.00, -0.08, 0.00)),
    (22, 7, (-0.02, -0.03, 0.04)), (12, 0, (0.08, -0.03, 0.00)), (13, 12, (0.01, -0.40, 0.01)),
    (14, 13, (0.01, -0.39, -0.01)), (15, 14, (0.02, -0.06, 0.11)),
)  # fmt: skip
_SOLES = [14, 15, 18, 19]

# Three cameras around the same spot: metres above the floor and away from it, degrees downwards, and degrees
# around the room. As in NTU RGB+D, camera 1 is between the others and never sees anybody from the front.
_HEIGHT, _DISTANCE, _TILT = 1.1, 3.1, 4.0
AZIMUTH = {1: 0.0, 2: 45.0, 3: -45.0}

# Standard deviation of the noise between frames, in millimetres: medians over genuine NTU RGB+D files.
_JITTER = np.array(
    [2, 1, 2, 2, 2, 5, 8, 10, 2, 5, 8, 10, 2, 5, 5, 14, 2, 5, 5, 14, 1, 12, 13, 12, 13], dtype=np.float64
)
_DRIFT = 2.0  # the slower errors of tracking, in units of the jitter

_SIDED = ("flex", "out", "twist", "elbow", "wrist", "hip", "side", "knee")
_CHANNELS = (
    *(f"{side}.{name}" for side in "lr" for name in _SIDED),
    *("bend", "lean", "turn", "nod", "shake", "tilt", "yaw", "hop", "walk", "step"),
)
_IN_METRES = ("hop", "walk", "step")

# What a motion is made of: "channel amount shape[@Hz]", in degrees, or in metres for hop, walk and step.
# l., r. and b. are left, right and both sides. hold: up and back; once: a single bump; ramp: go and stay;
# swing: +- around rest; cycle: from rest and back; counter: as cycle, half a period later.
_ARM_MOTIONS = (
    "r.out 85 hold, r.twist -90 hold, r.elbow 60 hold, r.elbow 35 swing@1.7",  # wave the right hand
    "b.flex 160 once, b.elbow 15 once",  # raise both arms
    "r.flex 80 cycle@1.4, r.elbow 100 counter@1.4, turn 20 cycle@1.4",  # punch
    "b.flex 60 hold, b.elbow 45 hold, b.twist 10 hold, b.out 30 swing@1.5",  # clap
    "r.flex 45 once, r.twist 25 once, r.elbow 125 once, nod -12 once",  # drink
    "b.out 110 cycle@0.9",  # flap both arms
    "l.out 85 hold, l.twist -90 hold, l.elbow 60 hold, l.elbow 35 swing@1.7",  # wave the left hand
    "b.flex 55 hold, b.twist 40 hold, b.elbow 95 hold",  # cross the arms
    "r.flex 150 once, r.elbow 40 once, turn -30 once, r.flex 30 swing@0.5",  # throw
    "l.flex 70 cycle@1.1, r.flex 70 counter@1.1, b.elbow 80 hold",  # drum
    "l.flex 85 hold, l.wrist 30 swing@1",  # point with the left hand
    "r.flex 75 hold, r.out 35 swing@1, r.twist 30 swing@1, r.elbow 50 hold",  # wipe a board
)
_BODY_MOTIONS = (
    "r.hip 75 cycle@0.7, r.knee 35 counter@0.7, lean 6 hold",  # kick
    "b.hip 70 cycle@0.6, b.knee 130 cycle@0.6, bend 25 cycle@0.6",  # squat
    "bend 65 once, nod 20 once",  # bow
    "yaw 110 ramp, l.hip 20 cycle@1.2, l.knee 40 cycle@1.2, r.knee 40 counter@1.2",  # turn to the left
    "nod 28 cycle@1.3",  # nod
    "walk 0.5 ramp, l.hip 30 swing@1, r.hip -30 swing@1, l.knee 30 cycle@1, r.knee 30 counter@1",  # walk
    "shake 40 swing@1.1",  # shake the head
    "hop 0.2 cycle@1.5, b.hip 30 counter@1.5, b.knee 55 counter@1.5",  # jump
    "lean 30 swing@0.6, tilt 10 swing@0.6",  # sway sideways
    "l.hip 75 cycle@1.1, l.knee 85 cycle@1.1, r.hip 75 counter@1.1, r.knee 85 counter@1.1",  # march
    "step 0.5 ramp, l.side 22 cycle@1, r.side 22 counter@1",  # step to the side
    "turn 45 swing@0.7",  # twist the trunk
)


class _Move(NamedTuple):
    channel: int
    amount: float
    shape: str
    hertz: float


def _parse(text: str) -> list[_Move]:
    moves = []
    for term in text.split(", "):
        name, amount, how = term.split()
        shape, _, hertz = how.partition("@")
        for one in ("l" + name[1:], "r" + name[1:]) if name.startswith("b.") else (name,):
            moves.append(_Move(_CHANNELS.index(one), float(amount), shape, float(hertz or 0)))
    return moves


def _motions() -> list[list[_Move]]:
    """One motion per class of NTU-120: first the single ones, then arms and body at once, at varied pace."""
    arms, body = [_parse(m) for m in _ARM_MOTIONS], [_parse(m) for m in _BODY_MOTIONS]
    singles = [motion for pair in zip(arms, body, strict=True) for motion in pair]
    generator = np.random.default_rng(25)
    pairs = generator.permutation(len(arms) * len(body))[: 120 - len(singles)]
    paces = generator.choice([0.7, 1.0, 1.4], size=len(pairs))
    combined = [
        [move._replace(hertz=move.hertz * pace) for move in arms[pair % len(arms)] + body[pair // len(arms)]]
        for pair, pace in zip(pairs.tolist(), paces.tolist(), strict=True)
    ]
    return singles + combined


MOTIONS = _motions()


def motion_of(label: int, body: int) -> list[_Move]:
    """What body 0 or 1 does in a class; label counts from 1."""
    # The other one answers with a simple motion that belongs to the class.
    return MOTIONS[(7 * label + 3) % (2 * len(_ARM_MOTIONS)) if body else label - 1]


def people(label: int, classes: int) -> int:
    """How many act in a class: two in the last quarter of the classes, from four classes on."""
    return 1 if label <= classes - classes // 4 else 2


def _rest_pose() -> tuple[list[tuple[int, int]], Floats]:
    """The tree as (joint, parent), parents first, and each joint's place seen from its parent, (V, 3)."""
    other = _LAYOUT.mirrored()
    tree: list[tuple[int, int]] = []
    offsets = np.zeros((V, 3))
    for joint, parent, place in _BODY:
        tree.append((joint, parent))
        offsets[joint] = place
        if other[joint] != joint:
            tree.append((int(other[joint]), int(other[parent])))
            offsets[other[joint]] = np.array(place) * (-1, 1, 1)
    return tree, offsets


_TREE, _OFFSETS = _rest_pose()


@dataclass(frozen=True)
class Subject:
    offsets: Floats  # (V, 3), metres
    posture: Floats  # (channels,), degrees, always added
    tempo: float
    reach: float  # factor on every amount
    facing: float  # degrees
    phase: float  # radians


def invent_subject(seed: int, number: int) -> Subject:
    generator = np.random.default_rng((seed, number))
    bones = generator.normal(1.0, 0.08, V)[np.minimum(np.arange(V), _LAYOUT.mirrored())]
    height = generator.normal(1.0, 0.06)
    return Subject(
        offsets=_OFFSETS * (height * bones).clip(0.75, 1.25)[:, None],
        posture=np.where(np.isin(_CHANNELS, _IN_METRES), 0.0, generator.normal(0.0, 7.0, len(_CHANNELS))),
        tempo=float(np.exp(generator.normal(0.0, 0.2))),
        reach=float(generator.uniform(0.5, 1.15)),
        facing=float(generator.normal(0.0, 12.0)),
        phase=float(generator.uniform(-np.pi, np.pi)),
    )


def idle(subject: Subject, frames: int, generator: np.random.Generator, *, gestures: float) -> Floats:
    """(T, channels) angles in degrees (hop, walk and step: metres) of somebody who waits.

    gestures : stray ones to expect
    """
    # Nobody stands still: a slow sway in every joint, and a few gestures that mean nothing.
    time = np.arange(frames)[:, None] / _RATE
    sway = generator.normal(0.0, 4.0, len(_CHANNELS)) * np.sin(
        2 * np.pi * generator.uniform(0.1, 0.6, len(_CHANNELS)) * time
        + generator.uniform(0, 2 * np.pi, len(_CHANNELS))
    )
    tracks: Floats = subject.posture + np.where(np.isin(_CHANNELS, _IN_METRES), 0.0, sway)
    for _ in range(generator.poisson(gestures)):
        which, moment = generator.integers(16), generator.uniform(0.0, frames)
        bump = np.exp(-(((np.arange(frames) - moment) / 8) ** 2))
        tracks[:, which] += generator.normal(0.0, 40.0) * bump
    return tracks


def timing(generator: np.random.Generator) -> Floats:
    """The progress of an action, (T,), from 0 to 1; it may begin late and end early."""
    frames = int(generator.integers(40, 111))
    start, stop = generator.uniform(0.0, 0.35) * frames, generator.uniform(0.65, 1.0) * frames
    even = ((np.arange(frames) - start) / (stop - start)).clip(0, 1)
    progress: Floats = even ** np.exp(generator.normal(0.0, 0.2))
    return progress


def ease(part: Floats) -> Floats:
    """From 0 to 1, without a jerk at either end."""
    eased: Floats = part * part * (3 - 2 * part)
    return eased


def add_motion(
    tracks: Floats, motion: list[_Move], subject: Subject, progress: Floats, generator: np.random.Generator
) -> None:
    """Add to tracks (T, channels), in place, what a subject does as progress (T,) goes from 0 to 1."""
    hold = ease((4 * np.minimum(progress, 1 - progress)).clip(0, 1))
    seconds = progress * len(progress) / _RATE * subject.tempo * np.exp(generator.normal(0.0, 0.08))
    phase = subject.phase + generator.normal(0.0, 0.6)
    reach = subject.reach * np.exp(generator.normal(0.0, 0.08))
    for move in motion:
        angle = 2 * np.pi * move.hertz * seconds + phase
        shape = {
            "hold": hold,
            "once": np.sin(np.pi * progress) ** 2,
            "ramp": ease(progress),
            "swing": hold * np.sin(angle),
            "cycle": hold * (1 - np.cos(angle)) / 2,
            "counter": hold * (1 + np.cos(angle)) / 2,
        }[move.shape]
        tracks[:, move.channel] += reach * move.amount * shape


def stand(
    subject: Subject, body: int, bodies: int, facing: float, spot: Floats, generator: np.random.Generator
) -> tuple[Floats, float]:
    """Where one of the bodies around a spot (3,) stands, in metres, and its heading in degrees.

    Alone it faces that way, more or less; two face each other across it.
    """
    heading = facing + subject.facing + generator.normal(0.0, 5.0)
    if bodies == 1:
        return spot, heading
    heading += 90.0 - 180.0 * body
    return spot - _about_y(heading).apply((0.0, 0.0, generator.uniform(0.45, 0.6))), heading


def pose(tracks: Floats, offsets: Floats, facing: float) -> Floats:
    """Forward kinematics of tracks (T, channels): joints (T, V, 3), in metres from the start on the floor."""
    channel = dict(zip(_CHANNELS, tracks.T, strict=True))

    def turn(order: str, *angles: Floats) -> Floats:
        return Rotation.from_euler(order, np.stack(angles, axis=1), degrees=True).as_matrix()

    root = turn("Y", facing + channel["yaw"])
    half = turn("XZY", channel["bend"] / 2, -channel["lean"] / 2, channel["turn"] / 2)
    turns = {0: root, 1: root @ half, 20: root @ half @ half}
    turns[2] = turns[20] @ turn("XZY", channel["nod"], -channel["tilt"], channel["shake"])
    for side, sign, arm, leg in (("l", 1, 4, 12), ("r", -1, 8, 16)):
        flex, out, twist, elbow, wrist, hip, spread, knee = (channel[f"{side}.{name}"] for name in _SIDED)
        turns[arm] = turns[20] @ turn("XZY", -flex, sign * out, -sign * twist)
        turns[arm + 1] = turns[arm] @ turn("X", -elbow.clip(0, 150))
        turns[arm + 2] = turns[arm + 3] = turns[arm + 1] @ turn("X", -wrist)
        turns[leg] = root @ turn("XZ", -hip, sign * spread)
        turns[leg + 1] = turns[leg] @ turn("X", knee.clip(0, 140))
        turns[leg + 2] = root  # feet stay level

    joints = np.zeros((len(tracks), V, 3))
    for joint, parent in _TREE:
        joints[:, joint] = joints[:, parent] + turns[parent] @ offsets[joint]
    path = np.stack([channel["step"], np.zeros(len(tracks)), channel["walk"]], axis=1)
    joints += _about_y(facing).apply(path)[:, None]
    # Somebody who bends the knees sinks: the lower sole is on the floor.
    joints[:, :, 1] += (channel["hop"].clip(0) - joints[:, _SOLES, 1].min(axis=1))[:, None]
    return joints


def _about_y(degrees: float) -> Rotation:
    return Rotation.from_euler("Y", degrees, degrees=True)


def film(joints: Floats, camera: int, generator: np.random.Generator) -> Floats:
    """What one camera's Kinect makes of joints (T, M, V, 3): in metres, in its own frame, with its noise."""
    view = Rotation.from_euler("XY", (-_TILT, -AZIMUTH[camera]), degrees=True)
    joints = (joints - (0, _HEIGHT, 0)) @ view.as_matrix().T + (0, 0, _DISTANCE)
    # Besides the jitter a tracker errs for a while: noise at every tenth frame, and lines in between.
    frames = len(joints)
    knots = generator.normal(0.0, 1.0, (frames // 10 + 2, *joints.shape[1:]))
    before, part = np.arange(frames) // 10, (np.arange(frames) % 10 / 10)[:, None, None, None]
    drift = (1 - part) * knots[before] + part * knots[before + 1]
    joints += (generator.normal(0.0, 1.0, joints.shape) + _DRIFT * drift) * _JITTER[:, None] / 1000
    return joints
