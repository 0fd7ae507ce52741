"""The whole chain in one go, without any data: synthetic raw files to an evaluated encoder.

    python tools/demo.py FOLDER

Every step is a command that works the same on real files; it is printed before it runs.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

SAMPLE = "S001C001P001R001A001"


def run(*command: str, quiet: bool = False) -> str:
    """Run one of the package's commands; its standard output."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    module = command[0].replace("-", "_")
    done = subprocess.run(
        [sys.executable, "-m", module, *command[1:]], check=True, text=True, stdout=subprocess.PIPE
    )
    if not quiet:
        print(done.stdout, end="", flush=True)
    return done.stdout


def main(folder: Path) -> None:
    began = time.perf_counter()
    folder.mkdir(parents=True)
    raw, store, trained = str(folder / "raw"), str(folder / "ntu60.h5"), str(folder / "run")
    preview = str(folder / "preview.html")

    run("skelkit", "synth", raw, "--classes", "10", "--subjects", "20", "--repeats", "2")
    run("skelkit", "convert", raw, "--dataset", "ntu60", "-o", store)
    run("skelkit", "augment", "preview", store, "--sample", SAMPLE, "-o", preview)
    pretrain = ["skelkit-train", "pretrain", store, "--protocol", "xsub", "--preset", "small"]
    run(*pretrain, "--epochs", "30", "-o", trained)
    evaluate = [trained, store, "--protocol", "xsub", "--json"]
    tasks = {
        "linear": run("skelkit-train", "eval", "linear", *evaluate, "--epochs", "40", quiet=True),
        "retrieval": run("skelkit-train", "eval", "retrieval", *evaluate, quiet=True),
    }
    found = {task: json.loads(answer) for task, answer in tasks.items()}

    print(f"\n{'':20}{'linear':>10}{'retrieval':>12}")
    for line in zip(*(task["rows"] for task in found.values()), strict=True):
        name = f"{line[0]['encoder']} {line[0]['representation']}"
        print(f"{name:20}{line[0]['top1']:10.1%}{line[1]['top1']:12.1%}")
    print(f"{'chance':20}{found['linear']['chance']:10.1%}{found['retrieval']['chance']:12.1%}")
    print(f"\nraw files  {raw}\nstore      {store}\npreview    {preview}\nrun        {trained}")
    print(f"\nall in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
