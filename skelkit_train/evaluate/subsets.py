"""Parts of the training part: subjects held out for validation, and random shares of the labels.

A subset is written into the run by the names of its samples, so that anyone can train on the same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelkit.errors import InputError, SkelkitError
from skelkit.files import replacing
from skelkit.store.format import UNKNOWN

__all__ = ["LabelSubsets", "hold_out", "stratified"]


def hold_out(
    subject: NDArray[np.int64], train: NDArray[np.int64], count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """The places ``train`` (n,) without those of ``count`` drawn subjects, theirs, and these subjects.

    ``subject`` (N,) is that of each sequence of the store.

    Raises
    ------
    SkelkitError : the training part has no more subjects than that, or samples of subjects that are not known
    """
    known = np.unique(subject[train])
    if UNKNOWN in known:
        raise SkelkitError(
            f"no subjects can be held out: of {(subject[train] == UNKNOWN).sum()} training samples it is not "
            "known (-1) whose they are"
        )
    if count >= len(known):
        raise SkelkitError(
            f"{count} subjects cannot be held out: the training part has {len(known)}, and one must remain"
        )
    held = np.sort(np.random.default_rng([seed, 1]).choice(known, count, replace=False))
    inside = np.isin(subject[train], held)
    return train[~inside], train[inside], held.tolist()


def stratified(
    label: NDArray[np.int64], train: NDArray[np.int64], share: float, subset: int, seed: int
) -> NDArray[np.int64]:
    """Sorted places: ``share`` percent of each class of the places ``train`` (n,), rounded, but at least one.

    ``label`` (N,) is that of each sequence of the store. Subset number ``subset`` is drawn independently of
    the others; with the same seed and number, a larger share has all of a smaller one.
    """
    generator = np.random.default_rng([seed, 2, subset])
    chosen = []
    for value in np.unique(label[train]):
        places = generator.permutation(train[label[train] == value])
        chosen.append(places[: max(1, round(len(places) * share / 100))])
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class LabelSubsets:
    """Subsets of a training part, as they are written into a run."""

    protocol: str
    share: float
    """Percent of the labels."""
    seed: int
    content_hash: str
    """Of the store they were drawn from."""
    subsets: list[list[str]]
    """Names of the samples of each."""

    @classmethod
    def draw(
        cls,
        names: Sequence[str],
        label: NDArray[np.int64],
        train: NDArray[np.int64],
        *,
        share: float,
        count: int,
        seed: int,
        protocol: str,
        content_hash: str,
    ) -> LabelSubsets:
        """``count`` stratified subsets of the places ``train`` (n,) of a store."""
        drawn = [stratified(label, train, share, subset, seed) for subset in range(count)]
        subsets = [[names[place] for place in places] for places in drawn]
        return cls(protocol, share, seed, content_hash, subsets)

    @classmethod
    def read(cls, path: Path) -> LabelSubsets:
        """From a file as `write` makes it.

        Raises
        ------
        InputError : it cannot be read, or is no such file
        """
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
            found._check()
            return found
        except OSError as error:
            raise InputError(str(path), f"cannot be read: {error.strerror}") from None
        except (TypeError, ValueError) as error:
            raise InputError(str(path), f"no file of label subsets: {error}") from None

    def _check(self) -> None:
        """Raises ValueError where it has what no subsets have."""
        share, subsets = self.share, self.subsets
        if type(share) not in (int, float) or not 0 < share <= 100:
            raise ValueError(f"share is {share!r}, expected a percentage above 0")
        if not isinstance(subsets, list) or not subsets:
            raise ValueError("it has no subsets")
        for number, names in enumerate(subsets, 1):
            if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
                raise ValueError(f"subset {number} is no list of names")
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ValueError(f"subset {number} has {twice!r} twice")

    @property
    def digest(self) -> str:
        """SHA-256 of the names."""
        return hashlib.sha256(json.dumps(self.subsets).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """One line a subset. Raises SkelkitError where the disk refuses."""
        with replacing(path, "the label subsets") as temporary:
            temporary.write_text(json.dumps(asdict(self)).replace("], [", "],\n [") + "\n", encoding="utf-8")

    def places(
        self, names: Sequence[str], train: NDArray[np.int64], protocol: str
    ) -> list[NDArray[np.int64]]:
        """Each subset's places in a store with these ``names``, found by name.

        Raises
        ------
        SkelkitError : a name is not in the training part of the ``protocol``, ``train`` (n,)
        """
        known = {names[place]: place for place in train.tolist()}
        unknown = [name for subset in self.subsets for name in subset if name not in known]
        if unknown:
            drawn = f"; the subsets are of {self.protocol}" if self.protocol != protocol else ""
            raise SkelkitError(
                f"label subset: {unknown[0]!r} is not in the training part of {protocol}{drawn}"
            )
        return [np.array(sorted(known[name] for name in subset)) for subset in self.subsets]
