"""normalise: what the recipes and steps tell of a file."""

from __future__ import annotations

import pytest
from people import NTU, bodies, run, sequence, slim

from skelkit.normalise import (
    RECIPES,
    bodies_by_track,
    close_gaps,
    drop_zero_bodies,
    first_slots,
)
from skelkit.readers import ntu


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


@pytest.mark.parametrize("recipe", RECIPES)
def test_told_of_a_joint_beyond_any_reach(recipe: str) -> None:
    given = bodies([1, 1, 1, 1, 1])
    assert not any("metres" in note for note in RECIPES[recipe].apply(given, NTU).notes)
    given.joints[3, 0, 7, 1] = -1800
    note, *_ = RECIPES[recipe].apply(given, NTU).notes
    assert note == "a joint is 1800 m away, expected metres, at most 20; millimetres?"


def test_told_of_gaps_that_are_closed() -> None:
    given = bodies([1, 1, 1, 1, 1], [1, 0, 0, 1, 1], tracks=True)
    assert close_gaps(given, NTU).notes == (
        "body 101 comes back after 2 frames of absence: its later frames move up to close the gap",
    )
