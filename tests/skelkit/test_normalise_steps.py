"""normalise: each step does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from draws import a_sequence
from people import NTU, bodies, padded, run, sequence, slim

from skelkit.normalise import (
    RECIPES,
    bodies_by_track,
    centre_each_frame,
    centre_first_frame,
    close_gaps,
    drop_empty_frames,
    drop_short_tracks,
    drop_wide_bodies,
    drop_zero_bodies,
    fill_gaps,
    first_slots,
    most_moving,
    rank_by_motion,
    turn_shoulders,
    turn_spine,
    two_actors,
)


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


def test_centre_each_frame_leaves_untracked_joints_at_zero() -> None:
    given = sequence([[1], [1]])
    given.joints[1, 0, 7] = 0
    given.joints[1, 0, 9] = [1, 1, -2]
    joints = centre_each_frame(given, NTU).joints
    assert not joints[1, 0, [7, 9]].any()


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


def test_an_id_of_zero_is_an_id() -> None:
    given = sequence([[0, 1], [1, 1], [1, 0]], tracks=[[0, 0], [0, 0], [0, 0]])
    result = bodies_by_track(given, NTU)
    assert result.present.tolist() == [[True, False], [True, True], [True, False]]
    assert result.notes[0] == "body 0 occurs twice in frame 1: taken for two persons"


def test_an_id_twice_in_a_frame_is_two_persons() -> None:
    given = sequence([[1, 1], [1, 1]], tracks=[[5, 5], [5, 5]])
    np.testing.assert_array_equal(bodies_by_track(given, NTU).joints, given.joints)


def test_drop_empty_frames() -> None:
    given = sequence([[0, 0], [1, 0], [0, 0], [0, 1]])
    result = drop_empty_frames(given, NTU)
    np.testing.assert_array_equal(result.joints, given.joints[[1, 3]])
    assert result.present.tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("present", "frames"),
    [
        ([1, 1, 1, 0], [0, 1, 2, 3]),
        ([0, 1, 1, 0], [0, 1, 2, 3]),
        ([1, 0, 1, 1], [0, 2, 3, 1]),
        ([0, 1, 0, 1], [0, 1, 3, 2]),
    ],
)
def test_close_gaps(present: list[int], frames: list[int]) -> None:
    given = sequence([[here, 1] for here in present])
    result = close_gaps(given, NTU)
    np.testing.assert_array_equal(result.joints[:, 0], given.joints[frames, 0])
    np.testing.assert_array_equal(result.present[:, 0], given.present[frames, 0])
    np.testing.assert_array_equal(result.joints[:, 1], given.joints[:, 1])


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [
        ([12, 11, 40], [0, 2]),
        ([11, 12], [1]),
        ([3], [0]),
        ([3, 0], [0]),
        ([0, 12, 12], [1, 2]),
        ([11, 3, 0], [0, 1]),
    ],
)
def test_drop_short_tracks(lengths: list[int], kept: list[int]) -> None:
    given = bodies(*[run(0, length - 1) for length in lengths])
    result = drop_short_tracks(given, NTU, frames=12)
    np.testing.assert_array_equal(result.joints, given.joints[:, kept])


def test_drop_wide_bodies_counts_frames_and_keeps_the_last() -> None:
    given = slim(bodies(*[run(0, 9, 10)] * 3))
    given.joints[:7, 0, :, 0] *= 100
    given.joints[:8, 1, :, 0] *= 100
    np.testing.assert_array_equal(
        drop_wide_bodies(given, NTU, ratio=0.8, share=0.75).joints, given.joints[:, [0, 2]]
    )
    given.joints[:, :, :, 0] = given.joints[:, :, :, 1] * 2
    np.testing.assert_array_equal(
        drop_wide_bodies(given, NTU, ratio=0.8, share=0.75).joints, given.joints[:, [2]]
    )


def test_rank_by_motion_does_not_count_a_leap_in_wide_frames() -> None:
    given = slim(bodies(*[run(0, 9, 10)] * 2))
    given.joints[:, 1] *= 0.9
    np.testing.assert_array_equal(rank_by_motion(given, NTU, ratio=0.8).joints, given.joints)
    given.joints[:, 1] *= 2
    np.testing.assert_array_equal(rank_by_motion(given, NTU, ratio=0.8).joints, given.joints[:, [1, 0]])
    given.joints[:, 1] *= 0.4
    given.joints[4, 1, :, 0] = np.linspace(0, 100, 25)
    np.testing.assert_array_equal(rank_by_motion(given, NTU, ratio=0.8).joints, given.joints)


@pytest.mark.parametrize(
    ("spans", "actors"),
    [
        ([(0, 39), (0, 39)], [0, 1]),
        ([(0, 9), (10, 19)], [0, 0]),
        ([(20, 39), (0, 20)], [0, 0]),
        ([(0, 9), (8, 19)], [0, 1]),
        ([(0, 39), (0, 39), (0, 39)], [0, 1, None]),
        ([(0, 39), (0, 9), (9, 20), (30, 39)], [0, 1, 1, 1]),
        ([(0, 9), (0, 9), (20, 39), (10, 19)], [0, 1, 0, 1]),
        ([(0, 39), (20, 39), (0, 15)], [0, 1, None]),  # the second actor counts as there from frame 0
    ],
)
def test_two_actors(spans: list[tuple[int, int]], actors: list[int | None]) -> None:
    given = bodies(*[run(*span) for span in spans])
    result = two_actors(given, NTU)
    expected = np.zeros((40, 2, 25, 3), np.float32)
    for m, (actor, (start, end)) in enumerate(zip(actors, spans, strict=True)):
        if actor is not None:
            expected[start : end + 1, actor] = given.joints[start : end + 1, m]
    np.testing.assert_array_equal(padded(result.joints), expected)
    np.testing.assert_array_equal(result.present, result.joints.any(axis=(2, 3)))


def test_centre_first_frame_moves_everybody_by_one_point() -> None:
    given = bodies([0, 1, 1], [1, 1, 0])
    joints = centre_first_frame(given, NTU).joints
    expected = np.where(given.present[..., None, None], given.joints - given.joints[1, 0, 1], 0)
    np.testing.assert_array_equal(joints, expected)


@pytest.mark.parametrize("recipe", RECIPES)
def test_joints_of_another_layout(recipe: str) -> None:
    with pytest.raises(ValueError, match="5 joints, expected the 25 of ntu25"):
        RECIPES[recipe].apply(a_sequence(3, joints=5), NTU)
