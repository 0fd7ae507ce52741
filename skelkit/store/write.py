"""Writing a store."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skelkit import __version__
from skelkit.datasets import Split
from skelkit.errors import SkelkitError
from skelkit.files import HeldInterrupts, RememberingFile, replacing
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store.format import FORMAT, UNKNOWN, VERSION, Header
from skelkit.store.seal import USER_BLOCK, write_seal

__all__ = ["check_store_path", "write_store"]

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_CHUNK_ROWS = 128
_BLOCK_ROWS = 64 * _CHUNK_ROWS


def check_store_path(path: Path) -> None:
    """Refuse a path that no store can be written to, before any work is done.

    Raises
    ------
    SkelkitError : it does not end in .h5, its folder does not exist, or it is a folder
    """
    if path.suffix != ".h5":
        raise SkelkitError(f"{path}: the store's name must end in .h5")
    if not path.parent.is_dir():
        raise SkelkitError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise SkelkitError(f"{path}: is a folder, expected the file to write")


def write_store(path: Path, sequences: Iterable[SkeletonSequence], header: Header) -> str:
    """Write a store: under a temporary name, synchronised to disk, then renamed over ``path``.

    Parameters
    ----------
    path : the store, replaced if it exists
    sequences : in the order of their names, which are unique; they can be a generator
    header : layout, recipe, ... of all of them

    Returns
    -------
    The content hash: the same for the same sequences, header and protocols, in whatever way they came.

    Raises
    ------
    SkelkitError : nothing to write, names out of order, or the disk refuses
    """
    with replacing(path, "the store") as temporary, HeldInterrupts() as interrupts:
        with RememberingFile(temporary, "w+") as disk:
            with h5py.File(disk, "w", userblock_size=USER_BLOCK) as file:
                content_hash = _write(file, _while_good(sequences, disk, interrupts), header)
                runs = _write_runs(file, disk)
            disk.check()
        write_seal(temporary, *runs)
    return content_hash


def _while_good(
    sequences: Iterable[SkeletonSequence], disk: RememberingFile, interrupts: HeldInterrupts
) -> Iterator[SkeletonSequence]:
    waiting = iter(sequences)
    while True:
        disk.check()
        with interrupts.let_through():
            sequence = next(waiting, None)
        if sequence is None:
            return
        yield sequence


class _Rows:
    """Appends to a dataset in blocks, so that chunks are written whole."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.pending: list[NDArray[Any]] = []
        self.count = self.written = 0

    def append(self, rows: NDArray[Any]) -> None:
        self.pending.append(rows)
        self.count += len(rows)
        if self.count - self.written >= _BLOCK_ROWS:
            self.flush()

    def flush(self) -> None:
        if self.pending:
            self.dataset.resize(self.count, axis=0)
            self.dataset[self.written :] = np.concatenate(self.pending)
            self.written = self.count
            self.pending.clear()


def _create(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any, chunk: int) -> h5py.Dataset:
    return group.create_dataset(
        name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(chunk, *shape), fletcher32=True
    )


def _write(file: h5py.File, sequences: Iterable[SkeletonSequence], header: Header) -> str:
    joints = _Rows(_create(file, "joints", (header.layout.size, 3), np.float32, _CHUNK_ROWS))
    present = _Rows(_create(file, "present", (), np.uint8, _BLOCK_ROWS))
    index: dict[str, list[Any]] = {
        name: [] for name in ("name", "offset", "frames", "bodies", "label", "crc32")
    }
    columns: list[Mapping[str, int]] = []
    hasher = hashlib.sha256(_canonical(header.content_fields()))
    for sequence in sequences:
        _check(sequence, index["name"], header.layout)
        crc = sequence.crc32()
        entry = (sequence.name, joints.count, sequence.frames, sequence.bodies, sequence.label, crc)
        for values, value in zip(index.values(), entry, strict=True):
            values.append(value)
        columns.append(sequence.columns)
        joints.append(sequence.joints.reshape(-1, header.layout.size, 3))
        present.append(sequence.present.reshape(-1).astype(np.uint8))
        hasher.update(
            _canonical([sequence.name, sequence.label, dict(sequence.columns), sequence.joints.shape])
        )
        hasher.update(np.ascontiguousarray(sequence.joints).data)
        hasher.update(np.ascontiguousarray(sequence.present).data)
    if not columns:
        raise SkelkitError("no sequence is left to store")
    joints.flush()
    present.flush()
    _write_tables(file, index, columns, header.protocols)
    versions = {"skelkit": __version__, "h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version}
    texts = {
        "format": FORMAT,
        "dataset": header.dataset,
        **header.content_fields(),
        "writer": {**versions, "python": platform.python_version()},
        "content_hash": hasher.hexdigest(),
        **({"shard": asdict(header.shard)} if header.shard else {}),
    }
    for name, value in texts.items():
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        # Of fixed length: HDF5 can crash on a damaged text of variable length.
        file.attrs[name] = np.bytes_(text.encode())
    file.attrs["version"] = VERSION
    return hasher.hexdigest()


def _check(sequence: SkeletonSequence, names: list[str], layout: JointLayout) -> None:
    if names and sequence.name <= names[-1]:
        raise SkelkitError(f"{sequence.name} comes after {names[-1]}: names must be unique and in order")
    if sequence.joints.shape[2] != layout.size:
        raise SkelkitError(
            f"{sequence.name}: {sequence.joints.shape[2]} joints, expected {layout.size} as in {layout.name}"
        )
    if not (sequence.frames and sequence.bodies):
        raise SkelkitError(f"{sequence.name}: no frame or no body to store")


def _canonical(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


def _write_tables(
    file: h5py.File,
    index: dict[str, list[Any]],
    columns: list[Mapping[str, int]],
    protocols: Mapping[str, Split],
) -> None:
    types = {"name": np.bytes_, "offset": np.int64, "frames": np.int32, "bodies": np.int32}
    for name, values in index.items():
        if name == "name":
            values = [value.encode() for value in values]
        _write_column(file, f"index/{name}", np.array(values, types.get(name, np.int64)))
    for column in sorted({name for row in columns for name in row}):
        values = [row.get(column, UNKNOWN) for row in columns]
        _write_column(file, f"columns/{column}", np.array(values, np.int64))
    for name, protocol in sorted(protocols.items()):
        parts = [protocol.part(*sample) for sample in zip(index["name"], columns, strict=True)]
        _write_column(file, f"protocols/{name}", np.array(parts, np.int8))


def _write_column(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    file.create_dataset(name, data=values, chunks=(min(len(values), _BLOCK_ROWS),), fletcher32=True)


def _write_runs(file: h5py.File, disk: RememberingFile) -> tuple[int, int]:
    """Write /rows; the byte where it begins, and its length."""
    file.flush()
    chunks: list[Any] = []
    for name in ("joints", "present"):
        file[name].id.chunk_iter(chunks.append)
    first = file["joints"].id.read_direct_chunk((0, 0, 0))[1]
    disk.seek(chunks[0].byte_offset)
    # HDF5 before 1.14.4 counts from the end of the user block.
    shift = 0 if disk.read(len(first)) == first else USER_BLOCK
    runs: list[list[int]] = []
    for begin, size in sorted((chunk.byte_offset + shift, chunk.size) for chunk in chunks):
        if runs and runs[-1][1] == begin:
            runs[-1][1] += size
        else:
            runs.append([begin, begin + size])
    table = file.create_dataset("rows", data=np.array(runs, "<i8"))
    file.flush()
    return table.id.get_offset(), len(runs)
