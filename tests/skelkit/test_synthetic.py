"""synthetic.ntu: valid files, the same every time, and actions that can be told apart but not trivially."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from skelkit.errors import SkelkitError
from skelkit.skeleton import load_layout
from skelkit.synthetic import synthesise
from skelkit.synthetic.bodies import MOTIONS

XSUB_TRAIN = {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
NUMBER = r"-?\d+(\.\d+)?(e-\d\d)?"
JOINT = re.compile(rf"({NUMBER} ){{11}}2")
Numbers = NDArray[np.float64]


class Body(NamedTuple):
    track: int
    fields: Numbers  # (25, 12)


@cache
def parse(path: Path) -> list[list[Body]]:
    """Every frame's bodies; nothing is forgiven."""
    raw = path.read_bytes()
    assert raw.isascii()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    lines = iter(raw.decode().removesuffix("\n").split("\n"))
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            head = next(lines).split(" ")
            assert re.fullmatch(r"7205\d{13}", head[0])
            assert head[1:7] == ["0", "1", "1", "1", "1", "0"]
            assert len(head) == 10
            assert all(abs(float(lean)) < 1 for lean in head[7:9])
            assert head[9] == "2"
            assert next(lines) == "25"
            rows = list(islice(lines, 25))
            assert all(map(JOINT.fullmatch, rows))
            fields = np.array(" ".join(rows).split(" "), dtype=np.float64).reshape(25, 12)
            bodies.append(Body(int(head[0]), fields))
        frames.append(bodies)
    assert next(lines, None) is None
    return frames


def joints(path: Path, slot: int = 0) -> Numbers:
    """(T, V, 3) of one body slot that is there in every frame."""
    return np.array([bodies[slot].fields[:, :3] for bodies in parse(path)])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return synthesise(tmp_path_factory.mktemp("small"), classes=8, subjects=6, repeats=1, seed=3)


def named(files: list[Path], text: str) -> list[Path]:
    return [file for file in files if text in file.name]


def test_names_and_order(small: list[Path]) -> None:
    assert len(small) == len(set(small)) == 8 * 6 * 3
    assert all(re.fullmatch(r"S001C00[123]P00[1-6]R001A00[1-8]\.skeleton", file.name) for file in small)
    assert {file.parent.name for file in small} == {"nturgb+d_skeletons"}
    assert sorted(small[0].parent.iterdir()) == sorted(small)


def test_every_file_is_a_valid_recording(small: list[Path]) -> None:
    bones = load_layout("ntu25").bones
    lengths = set()
    for file in small[::7]:
        frames = parse(file)
        lengths.add(len(frames))
        fields = np.concatenate([[body.fields for body in bodies] for bodies in frames])
        x, y, z, depth_x, depth_y, colour_x, colour_y = np.moveaxis(fields[..., :7], -1, 0)
        assert ((z > 1.5) & (z < 4.6)).all()
        assert (abs(x) < 2).all()
        assert (abs(y) < 1.8).all()
        assert ((depth_x > 0) & (depth_x < 512) & (depth_y > 0) & (depth_y < 424)).all()
        assert ((colour_x > 0) & (colour_x < 1920)).all()
        assert (np.diff(colour_y[0]) * np.diff(depth_y[0]) >= -1).all()
        norms = np.linalg.norm(fields[..., 7:11], axis=-1)
        assert (np.isclose(norms, 1, atol=1e-5) | (norms == 0)).all()
        assert (fields[..., 11] == 2).all()
        between = [np.linalg.norm(fields[:, a, :3] - fields[:, b, :3], axis=-1).mean() for a, b in bones]
        assert min(between) > 0.02
        assert max(between) < 0.62
    assert min(lengths) >= 40
    assert max(lengths) <= 110
    assert len(lengths) > 10


def test_bodies_stand_upright_and_face_the_cameras_as_a_kinect_sees_them(small: list[Path]) -> None:
    # R001 is done towards camera 3; a Kinect's x grows to its own left, where the right side is.
    for file in named(small, "C003P")[:6]:
        pose = joints(file)[0]
        assert pose[3, 1] > pose[20, 1] > pose[0, 1] > pose[13, 1] > pose[14, 1]
        assert pose[8, 0] > pose[4, 0]
        assert pose[[15, 19], 2].mean() < pose[[14, 18], 2].mean()
        assert 1.2 < pose[3, 1] - pose[[15, 19], 1].mean() < 2.1


def test_the_last_quarter_has_two_people_and_some_come_late(small: list[Path]) -> None:
    late = []
    for file in small:
        frames = parse(file)
        people = [[body.track for body in bodies] for bodies in frames]
        both = 2 if int(file.stem[-3:]) > 6 else 1
        assert len(people[-1]) == len(set(people[-1])) == both
        assert all(set(before) <= set(after) for before, after in pairwise(people))
        assert all(people)
        late.append(sum(len(here) < both for here in people))
    assert any(late)
    assert max(late) <= 12
    assert sum(map(bool, late)) < 18


def test_two_people_face_each_other(small: list[Path]) -> None:
    for file in small:
        if int(file.stem[-3:]) > 6:
            first, second = (body.fields[:, :3] for body in parse(file)[-1])
            apart = second[0] - first[0]
            assert 0.4 < np.linalg.norm(apart[[0, 2]]) < 1.8
            if file.stem.endswith("7"):  # class 8 turns round
                forward = np.cross(first[4] - first[8], first[20] - first[0])
                assert forward[[0, 2]] @ apart[[0, 2]] > 0


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    def write(seed: int, name: str) -> list[bytes]:
        files = synthesise(tmp_path / name, classes=2, subjects=2, repeats=2, seed=seed)
        return [file.read_bytes() for file in files]

    first = write(0, "first")
    assert write(0, "again") == first
    assert not set(write(1, "other")) & set(first)
    assert len(set(first)) == len(first)


def test_the_bytes_are_those_of_earlier_versions(tmp_path: Path) -> None:
    files = synthesise(tmp_path, classes=4, subjects=1, repeats=1, seed=0)
    digest = hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files))
    assert digest.hexdigest() == "7e42a15876c5ee14093112573b4c04cb5b8f573e83df7883466ddc1229bfe102"


def test_a_file_does_not_depend_on_the_others(small: list[Path], tmp_path: Path) -> None:
    alone = synthesise(tmp_path, classes=1, subjects=2, repeats=2, seed=3)
    assert {file.name for file in alone} - {file.name for file in small}
    for file in named(alone, "R001"):
        assert file.read_bytes() == (small[0].parent / file.name).read_bytes()


@pytest.mark.parametrize("label", ["A001", "A004", "A006"])
def test_cameras_are_rigid_transforms_of_each_other_up_to_the_jitter(small: list[Path], label: str) -> None:
    one, two, three = (joints(file) for file in named(small, f"P002R001{label}"))
    assert one.shape == two.shape == three.shape
    for other, degrees in ((two, 45), (three, -45)):
        a, b = one.reshape(-1, 3), other.reshape(-1, 3)
        turn, _ = Rotation.align_vectors(a - a.mean(axis=0), b - b.mean(axis=0))
        left = (a - a.mean(axis=0)) - turn.apply(b - b.mean(axis=0))
        assert 0.001 < np.sqrt((left**2).mean()) < 0.03
        assert np.degrees(turn.magnitude()) == pytest.approx(45, abs=1.5)
        assert np.sign(turn.as_rotvec()[1]) == np.sign(degrees)


def test_hands_and_feet_are_noisier_than_the_trunk(small: list[Path]) -> None:
    still = joints(named(small, "C001P001R001A001")[0])[:5]
    step = np.diff(still, axis=0).std(axis=(0, 2))
    assert step[[7, 11, 15, 19, 21, 23]].mean() > 3 * step[[0, 1, 20]].mean()
    assert step.max() < 0.1


def test_both_sides_of_the_official_xsub_split_occur(small: list[Path]) -> None:
    training = [int(file.name[9:12]) in XSUB_TRAIN for file in small]
    assert 0 < sum(training) < len(small)


def test_classes_can_be_told_apart_but_not_trivially(small: list[Path]) -> None:
    views = []
    for file in small:
        bodies = [frame[0].fields[:, :3] for frame in parse(file)]
        picked = np.array(bodies)[np.linspace(0, len(bodies) - 1, 32).round().astype(int)]
        views.append((picked - picked[:, :1]).ravel())
    labels = np.array([int(file.stem[-3:]) for file in small])
    training = np.array([int(file.name[9:12]) in XSUB_TRAIN for file in small])
    far = cdist(np.array(views)[~training], np.array(views)[training])
    score = (labels[training][far.argmin(axis=1)] == labels[~training]).mean()
    assert 3 / 8 < score < 0.98


def test_all_classes_of_ntu120_are_different() -> None:
    motions = {tuple(motion) for motion in MOTIONS}
    assert len(motions) == len(MOTIONS) == 120


def test_ntu120_and_progress(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    files = synthesise(
        tmp_path / "new" / "folder",
        dataset="ntu120",
        classes=1,
        subjects=1,
        repeats=1,
        seed=0,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert len(files) == 3


@pytest.mark.parametrize(
    ("dataset", "change", "message"),
    [
        ("ntu60", {"classes": 61}, "ntu60 takes 1 to 60 classes, not 61"),
        ("ntu60", {"classes": 0}, "ntu60 takes 1 to 60 classes, not 0"),
        ("ntu120", {"classes": 121}, "ntu120 takes 1 to 120 classes, not 121"),
        ("ntu60", {"subjects": 41}, "ntu60 takes 1 to 40 subjects, not 41"),
        ("ntu120", {"subjects": 107}, "ntu120 takes 1 to 106 subjects, not 107"),
        ("ntu60", {"repeats": 0}, "ntu60 takes 1 to 999 repeats, not 0"),
        ("ntu60", {"seed": -1}, "the seed must not be negative, not -1"),
        ("pku1", {"classes": 52}, "pku1 takes 1 to 51 classes, not 52"),
        ("pku1", {"subjects": 67}, "pku1 takes 2 to 66 subjects, not 67"),
        ("pku1", {"subjects": 1}, "pku1 takes 2 to 66 subjects, not 1"),
        ("pku1", {"repeats": 30}, "pku1 takes 1 to 29 repeats, not 30"),
        ("pku2", {"classes": 52}, "pku2 takes 1 to 51 classes, not 52"),
        ("pku2", {"subjects": 14}, "pku2 takes 2 to 13 subjects, not 14"),
        ("pku2", {"repeats": 20}, "pku2 takes 1 to 19 repeats, not 20"),
        ("pku3", {}, "cannot synthesise dataset 'pku3'; expected one of ntu60, ntu120, pku1, pku2"),
    ],
)
def test_refusals(tmp_path: Path, dataset: str, change: dict[str, int], message: str) -> None:
    n = {"classes": 1, "subjects": 2, "repeats": 1, "seed": 0, **change}
    with pytest.raises(SkelkitError) as caught:
        synthesise(
            tmp_path / "out",
            dataset=dataset,
            classes=n["classes"],
            subjects=n["subjects"],
            repeats=n["repeats"],
            seed=n["seed"],
        )
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for target in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(
            SkelkitError, match="exists and is not an empty directory; nothing is overwritten"
        ):
            synthesise(target, classes=1, subjects=1, repeats=1, seed=0)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    numbers: dict[str, int] = {"classes": 1, "subjects": 1, "repeats": 1, "seed": 0}
    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path / "raw", **numbers, progress=stop)
    assert list((tmp_path / "raw").iterdir()) == []
    (tmp_path / "raw" / ".unfinished").mkdir()
    (tmp_path / "raw" / ".unfinished" / "S001C001P001R001A060.skeleton").write_text(
        "of a run that was killed"
    )
    files = synthesise(tmp_path / "raw", **numbers)
    assert sorted(path for path in (tmp_path / "raw").rglob("*") if path.is_file()) == sorted(files)


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SkelkitError, match=r"cannot write: Not a directory$"):
        synthesise(tmp_path / "file" / "below", classes=1, subjects=1, repeats=1, seed=0)
