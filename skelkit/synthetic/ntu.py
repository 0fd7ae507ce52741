"""Raw NTU RGB+D files; `skelkit.readers.ntu` describes the format."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from skelkit.synthetic.bodies import (
    AZIMUTH,
    Floats,
    V,
    add_motion,
    film,
    idle,
    invent_subject,
    motion_of,
    people,
    pose,
    stand,
    timing,
)

__all__ = ["count", "files"]

# (z, x, y, 1) / z times this is depth x, y and colour x, y in pixels, as fitted to genuine files.
_PIXELS = np.array(
    [[254.0, 207.8, 960.8, 580.3], [366.9, 0, 1059.8, 0], [0, -366.9, 0, -1053.8], [0, 0, 54.2, -49.9]]
)
# An orientation of nought is what a Kinect gives where it has none, as at every hand and foot.
_BODY_TEMPLATE = " 0 1 1 1 1 0 %.7g %.7g 2\n25\n" + "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 0 0 0 0 2\n" * V


def _perform(
    label: int, subject: int, repeat: int, *, seed: int, bodies: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """What happens in the room, whichever camera looks; label counts from 1.

    Returns the joints (T, M, V, 3) in metres, y up from the floor, and who is seen, (T, M).
    """
    generator = np.random.default_rng((seed, label, subject, repeat))
    progress = timing(generator)
    # As in NTU RGB+D the first repeat is done towards one of the outer cameras, the second towards the other.
    facing = 180.0 + AZIMUTH[3 if repeat % 2 else 2]
    spot = generator.normal(0.0, 0.1, 3) * (1, 0, 1)
    joints = np.empty((len(progress), bodies, V, 3))
    for body in range(bodies):
        who = invent_subject(seed, subject + body)
        place, heading = stand(who, body, bodies, facing, spot, generator)
        tracks = idle(who, len(progress), generator, gestures=1.5)
        add_motion(tracks, motion_of(label, body), who, progress, generator)
        joints[:, body] = place + pose(tracks, who.offsets, heading)
    present = np.ones((len(progress), bodies), dtype=np.bool_)
    if bodies == 2 and generator.random() < 0.2:
        present[: generator.integers(3, 13), generator.integers(2)] = False
    return joints, present


def _write(joints: Floats, present: NDArray[np.bool_], generator: np.random.Generator) -> str:
    """The text of the file of a Kinect that saw joints (T, M, V, 3) of bodies present (T, M)."""
    trunk = joints[:, :, 20] - joints[:, :, 0]
    lean = trunk[..., [0, 2]] * (1, -1) / np.linalg.norm(trunk, axis=-1, keepdims=True)
    rays = np.insert(joints[..., [2, 0, 1]], 3, 1.0, axis=-1) / joints[..., 2:]
    fields = np.concatenate([joints, rays @ _PIXELS], axis=-1).reshape(*present.shape, -1)
    numbers = np.concatenate([lean, fields], axis=-1)[present].ravel()
    # Even for the first body and odd for the second, so never the same.
    ids = 2**56 + 2 * generator.integers(2**15, size=present.shape[1]) + np.arange(present.shape[1])
    bodies = [f"{number}{_BODY_TEMPLATE}" for number in ids]
    template = "".join(
        f"{sum(here)}\n{''.join(itertools.compress(bodies, here))}" for here in present.tolist()
    )
    return f"{len(joints)}\n{template % tuple(numbers.tolist())}"


def count(*, classes: int, subjects: int, repeats: int) -> int:
    """How many `files` there are."""
    return classes * subjects * repeats * len(AZIMUTH)


def files(*, classes: int, subjects: int, repeats: int, seed: int) -> Iterator[tuple[str, str]]:
    """Path and text of every file, by class, subject, repeat and camera.

    But for its number of people, a file depends on the seed and on its own name alone.
    """
    takes = itertools.product(range(1, classes + 1), range(1, subjects + 1), range(1, repeats + 1))
    for label, subject, repeat in takes:
        joints, present = _perform(label, subject, repeat, seed=seed, bodies=people(label, classes))
        for camera in AZIMUTH:
            generator = np.random.default_rng((seed, label, subject, repeat, camera))
            name = f"S001C{camera:03}P{subject:03}R{repeat:03}A{label:03}.skeleton"
            text = _write(film(joints, camera, generator), present, generator)
            yield f"nturgb+d_skeletons/{name}", text
