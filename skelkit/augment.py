"""Augmentations: each draws the parameters of a whole batch of views, and adds them to those drawn before.

Every augmentation here either narrows or resamples the frames of a sequence, or maps each joint linearly and
alike in all frames; `skelkit.views` says why that is good.

The sources: the temporal crop-resize, shear ("pose augmentation") and joint jitter are those of
*Skeleton-Contrastive 3D Action Representation Learning*, arXiv 2108.03656, section 3.3.

>>> import numpy as np
>>> from skelkit.views import DrawKey, identity
>>> key = DrawKey(seed=0, epoch=3, sample=np.array([10, 11]), view=np.array([0, 0]))
>>> view = ISC.draw(key, identity(frames=np.array([103, 70]), joints=25))
>>> view.maps.shape, view.frames
((2, 25, 3, 3), 64)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as SciPyRotation

from skelkit.sequence import SkeletonSequence
from skelkit.views import MOST_PARTS, DrawKey, Drawn, ViewParameters, identity, make_views

__all__ = [
    "AUGMENTATIONS",
    "ISC",
    "CentreCrop",
    "Compose",
    "Crop",
    "JointJitter",
    "OneOf",
    "Resample",
    "Rotation",
    "Shear",
    "Transform",
    "augment",
]


class Transform(Protocol):
    """An augmentation: adds its own draws to those of the augmentations before it."""

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters: ...


def _extend(before: ViewParameters, name: str, **values: NDArray[np.generic]) -> dict[str, Drawn]:
    everywhere = np.ones(len(before.length), dtype=np.bool_)
    return {**before.drawn, **{f"{name}.{k}": Drawn(v, everywhere) for k, v in values.items()}}


def _window(
    before: ViewParameters, name: str, start: NDArray[np.int64], length: NDArray[np.int64]
) -> ViewParameters:
    if before.frames is not None:
        raise ValueError(f"{name} must come before the resampling")
    return replace(
        before,
        start=before.start + start,
        length=length,
        drawn=_extend(before, name, start=start, length=length),
    )


@dataclass(frozen=True)
class Crop:
    """A window of frames: share r ~ U[low, high] of the sequence, but at least ``shortest`` frames where
    the sequence has them; the start is uniform. (arXiv 2108.03656, section 3.3: r in [0.1, 1], 64 frames.)

    Raises
    ------
    ValueError : not 0 < low <= high <= 1, or ``shortest`` below 1
    """

    low: float = 0.1
    high: float = 1.0
    shortest: int = 64

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise ValueError(f"crop: shares {self.low} to {self.high}, expected 0 < low <= high <= 1")
        if self.shortest < 1:
            raise ValueError(f"crop: at least {self.shortest} frames, expected 1 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        u = key.uniforms(2)
        share = self.low + u[:, 0] * (self.high - self.low)
        wanted = np.floor(before.length * share).astype(np.int64)
        length = np.minimum(np.maximum(wanted, self.shortest), before.length)
        start = np.floor(u[:, 1] * (before.length - length + 1)).astype(np.int64)
        return _window(before, "crop", start, length)


@dataclass(frozen=True)
class CentreCrop:
    """The middle ``share`` of a sequence; nothing is drawn. (The paper's code tests on 0.95.)

    Raises
    ------
    ValueError : not 0 < share <= 1
    """

    share: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"centre crop: share {self.share}, expected above 0 and at most 1")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:  # noqa: ARG002
        start = np.floor((1 - self.share) * before.length / 2).astype(np.int64)
        return _window(before, "centre crop", start, before.length - 2 * start)


@dataclass(frozen=True)
class Resample:
    """Temporal resampling to ``frames`` frames, linear with half-pixel centres; nothing is drawn.

    Raises
    ------
    ValueError : ``frames`` below 1
    """

    frames: int = 64

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"resample: to {self.frames} frames, expected 1 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:  # noqa: ARG002
        frames = np.full(len(before.length), self.frames)
        return replace(before, frames=self.frames, drawn=_extend(before, "resample", frames=frames))


@dataclass(frozen=True)
class Shear:
    """One matrix with unit diagonal for all joints and frames; its six other elements ~ U[-strength,
    strength]. (The paper's "pose augmentation", arXiv 2108.03656, section 3.3: strength 1.)

    Raises
    ------
    ValueError : a negative strength
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise ValueError(f"shear: strength {self.strength}, expected 0 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        matrix = np.broadcast_to(np.eye(3), (len(before.length), 3, 3)).copy()
        matrix[:, ~np.eye(3, dtype=np.bool_)] = (2 * key.uniforms(6) - 1) * self.strength
        maps = matrix[:, None].astype(np.float32) @ before.maps
        return replace(before, maps=maps, drawn=_extend(before, "shear", matrix=matrix))


@dataclass(frozen=True)
class JointJitter:
    """A share of the joints is, with equal chance, set to zero or multiplied by one matrix ~ U[-strength,
    strength], alike in all frames. (arXiv 2108.03656, section 3.3: 15 of 25 joints, strength 1.)

    Raises
    ------
    ValueError : a share outside 0..1, or a negative strength
    """

    share: float = 0.6
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"jitter: share {self.share} of the joints, expected 0 to 1")
        if not self.strength >= 0:
            raise ValueError(f"jitter: strength {self.strength}, expected 0 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        joints = before.maps.shape[1]
        u = key.uniforms(10 + joints)
        zeroed = u[:, 0] < 0.5
        matrix = np.where(
            zeroed[:, None, None], 0.0, ((2 * u[:, 1:10] - 1) * self.strength).reshape(-1, 3, 3)
        )
        order = np.argsort(u[:, 10:], axis=1, kind="stable")
        chosen = np.zeros((len(u), joints), dtype=np.bool_)
        np.put_along_axis(chosen, order[:, : round(self.share * joints)], True, axis=1)
        jittered = matrix[:, None].astype(np.float32) @ before.maps
        return replace(
            before,
            maps=np.where(chosen[:, :, None, None], jittered, before.maps),
            drawn=_extend(before, "jitter", joints=chosen, matrix=matrix),
        )


@dataclass(frozen=True)
class Rotation:
    """A turn about the origin by an angle ~ U[-degrees, degrees], about one axis ("x", "y", "z") or about
    one drawn uniformly from the sphere ("random").

    Raises
    ------
    ValueError : another axis, or an angle that is not finite
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
        maps = matrix[:, None].astype(np.float32) @ before.maps
        return replace(before, maps=maps, drawn=_extend(before, "rotation", degrees=angle, axis=axis))


@dataclass(frozen=True)
class Compose:
    """Augmentations one after the other.

    Raises
    ------
    ValueError : more than 15 parts
    """

    parts: tuple[Transform, ...]

    def __post_init__(self) -> None:
        _check_parts("compose", self.parts)

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        for number, part in enumerate(self.parts):
            before = part.draw(key.part(number), before)
        return before


@dataclass(frozen=True)
class OneOf:
    """One of several augmentations of the joints, each with equal chance.

    Raises
    ------
    ValueError : no part or more than 15; on drawing, a part that changes the frames
    """

    parts: tuple[Transform, ...]

    def __post_init__(self) -> None:
        _check_parts("one-of", self.parts)

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        choice = np.floor(key.uniforms(1)[:, 0] * len(self.parts)).astype(np.int64)
        maps = np.empty(before.maps.shape, dtype=np.float32)
        drawn = dict(before.drawn)
        for number, part in enumerate(self.parts):
            after = part.draw(key.part(number), before)
            if after.start is not before.start or after.frames != before.frames:
                raise ValueError(f"one-of: {part} changes the frames; only augmentations of joints fit")
            taken = choice == number
            maps[taken] = after.maps[taken]
            for name, one in after.drawn.items():
                if name not in before.drawn:
                    drawn[name] = Drawn(one.values, one.active & taken)
        return replace(before, maps=maps, drawn=drawn)


def _check_parts(name: str, parts: tuple[Transform, ...]) -> None:
    if not 1 <= len(parts) <= MOST_PARTS:
        raise ValueError(f"{name}: {len(parts)} parts, expected 1 to {MOST_PARTS}")


ISC = Compose((Crop(), Resample(64), OneOf((Shear(), JointJitter()))))
"""The paper's recipe (arXiv 2108.03656, section 3.3)."""

AUGMENTATIONS: Mapping[str, Transform] = {
    "shear": Shear(),
    "jitter": JointJitter(),
    "rotation": Rotation(),
    "crop": Crop(low=0.3, high=0.7, shortest=8),
    "resample": Resample(64),
    "isc": ISC,
}
"""What `skelkit augment preview` offers, by name, at strengths worth looking at."""


def augment(
    sequence: SkeletonSequence,
    transform: Transform,
    *,
    seed: int,
    epoch: int = 0,
    sample: int = 0,
    view: int = 0,
) -> tuple[SkeletonSequence, ViewParameters]:
    """One view of one sequence, and the parameters that made it (arrays with N = 1).

    Raises
    ------
    ValueError : the sequence has no frame
    """
    key = DrawKey(seed, epoch, np.array([sample]), np.array([view]))
    joints = sequence.joints
    parameters = transform.draw(key, identity(np.array([sequence.frames]), joints.shape[2]))
    frames = parameters.frames or int(parameters.length[0])
    views = make_views(
        np.ascontiguousarray(joints).reshape(-1, *joints.shape[2:]),
        np.array([0]),
        np.array([sequence.bodies]),
        replace(parameters, frames=frames),
        max_bodies=sequence.bodies,
    )
    position = np.maximum((np.arange(frames) + 0.5) * parameters.length[0] / frames - 0.5, 0)
    below = position.astype(np.int64)
    above = np.minimum(below + 1, parameters.length[0] - 1)
    start = parameters.start[0]
    weighs = (position > below)[:, None]  # a neighbour without weight makes nobody present
    present = sequence.present[start + below] | (sequence.present[start + above] & weighs)
    return replace(sequence, joints=views[0], present=present, tracks=None), parameters
