"""Augmentations of the joints, alike in all frames: linear maps, and the lengths of bones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as SciPyRotation

from skelkit import view_kernels
from skelkit.views import DrawKey, ViewParameters

__all__ = ["AxisMask", "BoneLengths", "JointJitter", "Mirror", "PartMask", "Rotation", "Shear"]

_NOT_AFTER_NOISE = frozenset({"noise"})


@dataclass(frozen=True)
class Shear:
    """One matrix with unit diagonal for all joints and frames; its six other elements ~ U[-strength,
    strength]. (The paper's "pose augmentation", arXiv 2108.03656, section 3.3: strength 1.)

    Raises
    ------
    ValueError : a negative strength; on drawing, after noise
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength < np.inf:
            raise ValueError(f"shear: strength {self.strength}, expected 0 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        others = (2 * key.uniforms(6) - 1) * self.strength
        elements = np.ones((len(before), 9))
        elements[:, 1:4], elements[:, 5:8] = others[:, :3], others[:, 3:]
        matrix = elements.reshape(-1, 3, 3)
        return before.then("shear", {"matrix": matrix}, not_after=_NOT_AFTER_NOISE).mapped(matrix)


@dataclass(frozen=True)
class JointJitter:
    """A share of the joints is set to zero (kind "zero") or multiplied by one matrix ~ U[-strength, strength]
    ("matrix"), alike in all frames; or with equal chance the one or the other ("both"). (arXiv 2108.03656,
    section 3.3: both, 15 of 25 joints, strength 1.)

    Raises
    ------
    ValueError : a share outside 0..1, a negative strength, or another kind; on drawing, after noise
    """

    share: float = 0.6
    strength: float = 1.0
    kind: Literal["zero", "matrix", "both"] = "both"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"jitter: share {self.share} of the joints, expected 0 to 1")
        if not 0 <= self.strength < np.inf:
            raise ValueError(f"jitter: strength {self.strength}, expected 0 or more")
        if self.kind not in ("zero", "matrix", "both"):
            raise ValueError(f"jitter: kind {self.kind!r}, expected zero, matrix or both")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        u = key.uniforms(10 + before.layout.size)
        zeroed = u[:, 0] < {"zero": 1.0, "matrix": 0.0, "both": 0.5}[self.kind]
        matrix = ((2 * u[:, 1:10] - 1) * self.strength).reshape(-1, 3, 3)
        matrix[zeroed] = 0
        chosen = _smallest(u[:, 10:], round(self.share * before.layout.size))
        return before.then("jitter", {"joints": chosen, "matrix": matrix}, not_after=_NOT_AFTER_NOISE).mapped(
            matrix, chosen
        )


@dataclass(frozen=True)
class Rotation:
    """A turn about the origin by an angle ~ U[-degrees, degrees], about one axis ("x", "y", "z") or about
    one drawn uniformly from the sphere ("random").

    Raises
    ------
    ValueError : another axis, or an angle that is not finite; on drawing, after noise
    """

    degrees: float = 30.0
    axis: str = "random"

    def __post_init__(self) -> None:
        if self.axis not in ("x", "y", "z", "random"):
            raise ValueError(f"rotation: axis {self.axis!r}, expected x, y, z or random")
        if not np.isfinite(self.degrees):
            raise ValueError(f"rotation: {self.degrees} degrees, expected a finite number")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        u = key.uniforms(3)
        angle = (2 * u[:, 0] - 1) * self.degrees
        if self.axis == "random":
            height, turn = 2 * u[:, 1] - 1, 2 * np.pi * u[:, 2]
            radius = np.sqrt(1 - height**2)
            axis = np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)
        else:
            axis = np.broadcast_to(np.eye(3)["xyz".index(self.axis)], (len(u), 3))
        matrix = SciPyRotation.from_rotvec(axis * np.radians(angle)[:, None]).as_matrix()
        drawn = {"degrees": angle, "axis": axis}
        return before.then("rotation", drawn, not_after=_NOT_AFTER_NOISE).mapped(matrix)


@dataclass(frozen=True)
class Mirror:
    """Left and right joints change places, and one coordinate its sign: the mirror image of the motion.
    Nothing is drawn. (AimCLR, arXiv 2112.03590, changes the places alone, with chance 0.5:
    ``Sometimes(Mirror(axis=None))``.)

    Raises
    ------
    ValueError : another axis; on drawing, after noise
    """

    axis: str | None = "x"

    def __post_init__(self) -> None:
        if self.axis not in ("x", "y", "z", None):
            raise ValueError(f"mirror: axis {self.axis!r}, expected x, y, z or None")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:  # noqa: ARG002
        other = before.layout.mirrored()
        order = (
            np.broadcast_to(other, before.maps.shape[:2]) if before.order is None else before.order[:, other]
        )
        sign = np.ones(3)
        if self.axis is not None:
            sign["xyz".index(self.axis)] = -1
        active = before.active[:, None, None, None]
        # What comes to joint v was mapped as the joint on the other side.
        before = before.changed(maps=np.where(active, before.maps[:, other], before.maps))
        drawn = {"axis": np.full(len(before), self.axis or "none")}
        every = np.broadcast_to(np.diag(sign), (len(before), 3, 3)).copy()
        return before.then("mirror", drawn, not_after=_NOT_AFTER_NOISE, order=order).mapped(every)


@dataclass(frozen=True)
class AxisMask:
    """One of x, y and z, each with equal chance, is zero in all joints and frames. (AimCLR, arXiv 2112.03590,
    with chance 0.5: ``Sometimes(AxisMask())``.)

    Raises
    ------
    ValueError : on drawing, after noise
    """

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        axis = np.floor(3 * key.uniforms(1)[:, 0]).astype(np.int64)
        matrix = np.eye(3) * (np.arange(3) != axis[:, None])[:, None, :]
        drawn = {"axis": np.array(["x", "y", "z"])[axis]}
        return before.then("axis", drawn, not_after=_NOT_AFTER_NOISE).mapped(matrix)


@dataclass(frozen=True)
class PartMask:
    """All joints of ``count`` body parts, drawn from those that the layout names, are zero in all frames.

    Raises
    ------
    ValueError : ``count`` below 1; on drawing, a layout with fewer parts, or after noise
    """

    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"parts: {self.count} body parts, expected 1 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        layout = before.layout
        if self.count > len(layout.parts):
            has = f"names {len(layout.parts)} body parts" if layout.parts else "names no body parts"
            raise ValueError(f"parts: {self.count} to be masked, but the joint layout {layout.name} {has}")
        parts = _smallest(key.uniforms(len(layout.parts)), self.count)
        belongs = np.zeros((len(layout.parts), layout.size), dtype=np.bool_)
        for part, joints in enumerate(layout.parts.values()):
            belongs[part, list(joints)] = True
        names = np.broadcast_to(np.array(list(layout.parts)), parts.shape)[parts].reshape(-1, self.count)
        masked = parts @ belongs
        drawn = {"names": names, "joints": masked}
        return before.then("parts", drawn, not_after=_NOT_AFTER_NOISE).mapped(
            np.zeros((len(before), 3, 3)), masked
        )


@dataclass(frozen=True)
class BoneLengths:
    """Each bone ~ U[low, high] times as long, alike in all frames and bodies; directions stay, and so do the
    joints that no bone joins to the trunk.

    Raises
    ------
    ValueError : not 0 < low <= high; on drawing, after jitter, a mask of parts, mirror or noise, or a layout
        whose bones are no tree
    """

    low: float = 0.8
    high: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < np.inf:
            raise ValueError(f"bones: factors {self.low} to {self.high}, expected 0 < low <= high")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        roots = before.layout.paths().sum(axis=1) == 1
        u = key.uniforms(before.layout.size)
        factor = np.where(roots, 1.0, self.low + u * (self.high - self.low)).astype(np.float32)
        scaled = factor if before.bones is None else factor * before.bones
        # Maps that are the same for all joints commute with it.
        not_after = frozenset({"jitter", "parts", "mirror", "noise"})
        return before.then("bones", {"factor": factor}, not_after=not_after, bones=scaled)


def _smallest(uniforms: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """(N, K) which ``count`` of each row's numbers are smallest: all choices are equally likely."""
    chosen = np.empty(uniforms.shape, dtype=np.bool_)
    view_kernels.choose_joints(uniforms, count, chosen)
    return chosen
