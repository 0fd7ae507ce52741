"""The central type: one labelled action sample."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "SkeletonSequence", "rows_crc32"]

REACH = 20.0
"""Metres; a Kinect sees bodies up to 4.5 m away, other depth cameras up to 10 m."""


def rows_crc32(joints: NDArray[np.float32], present: NDArray[Any]) -> int:
    """CRC-32 of the bytes of a sequence's joints, then of its presence flags."""
    return zlib.crc32(np.ascontiguousarray(present).data, zlib.crc32(np.ascontiguousarray(joints).data))


class _Fields(TypedDict, total=False):
    joints: NDArray[np.float32]
    present: NDArray[np.bool_]
    tracks: NDArray[np.int64] | None
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SkeletonSequence:
    """T frames of up to M bodies with V joints each, in metres, in the camera's frame.

    >>> import numpy as np, skelkit
    >>> joints, present = np.ones((70, 1, 25, 3), np.float32), np.ones((70, 1), np.bool_)
    >>> sequence = skelkit.SkeletonSequence(joints, present, "wave", label=22, columns={"camera": 1})
    >>> sequence.frames, sequence.bodies
    (70, 1)

    Raises
    ------
    ValueError : shapes or types disagree, a coordinate is not finite, or an absent body is not zero
    """

    joints: NDArray[np.float32]
    """(T, M, V, 3); a body that is absent in a frame is zero there."""
    present: NDArray[np.bool_]
    """(T, M); whether the body was tracked in (or filled into) the frame."""
    name: str
    """Canonical id: S001C001P001R001A001, or 0002-L#003 for a clip of a PKU recording."""
    label: int
    """0-based class; -1 where it is not known."""
    columns: Mapping[str, int] = field(default_factory=dict)
    """Whole numbers known of the sample: subject, camera, setup, replication, ..."""
    tracks: NDArray[np.int64] | None = None
    """(T, M) tracking ids, 0 where absent; None once bodies no longer go by slot in the frame."""
    notes: tuple[str, ...] = ()
    """What a recipe did to its bodies that is worth telling, frames and slots counted from 0 as in the raw
    file: for the report, not for the store."""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ValueError where the contract above is broken."""
        if self.joints.ndim != 4 or self.joints.shape[3] != 3 or self.joints.dtype != np.float32:
            raise ValueError(
                f"{self.name}: joints are {self.joints.dtype} {self.joints.shape}, "
                "expected float32 (T, M, V, 3)"
            )
        if self.present.shape != self.joints.shape[:2] or self.present.dtype != np.bool_:
            raise ValueError(
                f"{self.name}: present is {self.present.dtype} {self.present.shape}, "
                f"expected bool {self.joints.shape[:2]}"
            )
        if self.tracks is not None and self.tracks.shape != self.present.shape:
            raise ValueError(f"{self.name}: tracks are {self.tracks.shape}, expected {self.present.shape}")
        if not np.isfinite(self.joints).all():
            raise ValueError(f"{self.name}: a coordinate is not finite")
        if not self.present.all() and self.joints[~self.present].any():
            raise ValueError(f"{self.name}: a body marked absent has coordinates other than zero")

    def changed(self, **fields: Unpack[_Fields]) -> Self:
        """A copy with these fields instead, unchecked: for a step in a chain whose end is checked."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **fields)
        return copy

    def note_of_far(self) -> str | None:
        """A note where a joint is beyond the reach of any depth camera: its unit is no metre, or it is
        damaged."""
        farthest = max(self.joints.max(initial=0), -self.joints.min(initial=0))
        if farthest <= REACH:
            return None
        guess = "; millimetres?" if 200 < farthest < 1000 * REACH else ""
        return f"a joint is {farthest:.4g} m away, expected metres, at most {REACH:g}{guess}"

    def crc32(self) -> int:
        """CRC-32 of the bytes of the joints and then of the presence flags, as in the store's index."""
        return rows_crc32(self.joints, self.present)

    @property
    def frames(self) -> int:
        """T."""
        return int(self.joints.shape[0])

    @property
    def bodies(self) -> int:
        """M."""
        return int(self.joints.shape[1])
