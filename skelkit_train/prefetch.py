"""Views of the batches to come, made by another thread while a step is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Make", "prefetched"]

Make = Callable[[NDArray[np.int64]], tuple[Tensor, ...]]

_Made = tuple[tuple[Tensor, ...], torch.cuda.Event | None]


def prefetched(
    make: Make, order: Iterator[NDArray[np.int64]], device: torch.device, *, ahead: int
) -> Iterator[tuple[Tensor, ...]]:
    """What ``make`` gives for each batch of places (n,), on the device, in order; up to ``ahead`` batches are
    made in advance by one other thread, and on a GPU beside its work for the step; none if 0."""
    if not ahead:
        yield from map(make, order)
        return
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def made(places: NDArray[np.int64]) -> _Made:
        with torch.cuda.stream(stream):  # does nothing where there is none
            return make(places), stream.record_event() if stream else None

    def begin() -> None:
        if device.type == "cuda":  # else the thread would take memory of the first GPU, whichever is ours
            torch.cuda.set_device(device)
        numba.set_num_threads(1)

    waiting: deque[Future[_Made]] = deque()
    # One thread for numba's loops, which are fast enough: several would wait for those of the step.
    pool = ThreadPoolExecutor(1, "views", initializer=begin)
    try:
        for places in order:
            waiting.append(pool.submit(made, places))
            if len(waiting) > ahead:
                yield _taken(*waiting.popleft().result())
        while waiting:
            yield _taken(*waiting.popleft().result())
    finally:
        pool.shutdown(cancel_futures=True)


def _taken(tensors: tuple[Tensor, ...], ready: torch.cuda.Event | None) -> tuple[Tensor, ...]:
    """For the stream of this thread, which alone waits until they are there; the host does not."""
    if ready is not None:
        stream = torch.cuda.current_stream(tensors[0].device)
        stream.wait_event(ready)
        for tensor in tensors:
            tensor.record_stream(stream)
    return tensors
