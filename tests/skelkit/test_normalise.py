"""normalise: the recipe of the paper equals the paper's own code; each step does what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping

import naive
import numpy as np
import pytest
from numpy.typing import NDArray

from skelkit.normalise import (
    RECIPES,
    bodies_by_track,
    centre_each_frame,
    drop_zero_bodies,
    fill_gaps,
    first_slots,
    most_moving,
    turn_shoulders,
    turn_spine,
)
from skelkit.readers import ntu
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout

NTU = load_layout("ntu25")


def sequence(
    present: list[list[int]], seed: int = 0, tracks: list[list[int]] | None = None
) -> SkeletonSequence:
    """Bodies anywhere in the room, where ``present`` (T, M) says so."""
    here = np.array(present, dtype=np.bool_).reshape(len(present), len(present[0]) if present else 0)
    joints = np.random.default_rng(seed).normal(0, 1, (*here.shape, 25, 3)).astype(np.float32)
    joints[~here] = 0
    return SkeletonSequence(joints, here, "a", 0, {}, None if tracks is None else np.array(tracks, np.int64))


def padded(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.pad(joints, ((0, 0), (0, 2 - joints.shape[1]), (0, 0), (0, 0)))


def test_isc_equals_the_papers_own_code(
    real_files: dict[str, bytes], golden_isc: Mapping[str, NDArray[np.float32]]
) -> None:
    assert len(golden_isc) == 61
    for name, expected in golden_isc.items():
        file = f"{name}.skeleton"
        result = RECIPES["isc"].apply(ntu.read(real_files[file], file), NTU)
        np.testing.assert_allclose(padded(result.joints), expected, rtol=0, atol=1e-5, err_msg=name)


def test_the_slow_twin_equals_the_papers_own_code(
    real_files: dict[str, bytes], golden_isc: Mapping[str, NDArray[np.float32]]
) -> None:
    shortest = sorted(golden_isc, key=lambda name: len(golden_isc[name]))[:4]
    for name in shortest:
        slow = naive.isc(naive.read_skeleton(real_files[f"{name}.skeleton"]))
        np.testing.assert_allclose(padded(slow), golden_isc[name], rtol=0, atol=1e-5, err_msg=name)


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


def test_a_body_of_zeros_is_absent() -> None:
    given = sequence([[1, 1], [1, 1]])
    given.joints[:, 1] = 0
    assert drop_zero_bodies(given, NTU).present.tolist() == [[True, False], [True, False]]
    assert RECIPES["isc"].apply(given, NTU).bodies == 1


def test_first_slots() -> None:
    given = sequence([[1, 1, 1]] * 2)
    np.testing.assert_array_equal(first_slots(given, NTU, bodies=2).joints, given.joints[:, :2])
    assert first_slots(given, NTU, bodies=9).bodies == 3


def test_most_moving_ranks_by_spread_over_present_frames() -> None:
    given = sequence([[1, 1, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1]])
    given.joints[:, 0] *= 0.5
    given.joints[:, 1] *= 3  # in one frame only; the frames in which it is absent do not count
    result = most_moving(given, NTU, bodies=2)
    np.testing.assert_array_equal(result.joints, given.joints[:, [1, 3]])
    assert most_moving(given, NTU, bodies=9).bodies == 3


@pytest.mark.parametrize(
    ("present", "frames"),
    [
        ([1, 1, 1], [0, 1, 2]),
        ([0, 1, 1, 0, 0], [1, 2, 1, 2, 1]),
        ([0, 1, 0, 1, 0], [1, 3, 1, 3, 1]),
        ([1, 1, 0, 0, 0], [0, 1, 0, 1, 0]),
        ([1, 0, 1, 0, 0], [0, 1, 2, 0, 1]),
        ([1, 0, 1], [0, 1, 2]),
        ([0, 0, 1], [2, 2, 2]),
    ],
)
def test_fill_gaps(present: list[int], frames: list[int]) -> None:
    given = sequence([[here] for here in present])
    result = fill_gaps(given, NTU)
    np.testing.assert_array_equal(result.joints, given.joints[frames])
    np.testing.assert_array_equal(result.present, given.present[frames])


def test_centre_each_frame_moves_everybody_by_the_first_body() -> None:
    given = sequence([[1, 1], [0, 1]])
    joints = centre_each_frame(given, NTU).joints
    np.testing.assert_allclose(joints[0], given.joints[0] - given.joints[0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(joints[1], given.joints[1])


@pytest.mark.parametrize("turn", [turn_spine, turn_shoulders])
def test_turning_is_a_rotation(turn: object) -> None:
    given = sequence([[1, 1], [1, 0]])
    result = turn(given, NTU)  # type: ignore[operator]
    gram = [s.joints.reshape(-1, 3) @ s.joints.reshape(-1, 3).T for s in (given, result)]
    np.testing.assert_allclose(gram[0], gram[1], atol=1e-4)
    volume = [np.linalg.det(s.joints[0, 0, :3].astype(float)) for s in (given, result)]
    assert volume[0] == pytest.approx(volume[1], abs=1e-4), "a mirror image would change the sign"
    np.testing.assert_array_equal(result.present, given.present)


@pytest.mark.parametrize("spine", [[0, 0, 2], [0, 0, -2], [0, 0, 0]])
def test_a_spine_that_has_no_shortest_turn_stays(spine: list[float]) -> None:
    given = sequence([[1]])
    given.joints[0, 0, 1] = given.joints[0, 0, 0] + np.array(spine, np.float32)
    np.testing.assert_array_equal(turn_spine(given, NTU).joints, given.joints)


def test_bodies_by_track_gives_each_person_one_place() -> None:
    given = sequence([[1, 1], [1, 0], [1, 1]], tracks=[[7, 5], [5, 0], [5, 9]])
    result = bodies_by_track(given, NTU)
    assert result.present.tolist() == [[True, True, False], [False, True, False], [False, True, True]]
    np.testing.assert_array_equal(result.joints[[0, 1, 2], 1], given.joints[[0, 1, 2], [1, 0, 0]])
    assert result.tracks is not None
    assert result.tracks.tolist() == [[7, 5, 0], [0, 5, 0], [0, 5, 9]]


def test_an_id_twice_in_a_frame_is_two_persons() -> None:
    given = sequence([[1, 1], [1, 1]], tracks=[[5, 5], [5, 5]])
    np.testing.assert_array_equal(bodies_by_track(given, NTU).joints, given.joints)


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
