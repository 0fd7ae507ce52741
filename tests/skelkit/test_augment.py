"""All augmentations and what is composed of them, against tests/naive.py; who is there in a view."""

from __future__ import annotations

from collections.abc import Callable

import naive
import numpy as np
import pytest
from draws import NTU, SMALL, a_sequence, chain, come_and_go, compositions, drawn, keys
from hypothesis import given, settings
from hypothesis import strategies as st

from skelkit.augment import (
    AUGMENTATIONS,
    ISC,
    AxisMask,
    Blur,
    BoneLengths,
    CentreCrop,
    Compose,
    Crop,
    JointJitter,
    Mirror,
    Noise,
    OneOf,
    PartMask,
    Resample,
    Reverse,
    Rotation,
    Shear,
    Sometimes,
    Speed,
    TemporalMask,
    Transform,
    augment_sequence,
)
from skelkit.cli.base import AUGMENTATION_NAMES
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout, load_layout
from skelkit.views import ViewParameters, identity, make_views


def twin(sequence: SkeletonSequence, parameters: ViewParameters, layout: JointLayout) -> naive.Joints:
    noise = None if parameters.noise is None else parameters.noise[0]
    return naive.view(sequence.joints, parameters.describe(0), layout, noise)


# ---- against the twin


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("frames", [1, 2, 63, 64, 103])
def test_augmentations_equal_their_twins(name: str, frames: int) -> None:
    for sample in range(3):
        sequence = a_sequence(frames, bodies=2, joints=5, seed=sample)
        view, parameters = augment_sequence(sequence, AUGMENTATIONS[name], SMALL, seed=9, sample=sample)
        expected = twin(sequence, parameters, SMALL)
        assert parameters.describe(0)
        assert view.joints.shape == expected.shape
        np.testing.assert_allclose(view.joints, expected, atol=3e-6)


@settings(deadline=None, max_examples=60)
@given(
    transform=compositions(12),
    seed=st.integers(0, 2**32),
    frames=st.integers(1, 40),
    moves=st.booleans(),
)
def test_whatever_can_be_composed_equals_its_twin(
    transform: Transform, seed: int, frames: int, moves: bool
) -> None:
    sequence = come_and_go(5) if moves else a_sequence(frames, joints=5, seed=seed % 7)
    view, parameters = augment_sequence(sequence, transform, SMALL, seed=seed)
    np.testing.assert_allclose(view.joints, twin(sequence, parameters, SMALL), atol=2e-5)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize(
    "layout", [load_layout("ntu25"), load_layout("kinect20"), load_layout("coco17"), chain(1)]
)
@pytest.mark.parametrize(("frames", "bodies"), [(1, 1), (2, 2), (30, 1)])
def test_any_layout_and_length(name: str, layout: JointLayout, frames: int, bodies: int) -> None:
    sequence = a_sequence(frames, bodies, layout.size)
    view, parameters = augment_sequence(sequence, AUGMENTATIONS[name], layout, seed=3)
    np.testing.assert_allclose(view.joints, twin(sequence, parameters, layout), atol=3e-6)
    again, _ = augment_sequence(sequence, AUGMENTATIONS[name], layout, seed=3)
    np.testing.assert_array_equal(again.joints, view.joints)


def test_the_command_offers_all_by_name() -> None:
    assert tuple(AUGMENTATIONS) == AUGMENTATION_NAMES


# ---- independence of batch and order


@settings(deadline=None, max_examples=20)
@given(
    transform=compositions(6),
    samples=st.lists(st.integers(0, 2**40), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_views_depend_on_neither_batch_nor_order(
    transform: Transform, samples: list[int], seed: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(samples))))
    frames = np.array([1 + sample % 30 for sample in samples])
    offset = np.cumsum([0, *frames[:-1]])
    rows = np.random.default_rng(0).normal(size=(frames.sum(), 5, 3)).astype(np.float32)

    def make(places: list[int]) -> naive.Joints:
        key = keys(len(places), seed)
        key.sample[:] = np.array(samples)[places]
        parameters = transform.draw(key, identity(frames[places], SMALL, 1))
        return make_views(rows, offset[places], np.ones(len(places), np.int64), parameters)

    whole = make(list(range(len(samples))))
    np.testing.assert_array_equal(make(order), whole[order])
    for n in range(len(samples)):
        np.testing.assert_array_equal(make([n])[0], whole[n])


def test_seed_epoch_sample_and_view_all_matter() -> None:
    base = {"seed": 1, "epoch": 1, "sample": 1, "view": 1}
    sequence = a_sequence(80)
    maps = [augment_sequence(sequence, Shear(), NTU, **base)[1].maps]
    maps += [augment_sequence(sequence, Shear(), NTU, **{**base, name: 2})[1].maps for name in base]
    for n, one in enumerate(maps):
        assert all((one != other).any() for other in maps[:n])


def test_parts_of_a_composition_draw_apart() -> None:
    """What a part draws does not depend on what stands beside it."""
    alone = drawn(Compose((Crop(), Resample(8), Shear())), 5)
    other = drawn(Compose((CentreCrop(), Resample(9), Shear())), 5)
    np.testing.assert_array_equal(alone.maps, other.maps)
    nested = drawn(Compose((Shear(), Compose((Shear(),)))), 1)
    assert len({round(float(x), 6) for x in nested.maps[0, 0].ravel()}) == 9


# ---- compositions


def test_one_of_takes_each_as_often_and_describes_what_it_took() -> None:
    parameters = drawn(ISC, 600)
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
    parameters = drawn(nested, 500, layout=SMALL)
    active = [parameters.drawn[k].active for k in ("shear.matrix", "rotation.axis", "jitter.joints")]
    assert (np.sum(active, axis=0) == 1).all()
    np.testing.assert_allclose(np.mean(active, axis=1), [0.25, 0.25, 0.5], atol=0.06)


def test_sometimes_leaves_the_others_as_they_are() -> None:
    parameters = drawn(Sometimes(Mirror(), 0.3), 500, layout=SMALL)
    mirrored = parameters.drawn["mirror.axis"].active
    assert 0.25 < mirrored.mean() < 0.35
    assert parameters.order is not None
    assert (parameters.order[~mirrored] == np.arange(5)).all()
    assert (parameters.maps[~mirrored] == np.eye(3)).all()
    assert (parameters.order[mirrored] == [0, 1, 3, 2, 4]).all()
    assert parameters.active.all()


def test_sometimes_in_a_one_of() -> None:
    parameters = drawn(OneOf((Sometimes(Shear(), 0.5), JointJitter())), 400, layout=SMALL)
    sheared, jittered = (parameters.drawn[k].active for k in ("shear.matrix", "jitter.joints"))
    assert not (sheared & jittered).any()
    np.testing.assert_allclose([sheared.mean(), jittered.mean()], [0.25, 0.5], atol=0.07)


@pytest.mark.parametrize(("probability", "takes_part"), [(0.0, False), (1.0, True)])
def test_sometimes_can_be_always_or_never(probability: float, takes_part: bool) -> None:
    parameters = drawn(Sometimes(Crop(0.5, 0.5, 1), probability), 50)
    assert (parameters.drawn["crop.start"].active == takes_part).all()
    assert (parameters.length == (51 if takes_part else 103)).all()


def test_one_of_may_change_the_frames() -> None:
    parameters = drawn(OneOf((Crop(0.5, 0.5, 1), Speed(2.0, 2.0))), 40, frames=100)
    fast = parameters.drawn["speed.factor"].active
    assert 0 < fast.sum() < 40
    assert (parameters.played == np.where(fast, 50, 100)).all()
    assert (parameters.length == 50).all()
    assert (parameters.start[fast] == 0).all()


def test_two_of_a_kind_are_both_described() -> None:
    parameters = drawn(OneOf((Shear(0.1), Shear(1.0))), 30)
    one, other = parameters.drawn["shear.matrix"], parameters.drawn["shear #2.matrix"]
    assert (one.active != other.active).all()
    assert drawn(Compose((Shear(), Shear(), Shear())), 1).describe(0).keys() == {
        *("shear.matrix", "shear #2.matrix", "shear #3.matrix")
    }


# ---- what is refused


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((Resample(8), Crop()), "crop must come before resample"),
        ((Resample(8), CentreCrop()), "centre crop must come before resample"),
        ((Crop(), Speed()), "speed must come before crop"),
        ((Resample(8), Speed()), "speed must come before resample"),
        ((Speed(), Speed()), "speed fits into a composition only once"),
        ((Resample(8), Resample(9)), "resample fits into a composition only once"),
        ((Noise(), Resample(8)), "resample must come before noise"),
        ((Blur(), Resample(8)), "resample must come before blur"),
        ((TemporalMask(), Crop()), "crop must come before mask"),
        ((TemporalMask(), Reverse()), "reverse must come before mask"),
        ((Noise(), Reverse()), "reverse must come before noise"),
        ((Noise(), Blur()), "blur must come before noise"),
        ((Blur(), Blur()), "blur fits into a composition only once"),
        ((TemporalMask(), Blur()), "blur must come before mask"),
        ((JointJitter(), BoneLengths()), "bones must come before jitter"),
        ((Mirror(), BoneLengths()), "bones must come before mirror"),
        ((PartMask(), BoneLengths()), "bones must come before parts"),
        ((OneOf((Shear(), Mirror())), BoneLengths()), "bones must come before mirror"),
        *(
            ((Noise(), part), f"{name} must come before noise")
            for name, part in (
                *(("shear", Shear()), ("rotation", Rotation()), ("jitter", JointJitter())),
                *(
                    ("mirror", Mirror()),
                    ("axis", AxisMask()),
                    ("parts", PartMask()),
                    ("bones", BoneLengths()),
                ),
            )
        ),
    ],
)
def test_an_order_that_no_view_has(parts: tuple[Transform, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        drawn(Compose(parts), 2, layout=SMALL)


@pytest.mark.parametrize("build", [lambda part: OneOf((Shear(), part)), Sometimes])
def test_all_views_of_a_batch_are_resampled_alike(build: Callable[[Transform], Transform]) -> None:
    with pytest.raises(ValueError, match="all views of a batch have the same frames"):
        drawn(build(Resample(8)), 1)


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
        (lambda: Speed(0, 1), "speed: factors"),
        (lambda: Speed(2, 1), "speed: factors"),
        (lambda: Speed(1, float("inf")), "speed: factors"),
        (lambda: TemporalMask(1.1), "mask: share"),
        (lambda: TemporalMask(float("nan")), "mask: share"),
        (lambda: Shear(-0.1), "shear: strength"),
        (lambda: Shear(float("nan")), "shear: strength"),
        (lambda: JointJitter(share=1.1), "jitter: share"),
        (lambda: JointJitter(share=-0.1), "jitter: share"),
        (lambda: JointJitter(strength=-1), "jitter: strength"),
        (lambda: JointJitter(kind="none"), "jitter: kind 'none'"),  # type: ignore[arg-type]
        (lambda: Rotation(axis="w"), "rotation: axis 'w'"),
        (lambda: Rotation(float("inf")), "rotation: inf degrees"),
        (lambda: Mirror("w"), "mirror: axis 'w'"),
        (lambda: PartMask(0), "parts: 0 body parts"),
        (lambda: BoneLengths(0, 1), "bones: factors"),
        (lambda: BoneLengths(1.2, 1.1), "bones: factors"),
        (lambda: Noise(-1), "noise: sigma"),
        (lambda: Blur(-1, 1), "blur: sigma"),
        (lambda: Blur(2, 1), "blur: sigma"),
        (lambda: Compose(()), "compose: 0 parts"),
        (lambda: OneOf(()), "one-of: 0 parts"),
        (lambda: OneOf((Shear(),) * 16), "one-of: 16 parts"),
        (lambda: Sometimes(Shear(), 1.5), "sometimes: probability"),
    ],
)
def test_bad_ranges_raise_at_construction(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_a_sequence_without_a_frame() -> None:
    with pytest.raises(ValueError, match="without a frame"):
        augment_sequence(a_sequence(0), Shear(), NTU, seed=0)


def test_a_sequence_of_another_layout() -> None:
    with pytest.raises(ValueError, match=r"rows are \(4, 20, 3\), expected \(R, 25, 3\) as in ntu25"):
        augment_sequence(a_sequence(4, joints=20), Shear(), NTU, seed=0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_sequence_that_is_not_finite(wrong: float) -> None:
    joints = a_sequence(4).joints.copy()
    joints[2, 0, 3, 1] = wrong
    sequence = a_sequence(4).changed(joints=joints)
    with pytest.raises(ValueError, match="a coordinate is not finite"):
        augment_sequence(sequence, Rotation(), NTU, seed=0)


# ---- who is there


@pytest.mark.parametrize("name", ["shear", "jitter", "rotation", "mirror", "bones", "parts", "axis", "noise"])
def test_presence_stays_where_frames_stay(name: str) -> None:
    sequence = come_and_go()
    view, _ = augment_sequence(sequence, AUGMENTATIONS[name], NTU, seed=0)
    np.testing.assert_array_equal(view.present, sequence.present)
    assert not view.joints[~sequence.present].any()
    assert view.tracks is None


def test_blur_makes_nobody_appear() -> None:
    sequence = come_and_go()
    view, _ = augment_sequence(sequence, Blur(2, 2), NTU, seed=0)
    np.testing.assert_array_equal(view.present, sequence.present)
    assert (view.joints != sequence.joints).any(axis=(2, 3))[sequence.present].all()


def test_presence_follows_the_window() -> None:
    sequence = come_and_go()
    view, parameters = augment_sequence(sequence, Crop(0.5, 0.5, 1), NTU, seed=0)
    start = int(parameters.start[0])
    np.testing.assert_array_equal(view.present, sequence.present[start : start + 4])


@pytest.mark.parametrize("parts", [(), (Reverse(),), (Speed(0.5, 0.5),), (Speed(1.7, 1.7), Reverse())])
@pytest.mark.parametrize("frames", [1, 3, 8, 16, 64])
def test_presence_after_resampling_is_where_a_body_has_weight(
    parts: tuple[Transform, ...], frames: int
) -> None:
    view, _ = augment_sequence(come_and_go(), Compose((*parts, Resample(frames))), NTU, seed=0)
    np.testing.assert_array_equal(view.present, view.joints.any(axis=(2, 3)))


def test_nobody_is_present_in_hidden_frames() -> None:
    view, parameters = augment_sequence(come_and_go(), TemporalMask(0.5), NTU, seed=0)
    assert parameters.hidden is not None
    assert parameters.hidden.sum() == 4
    assert not view.present[parameters.hidden[0]].any()
    assert view.present[~parameters.hidden[0], 0].all()
