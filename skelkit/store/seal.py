"""The checksums of the whole file, in its user block, where they are read without HDF5."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skelkit.errors import StoreError
from skelkit.store.format import FORMAT, VERSION

__all__ = ["USER_BLOCK", "Seal", "content_digest", "read_seal", "write_seal"]

USER_BLOCK = 512
_PIECE = 1 << 20
_STRETCH = 1 << 24
_BEGINNING = re.compile(rb"%s\n(?:version (\d+)\n)?" % FORMAT.encode())
_BLOCK = re.compile(
    rb"%s\nversion %d\nsha256 ([0-9a-f]{64})\ntables ([0-9a-f]{64})\nrows (\d{1,18}) (\d{1,18})\n\0*"
    % (FORMAT.encode(), VERSION)
)


@dataclass(frozen=True)
class Seal:
    """What the user block says."""

    content: str
    """SHA-256 of the SHA-256 of every 16 MiB after the block."""
    tables: str
    """SHA-256 of everything after the block but the rows."""
    rows_at: int
    """The byte of the file where /rows begins."""
    runs: int
    """G, the length of /rows."""

    def __bytes__(self) -> bytes:
        lines = [
            FORMAT,
            f"version {VERSION}",
            f"sha256 {self.content}",
            f"tables {self.tables}",
            f"rows {self.rows_at} {self.runs}\n",
        ]
        return "\n".join(lines).encode().ljust(USER_BLOCK, b"\0")


def write_seal(path: Path, rows_at: int, runs: int) -> None:
    """Fill the user block of a store that is otherwise written."""
    with path.open("r+b") as file:
        tables = _tables_digest(file, rows_at, runs)
        seal = Seal(content_digest(path), tables, rows_at, runs)
        file.seek(0)
        file.write(bytes(seal))


def read_seal(path: Path) -> Seal:
    """The user block, once everything in the file but the rows is found to be as it was written.

    Raises
    ------
    StoreError : it is no store, of another version, or damaged outside the rows
    """
    with path.open("rb") as file:
        block = file.read(USER_BLOCK)
        beginning = _BEGINNING.match(block)
        if beginning is None:
            hint = "; skelkit import makes one of it" if path.suffix in (".npz", ".pkl") else ""
            raise StoreError(f"{path}: not a store, or its first bytes are damaged{hint}")
        version = int(beginning[1] or 1)
        if version != VERSION:
            raise StoreError(
                f"{path}: its version is {version}, this skelkit reads {VERSION}; convert the data again"
            )
        fields = _BLOCK.fullmatch(block)
        if fields is None or len(block) < USER_BLOCK:
            raise StoreError(f"{path}: damaged in its first {USER_BLOCK} bytes")
        seal = Seal(fields[1].decode(), fields[2].decode(), int(fields[3]), int(fields[4]))
        try:
            intact = seal.tables == _tables_digest(file, seal.rows_at, seal.runs)
        except ValueError:
            intact = False
    if not intact:
        raise StoreError(
            f"{path}: cut off, damaged outside its sequences, or changed by another program; "
            "convert the data again, or take a copy that is intact"
        )
    return seal


def content_digest(path: Path, progress: Callable[[int], Any] = lambda _: None) -> str:
    """SHA-256 of the SHA-256 of every 16 MiB after the user block, which several threads take in turns;
    ``progress`` is told of each, in bytes."""

    def digest(start: int) -> bytes:
        hasher = hashlib.sha256()
        with path.open("rb") as file:
            file.seek(start)
            for _ in range(_STRETCH // _PIECE):
                hasher.update(file.read(_PIECE))
        return hasher.digest()

    whole = hashlib.sha256()
    size = path.stat().st_size
    starts = range(USER_BLOCK, size, _STRETCH)
    with ThreadPoolExecutor() as pool:
        for start, part in zip(starts, pool.map(digest, starts), strict=True):
            whole.update(part)
            progress(min(_STRETCH, size - start))
    return whole.hexdigest()


def _tables_digest(file: IO[bytes], rows_at: int, runs: int) -> str:
    """SHA-256 of everything after the user block but the rows.

    Raises
    ------
    ValueError : where the rows are is not said in order, or is outside the file
    """
    size = file.seek(0, 2)
    if not USER_BLOCK <= rows_at <= rows_at + 16 * runs <= size:
        raise ValueError
    file.seek(rows_at)
    table: NDArray[np.int64] = np.frombuffer(file.read(16 * runs), "<i8").reshape(-1, 2)
    hasher = hashlib.sha256()
    position = USER_BLOCK
    for first, end in [*table.tolist(), (size, size)]:
        if not position <= first <= end <= size:
            raise ValueError
        file.seek(position)
        while position < first:
            piece = file.read(min(_PIECE, first - position))
            if not piece:  # cut off at this moment
                raise ValueError
            hasher.update(piece)
            position += len(piece)
        position = end
    return hasher.hexdigest()
