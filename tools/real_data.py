"""Pretrain and evaluate on small real datasets, at the small preset on a CPU, and print a table.

    python tools/real_data.py NUCLA.npz WMFT.npz OUT [pretrain options, as --epochs 80]

NUCLA.npz and WMFT.npz are plain npz files (see data/README.md) of Northwestern-UCLA (Wang et al. 2014; 20
joints, cameras 1 and 2 train) and of Wolf Motor Function Test recordings (25 joints, subjects 1 to 16 train).
Each row compares a pretrained encoder with an untrained one of the same size, and with raw coordinates.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

DATASETS = {
    "N-UCLA": ("kinect20", "xview", "xview=camera:1,2"),
    "WMFT": ("ntu25", "xsub", "xsub=subject:1-16"),
}
TASKS = ("retrieval", "linear")


def run(module: str, *arguments: str) -> str:
    print(f"$ {module} {' '.join(arguments)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", module.replace("-", "_"), *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def measure(name: str, file: Path, out: Path, options: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each task."""
    layout, protocol, rule = DATASETS[name]
    store, trained = str(out / f"{name}.h5"), str(out / name)
    source = ["--from", "npz", "--skeleton", layout, "--protocol", rule, "--recipe", "isc"]
    run("skelkit", "import", str(file), *source, "-o", store, "--overwrite")
    run(
        "skelkit-train",
        "pretrain",
        store,
        "--protocol",
        protocol,
        "--preset",
        "small",
        *options,
        "-o",
        trained,
    )
    return {
        task: json.loads(
            run("skelkit-train", "eval", task, trained, store, "--protocol", protocol, "--json")
        )["rows"]
        for task in TASKS
    }


def main(nucla: Path, wmft: Path, out: Path, options: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    print("| dataset | encoder | retrieval | linear |\n|---|---|---|---|")
    for name, file in (("N-UCLA", nucla), ("WMFT", wmft)):
        found = measure(name, file, out, options)
        for rows in zip(*found.values(), strict=True):
            encoder = f"{rows[0]['encoder']} {rows[0]['representation']}".strip()
            print(
                f"| {name} | {encoder} | " + " | ".join(f"{row['top1']:.1%}" for row in rows) + " |",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:4]), sys.argv[4:])
