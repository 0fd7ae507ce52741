"""Skeletons from and to the formats that other programs use.

Plain npz: ``joints`` (sum of lengths, [M,] V, 3) float32; ``length`` (N,); ``name`` (N,); ``label`` (N,); any
further (N,) array of whole numbers (``subject``, ``camera``, ...) becomes a column of the store. A body whose
coordinates are all zero in a frame is absent there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile
from zlib import error as zlib_error

import numpy as np
from numpy.typing import NDArray

from skelkit.datasets import Protocol
from skelkit.errors import InputError, SkelkitError
from skelkit.normalise import RECIPES, Recipe
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store import Header, check_store_path, write_store

__all__ = ["import_npz", "read_npz"]

_REQUIRED = ("joints", "length", "name", "label")


def import_npz(
    file: Path,
    out: Path,
    layout: JointLayout,
    *,
    protocols: Mapping[str, Protocol],
    recipe: str = "raw",
    overwrite: bool = False,
) -> tuple[int, str]:
    """Make a store of a plain npz; how many sequences, and its content hash.

    Raises
    ------
    InputError : the file is not as described above
    SkelkitError : ``out`` exists or cannot be written, or a protocol's column is not in the file
    """
    check_store_path(out)
    if out.exists() and not overwrite:
        raise SkelkitError(f"{out}: exists already; --overwrite replaces it")
    sequences = read_npz(file, layout)
    columns = set(sequences[0].columns)
    for name, protocol in protocols.items():
        if protocol.column not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise SkelkitError(f"protocol {name}: {file} has no column {protocol.column!r}; it has {known}")
    normalised = (_normalise(file, RECIPES[recipe], sequence, layout) for sequence in sequences)
    header = Header(file.stem, layout, RECIPES[recipe].describe(), (), protocols)
    return len(sequences), write_store(out, normalised, header)


def _normalise(
    file: Path, recipe: Recipe, sequence: SkeletonSequence, layout: JointLayout
) -> SkeletonSequence:
    try:
        with np.errstate(all="ignore"):
            return recipe.apply(sequence, layout)
    except ValueError as error:  # coordinates so large that a difference of two is infinite
        raise InputError(str(file), f"cannot be normalised: {error}") from None


def read_npz(file: Path, layout: JointLayout) -> list[SkeletonSequence]:
    """All sequences of a plain npz, by name.

    Raises
    ------
    InputError : it cannot be read, or its arrays do not fit together or the layout
    """
    arrays = _load(file)
    joints, length = arrays.pop("joints"), arrays.pop("length")
    names, labels = arrays.pop("name"), arrays.pop("label")
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8", "replace")
    if joints.ndim == 3:
        joints = joints[:, None]
    _check(file, joints, length, names, labels, layout)
    columns = {
        name: values
        for name, values in arrays.items()
        if values.shape == names.shape and np.issubdtype(values.dtype, np.integer)
    }
    _check_columns(file, {**columns, "label": labels, "length": length})
    offset = np.concatenate([[0], np.cumsum(length)])
    sequences = [
        _sequence(
            file,
            joints[offset[n] : offset[n + 1]],
            str(names[n]),
            int(labels[n]),
            {name: int(values[n]) for name, values in columns.items()},
        )
        for n in range(len(names))
    ]
    return sorted(sequences, key=lambda sequence: sequence.name)


def _load(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with file.open("rb") as stream:
            if not is_zipfile(stream):
                raise InputError(str(file), "not an .npz, which is a zip archive of arrays")
            stream.seek(0)
            arrays: dict[str, NDArray[Any]] = dict(np.load(stream, allow_pickle=False))
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, BadZipFile, zlib_error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(str(file), f"not a readable npz: {reason}") from None
    absent = [name for name in _REQUIRED if name not in arrays]
    if absent:
        raise InputError(str(file), f"no array {absent[0]!r}, expected {', '.join(_REQUIRED)}")
    return arrays


def _check(
    file: Path,
    joints: NDArray[Any],
    length: NDArray[Any],
    names: NDArray[Any],
    labels: NDArray[Any],
    layout: JointLayout,
) -> None:
    def fail(reason: str) -> None:
        raise InputError(str(file), reason)

    if joints.ndim != 4 or joints.shape[2:] != (layout.size, 3):
        fail(f"joints are {joints.shape}, expected (frames, [bodies,] {layout.size}, 3) as in {layout.name}")
    if not np.issubdtype(joints.dtype, np.floating):
        fail(f"joints are {joints.dtype}, expected float32")
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        fail(f"name is {names.dtype} {names.shape}, expected (N,) texts")
    for name, values in (("length", length), ("label", labels)):
        if values.shape != names.shape or not np.issubdtype(values.dtype, np.integer):
            fail(f"{name} is {values.dtype} {values.shape}, expected {names.shape} whole numbers")
    if (labels < -1).any():
        fail(f"label of {names[np.argmin(labels)]} is {labels.min()}, expected 0 or more, or -1 for unknown")
    if (length < 1).any():
        worst = int(np.argmin(length))
        fail(f"length of {names[worst]} is {length[worst]}, expected 1 or more")
    if int(length.sum(dtype=np.int64)) != len(joints):
        fail(f"lengths sum to {length.sum(dtype=np.int64)}, but joints have {len(joints)} frames")
    values, counts = np.unique(names, return_counts=True)
    if (counts > 1).any():
        fail(f"the name {values[np.argmax(counts)]} occurs {counts.max()} times, expected once")


def _check_columns(file: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    most = np.iinfo(np.int64).max
    for name, values in columns.items():
        if "/" in name or name == ".":
            raise InputError(str(file), f"the array {name!r} cannot name a column of the store")
        if int(values.max()) > most:
            raise InputError(str(file), f"{name} has {values.max()}, expected at most {most}")


def _sequence(
    file: Path, joints: NDArray[Any], name: str, label: int, columns: Mapping[str, int]
) -> SkeletonSequence:
    with np.errstate(over="ignore"):
        joints = joints.astype(np.float32)
    if not np.isfinite(joints).all():
        raise InputError(str(file), f"{name}: a coordinate is not a finite float32")
    there = np.flatnonzero(joints.any(axis=(0, 2, 3)))
    if not len(there):
        raise InputError(str(file), f"{name}: all coordinates are zero, expected somebody in some frame")
    joints = np.ascontiguousarray(joints[:, : there[-1] + 1])
    present = np.asarray(joints.any(axis=(2, 3)))
    return SkeletonSequence(joints, present, name, label, dict(columns))
