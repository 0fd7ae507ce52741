"""normalise: the papers' recipes equal the papers' code and their slow twins; what holds for all recipes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis
import naive
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from people import NTU, bodies, padded, sequence, slim

from skelkit.normalise import (
    RECIPES,
)
from skelkit.readers import ntu
from skelkit.sequence import SkeletonSequence


@pytest.fixture(scope="session")
def golden(ntu_data: Path) -> Mapping[str, NDArray[Any]]:
    path = ntu_data.parents[1] / "golden" / "normalised.npz"
    if not path.exists():
        pytest.skip("needs ../shared/golden/normalised.npz, which is not on this machine")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_ctrgcn(golden: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float32]]:
    """By name what CTR-GCN's own scripts make of the genuine files: (T, 2, 25, 3)."""
    parts = np.split(golden["ctrgcn_joints"], np.cumsum(golden["ctrgcn_length"])[:-1])
    return dict(zip(golden["ctrgcn_name"].tolist(), parts, strict=True))


@pytest.fixture(scope="session")
def golden_padded(golden: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float32]]:
    """By name (3, 300, 25, 2) as the ISC code stores it."""
    return dict(zip(golden["padded_name"].tolist(), golden["padded_joints"], strict=True))


@pytest.mark.parametrize("recipe", ["isc", "ctrgcn"])
def test_a_recipe_equals_the_papers_own_code(
    recipe: str, real_files: dict[str, bytes], request: pytest.FixtureRequest
) -> None:
    golden: Mapping[str, NDArray[np.float32]] = request.getfixturevalue(f"golden_{recipe}")
    assert len(golden) == 61
    for name, expected in golden.items():
        file = f"{name}.skeleton"
        result = RECIPES[recipe].apply(ntu.read(real_files[file], file), NTU)
        np.testing.assert_allclose(padded(result.joints), expected, rtol=0, atol=1e-5, err_msg=name)


def test_the_slow_twins_equal_the_papers_own_code(
    real_files: dict[str, bytes],
    golden_isc: Mapping[str, NDArray[np.float32]],
    golden_ctrgcn: Mapping[str, NDArray[np.float32]],
) -> None:
    shortest = sorted(golden_isc, key=lambda name: len(golden_isc[name]))[:4]
    for name in [*shortest, "S001C001P001R001A028", "S001C001P001R002A001", "S001C001P001R002A051"]:
        frames = naive.read_skeleton(real_files[f"{name}.skeleton"])
        for slow, golden in ((naive.isc, golden_isc), (naive.ctrgcn, golden_ctrgcn)):
            np.testing.assert_allclose(padded(slow(frames)), golden[name], rtol=0, atol=1e-5, err_msg=name)


def test_the_slow_pipeline_equals_the_papers_padded_arrays(
    real_files: dict[str, bytes], golden_padded: Mapping[str, NDArray[np.float32]]
) -> None:
    for name, expected in golden_padded.items():
        slow = naive.isc_pipeline(real_files[f"{name}.skeleton"])
        np.testing.assert_allclose(slow, expected, rtol=0, atol=1e-5, err_msg=name)


PATTERNS = {
    "always there": [[1]] * 5,
    "two": [[1, 1]] * 5,
    "late": [[0], [0], [1], [1], [1]],
    "early": [[1], [1], [0], [0], [0]],
    "late and early": [[0], [1], [1], [0], [0], [0], [0]],
    "gap": [[1], [0], [1], [1]],
    "late with a gap": [[0], [1], [0], [1], [0]],
    "second comes and goes": [[1, 0], [1, 1], [1, 0], [1, 1], [1, 0]],
    "the first leaves": [[1, 1], [1, 1], [0, 1], [1, 1]],
    "three": [[1, 1, 1], [1, 1, 0], [1, 1, 1]],
    "six": [[1] * 6] * 3,
    "one frame": [[1]],
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_isc_equals_its_slow_twin(pattern: str, seed: int) -> None:
    # As in the files, a slot is filled only where all before it are: absent is zero.
    given = sequence(PATTERNS[pattern], seed)
    frames = [[(m, pose.tolist()) for m, pose in enumerate(frame)] for frame in given.joints]
    result = RECIPES["isc"].apply(given, NTU)
    assert result.joints.dtype == np.float32
    assert result.bodies == min(2, given.bodies)
    np.testing.assert_allclose(result.joints, naive.isc(frames), rtol=0, atol=1e-5)


@st.composite
def crowds(draw: st.DrawFn) -> SkeletonSequence:
    """Up to six bodies that come and go, now and then under an id not their own, some of them of zeros."""
    frames, slots = draw(st.integers(0, 40)), draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    here = np.zeros((frames, slots), dtype=np.bool_)
    for m in range(slots):
        for start in rng.integers(0, frames + 1, draw(st.integers(0, 3))):
            here[start : start + rng.integers(1, 40), m] = True
    joints = rng.normal(0, 1, (frames, slots, 25, 3)) * rng.uniform(0.4, 1, (slots, 1, 3)) + 1
    joints[~here] = 0
    joints[rng.random((frames, slots)) < draw(st.sampled_from([0, 0.05]))] = 0
    tracks = None
    if draw(st.booleans()):
        tracks = np.tile(2**56 + np.arange(slots), (frames, 1))
        for m in range(1, slots):
            tracks[rng.integers(0, frames + 1) :, m] = 2**56 + rng.integers(0, slots)
        tracks[~here] = 0
    else:  # the twin knows no slots, but takes persons in the order in which they appear
        order = sorted(range(slots), key=lambda m: [*joints[:, m].any(axis=(1, 2)), True].index(True))
        joints, here = joints[:, order], here[:, order]
    return SkeletonSequence(joints.astype(np.float32), here, "a", 0, {}, tracks)


def as_frames(crowd: SkeletonSequence) -> naive.Bodies:
    """As a file lists them; where there are no ids, a slot is one."""
    tracks = np.broadcast_to(np.arange(crowd.bodies), crowd.present.shape)
    tracks = tracks if crowd.tracks is None else crowd.tracks
    return [
        [(int(track), pose.tolist()) for track, pose in zip(*frame, strict=True)]
        for frame in zip(tracks, crowd.joints, strict=True)
    ]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(crowd=crowds())
@hypothesis.example(crowd=sequence([[1, 1]]))
@hypothesis.example(crowd=sequence([]))
@hypothesis.example(crowd=slim(bodies([1] * 5 + [0] * 4 + [1] * 31, [0] * 5 + [0] * 4 + [1] * 31)))
def test_recipes_equal_their_slow_twins_whoever_comes_and_goes(crowd: SkeletonSequence) -> None:
    for name, twin in (("isc", naive.isc), ("ctrgcn", naive.ctrgcn)):
        result, expected = RECIPES[name].apply(crowd, NTU), twin(as_frames(crowd))
        assert result.bodies == (expected.shape[1] if expected.size else 0), name
        if expected.size:
            np.testing.assert_allclose(result.joints, expected, rtol=0, atol=1e-5, err_msg=name)
    raw = RECIPES["raw"].apply(crowd, NTU)
    assert raw.present.sum() == crowd.present.sum()


def test_the_absent_are_zero_and_not_minus_zero() -> None:
    result = RECIPES["isc"].apply(sequence([[1, 1], [1, 0], [1, 1]]), NTU)
    assert not np.signbit(result.joints[~result.present]).any()


def test_isc_turns_the_first_body_of_the_first_frame_upright() -> None:
    joints = RECIPES["isc"].apply(sequence([[1, 1]] * 4), NTU).joints
    first = joints[0, 0]
    np.testing.assert_allclose(joints[:, 0, 1], 0, atol=1e-6)
    right_to_x = first[8] - first[4]
    np.testing.assert_allclose(right_to_x[1:], 0, atol=1e-5)
    assert right_to_x[0] > 0


def test_nobody_is_left_of_nobody() -> None:
    for given in (sequence([[0, 0]] * 3), sequence([[]] * 3), sequence([])):
        for recipe in RECIPES.values():
            assert not recipe.apply(given, NTU).present.any()


@pytest.mark.parametrize("recipe", ["isc", "ctrgcn"])
def test_coordinates_too_large_are_refused(recipe: str) -> None:
    given = sequence([[1]] * 2)
    given.joints[:, :, ::2] = 3e38
    given.joints[:, :, 1::2] = -3e38
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="a: a coordinate is not finite"):
        RECIPES[recipe].apply(given, NTU)


def test_raw_changes_no_coordinate(real_files: dict[str, bytes]) -> None:
    for name in list(real_files)[:8]:
        given = ntu.read(real_files[name], name)
        result = RECIPES["raw"].apply(given, NTU)
        assert sorted(given.joints[given.present].ravel()) == sorted(result.joints[result.present].ravel())


def test_steps_do_not_change_what_they_are_given() -> None:
    given = sequence([[0, 1], [1, 0], [1, 1]], tracks=[[0, 5], [5, 0], [5, 9]])
    joints, present = given.joints.copy(), given.present.copy()
    for recipe in RECIPES.values():
        recipe.apply(given, NTU)
    np.testing.assert_array_equal(given.joints, joints)
    np.testing.assert_array_equal(given.present, present)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_describes_itself_as_plain_data(name: str) -> None:
    described = RECIPES[name].describe()
    assert described == json.loads(json.dumps(described))
    assert described["name"] == name
    assert len(described["steps"]) == len(RECIPES[name].steps)


def test_the_description_has_the_parameters() -> None:
    assert {"step": "most_moving", "bodies": 2} in RECIPES["isc"].describe()["steps"]
