"""Work on blocks of files by several processes, here or on a cluster: results in order, and no file that
kills its worker takes another one down."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from skelkit.errors import SkelkitError
from skelkit.inputs import Input

__all__ = ["cores", "on_cluster", "on_processes"]

_TIMEOUT = 10
"""Seconds in which a scheduler must answer."""

Result = TypeVar("Result")
Work = Callable[[list[Input]], Result]
Died = Callable[[Input], Result]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_processes(
    blocks: list[list[Input]], work: Work[Result], died: Died[Result], workers: int
) -> Generator[list[Result], None, None]:
    """The results of every block, in order; a bounded number of blocks is in flight.

    Parameters
    ----------
    blocks : of files
    work : on one block, picklable
    died : the result for a file that twice killed the process that worked on it
    workers : processes

    Yields
    ------
    One list a block: a single result, or one a file where the block's worker had died.

    Raises
    ------
    SkelkitError : processes die whatever they do
    """
    waiting = deque(blocks)
    while waiting:
        in_flight = 2 * workers
        try:
            with _pool(min(workers, len(waiting))) as pool:
                for result in _in_order(pool, list(waiting), work, in_flight):
                    yield [result]
                    waiting.popleft()
        except BrokenProcessPool:
            suspects = [waiting.popleft() for _ in range(min(in_flight, len(waiting)))]
            yield from _one_by_one(suspects, work, died)


def on_cluster(
    blocks: list[list[Input]], work: Work[Result], died: Died[Result], address: str
) -> Generator[list[Result], None, None]:
    """As `on_processes`, by the workers of a dask scheduler, which see the same files under the same paths.

    Raises
    ------
    SkelkitError : dask.distributed is not installed, or no scheduler answers
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise SkelkitError("a scheduler needs dask: pip install 'skelkit[cluster]'") from None
    try:
        client = Client(address, timeout=_TIMEOUT)
    except (OSError, ValueError) as error:
        raise SkelkitError(f"{address}: no dask scheduler answers there: {error}") from None
    with client:
        pool = client.get_executor(pure=False)
        waiting = deque(blocks)
        while waiting:
            in_flight = 4 * max(1, sum(client.nthreads().values()))
            try:
                for result in _in_order(pool, list(waiting), work, in_flight):
                    yield [result]
                    waiting.popleft()
            except KilledWorker:  # dask has tried it on several workers
                block, results = waiting.popleft(), []
                for item in block:
                    try:
                        results.append(pool.submit(work, [item]).result())
                    except KilledWorker:
                        results.append(died(item))
                yield results


def _one_by_one(
    blocks: list[list[Input]], work: Work[Result], died: Died[Result]
) -> Generator[list[Result], None, None]:
    """Each file by itself, so that the one that kills its worker is known."""
    pool = _checked_pool()
    try:
        for block in blocks:
            results = []
            for item in block:
                for attempt in ("first", "second"):
                    try:
                        results.append(pool.submit(work, [item]).result())
                        break
                    except BrokenProcessPool:
                        pool.shutdown()
                        pool = _checked_pool()
                        if attempt == "second":
                            results.append(died(item))
            yield results
    finally:
        pool.shutdown()


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: a forked child inherits locks of numba's and HDF5's threads
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_die_with_parent)


def _checked_pool() -> ProcessPoolExecutor:
    """One process that has shown that it works."""
    pool = _pool(1)
    try:
        with _ctrl_c_held():  # the first call starts the process
            started = pool.submit(int)
        started.result()
    except BrokenProcessPool:
        pool.shutdown()
        raise SkelkitError(
            "worker processes die as soon as they start, killed or out of memory; "
            "the same command takes up where it was"
        ) from None
    return pool


def _die_with_parent() -> None:
    """A worker whose parent was killed has nobody left to work for."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C, which a terminal sends to all: we see to it for them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_order(
    pool: Executor, blocks: list[list[Input]], work: Work[Result], in_flight: int
) -> Generator[Result, None, None]:
    waiting = deque(blocks)
    futures: deque[Future[Result]] = deque()
    try:
        while waiting or futures:
            with _ctrl_c_held():  # the first calls start all workers
                while waiting and len(futures) < in_flight:
                    futures.append(pool.submit(work, waiting.popleft()))
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
