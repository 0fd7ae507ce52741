"""A store's sequences to views: from rows that are resident on the device, on the CPU by numba, on a GPU by
torch; or by numba from rows that stay on the disk.

All apply the same drawn parameters, and agree.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelkit.augment import Transform
from skelkit.errors import SkelkitError
from skelkit.skeleton import JointLayout
from skelkit.store import Store
from skelkit.views import (
    STREAMS,
    DrawKey,
    ViewParameters,
    check_rows,
    identity,
    make_views,
    sample_frames,
    to_stream,
)

__all__ = [
    "Sequences",
    "StoredRows",
    "batches",
    "fits",
    "make_views_torch",
    "pick_device",
    "store_bytes",
    "to_stream_torch",
]

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


def fits(store: Store, device: torch.device) -> bool:
    """Whether a store's rows take up at most half of the memory that is free: the device's, and this
    machine's share of a process, which they pass through."""
    size = store_bytes(store)
    free = [_free_memory() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))]
    if device.type == "cuda":
        free.append(torch.cuda.mem_get_info(device)[0])
    return 2 * size <= min(free)


def store_bytes(store: Store) -> int:
    """Of all its rows, in memory."""
    rows = int((store.frames.astype(np.int64) * store.bodies).sum())
    return rows * store.layout.size * 3 * np.dtype(np.float32).itemsize


def _free_memory() -> float:
    """Bytes of this machine's memory that programs can still have; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # no Linux
        return math.inf
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), math.inf)


class StoredRows:
    """The rows of an open store, read as they are needed. One thread at a time may do so."""

    def __init__(self, store: Store, device: torch.device) -> None:
        self.store = store
        self.device = device
        """Where the views are wanted."""
        self._last = np.empty(0, np.int64), np.empty(0, np.float32)

    def read(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """(r, V, 3) the rows of the sequences at ``places`` (n,), one after the other.

        Raises
        ------
        StoreError : the bytes of one are damaged
        """
        # A batch's views are made one after the other from the same rows.
        if not np.array_equal(places, self._last[0]):
            joints = [self.store.sequence(place).joints for place in places.tolist()]
            self._last = places, np.concatenate([each.reshape(-1, *each.shape[2:]) for each in joints])
        return self._last[1]


@dataclass(frozen=True)
class Sequences:
    """All sequences of a store, resident on the device or streamed from the disk."""

    rows: Tensor | StoredRows
    """(R, V, 3), packed as in the store, on the device; or where to read them."""
    offset: NDArray[np.int64]
    frames: NDArray[np.int64]
    bodies: NDArray[np.int64]
    label: NDArray[np.int64]
    """(N,) each."""
    max_bodies: int
    """M of the views."""
    layout: JointLayout
    """Of the V joints."""
    note: str | None = None
    """Of joints that are too far away; None, too, of sequences that are streamed."""

    @classmethod
    def load(cls, store: Store, max_bodies: int, device: torch.device, *, resident: bool = True) -> Sequences:
        """Of a store, which must stay open where they are not ``resident``."""
        rows = store.rows() if resident else None
        return cls(
            rows=StoredRows(store, device) if rows is None else torch.from_numpy(rows).to(device),
            offset=store.offset.astype(np.int64),
            frames=store.frames.astype(np.int64),
            bodies=store.bodies.astype(np.int64),
            label=store.label.astype(np.int64),
            max_bodies=max_bodies,
            layout=store.layout,
            note=store.note_of_far(rows) if rows is not None else None,
        )

    @classmethod
    def opened(cls, store: Store, max_bodies: int, device: torch.device) -> Sequences:
        """Of a store that may be closed after: resident where they fit, else streamed, from a store of their
        own that stays open as long as they live."""
        resident = fits(store, device)
        return cls.load(store if resident else Store(store.path), max_bodies, device, resident=resident)

    def views(
        self,
        places: NDArray[np.int64],
        transform: Transform,
        *,
        seed: int,
        epoch: int = 0,
        view: int = 0,
        stream: str = "joint",
    ) -> Tensor:
        """(N, F, M, V, 3) float32 on the device: view number ``view`` of the sequences at ``places`` (N,), as
        one of `skelkit.views.STREAMS`.

        The same for the same seed, epoch, place and view, in whatever batch.
        """
        key = DrawKey(seed, epoch, places, np.full(len(places), view))
        parameters = transform.draw(key, identity(self.frames[places], self.layout, self.max_bodies))
        offset, bodies = self.offset[places], self.bodies[places]
        if isinstance(self.rows, StoredRows):
            rows = self.rows.read(places)
            count = self.frames[places] * bodies
            offset = np.cumsum(count) - count
        elif self.rows.device.type == "cpu":
            rows = self.rows.numpy()
        else:
            views = make_views_torch(self.rows, offset, bodies, parameters)
            return to_stream_torch(views, stream, self.layout)
        threads = torch.get_num_threads()
        made = to_stream(make_views(rows, offset, bodies, parameters), stream, self.layout)
        if torch.get_num_threads() != threads:  # numba's first loop sets OpenMP's number, which torch shares
            torch.set_num_threads(threads)
        return _moved(torch.from_numpy(made), self.rows.device)


def make_views_torch(
    rows: Tensor, offset: NDArray[np.int64], bodies: NDArray[np.int64], parameters: ViewParameters
) -> Tensor:
    """`skelkit.views.make_views` on the device where ``rows`` (R, V, 3) lie, without waiting for it.

    Raises
    ------
    ValueError : the views keep their own lengths, so that they do not stack; or the rows are not those the
        views were drawn for
    """
    below, weight = sample_frames(parameters)
    check_rows(tuple(rows.shape), offset, bodies, parameters)
    frames, device = below.shape[1], rows.device
    above = below + (weight > 0)
    body = np.arange(parameters.bodies)
    slot = np.minimum(body, bodies[:, None] - 1)

    def taken(frame: NDArray[np.int64]) -> Tensor:
        row = (offset[:, None] + frame * bodies[:, None])[:, :, None] + slot[:, None]
        return rows[_send(row, device)]

    joints = torch.lerp(taken(below), taken(above), _send(weight, device)[:, :, None, None, None])
    joints = joints * _send(body < bodies[:, None], device)[:, None, :, None, None]
    if parameters.bones is not None:
        joints = _scale_bones(joints, _send(parameters.bones, device), parameters.layout)
    if parameters.order is not None:
        order = _send(parameters.order, device)[:, None, None, :, None]
        joints = joints.gather(3, order.expand(joints.shape))
    joints = torch.einsum("nvij,nfmvj->nfmvi", _send(parameters.maps, device), joints)
    if parameters.blur is not None:
        joints = _blur(joints, _send(parameters.blur, device))
    if parameters.noise is not None:
        joints = joints + _send(parameters.noise[:, :frames], device) * _are_there(joints)
    if parameters.hidden is not None:
        joints = joints * ~_send(parameters.hidden[:, :frames], device)[:, :, None, None, None]
    return joints


def to_stream_torch(views: Tensor, stream: str, layout: JointLayout) -> Tensor:
    """`skelkit.views.to_stream` on the device of the views (N, F, M, V, 3).

    Raises
    ------
    ValueError : another stream; for bones, a layout whose joints have no single parent
    """
    if stream not in STREAMS:
        raise ValueError(f"no stream {stream!r}; expected {', '.join(STREAMS)}")
    if stream == "joint":
        return views
    if stream == "bone":
        return views - views.index_select(3, _send(layout.parents(), views.device))
    return torch.cat([views[:, 1:] - views[:, :-1], torch.zeros_like(views[:, :1])], dim=1)


def _send(values: NDArray[Any], device: torch.device) -> Tensor:
    return _moved(torch.from_numpy(np.array(values, order="C")), device)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; from pinned memory the copy does not wait for what the device still has to do."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _are_there(joints: Tensor) -> Tensor:
    """(N, F, M, 1, 1) whether a body has a coordinate other than zero."""
    return (joints != 0).any(dim=-1).any(dim=-1)[..., None, None]


def _scale_bones(joints: Tensor, factor: Tensor, layout: JointLayout) -> Tensor:
    """(N, F, M, V, 3) with bones ``factor`` (N, V) times as long: each joint is its root and the bones on the
    way from there, added up in one product for all joints."""
    paths, parents = layout.paths(), layout.parents()
    roots = np.argmax(paths & (parents == np.arange(len(parents))), axis=1)
    bones = factor[:, None, None, :, None] * to_stream_torch(joints, "bone", layout)
    way = _send(paths.astype(np.float32), joints.device)
    return joints.index_select(3, _send(roots, joints.device)) + torch.einsum("va,nfmac->nfmvc", way, bones)


def _blur(joints: Tensor, sigma: Tensor) -> Tensor:
    """(N, F, M, V, 3) blurred over time by ``sigma`` (N,) frames, as `skelkit.effects.blur`."""
    frame = torch.arange(joints.shape[1], device=joints.device)
    away = (frame[:, None] - frame).abs()
    radius = (4 * sigma.double() + 0.5).long()[:, None, None]
    share = away / sigma.double().clamp(min=1e-9)[:, None, None]
    weight = torch.exp(-0.5 * share**2) * (away <= radius)
    there = _are_there(joints)[..., 0, 0]
    weights = weight.to(joints.dtype)[:, :, :, None] * there[:, None]
    total = weights.sum(dim=2).clamp(min=1e-9)
    blurred = torch.einsum("nfgm,ngmvc->nfmvc", weights, joints) / total[..., None, None]
    return blurred * there[..., None, None]
