"""What a conversion works on: raw files, and for PKU-MMD the label and split files that belong to them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skelkit.datasets import DATASETS, Dataset, ListedSplit, Split
from skelkit.errors import InputError, SkelkitError
from skelkit.readers import pku
from skelkit.sources import Listing, RawFile, list_files

__all__ = ["Input", "Inputs", "gather"]

_HEAD = 512
"""Bytes that tell skeleton, label and split files apart: they bear the same names."""


@dataclass(frozen=True)
class Input:
    """A raw file, and the file with its labels where they stand apart."""

    file: RawFile
    labels: RawFile | None = None

    def facts(self, *, stamps: bool = True) -> list[list[str | int]]:
        """Name, size and stamp of each of its files: what tells it from a changed one; without ``stamps`` the
        same for a copy elsewhere."""
        files = [file for file in (self.file, self.labels) if file is not None]
        return [[file.name, file.size, file.stamp if stamps else 0] for file in files]


@dataclass(frozen=True)
class Inputs:
    """All that was found in the sources."""

    files: list[Input]
    """By name, each name once."""
    splits: Mapping[str, Split]
    """The dataset's protocols; those with a split file by its lists."""
    quarantined: list[dict[str, Any]]
    """file, line and reason: archives that cannot be opened, names that occur twice."""
    excluded: list[dict[str, str]]
    """name and reason: recordings without a label file."""
    ignored: list[str]
    """Other files in the sources."""
    found: int
    """Raw files, those left out included, and sources of which none could be had."""

    def shard(self, index: int, of: int) -> Inputs:
        """Part ``index``, from 1; what concerns no single raw file goes with the first."""
        files = self.files[index - 1 :: of]
        others = len(self.files) - len(files)
        if index == 1:
            return replace(self, files=files, found=self.found - others)
        return Inputs(files, self.splits, [], [], [], len(files))

    def listed(self) -> Inputs:
        """Without the recordings that are in neither list of any split file."""
        lists = [split for split in self.splits.values() if isinstance(split, ListedSplit)]
        if not lists:
            return self
        found: dict[bool, list[Input]] = {True: [], False: []}
        for item in self.files:
            found[any(split.part(item.file.stem, {}) != -1 for split in lists)].append(item)
        sources = " and ".join(split.source for split in lists)
        left_out = [{"name": i.file.stem, "reason": f"in neither list of {sources}"} for i in found[False]]
        return replace(self, files=found[True], excluded=self.excluded + left_out)

    def digest(self, *, stamps: bool) -> str:
        """SHA-256 telling these inputs from all others; without ``stamps`` the same for copies elsewhere."""
        facts = [fact for item in self.files for fact in item.facts(stamps=stamps)]
        rules = {name: str(split) for name, split in self.splits.items()}
        return hashlib.sha256(json.dumps([facts, rules, self.excluded]).encode()).hexdigest()


def gather(
    sources: Iterable[Path], dataset: Dataset, labels: Iterable[Path] = (), splits: Iterable[Path] = ()
) -> Inputs:
    """Look into all sources.

    For PKU-MMD each source may hold skeleton, label and split files alike. Where ``labels`` or ``splits`` are
    given, label or split files are taken from these alone.

    Raises
    ------
    SkelkitError : a source does not exist, or holds nothing of use
    InputError : no source can be opened, or a split file is not one
    """
    listing = list_files(sources, *dataset.suffixes)
    problems = [error.row() for error in listing.unreadable]
    if not dataset.labelled_apart:
        if labels or splits:
            raise SkelkitError(f"{dataset.title} has no label or split files: the names say it all")
        files = _each_name_once(listing.files, problems)
        found = len(listing.files) + len(listing.unreadable)
        return Inputs(list(map(Input, files)), dataset.protocols, problems, [], listing.others, found)
    kinds = _by_kind(listing, problems)
    recordings = {file.stem for file in kinds["skeleton"]}
    listed, others = list(listing.files), list(listing.others)
    for kind, more in (("labels", labels), ("split", splits)):
        if more:
            extra = list_files(more, ".txt")
            problems += [error.row() for error in extra.unreadable]
            listed, others = listed + extra.files, others + extra.others
            kinds[kind] = _by_kind(extra, problems, recordings, splits=kind == "split")[kind]
            if not kinds[kind]:
                raise SkelkitError(f"{', '.join(map(str, more))}: no {kind.removesuffix('s')} file in it")
    if not kinds["skeleton"]:
        raise SkelkitError(
            f"{', '.join(map(str, sources))}: no skeleton file in it, only label or split files"
        )
    if not any(re.match(dataset.names, file.stem) for file in kinds["skeleton"]):
        first = kinds["skeleton"][0]
        fit = [
            other.title for other in DATASETS.values() if other.names and re.match(other.names, first.stem)
        ]
        raise SkelkitError(
            f"no file is named as those of {dataset.title}; the first is {first.where}"
            + (f", as those of {fit[0]} are" if fit else "")
        )
    label_files = {file.stem: file for file in _each_name_once(kinds["labels"], problems)}
    if not label_files:
        raise SkelkitError(
            f"{dataset.title} needs its label files: give the sources that hold them as --labels"
        )
    files = _each_name_once(kinds["skeleton"], problems)
    lists: dict[str, ListedSplit] = {}
    for file in kinds["split"]:
        name, split = _read_split(file)
        if name in lists:
            raise SkelkitError(
                f"{file.where}: another split file of {name}, beside {lists[name].source}; give one"
            )
        lists[name] = split
    labelled = [Input(file, label_files[file.stem]) for file in files if file.stem in label_files]
    told = {row["file"] for row in problems}
    used = {item.labels.where for item in labelled if item.labels}
    used.update(file.where for kind in ("skeleton", "split") for file in kinds[kind])
    return Inputs(
        labelled,
        {**dataset.protocols, **lists},
        problems,
        [{"name": file.stem, "reason": "no label file"} for file in files if file.stem not in label_files],
        sorted({*others, *(file.where for file in listed)} - used - told),
        len(kinds["skeleton"]) + len(listing.unreadable),
    )


def _each_name_once(files: list[RawFile], problems: list[dict[str, Any]]) -> list[RawFile]:
    """The first file of each name; the others join the problems."""
    first: dict[str, RawFile] = {}
    for file in files:
        taken = first.setdefault(file.stem, file)
        if taken is not file:
            problems.append(InputError(file.where, f"the name occurs twice; {taken.where} is taken").row())
    return list(first.values())


def _by_kind(
    listing: Listing,
    problems: list[dict[str, Any]],
    recordings: Iterable[str] = (),
    splits: bool = False,
) -> dict[str, list[RawFile]]:
    """The files as what their first bytes say. Empty and damaged ones are labels beside a skeleton file of
    the same name, here or among ``recordings``; where ``splits`` are given, splits by their names."""
    kinds: dict[str, list[RawFile]] = {"skeleton": [], "labels": [], "split": []}
    unclear: list[RawFile] = []
    for file in listing.files:
        try:
            kind = pku.kind(file.read(_HEAD))
        except InputError as error:
            problems.append(error.row())
            continue
        (kinds[kind] if kind else unclear).append(file)
    recorded = {*recordings, *(file.stem for file in kinds["skeleton"])}
    for file in unclear:
        meant = "labels" if file.stem in recorded else "skeleton"
        kinds["split" if splits and _split_kind(file) else meant].append(file)
    return kinds


def _split_kind(file: RawFile) -> str | None:
    """The protocol that a split file's name tells."""
    match = re.search(r"subject|view", file.name.lower())
    return match and {"subject": "xsub", "view": "xview"}[match.group()]


def _read_split(file: RawFile) -> tuple[str, ListedSplit]:
    """The protocol that a split file's name tells, and its lists."""
    name = _split_kind(file)
    if name is None:
        raise InputError(
            file.where, "the name of a split file must say subject or view, as cross-subject.txt"
        )
    train, test = pku.read_split(file.read(), file.where)
    return name, ListedSplit(train, test, file.name)
