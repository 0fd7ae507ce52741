"""Writing files: they appear whole under their final name, or not at all."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Self

from skelkit.errors import SkelkitError

__all__ = ["HeldInterrupts", "RememberingFile", "paths", "replacing", "report_path"]

_Handler = Callable[[int, FrameType | None], Any]


def paths(given: str | Path | Iterable[str | Path]) -> list[Path]:
    """One or several, as a user may write them."""
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]


def report_path(store: Path) -> Path:
    """Where the report of the conversion that made a store lies."""
    return store.with_suffix(".report.json")


@contextmanager
def replacing(path: Path, what: str) -> Iterator[Path]:
    """A temporary path to write to, beside ``path``: when the block ends well it is synchronised to disk and
    takes the place of ``path``; when it does not, it goes, and what was at ``path`` stays.

    Raises
    ------
    SkelkitError : an OSError in the block or after it, as "PATH: cannot write WHAT: reason"; another program
        is writing ``path``
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("ab") as lock:
            _lock(lock, path)
            try:
                yield temporary
                _synchronise(temporary)
                temporary.replace(path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            _synchronise(path.parent)
    except OSError as error:
        raise SkelkitError(f"{path}: cannot write {what}: {error.strerror or error}") from None


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such lock on Windows: there, two at a time is up to the user
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SkelkitError(f"{path}: another program is writing it") from None


class HeldInterrupts:
    """Ctrl-C, and SIGTERM where it has a handler, are held back inside the block, but for what runs in
    `let_through`: raised amid a call of HDF5's they leave a damaged file behind. One held back reaches its
    handler at the next `let_through`, or at the end."""

    def __init__(self) -> None:
        self.held: int | None = None
        self.open = False
        self.handlers: dict[int, _Handler] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere none is heard of
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):  # in a script's background Ctrl-C is ignored: it is meant for another
                    self.handlers[number] = handler
                    signal.signal(number, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.open:
            self.handlers[number](number, frame)
        else:
            self.held = number

    def _pass_on(self) -> None:
        if self.held is not None:
            number, self.held = self.held, None
            self.handlers[number](number, None)

    @contextmanager
    def let_through(self) -> Iterator[None]:
        try:
            self.open = True
            self._pass_on()
            yield
        finally:
            self.open = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if kind is None:
            self._pass_on()


def _synchronise(path: Path) -> None:
    if path.is_dir() and os.name != "posix":  # only there can a folder be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RememberingFile(io.FileIO):
    """A file whose failed writes are kept in ``failure`` instead of raised, for HDF5, which crashes where a
    write fails, as on a full disk: it is told that all is well, and we ask."""

    failure: OSError | None = None
    """Without its traceback, which would hold on to HDF5's buffers after their time."""

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error.with_traceback(None)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = error.with_traceback(None)
            return size or 0

    def check(self) -> None:
        """Raise what was remembered."""
        if self.failure is not None:
            raise self.failure
