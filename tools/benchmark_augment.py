"""The paper's views of NTU data against a loader that works as the paper's does, in one run; prints ratios.

    python tools/benchmark_augment.py NTU_FILES [--sequences 4096]

NTU_FILES (a folder, a .zip or a single .skeleton file) are repeated until there are as many sequences as
asked for, more than caches hold, and batches are drawn from all of them. A pair is two views of one sequence,
each of 64 frames and two bodies. The twin takes one sequence at a time from a padded array, as the paper's
loader does, with numpy instead of torch. The copy is of as many bytes as a batch has, by numpy: it reads and
writes each, and so do we, whose views are made from about as many bytes. The ways take turns, and the best of
each counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from skelkit.augment import ISC
from skelkit.normalise import RECIPES
from skelkit.readers import ntu
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.sources import list_files
from skelkit.views import DrawKey, ViewParameters, identity, make_views

SECONDS = 6.0
FRAMES, BODIES, JOINTS, PADDED = 64, 2, 25, 300
LAYOUT = load_layout("ntu25")


def best(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Best seconds of each, the ways taking turns."""
    for call in ways.values():
        call()
    seconds = dict.fromkeys(ways, float("inf"))
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for way, call in ways.items():
            began = time.perf_counter()
            call()
            seconds[way] = min(seconds[way], time.perf_counter() - began)
    return seconds


class Twin:
    """Sample by sample, from (N, 3, 300, 25, 2) as the paper stores it."""

    def __init__(self, sequences: list[SkeletonSequence]) -> None:
        self.random = np.random.default_rng(0)
        self.frames = [sequence.frames for sequence in sequences]
        self.padded = np.zeros((len(sequences), 3, PADDED, JOINTS, BODIES), np.float32)
        for sample, sequence in enumerate(sequences):
            shown = sequence.joints.transpose(3, 0, 2, 1)
            self.padded[sample, :, : sequence.frames, :, : sequence.bodies] = shown

    def pair(self, sample: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        joints = np.array(self.padded[sample])
        return self.view(joints, self.frames[sample]), self.view(joints, self.frames[sample])

    def view(self, joints: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        length = min(max(int(frames * self.random.uniform(0.1, 1)), FRAMES), frames)
        start = self.random.integers(frames - length + 1)
        position = np.maximum((np.arange(FRAMES) + 0.5) * length / FRAMES - 0.5, 0)
        below = position.astype(int)
        above = np.minimum(below + 1, length - 1)
        weight = (position - below).astype(np.float32)[:, None, None]
        taken = joints[:, start : start + length]
        view = taken[:, below] * (1 - weight) + taken[:, above] * weight
        if self.random.random() < 0.5:
            matrix = self.random.uniform(-1, 1, (3, 3))
            np.fill_diagonal(matrix, 1)
            view = (view.transpose(1, 2, 3, 0) @ matrix.T).transpose(3, 0, 1, 2)
        else:
            chosen = self.random.choice(JOINTS, 15, replace=False)
            matrix = self.random.uniform(-1, 1, (3, 3)) * (self.random.random() < 0.5)
            view[:, :, chosen] = (view[:, :, chosen].transpose(1, 2, 3, 0) @ matrix).transpose(3, 0, 1, 2)
        return view.astype(np.float32)


class Packed:
    """The sequences as a store has them, side by side in memory, again and again."""

    def __init__(self, sequences: list[SkeletonSequence], count: int) -> None:
        which = np.arange(count) % len(sequences)
        self.rows = np.concatenate([sequences[n].joints.reshape(-1, JOINTS, 3) for n in which])
        self.frames = np.array([sequences[n].frames for n in which])
        self.bodies = np.array([sequences[n].bodies for n in which])
        self.offset = np.concatenate([[0], np.cumsum(self.frames * self.bodies)[:-1]])

    def draw(self, places: NDArray[np.int64], views: NDArray[np.int64]) -> ViewParameters:
        return ISC.draw(DrawKey(0, 0, places, views), identity(self.frames[places], LAYOUT, BODIES))

    def make(self, places: NDArray[np.int64], drawn: ViewParameters, out: NDArray[np.float32]) -> None:
        make_views(self.rows, self.offset[places], self.bodies[places], drawn, out=out)


def measure(packed: Packed, pairs: int, threads: int, twin: float) -> None:
    """Print a table for batches of so many pairs; ``twin`` is the twin's pairs a second."""
    numba.set_num_threads(threads)
    places = np.repeat(np.random.default_rng(0).permutation(len(packed.frames))[:pairs], 2)
    views = np.tile([0, 1], pairs)
    drawn = packed.draw(places, views)
    out = np.empty((2 * pairs, FRAMES, BODIES, JOINTS, 3), np.float32)
    other = np.ones_like(out)
    seconds = best(
        {
            "draw": lambda: packed.draw(places, views),
            "make": lambda: packed.make(places, drawn, out),
            "draw and make": lambda: packed.make(places, packed.draw(places, views), out),
            "copy": lambda: np.copyto(out, other),
        }
    )
    print(f"\nbatches of {pairs} pairs, {threads} thread{'s' * (threads > 1)}")
    copied = out.nbytes / seconds["copy"] / 1e9
    for way in ("draw", "make", "draw and make"):
        rate, written = pairs / seconds[way], out.nbytes / seconds[way] / 1e9
        each = (
            f"{seconds[way] / pairs / 2 * 1e6:6.2f} us a view {rate:9,.0f} pairs/s {rate / twin:5.0f} x twin"
        )
        bandwidth = f"   {written:5.1f} GB/s written, {written / copied:.2f} of a copy's"
        print(f"  {way:14}{each}{'' if way == 'draw' else bandwidth}", flush=True)
    print(f"  copy          {copied:5.1f} GB/s written and as many read, on one thread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path, metavar="NTU_FILES")
    parser.add_argument("--sequences", type=int, default=4096)
    options = parser.parse_args()
    isc = RECIPES["isc"]
    files = list_files([options.source], ".skeleton").files
    read = [isc.apply(ntu.read(file.read(), file.where), LAYOUT) for file in files]
    sequences = [sequence for sequence in read if sequence.bodies]
    packed, twin = Packed(sequences, options.sequences), Twin(sequences)
    mean = f"{packed.frames.mean():.0f} frames and {packed.bodies.mean():.2f} bodies on average"
    size = f"{len(packed.frames)} ({packed.rows.nbytes / 1e6:.0f} MB)"
    print(f"{len(sequences)} sequences, {mean}, repeated to {size}; {os.cpu_count()} cores")
    samples = range(len(sequences))
    seconds = best({"twin": lambda: [twin.pair(sample) for sample in samples]})["twin"]
    rate = len(samples) / seconds
    print(f"twin, one sequence at a time: {rate:,.0f} pairs/s on one core")
    every = numba.get_num_threads()
    for pairs in (64, 1024):
        for threads in sorted({1, every}):
            measure(packed, pairs, threads, rate)


if __name__ == "__main__":
    sys.exit(main())
