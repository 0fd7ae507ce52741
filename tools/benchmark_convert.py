"""The conversion against the slow twin of the paper's pipeline, in one run; prints ratios.

    python tools/benchmark_convert.py NTU_FILES [--files 2000] [--large 10000] [--scratch FOLDER]

NTU_FILES (a folder, a .zip or a single .skeleton file) are repeated under other names until there are as many
as asked for. Ours is the command as a user gives it, start-up and writing included; the twin of
tests/naive.py reads, normalises and pads each file in one process, and writes nothing. Files are in the page
cache for both. Memory is the sum over all processes of the proportional set size, sampled.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import naive

from skelkit.readers import ntu
from skelkit.sources import list_files

ROUNDS = 7
SKELKIT = (sys.executable, "-m", "skelkit")


def names() -> Iterator[str]:
    for setup, camera, subject, replication, action in itertools.product(
        range(1, 18), range(1, 4), range(1, 41), range(1, 3), range(1, 61)
    ):
        yield f"S{setup:03}C{camera:03}P{subject:03}R{replication:03}A{action:03}.skeleton"


def best(*ways: Callable[[], object]) -> list[float]:
    """Best seconds of each, the ways taking turns."""
    seconds = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for way, call in enumerate(ways):
            began = time.perf_counter()
            call()
            seconds[way] = min(seconds[way], time.perf_counter() - began)
    return seconds


def memory(process: int) -> int:
    """Bytes that a process and its descendants take, shared pages divided among those who share them."""
    total, found = 0, [process]
    while found:
        pid = found.pop()
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:  # it has ended meanwhile
            continue
    return total


def convert(source: Path, out: Path, workers: int) -> tuple[float, int, str]:
    """Seconds, peak bytes and content hash of one conversion."""
    command = [*SKELKIT, "convert", source, "--dataset", "ntu60", "-o", out, "--overwrite", "--json"]
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(
        [*command, "--workers", str(workers)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        report = json.load(process.stdout)  # type: ignore[arg-type]
    assert process.returncode == 0
    return seconds, peak, report["content_hash"]


def row(what: str, ours: str, twin: str, ratio: str) -> None:
    print(f"{what:44} {ours:>18} {twin:>18} {ratio:>14}", flush=True)


def main(source: Path, files: int, large: int, scratch: Path) -> None:
    originals = list_files([source], ".skeleton").files
    contents = [(file.read(), file.where) for file in originals]
    megabytes = sum(len(data) for data, _ in contents) / 1e6
    print(f"{len(contents)} files, {megabytes:.1f} MB, {megabytes / len(contents) * 1000:.0f} kB each\n")
    row("", "ours", "twin", "ratio")

    for content in contents:
        ntu.read(*content)
    ours, twin = best(
        lambda: [ntu.read(*content) for content in contents],
        lambda: [naive.read_skeleton(data) for data, _ in contents],
    )
    rates = f"{megabytes / ours:.0f} MB/s", f"{megabytes / twin:.0f} MB/s"
    row("parse, from memory", *rates, f"{twin / ours:.1f} times")

    folder, more, archive = scratch / "raw", scratch / "more", scratch / "raw.zip"
    disk = scratch / "originals"
    for each in (folder, more, disk):
        each.mkdir()
    for number, (data, _) in enumerate(contents):
        (disk / str(number)).write_bytes(data)
    for number, name in enumerate(itertools.islice(names(), max(files, large))):
        original = disk / str(number % len(contents))
        if number < files:
            os.link(original, folder / name)
        if number < large:
            os.link(original, more / name)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        for path in sorted(folder.iterdir()):
            members.write(path, f"nturgb+d_skeletons/{path.name}")

    began = time.perf_counter()
    for path in sorted(folder.iterdir()):
        naive.isc_pipeline(path.read_bytes())
    twin = time.perf_counter() - began
    out = scratch / "out.h5"
    hashes = set()
    for what, given in (("a folder", folder), ("a zip", archive)):
        runs = [convert(given, out, 1) for _ in range(3)]
        hashes |= {content_hash for *_, content_hash in runs}
        ours = min(seconds for seconds, *_ in runs)
        each = f"{ours / files * 1e3:.2f} ms a file", f"{twin / files * 1e3:.1f} ms a file"
        row(f"convert {files} files from {what}, one worker", *each, f"{twin / ours:.1f} times")
    assert len(hashes) == 1

    runs = {workers: min(convert(more, out, workers) for _ in range(2)) for workers in (1, 2)}
    (one, peak_1, _), (two, peak_2, _) = runs[1], runs[2]
    row(f"convert {large} files, two workers, one", f"{two:.1f} s", f"{one:.1f} s", f"{one / two:.2f} times")
    row("  peak memory of these", f"{peak_2 / 2**20:.0f} MiB", f"{peak_1 / 2**20:.0f} MiB", "")
    assert runs[1][2] == runs[2][2]

    def help_() -> None:
        subprocess.run([*SKELKIT, "--help"], check=True, stdout=subprocess.DEVNULL)

    row("skelkit --help", f"{best(help_)[0]:.2f} s", "", "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--scratch", type=Path, help="where the copies go; a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        main(given.source, given.files, given.large, Path(scratch))
