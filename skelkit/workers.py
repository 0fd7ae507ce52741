"""Work on blocks of files by several processes, here or on a cluster: results in order, and no file that
kills its worker takes another one down."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Generic, TypeVar

from skelkit.errors import SkelkitError
from skelkit.inputs import Input

__all__ = ["Processes", "cores", "on_cluster"]

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time in a period, and the period's, of a container (cgroup v2)."""
_TIMEOUT = 10
"""Seconds in which a scheduler must answer."""
_GIVEN = 2
"""Blocks that a worker has, so that it need not wait for the next."""
_AHEAD = 4
"""Blocks begun, for each worker, before the oldest result is taken."""

Result = TypeVar("Result")
Work = Callable[[list[Input]], Result]
Died = Callable[[Input], Result]


def cores() -> int:
    """Those that this process may use; in a container with a quota of processor time, as many as that."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, _QUOTA.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no container of Linux, or "max": no quota
        return count
    return min(count, max(1, quota // period))


@dataclass
class _Task(Generic[Result]):
    """Some files of a block, and, when it is done, their results."""

    items: list[Input]
    alone: bool = False
    """A worker died of the whole, or of this: no other task is with a worker that has it."""
    deaths: int = 0
    results: list[Result] = field(default_factory=list)
    parts: list[_Task[Result]] = field(default_factory=list)
    """One a file, where a worker died of the whole."""

    def done(self) -> bool:
        return bool(self.results) or (bool(self.parts) and all(part.done() for part in self.parts))

    def collected(self) -> list[Result]:
        return self.results or [result for part in self.parts for result in part.collected()]


@dataclass
class _Worker(Generic[Result]):
    process: BaseProcess
    connection: Connection
    tasks: deque[_Task[Result]] = field(default_factory=deque)
    """Given to it and not answered."""
    ready: bool = False

    def takes(self, task: _Task[Result]) -> bool:
        """Whether it may be given this task now."""
        if not self.tasks:
            return self.ready
        return len(self.tasks) < _GIVEN and not (task.alone or self.tasks[0].alone)


class Processes(Generic[Result]):
    """Worker processes; closing it ends them, whatever they do."""

    def __init__(self, work: Work[Result], prepare: Callable[[], object]) -> None:
        """
        Parameters
        ----------
        work : on one block, picklable
        prepare : what a worker does first, while there may be no block yet, picklable
        """
        self.work = work
        self.prepare = prepare
        self.team: list[_Worker[Result]] = []

    def start(self, count: int) -> None:
        """Start so many at once, instead of when there is work for them."""
        for _ in range(count):
            self._start()

    def results(
        self, blocks: list[list[Input]], died: Died[Result], workers: int
    ) -> Generator[list[Result], None, None]:
        """The results of every block, in order; a bounded number of blocks is in flight.

        Parameters
        ----------
        blocks : of files
        died : the result for a file that twice killed the process that worked on it
        workers : processes, at most

        Yields
        ------
        One list a block: a single result, or one a file where the block's worker had died.

        Raises
        ------
        SkelkitError : processes die before they have done anything
        """
        later = deque(blocks)
        begun: deque[_Task[Result]] = deque()
        queue: deque[_Task[Result]] = deque()
        while later or begun:
            while later and len(begun) < _AHEAD * workers:
                begun.append(_Task(later.popleft()))
                queue.append(begun[-1])
            busy = sum(bool(worker.tasks) for worker in self.team)
            while len(self.team) < min(workers, len(queue) + busy):
                self._start()
            for worker in sorted(self.team, key=lambda worker: len(worker.tasks)):
                while queue and worker.takes(queue[0]):
                    worker.tasks.append(queue.popleft())
                    with suppress(OSError):  # it has died: we hear of it below
                        worker.connection.send(worker.tasks[-1].items)
            if begun[0].done():  # only now, as what becomes of it takes time in which all should work
                yield begun.popleft().collected()
                continue
            for connection in wait([worker.connection for worker in self.team]):
                worker = next(worker for worker in self.team if worker.connection is connection)
                if not _hear(worker):
                    self.team.remove(worker)
                    queue.extendleft(reversed(_left_by(worker, died)))

    def _start(self) -> None:
        # spawn: a forked child inherits locks of numba's and HDF5's threads
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.work, self.prepare), daemon=True)
        with _stops_held():
            process.start()
        theirs.close()  # so that its death ends what we read, even amid a message
        self.team.append(_Worker(process, ours))

    def close(self) -> None:
        for worker in self.team:
            worker.connection.close()
            worker.process.kill()
            worker.process.join()
        self.team.clear()


def _serve(connection: Connection, work: Work[Result], prepare: Callable[[], object]) -> None:
    """The worker: it ends when its parent does, however that ends."""
    if hasattr(os, "nice"):
        os.nice(1)  # where cores are few, who collects goes before those who bring
    with suppress(EOFError, OSError), ThreadPoolExecutor(1) as sender:
        try:
            prepare()
        except Exception as error:
            connection.send(error)
            return
        sent = sender.submit(connection.send, None)
        while True:
            result = work(connection.recv())
            sent.result()
            sent = sender.submit(connection.send, result)


def _hear(worker: _Worker[Result]) -> bool:
    """Take what a worker says; whether it lives."""
    try:
        said = worker.connection.recv()
    except (EOFError, OSError):
        worker.connection.close()
        worker.process.join()
        return False
    if worker.ready:
        worker.tasks.popleft().results.append(said)
    elif said is not None:  # why it cannot begin
        raise said
    worker.ready = True
    return True


def _left_by(worker: _Worker[Result], died: Died[Result]) -> list[_Task[Result]]:
    """What there is to do again after a worker died: first the files one by one, then the file once more."""
    if not worker.ready:
        raise SkelkitError(
            "worker processes die as soon as they start, killed or out of memory; "
            "the same command takes up where it was"
        )
    if not worker.tasks:
        return []
    task, *others = worker.tasks
    task.alone = True
    if len(task.items) > 1:
        task.parts = [_Task([item], alone=True) for item in task.items]
        return [*task.parts, *others]
    task.deaths += 1
    if task.deaths == 1:
        return [task, *others]
    task.results.append(died(task.items[0]))
    return others


@contextmanager
def _stops_held() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C and SIGTERM, which terminals and queues send to all of
    them: we see to it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would let them through again as it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def on_cluster(
    blocks: list[list[Input]], work: Work[Result], died: Died[Result], address: str, progress: bool
) -> Generator[list[Result], None, None]:
    """As `Processes.results`, by a dask scheduler's workers, which must see the files under the same paths;
    with ``progress`` it says if it has to wait for the first.

    Raises
    ------
    SkelkitError : dask.distributed is not installed, no scheduler answers or it goes away, or a worker does
        not see the files
    """
    from tqdm import tqdm

    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise SkelkitError("a scheduler needs dask: pip install 'skelkit[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it we say ourselves
    try:
        client = Client(address, timeout=_TIMEOUT)
    except (OSError, ValueError) as error:
        raise SkelkitError(f"{address}: no dask scheduler answers there: {error}") from None
    with client:
        if not client.nthreads():
            if progress:
                tqdm.write(f"waiting: no worker at {address} yet", sys.stderr)
            client.wait_for_workers(1)
        for worker, unseen in client.run(_unseen, blocks[0][0]).items():
            if unseen:
                raise SkelkitError(f"the worker {worker} does not see {unseen}; all must have the same paths")
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
            except CancelledError:
                raise SkelkitError(
                    f"{address}: the dask scheduler went away; the same command goes on where it was"
                ) from None


def _unseen(item: Input) -> str | None:
    """The file's path where there is no such file on this machine."""
    return None if Path(item.file.path).exists() else item.file.path


def _in_order(
    pool: Executor, blocks: list[list[Input]], work: Work[Result], in_flight: int
) -> Generator[Result, None, None]:
    waiting = deque(blocks)
    futures: deque[Future[Result]] = deque()
    try:
        while waiting or futures:
            while waiting and len(futures) < in_flight:
                futures.append(pool.submit(work, waiting.popleft()))
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
