"""The npz of CTR-GCN (NTU60_CS.npz, NTU120_CSet.npz, ...) and the many programs that took it over.

    x_train (N, T, M * V * 3) float32, x_test: frames padded with zeros, T = 300, M = 2
    y_train (N, K), y_test: 1 in the column of the class, 0 elsewhere

Format: data/ntu/seq_transformation.py of <https://github.com/Uason-Chen/CTR-GCN>. It keeps neither names nor
lengths: a sequence is taken to end at its last frame that is not all zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from skelkit.datasets import ListedSplit
from skelkit.errors import InputError, SkelkitError
from skelkit.files import replacing
from skelkit.interchange.content import Imported, Sample, Written, lost, sequences_of, split_name
from skelkit.interchange.npy import NpyRows, Zip, reason_of, unreadable, write_member, write_rows
from skelkit.skeleton import JointLayout
from skelkit.store import Store

__all__ = ["read", "write"]

_FRAMES = 300
_BODIES = 2
_MOST_CLASSES = 10_000
_PARTS = ("test", "train")
"""In the order of the names made of them."""


def read(file: Path, layout: JointLayout) -> Imported:
    """The content of such an npz. Names are made up: train-00001, test-00001, ... in the order of the file.

    The protocol is called xsub, xview or xset where the file's name says so (CS, CV, CSet), else ``split``.

    Raises
    ------
    InputError : it cannot be read, or its arrays do not fit together or the layout
    """
    with Zip(file) as archive:
        absent = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in archive.names]
        if absent:
            raise InputError(str(file), f"no array {absent[0]!r}, expected x_train, y_train, x_test, y_test")
        labels = {part: _labels(file, part, archive.read(f"y_{part}")) for part in _PARTS}
    names = {
        part: [f"{part}-{n:0{max(5, len(str(len(values))))}}" for n in range(1, len(values) + 1)]
        for part, values in labels.items()
    }
    split = ListedSplit(frozenset(names["train"]), frozenset(names["test"]), file.name)
    notes = ["names are made up, and a sequence ends at its last frame that is not all zero"]
    samples = (
        sample for part in _PARTS for sample in _samples(file, part, names[part], labels[part], layout)
    )
    return Imported(
        sequences_of(str(file), samples, notes), protocols={split_name(file.stem): split}, notes=notes
    )


def _labels(file: Path, part: str, given: NDArray[Any]) -> list[int]:
    """Of y, one-hot or plain class numbers."""
    if given.ndim == 1 and given.dtype.kind in "iu":
        if (given < 0).any():
            raise InputError(str(file), f"y_{part} has {given.min()}, expected classes from 0")
        if (given > _MOST_CLASSES).any():
            raise InputError(str(file), f"y_{part} has {given.max()}, expected at most {_MOST_CLASSES}")
        return [int(label) for label in given]
    if given.ndim != 2 or given.dtype.kind not in "biuf":
        raise InputError(str(file), f"y_{part} is {given.dtype} {given.shape}, expected (N, classes) one-hot")
    with np.errstate(all="ignore"):
        hot = given > 0
    odd = np.flatnonzero(hot.sum(axis=1) != 1)
    if len(odd):
        raise InputError(
            str(file), f"row {odd[0]} of y_{part} names {hot[odd[0]].sum()} classes, expected one"
        )
    return [int(label) for label in hot.argmax(axis=1)] if hot.size else []


def _samples(
    file: Path, part: str, names: list[str], labels: list[int], layout: JointLayout
) -> Iterator[Sample]:
    where = f"{file}!x_{part}"
    with Zip(file) as archive:
        try:
            stream, size = archive.open(f"x_{part}")
        except unreadable as error:
            raise InputError(where, f"not a readable npz: {reason_of(error)}") from None
        with stream:
            rows = NpyRows(stream, size, where)
            body = layout.size * 3
            if len(rows.shape) != 3 or rows.dtype.kind != "f" or rows.shape[2] % body:
                expected = f"float (N, T, bodies x {body}) for the {layout.size} joints of {layout.name}"
                raise InputError(where, f"is {rows.dtype} {rows.shape}, expected {expected}")
            if rows.shape[0] != len(labels):
                raise InputError(where, f"has {rows.shape[0]} sequences, but y_{part} has {len(labels)}")
            for row, name, label in zip(rows, names, labels, strict=True):
                with np.errstate(all="ignore"):  # not a number, which is told later
                    somebody = np.flatnonzero(row.any(axis=1))
                frames = somebody[-1] + 1 if len(somebody) else 1
                yield row[:frames].reshape(frames, -1, layout.size, 3), name, label, {}


def write(store: Store, out: Path, protocol: str | None) -> Written:
    """The two parts of a protocol, of every sequence the first two bodies.

    Raises
    ------
    SkelkitError : no protocol is named, a sequence has no label, or it cannot be written
    StoreError : no such protocol, a part of it is empty, or the store is damaged
    """
    if protocol is None:
        raise SkelkitError(f"--protocol is needed; {store.path} has {', '.join(store.protocols) or 'none'}")
    parts = {part: store.part(protocol, part == "train") for part in _PARTS}
    chosen = np.concatenate(list(parts.values()))
    classes = max(len(store.classes), int(store.label[chosen].max()) + 1)
    for n in chosen:
        if not 0 <= store.label[n] < min(classes, _MOST_CLASSES):
            found = f"{store.names[n]} has label {store.label[n]}"
            raise SkelkitError(
                f"{store.path}: {found}, and the format needs classes 0 to {_MOST_CLASSES - 1}"
            )
    frames = max(_FRAMES, int(store.frames[chosen].max()))
    with replacing(out, "the npz") as temporary, ZipFile(temporary, "w") as archive:
        for part, places in parts.items():
            shape = (len(places), frames, _BODIES * store.layout.size * 3)
            with archive.open(ZipInfo(f"x_{part}.npy"), "w", force_zip64=True) as stream:
                write_rows(stream, shape, (_padded(store, int(n), frames) for n in places))
            one_hot = np.zeros((len(places), classes), np.float32)
            one_hot[np.arange(len(places)), store.label[places]] = 1
            write_member(archive, f"y_{part}", one_hot)
    return Written(len(chosen), tuple(lost(store, chosen, names=False, bodies=_BODIES)))


def _padded(store: Store, place: int, frames: int) -> NDArray[np.float32]:
    """(frames, M * V * 3)"""
    joints = store.sequence(place).joints[:, :_BODIES]
    padded = np.zeros((frames, _BODIES, *joints.shape[2:]), np.float32)
    padded[: len(joints), : joints.shape[1]] = joints
    return padded.reshape(frames, -1)
