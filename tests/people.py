"""Made-up people who come and go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout

NTU = load_layout("ntu25")


def sequence(
    present: list[list[int]], seed: int = 0, tracks: list[list[int]] | None = None
) -> SkeletonSequence:
    """Bodies anywhere in the room, where ``present`` (T, M) says so."""
    here = np.array(present, dtype=np.bool_).reshape(len(present), len(present[0]) if present else 0)
    joints = np.random.default_rng(seed).normal(0, 1, (*here.shape, 25, 3)).astype(np.float32)
    joints[~here] = 0
    return SkeletonSequence(joints, here, "a", 0, {}, None if tracks is None else np.array(tracks, np.int64))


def run(start: int, end: int, frames: int = 40) -> list[int]:
    """Present from one frame to the other, both included."""
    return [int(start <= t <= end) for t in range(frames)]


def bodies(*rows: list[int], tracks: bool = False) -> SkeletonSequence:
    """Each body's presence by frame; with ``tracks`` their ids are 100, 101, ..."""
    here = np.array(rows).T
    ids = here * (100 + np.arange(len(rows)))
    return sequence(here.tolist(), tracks=ids.tolist() if tracks else None)


def slim(sequence: SkeletonSequence) -> SkeletonSequence:
    """Bodies nobody takes for a reflection."""
    sequence.joints[..., 0] *= 0.1
    return sequence


def padded(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """With a second body (T, 2, V, 3), of zeros where there was none."""
    return np.pad(joints, ((0, 0), (0, 2 - joints.shape[1]), (0, 0), (0, 0)))
