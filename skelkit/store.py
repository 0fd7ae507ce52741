"""The store: all sequences of a dataset in one HDF5 file. The only module that imports h5py.

Layout (version 1), default HDF5 library version, no compression, Fletcher-32 on every dataset:

    user block, 512 bytes    "skelkit store", then the SHA-256 of everything after the block
    /joints    (R, V, 3) float32, chunks of 128 rows: the sequences one after the other; a sequence of T
               frames and M bodies is T x M rows, frame by frame: a view of shape (T, M, V, 3)
    /present   (R,) uint8, whether the body is there; an absent body's row is zero
    /index/... one entry a sequence, in the order of the names: name, offset (first row), frames, bodies,
               label, crc32 (of its joints and flags)
    /columns/... one entry a sequence: subject, camera, ... int64, -1 where not known
    /protocols/... one entry a sequence: 1 train, 0 test, -1 neither, int8
    attributes  format, version, dataset, layout, classes, recipe, protocols (their rules), writer (the last
               five in JSON), content_hash
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from skelkit import __version__
from skelkit.datasets import Protocol
from skelkit.errors import SkelkitError, StoreError
from skelkit.files import RememberingFile, replacing
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = ["Header", "Store", "check_store_path", "sequence_crc32", "verify", "write_store"]

FORMAT = "skelkit store"
VERSION = 1
_CHUNK_ROWS = 128
_BLOCK_ROWS = 64 * _CHUNK_ROWS
_USER_BLOCK = 512
_UNKNOWN = -1


@dataclass(frozen=True)
class Header:
    """What holds for the whole store."""

    dataset: str
    layout: JointLayout
    recipe: Mapping[str, Any]
    """As `Recipe.describe` gives it."""
    classes: tuple[str, ...] = ()
    protocols: Mapping[str, Protocol] = field(default_factory=dict)


def sequence_crc32(sequence: SkeletonSequence) -> int:
    """CRC-32 of a sequence's joints and presence flags, as in the store's index."""
    return zlib.crc32(sequence.present.tobytes(), zlib.crc32(sequence.joints.tobytes()))


def check_store_path(path: Path) -> None:
    """Refuse a path that no store can be written to, before any work is done.

    Raises
    ------
    SkelkitError : it does not end in .h5, or its folder does not exist
    """
    if path.suffix != ".h5":
        raise SkelkitError(f"{path}: the store's name must end in .h5")
    if not path.parent.is_dir():
        raise SkelkitError(f"{path}: the folder {path.parent} does not exist")


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
    with replacing(path, "the store") as temporary:
        with RememberingFile(temporary, "w+") as disk:
            with h5py.File(disk, "w", userblock_size=_USER_BLOCK) as file:
                content_hash = _write(file, _while_good(sequences, disk), header)
            disk.check()
        _seal(temporary)
    return content_hash


def _while_good(sequences: Iterable[SkeletonSequence], disk: RememberingFile) -> Iterator[SkeletonSequence]:
    for sequence in sequences:
        disk.check()
        yield sequence


def _digest(path: Path) -> str:
    """SHA-256 of everything after the user block."""
    with path.open("rb") as file:
        file.seek(_USER_BLOCK)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _user_block(digest: str) -> bytes:
    return f"{FORMAT}\nsha256 {digest}\n".encode().ljust(_USER_BLOCK, b"\0")


def _seal(path: Path) -> None:
    block = _user_block(_digest(path))
    with path.open("r+b") as file:
        file.write(block)


class _Rows:
    """Appends to a dataset in blocks, so that chunks are written whole."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.pending: list[NDArray[Any]] = []
        self.count = 0

    def append(self, rows: NDArray[Any]) -> None:
        self.pending.append(rows)
        self.count += len(rows)
        if sum(map(len, self.pending)) >= _BLOCK_ROWS:
            self.flush()

    def flush(self) -> None:
        written = len(self.dataset)
        self.dataset.resize(self.count, axis=0)
        if self.count > written:
            self.dataset[written:] = np.concatenate(self.pending)
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
    # What a dataset is called says nothing of its content.
    fields = {name: value for name, value in _header_fields(header).items() if name != "dataset"}
    hasher = hashlib.sha256(_canonical(fields))
    for sequence in sequences:
        _check(sequence, index["name"], header.layout)
        crc = sequence_crc32(sequence)
        entry = (sequence.name, joints.count, sequence.frames, sequence.bodies, sequence.label, crc)
        for values, value in zip(index.values(), entry, strict=True):
            values.append(value)
        columns.append(sequence.columns)
        joints.append(sequence.joints.reshape(-1, header.layout.size, 3))
        present.append(sequence.present.reshape(-1).astype(np.uint8))
        hasher.update(
            _canonical([sequence.name, sequence.label, dict(sequence.columns), sequence.joints.shape])
        )
        hasher.update(sequence.joints.tobytes())
        hasher.update(sequence.present.tobytes())
    if not columns:
        raise SkelkitError("no sequence is left to store")
    joints.flush()
    present.flush()
    _write_tables(file, index, columns, header.protocols)
    versions = {"skelkit": __version__, "h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version}
    texts = {
        "format": FORMAT,
        **_header_fields(header),
        "writer": {**versions, "python": platform.python_version()},
        "content_hash": hasher.hexdigest(),
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


def _header_fields(header: Header) -> dict[str, Any]:
    return {
        "dataset": header.dataset,
        "layout": json.loads(header.layout.to_json()),
        "classes": list(header.classes),
        "recipe": dict(header.recipe),
        "protocols": {name: str(protocol) for name, protocol in header.protocols.items()},
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _write_tables(
    file: h5py.File,
    index: dict[str, list[Any]],
    columns: list[Mapping[str, int]],
    protocols: Mapping[str, Protocol],
) -> None:
    types = {"name": np.bytes_, "offset": np.int64, "frames": np.int32, "bodies": np.int32}
    for name, values in index.items():
        if name == "name":
            values = [value.encode() for value in values]
        _write_column(file, f"index/{name}", np.array(values, types.get(name, np.int64)))
    for column in sorted({name for row in columns for name in row}):
        values = [row.get(column, _UNKNOWN) for row in columns]
        _write_column(file, f"columns/{column}", np.array(values, np.int64))
    for name, protocol in protocols.items():
        parts = np.array([protocol.is_train(row) for row in columns], np.int8)
        _write_column(file, f"protocols/{name}", parts)


def _write_column(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    file.create_dataset(name, data=values, chunks=(min(len(values), _BLOCK_ROWS),), fletcher32=True)


class Store:
    """A store opened for reading; use it in a ``with``.

    Raises
    ------
    StoreError : the file is no store, is of another version, or is damaged
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise StoreError(f"{path}: no such file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError:
            raise StoreError(f"{path}: not a store, or damaged beyond opening") from None
        try:
            self._read_index()
        except (KeyError, MemoryError, OSError, TypeError, ValueError, RuntimeError) as error:
            self._file.close()
            raise StoreError(f"{path}: not an intact store: {error}") from None

    def _read_index(self) -> None:
        attributes = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in self._file.attrs.items()
        }
        if attributes.get("format") != FORMAT:
            raise ValueError(f"its format is {attributes.get('format')!r}, expected {FORMAT!r}")
        if attributes["version"] != VERSION:
            raise ValueError(f"its version is {attributes['version']}, this skelkit reads {VERSION}")
        index = {name: dataset[...] for name, dataset in self._file["index"].items()}
        self.names: list[str] = [name.decode() for name in index["name"]]
        self.offset: NDArray[np.int64] = index["offset"]
        self.frames: NDArray[np.int32] = index["frames"]
        self.bodies: NDArray[np.int32] = index["bodies"]
        self.label: NDArray[np.int64] = index["label"]
        self._crc32: NDArray[np.int64] = index["crc32"]
        self.columns = self._tables("columns")
        self.protocols = self._tables("protocols")
        self.dataset: str = attributes["dataset"]
        self.layout = JointLayout.from_json(attributes["layout"])
        self.classes: tuple[str, ...] = tuple(json.loads(attributes["classes"]))
        self.recipe: dict[str, Any] = json.loads(attributes["recipe"])
        self.content_hash: str = attributes["content_hash"]
        tables = [*index.values(), *self.columns.values(), *self.protocols.values()]
        if len({len(table) for table in tables}) != 1:
            raise ValueError("the columns of its index differ in length")
        self._places = {name: place for place, name in enumerate(self.names)}

    def _tables(self, group: str) -> dict[str, NDArray[Any]]:
        return {name: data[...] for name, data in self._file[group].items()} if group in self._file else {}

    def __len__(self) -> int:
        return len(self.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[SkeletonSequence]:
        return (self.sequence(place) for place in range(len(self)))

    def class_name(self, label: int) -> str:
        """The class's name where the dataset names it, else its number from 1."""
        if label == _UNKNOWN:
            return "unknown class"
        return self.classes[label] if 0 <= label < len(self.classes) else f"class {label + 1}"

    def place(self, name: str) -> int:
        """Where the sequence stands in the index.

        Raises
        ------
        StoreError : no sequence of that name; similar ones are suggested
        """
        if name in self._places:
            return self._places[name]
        import difflib

        near = difflib.get_close_matches(name, self.names, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else f", the first is {self.names[0]}"
        raise StoreError(f"{self.path}: no sequence {name!r} among its {len(self)}{hint}")

    def part(self, protocol: str, train: bool) -> NDArray[np.int64]:
        """(n,) places of the training or the test part of a protocol.

        Raises
        ------
        StoreError : no such protocol, or the part is empty
        """
        if protocol not in self.protocols:
            known = ", ".join(self.protocols) or "none"
            raise StoreError(f"{self.path}: no protocol {protocol!r}; it has {known}")
        places = np.flatnonzero(self.protocols[protocol] == int(train))
        if not len(places):
            side = "training" if train else "test"
            raise StoreError(f"{self.path}: the {side} part of {protocol} is empty")
        return places

    def sequence(self, place: int) -> SkeletonSequence:
        """One sequence, as it was stored.

        Raises
        ------
        StoreError : its bytes are damaged
        """
        frames, bodies = int(self.frames[place]), int(self.bodies[place])
        rows = slice(int(self.offset[place]), int(self.offset[place]) + frames * bodies)
        try:
            sequence = SkeletonSequence(
                self._file["joints"][rows].reshape(frames, bodies, self.layout.size, 3),
                self._file["present"][rows].reshape(frames, bodies).astype(np.bool_),
                self.names[place],
                int(self.label[place]),
                {name: int(values[place]) for name, values in self.columns.items()},
            )
        except (KeyError, MemoryError, OSError, TypeError, ValueError) as error:
            raise StoreError(f"{self.path}: sequence {self.names[place]} is damaged: {error}") from None
        if sequence_crc32(sequence) != self._crc32[place]:
            raise StoreError(f"{self.path}: sequence {self.names[place]} is damaged: its checksum is wrong")
        return sequence

    def rows(self) -> NDArray[np.float32]:
        """(R, V, 3) all joints in memory; a sequence's are at ``offset`` in them.

        Raises
        ------
        StoreError : the bytes are damaged
        """
        try:
            joints: NDArray[np.float32] = self._file["joints"][...]
        except (KeyError, MemoryError, OSError, TypeError, ValueError) as error:
            raise StoreError(f"{self.path}: damaged: {error}") from None
        return joints

    def problems(self) -> list[str]:
        """What is wrong with the file, sequence by sequence; empty where every byte is as written."""
        with self.path.open("rb") as file:
            stored = file.read(_USER_BLOCK)
        if stored == _user_block(_digest(self.path)):
            return []
        found = []
        for place in range(len(self)):
            try:
                self.sequence(place)
            except StoreError as error:
                found.append(str(error))
        return found or [f"{self.path}: its checksum is wrong; the damage is outside the sequences"]


def verify(path: Path | str) -> list[str]:
    """What is wrong with a store, one line each; empty where every byte is as it was written."""
    with contextlib.ExitStack() as stack:
        try:
            store = stack.enter_context(Store(path))
        except StoreError as error:
            return [str(error)]
        return store.problems()
