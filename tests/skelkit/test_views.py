"""The numbers views are drawn from, views made from packed rows, and their streams."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from draws import NTU, SMALL, a_sequence, chain, come_and_go, compositions, drawn, keys
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from skelkit.augment import (
    ISC,
    Compose,
    Crop,
    JointJitter,
    Noise,
    OneOf,
    Resample,
    Rotation,
    Shear,
    Transform,
)
from skelkit.skeleton import JointLayout
from skelkit.views import STREAMS, DrawKey, identity, make_views, sample_frames, to_stream

KNOWN = [
    [0.17979448115353736, 0.5677791228112266, 0.4299920853868213, 0.9768453062841636, 0.7274717519593392],
    [0.5090215342674752, 0.14311012455910632, 0.4400871187288591, 0.10818720059380016, 0.6696814038448591],
]
WORDS = st.integers(0, 2**64 - 1)
PLACES = st.integers(0, 2**63 - 1)


# ---- the generator


@settings(deadline=None, max_examples=60)
@given(seed=WORDS, epoch=WORDS, stream=WORDS, sample=PLACES, view=PLACES, numbers=st.integers(1, 11))
def test_numbers_are_those_of_numpys_philox(
    seed: int, epoch: int, stream: int, sample: int, view: int, numbers: int
) -> None:
    ours = DrawKey(seed, epoch, np.array([sample]), np.array([view]), stream).uniforms(numbers)
    np.testing.assert_array_equal(ours[0], naive.uniforms(seed, epoch, stream, sample, view, numbers))


def test_known_answer() -> None:
    """Fixed for ever: a change here makes every published seed another experiment."""
    key = DrawKey(seed=1, epoch=2, sample=np.array([3, 40000]), view=np.array([0, 1]), stream=5)
    np.testing.assert_array_equal(key.uniforms(5), KNOWN)


def test_known_streams_of_the_parts_of_a_composition() -> None:
    key = DrawKey(1, 2, np.array([3]), np.array([0]))
    assert (key.part(0).stream, key.part(2).stream, key.part(2).part(1).stream) == (1, 3, 3 * 16 + 2)


@pytest.mark.parametrize("part", [None, 0, 3])
def test_numbers_are_uniform_and_independent(part: int | None) -> None:
    key = keys(300, seed=5)
    u = (key if part is None else key.part(part)).uniforms(8)
    for numbers in (*u.T, u.ravel()):
        assert kstest(numbers, "uniform").pvalue > 0.005
    assert np.abs(np.corrcoef(u.T) - np.eye(8)).max() < 0.2  # within a view
    assert abs(np.corrcoef(u[1:, 0], u[:-1, 0])[0, 1]) < 0.15  # and from sample to sample


# ---- making views


@settings(deadline=None, max_examples=25)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 3)), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
    frames=st.sampled_from([1, 2, 17, 64]),
    bodies=st.integers(1, 3),
    transform=st.none() | compositions(9),
)
def test_ragged_batch_equals_its_twins(
    shapes: list[tuple[int, int]], seed: int, frames: int, bodies: int, transform: Transform | None
) -> None:
    sequences = [a_sequence(t, m, joints=5, seed=n).joints for n, (t, m) in enumerate(shapes)]
    packed = np.concatenate([joints.reshape(-1, 5, 3) for joints in sequences])
    sizes = [t * m for t, m in shapes]
    offset = np.cumsum([0, *sizes[:-1]])
    stored = np.array([m for _, m in shapes])
    # Stored in another order than asked for, and not each sequence once.
    places = np.array([*range(len(shapes)), 0])[::-1].copy()
    if transform is None:
        transform = Compose((Crop(), Resample(frames), OneOf((Shear(), JointJitter(), Rotation()))))
    key = DrawKey(seed, 0, places, np.arange(len(places)))
    recorded = np.array([shapes[place][0] for place in places])
    parameters = transform.draw(key, identity(recorded, SMALL, bodies))
    out = np.full((len(places), parameters.frames or 0, bodies, 5, 3), np.nan, np.float32)
    views = make_views(packed, offset[places], stored[places], parameters, out=out)
    assert views is out
    for n, place in enumerate(places):
        joints = np.zeros((shapes[place][0], bodies, 5, 3), np.float32)
        kept = min(bodies, shapes[place][1])
        joints[:, :kept] = sequences[place][:, :kept]
        noise = None if parameters.noise is None else parameters.noise[n]
        expected = naive.view(joints, parameters.describe(n), SMALL, noise)
        np.testing.assert_allclose(views[n], expected, atol=2e-5)
        assert not views[n, :, kept:].any()


def test_views_of_their_own_lengths_do_not_stack() -> None:
    sequence = a_sequence(9, joints=5)
    two = np.array([0, 0]), np.array([1, 1])
    with pytest.raises(ValueError, match="end the augmentation in a resampling"):
        make_views(sequence.joints[:, 0], *two, drawn(Shear(), 2, 9, SMALL))
    with pytest.raises(ValueError, match="end the augmentation in a resampling"):
        sample_frames(drawn(Crop(), 2, 9, SMALL))


def test_a_single_view_may_keep_its_length() -> None:
    sequence = a_sequence(9, joints=5)
    parameters = drawn(Crop(0.5, 0.5, 1), 1, 9, SMALL)
    views = make_views(sequence.joints[:, 0], np.array([0]), np.array([1]), parameters)
    start = int(parameters.start[0])
    np.testing.assert_array_equal(views[0], sequence.joints[start : start + 4])


def test_no_views() -> None:
    for transform in (ISC, Compose((Resample(8), Noise()))):
        nothing = np.empty(0, np.int64)
        parameters = transform.draw(DrawKey(0, 0, nothing, nothing), identity(nothing, NTU, 2))
        views = make_views(np.zeros((3, 25, 3), np.float32), nothing, nothing, parameters)
        assert views.shape == (0, parameters.frames, 2, 25, 3)


@pytest.mark.parametrize(
    ("rows", "offset", "bodies", "message"),
    [
        ((9, 4, 3), [0], [1], r"rows are \(9, 4, 3\), expected \(R, 5, 3\) as in small"),
        ((8, 5, 3), [0], [1], "8 rows do not hold the sequences, which end at row 9"),
        ((9, 5, 3), [1], [1], "9 rows do not hold the sequences, which end at row 10"),
        ((9, 5, 3), [0], [2], "9 rows do not hold the sequences, which end at row 18"),
        ((9, 5, 3), [-1], [1], "do not hold"),
        ((9, 5, 3), [0, 0], [1, 1], "2 offsets and 2 bodies for 1 views"),
    ],
)
def test_rows_that_do_not_hold_the_sequences(
    rows: tuple[int, ...], offset: list[int], bodies: list[int], message: str
) -> None:
    parameters = drawn(Resample(4), 1, 9, SMALL)
    with pytest.raises(ValueError, match=message):
        make_views(np.zeros(rows, np.float32), np.array(offset), np.array(bodies), parameters)


def test_out_of_another_shape() -> None:
    parameters = drawn(Resample(4), 1, 9, SMALL)
    rows, one = np.zeros((9, 5, 3), np.float32), np.array([1])
    for out in (np.empty((1, 4, 2, 5, 3), np.float32), np.empty((1, 4, 1, 5, 3))):
        with pytest.raises(ValueError, match=r"expected float32 \(1, 4, 1, 5, 3\)"):
            make_views(rows, 0 * one, one, parameters, out=out)  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [[0], [5, 0, 3], [-1]])
def test_sequences_without_a_frame(frames: list[int]) -> None:
    with pytest.raises(ValueError, match="a sequence without a frame has no view"):
        identity(np.array(frames), SMALL, 1)


def test_drawing_changes_no_parameters_drawn_before() -> None:
    before = drawn(Compose((Crop(), Resample(8), Shear(), JointJitter(), Noise())), 3, layout=SMALL)
    copies = {name: np.array(value) for name, value in vars(before).items() if isinstance(value, np.ndarray)}
    Noise().draw(keys(3), before)
    again = drawn(Compose((Crop(), Resample(8), Shear(), JointJitter())), 3, layout=SMALL)
    Compose((OneOf((Rotation(), JointJitter())), Noise())).draw(keys(3), replace(again))
    for name, value in copies.items():
        np.testing.assert_array_equal(getattr(before, name), value)
        if name != "noise":
            np.testing.assert_array_equal(getattr(again, name), value)


# ---- streams


@pytest.mark.parametrize("layout", [NTU, SMALL, chain(1)])
@pytest.mark.parametrize("frames", [1, 2, 8])
def test_streams_equal_their_twins(layout: JointLayout, frames: int) -> None:
    views = np.stack([a_sequence(frames, 2, layout.size, seed).joints for seed in (0, 1)])
    assert to_stream(views, "joint", layout) is views
    for n, joints in enumerate(views):
        bones = to_stream(views, "bone", layout)[n]
        np.testing.assert_array_equal(bones, naive.to_bones(joints, layout.bones))
        np.testing.assert_array_equal(to_stream(views, "motion", layout)[n], naive.to_motion(joints))


def test_absent_bodies_have_no_bones() -> None:
    sequence = come_and_go(5)
    bones = to_stream(sequence.joints[None], "bone", SMALL)[0]
    assert not bones[~sequence.present].any()
    assert bones[sequence.present].any(axis=(1, 2)).all()


def test_a_stream_that_is_none() -> None:
    assert STREAMS == ("joint", "bone", "motion")
    with pytest.raises(ValueError, match="no stream 'bones'; expected joint, bone, motion"):
        to_stream(np.zeros((1, 2, 1, 5, 3), np.float32), "bones", SMALL)


@pytest.mark.parametrize("views", [1, 3, 33])
def test_keys_whose_parts_do_not_fit(views: int) -> None:
    with pytest.raises(ValueError, match=rf"sample is \(32,\), view is \({views},\), expected \(N,\) twice"):
        DrawKey(0, 0, np.arange(32), np.zeros(views, np.int64))


@pytest.mark.parametrize(("seed", "epoch"), [(-1, 0), (0, -1), (1 << 64, 0), (0, 1 << 64)])
def test_seeds_out_of_range(seed: int, epoch: int) -> None:
    with pytest.raises(ValueError, match=r"(seed|epoch) is -?\d+, expected 0 or more, below 2\*\*64"):
        DrawKey(seed, epoch, np.zeros(1, np.int64), np.zeros(1, np.int64))


def test_matrices_and_joints_of_another_number() -> None:
    parameters = identity(np.full(4, 5), SMALL, 1)
    with pytest.raises(ValueError, match=r"matrix is \(1, 3, 3\), expected \(4, 3, 3\)"):
        parameters.mapped(np.eye(3)[None])
    with pytest.raises(ValueError, match=r"matrix is \(1, 3, 3\), expected \(4, 3, 3\)"):
        Rotation().draw(keys(1), parameters)
    with pytest.raises(
        ValueError, match=r"views are \(1, 2, 1, 17, 3\), expected \(N, F, M, 5, 3\) as in small"
    ):
        to_stream(np.zeros((1, 2, 1, 17, 3), np.float32), "bone", SMALL)
