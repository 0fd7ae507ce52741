"""What is known of each dataset: its classes, its protocols, and the samples to leave out.

Sources: NTU RGB+D, Shahroudy et al. 2016 (arXiv 1604.02808), section 4.1; NTU RGB+D 120, Liu et al. 2019
(arXiv 1905.04757), section 3.3; PKU-MMD, Liu et al. 2017 (arXiv 1703.07475), and the split files that come
with it. The samples with missing or incomplete skeletons are those that the dataset's authors list: 535 in
NTU RGB+D 120, the 302 of them with setups up to 17 in NTU RGB+D 60.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from typing import Protocol as Interface

from skelkit.errors import SkelkitError

__all__ = ["DATASETS", "Dataset", "KeptSplit", "ListedSplit", "Protocol", "Split", "parse_protocol"]


class Split(Interface):
    """What decides who trains and who tests; its ``str`` is kept in the store."""

    def part(self, name: str, columns: Mapping[str, int]) -> int:
        """1 train, 0 test, -1 neither."""


@dataclass(frozen=True)
class Protocol:
    """A train/test split: a sample trains where the value of its column is among ``train``."""

    column: str
    train: frozenset[int]

    def __str__(self) -> str:
        """As `parse_protocol` reads it, after the name: ``subject:1-3,7``."""
        values = sorted(self.train)
        starts = [v for v in values if v - 1 not in self.train]
        ends = [v for v in values if v + 1 not in self.train]
        runs = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
        return f"{self.column}:{','.join(runs)}"

    @classmethod
    def parse(cls, text: str) -> Protocol:
        """``COLUMN:VALUES``: numbers and ranges, with commas.

        Raises
        ------
        SkelkitError : it is not of that form
        """
        column, _, values = text.rpartition(":")
        try:
            if not column or "/" in column:
                raise ValueError
            return cls(column, frozenset(_numbers(values.split(","))))
        except ValueError:
            raise SkelkitError(f"{text!r}, expected COLUMN:VALUES as in camera:1,2 or subject:1-16") from None

    def part(self, _name: str, columns: Mapping[str, int]) -> int:
        """1 train, 0 test, -1 where the sample lacks the column, or its value is -1, not known."""
        value = columns.get(self.column, -1)
        return int(value in self.train) if value != -1 else -1


@dataclass(frozen=True)
class ListedSplit:
    """A train/test split by two lists of names: of samples, or of the recordings that clips are cut from."""

    train: frozenset[str]
    test: frozenset[str]
    source: str
    """The file they stand in."""

    def __str__(self) -> str:
        lists = "\n".join(["train", *sorted(self.train), "test", *sorted(self.test)])
        digest = hashlib.sha256(lists.encode()).hexdigest()[:16]
        return f"{len(self.train)} train and {len(self.test)} test names listed in {self.source} ({digest})"

    def part(self, name: str, _columns: Mapping[str, int]) -> int:
        """1 train, 0 test, -1 where the sample is in neither list."""
        for known in (name, name.partition("#")[0]):
            if known in self.train or known in self.test:
                return int(known in self.train)
        return -1


@dataclass(frozen=True)
class KeptSplit:
    """A train/test split as a store has it: the rule's text, and the side of every sample."""

    rule: str
    parts: Mapping[str, int]

    def __str__(self) -> str:
        return self.rule

    def part(self, name: str, _columns: Mapping[str, int]) -> int:
        """1 train, 0 test, -1 neither."""
        return self.parts[name]


@dataclass(frozen=True)
class Dataset:
    title: str
    layout: str
    suffixes: tuple[str, ...]
    """Of the raw files."""
    classes: tuple[str, ...]
    protocols: Mapping[str, Split]
    names: str = ""
    """A regular expression that the samples' names match from the start."""
    labelled_apart: bool = False
    """Whether label files say where in a recording the actions are."""
    most: Mapping[str, int] = field(default_factory=dict)
    """The highest number of a column."""
    missing: frozenset[str] = frozenset()
    """Names of samples with missing or incomplete skeletons."""

    def why_excluded(self, name: str, label: int, columns: Mapping[str, int]) -> str | None:
        """Why a sample does not belong into the store, or None."""
        if not re.match(self.names, name):
            return f"not a name of {self.title}"
        if name in self.missing:
            return f"on the list of samples with missing skeletons of {self.title}"
        if label >= len(self.classes):
            others = (
                o.title for o in DATASETS.values() if re.match(o.names, name) and label < len(o.classes)
            )
            elsewhere = "".join(f"; {title} has it" for title in others)
            return f"action {label + 1} is not in {self.title}, which has 1 to {len(self.classes)}{elsewhere}"
        for column, most in self.most.items():
            if columns.get(column, 0) > most:
                return f"{column} {columns[column]} is not in {self.title}, which has 1 to {most}"
        return None


def _lines(file: str) -> list[str]:
    return resources.files("skelkit").joinpath("lists", file).read_text(encoding="utf-8").splitlines()


_XSUB_60 = frozenset([1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38])
_XSUB_120 = _XSUB_60.union(
    (45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89),
    (91, 92, 93, 94, 95, 97, 98, 100, 103),
)


def _ntu(title: str, actions: int, setups: int, xsub: frozenset[int]) -> Dataset:
    return Dataset(
        title=title,
        layout="ntu25",
        suffixes=(".skeleton",),
        classes=tuple(_lines("ntu_classes.txt")[:actions]),
        protocols={
            "xsub": Protocol("subject", xsub),
            "xview": Protocol("camera", frozenset([2, 3])),
            "xset": Protocol("setup", frozenset(range(2, 33, 2))),
        },
        most={"setup": setups},
        missing=frozenset(name for name in _lines("ntu_missing.txt") if int(name[1:4]) <= setups),
    )


def _pku(title: str, names: str, xsub: Protocol) -> Dataset:
    return Dataset(
        title=title,
        layout="ntu25",
        suffixes=(".txt", ".skeleton"),
        classes=tuple(_lines("pku_classes.txt")),
        protocols={"xsub": xsub, "xview": Protocol("camera", frozenset([2, 3]))},
        names=names,
        labelled_apart=True,
    )


# The validation lists of PKU-MMD's cross-subject split files: recordings 0291 to 0334 in phase I; subjects
# N02, N03 and N07 in phase II. Their cross-view ones: camera L.
_XSUB_PKU1 = frozenset(range(1, 365)) - frozenset(range(291, 335))
_XSUB_PKU2 = frozenset(range(1, 14)) - {2, 3, 7}

DATASETS: Mapping[str, Dataset] = {
    "ntu60": _ntu("NTU RGB+D 60", 60, 17, _XSUB_60),
    "ntu120": _ntu("NTU RGB+D 120", 120, 32, _XSUB_120),
    "pku1": _pku("PKU-MMD I", r"\d{4}-", Protocol("recording", _XSUB_PKU1)),
    "pku2": _pku("PKU-MMD II", r"A\d\dN\d\d-", Protocol("subject", _XSUB_PKU2)),
}


_MOST_VALUES = 100_000
"""In one range of a protocol."""


def parse_protocol(text: str) -> tuple[str, Protocol]:
    """``NAME=COLUMN:VALUES``, the values that train: numbers and ranges, with commas.

    >>> parse_protocol("xsub=subject:1-3,7")[1].train == {1, 2, 3, 7}
    True

    Raises
    ------
    SkelkitError : it is not of that form
    """
    name, equals, rule = text.partition("=")
    if name.isidentifier() and equals:
        with suppress(SkelkitError):
            return name, Protocol.parse(rule)
    raise SkelkitError(f"{text!r}, expected NAME=COLUMN:VALUES as in xview=camera:1,2 or xsub=subject:1-16")


def _numbers(parts: Iterable[str]) -> Iterable[int]:
    for part in parts:
        first, dash, last = part.partition("-")
        begin, end = int(first), int(last if dash else first)
        if not begin <= end < begin + _MOST_VALUES:
            raise ValueError
        yield from range(begin, end + 1)
