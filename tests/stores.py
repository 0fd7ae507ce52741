"""Random stores, and how two of them compare: for the tests of what goes out of a store and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from skelkit.datasets import ListedSplit
from skelkit.normalise import RECIPES
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store import Header, Store, write_store

names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="#"), min_size=1, max_size=9
)
"""Of sequences: anything that is text, but for #, which parts a clip from its recording."""


def layout(size: int) -> JointLayout:
    """A chain of joints."""
    bones = tuple((v + 1, v) for v in range(size - 1))
    return JointLayout(f"chain{size}", tuple(f"joint {v}" for v in range(size)), bones, (), 0, (0, 1), (1, 0))


@dataclass(frozen=True)
class Content:
    """What a store is made of."""

    sequences: list[SkeletonSequence]
    layout: JointLayout
    classes: tuple[str, ...]
    split: ListedSplit

    def write(self, path: Path, recipe: str = "raw") -> str:
        """Its content hash."""
        recipe_ = RECIPES[recipe].describe()
        protocols = {"xsub": self.split}
        return write_store(path, self.sequences, Header("any", self.layout, recipe_, self.classes, protocols))


@st.composite
def contents(draw: st.DrawFn, unknown_labels: bool = True) -> Content:
    """Two to five sequences of up to 6 frames, 2 bodies and 4 joints; somebody trains and somebody tests."""
    size = draw(st.integers(2, 4))
    called = sorted(draw(st.lists(names, min_size=2, max_size=5, unique=True)))
    columns = draw(st.lists(st.sampled_from(["subject", "camera", "Größe"]), unique=True))
    sides = [1, 0, *draw(st.lists(st.sampled_from([1, 0, -1]), min_size=len(called), max_size=len(called)))]
    sequences = []
    for name in called:
        frames, bodies = draw(st.integers(1, 6)), draw(st.integers(1, 2))
        present = np.array(
            draw(st.lists(st.booleans(), min_size=frames * bodies, max_size=frames * bodies))
        ).reshape(frames, bodies)
        present[-1] = True
        seed = draw(st.integers(0, 2**32 - 1))
        joints = np.random.default_rng(seed).normal(0, 1, (frames, bodies, size, 3)).astype(np.float32)
        joints[~present] = 0
        label = draw(st.integers(-1 if unknown_labels else 0, 4))
        values = {column: draw(st.integers(-1, 2**40)) for column in columns}
        sequences.append(SkeletonSequence(joints, present, name, label, values))
    train, test = (
        frozenset(name for name, side in zip(called, sides, strict=False) if side == part) for part in (1, 0)
    )
    classes = tuple(draw(st.lists(names, min_size=5, max_size=5))) if draw(st.booleans()) else ()
    return Content(sequences, layout(size), classes, ListedSplit(train, test, "lists.txt"))


def assert_same_sequences(a: Store, b: Store, columns: bool = True) -> None:
    """Joints, presence, labels and names; and columns."""
    assert a.names == b.names
    np.testing.assert_array_equal(a.label, b.label)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.joints, other.joints)
        np.testing.assert_array_equal(one.present, other.present)
        if columns:
            assert dict(one.columns) == dict(other.columns)
