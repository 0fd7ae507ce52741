"""The kernels of views against twins that take one number at a time; what they read, write and leave."""

from __future__ import annotations

import os
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skelkit.view_kernels import choose_joints, make_views, map_joints, sample_frames

Floats = NDArray[np.float32]
OWN_PLACES = np.empty((0, 0), np.int64)
SHAPES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=20)


class Batch:
    """Sequences of the given frames and bodies, side by side in memory, and random views of them."""

    def __init__(
        self, shapes: list[tuple[int, int]], joints: int, frames: int, bodies: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        views = len(shapes)
        recorded, self.bodies = np.array(shapes).T
        self.offset = np.cumsum([0, *recorded * self.bodies])[:-1]
        size = int((recorded * self.bodies).sum())
        # What lies before and behind the rows must be neither read nor changed.
        room = np.full((size + 2, joints, 3), np.nan, np.float32)
        self.rows = room[1:-1]
        self.rows[:] = rng.normal(size=self.rows.shape)
        self.rows[rng.random(size) < 0.2] = 0
        self.below = rng.integers(0, recorded, (frames, views)).T.copy()
        weight = rng.random((views, frames)).astype(np.float32)
        self.weight = np.where((self.below == recorded[:, None] - 1) | (weight < 0.1), np.float32(0), weight)
        self.order = np.tile(np.arange(joints), (views, 1))
        for n in range(0, views, 2):
            self.order[n] = rng.permutation(joints)
        self.maps = rng.normal(size=(views, joints, 3, 3)).astype(np.float32)
        self.maps[rng.random((views, joints)) < 0.2] = 0
        self.shape = (views, frames, bodies, joints, 3)

    def views(
        self, order: NDArray[np.int64], some: slice = slice(None), rows: Floats | None = None
    ) -> Floats:
        """Of ``some``, made between two pages that must stay as they are."""
        room = np.full((len(self.below[some]) + 2, *self.shape[1:]), np.nan, np.float32)
        rows = self.rows if rows is None else rows
        which = [values[some] for values in (self.offset, self.bodies, self.below, self.weight, order)]
        make_views(rows, *which, self.maps[some], room[1:-1])
        assert np.isnan(room[[0, -1]]).all()
        return room[1:-1]

    def twin(self, order: NDArray[np.int64]) -> Floats:
        out = np.zeros(self.shape, np.float64)
        for n, f, m, v in np.ndindex(*self.shape[:4]):
            if m < self.bodies[n]:
                taken = order[n, v] if order.size else v
                row = self.offset[n] + self.below[n, f] * self.bodies[n] + m
                joint, weight = self.rows[row, taken].astype(float), float(self.weight[n, f])
                if weight > 0:
                    joint = (1 - weight) * joint + weight * self.rows[row + self.bodies[n], taken]
                out[n, f, m, v] = self.maps[n, v].astype(float) @ joint
        return out.astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    shapes=SHAPES,
    joints=st.sampled_from([1, 2, 3, 5, 8, 17, 20, 25, 26]),
    frames=st.sampled_from([1, 2, 7, 8, 9, 17]),
    bodies=st.integers(1, 3),
    places=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example([(1, 1)], 25, 1, 2, False, 0)
@example([(5, 2), (3, 0), (2, 1), (4, 3)], 25, 9, 2, True, 0)
def test_views_equal_their_twins(
    shapes: list[tuple[int, int]], joints: int, frames: int, bodies: int, places: bool, seed: int
) -> None:
    batch = Batch(shapes, joints, frames, bodies, seed)
    order = batch.order if places else OWN_PLACES
    np.testing.assert_allclose(batch.views(order), batch.twin(order), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("places", [False, True])
def test_a_view_is_the_same_to_the_bit_in_any_batch(places: bool) -> None:
    shapes = [(1 + n % 7, 1 + n % 3) for n in range(37)]
    batch = Batch(shapes, 25, 19, 2, seed=1)
    order = batch.order if places else OWN_PLACES
    together = batch.views(order).view(np.uint32)
    for n in range(37):
        alone = batch.views(order, slice(n, n + 1)).view(np.uint32)
        np.testing.assert_array_equal(alone[0], together[n])


def test_a_view_is_the_same_to_the_bit_on_any_number_of_threads() -> None:
    batch = Batch([(1 + n % 7, 1 + n % 3) for n in range(50)], 20, 12, 2, seed=2)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = batch.views(OWN_PLACES)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(batch.views(OWN_PLACES).view(np.uint32), one.view(np.uint32))


def test_identity_leaves_every_bit() -> None:
    batch = Batch([(9, 2)], 25, 9, 2, seed=3)
    batch.below[:], batch.weight[:] = np.arange(9), 0
    batch.maps[:] = np.eye(3)
    np.testing.assert_array_equal(batch.views(OWN_PLACES)[0], batch.rows.reshape(9, 2, 25, 3))


@pytest.mark.parametrize("shift", [1, 4, 20])
def test_rows_lie_anywhere_in_memory_and_may_be_read_only(shift: int) -> None:
    """As in a file mapped into memory."""
    batch = Batch([(9, 2), (4, 1)], 25, 9, 2, seed=4)
    room = np.zeros(batch.rows.nbytes + shift, np.uint8)
    room[shift:] = batch.rows.view(np.uint8).ravel()
    room.setflags(write=False)
    rows = room[shift:].view(np.float32).reshape(batch.rows.shape)
    expected = batch.views(OWN_PLACES)
    np.testing.assert_array_equal(batch.views(OWN_PLACES, rows=rows), expected)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="only compiled code has types")
@pytest.mark.parametrize("wrong", ["type", "order"])
def test_rows_of_another_kind_are_refused_not_misread(wrong: str) -> None:
    batch = Batch([(9, 2)], 25, 9, 2, seed=5)
    rows = batch.rows.astype(np.float64) if wrong == "type" else np.asfortranarray(batch.rows)
    with pytest.raises(numba.TypingError):
        batch.views(OWN_PLACES, rows=rows)


# ---- frames


def sampled(
    recorded: int, played: int, start: int, length: int, backwards: bool, frames: int
) -> tuple[NDArray[np.int64], Floats]:
    below, weight = np.empty((1, frames), np.int64), np.empty((1, frames), np.float32)
    window = (np.array([number]) for number in (recorded, played, start, length))
    sample_frames(*window, np.array([backwards]), below, weight)
    return below[0], weight[0]


def position(recorded: int, played: int, start: int, length: int, frames: int, f: int) -> Fraction:
    """Where frame f of a view lies among those recorded, exactly."""
    half = Fraction(1, 2)
    at = start + (f + half) * length / frames - half
    at = min(max(at, Fraction(start)), Fraction(start + length - 1))
    at = (at + half) * recorded / played - half
    return min(max(at, Fraction(0)), Fraction(recorded - 1))


@settings(deadline=None)
@given(
    recorded=st.integers(1, 3000),
    played=st.none() | st.integers(1, 3000),
    window=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    backwards=st.booleans(),
    frames=st.sampled_from([1, 2, 63, 64, 100]),
)
@example(1, None, (0, 0), False, 64)
@example(3000, 1, (0, 0), True, 1)
@example(1, 3000, (0, 1), False, 2)
def test_frames_lie_where_exact_arithmetic_puts_them(
    recorded: int, played: int | None, window: tuple[float, float], backwards: bool, frames: int
) -> None:
    played = played or recorded
    start = int(window[0] * (played - 1))
    length = 1 + int(window[1] * (played - start - 1))
    below, weight = sampled(recorded, played, start, length, backwards, frames)
    assert ((below >= 0) & (below < recorded)).all()
    assert ((weight >= 0) & (weight <= 1)).all()
    assert (weight[below == recorded - 1] == 0).all()
    expected = [position(recorded, played, start, length, frames, f) for f in range(frames)]
    if backwards:
        expected.reverse()
    np.testing.assert_allclose(below + weight, np.array(expected, float), rtol=0, atol=2e-6 * recorded)


def test_as_many_frames_as_taken_are_those_taken() -> None:
    below, weight = sampled(100, 100, 30, 64, False, 64)
    np.testing.assert_array_equal(below, np.arange(30, 94))
    assert not weight.any()
    below, weight = sampled(100, 100, 30, 64, True, 64)
    np.testing.assert_array_equal(below, np.arange(93, 29, -1))
    assert not weight.any()


# ---- joints


@given(
    numbers=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.7, 1 - 2**-53]), min_size=1, max_size=26),
    count=st.integers(0, 26),
)
def test_the_smallest_are_chosen_and_of_equal_ones_the_first(numbers: list[float], count: int) -> None:
    uniforms = np.array([[9.0, *numbers], [0.0, *numbers[::-1]]])[:, 1:]  # columns of a wider array
    chosen = np.empty(uniforms.shape, np.bool_)
    choose_joints(uniforms, count, chosen)
    for n in range(2):
        expected = np.zeros(len(numbers), np.bool_)
        expected[np.argsort(uniforms[n], kind="stable")[:count]] = True
        np.testing.assert_array_equal(chosen[n], expected)


def test_one_matrix_a_view_follows_the_maps_of_the_chosen() -> None:
    rng = np.random.default_rng(0)
    matrix, chosen = rng.normal(size=(6, 3, 3)), rng.random((6, 20)) < 0.5
    maps = rng.normal(size=(6, 20, 3, 3)).astype(np.float32)
    expected = np.where(chosen[..., None, None], matrix[:, None] @ maps, maps)
    out = np.empty_like(maps)
    map_joints(matrix, chosen, maps, out)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(out[~chosen], expected[~chosen].astype(np.float32))
