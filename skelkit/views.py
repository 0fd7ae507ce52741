"""Views as plain numbers: what they are drawn from, their parameters, and how these are applied.

Drawing gives plain arrays that depend on (seed, epoch, sample, view) alone; applying them is deterministic. A
view, however many augmentations made it, is a window of frames and one 3x3 matrix a joint, and one pass over
the data makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from skelkit import kernels

__all__ = ["MOST_PARTS", "DrawKey", "Drawn", "ViewParameters", "identity", "make_views"]

MOST_PARTS = 15
"""Of a composition."""


@dataclass(frozen=True)
class DrawKey:
    """What the random numbers of N views are keyed by; each number can be drawn again by itself.

    The numbers of view n are those of ``numpy.random.Philox(key=[seed, epoch], counter=[0, stream,
    sample[n], view[n]])``, where the stream tells the parts of a composition apart.
    """

    seed: int
    epoch: int
    sample: NDArray[np.int64]
    """(N,) place of the sequence in its store."""
    view: NDArray[np.int64]
    """(N,) 0 for the query's view, 1 for the key's, and so on."""
    stream: int = 0

    def uniforms(self, numbers: int) -> NDArray[np.float64]:
        """(N, numbers) in [0, 1); always the same for the same key."""
        out = np.empty((len(self.sample), numbers))
        with np.errstate(over="ignore"):  # without the JIT numpy would warn of the products meant to overflow
            kernels.philox_uniforms(
                np.uint64(self.seed),
                np.uint64(self.epoch),
                np.uint64(self.stream),
                self.sample.astype(np.uint64),
                self.view.astype(np.uint64),
                out,
            )
        return out

    def part(self, number: int) -> DrawKey:
        """The key of a composition's part: its draws do not depend on the other parts'."""
        return replace(self, stream=self.stream * (MOST_PARTS + 1) + number + 1)


@dataclass(frozen=True)
class Drawn:
    """What one augmentation drew, for people to read."""

    values: NDArray[np.generic]
    """(N, ...)"""
    active: NDArray[np.bool_]
    """(N,) whether it takes part in view n (a one-of draws all, and takes one)."""


@dataclass(frozen=True)
class ViewParameters:
    """N views as plain numbers: a window of frames, and a linear map for every joint."""

    start: NDArray[np.int64]
    """(N,) first frame taken."""
    length: NDArray[np.int64]
    """(N,) frames taken."""
    maps: NDArray[np.float32]
    """(N, V, 3, 3) joint v becomes maps[n, v] @ joint."""
    frames: int | None = None
    """Frames after resampling; None where a view keeps the frames taken."""
    drawn: Mapping[str, Drawn] = field(default_factory=dict)
    """Every drawn parameter by its name, as "shear.matrix"."""

    def describe(self, n: int) -> dict[str, NDArray[np.generic]]:
        """What took part in view n, by name."""
        return {name: drawn.values[n] for name, drawn in self.drawn.items() if drawn.active[n]}


def identity(frames: NDArray[np.int64], joints: int) -> ViewParameters:
    """Views that leave N sequences of ``frames`` (N,) frames and V = ``joints`` joints as they are.

    Raises
    ------
    ValueError : a sequence has no frame
    """
    length = np.asarray(frames, dtype=np.int64)
    if (length < 1).any():
        raise ValueError("a sequence without a frame has no view")
    maps = np.broadcast_to(np.eye(3, dtype=np.float32), (len(length), joints, 3, 3))
    return ViewParameters(start=np.zeros_like(length), length=length, maps=maps)


def make_views(
    rows: NDArray[np.float32],
    offset: NDArray[np.int64],
    bodies: NDArray[np.int64],
    parameters: ViewParameters,
    *,
    max_bodies: int,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Apply drawn parameters to sequences in the packed rows of a store, with numba on all cores.

    Parameters
    ----------
    rows : (R, V, 3) the store's joints
    offset, bodies : (N,) first row and bodies of each sequence
    parameters : N views that end in a resampling
    max_bodies : M of the result; missing bodies are zero
    out : where to write, made if not given

    Returns
    -------
    (N, F, M, V, 3) float32

    Raises
    ------
    ValueError : the views keep their own lengths, so that they do not stack
    """
    if parameters.frames is None:
        raise ValueError("views of their own lengths do not stack; end the augmentation in a resampling")
    if out is None:
        shape = (len(offset), parameters.frames, max_bodies, rows.shape[1], 3)
        out = np.empty(shape, dtype=np.float32)
    kernels.make_views(
        rows, offset, bodies, parameters.start, parameters.length, np.ascontiguousarray(parameters.maps), out
    )
    return out
