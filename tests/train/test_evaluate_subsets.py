"""The subsets of the labels, and the subjects held out."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from skelkit.errors import InputError, SkelkitError
from skelkit_train.evaluate.subsets import LabelSubsets, hold_out, stratified


def test_subsets_are_stratified_and_drawn_independently():
    label = np.repeat([0, 1, 2], [200, 100, 5])
    train = np.flatnonzero(np.arange(305) % 5)
    five, twenty = (stratified(label, train, share, 0, seed=3) for share in (5, 20))
    assert np.bincount(label[twenty]).tolist() == [32, 16, 1]
    assert np.bincount(label[five]).tolist() == [8, 4, 1]
    assert set(five) < set(twenty) < set(train)
    assert np.array_equal(five, stratified(label, train, 5, 0, seed=3))
    assert len(set(five) & set(stratified(label, train, 5, 1, seed=3))) < 6
    assert len(set(five) & set(stratified(label, train, 5, 0, seed=4))) < 6
    assert np.array_equal(stratified(label, train, 100, 0, seed=3), train)


def test_subsets_are_written_and_found_again_by_name(tmp_path):
    names, label, train = [f"n{k:02}" for k in range(40)], np.arange(40) % 4, np.arange(30)
    drawn = LabelSubsets.draw(
        names, label, train, share=20, count=3, seed=0, protocol="xsub", content_hash="?"
    )
    drawn.write(tmp_path / "subsets.json")
    read = LabelSubsets.read(tmp_path / "subsets.json")
    assert read == drawn
    wanted = [stratified(label, train, 20, n, seed=0) for n in range(3)]
    for found, places in zip(read.places(names, train, "xsub"), wanted, strict=True):
        assert np.array_equal(found, places)
    backwards = read.places(names[::-1], np.arange(10, 40), "xsub")
    assert [[names[::-1][place] for place in part[::-1]] for part in backwards] == read.subsets
    with pytest.raises(SkelkitError, match=r"label subset: 'n..' is not in the training part of xsub$"):
        read.places(names, np.arange(4), "xsub")
    with pytest.raises(SkelkitError, match=r"training part of xview; the subsets are of xsub$"):
        read.places(names, np.arange(4), "xview")


@pytest.mark.parametrize("text", ["", "[]", '{"share": 5}', None])
def test_a_file_of_subsets_that_is_none_is_one_line(text, tmp_path):
    file = tmp_path / "subsets.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(
        InputError, match=r"subsets.json: (no file of label subsets|cannot be read): "
    ) as caught:
        LabelSubsets.read(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("share", 0, "share is 0, expected a percentage above 0"),
        ("share", 101.0, "share is 101.0"),
        ("share", float("nan"), "share is nan"),
        ("share", True, "share is True"),
        ("share", "5", "share is '5'"),
        ("subsets", [], "it has no subsets"),
        ("subsets", "ab", "it has no subsets"),
        ("subsets", [["a"], []], "subset 2 is no list of names"),
        ("subsets", [["a", 1]], "subset 1 is no list of names"),
        ("subsets", ["ab"], "subset 1 is no list of names"),
        ("subsets", [["a", "b"], ["b", "a", "b"]], "subset 2 has 'b' twice"),
    ],
)
def test_subsets_that_make_no_sense_are_refused(field, value, reason, tmp_path):
    file = tmp_path / "subsets.json"
    good = {"protocol": "xsub", "share": 5, "seed": 0, "content_hash": "?", "subsets": [["a", "b"], ["a"]]}
    file.write_text(json.dumps(good))
    assert LabelSubsets.read(file) == LabelSubsets(**good)
    file.write_text(json.dumps(good | {field: value}))
    with pytest.raises(InputError, match=f"subsets.json: no file of label subsets: {re.escape(reason)}"):
        LabelSubsets.read(file)


def test_subjects_held_out_are_in_one_part_only():
    subject, train = np.arange(60) % 6, np.arange(0, 60, 2)  # subjects 0, 2 and 4
    rest, held, who = hold_out(subject, train, 2, seed=0)
    assert sorted([*rest, *held]) == train.tolist()
    assert set(subject[held]) == set(who)
    assert len(who) == 2
    assert not set(who) & set(subject[rest])
    with pytest.raises(SkelkitError, match="3 subjects cannot be held out: the training part has 3"):
        hold_out(subject, train, 3, seed=0)


def test_samples_of_nobody_known_cannot_be_held_apart():
    subject = np.array([1, 2, -1, 3, -1])
    assert hold_out(subject, np.array([0, 1, 3]), 1, seed=0)[2]
    with pytest.raises(SkelkitError, match=r"of 2 training samples it is not known \(-1\) whose they are"):
        hold_out(subject, np.arange(5), 1, seed=0)
