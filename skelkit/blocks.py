"""What workers do: read some files, cut clips out of them, normalise all, and note what became of each."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from skelkit.clips import DEFAULT_RULES, LONG, ClipRules, cut
from skelkit.datasets import DATASETS
from skelkit.errors import InputError, UnreadableError
from skelkit.inputs import Input
from skelkit.normalise import RECIPES
from skelkit.readers import READERS, pku
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout, load_layout

__all__ = [
    "BLOCK_BYTES",
    "BLOCK_FILES",
    "Block",
    "Job",
    "Place",
    "Spool",
    "convert_block",
    "convert_to_disk",
    "died",
    "prepare",
    "sequence_of",
]

BLOCK_FILES, BLOCK_BYTES = 32, 1 << 25
"""At most so much is converted, and noted, at a time."""


@dataclass(frozen=True)
class Job:
    """What workers need to know besides the files."""

    dataset: str
    recipe: str
    clips: ClipRules = DEFAULT_RULES


Place = tuple[str, int]
"""A file in the journal's folder, and the byte where rows begin in it."""


class Spool:
    """A file of rows that one process alone appends to."""

    def __init__(self, folder: Path) -> None:
        self.name = f"rows.{uuid4().hex}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self.descriptor = os.open(folder / self.name, flags, 0o666)

    def append(self, data: bytes) -> Place:
        """Write; where the data begins.

        Raises
        ------
        OSError : the disk refuses; what it took of the data is in nobody's way
        """
        begin = os.lseek(self.descriptor, 0, os.SEEK_END)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
        return self.name, begin


@dataclass
class Block:
    """What became of some files; `entries` describe the sequences whose joints and flags are in `rows`, or at
    `place`."""

    files: list[Any]
    """`Input.facts` of each."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    excluded: list[dict[str, str]] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    passing: bool = False
    """Whether a file is quarantined for what may have been the machine's fault, so that another try pays."""
    rows: list[bytes] = field(default_factory=list)
    place: Place | None = None

    def spool(self, spool: Spool) -> None:
        """Write the rows, so that only their place is left."""
        self.place = spool.append(b"".join(self.rows))
        self.rows.clear()

    def record(self) -> dict[str, Any]:
        """All but the rows, as a line of the journal."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.name != "rows"}


def prepare(dataset: str) -> None:
    """Load numba and the compiled kernels, most of a second that need not wait for the first file."""
    for name in ("S001C001P001R001A001", "0002-L"):
        with suppress(InputError):
            READERS[dataset](b"1\n1\n", name)


def convert_to_disk(items: list[Input], job: Job, folder: Path) -> Block:
    """As `convert_block`, by one of several processes: the rows are left in a file in ``folder``, as a pipe
    takes six times as long."""
    block = convert_block(items, job)
    with suppress(OSError):  # then the rows go by pipe, and who writes them says what is wrong with the disk
        block.spool(_spool(folder))
    return block


@lru_cache(maxsize=1)
def _spool(folder: Path) -> Spool:
    """This process's."""
    return Spool(folder)


def convert_block(items: list[Input], job: Job) -> Block:
    """Read, cut, and normalise some files. Bad ones are noted, never raised."""
    layout = load_layout(DATASETS[job.dataset].layout)
    block = Block([item.facts() for item in items])
    for item in items:
        try:
            recording = READERS[job.dataset](item.file.read(), item.file.where)
            sequences = _clips(item, recording, job, block) if item.labels else [recording]
            for sequence in sequences:
                _normalise(sequence, item, job, layout, block)
        except InputError as error:
            block.quarantined.append(error.row())
            block.passing |= isinstance(error, UnreadableError)
        except MemoryError:
            reason = "takes more memory than there is"
            block.quarantined.append(InputError(item.file.where, reason).row())
            block.passing = True
    return block


def _clips(item: Input, recording: SkeletonSequence, job: Job, block: Block) -> list[SkeletonSequence]:
    """A recording's clips by name; what is wrong with others goes into the block."""
    assert item.labels is not None
    labels, problems = pku.read_labels(item.labels.read(), item.labels.where)
    clips = []
    for label in labels:
        try:
            clips.append(cut(recording, label, job.clips, item.labels.where))
        except InputError as error:
            problems.append(error)
    block.quarantined += [error.row() for error in sorted(problems, key=lambda error: error.line or 0)]
    if not (clips or problems):
        block.excluded.append({"name": recording.name, "reason": "no action in its label file"})
    return sorted(clips, key=lambda clip: clip.name)


def _normalise(sequence: SkeletonSequence, item: Input, job: Job, layout: JointLayout, block: Block) -> None:
    """Into the block: the sequence's entry and rows, or why it is left out."""
    known = DATASETS[job.dataset]
    frames = sequence.frames
    reason = known.why_excluded(sequence.name, sequence.label, sequence.columns)
    if reason is None and item.labels and job.clips.long == "exclude" and sequence.frames > LONG:
        reason = f"more than {LONG} frames"
    if reason is None:
        try:
            with np.errstate(all="ignore"):
                sequence = RECIPES[job.recipe].apply(sequence, layout)
        except ValueError as error:  # coordinates so large that a difference of two is infinite
            reason = f"cannot be normalised: {error}"
            block.quarantined.append({"file": item.file.where, "line": None, "reason": reason})
            return
        if not sequence.present.any():
            if item.labels and job.clips.empty == "keep":
                sequence = _absent(sequence, frames)
            else:
                reason = "nobody in any frame"
    if reason is not None:
        block.excluded.append({"name": sequence.name, "reason": reason})
        return
    block.entries.append(
        {
            "name": sequence.name,
            "label": sequence.label,
            "columns": dict(sequence.columns),
            "shape": sequence.joints.shape,
            "crc32": sequence.crc32(),
        }
    )
    block.rows.append(sequence.joints.tobytes() + sequence.present.tobytes())
    if sequence.notes:
        block.notes.append({"name": sequence.name, "notes": list(sequence.notes)})


def _absent(sequence: SkeletonSequence, frames: int) -> SkeletonSequence:
    """One body that is in none of so many frames."""
    joints = np.zeros((frames, 1, *sequence.joints.shape[2:]), np.float32)
    return replace(sequence, joints=joints, present=np.zeros(joints.shape[:2], np.bool_))


def died(item: Input) -> Block:
    """What became of a file that no worker lived through."""
    reason = "every process that worked on it died, crashed, killed or out of memory"
    bad = InputError(item.file.where, reason)
    return Block([item.facts()], quarantined=[bad.row()], passing=True)


def sequence_of(data: bytes, entry: dict[str, Any]) -> SkeletonSequence:
    """From the bytes of its joints and flags."""
    frames, bodies, joints, _ = entry["shape"]
    numbers = frames * bodies * joints * 3
    coordinates: NDArray[np.float32] = np.frombuffer(data, np.float32, numbers).reshape(entry["shape"])
    present = np.frombuffer(data, np.bool_, offset=4 * numbers).reshape(frames, bodies)
    return SkeletonSequence(coordinates, present, entry["name"], entry["label"], entry["columns"])
