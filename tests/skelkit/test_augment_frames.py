"""Which frames a view shows: crops, speed, resampling, reverse and temporal mask."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from draws import SMALL, a_sequence, come_and_go, drawn, values
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from skelkit.augment import (
    CentreCrop,
    Compose,
    Crop,
    Mirror,
    Resample,
    Reverse,
    Shear,
    Speed,
    TemporalMask,
    Transform,
    augment_sequence,
)
from skelkit.views import sample_frames


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 400),
    bounds=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    shortest=st.integers(1, 100),
    seed=st.integers(0, 2**32),
)
def test_crop_lies_inside(frames: int, bounds: tuple[float, float], shortest: int, seed: int) -> None:
    low, high = sorted(bounds)
    parameters = drawn(Crop(low, high, shortest), 40, frames, SMALL, seed=seed)
    start, length = parameters.start, parameters.length
    assert (start >= 0).all()
    assert (start + length <= frames).all()
    assert (length >= min(frames, shortest)).all()
    assert (length <= max(frames * high, min(frames, shortest))).all()
    assert (length >= np.floor(frames * low)).all()


def test_crop_of_the_paper() -> None:
    parameters = drawn(Crop(), 800, frames=300)
    assert parameters.length.min() == 64
    assert parameters.length.max() >= 295
    assert (drawn(Crop(), 100, frames=64).length == 64).all()
    assert (drawn(Crop(), 100, frames=10).length == 10).all()
    # Both ends are reached, the last start included.
    assert set(drawn(Crop(0.5, 0.5, 1), 300, frames=8).start.tolist()) == {0, 1, 2, 3, 4}


def test_crop_is_uniform_in_share_and_start() -> None:
    long = 10**7  # so that whole frames are no steps
    parameters = drawn(Crop(0.2, 0.8), 600, frames=long)
    assert kstest(parameters.length / long, "uniform", (0.2, 0.6)).pvalue > 0.01
    assert kstest(parameters.start / (long - parameters.length), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(parameters.length, parameters.start / (long - parameters.length))[0, 1]) < 0.1


@pytest.mark.parametrize(("frames", "window"), [(1, (0, 1)), (2, (0, 2)), (100, (2, 96)), (41, (1, 39))])
def test_centre_crop(frames: int, window: tuple[int, int]) -> None:
    parameters = drawn(CentreCrop(0.95), 1, frames)
    assert (parameters.start[0], parameters.length[0]) == window


def test_crops_follow_one_another() -> None:
    sequence = a_sequence(100, joints=5)
    view, parameters = augment_sequence(sequence, Compose((CentreCrop(0.5), CentreCrop(0.5))), SMALL, seed=0)
    np.testing.assert_array_equal(view.joints, sequence.joints[37:63])
    assert (parameters.start[0], parameters.length[0]) == (37, 26)


@pytest.mark.parametrize("length", [1, 2, 3, 40, 63, 64, 65, 103, 300])
@pytest.mark.parametrize("frames", [1, 64, 90])
def test_resampling_equals_torchs(length: int, frames: int) -> None:
    torch = pytest.importorskip("torch")
    sequence = a_sequence(length, joints=5)
    ours = augment_sequence(sequence, Resample(frames), SMALL, seed=0)[0].joints
    channels = torch.from_numpy(sequence.joints.reshape(length, -1).T.copy())[None].double()
    theirs = torch.nn.functional.interpolate(channels, size=frames, mode="linear", align_corners=False)
    np.testing.assert_allclose(ours.reshape(frames, -1).T, theirs[0].numpy(), atol=1e-6)


def test_resampling_to_the_same_length_changes_nothing() -> None:
    sequence = a_sequence(64, joints=5)
    view, _ = augment_sequence(sequence, Resample(64), SMALL, seed=0)
    np.testing.assert_array_equal(view.joints, sequence.joints)


@pytest.mark.parametrize(
    ("factor", "frames", "played"), [(2.0, 9, 4), (0.5, 9, 18), (1.0, 9, 9), (30.0, 9, 1), (2.0, 1, 1)]
)
def test_speed_changes_the_number_of_frames(factor: float, frames: int, played: int) -> None:
    sequence = a_sequence(frames, joints=5)
    view, parameters = augment_sequence(sequence, Speed(factor, factor), SMALL, seed=0)
    assert (parameters.played[0], parameters.recorded[0]) == (played, frames)
    np.testing.assert_allclose(view.joints, naive.resample(sequence.joints, played), atol=1e-6)


def test_speed_then_resampling_is_resampling() -> None:
    """All frames are played, however fast; only the ends can differ by the part of a frame left out."""
    sequence = a_sequence(40, joints=5)
    both, _ = augment_sequence(sequence, Compose((Speed(0.5, 0.5), Resample(20))), SMALL, seed=0)
    one, _ = augment_sequence(sequence, Resample(20), SMALL, seed=0)
    np.testing.assert_allclose(both.joints, one.joints, atol=1e-6)


def test_speed_is_uniform() -> None:
    factor = values(drawn(Speed(0.5, 2.0), 500, layout=SMALL), "speed.factor")
    assert kstest(factor, "uniform", (0.5, 1.5)).pvalue > 0.01


def test_a_crop_of_what_is_played_twice_as_fast() -> None:
    moving = a_sequence(40, joints=5)
    moving.joints[:] = np.arange(40, dtype=np.float32)[:, None, None, None]
    view, _ = augment_sequence(moving, Compose((Speed(2.0, 2.0), CentreCrop(0.5))), SMALL, seed=0)
    np.testing.assert_allclose(view.joints[:, 0, 0, 0], np.arange(10.5, 30, 2))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CentreCrop(1), CentreCrop(1)),
        (CentreCrop(0.6), Resample(5)),
        (Resample(7), Mirror()),
        (Speed(0.7, 0.7), CentreCrop(0.7)),
        (Shear(), Speed(1.5, 1.5)),
    ],
)
def test_reverse_is_the_same_backwards(before: Transform, after: Transform) -> None:
    sequence = come_and_go(5)
    forwards, _ = augment_sequence(sequence, Compose((before, after)), SMALL, seed=0)
    backwards, _ = augment_sequence(sequence, Compose((before, Reverse(), after)), SMALL, seed=0)
    np.testing.assert_allclose(backwards.joints, forwards.joints[::-1], atol=1e-6)
    np.testing.assert_array_equal(backwards.present, forwards.present[::-1])


def test_reverse_twice_changes_nothing() -> None:
    sequence = a_sequence(9, joints=5)
    view, _ = augment_sequence(sequence, Compose((Reverse(), Reverse())), SMALL, seed=0)
    np.testing.assert_array_equal(view.joints, sequence.joints)


def test_a_crop_after_reverse_counts_from_the_end() -> None:
    sequence = a_sequence(50, joints=5)
    for seed in range(5):
        view, parameters = augment_sequence(
            sequence, Compose((Reverse(), Crop(0.2, 0.5, 1))), SMALL, seed=seed
        )
        start, length = (int(parameters.describe(0)[f"crop.{name}"]) for name in ("start", "length"))
        np.testing.assert_array_equal(view.joints, sequence.joints[::-1][start : start + length])


@pytest.mark.parametrize(("share", "frames", "hidden"), [(0.0, 9, 0), (0.2, 10, 2), (1.0, 7, 7), (0.4, 1, 0)])
def test_mask_hides_its_share_of_the_frames(share: float, frames: int, hidden: int) -> None:
    parameters = drawn(TemporalMask(share), 30, frames, SMALL)
    assert parameters.hidden is not None
    assert parameters.hidden.shape == (30, frames)
    assert (parameters.hidden.sum(axis=1) == hidden).all()
    assert (np.abs(np.diff(parameters.hidden.astype(int), axis=1)).sum(axis=1) <= 2).all()


def test_mask_begins_anywhere() -> None:
    start = values(drawn(TemporalMask(0.5), 300, 8, SMALL), "mask.start")
    assert set(start) == {0, 1, 2, 3, 4}


def test_masks_add_up() -> None:
    both = drawn(Compose((TemporalMask(0.3), TemporalMask(0.3))), 60, 40, SMALL)
    assert both.hidden is not None
    hidden = both.hidden.sum(axis=1)
    assert hidden.min() >= 12
    assert hidden.max() == 24


def test_sampled_frames_never_leave_the_sequence() -> None:
    for transform in (Compose((Speed(), Crop(0.1, 1, 1), Resample(7))), Compose((Reverse(), Resample(64)))):
        for frames in (1, 2, 50):
            below, weight = sample_frames(drawn(transform, 40, frames, SMALL))
            assert below.min() >= 0
            assert ((weight >= 0) & (weight <= 1)).all()
            assert (below + (weight > 0)).max() <= frames - 1
