"""What a preview shows and where: panels, and the directions, middles and scales they are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = ["PITCH", "YAW", "Panel", "Stage", "camera", "set_stage"]

YAW, PITCH = 0.45, 0.16
"""The first look at a stage, in radians: from a little to the side and above."""

_MARGIN = 0.9
_NEAR = 0.4


@dataclass(frozen=True)
class Panel:
    """One moving skeleton: the original, or a view of it."""

    title: str
    joints: NDArray[np.float32]
    """(F, M, V, 3)"""
    present: NDArray[np.bool_]
    """(F, M)"""
    start: float
    """Where the part shown begins, in frames of the original."""
    length: float
    """Frames of the original that the F frames span."""
    backwards: bool
    """Whether the F frames run from the part's end to its start."""
    own_clock: bool
    """Whether it is best seen playing its own frames, not beside the same moments of the original."""
    marked: NDArray[np.bool_]
    """(V,) joints to point out."""
    notes: tuple[str, ...]
    """Lines to print with it."""

    def frame_at(self, time: float) -> int | None:
        """The frame shown after ``time`` frames of the original; None where there is none."""
        frames = len(self.joints)
        if self.own_clock:
            return int(time) if 0 <= time < frames else None
        if not self.start <= time < self.start + self.length:
            return None
        frame = min(int((time - self.start) * frames / self.length), frames - 1)
        return frames - 1 - frame if self.backwards else frame

    def moment(self, frame: int) -> float:
        """The middle of a frame, in frames of the original."""
        frames = len(self.joints)
        passed = (frames - frame - 0.5 if self.backwards else frame + 0.5) / frames
        return self.start + self.length * passed


@dataclass(frozen=True)
class Stage:
    """Directions and ground alike for all panels; middles and extents of each."""

    axes: NDArray[np.float64]
    """(3, 3) rows: to the side, up, and to the front where the viewer stands (orthonormal)."""
    centres: NDArray[np.float64]
    """(panels, 3) the point in the middle of each panel."""
    extents: NDArray[np.float64]
    """(panels, 2) how far the first look reaches from the middle, sidewards and upwards."""
    around: NDArray[np.float64]
    """(panels,) the same sidewards, from wherever one looks."""
    radius: float
    """Distance of the original's outermost joint from the middle, and half the side of the ground."""
    ground: float
    """Height of the ground above the middle (below it: negative)."""
    grid: float
    """Distance between the lines on the ground."""
    bones: NDArray[np.int64]
    """(bones, 2) child, parent"""
    side: NDArray[np.int64]
    """(V,) 0 left, 1 right, 2 trunk"""

    def scale(self, panel: int, size: tuple[int, int]) -> float:
        """Pixels a metre on a picture of ``size`` that holds the whole panel."""
        extent = self.extents[panel]
        return float(_MARGIN * min(size[0] / extent[0], size[1] / extent[1]) / 2)

    def pixels(self, points: NDArray[np.floating], panel: int, size: tuple[int, int]) -> NDArray[np.float64]:
        """(..., 3) points to (..., 3): x and y on a picture, and how near the viewer."""
        at: NDArray[np.float64] = (points - self.centres[panel]) @ camera(self.axes).T
        scale = self.scale(panel, size)
        at[..., 0] = size[0] / 2 + scale * at[..., 0]
        at[..., 1] = size[1] / 2 - scale * at[..., 1]
        return at


def camera(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rows: rightwards, upwards and towards the viewer at the first look."""
    side, up, front = axes
    level = np.cos(YAW) * front + np.sin(YAW) * side
    return np.stack(
        [
            np.cos(YAW) * side - np.sin(YAW) * front,
            np.cos(PITCH) * up - np.sin(PITCH) * level,
            np.cos(PITCH) * level + np.sin(PITCH) * up,
        ]
    )


def set_stage(original: SkeletonSequence, panels: Sequence[Panel], layout: JointLayout) -> Stage:
    """Choose directions, middles and scales from the data; the original is the first panel."""
    axes = _axes(original, layout)
    bodies = [panel.joints[panel.present].astype(float) for panel in panels]
    boxes = [one.reshape(-1, 3) if len(one) else np.zeros((1, 3)) for one in bodies]
    middles = np.array([np.percentile(box, (1, 99), axis=0).mean(axis=0) for box in boxes])

    radius = float(np.percentile(np.linalg.norm(boxes[0] - middles[0], axis=1), 99.5)) or 1.0
    # A view that stays near keeps the original's place; one flung away (raw camera coordinates turn about
    # the camera) is brought to the middle, or there would be little to see.
    near = np.linalg.norm(middles - middles[0], axis=1) < _NEAR * radius
    middles[near] = middles[0]
    reach = np.array([_reach(one, middle, axes) for one, middle in zip(bodies, middles, strict=True)])
    reach = np.maximum(reach, np.maximum(reach[0], 0.3 * radius))
    heights = (boxes[0] - middles[0]) @ axes[1]
    return Stage(
        axes=axes,
        centres=middles,
        extents=reach[:, :2],
        around=reach[:, 2],
        radius=radius,
        ground=float(np.percentile(heights, 0.5)),
        grid=float(10 ** np.round(np.log10(radius / 2)) / 2),
        bones=np.array(layout.bones, dtype=np.int64).reshape(-1, 2),
        side=_sides(layout),
    )


def _reach(
    bodies: NDArray[np.float64], middle: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(3,) how far bodies (any number, V, 3) get from the middle: sidewards and upwards at the first look,
    and sidewards at any."""
    from_middle = (bodies - middle).reshape(-1, 3)
    looks = np.abs(from_middle @ camera(axes)[:2].T).max(axis=0, initial=0)
    level = np.linalg.norm(from_middle @ axes[[0, 2]].T, axis=1).max(initial=0)
    return np.array([*looks, level])


def _sides(layout: JointLayout) -> NDArray[np.int64]:
    """(V,) 0 for joints on the body's left, 1 on its right, 2 on the trunk."""
    side = np.full(layout.size, 2)
    for left, right in layout.mirror:
        side[left], side[right] = 0, 1
    return side


def _axes(sequence: SkeletonSequence, layout: JointLayout) -> NDArray[np.float64]:
    """Side, up and front: from the trunk, and from the first body's shoulders or the way to a second."""
    joints, present = sequence.joints.astype(float), sequence.present
    up = np.array([0.0, 1.0, 0.0])
    bodies = np.flatnonzero(present.any(axis=0))
    if not len(bodies):
        return np.array([[1.0, 0.0, 0.0], up, [0.0, 0.0, 1.0]])
    trunk = (joints[:, :, layout.spine[1]] - joints[:, :, layout.spine[0]])[present].mean(axis=0)
    upright = int(np.abs(trunk).argmax())
    if trunk[upright]:
        up = np.eye(3)[upright] * np.sign(trunk[upright])

    def level(direction: NDArray[np.floating]) -> NDArray[np.float64] | None:
        flat = direction - (direction @ up) * up
        length = float(np.linalg.norm(flat))
        return flat / length if length > 1e-6 else None

    first = joints[present[:, bodies[0]], bodies[0]]
    right, left = layout.shoulders
    side = level((first[:, left] - first[:, right]).mean(axis=0))
    if side is None:
        side = level(np.roll(np.abs(up), 1))
    assert side is not None
    if len(bodies) > 1:
        second = joints[present[:, bodies[1]], bodies[1]]
        between = level(second.mean(axis=(0, 1)) - first.mean(axis=(0, 1)))
        if between is not None:
            side = between if between @ side >= 0 else -between
    return np.stack([side, up, np.cross(side, up)])
