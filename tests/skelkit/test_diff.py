"""diff: a store has no difference from itself, and every single change is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import skelkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skelkit.datasets import ListedSplit, Protocol
from skelkit.differences import Difference, diff, diff_text, same_content
from skelkit.errors import StoreError
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store import Header, Shard, Store, write_store

LAYOUT = JointLayout(
    "own", ("hip", "spine", "left", "right"), ((0, 1), (2, 1), (3, 1)), ((2, 3),), 1, (0, 1), (3, 2)
)
RECIPE = {"name": "mine", "source": "me", "steps": [{"step": "fill"}, {"step": "slots", "bodies": 4}]}
SPLITS = {
    "xview": Protocol("camera", frozenset([2, 3])),
    "listed": ListedSplit(frozenset(["S001"]), frozenset(["S002"]), "list.txt"),
}
HEADER = Header("own", LAYOUT, RECIPE, ("wave", "bow", "jump"), SPLITS)

Content = tuple[list[SkeletonSequence], Header]


def made(count: int = 6, seed: int = 0) -> list[SkeletonSequence]:
    chance = np.random.default_rng(seed)
    found = []
    for n in range(count):
        present = np.ones((3 + n, 1 + n % 2), np.bool_)
        present[0, 0] = n % 3 > 0
        joints = chance.normal(0, 1, (*present.shape, 4, 3)).astype(np.float32)
        joints[~present] = 0
        found.append(SkeletonSequence(joints, present, f"S{n:03}", n % 3, {"camera": n % 3 + 1}))
    return found


def compared(folder: Path, a: Content, b: Content) -> tuple[dict[str, Difference], str]:
    """The differences by topic, and the text."""
    for name, content in (("a.h5", a), ("b.h5", b)):
        write_store(folder / name, content[0], content[1])
    with Store(folder / "a.h5") as one, Store(folder / "b.h5") as other:
        found = diff(one, other)
        text = diff_text(one, other, found)
        assert not diff(one, one)
        assert [d.topic for d in diff(other, one)] == [d.topic for d in found]
    json.dumps([difference.facts for difference in found])
    assert all(difference.lines for difference in found)
    assert len({difference.topic for difference in found}) == len(found)
    return {difference.topic: difference for difference in found}, text


def with_one(place: int, **fields: object) -> list[SkeletonSequence]:
    found = made()
    found[place] = replace(found[place], **fields)  # type: ignore[arg-type]
    return found


def moved(place: int, metres: float) -> list[SkeletonSequence]:
    joints = made()[place].joints.copy()
    joints[1, 0, 2, 1] += metres
    return with_one(place, joints=joints)


def appears(place: int) -> list[SkeletonSequence]:
    """A body that was absent in the first frame is there, at the origin."""
    return with_one(place, present=np.ones_like(made()[place].present))


def with_layout(**fields: object) -> Header:
    return replace(HEADER, layout=replace(LAYOUT, **fields))  # type: ignore[arg-type]


def with_steps(*steps: dict[str, object]) -> Header:
    return replace(HEADER, recipe={**RECIPE, "steps": list(steps)})


FILL, SLOTS = {"step": "fill"}, {"step": "slots", "bodies": 4}

CHANGES: list[tuple[str, Callable[[], Content], str, str]] = [
    ("dataset", lambda: (made(), replace(HEADER, dataset="other")), "dataset", "own in A, other in B"),
    (
        "shard",
        lambda: (made(), replace(HEADER, shard=Shard(2, 5, "ab" * 32))),
        "shard",
        r"none in A, 2 of 5 \(inputs abababababababab\) in B",
    ),
    (
        "recipe name",
        lambda: (made(), replace(HEADER, recipe={**RECIPE, "name": "raw"})),
        "recipe",
        "name: mine in A, raw in B",
    ),
    (
        "parameter",
        lambda: (made(), with_steps(FILL, {"step": "slots", "bodies": 2})),
        "recipe",
        "step slots: bodies 4 in A, 2 in B",
    ),
    (
        "new parameter",
        lambda: (made(), with_steps({"step": "fill", "most": 3}, SLOTS)),
        "recipe",
        "step fill: most none in A, 3 in B",
    ),
    ("step gone", lambda: (made(), with_steps(SLOTS)), "recipe", "step 1, only in A: fill"),
    ("step more", lambda: (made(), with_steps(FILL, SLOTS, FILL)), "recipe", "step 3, only in B: fill"),
    ("steps in another order", lambda: (made(), with_steps(SLOTS, FILL)), "recipe", "step ., only in [AB]"),
    ("layout name", lambda: (made(), with_layout(name="ours")), "layout", "name: own in A, ours in B"),
    (
        "joint name",
        lambda: (made(), with_layout(joints=("hip", "back", "left", "right"))),
        "layout",
        "joints: 2: spine in A, back in B",
    ),
    (
        "bone gone",
        lambda: (made(), with_layout(bones=LAYOUT.bones[:2])),
        "layout",
        "bones: count: 3 in A, 2 in B",
    ),
    ("spine", lambda: (made(), with_layout(spine=(1, 0))), "layout", r"spine: \[0, 1\] in A, \[1, 0\] in B"),
    (
        "class names",
        lambda: (made(), replace(HEADER, classes=("wave", "nod", "sit"))),
        "classes",
        "class 2: bow in A, nod in B, and 1 more",
    ),
    (
        "one class more",
        lambda: (made(), replace(HEADER, classes=(*HEADER.classes, "sit"))),
        "classes",
        "class count: 3 in A, 4 in B",
    ),
    (
        "protocol gone",
        lambda: (made(), replace(HEADER, protocols={"xview": SPLITS["xview"]})),
        "protocol listed",
        "only in A",
    ),
    (
        "rule",
        lambda: (made(), replace(HEADER, protocols={**SPLITS, "xview": Protocol("camera", frozenset([3]))})),
        "protocol xview",
        "camera:2-3 in A, camera:3 in B\n.* 2 sequences in another part: S001, S004",
    ),
    (
        "rule of the same effect",
        lambda: (
            made(),
            replace(HEADER, protocols={**SPLITS, "xview": Protocol("camera", frozenset([2, 3, 4]))}),
        ),
        "protocol xview",
        "camera:2-3 in A, camera:2-4 in B$",
    ),
    ("one sequence less", lambda: (made(5), HEADER), "sequences", "1 only in A: S005"),
    (
        "others",
        lambda: ([*made(1), *(replace(s, name=s.name + "b") for s in made()[1:])], HEADER),
        "sequences",
        r"5 only in A: S001, S002, S003, \.\.\.\n.* 5 only in B: S001b, S002b, S00",
    ),
    ("label", lambda: (with_one(4, label=-1), HEADER), "label", "1 sequence: S004 1 in A, -1 in B"),
    (
        "column",
        lambda: (with_one(2, columns={"camera": 9}), HEADER),
        "column camera",
        "1 sequence: S002 3 in A, 9 in B",
    ),
    (
        "new column",
        lambda: (with_one(2, columns={"camera": 3, "day": 1}), HEADER),
        "column day",
        "only in B",
    ),
    ("moved", lambda: (moved(4, 0.25), HEADER), "joints", "1 sequence, by up to 0.25 m in S004"),
    ("body appears", lambda: (appears(3), HEADER), "presence", "1 sequence: S003"),
    (
        "shorter",
        lambda: (with_one(5, joints=made()[5].joints[:7], present=made()[5].present[:7]), HEADER),
        "shape",
        r"1 sequence: S005 \[8, 2, 4\] in A, \[7, 2, 4\] in B",
    ),
]


@pytest.mark.parametrize(("change", "topic", "said"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_any_single_change_is_named(
    tmp_path: Path, change: Callable[[], Content], topic: str, said: str
) -> None:
    found, text = compared(tmp_path, (made(), HEADER), change())
    implied = {"content"}
    if topic.startswith(("column", "sequences")):
        implied |= {"protocol xview", "protocol listed"}  # they follow from a column or a name
    assert topic in found
    assert set(found) - {topic} <= implied
    assert ("content" in found) == (topic not in ("dataset", "shard"))
    assert same_content(list(found.values())) == (topic in ("dataset", "shard"))
    assert re.search(rf"^  {topic} +{said}", text, re.MULTILINE), text
    assert all(len(line) <= 160 for line in text.splitlines()[2:])


def test_the_largest_difference_is_found(tmp_path: Path) -> None:
    b = moved(1, 0.5)
    for place, metres in ((2, -3.0), (4, 0.125)):
        b[place] = moved(place, metres)[place]
    found, _ = compared(tmp_path, (made(), HEADER), (b, HEADER))
    facts = found["joints"].facts
    assert facts["count"] == 3
    assert facts["in"] == "S002"
    assert facts["largest_metres"] == pytest.approx(3, abs=1e-6)


def test_a_zero_of_another_sign_is_a_difference_of_nothing(tmp_path: Path) -> None:
    b = made()
    b[0].joints[0] = -0.0
    found, text = compared(tmp_path, (made(), HEADER), (b, HEADER))
    assert set(found) == {"joints", "content"}
    assert "1 sequence, by up to 0 m in S000" in text


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_all_changes_made_are_counted(tmp_path: Path, data: st.DataObject) -> None:
    kinds = ("none", "gone", "label", "camera", "moved", "shorter")
    chosen = [data.draw(st.sampled_from(kinds)) for _ in range(6)]
    b = []
    for place, kind in enumerate(chosen):
        sequence = made()[place]
        if kind == "label":
            sequence = replace(sequence, label=7)
        elif kind == "camera":
            sequence = replace(sequence, columns={"camera": 7})
        elif kind == "moved":
            sequence = moved(place, 1)[place]
        elif kind == "shorter":
            sequence = replace(sequence, joints=sequence.joints[:2], present=sequence.present[:2])
        if kind != "gone":
            b.append(sequence)
    if not b:
        return
    found, _ = compared(tmp_path, (made(), HEADER), (b, HEADER))
    counts = {
        "gone": found["sequences"].facts["a"]["only"] if "sequences" in found else 0,
        "label": found["label"].facts["count"] if "label" in found else 0,
        "camera": found["column camera"].facts["count"] if "column camera" in found else 0,
        "moved": found["joints"].facts["count"] if "joints" in found else 0,
        "shorter": found["shape"].facts["count"] if "shape" in found else 0,
    }
    assert counts == {kind: chosen.count(kind) for kind in counts}
    assert same_content(list(found.values())) == (set(chosen) == {"none"})


def test_stores_that_have_nothing_in_common(tmp_path: Path) -> None:
    layout = JointLayout("two", ("a", "b"), ((0, 1),), (), 0, (0, 1), (0, 1))
    ones = np.ones((2, 1, 2, 3), np.float32)
    other = [SkeletonSequence(ones, np.ones((2, 1), np.bool_), "T1", 0, {"day": 1})]
    header = Header("other", layout, {"name": "raw", "steps": []})
    found, _ = compared(tmp_path, (made(), HEADER), (other, header))
    assert set(found) >= {"dataset", "recipe", "layout", "classes", "sequences", "column day", "content"}
    assert "joints" not in found


def test_joints_of_another_layout_differ_in_shape(tmp_path: Path) -> None:
    layout = JointLayout("two", ("a", "b"), ((0, 1),), (), 0, (0, 1), (0, 1))
    b = [replace(sequence, joints=sequence.joints[:, :, :2].copy()) for sequence in made()]
    found, _ = compared(tmp_path, (made(), HEADER), (b, replace(HEADER, layout=layout)))
    assert found["shape"].facts["count"] == 6


def test_a_damaged_sequence_stops_it(tmp_path: Path) -> None:
    compared(tmp_path, (made(), HEADER), (moved(4, 1), HEADER))
    path = tmp_path / "b.h5"
    data = bytearray(path.read_bytes())
    data[data.index(moved(4, 1)[4].joints.tobytes()) + 2] ^= 1
    path.write_bytes(data)
    with Store(tmp_path / "a.h5") as a, Store(path) as b, pytest.raises(StoreError, match="S004 is damaged"):
        diff(a, b)


def test_the_command(tmp_path: Path) -> None:
    compared(tmp_path, (made(), HEADER), (moved(4, 1), HEADER))
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    same = skelkit("diff", a, a)
    assert (same.exit_code, same.stdout) == (0, f"A  {a}\nB  {a}\nthe same content: 6 sequences\n")
    other = skelkit("diff", a, b)
    assert other.exit_code == 1
    assert "joints   1 sequence, by up to 1 m in S004\n" in other.stdout
    facts = json.loads(skelkit("diff", a, b, "--json").stdout)
    assert (facts["same"], list(facts["differences"])) == (False, ["joints", "content"])
    facts = json.loads(skelkit("diff", a, a, "--json").stdout)
    assert facts == {"a": str(a), "b": str(a), "same": True, "differences": {}}
    absent = skelkit("diff", a, tmp_path / "absent.h5")
    assert absent.exit_code == 1
    assert absent.stderr == f"Error: {tmp_path / 'absent.h5'}: no such file\n"
    assert skelkit("diff", a).exit_code == 2
