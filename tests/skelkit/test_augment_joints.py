"""Augmentations of the joints: what they draw, and what they keep."""

from __future__ import annotations

import numpy as np
import pytest
from draws import NTU, SMALL, a_sequence, chain, come_and_go, drawn, values
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as SciPyRotation
from scipy.stats import chisquare, kstest

from skelkit.augment import (
    AxisMask,
    BoneLengths,
    Compose,
    JointJitter,
    Mirror,
    PartMask,
    Rotation,
    Shear,
    Transform,
    augment_sequence,
)
from skelkit.skeleton import JointLayout, load_layout
from skelkit.views import ViewParameters


def lengths(joints: NDArray[np.float32], layout: JointLayout) -> NDArray[np.float64]:
    """(T, M, bones)"""
    child, parent = np.array(layout.bones).T
    return np.linalg.norm((joints[:, :, child] - joints[:, :, parent]).astype(np.float64), axis=-1)


def matrices(parameters: ViewParameters) -> NDArray[np.float64]:
    """(N, 3, 3) of views all of whose joints are mapped alike."""
    assert (parameters.maps == parameters.maps[:, :1]).all()
    return parameters.maps[:, 0].astype(np.float64)


# ---- shear


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_shear_matrix(strength: float) -> None:
    matrix = values(drawn(Shear(strength), 400, layout=SMALL), "shear.matrix")
    np.testing.assert_array_equal(np.diagonal(matrix, axis1=1, axis2=2), 1)
    others = matrix[:, ~np.eye(3, dtype=np.bool_)]
    if strength == 0:
        assert not others.any()
        return
    for element in others.T:
        assert kstest(element, "uniform", (-strength, 2 * strength)).pvalue > 0.01
    assert np.abs(np.corrcoef(others.T) - np.eye(6)).max() < 0.2


def test_shears_determinant_by_its_elements() -> None:
    parameters = drawn(Shear(), 50, layout=SMALL)
    matrix = values(parameters, "shear.matrix")
    (_, a, b), (c, _, d), (e, f, _) = matrix.transpose(1, 2, 0)
    expected = 1 + a * d * e + b * c * f - a * c - b * e - d * f
    np.testing.assert_allclose(np.linalg.det(matrices(parameters)), expected, atol=1e-6)


def test_the_inverse_matrix_brings_a_sheared_body_back() -> None:
    sequence = a_sequence(4, bodies=2, joints=5)
    view, parameters = augment_sequence(sequence, Shear(0.4), SMALL, seed=2)
    back = view.joints @ np.linalg.inv(matrices(parameters)[0]).T
    np.testing.assert_allclose(back, sequence.joints, atol=1e-5)


# ---- jitter


@pytest.mark.parametrize(("joints", "jittered"), [(25, 15), (20, 12), (17, 10), (1, 1)])
def test_jitter_takes_its_share_of_the_joints(joints: int, jittered: int) -> None:
    parameters = drawn(JointJitter(), 400, layout=chain(joints))
    chosen = np.asarray(parameters.drawn["jitter.joints"].values, np.bool_)
    assert (chosen.sum(axis=1) == jittered).all()
    assert np.abs(chosen.mean(axis=0) - jittered / joints).max() < 0.1
    matrix = values(parameters, "jitter.matrix")
    zeroed = ~matrix.any(axis=(1, 2))
    assert 0.42 < zeroed.mean() < 0.58
    assert kstest(matrix[~zeroed][:, 1, 2], "uniform", (-1, 2)).pvalue > 0.01
    same = np.broadcast_to(np.eye(3), parameters.maps.shape)
    np.testing.assert_array_equal(parameters.maps[~chosen], same[~chosen])
    np.testing.assert_array_equal(parameters.maps[zeroed][chosen[zeroed]], 0)


def test_each_set_of_joints_is_equally_likely() -> None:
    chosen = values(drawn(JointJitter(0.4), 600, layout=SMALL), "jitter.joints")
    _, counts = np.unique(chosen, axis=0, return_counts=True)
    assert len(counts) == 10  # two of five
    assert chisquare(counts).pvalue > 0.01


def test_kinds_of_jitter_differ_in_the_matrix_alone() -> None:
    both, zero, matrix = (
        drawn(JointJitter(kind=kind), 40, layout=SMALL)
        for kind in ("both", "zero", "matrix")  # type: ignore[arg-type]
    )
    for other in (zero, matrix):
        np.testing.assert_array_equal(values(both, "jitter.joints"), values(other, "jitter.joints"))
    assert not values(zero, "jitter.matrix").any()
    drawn_matrix = values(matrix, "jitter.matrix")
    assert drawn_matrix.any(axis=(1, 2)).all()
    multiplied = values(both, "jitter.matrix").any(axis=(1, 2))
    np.testing.assert_array_equal(values(both, "jitter.matrix")[multiplied], drawn_matrix[multiplied])


# ---- rotation


@pytest.mark.parametrize("axis", ["x", "y", "z", "random"])
def test_rotation_equals_scipys_and_keeps_distances(axis: str) -> None:
    sequence = a_sequence(3, bodies=2)
    for sample in range(10):
        view, parameters = augment_sequence(sequence, Rotation(40, axis), NTU, seed=4, sample=sample)
        found = parameters.describe(0)
        angle, about = float(found["rotation.degrees"]), np.asarray(found["rotation.axis"], float)
        assert abs(angle) <= 40
        assert np.linalg.norm(about) == pytest.approx(1)
        if axis != "random":
            np.testing.assert_array_equal(about, np.eye(3)["xyz".index(axis)])
        turn = SciPyRotation.from_rotvec(about * angle, degrees=True)
        expected = turn.apply(sequence.joints.reshape(-1, 3)).reshape(sequence.joints.shape)
        np.testing.assert_allclose(view.joints, expected, atol=2e-6)
        np.testing.assert_allclose(lengths(view.joints, NTU), lengths(sequence.joints, NTU), atol=5e-6)


@pytest.mark.parametrize("axis", ["y", "random"])
def test_rotations_are_isometries_that_keep_hands_apart(axis: str) -> None:
    matrix = matrices(drawn(Rotation(180, axis), 100, layout=SMALL))
    np.testing.assert_allclose(matrix @ matrix.transpose(0, 2, 1) - np.eye(3), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-6)


def test_random_axes_cover_the_sphere() -> None:
    parameters = drawn(Rotation(25), 600, layout=SMALL)
    about = values(parameters, "rotation.axis")
    for coordinate in about.T:  # Archimedes: each is uniform
        assert kstest(coordinate, "uniform", (-1, 2)).pvalue > 0.01
    assert kstest(values(parameters, "rotation.degrees"), "uniform", (-25, 50)).pvalue > 0.01


# ---- mirror


@pytest.mark.parametrize("layout", [NTU, load_layout("kinect20"), load_layout("coco17"), SMALL])
@pytest.mark.parametrize("axis", ["x", "y", None])
def test_mirror_twice_changes_nothing(layout: JointLayout, axis: str | None) -> None:
    sequence = a_sequence(3, bodies=2, joints=layout.size)
    once, _ = augment_sequence(sequence, Mirror(axis), layout, seed=0)
    assert (once.joints != sequence.joints).any()
    twice, _ = augment_sequence(sequence, Compose((Mirror(axis), Mirror(axis))), layout, seed=0)
    np.testing.assert_array_equal(twice.joints, sequence.joints)


def test_mirror_changes_left_and_right() -> None:
    sequence = a_sequence(3)
    view, _ = augment_sequence(sequence, Mirror(), NTU, seed=0)
    left, right = NTU.joints.index("left knee"), NTU.joints.index("right knee")
    np.testing.assert_array_equal(view.joints[:, :, left], sequence.joints[:, :, right] * [-1, 1, 1])
    head = NTU.joints.index("head")
    np.testing.assert_array_equal(view.joints[:, :, head], sequence.joints[:, :, head] * [-1, 1, 1])


def test_mirror_keeps_bone_lengths() -> None:
    sequence = a_sequence(3)
    view, _ = augment_sequence(sequence, Mirror(), NTU, seed=0)
    other = NTU.mirrored()
    place = {bone: n for n, bone in enumerate(NTU.bones)}
    mirrored = [place[int(other[child]), int(other[parent])] for child, parent in NTU.bones]
    np.testing.assert_allclose(lengths(view.joints, NTU), lengths(sequence.joints, NTU)[..., mirrored])


# ---- masks


def test_axis_mask_takes_each_axis_as_often() -> None:
    parameters = drawn(AxisMask(), 600, layout=SMALL)
    axis, counts = np.unique(parameters.drawn["axis.axis"].values, return_counts=True)
    assert axis.tolist() == ["x", "y", "z"]
    assert chisquare(counts).pvalue > 0.01
    view, one = augment_sequence(a_sequence(3, joints=5), AxisMask(), SMALL, seed=1)
    masked = "xyz".index(str(one.describe(0)["axis.axis"]))
    assert np.flatnonzero(~view.joints.any(axis=(0, 1, 2))).tolist() == [masked]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_part_mask_hides_whole_parts(count: int) -> None:
    sequence = a_sequence(3)
    for sample in range(8):
        view, parameters = augment_sequence(sequence, PartMask(count), NTU, seed=1, sample=sample)
        names = parameters.describe(0)["parts.names"].tolist()
        assert len(set(names)) == count
        hidden = sorted(joint for name in names for joint in NTU.parts[name])
        assert np.flatnonzero(~view.joints.any(axis=(0, 1, 3))).tolist() == hidden
        others = np.setdiff1d(np.arange(25), hidden)
        np.testing.assert_array_equal(view.joints[:, :, others], sequence.joints[:, :, others])


def test_part_mask_takes_each_part_as_often() -> None:
    names, counts = np.unique(drawn(PartMask(), 500).drawn["parts.names"].values, return_counts=True)
    assert set(names) == set(NTU.parts)
    assert chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(("count", "has"), [(1, "names no body parts"), (3, "names 2 body parts")])
def test_a_layout_with_too_few_parts(count: int, has: str) -> None:
    layout = SMALL if count > 1 else JointLayout("bare", ("a", "b"), ((1, 0),), (), 0, (0, 1), (0, 1))
    with pytest.raises(ValueError, match=f"^parts: {count} to be masked, but the joint layout .* {has}$"):
        drawn(PartMask(count), 1, layout=layout)


# ---- bone lengths


@pytest.mark.parametrize("layout", [NTU, load_layout("kinect20"), load_layout("coco17"), SMALL])
def test_bones_become_so_many_times_as_long(layout: JointLayout) -> None:
    sequence = a_sequence(3, bodies=2, joints=layout.size)
    view, parameters = augment_sequence(sequence, BoneLengths(0.6, 1.7), layout, seed=5)
    factor = np.asarray(parameters.describe(0)["bones.factor"], np.float64)
    child, parent = np.array(layout.bones).T
    np.testing.assert_allclose(
        lengths(view.joints, layout), factor[child] * lengths(sequence.joints, layout), rtol=1e-5
    )
    old, new = (joints[:, :, child] - joints[:, :, parent] for joints in (sequence.joints, view.joints))
    np.testing.assert_allclose(new, old * factor[child, None].astype(np.float32), atol=1e-5)
    roots = np.setdiff1d(np.arange(layout.size), child)
    np.testing.assert_array_equal(view.joints[:, :, roots], sequence.joints[:, :, roots])


def test_factors_of_bones_are_uniform() -> None:
    factor = values(drawn(BoneLengths(0.8, 1.3), 200, layout=SMALL), "bones.factor")
    assert (factor[:, 1] == 1).all()  # the neck is the root
    assert kstest(factor[:, [0, 2, 3, 4]].ravel(), "uniform", (0.8, 0.5)).pvalue > 0.01


def test_scaling_bones_up_and_down_again() -> None:
    sequence = come_and_go(5)
    both = Compose((BoneLengths(2, 2), BoneLengths(0.5, 0.5)))
    view, _ = augment_sequence(sequence, both, SMALL, seed=0)
    np.testing.assert_allclose(view.joints, sequence.joints, atol=1e-6)
    assert not view.joints[~sequence.present].any()


@pytest.mark.parametrize(
    ("bones", "message"),
    [
        (((1, 0), (2, 1), (2, 0)), "layout odd: joint 2 has two bones towards the trunk"),
        (((0, 1), (1, 2), (2, 0)), "layout odd: the bones from joint 0 run in a ring"),
    ],
)
def test_bones_that_are_no_tree(bones: tuple[tuple[int, int], ...], message: str) -> None:
    layout = JointLayout("odd", ("a", "b", "c"), bones, (), 0, (0, 1), (0, 1))
    with pytest.raises(ValueError, match=f"^{message}$"):
        drawn(BoneLengths(), 1, layout=layout)


# ---- one after the other


@settings(deadline=None, max_examples=30)
@given(
    parts=st.permutations([Rotation(50), Shear(0.5), Mirror(), JointJitter(), AxisMask(), PartMask()]),
    seed=st.integers(0, 2**32),
)
def test_joint_maps_can_be_taken_back_to_one(parts: list[Transform], seed: int) -> None:
    """However many come one after another, a view has one map a joint."""
    sequence = a_sequence(2, joints=5, seed=1)
    view, parameters = augment_sequence(sequence, Compose(tuple(parts)), SMALL, seed=seed)
    assert parameters.order is not None
    taken = sequence.joints[:, :, parameters.order[0]]
    mapped = np.einsum("vij,tmvj->tmvi", parameters.maps[0], taken)
    np.testing.assert_allclose(view.joints, mapped, atol=1e-5)
