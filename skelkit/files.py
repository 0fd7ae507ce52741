"""Writing files: they appear whole under their final name, or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from skelkit.errors import SkelkitError

__all__ = ["RememberingFile", "replacing"]


@contextmanager
def replacing(path: Path, what: str) -> Iterator[Path]:
    """A temporary path to write to, beside ``path``: when the block ends well it is synchronised to disk and
    takes the place of ``path``; when it does not, it goes, and what was at ``path`` stays.

    Raises
    ------
    SkelkitError : an OSError in the block or after it, as "PATH: cannot write WHAT: reason"
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        _synchronise(temporary)
        temporary.replace(path)
        _synchronise(path.parent)
    except OSError as error:
        raise SkelkitError(f"{path}: cannot write {what}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


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

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = error
            return size or 0

    def check(self) -> None:
        """Raise what was remembered."""
        if self.failure is not None:
            raise self.failure
