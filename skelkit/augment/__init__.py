"""Augmentations: each draws the parameters of a whole batch of views, and adds them to those drawn before.

A view is made in the steps of `skelkit.views.ViewParameters`, always in their order. Augmentations may come
in another where that makes no difference, as a rotation before or after a crop; elsewhere they say what must
come first.

The sources: the temporal crop-resize, shear ("pose augmentation") and joint jitter are those of
*Skeleton-Contrastive 3D Action Representation Learning*, arXiv 2108.03656, section 3.3; mirror, reverse, axis
mask, noise and blur follow the extreme augmentations of AimCLR, arXiv 2112.03590.

>>> import numpy as np
>>> from skelkit.skeleton import load_layout
>>> from skelkit.views import DrawKey, identity
>>> key = DrawKey(seed=0, epoch=3, sample=np.array([10, 11]), view=np.array([0, 0]))
>>> view = ISC.draw(key, identity(np.array([103, 70]), load_layout("ntu25"), bodies=2))
>>> view.maps.shape, view.frames
((2, 25, 3, 3), 64)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from skelkit.augment.compose import Compose, OneOf, Sometimes, Transform
from skelkit.augment.frames import CentreCrop, Crop, Resample, Reverse, Speed, TemporalMask
from skelkit.augment.joints import AxisMask, BoneLengths, JointJitter, Mirror, PartMask, Rotation, Shear
from skelkit.augment.noise import Blur, Noise
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.views import DrawKey, ViewParameters, identity, make_views, sample_frames

__all__ = [
    "AUGMENTATIONS",
    "ISC",
    "AxisMask",
    "Blur",
    "BoneLengths",
    "CentreCrop",
    "Compose",
    "Crop",
    "JointJitter",
    "Mirror",
    "Noise",
    "OneOf",
    "PartMask",
    "Resample",
    "Reverse",
    "Rotation",
    "Shear",
    "Sometimes",
    "Speed",
    "TemporalMask",
    "Transform",
    "augment_sequence",
]

ISC = Compose((Crop(), Resample(64), OneOf((Shear(), JointJitter()))))
"""The paper's recipe (arXiv 2108.03656, section 3.3)."""

AUGMENTATIONS: Mapping[str, Transform] = {
    "shear": Shear(),
    "jitter": JointJitter(),
    "rotation": Rotation(),
    "mirror": Mirror(),
    "bones": BoneLengths(),
    "parts": PartMask(),
    "axis": AxisMask(),
    "crop": Crop(low=0.3, high=0.7, shortest=8),
    "speed": Speed(),
    "resample": Resample(64),
    "reverse": Reverse(),
    "noise": Noise(),
    "blur": Blur(low=1.0, high=3.0),
    "mask": TemporalMask(),
    "isc": ISC,
}
"""What `skelkit augment preview` offers, by name, at strengths worth looking at."""


def augment_sequence(
    sequence: SkeletonSequence,
    transform: Transform,
    layout: JointLayout,
    *,
    seed: int,
    epoch: int = 0,
    sample: int = 0,
    view: int = 0,
) -> tuple[SkeletonSequence, ViewParameters]:
    """One view of one sequence, and the parameters that made it (arrays with N = 1).

    >>> import numpy as np, skelkit
    >>> joints, present = np.ones((90, 1, 25, 3), np.float32), np.ones((90, 1), np.bool_)
    >>> wave = skelkit.SkeletonSequence(joints, present, "wave", label=22)
    >>> layout = skelkit.load_layout("ntu25")
    >>> view, drawn = skelkit.augment_sequence(wave, skelkit.augment.ISC, layout, seed=0)
    >>> view.joints.shape, list(drawn.describe(0))
    ((64, 1, 25, 3), ['crop.start', 'crop.length', 'resample.frames', 'shear.matrix'])

    Parameters
    ----------
    sequence : of T frames and V joints
    transform : of this package, or a `Compose` of them
    layout : of the same V joints
    seed, epoch, sample, view : key the random numbers: the same give the same view

    Raises
    ------
    ValueError : the sequence has no frame, is not finite, is not of this layout, or the transform cannot be
        drawn for it
    """
    sequence.check()
    key = DrawKey(seed, epoch, np.array([sample]), np.array([view]))
    joints = sequence.joints
    parameters = transform.draw(key, identity(np.array([sequence.frames]), layout, sequence.bodies))
    rows = np.ascontiguousarray(joints).reshape(-1, *joints.shape[2:])
    views = make_views(rows, np.array([0]), np.array([sequence.bodies]), parameters)
    (below,), (weight,) = sample_frames(parameters)
    above = np.minimum(below + 1, sequence.frames - 1)
    weighs = (weight > 0)[:, None]  # a neighbour without weight makes nobody present
    present = sequence.present[below] | (sequence.present[above] & weighs)
    if parameters.hidden is not None:
        present &= ~parameters.hidden[0, :, None]
    return replace(sequence, joints=views[0], present=present, tracks=None), parameters
