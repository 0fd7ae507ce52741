"""What the preview says a view does: against figures known beforehand, and against a slow twin."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from skelkit.augment import (
    AUGMENTATIONS,
    PartMask,
    Rotation,
    Sometimes,
    TemporalMask,
    Transform,
    augment_sequence,
)
from skelkit.errors import SkelkitError
from skelkit.preview import write_preview
from skelkit.preview.effect import compare
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.views import sample_frames

LAYOUT = load_layout("coco17")


def mover(frames: int = 20, bodies: int = 2) -> SkeletonSequence:
    rng = np.random.default_rng(4)
    still = rng.uniform(-1, 1, (1, bodies, LAYOUT.size, 3))
    swing = np.sin(np.arange(frames) / 3)[:, None, None, None] * rng.uniform(0, 0.3, still.shape)
    present = np.ones((frames, bodies), np.bool_)
    return SkeletonSequence((still + swing).astype(np.float32), present, "a", 0)


def same_moments(sequence: SkeletonSequence) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.arange(sequence.frames), np.zeros(sequence.frames, np.float32)


def test_joints_moved_by_known_distances() -> None:
    sequence = mover()
    moved = sequence.joints.copy()
    moved[:, :, 3, 1] += 0.5
    moved[7, 0, 5, 2] -= 2
    effect = compare(sequence, replace(sequence, joints=moved), *same_moments(sequence), LAYOUT)
    expected = np.full(20, 0.5 / 17)
    expected[7] += 2 / 34
    np.testing.assert_allclose(effect.moved, expected, rtol=1e-5)
    assert effect.farthest.tolist() == pytest.approx([0.5] * 7 + [2] + [0.5] * 12, rel=1e-5)
    summary = effect.summary()
    assert summary["farthest"] == pytest.approx(2, rel=1e-5)
    assert summary["moved"] == pytest.approx(expected.mean(), rel=1e-5)


def test_bones_of_a_body_twice_as_large() -> None:
    sequence = mover()
    effect = compare(sequence, replace(sequence, joints=2 * sequence.joints), *same_moments(sequence), LAYOUT)
    np.testing.assert_allclose(effect.bones, 1, rtol=1e-5)
    assert effect.summary()["bone_change"] == pytest.approx(1, rel=1e-5)


def test_bones_that_change_most_come_first_by_name() -> None:
    sequence = mover()
    joints = sequence.joints.copy()
    child, parent = LAYOUT.bones[4]
    leaf = next(bone for bone in LAYOUT.bones if bone[0] not in {end for _, end in LAYOUT.bones})
    joints[:, :, leaf[0]] = joints[:, :, leaf[1]]
    effect = compare(sequence, replace(sequence, joints=joints), *same_moments(sequence), LAYOUT)
    (name, change), *others = effect.most_changed(LAYOUT, 3)
    assert name == f"{LAYOUT.joints[leaf[0]]} \u2013 {LAYOUT.joints[leaf[1]]}"
    assert change == -1
    assert [one for _, one in others] == [0, 0]
    assert effect.to_plain(LAYOUT)["bones"][f"{LAYOUT.joints[child]}-{LAYOUT.joints[parent]}"] is not None


def test_moments_between_frames_are_interpolated() -> None:
    sequence = mover(frames=3)
    middle = (sequence.joints[:2] + sequence.joints[1:]) / 2
    view = replace(sequence, joints=middle, present=sequence.present[:2])
    effect = compare(sequence, view, np.array([0, 1]), np.full(2, 0.5, np.float32), LAYOUT)
    np.testing.assert_allclose(effect.farthest, 0, atol=1e-6)
    effect = compare(sequence, view, np.array([0, 1]), np.zeros(2, np.float32), LAYOUT)
    assert (effect.farthest > 1e-3).all()


def test_absent_bodies_do_not_count() -> None:
    sequence = mover()
    present, joints = sequence.present.copy(), sequence.joints.copy()
    present[:5, 1] = present[3] = False
    joints[~present] = 0
    sequence = replace(sequence, joints=joints, present=present)
    thrown = joints.copy()
    thrown[~present] = 100
    thrown[present] += np.float32(0.1)
    view = replace(sequence, joints=thrown, present=np.ones_like(present))
    effect = compare(sequence, view, *same_moments(sequence), LAYOUT)
    assert np.flatnonzero(np.isnan(effect.moved)).tolist() == [3]
    assert np.nanmax(effect.farthest) == pytest.approx(0.1 * 3**0.5, rel=1e-4)
    np.testing.assert_allclose(effect.bones, 0, atol=1e-5)


def test_nobody_to_compare() -> None:
    sequence = mover()
    nobody = replace(sequence, joints=0 * sequence.joints, present=~sequence.present)
    effect = compare(nobody, nobody, *same_moments(nobody), LAYOUT)
    assert set(effect.summary().values()) == {None}
    assert effect.most_changed(LAYOUT, 5) == []
    assert set(effect.to_plain(LAYOUT)["bones"].values()) == {None}


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_twin(name: str) -> None:
    sequence = mover(frames=70)
    view, parameters = augment_sequence(sequence, AUGMENTATIONS[name], LAYOUT, seed=3)
    (below,), (weight,) = sample_frames(parameters)
    effect = compare(sequence, view, below, weight, LAYOUT)
    was, now = np.zeros((2, len(LAYOUT.bones)))
    for f in range(view.frames):
        after = sequence.joints[min(below[f] + 1, 69)]
        before = sequence.joints[below[f]] + weight[f] * (after - sequence.joints[below[f]])
        distances = []
        for m in range(2):
            if not view.present[f, m]:
                continue
            distances += [float(np.linalg.norm(view.joints[f, m, v] - before[m, v])) for v in range(17)]
            for number, (child, parent) in enumerate(LAYOUT.bones):
                was[number] += np.linalg.norm(before[m, child] - before[m, parent])
                now[number] += np.linalg.norm(view.joints[f, m, child] - view.joints[f, m, parent])
        if not distances:
            assert np.isnan(effect.moved[f])
            continue
        assert effect.moved[f] == pytest.approx(np.mean(distances), abs=1e-5)
        assert effect.farthest[f] == pytest.approx(max(distances), abs=1e-5)
    np.testing.assert_allclose(effect.bones, now / was - 1, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "kept", "still"),
    [
        *[(name, True, True) for name in ("crop", "speed", "resample", "reverse", "mask")],
        ("rotation", True, False),
        *[(name, False, False) for name in ("shear", "jitter", "parts", "axis", "bones", "noise")],
    ],
)
def test_told_of_each_augmentation(tmp_path: Path, name: str, kept: bool, still: bool) -> None:
    chosen = {name: AUGMENTATIONS[name]}
    drawn = write_preview(mover(frames=70), LAYOUT, tmp_path / "a.html", augmentations=chosen, seed=3)
    effect: dict[str, Any] = drawn[name]["effect"]
    assert (effect["bone_change"] < 1e-4) == kept
    assert (effect["farthest"] < 1e-4) == still
    assert effect["moved"] <= effect["farthest"]
    told = "\n".join(drawn[name]["effect_lines"])
    assert ("bones keep their lengths" in told) == kept
    assert bool(re.search(r"bones change by \d+\.\d% on average", told)) == (not kept)
    assert bool(re.search(r"joints move \d\.\d{3} m, at most", told)) == (not still)


@pytest.mark.parametrize(
    ("transform", "frames", "said"),
    [
        (PartMask(5), 20, "right leg"),
        (TemporalMask(), 2, "no frame"),
        (Sometimes(Rotation(axis="x"), 1.0), 20, "with chance 1 Rotation"),
    ],
)
def test_odd_draws_are_told_too(transform: Transform, frames: int, said: str, tmp_path: Path) -> None:
    sequence = mover(frames)
    write_preview(sequence, LAYOUT, tmp_path / "a.html", augmentations={"it": transform})
    assert said in (tmp_path / "a.html").read_text("utf-8")


def test_a_sequence_without_bodies_is_one_line(tmp_path: Path) -> None:
    nobody = SkeletonSequence(
        np.zeros((3, 0, LAYOUT.size, 3), np.float32), np.zeros((3, 0), np.bool_), "a", 0
    )
    with pytest.raises(SkelkitError, match="a: no body to show"):
        write_preview(nobody, LAYOUT, tmp_path / "a.html")
