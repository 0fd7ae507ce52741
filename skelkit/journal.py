"""The journal of a conversion: what has been converted, kept on disk so that a kill costs little."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from skelkit import __version__
from skelkit.blocks import Block, Job, Spool, sequence_of
from skelkit.errors import SkelkitError
from skelkit.inputs import Input, Inputs
from skelkit.normalise import RECIPES
from skelkit.sequence import SkeletonSequence

__all__ = ["SOME_FILES", "Journal"]

_FORMAT = 4

SOME_FILES = "some files"
"""The difference of a conversion of which some files have changed, gone or come."""


class Journal:
    """What has been converted, on disk: survives a kill at any moment.

    The first line identifies job and inputs, every further one a block: its files, the CRCs of its sequences
    and the place of their rows, as each process that writes rows has a file of its own for them. A block
    whose rows are damaged, one of whose files has changed or gone, or could not be read, is converted again,
    and so is all after a line that is cut.
    """

    def __init__(self, out: Path, job: Job, inputs: Inputs, fresh: bool) -> None:
        self.job = job
        self.folder = self.folder_of(out)
        self.files_done = self.kept = 0
        self.inputs = inputs.files
        self.changed: list[str] = []
        self.gone: list[str] = []
        """Files of an interrupted conversion that are others now, or not given any more."""
        self.first = _first_line(job, inputs)
        self.place_of = {item.file.name: place for place, item in enumerate(inputs.files)}
        """Among the inputs."""
        self.noted: dict[int, _Noted] = {}
        """By the place of a block's first file."""
        self.covered = np.zeros(len(inputs.files), np.bool_)
        """By the blocks noted."""
        self.stack = ExitStack()
        self.files: dict[str, IO[bytes]] = {}
        try:
            self.folder.mkdir(exist_ok=True)
            self.log = self.stack.enter_context((self.folder / "journal").open("a+b"))
        except OSError as error:
            self.close()
            raise SkelkitError(f"{out}: cannot write there: {error.strerror}") from None
        self._lock()
        with self._writing():
            self._take_up(fresh)

    @staticmethod
    def folder_of(out: Path) -> Path:
        """Where the journal of a store lies while it is being made."""
        return out.with_name(out.name + ".part")

    @classmethod
    def begun(cls, out: Path, job: Job, inputs: Inputs) -> list[str] | None:
        """In what a conversion that was begun to this store differs from this one; if in nothing, or in
        `SOME_FILES` alone, it can be taken up. None where none was begun."""
        ours = _first_line(job, inputs)
        try:
            with (cls.folder_of(out) / "journal").open("rb") as log:
                first = _parse(log.readline())
                if first is None:
                    return None
                if first.get("recipe") != ours["recipe"]:  # then its steps are others, too
                    del ours["recipe's steps"]
                others = [key for key in ours if first.get(key) != ours[key]]
                if others != ["files"]:
                    return others
                noted = [
                    file for record in iter(lambda: _parse(log.readline()), None) for file in record["files"]
                ]
        except OSError:
            return None
        if not noted:
            return None
        now = {item.file.name: item.facts() for item in inputs.files}
        return [SOME_FILES] if any(now.get(file[0][0]) == file for file in noted) else others

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
        good = 0
        used = set()
        first = _parse(self.log.readline())
        self.goes_on = not fresh and first is not None and first | {"files": ""} == self.first | {"files": ""}
        if self.goes_on:
            good = self.log.tell()
            facts = [item.facts() for item in self.inputs]
            stale = []
            for line in self.log:
                record = _parse(line)
                if record is None:
                    break
                if self._fits(record, facts):
                    self._count(record, good)
                    used.add(record["place"][0])
                else:
                    stale.append(record["files"])
                good += len(line)
            self._compare(stale, facts)
        self.log.truncate(good)
        for path in self.folder.glob("rows*"):
            if path.name not in used:
                path.unlink()
        if not good:
            self._write_line(self.first)

    def _compare(self, stale: list[list[Any]], facts: list[Any]) -> None:
        """Find out which files of lines that do not fit are others now, where they are not done again yet."""
        now = {file[0][0]: file for file in facts}
        left = {item.file.name for run in self.left() for item in run}
        again = [files for files in stale if any(file[0][0] in left for file in files)]
        for name, file in {file[0][0]: file for files in again for file in files}.items():
            if name not in now:
                self.gone.append(name)
            elif file != now[name]:
                self.changed.append(name)

    def _fits(self, record: dict[str, Any], facts: list[Any]) -> bool:
        """Whether a line is of files that are these still, one after the other, and its rows are whole."""
        place = self.place_of.get(record["files"][0][0][0])
        if place is None or record["passing"]:
            return False
        these = slice(place, place + len(record["files"]))
        # Where a file was taken away and put back, a later block may have some of its files, too.
        if facts[these] != record["files"] or self.covered[these].any():
            return False
        return None not in self._read(record)

    def left(self) -> Iterator[list[Input]]:
        """The files that are not done, in runs between those that are."""
        begin = 0
        for place in sorted(self.noted):
            if place > begin:
                yield self.inputs[begin:place]
            begin = place + self.noted[place].files
        if begin < len(self.inputs):
            yield self.inputs[begin:]

    def append(self, block: Block) -> Iterator[SkeletonSequence]:
        """Note what became of the next files; their sequences, read back as they are asked for."""
        with self._writing():
            if block.place is None:
                block.spool(self._spool)
            record = block.record()
            begin = self._write_line(record)
        self._count(record, begin)
        return self._good(record)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()
            raise SkelkitError(
                f"{self.folder}: cannot write: {error.strerror}; the same command takes up from here"
            ) from None

    @cached_property
    def _spool(self) -> Spool:
        """For rows that no other process has written."""
        spool = Spool(self.folder)
        self.stack.callback(os.close, spool.descriptor)
        return spool

    def _count(self, record: dict[str, Any], begin: int) -> None:
        """``begin``: where its line begins."""
        files = len(record["files"])
        self.files_done += files
        self.kept += len(record["entries"])
        what = {topic: record[topic] for topic in ("excluded", "quarantined", "notes")}
        place = self.place_of[record["files"][0][0][0]]
        self.noted[place] = _Noted(files, begin, **what)
        self.covered[place : place + files] = True

    @property
    def excluded(self) -> list[dict[str, str]]:
        return [row for place in sorted(self.noted) for row in self.noted[place].excluded]

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        return [row for place in sorted(self.noted) for row in self.noted[place].quarantined]

    @property
    def notes(self) -> list[dict[str, Any]]:
        return [row for place in sorted(self.noted) for row in self.noted[place].notes]

    def _write_line(self, value: dict[str, Any]) -> int:
        """Where it begins."""
        text = json.dumps(value).encode()
        begin = self.log.seek(0, os.SEEK_END)
        self.log.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self.log.flush()
        return begin

    def sequences(self) -> Iterator[SkeletonSequence]:
        """All sequences, read back from the rows in the order of their names.

        Raises
        ------
        SkelkitError : the rows changed behind our back
        """
        for place in sorted(self.noted):
            self.log.seek(self.noted[place].begin)
            yield from self._good(json.loads(self.log.readline().partition(b" ")[2]))

    def _good(self, record: dict[str, Any]) -> Iterator[SkeletonSequence]:
        for sequence in self._read(record):
            if sequence is None:
                raise SkelkitError(f"{self.folder}: its rows are damaged; convert again with --fresh")
            yield sequence

    def _read(self, record: dict[str, Any]) -> Iterator[SkeletonSequence | None]:
        """The sequences of a line; None for one that is not what its entry says."""
        name, offset = record["place"]
        try:
            file = self._opened(name)
        except FileNotFoundError:
            yield None
            return
        file.seek(offset)
        for entry in record["entries"]:
            yield _read(file, entry)

    def _opened(self, name: str) -> IO[bytes]:
        """A file of rows, opened once."""
        if name not in self.files:
            self.files[name] = self.stack.enter_context((self.folder / Path(name).name).open("rb"))
        return self.files[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):  # bytes that the disk refused once are refused again
            self.stack.close()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class _Noted:
    """A block, but for its sequences."""

    files: int
    begin: int
    """Byte of the log where its line begins."""
    excluded: list[dict[str, str]]
    quarantined: list[dict[str, Any]]
    notes: list[dict[str, Any]]


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
        "format of the journal": _FORMAT,
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
