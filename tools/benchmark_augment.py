"""Making views against the slow twin of tests/naive.py, in one run, on one core; prints ratios.

    python tools/benchmark_augment.py NTU_FILES      (a folder, a .zip or a single .skeleton file)

Both ways do the same work on the same files, alternate, and count their best of several rounds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NUMBA_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import naive
import numpy as np

from skelkit.augment import ISC
from skelkit.normalise import RECIPES
from skelkit.readers import ntu
from skelkit.skeleton import load_layout
from skelkit.sources import list_files
from skelkit.views import DrawKey, identity, make_views

ROUNDS = 5
LAYOUT = load_layout("ntu25")


def compare(ours: Callable[[], object], twin: Callable[[], object]) -> tuple[float, float]:
    """Best seconds of each."""
    ours()
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for way, call in enumerate((ours, twin)):
            began = time.perf_counter()
            call()
            best[way] = min(best[way], time.perf_counter() - began)
    return best[0], best[1]


def line(name: str, ours: float, twin: float, work: float, unit: str) -> None:
    rates = f"{work / ours:10.0f} {unit:9} twin {work / twin:8.1f}"
    print(f"{name:28}{rates}   {twin / ours:7.1f} times as fast", flush=True)


def main(source: Path) -> None:
    files = [(file.read(), file.where) for file in list_files([source], ".skeleton").files]
    megabytes = sum(len(data) for data, _ in files) / 1e6
    print(f"{len(files)} files, {megabytes:.1f} MB")

    def slow_view(sample: int) -> None:
        joints = sequences[sample].joints[start[sample] : start[sample] + length[sample]]
        naive.linear(naive.resample(joints, 64), np.eye(3))

    isc = RECIPES["isc"]
    sequences = [sequence for file in files if (sequence := isc.apply(ntu.read(*file), LAYOUT)).bodies]
    rows = np.concatenate([sequence.joints.reshape(-1, 25, 3) for sequence in sequences])
    frames = np.array([sequence.frames for sequence in sequences])
    bodies = np.array([sequence.bodies for sequence in sequences])
    offset = np.concatenate([[0], np.cumsum(frames * bodies)[:-1]])
    places = np.arange(len(sequences))
    parameters = ISC.draw(DrawKey(0, 0, places, 0 * places), identity(frames, 25))
    start, length = parameters.start, parameters.length
    out = make_views(rows, offset, bodies, parameters, max_bodies=2)

    def views() -> None:
        drawn = ISC.draw(DrawKey(0, 0, places, 0 * places), identity(frames, 25))
        make_views(rows, offset, bodies, drawn, max_bodies=2, out=out)

    line(
        "draw and make views", *compare(views, lambda: [slow_view(n) for n in places]), len(places), "views/s"
    )
    line(
        "make views, drawn before",
        *compare(
            lambda: make_views(rows, offset, bodies, parameters, max_bodies=2, out=out), lambda: out.copy()
        ),
        out.nbytes / 1e6,
        "MB/s",
    )
    print("(the last line's twin is a plain copy of the result: how far from memory speed it is)")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
