"""show: the counts are right, the same in text and JSON, and fit a terminal."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import run

from skelkit.datasets import DATASETS, ListedSplit, Protocol
from skelkit.errors import StoreError
from skelkit.sequence import SkeletonSequence
from skelkit.show import describe_sample, describe_store
from skelkit.skeleton import JointLayout
from skelkit.store import Header, Shard, Store, write_store

LAYOUT = JointLayout(
    "own", ("hip", "spine", "left", "right"), ((0, 1), (2, 1), (3, 1)), ((2, 3),), 1, (0, 1), (3, 2)
)
PROTOCOLS = {"xview": Protocol("camera", frozenset([2, 3]))}
HEADER = Header("own", LAYOUT, {"name": "raw", "steps": [{"step": "none"}]}, ("wave", "n\xfcll"), PROTOCOLS)


def made(frames: list[int]) -> list[SkeletonSequence]:
    """Classes 0, 1, 2 and cameras 1, 2, 3 in turn, one or two bodies."""
    return [
        SkeletonSequence(
            np.ones((length, 1 + n % 2, 4, 3), np.float32),
            np.ones((length, 1 + n % 2), np.bool_),
            f"S{n:03}",
            n % 3,
            {"camera": n % 3 + 1, "subject": n},
        )
        for n, length in enumerate(frames)
    ]


def described(folder: Path, sequences: list[SkeletonSequence], header: Header) -> tuple[dict[str, Any], str]:
    write_store(folder / "a.h5", sequences, header)
    with Store(folder / "a.h5") as store:
        facts, text = describe_store(store)
    json.dumps(facts)
    assert all(len(line) <= 100 for line in text.splitlines()[1:]), text
    return facts, text


def test_counts(tmp_path: Path) -> None:
    facts, text = described(tmp_path, made([3, 300, 5, 301, 7]), HEADER)
    assert facts["sequences"] == 5
    assert facts["frames"] == {"least": 3, "median": 7.0, "most": 301, "sum": 616, "over_300": 1}
    assert facts["bodies"] == {1: 3, 2: 2}
    assert facts["classes"] == {"wave": 2, "n\xfcll": 2, "class 3": 1}
    assert facts["protocols"] == {"xview": {"train": 3, "test": 2}}
    assert facts["protocol_rules"] == {"xview": "camera:2-3"}
    assert facts["shard"] is None
    assert facts["content_hash"] in text
    assert "3 to 301, 7 in the middle, 616 in all; longer than 300: 1" in text


def test_the_table_by_class(tmp_path: Path) -> None:
    split = ListedSplit(frozenset(["S000", "S004"]), frozenset(["S001"]), "xsub.txt")
    facts, text = described(tmp_path, made([2] * 5), replace(HEADER, protocols={"xsub": split, **PROTOCOLS}))
    assert facts["per_class"][1] == {
        "class": "n\xfcll",
        "label": 1,
        "sequences": 2,
        "protocols": {"xsub": {"train": 1, "test": 1}, "xview": {"train": 2, "test": 0}},
        "cameras": {"1": 0, "2": 2, "3": 0},
    }
    table = text[text.index("  class  ") :].splitlines()
    assert [line.split() for line in table] == [
        ["class", "sequences", "train", "test", "train", "test", "1", "2", "3"],
        ["wave", "2", "1", "0", "0", "2", "2", "0", "0"],
        ["n\xfcll", "2", "1", "1", "2", "0", "0", "2", "0"],
        ["class", "3", "1", "0", "0", "1", "0", "0", "0", "1"],
        ["all", "5", "2", "1", "3", "2", "2", "2", "1"],
    ]
    titles = text.splitlines()[-6]
    assert titles.split() == ["xsub", "xview", "camera"]
    # Each title stands over the first of its columns.
    assert titles.index("xview") == table[0].index("train", table[0].index("test"))
    assert "xsub       2 train, 1 test, 2 in neither" in text


def test_a_table_without_protocols_and_cameras(tmp_path: Path) -> None:
    bare = [replace(sequence, columns={}) for sequence in made([2] * 3)]
    facts, text = described(tmp_path, bare, replace(HEADER, protocols={}))
    assert facts["per_class"][0]["cameras"] == {}
    assert text.splitlines()[-4:] == [
        f"  {name:26}{count:>9}" for name, count in (("wave", 1), ("n\xfcll", 1), ("class 3", 1), ("all", 3))
    ]


def test_ntu_fits_into_a_hundred_columns(tmp_path: Path) -> None:
    known = DATASETS["ntu120"]
    columns = {"camera": 1, "subject": 1, "setup": 1, "replication": 1}
    ones = np.ones((2, 1, 4, 3), np.float32)
    sequences = [
        SkeletonSequence(
            ones, np.ones((2, 1), np.bool_), f"S{n:03}", n, {**columns, "camera": n % 3 + 1, "subject": n}
        )
        for n in range(120)
    ]
    steps = [{"step": "centre_each_frame"}] * 12
    header = Header("ntu120", LAYOUT, {"name": "isc", "steps": steps}, known.classes, known.protocols)
    _, text = described(tmp_path, sequences, header)
    assert "no room" not in text
    assert re.search(r"xset +xsub +xview +camera", text)


def test_columns_without_room_are_named(tmp_path: Path) -> None:
    protocols = {f"split{n}": Protocol("camera", frozenset([n])) for n in range(6)}
    facts, text = described(tmp_path, made([2] * 3), replace(HEADER, protocols=protocols))
    assert text.endswith("no room for split4, split5, camera: --json has it")
    assert set(facts["per_class"][0]["protocols"]) == set(protocols)


def test_a_shard_says_so(tmp_path: Path) -> None:
    facts, text = described(tmp_path, made([2]), replace(HEADER, shard=Shard(2, 5, "ab" * 32)))
    assert facts["shard"] == {"index": 2, "of": 5, "inputs": "ab" * 32}
    assert "shard 2 of 5, to be merged with the others" in text


def test_columns_with_few_values_and_with_many(tmp_path: Path) -> None:
    _, text = described(tmp_path, made([1] * 12), HEADER)
    assert "  columns    camera 1, 2, 3; subject 0 to 11, 12 values\n" in text


def test_a_sample_that_was_left_out_is_told_why(raw: Path, tmp_path: Path) -> None:
    (raw / "S001C001P001R001A001.skeleton").write_bytes(b"1\nx\n")
    (raw / "S001C001P001R001A061.skeleton").write_bytes(b"0\n")
    run(raw, tmp_path / "a.h5")
    with Store(tmp_path / "a.h5") as store:
        for name, why in (("A001", "found 'x', expected"), ("A061", "action 61 is not in NTU RGB")):
            with pytest.raises(StoreError, match=f"no sequence .*{name}', it was left out: {why}"):
                describe_sample(store, f"S001C001P001R001{name}")
        text = (tmp_path / "a.report.json").read_text()
        for damaged in (
            text.replace(store.content_hash, "0" * 64),
            "",
            "[]",
            "[" * 10**5,
            '{"excluded": [], "quarantined": [{"file": 1}]}',
            None,
        ):
            report = tmp_path / "a.report.json"
            report.unlink() if damaged is None else report.write_text(damaged)
            with pytest.raises(StoreError, match="did you mean S001"):
                describe_sample(store, "S001C001P001R001A001")


def test_a_sample_with_a_body_that_is_never_there(tmp_path: Path) -> None:
    joints, present = np.ones((3, 2, 4, 3), np.float32), np.ones((3, 2), np.bool_)
    joints[:, 0], present[:, 0] = 0, False
    joints[2, 1] += 1
    write_store(tmp_path / "a.h5", [SkeletonSequence(joints, present, "a", 1, {"camera": 2})], HEADER)
    with Store(tmp_path / "a.h5") as store:
        facts, text = describe_sample(store, "a")
    assert facts["bodies"] == [{"present": 0, "extent": [0, 0, 0]}, {"present": 3, "extent": [1, 1, 1]}]
    assert facts["protocols"] == {"xview": "train"}
    assert "in 3 frames, within 1.00 x 1.00 x 1.00 m" in text


def test_a_single_camera_has_its_whole_name_above_it(tmp_path: Path) -> None:
    joints, present = np.ones((3, 1, 4, 3), np.float32), np.ones((3, 1), np.bool_)
    _, text = described(tmp_path, [SkeletonSequence(joints, present, "a", 0, {"camera": 1})], HEADER)
    titles, names = text.splitlines()[-4:-2]
    assert titles.endswith(" camera")
    assert names.endswith(" 1")
    assert len(titles) == len(names)


def test_a_sample_with_a_joint_beyond_reach_is_told_of(tmp_path: Path) -> None:
    joints = np.ones((2, 3, 1, 4, 3), np.float32)
    joints[1, 2, 0, 3, 1] = -1e30
    made = [
        SkeletonSequence(part, np.ones((3, 1), np.bool_), name, 0)
        for name, part in zip("ab", joints, strict=True)
    ]
    write_store(tmp_path / "a.h5", made, HEADER)
    with Store(tmp_path / "a.h5") as store:
        (near, words), (far, more) = describe_sample(store, "a"), describe_sample(store, "b")
    assert near["note"] is None
    assert "note" not in words
    assert far["note"] == "a joint is 1e+30 m away, expected metres, at most 20"
    assert f"  note       {far['note']}\n" in more + "\n"


@pytest.mark.parametrize(("frames", "count"), [([300], 0), ([301, 302, 1], 2)])
def test_sequences_over_300_frames(tmp_path: Path, frames: list[int], count: int) -> None:
    facts, _ = described(tmp_path, made(frames), HEADER)
    assert facts["frames"]["over_300"] == count
