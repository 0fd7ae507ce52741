"""skeleton and sequence: layouts as data, and the contract of the central type."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from skelkit.errors import InputError
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import LAYOUTS, JointLayout, load_layout

OWN = """
joints = ["hip", "spine", "left", "right"]
bones = [[0, 1], [2, 1], [3, 1]]
mirror = [[2, 3]]
centre = 1
spine = [0, 1]
shoulders = [3, 2]
"""


@pytest.mark.parametrize(("name", "joints"), [("ntu25", 25), ("kinect20", 20), ("coco17", 17)])
def test_built_in_layouts_are_trees_with_a_left_and_a_right(name: str, joints: int) -> None:
    layout = load_layout(name)
    assert layout.size == joints
    assert layout.name == name
    groups = {joint: {joint} for joint in range(joints)}
    for child, parent in layout.bones:
        together = groups[child] | groups[parent]
        groups.update(dict.fromkeys(together, together))
    assert set(map(len, groups.values())) == {joints}, "every joint hangs together with all others"
    for left, right in layout.mirror:
        assert layout.joints[left].replace("left", "right") == layout.joints[right]
    right, left = layout.shoulders
    assert (left, right) in layout.mirror


def test_bones_of_northwestern_ucla() -> None:
    """As the figure of the Kinect's SDK draws them, by name."""
    layout = load_layout("kinect20")
    found = {frozenset((layout.joints[a], layout.joints[b])) for a, b in layout.bones}
    trunk = ["head", "shoulder centre", "spine", "hip centre"]
    chains = [trunk]
    for side in ("left", "right"):
        arm, leg = ("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "foot")
        chains.append(["shoulder centre", *(f"{side} {joint}" for joint in arm)])
        chains.append(["hip centre", *(f"{side} {joint}" for joint in leg)])
    assert found == {frozenset(pair) for chain in chains for pair in pairwise(chain)}


def test_every_built_in_layout_is_tested() -> None:
    assert set(LAYOUTS) == {"ntu25", "kinect20", "coco17"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_mirroring_twice_is_nothing(name: str) -> None:
    other = load_layout(name).mirrored()
    np.testing.assert_array_equal(other[other], np.arange(len(other)))
    assert (other != np.arange(len(other))).sum() == 2 * len(load_layout(name).mirror)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_joint_is_in_one_body_part(name: str) -> None:
    layout = load_layout(name)
    assert sorted(joint for joints in layout.parts.values() for joint in joints) == list(range(layout.size))
    assert len(layout.parts) == 5
    for part, joints in layout.parts.items():
        sides = {
            word for joint in joints for word in layout.joints[joint].split() if word in ("left", "right")
        }
        assert sides == {part.split()[0]} & {"left", "right"} or part == "head"


@pytest.mark.parametrize("name", LAYOUTS)
def test_paths_lead_to_one_root(name: str) -> None:
    layout = load_layout(name)
    parents, paths = layout.parents(), layout.paths()
    assert {(child, int(parents[child])) for child, _ in layout.bones} == set(layout.bones)
    roots = np.flatnonzero(parents == np.arange(layout.size))
    assert len(roots) == 1
    assert paths[:, roots[0]].all()
    for joint in range(layout.size):
        way, at = {joint}, joint
        while parents[at] != at:
            at = int(parents[at])
            way.add(at)
        assert set(np.flatnonzero(paths[joint])) == way


@pytest.mark.parametrize(
    ("bones", "said"),
    [
        (((0, 1), (1, 2), (1, 3)), "joint 1 has two bones towards the trunk"),
        (((0, 1), (1, 2), (2, 1), (3, 0)), "the bones from joint 0 run in a ring"),
    ],
)
def test_bones_that_are_no_tree(bones: tuple[tuple[int, int], ...], said: str) -> None:
    layout = JointLayout("odd", ("a", "b", "c", "d"), bones, (), 0, (0, 1), (0, 1))
    with pytest.raises(ValueError, match=f"^layout odd: {said}$"):
        layout.paths()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[0, 1]", "[[1, 2], [0, 1]", "run in a ring"),
        ("spine = ", "spine = [0, 0]\n# ", "spine: found joint 0 twice, expected two joints"),
        ("shoulders = ", "shoulders = [2, 2]\n# ", "shoulders: found joint 2 twice, expected two joints"),
    ],
)
def test_a_layout_that_cannot_stand_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "robot.toml"
    assert old in OWN
    path.write_text(OWN.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        load_layout(str(path))


def test_body_parts_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(OWN + "[parts]\nhands = [2, 3]\n")
    layout = load_layout(str(path))
    assert layout.parts == {"hands": (2, 3)}
    assert JointLayout.from_json(layout.to_json()) == layout
    assert len({layout, load_layout(str(path))}) == 1
    path.write_text(OWN)
    assert load_layout(str(path)).parts == {}


@pytest.mark.parametrize("name", LAYOUTS)
def test_json_round_trip(name: str) -> None:
    layout = load_layout(name)
    assert JointLayout.from_json(layout.to_json()) == layout


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(OWN)
    layout = load_layout(str(path))
    assert (layout.name, layout.size, layout.centre) == ("robot", 4, 1)
    assert layout.mirrored().tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OWN.replace("centre = 1\n", ""), "lacks the key 'centre'"),
        (OWN.replace("centre = 1", "centre = 4"), "joint 4 is outside 0..3"),
        (OWN.replace("[2, 1]", "[-1, 1]"), "joint -1 is outside"),
        (OWN.replace('"hip"', '"left"'), "names repeat"),
        (OWN.replace("[2, 1]", "[2]"), "not a joint layout"),
        (OWN.replace("spine = [0, 1]", "spine = 3"), "not a joint layout"),
        (OWN + "=", "not a joint layout"),
        (OWN + "parts = [2, 3]", "parts: found .*, expected lists of joint numbers by name"),
        (OWN + "[parts]\nhands = 2", "parts: found .*, expected lists of joint numbers by name"),
        (OWN + "[parts]\nhands = ['left']", "part 'hands': found 'left', expected a joint number"),
        (OWN + "[parts]\nhands = []", "the body part 'hands' has no joint"),
        (OWN + "[parts]\nhands = [2, 4]", "joint 4 is outside 0..3"),
        (OWN + "[parts]\nhands = [2, 3]\nleft = [2]", "joint 2 is in two body parts"),
    ],
)
def test_a_wrong_layout_is_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_layout(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_layout_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a joint layout"):
        load_layout(str(path))


@pytest.mark.parametrize(("name", "said"), [("ntu26", "expected ntu25"), ("absent.toml", "cannot read")])
def test_a_layout_that_is_not_there(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_layout(name)


def _sequence(**changed: object) -> SkeletonSequence:
    fields: dict[str, object] = {
        "joints": np.ones((3, 2, 4, 3), np.float32),
        "present": np.ones((3, 2), np.bool_),
        "name": "a",
        "label": 0,
    }
    return SkeletonSequence(**{**fields, **changed})  # type: ignore[arg-type]


def test_a_sequence_counts_frames_and_bodies() -> None:
    assert (_sequence().frames, _sequence().bodies) == (3, 2)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("joints", np.ones((3, 2, 4, 3)), "float64"),
        ("joints", np.ones((3, 2, 4, 2), np.float32), r"expected float32 \(T, M, V, 3\)"),
        ("joints", np.ones((3, 2, 3), np.float32), r"expected float32 \(T, M, V, 3\)"),
        ("joints", np.full((3, 2, 4, 3), np.nan, np.float32), "not finite"),
        ("joints", np.full((3, 2, 4, 3), np.inf, np.float32), "not finite"),
        ("present", np.ones((3, 1), np.bool_), "present"),
        ("present", np.ones((3, 2), np.uint8), "expected bool"),
        ("present", np.zeros((3, 2), np.bool_), "marked absent"),
        ("tracks", np.zeros((3, 1), np.int64), "tracks"),
    ],
)
def test_the_contract_of_a_sequence(field: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _sequence(**{field: value})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[3, 2]", "[3, 3]", "a bone joins joint 3 to itself"),
        ("[[4, 5]]", "[[4, 5], [5, 1]]", "joint 5 is in two mirror pairs"),
        (", [5, 2]", "", "joint 5, right hand, has no bone"),
        ("centre = 1", "centre = 1\ncolour = 2", "unknown key 'colour'"),
        ("centre = 1", "centre = 'spine'", "centre: found 'spine', expected a joint number"),
        ("spine = [0, 1]", "spine = 0", "spine: found .*0.*, expected pairs of joint numbers"),
    ],
)
def test_a_layout_that_makes_no_body(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = """
joints = ["hip", "spine", "neck", "head", "left hand", "right hand"]
bones = [[0, 1], [1, 2], [3, 2], [4, 2], [5, 2]]
mirror = [[4, 5]]
centre = 1
spine = [0, 1]
shoulders = [5, 4]
"""
    (tmp_path / "own.toml").write_text(text)
    assert load_layout(str(tmp_path / "own.toml")).size == 6
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=said):
        load_layout(str(tmp_path / "own.toml"))
