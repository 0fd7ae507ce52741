"""Augmentations made of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skelkit.views import MOST_PARTS, DrawKey, ViewParameters

__all__ = ["Compose", "OneOf", "Sometimes", "Transform"]


class Transform(Protocol):
    """An augmentation: adds its own draws to those of the augmentations before it."""

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters: ...


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
    """One of several augmentations, each with equal chance.

    Raises
    ------
    ValueError : no part or more than 15; on drawing, a part that resamples
    """

    parts: tuple[Transform, ...]

    def __post_init__(self) -> None:
        _check_parts("one-of", self.parts)

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        choice = np.floor(key.uniforms(1)[:, 0] * len(self.parts)).astype(np.int64)
        after, done = before, before.done
        for number, part in enumerate(self.parts):
            # No view meets two parts, so that none comes after another.
            alone = after.changed(active=before.active & (choice == number), done=before.done)
            after = part.draw(key.part(number), alone)
            _check_frames("one-of", part, before, after)
            done |= after.done
        return after.changed(active=before.active, done=done)


@dataclass(frozen=True)
class Sometimes:
    """An augmentation that takes part with chance ``probability``.

    Raises
    ------
    ValueError : a probability outside 0..1; on drawing, a part that resamples
    """

    part: Transform
    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"sometimes: probability {self.probability}, expected 0 to 1")

    def draw(self, key: DrawKey, before: ViewParameters) -> ViewParameters:
        active = before.active & (key.uniforms(1)[:, 0] < self.probability)
        after = self.part.draw(key.part(0), before.changed(active=active))
        _check_frames("sometimes", self.part, before, after)
        return after.changed(active=before.active)


def _check_parts(name: str, parts: tuple[Transform, ...]) -> None:
    if not 1 <= len(parts) <= MOST_PARTS:
        raise ValueError(f"{name}: {len(parts)} parts, expected 1 to {MOST_PARTS}")


def _check_frames(name: str, part: Transform, before: ViewParameters, after: ViewParameters) -> None:
    if after.frames != before.frames:
        raise ValueError(f"{name}: {part} resamples, but all views of a batch have the same frames")
