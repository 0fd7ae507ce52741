"""The journal of a conversion: what has been converted, kept on disk so that a kill costs little."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self

from skelkit import __version__
from skelkit.blocks import Block, Job, sequence_of
from skelkit.errors import SkelkitError
from skelkit.inputs import Inputs
from skelkit.normalise import RECIPES
from skelkit.sequence import SkeletonSequence

__all__ = ["Journal"]


class Journal:
    """What has been converted, on disk: survives a kill at any moment.

    The first line identifies job and inputs, every further one a block with the CRCs of its sequences. A
    line that is cut, or whose rows are, ends the journal: what follows is converted again.
    """

    def __init__(self, out: Path, job: Job, inputs: Inputs, fresh: bool) -> None:
        self.job = job
        self.folder = self.folder_of(out)
        self.files_done = self.kept = 0
        self.excluded: list[dict[str, str]] = []
        self.quarantined: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self.first = _first_line(job, inputs)
        self.stack = ExitStack()
        try:
            self.folder.mkdir(exist_ok=True)
            self.log = self.stack.enter_context((self.folder / "journal").open("a+b"))
            self.rows = self.stack.enter_context((self.folder / "rows").open("a+b"))
        except OSError as error:
            self.close()
            raise SkelkitError(f"{out}: cannot write there: {error.strerror}") from None
        self._lock()
        self._take_up(fresh)

    @staticmethod
    def folder_of(out: Path) -> Path:
        """Where the journal of a store lies while it is being made."""
        return out.with_name(out.name + ".part")

    @classmethod
    def begun(cls, out: Path, job: Job, inputs: Inputs) -> list[str] | None:
        """In what a conversion that was begun to this store differs from this one; if in nothing, it can be
        taken up. None where none was begun."""
        try:
            with (cls.folder_of(out) / "journal").open("rb") as log:
                first = _parse(log.readline())
        except OSError:
            return None
        ours = _first_line(job, inputs)
        return None if first is None else [key for key in ours if first.get(key) != ours[key]]

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # no such lock on Windows: there, two at a time is up to the user
            return
        try:
            fcntl.flock(self.log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise SkelkitError(f"{self.folder}: another conversion is writing this store") from None

    def _take_up(self, fresh: bool) -> None:
        self.log.seek(0)
        good, end = 0, 0
        self.goes_on = not fresh and _parse(self.log.readline()) == self.first
        if self.goes_on:
            good = self.log.tell()
            self.rows.seek(0)
            for line in self.log:
                record = _parse(line)
                if record is None or not all(_read(self.rows, entry) for entry in record["entries"]):
                    break
                self._count(record)
                good, end = good + len(line), self.rows.tell()
        self.log.truncate(good)
        self.rows.truncate(end)
        if not good:
            self._write_line(self.first)

    def append(self, block: Block) -> None:
        """What became of the next files."""
        self._write(self.rows, b"".join(block.rows))
        record = block.record()
        self._write_line(record)
        self._count(record)

    def _count(self, record: dict[str, Any]) -> None:
        self.files_done += record["files"]
        self.kept += len(record["entries"])
        self.excluded += record["excluded"]
        self.quarantined += record["quarantined"]
        self.notes += record["notes"]

    def _write_line(self, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self._write(self.log, b"%08x %s\n" % (zlib.crc32(text), text))

    def _write(self, file: IO[bytes], data: bytes) -> None:
        try:
            file.write(data)
            file.flush()
        except OSError as error:
            self.close()
            raise SkelkitError(
                f"{self.folder}: cannot write: {error.strerror}; the same command takes up from here"
            ) from None

    def sequences(self) -> Iterator[SkeletonSequence]:
        """All sequences, read back from the rows in the order of their names.

        Raises
        ------
        SkelkitError : the rows changed behind our back
        """
        self.rows.seek(0)
        self.log.seek(0)
        self.log.readline()
        for line in self.log:
            for entry in json.loads(line.partition(b" ")[2])["entries"]:
                sequence = _read(self.rows, entry)
                if sequence is None:
                    raise SkelkitError(f"{self.folder}: its rows are damaged; convert again with --fresh")
                yield sequence

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):  # bytes that the disk refused once are refused again
            self.stack.close()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(rows: IO[bytes], entry: dict[str, Any]) -> SkeletonSequence | None:
    """The next sequence of the rows, or None where it is not what the entry says."""
    frames, bodies, joints, _ = entry["shape"]
    data = rows.read(frames * bodies * (joints * 12 + 1))
    if len(data) < frames * bodies * (joints * 12 + 1):
        return None
    if zlib.crc32(data) != entry["crc32"]:
        return None
    return sequence_of(data, entry)


def _first_line(job: Job, inputs: Inputs) -> dict[str, Any]:
    """Tells job and inputs from all others."""
    return {
        "version of skelkit": __version__,
        **asdict(job),
        "recipe's steps": RECIPES[job.recipe].describe(),
        "files": inputs.digest(stamps=True),
    }


def _parse(line: bytes) -> dict[str, Any] | None:
    """A line of the journal; None where it is cut or changed."""
    crc, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or crc != b"%08x" % zlib.crc32(text[:-1]):
        return None
    value: dict[str, Any] = json.loads(text)
    return value
