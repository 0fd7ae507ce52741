"""Augmentations of the frames of a view that has been resampled: noise, and blur over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skelkit import effects
from skelkit.views import DrawKey, ViewParameters

__all__ = ["Blur", "Noise"]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise with standard deviation ``sigma`` on each coordinate, in metres, independent in each
    frame. Absent bodies stay zero. (AimCLR, arXiv 2112.03590: 0.05, with chance 0.5.)

    Raises
    ------
    ValueError : a negative sigma
    """

    sigma: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < np.inf:
            raise ValueError(f"noise: sigma {self.sigma}, expected 0 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        frames = int(before.length.max(initial=0)) if before.frames is None else before.frames
        shape = (len(before), frames, before.bodies, before.layout.size, 3)
        # Frame after frame, so that the longest view of a batch does not change what the others draw.
        numbers = int(np.prod(shape[1:]))
        noise = np.empty((len(before), numbers + numbers % 2), dtype=np.float32)
        effects.gaussians(key.uniforms(noise.shape[1]), self.sigma, noise)
        noise = noise[:, :numbers].reshape(shape)
        if before.noise is not None:
            noise = noise + before.noise
        return before.then("noise", {"sigma": np.full(len(before), self.sigma)}, noise=noise)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur over time, sigma ~ U[low, high] frames of the view. Absent bodies stay zero and weigh
    nothing. (AimCLR, arXiv 2112.03590: 0.1 to 2, with chance 0.5.)

    Raises
    ------
    ValueError : not 0 <= low <= high; on drawing, after another blur, noise or a mask
    """

    low: float = 0.1
    high: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < np.inf:
            raise ValueError(f"blur: sigma {self.low} to {self.high} frames, expected 0 <= low <= high")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        sigma = (self.low + key.uniforms(1)[:, 0] * (self.high - self.low)).astype(np.float32)
        return before.then(
            "blur", {"sigma": sigma}, not_after=frozenset({"blur", "noise", "mask"}), blur=sigma
        )
