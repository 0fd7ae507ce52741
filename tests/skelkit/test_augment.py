"""Every augmentation and kernel against its slow twin in tests/naive.py, numpy, scipy or torch."""

from __future__ import annotations

from collections.abc import Callable

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as SciPyRotation

from skelkit.augment import (
    AUGMENTATIONS,
    ISC,
    CentreCrop,
    Compose,
    Crop,
    JointJitter,
    OneOf,
    Resample,
    Rotation,
    Shear,
    Transform,
    augment,
)
from skelkit.sequence import SkeletonSequence
from skelkit.views import DrawKey, ViewParameters, identity, make_views

V = 25
KNOWN = [
    [0.17979448115353736, 0.5677791228112266, 0.4299920853868213, 0.9768453062841636, 0.7274717519593392],
    [0.5090215342674752, 0.14311012455910632, 0.4400871187288591, 0.10818720059380016, 0.6696814038448591],
]
WORDS = st.integers(0, 2**64 - 1)
PLACES = st.integers(0, 2**63 - 1)


def a_sequence(frames: int, bodies: int = 1, joints: int = V, seed: int = 0) -> SkeletonSequence:
    values = np.random.default_rng(seed).normal(size=(frames, bodies, joints, 3)).astype(np.float32)
    return SkeletonSequence(values, np.ones((frames, bodies), np.bool_), "a", 0)


def keys(views: int, seed: int = 0, epoch: int = 0, view: int = 0) -> DrawKey:
    return DrawKey(seed, epoch, np.arange(views), np.full(views, view))


def drawn(transform: Transform, views: int, frames: int = 103, joints: int = V) -> ViewParameters:
    return transform.draw(keys(views), identity(np.full(views, frames), joints))


def twin(joints: naive.Joints, parameters: ViewParameters, n: int = 0) -> naive.Joints:
    """View n made from what `describe` says alone, one slow augmentation after the other."""
    values = parameters.describe(n)
    for part in dict.fromkeys(name.split(".")[0] for name in values):
        if part in ("crop", "centre crop"):
            joints = naive.crop(joints, int(values[f"{part}.start"]), int(values[f"{part}.length"]))
        elif part == "resample":
            joints = naive.resample(joints, int(values["resample.frames"]))
        elif part == "shear":
            joints = naive.linear(joints, np.asarray(values["shear.matrix"], float))
        elif part == "rotation":
            turn = np.radians(float(values["rotation.degrees"])) * np.asarray(values["rotation.axis"], float)
            joints = naive.linear(joints, SciPyRotation.from_rotvec(turn).as_matrix())
        else:
            assert part == "jitter"
            chosen = np.asarray(values["jitter.joints"], np.bool_)
            joints = naive.jitter(joints, chosen, np.asarray(values["jitter.matrix"], float))
    return joints


# ---- the generator


@settings(deadline=None, max_examples=60)
@given(seed=WORDS, epoch=WORDS, stream=WORDS, sample=PLACES, view=PLACES, numbers=st.integers(1, 11))
def test_numbers_are_those_of_numpys_philox(
    seed: int, epoch: int, stream: int, sample: int, view: int, numbers: int
) -> None:
    key = DrawKey(seed, epoch, np.array([sample]), np.array([view]), stream)
    # As arrays: numpy turns a list that mixes words below and above 2**63 into floats.
    words, counter = np.array([seed, epoch], np.uint64), np.array([0, stream, sample, view], np.uint64)
    expected = np.random.Generator(np.random.Philox(key=words, counter=counter)).random(numbers)
    np.testing.assert_array_equal(key.uniforms(numbers)[0], expected)


@settings(deadline=None, max_examples=30)
@given(key=st.tuples(*[st.integers(0, 2**62)] * 5), numbers=st.integers(1, 70))
def test_numbers_are_those_of_the_twin(key: tuple[int, int, int, int, int], numbers: int) -> None:
    seed, epoch, stream, sample, view = key
    ours = DrawKey(seed, epoch, np.array([sample]), np.array([view]), stream).uniforms(numbers)
    np.testing.assert_array_equal(ours[0], naive.uniforms(*key, numbers))


def test_known_answer() -> None:
    """Fixed for ever: a change here makes every published seed another experiment."""
    key = DrawKey(seed=1, epoch=2, sample=np.array([3, 40000]), view=np.array([0, 1]), stream=5)
    np.testing.assert_array_equal(key.uniforms(5), KNOWN)


@settings(deadline=None, max_examples=30)
@given(samples=st.lists(PLACES, min_size=1, max_size=12), seed=WORDS, epoch=WORDS, data=st.data())
def test_draws_depend_on_neither_batch_nor_order(
    samples: list[int], seed: int, epoch: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(samples))))
    lengths = np.array([1 + sample % 300 for sample in samples])
    both = np.array(samples)

    def draw(places: NDArray[np.int64]) -> ViewParameters:
        key = DrawKey(seed, epoch, both[places], np.zeros(len(places), np.int64))
        return ISC.draw(key, identity(lengths[places], V))

    whole, shuffled = draw(np.arange(len(samples))), draw(np.array(order))
    for place, n in enumerate(order):
        single = draw(np.array([n]))
        for other, at in ((shuffled, place), (single, 0)):
            assert whole.start[n] == other.start[at]
            assert whole.length[n] == other.length[at]
            np.testing.assert_array_equal(whole.maps[n], other.maps[at])


def test_seed_epoch_sample_and_view_all_matter() -> None:
    base = {"seed": 1, "epoch": 1, "sample": 1, "view": 1}
    sequence = a_sequence(80)
    maps = [augment(sequence, Shear(), **base)[1].maps]
    maps += [augment(sequence, Shear(), **{**base, name: 2})[1].maps for name in base]
    for n, one in enumerate(maps):
        assert all((one != other).any() for other in maps[:n])


def test_parts_of_a_composition_draw_apart() -> None:
    """What a part draws does not depend on what stands beside it."""
    alone = drawn(Compose((Crop(), Resample(8), Shear())), 5)
    other = drawn(Compose((CentreCrop(), Resample(9), Shear())), 5)
    np.testing.assert_array_equal(alone.maps, other.maps)
    nested = drawn(Compose((Shear(), Compose((Shear(),)))), 1)
    assert len({round(float(x), 6) for x in nested.maps[0, 0].ravel()}) == 9


# ---- each augmentation against its twin


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("frames", [1, 2, 63, 64, 103])
def test_augmentations_equal_their_twins(name: str, frames: int) -> None:
    for sample in range(3):
        sequence = a_sequence(frames, bodies=2, seed=sample)
        view, parameters = augment(sequence, AUGMENTATIONS[name], seed=9, sample=sample)
        expected = twin(sequence.joints, parameters)
        assert view.joints.shape == expected.shape
        np.testing.assert_allclose(view.joints, expected, atol=2e-6)


@settings(deadline=None, max_examples=25)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 130), st.integers(1, 3)), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    frames=st.sampled_from([1, 2, 17, 64]),
)
def test_ragged_batch_equals_its_twins(shapes: list[tuple[int, int]], seed: int, frames: int) -> None:
    sequences = [a_sequence(t, m, joints=5, seed=n).joints for n, (t, m) in enumerate(shapes)]
    packed = np.concatenate([joints.reshape(-1, 5, 3) for joints in sequences])
    sizes = [t * m for t, m in shapes]
    offset = np.cumsum([0, *sizes[:-1]])
    bodies = np.array([m for _, m in shapes])
    # Stored in another order than asked for, and not each sequence once.
    places = np.array([*range(len(shapes)), 0])[::-1].copy()
    transform = Compose((Crop(), Resample(frames), OneOf((Shear(), JointJitter(), Rotation()))))
    key = DrawKey(seed, 0, places, np.arange(len(places)))
    parameters = transform.draw(key, identity(np.array([shapes[p][0] for p in places]), 5))
    out = np.full((len(places), frames, 2, 5, 3), np.nan, np.float32)
    views = make_views(packed, offset[places], bodies[places], parameters, max_bodies=2, out=out)
    assert views is out
    for n, place in enumerate(places):
        expected = np.zeros((frames, 2, 5, 3), np.float32)
        stored = twin(sequences[place], parameters, n)[:, :2]
        expected[:, : stored.shape[1]] = stored
        np.testing.assert_allclose(views[n], expected, atol=2e-6)
        if bodies[place] == 1:
            assert not views[n, :, 1].any()


def test_views_of_their_own_lengths_do_not_stack() -> None:
    sequence = a_sequence(9)
    with pytest.raises(ValueError, match="end the augmentation in a resampling"):
        make_views(sequence.joints[:, 0], np.array([0]), np.array([1]), drawn(Shear(), 1, 9), max_bodies=1)


def test_sequence_without_a_frame() -> None:
    with pytest.raises(ValueError, match="without a frame"):
        augment(a_sequence(0), Shear(), seed=0)


# ---- bounds and meaning


def test_shear_matrix() -> None:
    for strength in (0.0, 0.3, 1.0):
        matrix = np.asarray(drawn(Shear(strength), 500).drawn["shear.matrix"].values, float)
        np.testing.assert_array_equal(np.diagonal(matrix, axis1=1, axis2=2), 1)
        others = matrix[:, ~np.eye(3, dtype=np.bool_)]
        assert np.abs(others).max() <= strength
        assert np.abs(others.mean(axis=0)).max() <= 0.1 * strength
        assert others.max() >= 0.95 * strength
        assert others.min() <= -0.95 * strength


@pytest.mark.parametrize(("joints", "jittered"), [(25, 15), (20, 12), (17, 10)])
def test_jitter_takes_its_share_of_the_joints(joints: int, jittered: int) -> None:
    parameters = drawn(JointJitter(), 600, joints=joints)
    chosen = np.asarray(parameters.drawn["jitter.joints"].values, np.bool_)
    assert (chosen.sum(axis=1) == jittered).all()
    assert np.abs(chosen.mean(axis=0) - jittered / joints).max() < 0.1
    matrix = np.asarray(parameters.drawn["jitter.matrix"].values, float)
    assert np.abs(matrix).max() <= 1
    zeroed = ~matrix.any(axis=(1, 2))
    assert 0.42 < zeroed.mean() < 0.58
    assert (matrix[~zeroed] != 0).all()
    same = np.broadcast_to(np.eye(3), parameters.maps.shape)
    np.testing.assert_array_equal(parameters.maps[~chosen], same[~chosen])
    np.testing.assert_array_equal(parameters.maps[zeroed][chosen[zeroed]], 0)


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 400),
    bounds=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    shortest=st.integers(1, 100),
    seed=st.integers(0, 2**32),
)
def test_crop_lies_inside(frames: int, bounds: tuple[float, float], shortest: int, seed: int) -> None:
    low, high = sorted(bounds)
    parameters = Crop(low, high, shortest).draw(keys(40, seed), identity(np.full(40, frames), 1))
    start, length = parameters.start, parameters.length
    assert (start >= 0).all()
    assert (start + length <= frames).all()
    assert (length >= min(frames, shortest)).all()
    assert (length <= max(frames * high, min(frames, shortest))).all()
    assert (length >= np.floor(frames * low)).all()


def test_crop_of_the_paper() -> None:
    parameters = drawn(Crop(), 2000, frames=300)
    assert parameters.length.min() == 64
    assert parameters.length.max() >= 295
    assert (drawn(Crop(), 100, frames=64).length == 64).all()
    assert (drawn(Crop(), 100, frames=10).length == 10).all()
    # Both ends are reached, the last start included.
    assert set(drawn(Crop(0.5, 0.5, 1), 300, frames=8).start.tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("frames", "window"), [(1, (0, 1)), (2, (0, 2)), (100, (2, 96)), (41, (1, 39))])
def test_centre_crop(frames: int, window: tuple[int, int]) -> None:
    parameters = drawn(CentreCrop(0.95), 1, frames)
    assert (parameters.start[0], parameters.length[0]) == window


def test_crops_follow_one_another() -> None:
    sequence = a_sequence(100)
    view, parameters = augment(sequence, Compose((CentreCrop(0.5), CentreCrop(0.5))), seed=0)
    np.testing.assert_array_equal(view.joints, sequence.joints[37:63])
    assert (parameters.start[0], parameters.length[0]) == (37, 26)


@pytest.mark.parametrize("axis", ["x", "y", "z", "random"])
def test_rotation_equals_scipys_and_keeps_distances(axis: str) -> None:
    sequence = a_sequence(3, bodies=2)
    for sample in range(20):
        view, parameters = augment(sequence, Rotation(40, axis), seed=4, sample=sample)
        values = parameters.describe(0)
        angle, about = float(values["rotation.degrees"]), np.asarray(values["rotation.axis"], float)
        assert abs(angle) <= 40
        assert np.linalg.norm(about) == pytest.approx(1)
        if axis != "random":
            np.testing.assert_array_equal(about, np.eye(3)["xyz".index(axis)])
        turn = SciPyRotation.from_rotvec(about * angle, degrees=True)
        expected = turn.apply(sequence.joints.reshape(-1, 3)).reshape(sequence.joints.shape)
        np.testing.assert_allclose(view.joints, expected, atol=2e-6)
        lengths = np.linalg.norm(np.diff(sequence.joints, axis=2), axis=-1)
        np.testing.assert_allclose(np.linalg.norm(np.diff(view.joints, axis=2), axis=-1), lengths, atol=5e-6)


def test_random_axes_cover_the_sphere() -> None:
    about = np.asarray(drawn(Rotation(), 2000).drawn["rotation.axis"].values, float)
    assert np.abs(about.mean(axis=0)).max() < 0.06
    np.testing.assert_allclose((about**2).mean(axis=0), 1 / 3, atol=0.03)


@pytest.mark.parametrize("length", [1, 2, 3, 40, 63, 64, 65, 103, 300])
@pytest.mark.parametrize("frames", [1, 64, 90])
def test_resampling_equals_torchs(length: int, frames: int) -> None:
    torch = pytest.importorskip("torch")
    sequence = a_sequence(length, joints=4)
    ours = augment(sequence, Resample(frames), seed=0)[0].joints
    channels = torch.from_numpy(sequence.joints.reshape(length, -1).T.copy())[None].double()
    theirs = torch.nn.functional.interpolate(channels, size=frames, mode="linear", align_corners=False)
    np.testing.assert_allclose(ours.reshape(frames, -1).T, theirs[0].numpy(), atol=1e-6)


def test_resampling_to_the_same_length_changes_nothing() -> None:
    sequence = a_sequence(64)
    np.testing.assert_array_equal(augment(sequence, Resample(64), seed=0)[0].joints, sequence.joints)


def test_one_of_takes_each_as_often_and_describes_what_it_took() -> None:
    parameters = drawn(ISC, 1000)
    sheared = parameters.drawn["shear.matrix"].active
    jittered = parameters.drawn["jitter.joints"].active
    assert 0.45 < sheared.mean() < 0.55
    assert (sheared != jittered).all()
    for n in range(20):
        always = {"crop.start", "crop.length", "resample.frames"}
        took = {"shear.matrix"} if sheared[n] else {"jitter.joints", "jitter.matrix"}
        assert parameters.describe(n).keys() == always | took


def test_nested_one_of_describes_only_what_took_part() -> None:
    nested = OneOf((OneOf((Shear(), Rotation())), JointJitter()))
    parameters = drawn(nested, 800)
    active = [parameters.drawn[k].active for k in ("shear.matrix", "rotation.axis", "jitter.joints")]
    assert (np.sum(active, axis=0) == 1).all()
    np.testing.assert_allclose(np.mean(active, axis=1), [0.25, 0.25, 0.5], atol=0.06)
    joints = a_sequence(2).joints
    for n in range(6):
        mapped = np.einsum("vij,tmvj->tmvi", parameters.maps[n], joints)
        np.testing.assert_allclose(mapped, twin(joints, parameters, n), atol=2e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Crop(0, 1), "crop: shares"),
        (lambda: Crop(0.6, 0.5), "crop: shares"),
        (lambda: Crop(0.5, 1.1), "crop: shares"),
        (lambda: Crop(float("nan"), 1), "crop: shares"),
        (lambda: Crop(shortest=0), "crop: at least"),
        (lambda: CentreCrop(0), "centre crop: share"),
        (lambda: CentreCrop(1.01), "centre crop: share"),
        (lambda: Resample(0), "resample: to 0 frames"),
        (lambda: Shear(-0.1), "shear: strength"),
        (lambda: JointJitter(share=1.1), "jitter: share"),
        (lambda: JointJitter(share=-0.1), "jitter: share"),
        (lambda: JointJitter(strength=-1), "jitter: strength"),
        (lambda: Rotation(axis="w"), "rotation: axis 'w'"),
        (lambda: Compose(()), "compose: 0 parts"),
        (lambda: OneOf(()), "one-of: 0 parts"),
        (lambda: OneOf((Shear(),) * 16), "one-of: 16 parts"),
    ],
)
def test_bad_ranges_raise_at_construction(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_wrong_order_of_parts() -> None:
    for crop in (Crop(), CentreCrop()):
        with pytest.raises(ValueError, match="crop must come before the resampling"):
            drawn(Compose((Resample(8), crop)), 1)
    for part in (Crop(), CentreCrop(), Resample(8)):
        with pytest.raises(ValueError, match="only augmentations of joints fit"):
            drawn(OneOf((Shear(), part)), 1)


# ---- who is there


def come_and_go() -> SkeletonSequence:
    """Two bodies; the second is there in frames 3 to 5 of 8 alone."""
    sequence = a_sequence(8, bodies=2)
    joints, present = sequence.joints.copy(), sequence.present.copy()
    present[:3, 1] = present[6:, 1] = False
    joints[~present] = 0
    return SkeletonSequence(joints, present, "a", 0, tracks=np.ones((8, 2), np.int64))


@pytest.mark.parametrize("name", ["shear", "jitter", "rotation"])
def test_presence_stays_where_frames_stay(name: str) -> None:
    sequence = come_and_go()
    view, _ = augment(sequence, AUGMENTATIONS[name], seed=0)
    np.testing.assert_array_equal(view.present, sequence.present)
    assert view.tracks is None


def test_presence_follows_the_window() -> None:
    sequence = come_and_go()
    view, parameters = augment(sequence, Crop(0.5, 0.5, 1), seed=0)
    start = int(parameters.start[0])
    np.testing.assert_array_equal(view.present, sequence.present[start : start + 4])


def test_presence_after_resampling_is_where_a_body_has_weight() -> None:
    sequence = come_and_go()
    for frames in (1, 3, 8, 16, 64):
        view, _ = augment(sequence, Resample(frames), seed=0)
        np.testing.assert_array_equal(view.present, naive.resample(sequence.joints, frames).any(axis=(2, 3)))
