"""datasets: who trains, who tests, who is left out."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from skelkit.datasets import DATASETS, ListedSplit, Protocol, parse_protocol
from skelkit.errors import SkelkitError
from skelkit.readers import pku

# From the papers: NTU RGB+D, section 4.1.1; NTU RGB+D 120, section 3.3.
XSUB_60 = {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
XSUB_120 = (
    XSUB_60
    | {45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84}
    | {*(85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103)}
)


@pytest.mark.parametrize(
    ("dataset", "file", "count"),
    [
        ("ntu60", "NTU_RGBD_samples_with_missing_skeletons.txt", 302),
        ("ntu120", "NTU_RGBD120_samples_with_missing_skeletons.txt", 535),
    ],
)
def test_the_official_lists(ntu_data: Path, dataset: str, file: str, count: int) -> None:
    official = [line.strip() for line in (ntu_data / file).read_text().splitlines()[3:]]
    names = {name for name in official if name}
    assert len(names) == count
    assert DATASETS[dataset].missing == names


def test_the_lists_without_the_official_files() -> None:
    assert len(DATASETS["ntu60"].missing) == 302
    assert len(DATASETS["ntu120"].missing) == 535
    assert DATASETS["ntu60"].missing < DATASETS["ntu120"].missing


@pytest.mark.parametrize(
    ("dataset", "classes", "first", "last"), [("ntu60", 60, 1, 60), ("ntu120", 120, 1, 120)]
)
def test_class_names(dataset: str, classes: int, first: int, last: int) -> None:
    known = DATASETS[dataset].classes
    assert len(set(known)) == classes
    assert (known[first - 1], known[8]) == ("drink water", "stand up")
    assert all(name == name.strip() != "" for name in known)
    assert last == len(known)
    numbers = {
        "drop": 5,
        "put on jacket": 14,
        "hand wave": 23,
        "fall down": 43,
        "punch another person": 50,
        "hug another person": 55,
        "shake hands": 58,
        "walk apart from each other": 60,
    }
    assert {name: known.index(name) + 1 for name in numbers} == numbers


@pytest.mark.parametrize(
    ("dataset", "protocol", "column", "train", "test"),
    [
        ("ntu60", "xsub", "subject", XSUB_60, set(range(1, 41)) - XSUB_60),
        ("ntu120", "xsub", "subject", XSUB_120, set(range(1, 107)) - XSUB_120),
        ("ntu60", "xview", "camera", {2, 3}, {1}),
        ("ntu120", "xview", "camera", {2, 3}, {1}),
        ("ntu120", "xset", "setup", set(range(2, 33, 2)), set(range(1, 33, 2))),
    ],
)
def test_who_trains_and_who_tests(
    dataset: str, protocol: str, column: str, train: set[int], test: set[int]
) -> None:
    rule = DATASETS[dataset].protocols[protocol]
    sides = {value: rule.part("any", {column: value, "other": 1}) for value in train | test}
    assert {value for value, side in sides.items() if side == 1} == train
    assert {value for value, side in sides.items() if side == 0} == test


@pytest.mark.parametrize(
    ("dataset", "protocol", "column", "train", "test"),
    [
        ("pku1", "xsub", "recording", set(range(1, 365)) - set(range(291, 335)), set(range(291, 335))),
        ("pku2", "xsub", "subject", {1, *range(4, 7), *range(8, 14)}, {2, 3, 7}),
        ("pku1", "xview", "camera", {2, 3}, {1}),
        ("pku2", "xview", "camera", {2, 3}, {1}),
    ],
)
def test_who_trains_and_who_tests_in_pku_mmd(
    dataset: str, protocol: str, column: str, train: set[int], test: set[int]
) -> None:
    test_who_trains_and_who_tests(dataset, protocol, column, train, test)


def test_the_published_lists_of_pku_mmd(shared_pku: Path) -> None:
    with zipfile.ZipFile(shared_pku / "pku2_sample.zip") as archive:
        for protocol, file in (("xsub", "cross_subject_v2"), ("xview", "cross_view_v2")):
            lists = pku.read_split(archive.read(f"Split_v2/{file}.txt"), file)
            rule = DATASETS["pku2"].protocols[protocol]
            for part, names in zip((1, 0), lists, strict=True):
                assert {rule.part(name, pku.parse_name(name)[1]) for name in names} == {part}
    held_out = (shared_pku / "pku1_cross_subject_validation_names.txt").read_text().replace(",", " ").split()
    rule = DATASETS["pku1"].protocols["xsub"]
    assert {rule.part(name, pku.parse_name(name)[1]) for name in held_out} == {0}
    recordings = {pku.parse_name(name)[1]["recording"] for name in held_out}
    assert recordings == {n for n in range(1, 365) if rule.part("", {"recording": n}) == 0}


def test_lists_of_names() -> None:
    split = ListedSplit(frozenset(["a", "b#001"]), frozenset(["b"]), "list.txt")
    parts = [split.part(name, {}) for name in ("a", "a#007", "b", "b#001", "b#002", "c", "c#001")]
    assert parts == [1, 1, 0, 1, 0, -1, -1]
    assert str(split).startswith("2 train and 1 test names listed in list.txt (")
    assert str(split) != str(ListedSplit(frozenset(["a", "b#002"]), frozenset(["b"]), "list.txt"))


def test_a_sample_without_the_column_is_on_neither_side() -> None:
    assert Protocol("camera", frozenset([1])).part("any", {"subject": 1}) == -1
    assert Protocol("camera", frozenset([1])).part("any", {"camera": -1}) == -1, "not known"


@pytest.mark.parametrize(
    ("dataset", "name", "label", "setup", "why"),
    [
        ("ntu60", "S001C002P005R002A008", 7, 1, "list of samples with missing skeletons of NTU RGB+D 60"),
        ("ntu120", "S001C002P005R002A008", 7, 1, "list of samples with missing skeletons of NTU RGB+D 120"),
        ("ntu60", "S017C001P001R001A060", 59, 17, None),
        ("ntu60", "S017C001P001R001A061", 60, 17, "action 61 is not in NTU RGB+D 60, which has 1 to 60"),
        ("ntu60", "S018C001P001R001A060", 59, 18, "setup 18 is not in NTU RGB+D 60, which has 1 to 17"),
        ("ntu120", "S032C001P001R001A120", 119, 32, None),
        ("ntu120", "S032C001P001R001A121", 120, 32, "action 121 is not in NTU RGB+D 120"),
        ("ntu120", "S033C001P001R001A120", 119, 33, "setup 33 is not in NTU RGB+D 120"),
        ("pku1", "0002-L#003", 50, 1, None),
        ("pku1", "A01N01-L#003", 50, 1, "not a name of PKU-MMD I"),
        ("pku2", "A01N01-L#003", 50, 1, None),
        ("pku2", "0002-L#003", 50, 1, "not a name of PKU-MMD II"),
    ],
)
def test_who_is_left_out(dataset: str, name: str, label: int, setup: int, why: str | None) -> None:
    reason = DATASETS[dataset].why_excluded(name, label, {"setup": setup})
    assert reason is None if why is None else why in str(reason)


@pytest.mark.parametrize(
    ("text", "name", "column", "train"),
    [
        ("xview=camera:1,2", "xview", "camera", {1, 2}),
        ("xsub=subject:1-16", "xsub", "subject", set(range(1, 17))),
        ("own=day:3", "own", "day", {3}),
        ("own=day:3-3,9,1-2", "own", "day", {1, 2, 3, 9}),
    ],
)
def test_parse_protocol(text: str, name: str, column: str, train: set[int]) -> None:
    assert parse_protocol(text) == (name, Protocol(column, frozenset(train)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x=",
        "x=c",
        "x=c:",
        "=c:1",
        "x=:1",
        "x=c:a",
        "x=c:1,",
        "x=c:1-",
        "x=c:-1",
        "x=c:5-1",
        "x/y=c:1",
        "x=c:1-999999999999",
        "x=c/d:1",
        "x=c:1.5",
    ],
)
def test_a_protocol_that_is_none(text: str) -> None:
    with pytest.raises(SkelkitError, match="expected NAME=COLUMN:VALUES"):
        parse_protocol(text)


@pytest.mark.parametrize("rule", ["subject:1-3,7", "camera:2", "setup:2,4,6-9"])
def test_a_protocol_is_written_as_it_is_read(rule: str) -> None:
    assert str(parse_protocol(f"x={rule}")[1]) == rule
