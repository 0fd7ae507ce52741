"""Reading a store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from skelkit.datasets import Protocol
from skelkit.errors import SkelkitError, StoreError, did_you_mean, no_such
from skelkit.sequence import REACH, SkeletonSequence, rows_crc32
from skelkit.skeleton import JointLayout
from skelkit.store.format import UNKNOWN, Shard
from skelkit.store.seal import read_seal

__all__ = ["Store"]

_PIECE = 1 << 14
"""Rows looked at together."""
_FLETCHER_BYTES = 4
"""At the end of each chunk."""


class _Rows:
    """Reads a dataset by its chunks as they are: HDF5's own checksum would condemn all sequences that share a
    damaged chunk, and its slicing takes eight times as long."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.id = dataset.id
        self.dtype: np.dtype[Any] = dataset.dtype
        self.step = dataset.chunks[0]
        self.row_shape = dataset.shape[1:]

    def read(self, first: int, end: int) -> NDArray[Any]:
        """Rows first to end, without end. Raises OSError where the disk fails."""
        begin = first // self.step * self.step
        column = (0,) * len(self.row_shape)
        chunks = (self.id.read_direct_chunk((row, *column))[1] for row in range(begin, end, self.step))
        rows = np.frombuffer(bytearray().join(chunk[:-_FLETCHER_BYTES] for chunk in chunks), self.dtype)
        return rows.reshape(-1, *self.row_shape)[first - begin : end - begin]


class Store:
    """A store opened for reading; use it in a ``with``. Iterating gives its sequences in the order of their
    names, `sequence` one of them, `part` the places of a protocol's training or test part.

    >>> import tempfile, skelkit
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw = skelkit.synthesise(Path(folder), classes=1, subjects=1, repeats=1, seed=0)
    ...     report = skelkit.convert(raw, out := Path(folder, "a.h5"), dataset="ntu60", progress=False)
    ...     with skelkit.Store(out) as store:
    ...         len(store), store.names[0], store.layout.name
    (3, 'S001C001P001R001A001', 'ntu25')

    Raises
    ------
    StoreError : the file is no store, is of another version, or is damaged
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise StoreError(f"{path}: is a folder, expected a store")
        if not self.path.is_file():
            part = self.path.with_name(f"{self.path.name}.part")
            if part.is_dir():
                raise StoreError(f"{path}: no such file yet: {part.name} is a conversion not finished")
            raise StoreError(f"{self.path}: {no_such('file', self.path)}")
        try:
            self.seal = read_seal(self.path)
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            reason = error.strerror or "another program has it open for writing"
            raise StoreError(f"{path}: cannot be read: {reason}") from None
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
        index = {name: dataset[...] for name, dataset in self._file["index"].items()}
        self.names: list[str] = [name.decode() for name in index["name"]]
        self.offset: NDArray[np.int64] = index["offset"]
        self.frames: NDArray[np.int32] = index["frames"]
        self.bodies: NDArray[np.int32] = index["bodies"]
        self.label: NDArray[np.int64] = index["label"]
        self.crc32: NDArray[np.int64] = index["crc32"]
        self.columns = self._tables("columns")
        self.protocols = self._tables("protocols")
        self.dataset: str = attributes["dataset"]
        self.layout = JointLayout.from_json(attributes["layout"])
        self.classes: tuple[str, ...] = tuple(json.loads(attributes["classes"]))
        self.recipe: dict[str, Any] = json.loads(attributes["recipe"])
        self.content_hash: str = attributes["content_hash"]
        self.protocol_rules: dict[str, str] = json.loads(attributes["protocols"])
        shard = attributes.get("shard")
        self.shard = Shard(**json.loads(shard)) if shard else None
        self._joints, self._present = _Rows(self._file["joints"]), _Rows(self._file["present"])
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
        if label == UNKNOWN:
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
        hint = did_you_mean(name, self.names, most=3) or f", the first is {self.names[0]}"
        raise StoreError(f"{self.path}: no sequence {name!r} among its {len(self)}{hint}")

    def part(self, protocol: str, train: bool) -> NDArray[np.int64]:
        """(n,) places of the training or the test part of a protocol: of one that the store has, or of
        ``COLUMN:VALUES``, which train, as ``subject:1-16``.

        Raises
        ------
        StoreError : no such protocol or column, or the part is empty
        """
        places = np.flatnonzero(self._sides(protocol) == int(train))
        if not len(places):
            side = "training" if train else "test"
            raise StoreError(f"{self.path}: the {side} part of {protocol} is empty; {self._rules()}")
        return places

    def _sides(self, protocol: str) -> NDArray[np.integer]:
        """(N,) 1 train, 0 test, -1 neither."""
        if protocol in self.protocols:
            return self.protocols[protocol]
        if ":" not in protocol:
            known = ", ".join(self.protocols) or "none"
            hint = did_you_mean(protocol, self.protocols) or f"; {self._rules()}"
            raise StoreError(f"{self.path}: no protocol {protocol!r}; it has {known}{hint}")
        try:
            rule = Protocol.parse(protocol)
        except SkelkitError as error:
            raise StoreError(f"{self.path}: {error}") from None
        if rule.column not in self.columns:
            hint = did_you_mean(rule.column, self.columns) or f"; {self._rules()}"
            raise StoreError(f"{self.path}: no column {rule.column!r}{hint}")
        values = self.columns[rule.column]
        return np.where(values == UNKNOWN, -1, np.isin(values, list(rule.train)))

    def _rules(self) -> str:
        """What else a protocol can be."""
        if not self.columns:
            return "no column can split it either, as there is none"
        known = ", ".join(self.columns)
        values = {name: np.unique(column[column != UNKNOWN]) for name, column in self.columns.items()}
        rules = [f"{name}:{some[-1]}" for name, some in values.items() if len(some) > 1]
        if not rules:
            return f"no column can split it either, as each has one value (columns: {known})"
        return f"a protocol can also be COLUMN:VALUES that train, as {rules[0]} (columns: {known})"

    def sequence(self, place: int) -> SkeletonSequence:
        """One sequence, as it was stored.

        Raises
        ------
        StoreError : its bytes are damaged
        """
        name, frames, bodies = self.names[place], int(self.frames[place]), int(self.bodies[place])
        first = int(self.offset[place])
        try:
            joints = self._joints.read(first, first + frames * bodies)
            present = self._present.read(first, first + frames * bodies)
        except (KeyError, OSError, RuntimeError, ValueError):
            raise StoreError(f"{self.path}: sequence {name} cannot be read from the disk") from None
        if rows_crc32(joints, present) != self.crc32[place]:
            raise StoreError(f"{self.path}: sequence {name} is damaged: its checksum is wrong")
        return SkeletonSequence(
            joints.reshape(frames, bodies, self.layout.size, 3),
            present.reshape(frames, bodies).astype(np.bool_),
            name,
            int(self.label[place]),
            {column: int(values[place]) for column, values in self.columns.items()},
        )

    def note_of_far(self, rows: NDArray[np.float32] | None = None) -> str | None:
        """A note where joints are beyond the reach of any depth camera: their unit is no metre, or they are
        damaged.

        Parameters
        ----------
        rows : what `rows` gave, if it is at hand; otherwise they are read piece by piece
        """
        far = []
        total = int((self.frames.astype(np.int64) * self.bodies).sum())
        for first in range(0, total, _PIECE):
            end = min(first + _PIECE, total)
            piece = rows[first:end] if rows is not None else self._joints.read(first, end)
            if max(piece.max(), -piece.min()) > REACH:
                beyond = (np.abs(piece) > REACH).any(axis=(1, 2))
                far.append(first + np.flatnonzero(beyond))
        if not far:
            return None
        places = np.unique(np.searchsorted(self.offset, np.concatenate(far), side="right") - 1)
        return (
            f"{self.path}: in {len(places)} of {len(self)} sequences a joint is more than {REACH:g} m away, "
            f"expected metres; the first is {self.names[places[0]]}"
        )

    def rows(self) -> NDArray[np.float32]:
        """(R, V, 3) all joints in memory; a sequence's are at ``offset`` in them.

        Raises
        ------
        StoreError : the bytes are damaged
        """
        try:
            joints: NDArray[np.float32] = self._file["joints"][...]
        except OSError:
            raise StoreError(f"{self.path}: some sequences are damaged; skelkit verify names them") from None
        return joints
