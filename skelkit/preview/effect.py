"""What a view does to a body: by how much its bones get longer, and how far its joints are moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = ["LEAST_CHANGE", "LEAST_MOVE", "Effect", "compare"]

LEAST_CHANGE, LEAST_MOVE = 0.0005, 0.0005
"""Below these (a share, and metres) nothing is said to have changed or moved."""

_NO_LENGTH = 1e-6


@dataclass(frozen=True)
class Effect:
    """A view of F frames beside the original at the same moments; NaN where there is nobody to compare."""

    bones: NDArray[np.float64]
    """(bones,) relative change of each bone's mean length; NaN for a bone without length."""
    moved: NDArray[np.float64]
    """(F,) mean distance of a joint from where it was, in metres."""
    farthest: NDArray[np.float64]
    """(F,) the largest such distance."""

    def summary(self) -> dict[str, float | None]:
        """Over all bones and frames, by name; None where there is nobody to compare."""
        return {
            "bone_change": _mean(np.abs(self.bones)),
            "moved": _mean(self.moved),
            "farthest": float(np.nanmax(self.farthest)) if np.isfinite(self.farthest).any() else None,
        }

    def most_changed(self, layout: JointLayout, most: int) -> list[tuple[str, float]]:
        """The bones that change most, named child to parent, and by how much."""
        order = np.argsort(-np.abs(self.bones), kind="stable")[:most]
        named = [(" \u2013 ".join(layout.joints[v] for v in layout.bones[b]), self.bones[b]) for b in order]
        return [(name, float(change)) for name, change in named if np.isfinite(change)]

    def to_plain(self, layout: JointLayout) -> dict[str, Any]:
        """As `summary`, with every bone's change by its joints' names, of plain numbers."""
        changes = {
            "-".join(layout.joints[v] for v in bone): None if np.isnan(change) else round(float(change), 6)
            for bone, change in zip(layout.bones, self.bones, strict=True)
        }
        rounded = {name: None if x is None else round(x, 6) for name, x in self.summary().items()}
        return {**rounded, "bones": changes}


def compare(
    original: SkeletonSequence,
    view: SkeletonSequence,
    below: NDArray[np.int64],
    weight: NDArray[np.float32],
    layout: JointLayout,
) -> Effect:
    """Compare a view of F frames with the original.

    Parameters
    ----------
    below, weight : (F,) frame of the original below each of the view's, and the next frame's weight
    """
    above = np.minimum(below + 1, original.frames - 1)
    part = weight.astype(float)[:, None, None, None]
    before = (1 - part) * original.joints[below] + part * original.joints[above]
    present = original.present[below] & (original.present[above] | (weight == 0)[:, None]) & view.present
    distance = np.linalg.norm(view.joints - before, axis=-1)
    counted = np.where(present[..., None], distance, np.nan).reshape(len(below), -1)
    somebody = present.any(axis=1)
    moved, farthest = np.full((2, len(below)), np.nan)
    moved[somebody] = np.nanmean(counted[somebody], axis=1)
    farthest[somebody] = np.nanmax(counted[somebody], axis=1)

    was, now = (_lengths(joints[present], layout) for joints in (before, view.joints.astype(float)))
    bones = np.full(len(was), np.nan)
    np.divide(now - was, was, out=bones, where=was > _NO_LENGTH * was.max(initial=0))
    return Effect(bones, moved, farthest)


def _lengths(bodies: NDArray[np.float64], layout: JointLayout) -> NDArray[np.float64]:
    """(bones,) summed over bodies (any number, V, 3)."""
    child, parent = np.array(layout.bones, dtype=np.int64).reshape(-1, 2).T
    summed: NDArray[np.float64] = np.linalg.norm(bodies[:, child] - bodies[:, parent], axis=-1).sum(axis=0)
    return summed


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
