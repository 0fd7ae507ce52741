"""Arrays on disk, a .npy by itself or in a zip, read and written row by row: memory holds one row."""

from __future__ import annotations

import lzma
import math
import struct
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo, is_zipfile

import numpy as np
from numpy.typing import NDArray

from skelkit.errors import InputError

__all__ = [
    "NpyRows",
    "Zip",
    "check_characters",
    "read_npy",
    "reason_of",
    "unreadable",
    "write_member",
    "write_rows",
]

unreadable = (
    *(BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    # The header of a .npy is a Python literal: whatever parsing one raises.
    *(SyntaxError, TokenError, TypeError, KeyError, IndexError, AttributeError),
    *(OSError, ValueError, EOFError, OverflowError, RuntimeError, MemoryError),
)
"""What zipfile and numpy raise at a damaged file."""


def reason_of(error: BaseException) -> str:
    """One short line on an exception of a library."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ascii(text.splitlines()[0][:200])[1:-1] if text.splitlines() else type(error).__name__


def read_npy(stream: IO[bytes]) -> NDArray[Any]:
    """A whole array, never a pickled one. Raises what is in `unreadable`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a header as Python 2 wrote it
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return check_characters(array)


def check_characters(array: NDArray[Any]) -> NDArray[Any]:
    """The array; ValueError where it is of texts with numbers in them that are no characters, at which numpy
    fails in ways of its own."""
    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        flat = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1)
        if flat.view(np.uint32).max() > sys.maxunicode:
            raise ValueError("a text has a character that is none")
    return array


class NpyRows:
    """An array's rows, one after the other, each read when it is taken.

    Raises
    ------
    InputError : no .npy of numbers in C order, or not of the size that its header says
    """

    def __init__(self, stream: IO[bytes], size: int, where: str) -> None:
        """``size`` is the stream's, in bytes; ``where`` names it in errors."""
        self._stream, self._where = stream, where
        try:
            self.shape, self.dtype = _header(stream)
            self._begin = stream.tell()
        except unreadable as error:
            raise InputError(where, f"not a readable array: {reason_of(error)}") from None
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        if not self._row_bytes or self.shape[0] * self._row_bytes != size - self._begin:
            found = f"{size - self._begin} bytes of {self.dtype}"
            raise InputError(where, f"has {found}, expected those of its shape {self.shape}")

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for _ in range(self.shape[0]):
            yield self._take()
        if self._read(1):  # to the end, where zipfile compares the checksum
            raise InputError(self._where, "bytes follow the array")

    def row(self, n: int) -> NDArray[Any]:
        """One row of a file that is not in a zip."""
        self._stream.seek(self._begin + n * self._row_bytes)
        return self._take()

    def _take(self) -> NDArray[Any]:
        data = self._read(self._row_bytes)
        if len(data) < self._row_bytes:
            raise InputError(self._where, "the file ends inside the array")
        return np.frombuffer(data, self.dtype).reshape(self.shape[1:])

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except unreadable as error:
            raise InputError(self._where, f"not a readable array: {reason_of(error)}") from None


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its version is {version}, expected (1, 0) or (2, 0)")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a header as Python 2 wrote it
        shape, fortran, dtype = read(stream)
    if fortran or not shape or min(shape) < 0 or dtype.kind not in "fiu":
        order = "Fortran" if fortran else "C"
        raise ValueError(f"it is {dtype} {shape} in {order} order, expected numbers in C order")
    return shape, dtype


class Zip:
    """An .npz opened for reading, member by member; use it in a ``with``.

    Raises
    ------
    InputError : it cannot be opened as one
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with file.open("rb") as stream:
                if not is_zipfile(stream):
                    raise InputError(str(file), "not an .npz, which is a zip archive of arrays")
            self._zip = ZipFile(file)
        except unreadable as error:
            raise InputError(str(file), f"not a readable npz: {reason_of(error)}") from None
        self.names = [name.removesuffix(".npy") for name in self._zip.namelist() if name.endswith(".npy")]

    def __enter__(self) -> Zip:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """The member and its size in bytes. Raises what is in `unreadable`."""
        info = self._zip.getinfo(f"{name}.npy")
        return self._zip.open(info), info.file_size

    def read(self, name: str) -> NDArray[Any]:
        """A whole array. Raises InputError."""
        try:
            with self.open(name)[0] as stream:
                array = read_npy(stream)
                if stream.read(1):  # to the end, where zipfile compares the checksum
                    raise ValueError(f"bytes follow the array {name!r}")
                return array
        except unreadable as error:
            raise InputError(str(self.file), f"not a readable npz: {reason_of(error)}") from None


def write_rows(
    stream: IO[bytes], shape: tuple[int, ...], rows: Iterable[NDArray[Any]], dtype: type = np.float32
) -> None:
    """A .npy of that shape; ``rows`` are pieces of it along the first axis, in order."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for row in rows:
        stream.write(np.ascontiguousarray(row, dtype).data)


def write_member(archive: ZipFile, name: str, array: NDArray[Any]) -> None:
    """One whole array into an .npz."""
    with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)
