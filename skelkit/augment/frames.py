"""Augmentations of which frames a view shows, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelkit.views import DrawKey, ViewParameters

__all__ = ["CentreCrop", "Crop", "Resample", "Reverse", "Speed", "TemporalMask"]

_ON_FRAMES_MADE = frozenset({"resample", "blur", "noise", "mask"})


@dataclass(frozen=True)
class Crop:
    """A window of frames: share r ~ U[low, high] of the sequence, but at least ``shortest`` frames where
    the sequence has them; the start is uniform. (arXiv 2108.03656, section 3.3: r in [0.1, 1], 64 frames.)

    Raises
    ------
    ValueError : not 0 < low <= high <= 1, or ``shortest`` below 1; on drawing, after a resampling
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
    ValueError : not 0 < share <= 1; on drawing, after a resampling
    """

    share: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"centre crop: share {self.share}, expected above 0 and at most 1")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:  # noqa: ARG002
        start = np.floor((1 - self.share) * before.length / 2).astype(np.int64)
        start = np.minimum(start, (before.length - 1) // 2)
        return _window(before, "centre crop", start, before.length - 2 * start)


@dataclass(frozen=True)
class Speed:
    """The whole sequence played ``factor`` ~ U[low, high] times as fast: T frames become floor(T / factor),
    but at least one, linear with half-pixel centres. Comes before a crop, whose frames are those played.

    Raises
    ------
    ValueError : not 0 < low <= high; on drawing, after a crop, a resampling or another speed
    """

    low: float = 0.5
    high: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < np.inf:
            raise ValueError(f"speed: factors {self.low} to {self.high}, expected 0 < low <= high")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        factor = self.low + key.uniforms(1)[:, 0] * (self.high - self.low)
        played = np.maximum(np.floor(before.recorded / factor).astype(np.int64), 1)
        return before.then(
            "speed",
            {"factor": factor, "frames": played},
            not_after=_ON_FRAMES_MADE | {"crop", "centre crop", "speed"},
            played=played,
            length=played,
        )


@dataclass(frozen=True)
class Resample:
    """Temporal resampling to ``frames`` frames, linear with half-pixel centres; nothing is drawn.

    Raises
    ------
    ValueError : ``frames`` below 1; on drawing, a second resampling, or after blur, noise or a mask, which
        need to know the frames
    """

    frames: int = 64

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"resample: to {self.frames} frames, expected 1 or more")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:  # noqa: ARG002
        frames = np.full(len(before), self.frames)
        after = before.then("resample", {"frames": frames}, not_after=_ON_FRAMES_MADE)
        return after.changed(frames=self.frames)


@dataclass(frozen=True)
class Reverse:
    """The last frame first; nothing is drawn. (The temporal flip of AimCLR, arXiv 2112.03590, which takes it
    with chance 0.5: ``Sometimes(Reverse())``.)

    Raises
    ------
    ValueError : on drawing, after noise or a mask
    """

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:  # noqa: ARG002
        every = np.ones(len(before), dtype=np.bool_)
        return before.then(
            "reverse",
            {"backwards": every},
            not_after=frozenset({"noise", "mask"}),
            backwards=~before.backwards,
        )


@dataclass(frozen=True)
class TemporalMask:
    """A share of the view's frames, one after the other from a uniform first one, is set to zero.

    Raises
    ------
    ValueError : a share outside 0..1
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"mask: share {self.share} of the frames, expected 0 to 1")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        frames = before.length if before.frames is None else np.full(len(before), before.frames)
        length = np.round(self.share * frames).astype(np.int64)
        start = np.floor(key.uniforms(1)[:, 0] * (frames - length + 1)).astype(np.int64)
        frame = np.arange(frames.max(initial=0))
        hidden = (frame >= start[:, None]) & (frame < (start + length)[:, None])
        if before.hidden is not None:
            hidden |= before.hidden
        return before.then("mask", {"start": start, "length": length}, hidden=hidden)


def _window(
    before: ViewParameters, name: str, start: NDArray[np.int64], length: NDArray[np.int64]
) -> ViewParameters:
    """``length`` (N,) frames from ``start`` (N,) on, of those that the views have now."""
    # In a view that runs backwards the window counts from the end.
    first = np.where(before.backwards, before.length - start - length, start)
    return before.then(
        name,
        {"start": start, "length": length},
        not_after=_ON_FRAMES_MADE,
        start=before.start + first,
        length=length,
    )
