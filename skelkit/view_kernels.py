"""The compiled loops that draw and make views: on arrays alone, with ``out`` last.

Kernels are compiled for the types in use on the first call and cached on disk. Views are made eight numbers
at a time, by instructions written out as in `skelkit.masks`: the compiler does not find them by itself, as
rows of joints are short, their length no multiple of eight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["choose_joints", "make_views", "map_joints", "philox_uniforms", "sample_frames"]

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_11 = np.uint64(11)
_ROUND_0 = np.uint64(0xD2E7470EE14C6C93)
_ROUND_1 = np.uint64(0xCA5A826395121157)
_WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
_WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
_UNIT = 1.0 / (1 << 53)
_JIT: bool = not config.DISABLE_JIT  # type: ignore[attr-defined]


@njit(cache=True, nogil=True)
def _multiply_high(a: np.uint64, b: np.uint64) -> np.uint64:
    """The upper 64 bits of the 128-bit product."""
    low_a, high_a = a & _LOW, a >> _32
    low_b, high_b = b & _LOW, b >> _32
    middle = high_a * low_b + ((low_a * low_b) >> _32)
    other = low_a * high_b + (middle & _LOW)
    return high_a * high_b + (middle >> _32) + (other >> _32)


@njit(cache=True, nogil=True)
def philox_uniforms(
    seed: np.uint64,
    epoch: np.uint64,
    stream: np.uint64,
    sample: NDArray[np.uint64],
    view: NDArray[np.uint64],
    out: NDArray[np.float64],
) -> None:
    """Philox 4x64-10 (Salmon et al. 2011, section 3.3): out[n] is the first numbers in [0, 1) of
    ``numpy.random.Philox(key=[seed, epoch], counter=[0, stream, sample[n], view[n]])``.

    sample (N,), view (N,), out (N, numbers)
    """
    for n in range(out.shape[0]):
        block = np.uint64(0)
        for first in range(0, out.shape[1], 4):
            block += np.uint64(1)
            c0, c1, c2, c3 = block, stream, sample[n], view[n]
            k0, k1 = seed, epoch
            for _ in range(10):
                high_0, low_0 = _multiply_high(_ROUND_0, c0), _ROUND_0 * c0
                high_1, low_1 = _multiply_high(_ROUND_1, c2), _ROUND_1 * c2
                c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
                k0 += _WEYL_0
                k1 += _WEYL_1
            last = min(4, out.shape[1] - first)
            out[n, first] = (c0 >> _11) * _UNIT
            if last > 1:
                out[n, first + 1] = (c1 >> _11) * _UNIT
            if last > 2:
                out[n, first + 2] = (c2 >> _11) * _UNIT
            if last > 3:
                out[n, first + 3] = (c3 >> _11) * _UNIT


if not _JIT:  # numpy would warn of the products that are meant to overflow
    philox_uniforms = np.errstate(over="ignore")(philox_uniforms)


@njit(cache=True, nogil=True)
def choose_joints(uniforms: NDArray[np.float64], count: int, chosen: NDArray[np.bool_]) -> None:
    """The ``count`` joints of each view whose numbers are smallest; of equal ones the first.

    uniforms and chosen (N, V)
    """
    joints = uniforms.shape[1]
    row = np.empty(joints)  # side by side; uniforms may be columns of a wider array
    for n in range(uniforms.shape[0]):
        row[:] = uniforms[n]
        for v in range(joints):
            earlier = 0
            for w in range(joints):  # comparing all with all has no branches, and is faster than sorting
                earlier += (row[w] < row[v]) | ((row[w] == row[v]) & (w < v))
            chosen[n, v] = earlier < count


@njit(cache=True, nogil=True)
def map_joints(
    matrix: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    maps: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """The chosen joints' maps with one matrix a view after them; the others' as they are.

    matrix (N, 3, 3); chosen (N, V); maps and out (N, V, 3, 3)
    """
    for n in range(maps.shape[0]):
        a = matrix[n]
        for v in range(maps.shape[1]):
            if not chosen[n, v]:
                for i in range(3):
                    for j in range(3):
                        out[n, v, i, j] = maps[n, v, i, j]
                continue
            for j in range(3):
                x, y, z = maps[n, v, 0, j], maps[n, v, 1, j], maps[n, v, 2, j]
                for i in range(3):
                    out[n, v, i, j] = a[i, 0] * x + a[i, 1] * y + a[i, 2] * z


@njit(cache=True, nogil=True)
def sample_frames(
    recorded: NDArray[np.int64],
    played: NDArray[np.int64],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    backwards: NDArray[np.bool_],
    below: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> None:
    """The recorded frames that each frame of a view lies between: below[n, f] and, with weight[n, f], the
    one after it; where the weight is 0 there may be none after it.

    recorded, played, start, length, backwards (N,): a sequence of ``recorded`` frames is first resampled to
    ``played`` ones, of which the view takes start .. start + length - 1; below and weight (N, F).

    Resampling is linear with half-pixel centres, as torch's ``interpolate(align_corners=False)``.
    """
    frames = below.shape[1]
    for n in range(below.shape[0]):
        first, last = float(start[n]), float(start[n] + length[n] - 1)
        for f in range(frames):
            position = start[n] + (f + 0.5) * length[n] / frames - 0.5
            position = min(max(position, first), last)
            if played[n] != recorded[n]:
                position = (position + 0.5) * recorded[n] / played[n] - 0.5
                position = min(max(position, 0.0), recorded[n] - 1.0)
            at = frames - 1 - f if backwards[n] else f
            below[n, at] = int(position)
            weight[n, at] = position - int(position)


_FLOATS = ir.VectorType(ir.FloatType(), 8)
_FUSED = ("contract",)  # a product and the sum it goes into are one instruction, rounded once
_BLOCK = 8  # frames
_TOGETHER = 8  # views made by one thread in the same working memory


def _place(context: Any, builder: Any, array: Any, data: Any, at: Any, size: int = 8) -> Any:
    """Pointer to the eight numbers, or so many, at data[at]."""
    first = context.make_array(array)(context, builder, data).data
    return builder.bitcast(builder.gep(first, [at]), ir.VectorType(ir.FloatType(), size).as_pointer())


def _are_flat(*arrays: Any) -> bool:
    return all(array.dtype == types.float32 and array.layout == "C" and array.ndim == 1 for array in arrays)


def _make_blend(_typing: Any, rows: Any, _below: Any, _above: Any, _weight: Any, out: Any, _at: Any) -> Any:
    """out[at : at + 8] between rows[below : below + 8] and rows[above : above + 8]."""
    if not _are_flat(rows, out):
        return None

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        x, y = (builder.load(_place(context, builder, rows, given[0], n), align=1) for n in given[1:3])
        undefined = ir.Constant(_FLOATS, ir.Undefined)
        one = builder.insert_element(undefined, given[3], ir.IntType(32)(0))
        eight = builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8))
        step = builder.fmul(builder.fsub(y, x), eight, flags=_FUSED)
        between = builder.fadd(step, x, flags=_FUSED)
        builder.store(between, _place(context, builder, out, given[4], given[5]), align=1)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(rows, whole, whole, types.float32, out, whole), generate


def _make_move(_typing: Any, joints: Any, _at: Any, out: Any, _to: Any) -> Any:
    """out[to : to + 4] = joints[at : at + 4]: a joint and the number after it."""
    if not _are_flat(joints, out):
        return None

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        four = builder.load(_place(context, builder, joints, given[0], given[1], 4), align=1)
        builder.store(four, _place(context, builder, out, given[2], given[3], 4), align=1)
        return context.get_dummy_value()

    return types.void(joints, types.intp, out, types.intp), generate


def _make_map(
    _typing: Any,
    joints: Any,
    _at: Any,
    factors: Any,
    _column: Any,
    out: Any,
    _to: Any,
    _step: Any,
    _count: Any,
) -> Any:
    """Eight columns of ``count`` rows, from joints[at + n * step] to out[to + n * step]: each number becomes
    the sum of the five from two before it to two after it, number k times factors[column + k * step]."""
    if not _are_flat(joints, factors, out):
        return None

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        in_, at_, by_, column_, out_, to_, step_, count_ = given
        word = at_.type

        def load(array: Any, data: Any, place: Any) -> Any:
            return builder.load(_place(context, builder, array, data, place), align=1)

        # Loaded once for all rows: that they are not written meanwhile, the compiler could not know.
        five = [load(factors, by_, builder.add(column_, builder.mul(word(k), step_))) for k in range(5)]
        with cgutils.for_range(builder, count_) as row:
            down = builder.mul(row.index, step_)
            first = builder.add(at_, down)
            shifted = [load(joints, in_, builder.add(first, word(k - 2))) for k in range(5)]
            total = ir.Constant(_FLOATS, [0.0] * 8)  # so that no sum is -0, which would depend on neighbours
            for number, factor in zip(shifted, five, strict=True):
                total = builder.fadd(builder.fmul(number, factor, flags=_FUSED), total, flags=_FUSED)
            builder.store(total, _place(context, builder, out, out_, builder.add(to_, down)), align=1)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(joints, whole, factors, whole, out, whole, whole, whole), generate


_blend: Any = intrinsic(_make_blend)
_move: Any = intrinsic(_make_move)
_map: Any = intrinsic(_make_map)


@njit(cache=True, nogil=True, parallel=True)
def make_views(
    rows: NDArray[np.float32],
    offset: NDArray[np.int64],
    bodies: NDArray[np.int64],
    below: NDArray[np.int64],
    weight: NDArray[np.float32],
    order: NDArray[np.int64],
    maps: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Interpolate frames and map joints linearly, in one pass over the packed rows of a store.

    rows (R, V, 3); offset, bodies (N,): sequence n lies at rows[offset[n]:], frame by frame with bodies[n]
    rows each; below, weight (N, F): as `sample_frames` makes them; order (N, V): joint v is taken from
    joint order[n, v], or (0, 0) where each is its own; maps (N, V, 3, 3): joint v, once taken, becomes
    maps[n, v] @ joint; out (N, F, M, V, 3): bodies beyond a sequence's own are zero, and those beyond M
    are left out. All are contiguous, and all numbers finite.
    """
    views, width = out.shape[0], 3 * out.shape[2] * out.shape[3]
    for chunk in prange((views + _TOGETHER - 1) // _TOGETHER):
        factors = np.zeros((5, width), np.float32)
        block = np.zeros((2, _BLOCK * width + 4), np.float32)
        for n in range(chunk * _TOGETHER, min((chunk + 1) * _TOGETHER, views)):
            where = offset[n], bodies[n]
            places = order[n : n + 1]
            if _JIT and 3 * out.shape[3] >= 8:
                work = factors, block
                _make_view(rows, where, below[n], weight[n], places, maps[n], work, out[n])
            else:
                _make_small_view(rows, where, below[n], weight[n], places, maps[n], out[n])


@njit(cache=True, nogil=True)
def _make_small_view(
    rows: NDArray[np.float32],
    where: tuple[int, int],
    below: NDArray[np.int64],
    weight: NDArray[np.float32],
    order: NDArray[np.int64],
    maps: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """What `_make_view` does, number by number: for fewer than eight in a row, and without the JIT."""
    offset, bodies = where
    copied = min(bodies, out.shape[1])
    out[:, copied:] = 0.0
    for f in range(out.shape[0]):
        first = offset + below[f] * bodies
        after = first + bodies if weight[f] > 0 else first
        for m in range(copied):
            for v in range(out.shape[2]):
                taken = order[0, v] if order.size else v
                x, y, z = rows[first + m, taken, 0], rows[first + m, taken, 1], rows[first + m, taken, 2]
                x += (rows[after + m, taken, 0] - x) * weight[f]
                y += (rows[after + m, taken, 1] - y) * weight[f]
                z += (rows[after + m, taken, 2] - z) * weight[f]
                for axis in range(3):
                    a = maps[v, axis]
                    out[f, m, v, axis] = a[0] * x + a[1] * y + a[2] * z


@njit(cache=True, nogil=True)
def _make_view(
    rows: NDArray[np.float32],
    where: tuple[int, int],
    below: NDArray[np.int64],
    weight: NDArray[np.float32],
    order: NDArray[np.int64],
    maps: NDArray[np.float32],
    work: tuple[NDArray[np.float32], NDArray[np.float32]],
    out: NDArray[np.float32],
) -> None:
    """One view, a few frames at a time, so that all of a block stays in the fastest cache.

    where: offset and bodies; below, weight (F,); order (1, V) or (0, 0); maps (V, 3, 3); work: what is
    overwritten, (5, 3 V M) and (2, 8 * 3 V M + 4); out (F, M, V, 3). All bodies of a frame are one row
    of numbers, and its map a matrix with five diagonals, so that x, y and z need not be taken apart: number i
    becomes the sum over k of factors[k, i] times number i + k - 2.
    """
    offset, bodies = where
    factors, block = work
    frames, bodies_out, joints = out.shape[:3]
    copied = min(bodies, bodies_out)
    step, width = 3 * joints * bodies_out, 3 * joints * copied
    mirrored = _changes_places(order)
    sampled, placed = block[0], block[1] if mirrored else block[0]
    for m in range(copied):
        for v in range(joints):
            for i in range(3):
                at = 3 * (m * joints + v) + i
                for j in range(3):
                    factors[j - i + 2, at] = maps[v, i, j]
    flat_rows, flat_factors, flat_out = rows.reshape(-1), factors.reshape(-1), out.reshape(-1)
    for start in range(0, frames, _BLOCK):
        count = min(_BLOCK, frames - start)
        for f in range(count):
            flat_out[(start + f) * step + width : (start + f + 1) * step] = 0.0
            first = (offset + below[start + f] * bodies) * joints * 3
            share = weight[start + f]
            after = first + bodies * joints * 3 if share > 0 else first
            to = 2 + f * step
            for column in range(0, width, 8):
                at = min(column, width - 8)  # the last eight overlap those before
                _blend(flat_rows, first + at, after + at, share, sampled, to + at)
            if mirrored:
                for body in range(to, to + width, 3 * joints):
                    for v in range(joints):
                        _move(sampled, body + 3 * order[0, v], placed, body + 3 * v)
        for column in range(0, width, 8):
            at = min(column, width - 8)
            _map(placed, 2 + at, flat_factors, at, flat_out, start * step + at, step, count)


@njit(cache=True, nogil=True)
def _changes_places(order: NDArray[np.int64]) -> bool:
    """Whether a joint is not its own."""
    for v in range(order.shape[1]):  # noqa: SIM110
        if order[0, v] != v:
            return True
    return False
