"""Sequences, keys and drawn views, for the tests of augmentations."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from skelkit.augment import (
    AxisMask,
    Blur,
    BoneLengths,
    CentreCrop,
    Compose,
    Crop,
    JointJitter,
    Mirror,
    Noise,
    OneOf,
    PartMask,
    Resample,
    Reverse,
    Rotation,
    Shear,
    Sometimes,
    Speed,
    TemporalMask,
    Transform,
)
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout, load_layout
from skelkit.views import DrawKey, ViewParameters, identity

NTU = load_layout("ntu25")
SMALL = JointLayout(
    name="small",
    joints=("hip", "neck", "left hand", "right hand", "head"),
    bones=((0, 1), (2, 1), (3, 1), (4, 1)),
    mirror=((2, 3),),
    centre=1,
    spine=(0, 1),
    shoulders=(3, 2),
    parts={"hands": (2, 3), "trunk": (0, 1, 4)},
)
"""Five joints: quick also where nothing is compiled."""


def chain(joints: int) -> JointLayout:
    """V joints one behind the other."""
    names = tuple(f"joint {v}" for v in range(joints))
    bones = tuple((v, v - 1) for v in range(1, joints))
    return JointLayout("chain", names, bones, (), 0, (0, 0), (0, 0), {"all": tuple(range(joints))})


def a_sequence(frames: int, bodies: int = 1, joints: int = 25, seed: int = 0) -> SkeletonSequence:
    values = np.random.default_rng(seed).normal(size=(frames, bodies, joints, 3)).astype(np.float32)
    return SkeletonSequence(values, np.ones((frames, bodies), np.bool_), "a", 0)


def come_and_go(joints: int = 25) -> SkeletonSequence:
    """Two bodies; the second is there in frames 3 to 5 of 8 alone."""
    sequence = a_sequence(8, bodies=2, joints=joints)
    values, present = sequence.joints.copy(), sequence.present.copy()
    present[:3, 1] = present[6:, 1] = False
    values[~present] = 0
    return SkeletonSequence(values, present, "a", 0, tracks=np.ones((8, 2), np.int64))


def keys(views: int, seed: int = 0, epoch: int = 0, view: int = 0) -> DrawKey:
    return DrawKey(seed, epoch, np.arange(views), np.full(views, view))


def drawn(
    transform: Transform,
    views: int,
    frames: int = 103,
    layout: JointLayout = NTU,
    *,
    seed: int = 0,
    bodies: int = 1,
) -> ViewParameters:
    """``views`` views of sequences of ``frames`` frames each."""
    return transform.draw(keys(views, seed), identity(np.full(views, frames), layout, bodies))


def values(parameters: ViewParameters, name: str) -> NDArray[np.float64]:
    """(N, ...) what was drawn under a name."""
    return np.asarray(parameters.drawn[name].values, np.float64)


_BEFORE_RESAMPLING: tuple[Transform, ...] = (
    *(
        Crop(0.3, 1.0, 2),
        CentreCrop(0.7),
        Speed(),
        Reverse(),
        Sometimes(Reverse()),
        Sometimes(Crop(0.2, 0.6, 1)),
    ),
    *(Shear(), Rotation(), AxisMask(), Mirror(), PartMask(), JointJitter(), BoneLengths(0.9, 1.1)),
    *(Sometimes(Mirror("y"), 0.6), Sometimes(Shear(0.3)), Sometimes(BoneLengths())),
    OneOf((Speed(0.8, 1.5), Crop(0.5, 0.9, 1), Reverse())),
    OneOf((JointJitter(0.4), Mirror(None), Compose((Shear(), Rotation(20, "z"))))),
    OneOf((JointJitter(kind="matrix"), BoneLengths(0.9, 1.1), Sometimes(PartMask()))),
)
_ANYWHERE: tuple[Transform, ...] = (
    *_BEFORE_RESAMPLING,
    *(Blur(0.5, 1.5), Noise(0.02), TemporalMask(0.2), Sometimes(Blur()), Sometimes(Noise(0.02), 0.8)),
    OneOf((Blur(), Noise(0.01), TemporalMask(0.1), Shear())),
)


@st.composite
def compositions(draw: st.DrawFn, frames: int) -> Transform:
    """Augmentations in any order that is not refused, about a resampling."""
    wanted = [
        *draw(st.lists(st.sampled_from(_BEFORE_RESAMPLING), max_size=4)),
        Resample(frames),
        *draw(st.lists(st.sampled_from(_ANYWHERE), max_size=6)),
    ]
    parts: tuple[Transform, ...] = ()
    for part in wanted:
        try:
            drawn(Compose((*parts, part)), 1, layout=SMALL)
        except ValueError as error:
            if "must come before" in str(error) or "only once" in str(error):
                continue
            raise
        parts = (*parts, part)
    return Compose(parts)
