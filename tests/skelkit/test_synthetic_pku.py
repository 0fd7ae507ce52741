"""synthetic.pku: valid recordings, labels and split lists, laid out as PKU-MMD is."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from commands import skelkit
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from skelkit.readers.pku import read, read_labels, read_split
from skelkit.skeleton import load_layout
from skelkit.synthetic import synthesise

NUMBER = re.compile(r"-?\d+\.\d{6}")
HIPS, SHOULDERS = [16, 12], [8, 4]  # right, left
Numbers = NDArray[np.float64]


class Action(NamedTuple):
    label: int
    start: int
    stop: int


@cache
def parse(path: Path) -> Numbers:
    """(T, 2, 25, 3) by line and word; nothing is forgiven."""
    raw = path.read_bytes()
    assert raw.isascii()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    first, *rest = raw.decode().removesuffix("\n").split("\n")
    assert all(line.startswith(" ") for line in rest)
    rows = [line.split(" ") for line in [first, *(line.removeprefix(" ") for line in rest)]]
    assert {len(row) for row in rows} == {150}
    assert all(NUMBER.fullmatch(word) for row in rows[::29] for word in row)
    return np.array(rows, dtype=np.float64).reshape(-1, 2, 25, 3)


def parse_labels(path: Path) -> list[Action]:
    raw = path.read_text()
    assert re.fullmatch(r"(\d+,\d+,\d+,2\n)+", raw)
    rows = [[int(word) for word in line.split(",")] for line in raw.splitlines()]
    return [Action(*row[:3]) for row in rows]


def parse_split(path: Path, end: str) -> tuple[list[str], list[str]]:
    """The names that train and those that validate; end stands after the last of each."""
    head, training, middle, validation, nothing = path.read_bytes().decode().split("\n")
    assert (head, middle, nothing) == ("Training videos: ", "Validataion videos: ", "")
    lists = [names.removesuffix(end).split(", ") for names in (training, validation)]
    assert [names + end for names in map(", ".join, lists)] == [training, validation]
    return lists[0], lists[1]


@pytest.fixture(scope="module")
def phase1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings 1 and 2 of each subject are of one person, 3 is of two."""
    root = tmp_path_factory.mktemp("phase1")
    synthesise(root, dataset="pku1", classes=8, subjects=4, repeats=2, seed=3)
    return root


@pytest.fixture(scope="module")
def phase2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A01 and A02 are of one person, A03 is of two."""
    root = tmp_path_factory.mktemp("phase2")
    synthesise(root, dataset="pku2", classes=16, subjects=4, repeats=1, seed=3)
    return root


def skeletons(root: Path) -> list[Path]:
    return sorted(root.glob("PKU_Skeleton_*/*"))


def labels(root: Path) -> list[Path]:
    """In the order of `skeletons`."""
    return sorted([*root.glob("Train_Label_PKU_final/*"), *root.glob("Label_PKU_v2/*")])


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_layout_and_names_of_phase_1(phase1: Path) -> None:
    videos = [f"{number:04}-{camera}.txt" for number in range(2, 14) for camera in "LMR"]
    assert names(phase1) == {
        *(f"PKU_Skeleton_Renew/{video}" for video in videos),
        *(f"Train_Label_PKU_final/{video}" for video in videos),
        "Split/cross-subject.txt",
        "Split/cross-view.txt",
    }


def test_layout_and_names_of_phase_2(phase2: Path) -> None:
    videos = [f"A0{a}N0{n}-{camera}.txt" for a in (1, 2, 3) for n in (1, 2, 3, 4) for camera in "LMR"]
    assert names(phase2) == {
        *(f"PKU_Skeleton_v2/{video}" for video in videos),
        *(f"Label_PKU_v2/{video}" for video in videos),
        "Split_v2/cross_subject_v2.txt",
        "Split_v2/cross_view_v2.txt",
    }


def test_every_recording_is_one_a_kinect_could_have_made(phase1: Path, phase2: Path) -> None:
    bones = load_layout("ntu25").bones
    for path in [*skeletons(phase1)[::5], *skeletons(phase2)[::5]]:
        recording = parse(path)
        assert 120 < len(recording) < 2100
        seen = recording[recording.any(axis=(2, 3))]
        assert ((seen[..., 2] > 1.5) & (seen[..., 2] < 4.9)).all()
        assert (abs(seen[..., 0]) < 2).all()
        assert (abs(seen[..., 1]) < 1.8).all()
        between = [np.linalg.norm(seen[:, a] - seen[:, b], axis=-1).mean() for a, b in bones]
        assert min(between) > 0.02
        assert max(between) < 0.62


def test_labels_are_inside_their_recording_with_rest_between(phase1: Path, phase2: Path) -> None:
    for root in (phase1, phase2):
        for skeleton, label in zip(skeletons(root), labels(root), strict=True):
            assert skeleton.name == label.name
            actions = parse_labels(label)
            assert 1 <= len(actions) <= 10
            assert all(40 <= action.stop - action.start <= 110 for action in actions)
            before = [0, *(action.stop for action in actions)]
            after = [*(action.start for action in actions), len(parse(skeleton))]
            assert all(30 <= b - a <= 90 for a, b in zip(before, after, strict=True))


def test_the_three_cameras_see_the_same_actions(phase1: Path) -> None:
    files = labels(phase1)
    for left, middle, right in zip(files[::3], files[1::3], files[2::3], strict=True):
        assert left.read_bytes() == middle.read_bytes() == right.read_bytes()
    assert len({file.read_bytes() for file in files}) == len(files) // 3


def test_every_subject_performs_every_class_so_many_times(phase1: Path, phase2: Path) -> None:
    for subject in range(4):
        mine = [parse_labels(file) for file in labels(phase1)[9 * subject : 9 * subject + 9 : 3]]
        assert Counter(action.label for actions in mine for action in actions) == dict.fromkeys(
            range(1, 9), 2
        )
        mine = [parse_labels(file) for file in labels(phase2) if f"N0{subject + 1}-M" in file.name]
        assert Counter(action.label for actions in mine for action in actions) == dict.fromkeys(
            range(1, 17), 1
        )


def test_orders_differ_between_subjects(phase2: Path) -> None:
    orders = [[action.label for action in parse_labels(file)] for file in phase2.glob("Label*/A01*-L.txt")]
    assert len({tuple(order) for order in orders}) == 4
    assert any(order != sorted(order) for order in orders)


def test_an_absent_second_person_is_all_zeros(phase1: Path, phase2: Path) -> None:
    late = []
    for root in (phase1, phase2):
        single = 6 if root == phase1 else 12
        for skeleton, label in zip(skeletons(root), labels(root), strict=True):
            recording, actions = parse(skeleton), parse_labels(label)
            present = recording.any(axis=(2, 3))
            assert np.array_equal(present, recording.any(axis=3).all(axis=2))
            assert present[:, 0].all()
            assert len({action.label > single for action in actions}) == 1
            if actions[0].label <= single:
                assert not present[:, 1].any()
            else:
                here = np.flatnonzero(present[:, 1])
                assert here[-1] - here[0] + 1 == len(here)
                assert here[0] >= 3
                assert here[-1] >= actions[-1].stop - 1
                late.append(here[0] - actions[0].start)
    assert max(late) <= 12
    assert min(late) < 0


def test_somebody_who_steps_aside_or_turns_is_back_for_the_next_action(phase2: Path) -> None:
    seen = set()
    for skeleton, label in zip(skeletons(phase2), labels(phase2), strict=True):
        recording, actions = parse(skeleton), parse_labels(label)
        trunk = recording[:, 0, [0, 1, 20]]
        steps = np.linalg.norm(np.diff(trunk, axis=0), axis=-1).max(axis=1)
        for action in actions:
            steps[action.start : action.stop - 1] = 0  # leaves the steps into and out of it
        assert steps.max() < 0.06
        starts = np.array([trunk[max(a.start - 3, 0) : a.start, 0].mean(axis=0) for a in actions])
        assert np.ptp(starts, axis=0).max() < 0.08
        seen |= {a.label for a in actions if np.linalg.norm(trunk[a.stop - 1, 0] - trunk[a.start, 0]) > 0.15}
    assert seen == {12}  # "walk"


def test_people_face_the_middle_camera_or_each_other(phase1: Path) -> None:
    for skeleton in skeletons(phase1)[1::3]:
        recording = parse(skeleton)
        both = recording.any(axis=(2, 3)).all(axis=1)
        right, left = recording[:40, 0, HIPS].mean(axis=0)
        # A Kinect's x grows to its own left, where the right side is of somebody who faces it.
        turned = np.degrees(np.arctan2(right[2] - left[2], right[0] - left[0]))
        if both.any():
            assert abs(abs(turned) - 90) < 45
            apart = recording[both][:, 1, 0] - recording[both][:, 0, 0]
            assert 0.4 < np.linalg.norm(apart[0]) < 1.8
        else:
            assert abs(turned) < 45


@pytest.mark.parametrize("number", ["0002", "0004"])
def test_left_and_right_are_45_degrees_from_the_middle(phase1: Path, number: str) -> None:
    folder = phase1 / "PKU_Skeleton_Renew"
    left, middle, right = (parse(folder / f"{number}-{camera}.txt")[:, 0] for camera in "LMR")
    for other, degrees in ((left, -45), (right, 45)):
        a, b = middle.reshape(-1, 3), other.reshape(-1, 3)
        turn, _ = Rotation.align_vectors(a - a.mean(axis=0), b - b.mean(axis=0))
        rest = (a - a.mean(axis=0)) - turn.apply(b - b.mean(axis=0))
        assert 0.001 < np.sqrt((rest**2).mean()) < 0.03
        assert np.degrees(turn.magnitude()) == pytest.approx(45, abs=1.5)
        assert np.sign(turn.as_rotvec()[1]) == np.sign(degrees)


def test_splits_of_phase_1_partition_the_videos(phase1: Path) -> None:
    videos = [path.stem for path in skeletons(phase1)]
    training, validation = parse_split(phase1 / "Split" / "cross-subject.txt", ", ")
    assert sorted(training + validation) == videos
    assert {name[:4] for name in validation} == {"0011", "0012", "0013"}  # subject 4
    training, validation = parse_split(phase1 / "Split" / "cross-view.txt", ", ")
    assert sorted(training + validation) == videos
    assert {name[-1] for name in training} == {"M", "R"}
    assert {name[-1] for name in validation} == {"L"}


def test_splits_of_phase_2_partition_the_videos(phase2: Path) -> None:
    videos = [path.stem for path in skeletons(phase2)]
    training, validation = parse_split(phase2 / "Split_v2" / "cross_subject_v2.txt", "")
    assert sorted(training + validation) == videos
    assert {name[4:6] for name in training} == {"01", "04"}
    assert {name[4:6] for name in validation} == {"02", "03"}
    training, validation = parse_split(phase2 / "Split_v2" / "cross_view_v2.txt", "")
    assert sorted(training + validation) == videos
    assert {name[-1] for name in training} == {"M", "R"}
    assert {name[-1] for name in validation} == {"L"}


@pytest.mark.parametrize("dataset", ["pku1", "pku2"])
def test_two_subjects_are_one_to_train_and_one_to_validate(tmp_path: Path, dataset: str) -> None:
    files = synthesise(tmp_path, dataset=dataset, classes=1, subjects=2, repeats=1, seed=0)
    path = next(file for file in files if file.name.startswith("cross") and "subject" in file.name)
    training, validation = read_split(path.read_bytes(), path.name)
    assert (len(training), len(validation)) == (3, 3)


def test_the_reader_reads_every_file(phase1: Path, phase2: Path) -> None:
    for root in (phase1, phase2):
        for path in skeletons(root):
            sequence = read(path.read_bytes(), path.name)
            assert sequence.name == path.stem
            assert np.array_equal(sequence.joints, parse(path).astype(np.float32))
        for path in labels(root):
            clips, errors = read_labels(path.read_bytes(), path.name)
            assert not errors
            assert [(c.label + 1, c.start, c.end, c.confidence) for c in clips] == [
                (*action, 2) for action in parse_labels(path)
            ]
        end = ", " if root == phase1 else ""
        for path in root.glob("Split*/*"):
            read_lists = read_split(path.read_bytes(), path.name)
            assert read_lists == tuple(map(frozenset, parse_split(path, end)))


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    def write(seed: int, name: str) -> list[bytes]:
        files = synthesise(tmp_path / name, dataset="pku2", classes=4, subjects=2, repeats=1, seed=seed)
        return [file.read_bytes() for file in files if file.parent.name == "PKU_Skeleton_v2"]

    first = write(0, "first")
    assert write(0, "again") == first
    assert not set(write(1, "other")) & set(first)
    assert len(set(first)) == len(first) == 12


@pytest.mark.parametrize("dataset", ["pku1", "pku2"])
def test_a_recording_does_not_depend_on_other_subjects(tmp_path: Path, dataset: str) -> None:
    def write(subjects: int) -> dict[str, bytes]:
        root = tmp_path / str(subjects)
        files = synthesise(root, dataset=dataset, classes=4, subjects=subjects, repeats=1, seed=3)
        return {str(f.relative_to(root)): f.read_bytes() for f in files if "Split" not in f.parent.name}

    few, many = write(2), write(4)
    assert len(many) == 2 * len(few)
    assert few.items() <= many.items()


def test_both_phases_show_the_same_people(tmp_path: Path) -> None:
    one = synthesise(tmp_path / "1", dataset="pku1", classes=1, subjects=2, repeats=1, seed=0)
    two = synthesise(tmp_path / "2", dataset="pku2", classes=1, subjects=2, repeats=1, seed=0)
    assert one[0].read_bytes() == two[0].read_bytes()


def test_classes_can_be_told_apart_but_not_trivially(phase1: Path) -> None:
    clips, classes, validates = [], [], []
    validation = parse_split(phase1 / "Split" / "cross-subject.txt", ", ")[1]
    for skeleton, label in zip(skeletons(phase1), labels(phase1), strict=True):
        for action in parse_labels(label):
            picked = np.linspace(action.start, action.stop - 1, 32).round().astype(int)
            body = parse(skeleton)[picked, 0]
            clips.append((body - body[:, :1]).ravel())
            classes.append(action.label)
            validates.append(skeleton.stem in validation)
    test, truth = np.array(validates), np.array(classes)
    far = cdist(np.array(clips)[test], np.array(clips)[~test])
    score = (truth[~test][far.argmin(axis=1)] == truth[test]).mean()
    assert 3 / 8 < score < 0.98


@pytest.mark.parametrize("dataset", ["pku1", "pku2"])
def test_progress_counts_every_file(tmp_path: Path, dataset: str) -> None:
    calls: list[tuple[int, int]] = []
    files = synthesise(
        tmp_path,
        dataset=dataset,
        classes=5,
        subjects=2,
        repeats=3,
        seed=0,
        progress=lambda done, total: calls.append((done, total)),
    )
    # 12 and 3 performances: two recordings and one, of two files each, and two split lists
    assert calls == [(done, 38) for done in range(1, 39)]
    assert len(set(files)) == 38
    assert names(tmp_path) == {file.relative_to(tmp_path).as_posix() for file in files}


def test_the_command(tmp_path: Path) -> None:
    result = skelkit("synth", tmp_path, "--dataset", "pku2", "--classes", 1, "--subjects", 2, "--json")
    assert result.exit_code == 0, result.output
    assert '"files": 14' in result.stdout
    assert (tmp_path / "PKU_Skeleton_v2" / "A01N01-L.txt").exists()
