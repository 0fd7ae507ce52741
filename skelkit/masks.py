"""Text looked at sixty-four bytes at a time: a bit a byte, and grammar by arithmetic on the bits.

As in Langdale and Lemire, Parsing Gigabytes of JSON per Second, 2019 (arXiv 1902.08318), section 3.1. Numbers
whose value nobody wants are three quarters of a .skeleton file; it is scanned twice as fast since they are
checked so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["skip_plain_numbers"]

_0, _1, _63, _64 = map(np.uint64, (0, 1, 63, 64))
_BYTES = ir.VectorType(ir.IntType(8), 64)
_MASK = ir.IntType(64)


def _make_classes(_typing: Any, data: Any, at: Any) -> Any:
    """Of data[at : at + 64], bit n of each mask for byte n: digits, blanks, dots, signs, line feeds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), _BYTES.as_pointer())
        text = builder.load(place, align=1)

        def all_of(value: int) -> Any:
            return ir.Constant(_BYTES, [value] * 64)

        def any_of(values: bytes) -> Any:
            masks = [builder.icmp_unsigned("==", text, all_of(value)) for value in values]
            found = masks[0]
            for mask in masks[1:]:
                found = builder.or_(found, mask)
            return builder.bitcast(found, _MASK)

        digits = builder.icmp_unsigned("<", builder.sub(text, all_of(48)), all_of(10))
        masks = [builder.bitcast(digits, _MASK), *map(any_of, (b" \t\r", b".", b"+-", b"\n"))]
        return context.make_tuple(builder, signature.return_type, masks)

    five = types.UniTuple(types.uint64, 5)  # type: ignore[no-untyped-call]
    return five(data, at), generate


def _make_count(_typing: Any, _mask: Any) -> Any:
    """Bits that are set."""
    return types.uint64(types.uint64), lambda _context, builder, _signature, given: builder.ctpop(given[0])


def _make_lowest(_typing: Any, _mask: Any) -> Any:
    """The place of the lowest bit that is set."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


_classes: Any = intrinsic(_make_classes)
_count: Any = intrinsic(_make_count)
_lowest: Any = intrinsic(_make_lowest)
_JIT: bool = not config.DISABLE_JIT  # type: ignore[attr-defined]


@njit(cache=True, nogil=True)
def skip_plain_numbers(data: NDArray[np.uint8], at: np.uint64, fields: int) -> np.uint64:
    """Where the line ends, when its rest from ``at``, where a word has just ended, is exactly ``fields``
    numbers without an exponent; 0 where it is not, or where fewer than 64 bytes follow, or
    where a number begins with a dot in the last of 64."""
    if not _JIT:  # Python has no such masks
        return _0
    inside, digit, sign, fraction = _1, _0, _0, _0  # what the byte before was, or stood in
    found = _0
    while at + _64 <= np.uint64(data.size):
        digits, blanks, dots, signs, feeds = _classes(data, at)
        line = (feeds - _1) & ~feeds  # all before the first line feed
        digits, dots, signs, words = digits & line, dots & line, signs & line, ~blanks & line
        starts = words & ~(words << _1 | inside)
        after_sign = signs << _1 | sign
        after_dot = dots << _1 | fraction
        carried = digits + after_dot  # through the digits after a dot, to the byte behind them
        wrong = words & ~(digits | dots | signs)
        wrong |= signs & ~starts | after_sign & ~(digits | dots)
        wrong |= dots & ~(digits << _1 | digit | digits >> _1) | dots & carried & ~digits
        if wrong:
            return _0
        found += _count(starts)
        if feeds:
            return at + _lowest(feeds) if found == np.uint64(fields) else _0
        inside, digit, sign = words >> _63, digits >> _63, signs >> _63
        fraction = dots >> _63 | np.uint64(carried < digits)
        at += _64
    return _0
