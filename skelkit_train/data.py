"""A store's sequences to views, on the CPU by numba, on a GPU from rows that are resident there.

Both apply the same drawn parameters, and agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelkit.augment import Transform
from skelkit.errors import SkelkitError
from skelkit.store import Store
from skelkit.views import DrawKey, ViewParameters, identity, make_views

__all__ = ["Sequences", "batches", "make_views_torch", "pick_device"]

_ORDER = 2**63
"""The view number of the draws that order an epoch: no view has it."""


def pick_device(name: str) -> torch.device:
    """``cpu``, ``cuda``, or for ``auto`` a GPU if there is one.

    Raises
    ------
    SkelkitError : cuda where there is none
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise SkelkitError("no CUDA device here; --device cpu or auto works")
    return torch.device(name)


def batches(
    places: NDArray[np.int64], batch_size: int, seed: int, epoch: int, *, keep_last: bool = False
) -> Iterator[NDArray[np.int64]]:
    """The places (n,) in an order that (seed, epoch) alone decide, in batches; an incomplete last one is
    left out, unless it is the only one or ``keep_last`` says otherwise."""
    bits = np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, _ORDER])
    order = np.random.Generator(bits).permutation(places)
    size = min(batch_size, len(order))
    for first in range(0, len(order) if keep_last else len(order) - size + 1, size):
        yield order[first : first + size]


@dataclass(frozen=True)
class Sequences:
    """All sequences of a store, resident on the device."""

    rows: Tensor
    """(R, V, 3), packed as in the store, on the device."""
    offset: NDArray[np.int64]
    frames: NDArray[np.int64]
    bodies: NDArray[np.int64]
    label: NDArray[np.int64]
    """(N,) each."""
    max_bodies: int
    """M of the views."""

    @classmethod
    def load(cls, store: Store, max_bodies: int, device: torch.device) -> Sequences:
        return cls(
            rows=torch.from_numpy(store.rows()).to(device),
            offset=store.offset.astype(np.int64),
            frames=store.frames.astype(np.int64),
            bodies=store.bodies.astype(np.int64),
            label=store.label.astype(np.int64),
            max_bodies=max_bodies,
        )

    def views(
        self, places: NDArray[np.int64], transform: Transform, *, seed: int, epoch: int = 0, view: int = 0
    ) -> Tensor:
        """(N, F, M, V, 3) float32 on the device: view number ``view`` of the sequences at ``places`` (N,).

        The same for the same seed, epoch, place and view, in whatever batch.
        """
        key = DrawKey(seed, epoch, places, np.full(len(places), view))
        parameters = transform.draw(key, identity(self.frames[places], self.rows.shape[1]))
        offset, bodies = self.offset[places], self.bodies[places]
        if self.rows.device.type != "cpu":
            return make_views_torch(self.rows, offset, bodies, parameters, max_bodies=self.max_bodies)
        threads = torch.get_num_threads()
        views = make_views(self.rows.numpy(), offset, bodies, parameters, max_bodies=self.max_bodies)
        if torch.get_num_threads() != threads:  # numba's first loop sets OpenMP's number, which torch shares
            torch.set_num_threads(threads)
        return torch.from_numpy(views)


def make_views_torch(
    rows: Tensor,
    offset: NDArray[np.int64],
    bodies: NDArray[np.int64],
    parameters: ViewParameters,
    *,
    max_bodies: int,
) -> Tensor:
    """`skelkit.views.make_views` on the device where ``rows`` (R, V, 3) lie.

    Raises
    ------
    ValueError : the views keep their own lengths, so that they do not stack
    """
    if parameters.frames is None:
        raise ValueError("views of their own lengths do not stack; end the augmentation in a resampling")
    device = rows.device

    def column(values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(values).to(device)[:, None]

    length, stored = column(parameters.length), column(bodies)
    middle = torch.arange(parameters.frames, device=device, dtype=torch.float64) + 0.5
    position = (middle * length / parameters.frames - 0.5).clamp(min=0)
    below = position.long()
    above = torch.minimum(below + 1, length - 1)
    weight = (position - below).to(rows.dtype)[:, :, None, None, None]
    body = torch.arange(max_bodies, device=device)
    slot = torch.minimum(body, stored - 1)[:, None, :]
    first = column(offset) + column(parameters.start) * stored

    def taken(frame: Tensor) -> Tensor:
        return rows[(first + frame * stored)[:, :, None] + slot]

    joints = torch.lerp(taken(below), taken(above), weight)
    joints = joints * (body < stored)[:, None, :, None, None]
    maps = torch.from_numpy(np.ascontiguousarray(parameters.maps)).to(device)
    return torch.einsum("nvij,nfmvj->nfmvi", maps, joints)
