"""normalise: the papers' recipes equal the papers' own code; each step does, and notes, what it says."""

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


def run(start: int, end: int, frames: int = 40) -> list[int]:
    """Present from one frame to the other, both included."""
    return [int(start <= t <= end) for t in range(frames)]


def bodies(*rows: list[int], tracks: bool = False) -> SkeletonSequence:
    """Each body's presence by frame; with ``tracks`` their ids are 100, 101, ..."""
    here = np.array(rows).T
    ids = here * (100 + np.arange(len(rows)))
    return sequence(here.tolist(), tracks=ids.tolist() if tracks else None)


def slim(sequence: SkeletonSequence) -> SkeletonSequence:
    """Bodies nobody takes for a reflection."""
    sequence.joints[..., 0] *= 0.1
    return sequence


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


def test_ctrgcn_equals_its_own_code(
    real_files: dict[str, bytes], golden_ctrgcn: Mapping[str, NDArray[np.float32]]
) -> None:
    assert len(golden_ctrgcn) == 61
    for name, expected in golden_ctrgcn.items():
        file = f"{name}.skeleton"
        result = RECIPES["ctrgcn"].apply(ntu.read(real_files[file], file), NTU)
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


@pytest.mark.parametrize("recipe", ["isc", "ctrgcn"])
def test_coordinates_too_large_are_refused(recipe: str) -> None:
    given = sequence([[1]] * 2)
    given.joints[:, :, ::2] = 3e38
    given.joints[:, :, 1::2] = -3e38
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="a: a coordinate is not finite"):
        RECIPES[recipe].apply(given, NTU)


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_to_tell_of_ordinary_files(real_files: dict[str, bytes], recipe: str) -> None:
    for name in ("S001C001P001R001A001", "S001C001P001R001A050"):
        assert RECIPES[recipe].apply(ntu.read(real_files[f"{name}.skeleton"], name), NTU).notes == ()


WIDE = "spread out in x by 0.46 m and in y by 0.43 m in 106 of its 108 frames, like a reflection or furniture"
GONE = "body 72057594037932127 only in frames 20-50 of 74"
EXTRA = "body 72057594037999999 only in frames 10-39 of 72"
TOLD = {
    ("S001C001P001R001A028", "isc"): [f"the body in slot 0 is kept, but {WIDE}"],
    ("S001C001P001R001A028", "ctrgcn"): [f"body 72057594037931781 left out: {WIDE}"],
    ("S001C001P001R001A028", "raw"): [],
    ("S001C001P001R002A001", "isc"): [
        "the body in slot 0 only in frames 5-102 of 103: moved to the start, played again from frame 98 on"
    ],
    ("S001C001P001R002A001", "ctrgcn"): [
        "body 72057594037931101 only in frames 5-102 of 103",
        "5 frames with nobody dropped",
    ],
    ("S001C001P001R002A003", "isc"): [
        "the body in slot 0 only in frames 0-29 and 41-103 of 104: its gaps stay"
    ],
    ("S001C001P001R002A003", "raw"): ["body 72057594037931186 only in frames 0-29 and 41-103 of 104"],
    ("S001C001P001R002A050", "isc"): [
        "the body in slot 1 only in frames 20-50 of 74: moved to the start, played again from frame 31 on"
    ],
    ("S001C001P001R002A050", "ctrgcn"): [GONE],
    ("S001C001P001R002A050", "raw"): [GONE],
    ("S001C001P001R002A051", "isc"): [
        "the body in slot 0 left out: its coordinates vary less (0.52 m) than those of the body in slot 1 "
        "(0.67 m) and the body in slot 2 (0.64 m)",
        "the body in slot 2 only in frames 10-39 of 72: moved to the start, played again from frame 30 on",
    ],
    ("S001C001P001R002A051", "ctrgcn"): [
        EXTRA,
        "body 72057594037932185 left out: both actors are taken when it is there",
    ],
}


@pytest.mark.parametrize(("name", "recipe"), TOLD)
def test_what_is_told_of_genuine_files(real_files: dict[str, bytes], name: str, recipe: str) -> None:
    notes = RECIPES[recipe].apply(ntu.read(real_files[f"{name}.skeleton"], name), NTU).notes
    assert list(notes) == TOLD[name, recipe]


def test_told_of_a_slot_with_several_persons() -> None:
    given = sequence([[1]] * 4, tracks=[[7], [7], [8], [7]])
    assert RECIPES["isc"].apply(given, NTU).notes == (
        "slot 0 holds several persons, who are taken for one: "
        "body 7 in frames 0-1 and 3 and body 8 in frame 2",
    )
    assert RECIPES["raw"].apply(given, NTU).notes == (
        "body 7 only in frames 0-1 and 3 of 4",
        "body 8 only in frame 2 of 4",
    )


def test_told_of_slots_beyond_those_that_count() -> None:
    notes = first_slots(sequence([[1, 1, 0], [1, 1, 1]]), NTU, bodies=1).notes
    assert notes == (
        "slot 1 left out: it is in frames 0-1, but only slot 0 counts",
        "slot 2 left out: it is in frame 1, but only slot 0 counts",
    )


def test_told_of_a_body_of_zeros() -> None:
    given = sequence([[1], [1]])
    given.joints[1] = 0
    assert drop_zero_bodies(given, NTU).notes == (
        "slot 0 holds a body of zeros in frame 1: taken for absent",
    )


def test_told_of_an_id_twice_in_a_frame() -> None:
    given = sequence([[1, 1], [1, 0]], tracks=[[5, 5], [5, 0]])
    assert bodies_by_track(given, NTU).notes == (
        "body 5 occurs twice in frame 0: taken for two persons",
        "body 5 only in frame 0 of 2",
    )


def test_told_of_many_runs_in_few_words() -> None:
    given = bodies([1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0], tracks=True)
    assert bodies_by_track(given, NTU).notes == ("body 100 only in 5 frames between 0 and 8 of 11",)


def test_told_of_who_is_left_out_or_joined_by_slot_or_id() -> None:
    rows = [run(0, 39), run(0, 3), run(0, 15), run(20, 39)]
    for given, who in (
        (bodies(*rows, tracks=True), [f"body {100 + m}" for m in range(4)]),
        (bodies(*rows), [f"the body in slot {m}" for m in range(4)]),
    ):
        slim(given)
        given.joints[:, 0] *= 2
        given.joints[:, 2] *= 1.5
        assert RECIPES["ctrgcn"].apply(given, NTU).notes == (
            f"{who[1]} only in frames 0-3 of 40",
            f"{who[2]} only in frames 0-15 of 40",
            f"{who[3]} only in frames 20-39 of 40",
            f"{who[1]} left out: in 4 frames, at least 12 wanted",
            f"{who[2]} and {who[3]} play one actor, one after the other",
        )


def test_told_of_gaps_that_are_closed() -> None:
    given = bodies([1, 1, 1, 1, 1], [1, 0, 0, 1, 1], tracks=True)
    assert close_gaps(given, NTU).notes == (
        "body 101 comes back after 2 frames of absence: its later frames move up to close the gap",
    )


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
