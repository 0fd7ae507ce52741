"""Pickles of plain data, read without the danger of pickles.

A pickle is a program, and `pickle.load` runs whatever it names. Here the instructions that build dicts,
lists, tuples, texts, numbers and numpy arrays are carried out one by one, of protocols 0 to 5; nothing is
imported and nothing called but the functions below, and any other instruction or name is an error.
"""

from __future__ import annotations

import mmap
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from skelkit.errors import InputError
from skelkit.interchange.npy import check_characters, reason_of

__all__ = ["load_plain"]

_DTYPE = re.compile(r"[<>=|]?([iuf][1248]|b1|[SU][0-9]{1,6})", re.ASCII)

_PUSHED = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
"""Instructions whose argument is the value."""
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class _RefusedError(Exception):
    """The pickle does more than to describe plain data."""


class _Mark:
    """Where the items of a list, dict or tuple begin on the stack."""


@dataclass
class _Building:
    """An array or dtype between its creation and the instruction that gives it its content."""

    value: Any = None


@dataclass(frozen=True)
class _Known:
    """One of the names that a pickle may use, and what we do for it."""

    call: Callable[..., Any]


def load_plain(file: Path) -> Any:
    """What the pickle holds: dict, list, tuple, str, bytes, numbers, None, numpy arrays of numbers or texts.

    Raises
    ------
    InputError : no pickle, damaged, or with anything else in it
    """
    try:
        # A mapped file never makes room for more bytes than it has, whatever a damaged length says.
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Machine().run(data)
    except _RefusedError as error:
        raise InputError(str(file), f"refused: {error}") from None
    except (
        *(OSError, ValueError, TypeError, IndexError, KeyError, AttributeError),
        *(OverflowError, MemoryError, RecursionError),
    ) as error:
        archive = "; it is a zip archive, as .npz files are" if is_zipfile(file) else ""
        raise InputError(str(file), f"not a readable pickle: {reason_of(error)}{archive}") from None


class _Machine:
    """The pickle machine: a stack of values, and a memo of those used again."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.handlers: Mapping[str, Callable[[Any], None]] = {
            "PROTO": self.ignore,
            "FRAME": self.ignore,
            "MARK": lambda _: self.stack.append(_Mark()),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "LIST": lambda _: self.stack.append(self.marked()),
            "DICT": lambda _: self.stack.append(dict(_pairs(self.marked()))),
            "TUPLE": lambda _: self.stack.append(tuple(self.marked())),
            "TUPLE1": lambda _: self.stack.append(tuple(self.taken(1))),
            "TUPLE2": lambda _: self.stack.append(tuple(self.taken(2))),
            "TUPLE3": lambda _: self.stack.append(tuple(self.taken(3))),
            "APPEND": lambda _: self.extend(self.taken(1)),
            "APPENDS": lambda _: self.extend(self.marked()),
            "SETITEM": lambda _: self.update(self.taken(2)),
            "SETITEMS": lambda _: self.update(self.marked()),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self.put),
            "MEMOIZE": lambda _: self.put(len(self.memo)),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), self.get),
            "GLOBAL": lambda name: self.stack.append(_known(*name.partition(" ")[::2])),
            "STACK_GLOBAL": lambda _: self.stack.append(_known(*self.taken(2))),
            "REDUCE": self.reduce,
            "BUILD": self.build,
        }

    def run(self, data: mmap.mmap) -> Any:
        for opcode, argument, _ in pickletools.genops(data):  # type: ignore[arg-type]
            name = opcode.name
            if name in _PUSHED:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in self.handlers:
                self.handlers[name](argument)
            elif name != "STOP":  # after which genops ends
                raise _RefusedError(f"it holds more than plain data, the instruction {name}")
        (value,) = self.stack
        return value

    def ignore(self, _: Any) -> None:
        """Nothing that plain data needs."""

    def taken(self, count: int) -> list[Any]:
        """The last ``count`` values, off the stack."""
        values = self.stack[-count:]
        if len(values) < count or any(isinstance(value, _Mark) for value in values):
            raise ValueError("an instruction lacks its values")
        del self.stack[-count:]
        return values

    def marked(self) -> list[Any]:
        """The values from the last mark on, off the stack."""
        for place in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[place], _Mark):
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        raise ValueError("an instruction lacks its mark")

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("items are added to what is no list")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("entries are added to what is no dict")
        self.stack[-1].update(_pairs(values))

    def put(self, place: int) -> None:
        self.memo[int(place)] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(_built(self.memo[int(place)]))

    def reduce(self, _: Any) -> None:
        known, arguments = self.taken(2)
        if not isinstance(known, _Known) or not isinstance(arguments, tuple):
            raise _RefusedError("it calls what is no function of numpy's pickles")
        self.stack.append(known.call(*map(_built, arguments)))

    def build(self, _: Any) -> None:
        building, state = self.taken(2)
        if not isinstance(building, _Building) or not isinstance(state, tuple):
            raise _RefusedError("it sets the state of what is no array")
        state = tuple(map(_built, state))
        if building.value is None:
            building.value = _array(*state[-4:])
        else:
            building.value = _with_order(building.value, state)
        self.stack.append(building.value)


def _pairs(values: list[Any]) -> Iterator[tuple[Any, Any]]:
    for key, value in zip(values[::2], values[1::2], strict=True):
        # The hash of a tuple a million deep would overflow Python's own stack.
        if not isinstance(key, (str, int)):
            raise _RefusedError(f"it has a dict with a key of type {type(key).__name__}")
        yield key, value


def _built(value: Any) -> Any:
    return value.value if isinstance(value, _Building) and value.value is not None else value


def _array(shape: Any, dtype: Any, fortran: Any, data: Any) -> NDArray[Any]:
    return _from_buffer(data, dtype, shape, "F" if fortran else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> NDArray[Any]:
    shape = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("the shape of an array is not of whole numbers")
    flat: NDArray[Any] = (
        np.frombuffer(_bytes(data), _dtype_of(dtype)) if len(data) else np.zeros(0, _dtype_of(dtype))
    )
    return check_characters(flat).reshape(shape, order="F" if order == "F" else "C")


def _bytes(data: Any) -> bytes | bytearray:
    if isinstance(data, str):  # bytes as Python 2 wrote them
        return data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError("the content of an array is no bytes")
    return data


def _dtype_of(value: Any) -> np.dtype[Any]:
    return value if isinstance(value, np.dtype) else _dtype(value).value


def _dtype(code: Any, *_: Any) -> _Building:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise _RefusedError("it has an array of neither numbers nor texts")
    return _Building(np.dtype(code))


def _with_order(dtype: np.dtype[Any], state: tuple[Any, ...]) -> np.dtype[Any]:
    """The dtype with the byte order of its state, which is all that a dtype of numbers or texts has of it."""
    order = state[1]
    if order not in ("<", ">", "=", "|"):
        raise ValueError("a dtype's byte order is none")
    return dtype.newbyteorder(order)


def _scalar(dtype: Any, data: Any) -> Any:
    return check_characters(np.frombuffer(_bytes(data), _dtype_of(dtype), count=1))[0].item()


def _reconstruct(*_: Any) -> _Building:
    return _Building()


def _ndarray(shape: Any, dtype: Any, data: Any) -> NDArray[Any]:
    return _from_buffer(data, dtype, shape)


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes are not written as latin1")
    return text.encode("latin1")


def _bytes_of(data: Any = b"") -> bytes | bytearray:
    return _bytes(data)


_KNOWN: Mapping[tuple[str, str], _Known] = {
    ("numpy", "dtype"): _Known(_dtype),
    ("numpy", "ndarray"): _Known(_ndarray),
    ("_codecs", "encode"): _Known(_encode),
    **{
        (f"numpy.{core}.{module}", name): _Known(call)
        for core in ("core", "_core")
        for module, name, call in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{
        (module, name): _Known(_bytes_of)
        for module in ("builtins", "__builtin__")
        for name in ("bytes", "bytearray")
    },
}
"""Whatever a pickle of numpy arrays and plain data names, in numpy 1 and 2."""


def _known(module: Any, name: Any) -> _Known:
    known = _KNOWN.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
    if known is None:
        called = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "a name"
        raise _RefusedError(
            f"it uses {ascii(called[:80])[1:-1]}, and only plain data and numpy arrays are read"
        )
    return known
