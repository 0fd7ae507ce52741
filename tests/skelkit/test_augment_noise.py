"""Noise, and blur over time."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from draws import SMALL, a_sequence, come_and_go, drawn, keys, values
from scipy.ndimage import gaussian_filter1d
from scipy.stats import kstest

from skelkit.augment import Blur, Compose, Noise, Resample, augment_sequence
from skelkit.sequence import SkeletonSequence
from skelkit.views import identity


def test_noise_is_made_of_the_numbers_of_its_key() -> None:
    parameters = drawn(Noise(0.3), 3, 4, SMALL, seed=7, bodies=2)
    assert parameters.noise is not None
    assert parameters.noise.shape == (3, 4, 2, 5, 3)
    for n in range(3):
        uniforms = naive.uniforms(7, 0, 0, n, 0, 4 * 2 * 5 * 3)
        np.testing.assert_allclose(parameters.noise[n].ravel(), naive.gaussians(uniforms, 0.3), rtol=1e-5)


def test_noise_is_normal_and_independent() -> None:
    noise = drawn(Noise(0.2), 40, 6, SMALL).noise
    assert noise is not None
    assert kstest(noise.ravel(), "norm", (0, 0.2)).pvalue > 0.01
    flat = noise.reshape(-1, 2)
    assert abs(np.corrcoef(flat.T)[0, 1]) < 0.05  # the two that come from two uniform numbers
    assert abs(np.corrcoef((flat**2).T)[0, 1]) < 0.05


def test_noise_does_not_depend_on_the_longest_view_of_the_batch() -> None:
    layout = SMALL
    both = Noise().draw(keys(2), identity(np.array([3, 9]), layout, 1))
    alone = Noise().draw(keys(1), identity(np.array([3]), layout, 1))
    assert both.noise is not None
    assert alone.noise is not None
    np.testing.assert_array_equal(both.noise[0, :3], alone.noise[0])


def test_noise_moves_only_bodies_that_are_there() -> None:
    sequence = come_and_go(5)
    view, parameters = augment_sequence(sequence, Noise(0.1), SMALL, seed=0)
    assert parameters.noise is not None
    moved = sequence.joints + parameters.noise[0]
    np.testing.assert_array_equal(view.joints[sequence.present], moved[sequence.present])
    assert not view.joints[~sequence.present].any()


def test_noises_add_up() -> None:
    both = drawn(Compose((Noise(0.3), Noise(0.4))), 30, 8, SMALL).noise
    assert both is not None
    assert kstest(both.ravel(), "norm", (0, 0.5)).pvalue > 0.01


def test_no_noise() -> None:
    sequence = a_sequence(3, joints=5)
    view, _ = augment_sequence(sequence, Noise(0), SMALL, seed=0)
    np.testing.assert_array_equal(view.joints, sequence.joints)


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0, 2.0, 30.0])
@pytest.mark.parametrize("frames", [1, 2, 20])
def test_blur_equals_scipys(sigma: float, frames: int) -> None:
    """scipy takes zeros outside; how much of the Gaussian lies inside, a filter of ones tells."""
    sequence = a_sequence(frames, bodies=2, joints=5)
    view, _ = augment_sequence(sequence, Blur(sigma, sigma), SMALL, seed=0)
    outside = {"axis": 0, "mode": "constant", "truncate": 4.0}
    total = gaussian_filter1d(sequence.joints.astype(float), sigma, **outside)
    inside = gaussian_filter1d(np.ones((frames, 1, 1, 1)), sigma, **outside)
    np.testing.assert_allclose(view.joints, total / inside, atol=2e-6)


def test_blur_of_nothing_changes_nothing() -> None:
    sequence = a_sequence(5, joints=5)
    view, _ = augment_sequence(sequence, Blur(0, 0), SMALL, seed=0)
    np.testing.assert_array_equal(view.joints, sequence.joints)


def test_blur_keeps_who_stands_still() -> None:
    """Absent frames weigh nothing: nobody is drawn to the origin."""
    sequence = come_and_go(5)
    still = np.where(sequence.present[..., None, None], sequence.joints[3], 0).astype(np.float32)
    sequence = SkeletonSequence(still, sequence.present, "a", 0)
    view, _ = augment_sequence(sequence, Blur(3, 3), SMALL, seed=0)
    np.testing.assert_allclose(view.joints, still, atol=1e-6)


def test_sigma_of_blur_is_uniform_and_in_frames_of_the_view() -> None:
    sigma = values(drawn(Blur(0.5, 2.5), 500, layout=SMALL), "blur.sigma")
    assert kstest(sigma, "uniform", (0.5, 2)).pvalue > 0.01
    sequence = a_sequence(9, joints=5)
    view, _ = augment_sequence(sequence, Compose((Resample(30), Blur(2, 2))), SMALL, seed=0)
    resampled = naive.resample(sequence.joints, 30)
    np.testing.assert_allclose(view.joints, naive.blur(resampled, 2.0), atol=2e-6)
