"""k-nearest neighbours against scikit-learn's, in one run; prints a ratio, and the memory that each took.

    python tools/benchmark_evaluate.py [QUERIES] [GALLERY] [FEATURES] [THREADS]

The defaults, 3,000 queries, 8,000 in the gallery and 2,048 features, take a minute; NTU RGB+D 120 xsub has
50,922 and 63,026. All ways get the same random features; one of ours also computes the average precisions.
Each runs in a process of its own, by turns, best of several; its memory is the process's peak less what it
was before the search, as Linux counts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 3
WAYS = ("ours", "scikit-learn", "ours with mean average precision")


def memory(what: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


def measure(way: str, queries: int, gallery_size: int, features: int) -> tuple[float, float, int]:
    """Seconds, MiB, and a sum over the neighbours that tells whether both found the same."""
    import torch

    generator = torch.Generator().manual_seed(0)
    gallery = torch.nn.functional.normalize(torch.randn(gallery_size, features, generator=generator), dim=1)
    query = torch.nn.functional.normalize(torch.randn(queries, features, generator=generator), dim=1)
    label, gallery_label = torch.arange(queries) % 120, torch.arange(gallery_size) % 120
    if way == "scikit-learn":
        from sklearn.neighbors import KNeighborsClassifier

        oracle = KNeighborsClassifier(1, metric="cosine").fit(gallery.numpy(), gallery_label.numpy())
    else:
        from skelkit_train.evaluate.retrieval import search

        search(query[:8], gallery[:8], 1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
    before = memory("VmRSS")
    began = time.perf_counter()
    if way == "scikit-learn":
        found = oracle.kneighbors(query.numpy(), return_distance=False)
    else:
        labels = (label, gallery_label) if way != "ours" else (None, None)
        found = search(query, gallery, 1, *labels).row.numpy()
    seconds = time.perf_counter() - began
    return seconds, memory("VmHWM") - before, int(found.sum())


def main(queries: int, gallery: int, features: int, threads: int) -> None:
    threading = {
        name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    found: dict[str, list[tuple[float, float, int]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            command = [sys.executable, __file__, "--one", way, str(queries), str(gallery), str(features)]
            result = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threading
            )
            found[way].append(tuple(json.loads(result.stdout)))
    if len({row[2] for rows in found.values() for row in rows}) > 1:
        sys.exit("the ways found different neighbours")
    print(f"{queries} queries, {gallery} in the gallery, {features} features, {threads} threads")
    seconds = {way: min(row[0] for row in rows) for way, rows in found.items()}
    for way, rows in found.items():
        ratio = seconds["scikit-learn"] / seconds[way]
        peak = max(row[1] for row in rows)
        print(f"{way:34}{seconds[way]:9.2f} s{peak:9.0f} MiB   {ratio:5.2f} times as fast as scikit-learn")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--one"]:
        print(json.dumps(measure(arguments[1], *map(int, arguments[2:]))))
    elif len(arguments) > 4 or not all(argument.isdigit() for argument in arguments):
        sys.exit(__doc__)
    else:
        given = list(map(int, arguments))
        main(*given, *[3000, 8000, 2048, 1][len(given) :])
