"""The folder of npy files of Skeleton-Contrastive (ISC), and of 2s-AGCN before it.

    train_data_joint.npy (N, 3, 300, V, 2) float32: (N, C, T, V, M), every body played again from its
                         start until the 300 frames are full
    train_num_frame.npy  (N,) int64: frames before that padding
    train_label.pkl      pickle: (names, classes from 0)
    val_...              the same of the test part

Format: data_gen of <https://github.com/fmthoker/skeleton-contrast>, whose names are those of the raw files,
with ``.skeleton``, and whose code stops at a sequence above 300 frames. Of a store of the recipe ``isc`` the
padding is that code's too, but for the second body of two of which one was absent at its start or end.
"""

from __future__ import annotations

import contextlib
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.datasets import ListedSplit
from skelkit.errors import InputError, SkelkitError
from skelkit.files import replacing
from skelkit.interchange.content import (
    Imported,
    Sample,
    Written,
    check_label,
    check_names,
    lost,
    ntu_columns,
    sequences_of,
    split_name,
)
from skelkit.interchange.npy import NpyRows, read_npy, reason_of, unreadable, write_rows
from skelkit.interchange.pickles import load_plain
from skelkit.skeleton import JointLayout
from skelkit.store import Store

__all__ = ["read", "write"]

_FRAMES = 300
_BODIES = 2
_PARTS = {"train": True, "val": False}
_FILES = tuple(
    f"{part}_{name}" for part in _PARTS for name in ("data_joint.npy", "num_frame.npy", "label.pkl")
)


@dataclass(frozen=True)
class _Part:
    """One part of the folder, all but its joints."""

    data: Path
    names: list[str]
    labels: list[int]
    frames: list[int]


def read(folder: Path, layout: JointLayout) -> Imported:
    """The content of such a folder, without the padding. Names of NTU RGB+D give columns.

    The protocol is called xsub, xview or xset where the folder is called so, else ``split``.

    Raises
    ------
    InputError : a file is missing or cannot be read, or they do not fit together or the layout
    """
    absent = [name for name in _FILES if not (folder / name).is_file()]
    if absent:
        raise InputError(str(folder), f"no file {absent[0]!r} in it, expected {', '.join(_FILES)}")
    parts = {name: _part(folder, name) for name in _PARTS}
    names = [name for part in parts.values() for name in part.names]
    check_names(str(folder), names)
    columns = dict(zip(names, ntu_columns(names), strict=True))
    split = ListedSplit(frozenset(parts["train"].names), frozenset(parts["val"].names), folder.resolve().name)
    protocols = {split_name(folder.resolve().name): split}
    notes: list[str] = []
    samples = _samples(list(parts.values()), columns, layout)
    known = frozenset(columns[names[0]]) if names else frozenset()
    return Imported(sequences_of(str(folder), samples, notes), known, protocols=protocols, notes=notes)


def _part(folder: Path, name: str) -> _Part:
    where = folder / f"{name}_label.pkl"
    content = load_plain(where)
    if not isinstance(content, (tuple, list)) or len(content) != 2:
        raise InputError(str(where), "not a pair of names and labels")
    names, labels = (
        list(values) if isinstance(values, (list, tuple)) else _flat(values) for values in content
    )
    check_names(str(where), names)
    if len(labels) != len(names):
        raise InputError(str(where), f"has {len(names)} names, but {len(labels)} labels")
    checked = [check_label(str(where), *pair) for pair in zip(names, labels, strict=True)]
    frames = _frames(folder / f"{name}_num_frame.npy", len(names))
    names = [text.removesuffix(".skeleton") for text in names]
    return _Part(folder / f"{name}_data_joint.npy", names, checked, frames)


def _flat(values: Any) -> list[Any]:
    return list(values.tolist()) if isinstance(values, np.ndarray) and values.ndim == 1 else []


def _frames(file: Path, count: int) -> list[int]:
    try:
        with file.open("rb") as stream:
            frames = read_npy(stream)
    except unreadable as error:
        raise InputError(str(file), f"not a readable array: {reason_of(error)}") from None
    if frames.shape != (count,) or frames.dtype.kind not in "iu":
        raise InputError(str(file), f"is {frames.dtype} {frames.shape}, expected {(count,)} whole numbers")
    return [int(number) for number in frames]


def _samples(parts: list[_Part], columns: dict[str, dict[str, int]], layout: JointLayout) -> Iterator[Sample]:
    """By name, from whichever file has it."""
    places = {name: (part, n) for part in parts for n, name in enumerate(part.names)}
    with contextlib.ExitStack() as stack:
        rows = {part.data: _rows(stack, part, layout) for part in parts}
        for name in sorted(places):
            part, n = places[name]
            frames, most = part.frames[n], rows[part.data].shape[2]
            if not 1 <= frames <= most:
                raise InputError(str(part.data), f"{name}: num_frame is {frames}, expected 1 to {most}")
            joints = rows[part.data].row(n)[:, :frames].transpose(1, 3, 2, 0)
            yield joints, name, part.labels[n], columns[name]


def _rows(stack: contextlib.ExitStack, part: _Part, layout: JointLayout) -> NpyRows:
    try:
        stream = stack.enter_context(part.data.open("rb"))
    except OSError as error:
        raise InputError(str(part.data), f"not readable: {reason_of(error)}") from None
    rows = NpyRows(stream, part.data.stat().st_size, str(part.data))
    shape = rows.shape
    if len(shape) != 5 or rows.dtype.kind != "f" or shape[1] != 3 or shape[3] != layout.size:
        expected = f"float (N, 3, frames, {layout.size}, bodies) as in {layout.name}"
        raise InputError(str(part.data), f"is {rows.dtype} {shape}, expected {expected}")
    if shape[0] != len(part.names):
        raise InputError(str(part.data), f"has {shape[0]} sequences, but there are {len(part.names)} names")
    return rows


def write(store: Store, out: Path, protocol: str | None) -> Written:
    """The two parts of a protocol as a folder: of every sequence the first 300 frames and two bodies.

    Raises
    ------
    SkelkitError : no protocol is named, there are other files in the folder, or it cannot be written
    StoreError : no such protocol, a part of it is empty, or the store is damaged
    """
    if protocol is None:
        raise SkelkitError(f"--protocol is needed; {store.path} has {', '.join(store.protocols) or 'none'}")
    parts = {part: store.part(protocol, train) for part, train in _PARTS.items()}
    chosen = np.concatenate(list(parts.values()))
    notes = lost(store, chosen, bodies=_BODIES)
    long = int((store.frames[chosen] > _FRAMES).sum())
    if long:
        notes.append(f"{long} with more than {_FRAMES} frames: the first {_FRAMES} are kept")
    with _replacing_folder(out) as folder:
        for part, places in parts.items():
            _write_part(store, folder, part, places)
    return Written(len(chosen), tuple(notes))


def _write_part(store: Store, folder: Path, part: str, places: NDArray[np.int64]) -> None:
    shape = (len(places), 3, _FRAMES, store.layout.size, _BODIES)
    with replacing(folder / f"{part}_data_joint.npy", "the joints") as path, path.open("wb") as stream:
        write_rows(stream, shape, (_padded(store.sequence(int(n)).joints) for n in places))
    frames = np.minimum(store.frames[places], _FRAMES).astype(np.int64)
    with replacing(folder / f"{part}_num_frame.npy", "the lengths") as path, path.open("wb") as stream:
        np.lib.format.write_array(stream, frames, allow_pickle=False)
    content = ([store.names[n] for n in places], store.label[places].tolist())
    with replacing(folder / f"{part}_label.pkl", "the labels") as path:
        path.write_bytes(pickle.dumps(content, protocol=4))


def _padded(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, 300, V, 2) of (T, M, V, 3)"""
    joints = joints[:_FRAMES, :_BODIES]
    padded = np.zeros((_FRAMES, _BODIES, *joints.shape[2:]), np.float32)
    for m in range(joints.shape[1]):
        padded[:, m] = joints[np.arange(_FRAMES) % _period(joints[:, m]), m]
    return padded.transpose(3, 0, 2, 1)


def _period(body: NDArray[np.float32]) -> int:
    """After how many frames the body (T, V, 3) is played again: T, or less where the recipe ``isc`` has
    filled frames at its end so already, which the paper's code does in one go with the padding.
    """
    if body[0].any():
        for frames in np.flatnonzero((body == body[0]).all(axis=(1, 2)))[1:]:
            if np.array_equal(body[frames:], body[:-frames]):
                return int(frames)
    return len(body)


@contextlib.contextmanager
def _replacing_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place when the block ends well."""
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise SkelkitError(f"{out}: is a file, expected a folder")
    strangers = sorted({path.name for path in out.iterdir()} - set(_FILES)) if out.exists() else []
    if strangers:
        raise SkelkitError(f"{out}: has {strangers[0]!r} in it, which is none of the files to replace")
    temporary, old = (out.with_name(f".{out.name}.{what}") for what in ("tmp", "old"))
    for left in (temporary, old):  # by an export that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        if out.exists():
            out.replace(old)
        temporary.replace(out)
    except OSError as error:
        if old.exists() and not out.exists():
            old.replace(out)
        raise SkelkitError(f"{out}: cannot write the folder: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
