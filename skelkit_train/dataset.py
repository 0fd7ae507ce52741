"""A store as a map-style dataset of torch, for training loops of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeAlias, get_args

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from skelkit.augment import Transform
from skelkit.errors import SkelkitError, StoreError
from skelkit.skeleton import JointLayout
from skelkit.store import Store
from skelkit.views import STREAMS, DrawKey, identity
from skelkit_train.checkpoint import DataFacts
from skelkit_train.data import Sequences
from skelkit_train.evaluate.features import centre_views

__all__ = ["Item", "Part", "SkeletonDataset"]

Part = Literal["train", "test", "all"]
Item: TypeAlias = tuple[Tensor | tuple[Tensor, ...], int, int]

_CPU = torch.device("cpu")
_IMPORTED_BY = os.getpid()


class SkeletonDataset(Dataset[Item]):
    """Item i is (view, label, i), or with several views ((view 0, view 1, ...), label, i); a view is
    (F, M, V, 3) float32, a label the number of a class, -1 where it is not known.

    A view depends on seed, epoch, sequence and its number alone: it is the same to the bit in whatever
    worker, order, batch or part. Every process opens the store by itself when it first needs it.

    Where nobody has chosen a threading layer for numba, the first dataset chooses ``forksafe`` for the whole
    process, as DataLoader forks its workers on Linux.

    Parameters
    ----------
    path : the store
    protocol : one of the store's; None: its sequences without any
    part : of the protocol; ``all`` is both, or without a protocol the whole store
    transform : what makes the views; None: the middle 95% of a sequence, as in testing
    views : how many of each sequence, 2 for contrastive learning
    frames : F of the views for testing, 64 if None; a ``transform`` says itself how many it makes
    bodies : M: others are left out, missing ones zero; 0: as many as the store has, up to 2
    stream : ``joint``, ``bone`` or ``motion``, as `skelkit.views.to_stream` gives them
    seed : of the random numbers
    resident : keep all joints in memory, which all workers share, instead of reading each from the disk

    Raises
    ------
    ValueError : one of these is out of its range, the transform cannot be drawn or makes views that do not
        stack, or the layout has no bones for the bone stream
    SkelkitError : the store is a part of a conversion
    StoreError : no store, or a damaged one; it lacks the protocol, or the part is empty
    """

    def __init__(
        self,
        path: Path | str,
        protocol: str | None = None,
        part: Part = "all",
        *,
        transform: Transform | None = None,
        views: int = 1,
        frames: int | None = None,
        bodies: int = 0,
        stream: str = "joint",
        seed: int = 0,
        resident: bool = False,
    ) -> None:
        for name, value, least in (("views", views, 1), ("bodies", bodies, 0), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name} is {value}, expected {least} or more")
        if stream not in STREAMS:
            raise ValueError(f"no stream {stream!r}; expected {', '.join(STREAMS)}")
        if transform is not None and frames is not None:
            raise ValueError(f"frames is {frames}, but the transform resamples; give it Resample({frames})")
        self.path = Path(path)
        self.transform = transform or centre_views(64 if frames is None else frames)
        self.views = views
        self.stream = stream
        self.seed = seed
        self.resident = resident
        # In shared memory, so that workers that live on from epoch to epoch are told of the next, too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._files = ExitStack()
        self._sequences: Sequences | None = None
        self._opened_by = 0
        with Store(self.path) as store:
            self.places = _places(store, protocol, part)
            """(n,) of the items' sequences in the store."""
            self.content_hash = store.content_hash
            self.layout: JointLayout = store.layout
            """Of the V joints."""
            self.bodies = DataFacts.of(store, bodies).bodies
            """M of the views."""
            self.labels: NDArray[np.int64] = store.label[self.places]
            """(n,)"""
            self.names = [store.names[place] for place in self.places]
            """Of the items' sequences."""
            self.classes = [store.class_name(k) for k in range(int(store.label.max()) + 1)]
            """The store's, by label, whether or not the part has them all."""
            self.frames = self._check_drawing(store)
            """F of the views."""
            if resident:
                self._sequences = Sequences.load(store, self.bodies, _CPU)
        if numba.config.THREADING_LAYER == "default":  # type: ignore[attr-defined]
            # On Linux DataLoader forks, and GNU's OpenMP, which is the default there, does not survive it.
            numba.config.THREADING_LAYER = "forksafe"  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """A batch at once, as DataLoader asks for it: much faster than one by one."""
        chosen = np.asarray(indices, dtype=np.int64)
        places = self.places[chosen]
        sequences, epoch = self._opened(), self.epoch
        with _lock(os.getpid()):
            made = [
                sequences.views(
                    places, self.transform, seed=self.seed, epoch=epoch, view=view, stream=self.stream
                )
                for view in range(self.views)
            ]
        items = made[0] if self.views == 1 else zip(*made, strict=True)
        return list(zip(items, self.labels[chosen].tolist(), chosen.tolist(), strict=True))

    @property
    def epoch(self) -> int:
        """Of the views that come next."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Other views from now on, in all workers; call it before each epoch, from 0 on."""
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}, expected 0 or more")
        self._epoch.fill_(epoch)

    def close(self) -> None:
        """Close the store in this process, until another item is asked for."""
        self._files.close()
        self._opened_by = 0

    def _opened(self) -> Sequences:
        """The sequences, of a store that this process has opened itself."""
        process = os.getpid()
        _prepare(process)
        if self._sequences is not None and (self.resident or self._opened_by == process):
            return self._sequences
        self._files = ExitStack()
        store = self._files.enter_context(Store(self.path))
        if store.content_hash != self.content_hash:
            raise StoreError(f"{self.path}: its content has changed since the dataset was made")
        self._sequences = Sequences.load(store, self.bodies, _CPU, resident=False)
        self._opened_by = process
        return self._sequences

    def _check_drawing(self, store: Store) -> int:
        """The frames of the views, known without making one, as that would start numba's threads."""
        if self.stream == "bone":
            self.layout.parents()
        first = self.places[:1]
        key = DrawKey(self.seed, 0, first, np.zeros(1, np.int64))
        length = store.frames[first].astype(np.int64)
        made = self.transform.draw(key, identity(length, self.layout, self.bodies)).frames
        if made is None:
            raise ValueError("views of their own lengths do not stack; end the augmentation in a resampling")
        return made

    def __getstate__(self) -> dict[str, Any]:
        streamed = {} if self.resident else {"_sequences": None}
        return {**self.__dict__, "_files": ExitStack(), "_opened_by": 0, **streamed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._epoch.share_memory_()


def _places(store: Store, protocol: str | None, part: Part) -> NDArray[np.int64]:
    """(n,) places of a part of a protocol, in the store's order."""
    if part not in get_args(Part):
        raise ValueError(f"no part {part!r}; expected {', '.join(get_args(Part))}")
    if protocol is None and part == "all":
        return np.arange(len(store))
    if protocol is None:
        raise ValueError(
            f"a {part} part is that of a protocol; {store.path} has {', '.join(store.protocols)}"
        )
    if part == "all":
        return np.sort(np.concatenate([store.part(protocol, train=train) for train in (True, False)]))
    return store.part(protocol, train=part == "train")


@cache
def _lock(_process: int) -> Lock:
    """One thread of a process at a time makes views: the layer that survives a fork dies of two."""
    return Lock()


@cache
def _prepare(process: int) -> None:
    """One thread for numba's loops in each worker, as torch has there; once in a ``process``.

    Raises
    ------
    SkelkitError : the first loop would kill this worker
    """
    if get_worker_info() is None:
        return
    try:
        layer = numba.threading_layer()  # type: ignore[attr-defined]
    except ValueError:  # no loop has run yet
        layer = None
    if layer == "omp" and process != _IMPORTED_BY:
        raise SkelkitError(
            "this worker was forked from a process in which numba has run on OpenMP: make the dataset before "
            "any view, or give DataLoader multiprocessing_context='spawn'"
        )
    numba.set_num_threads(1)
