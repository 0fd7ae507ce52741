"""What every importer makes of a file, and the checks that they share."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.datasets import Split
from skelkit.errors import InputError
from skelkit.readers.ntu import parse_name
from skelkit.sequence import SkeletonSequence
from skelkit.store import Store

__all__ = [
    "Imported",
    "Sample",
    "Written",
    "check_label",
    "check_names",
    "is_text",
    "lost",
    "ntu_columns",
    "sequences_of",
    "split_name",
    "to_sequence",
]

Sample = tuple[NDArray[Any], str, int, Mapping[str, int]]
"""Joints (T, M, V, 3) of any float type, name, label, columns."""

MOST_LABEL = 2**31 - 1
_SPLIT_NAMES = {
    "xsub": ("cs", "csub", "xsub"),
    "xview": ("cv", "cview", "xview"),
    "xset": ("cset", "xset", "xsetup"),
}


@dataclass(frozen=True)
class Imported:
    """The content of a file in another program's format."""

    sequences: Iterator[SkeletonSequence]
    """In the order of their names; read as they are taken, which can raise InputError."""
    columns: frozenset[str] = frozenset()
    """That all sequences have."""
    classes: tuple[str, ...] = ()
    protocols: Mapping[str, Split] = field(default_factory=dict)
    recipe: Mapping[str, Any] | None = None
    """That the sequences have been through already, as `Recipe.describe` gives it, where the file says so."""
    notes: list[str] = field(default_factory=list)
    """What was left out or changed, for people; complete once all sequences are taken."""


@dataclass(frozen=True)
class Written:
    """What an exporter wrote."""

    sequences: int
    notes: tuple[str, ...] = ()
    """What the format cannot hold of the store, for people."""


def check_names(file: str, names: Sequence[Any]) -> None:
    """Raise InputError unless they are texts that a store can hold, each once."""
    for name in names:
        if not isinstance(name, str) or not name:
            raise InputError(file, f"found a name that is {_shown(name)}, expected a text")
        if not is_text(name) or any(unicodedata.category(character) == "Cc" for character in name):
            raise InputError(file, f"the name {name!a} has a character that is no text")
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(file, f"the name {name} occurs {count} times, expected once")


def _shown(value: Any) -> str:
    return "empty" if value == "" else f"of type {type(value).__name__}"


def is_text(value: str) -> bool:
    """Whether a store can hold it: UTF-8, and no NUL."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def check_label(file: str, name: str, label: Any) -> int:
    """The label. Raises InputError where it is no class number."""
    if not isinstance(label, int) or isinstance(label, bool):
        raise InputError(file, f"{name}: the label is a {type(label).__name__}, expected a whole number")
    if not -1 <= label <= MOST_LABEL:
        raise InputError(file, f"{name}: the label is out of range, expected 0 or more, or -1 for unknown")
    return label


def ntu_columns(names: Sequence[str]) -> list[dict[str, int]]:
    """Setup, camera, subject and replication of each, where all are names of NTU RGB+D; else nothing."""
    rows = []
    for name in names:
        try:
            canonical, fields = parse_name(name)
        except InputError:
            return [{} for _ in names]
        if canonical != name:
            return [{} for _ in names]
        del fields["action"]
        rows.append(fields)
    return rows


def split_name(text: str) -> str:
    """The protocol that a file's or folder's name speaks of; ``split`` where it speaks of none.

    >>> split_name("NTU60_CS"), split_name("NTU120_CSet"), split_name("mine")
    ('xsub', 'xset', 'split')
    """
    words = set(re.split(r"[^a-z0-9]+", text.lower()))
    found = (name for name, spellings in _SPLIT_NAMES.items() if words.intersection(spellings))
    return next(found, "split")


def to_sequence(file: str, sample: Sample) -> SkeletonSequence | None:
    """The sequence, without bodies at the end that are in no frame; None where nobody is in any frame.

    A body whose coordinates are all zero in a frame is absent there.

    Raises
    ------
    InputError : a coordinate is not a finite float32
    """
    joints, name, label, columns = sample
    with np.errstate(all="ignore"):
        joints = joints.astype(np.float32)
    if not np.isfinite(joints).all():
        raise InputError(file, f"{name}: a coordinate is not a finite float32")
    there = np.flatnonzero(joints.any(axis=(0, 2, 3)))
    if not len(there):
        return None
    joints = np.ascontiguousarray(joints[:, : there[-1] + 1])
    present = np.asarray(joints.any(axis=(2, 3)))
    return SkeletonSequence(joints, present, name, label, dict(columns))


def sequences_of(file: str, samples: Iterable[Sample], notes: list[str]) -> Iterator[SkeletonSequence]:
    """Those with somebody in some frame; the others are counted in ``notes``."""
    nobody = []
    for sample in samples:
        sequence = to_sequence(file, sample)
        if sequence is None:
            nobody.append(sample[1])
        else:
            yield sequence
    if nobody:
        notes.append(
            f"{len(nobody)} left out, nobody in any frame: {nobody[0]}" + ", ..." * (len(nobody) > 1)
        )


def lost(
    store: Store, places: NDArray[np.integer[Any]], *, names: bool = True, bodies: int | None = None
) -> list[str]:
    """What a format without class names and columns does not keep of these sequences, for people.

    ``names`` is whether it keeps those, ``bodies`` how many it keeps of a sequence.
    """
    notes = [] if names else ["the format keeps no names"]
    if store.recipe["name"] != "raw":
        notes.append(f"the format keeps no recipe; the joints have been through {store.recipe['name']}")
    if store.classes:
        notes.append("the format keeps no class names")
    if store.columns and not (names and all(ntu_columns(store.names))):
        notes.append(f"the format keeps no columns: {', '.join(store.columns)}")
    if len(places) < len(store):
        notes.append(f"{len(store) - len(places)} are in neither part")
    crowded = int((store.bodies[places] > bodies).sum()) if bodies else 0
    if crowded:
        notes.append(f"{crowded} with more than {bodies} bodies: the first {bodies} are kept")
    return notes
