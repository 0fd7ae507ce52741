"""The conversion against the slow twin of the paper's pipeline, in one run; prints ratios.

    python tools/benchmark_convert.py NTU_FILES [--files 10000] [--twin 2000] [--all 56880] [--scratch FOLDER]

NTU_FILES (a folder, a .zip or a single .skeleton file) are repeated under other names until there are as many
as asked for; two workers are held against one with as many as NTU RGB+D 60 has. Ours is the command as a user
gives it, start-up and writing included; the twin of tests/naive.py reads, normalises and pads each file in
one process, and writes nothing. Files are in the page cache for both. The ways take turns, and the best of
each counts. Memory is the sum over all processes of the proportional set size, sampled.
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
from threading import Thread
from typing import NamedTuple

os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import naive

from skelkit.readers import ntu
from skelkit.sources import list_files

ROUNDS, TURNS, LONG_TURNS = 7, 4, 2
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


def link(disk: Path, folder: Path, files: int) -> list[Path]:
    """So many files, which are the originals again and again."""
    folder.mkdir()
    originals = len(list(disk.iterdir()))
    paths = [folder / name for name in itertools.islice(names(), files)]
    for number, path in enumerate(paths):
        os.link(disk / str(number % originals), path)
    return paths


class Conversion(NamedTuple):
    seconds: float
    peak: int
    """Bytes."""
    content_hash: str


def convert(source: Path, out: Path, workers: int) -> Conversion:
    out.unlink(missing_ok=True)
    command = [*SKELKIT, "convert", source, "--dataset", "ntu60", "-o", out, "--workers"]
    peaks = []
    began = time.perf_counter()
    process = subprocess.Popen([*command, str(workers)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def watch() -> None:
        while process.returncode is None:
            peaks.append(memory(process.pid))
            time.sleep(0.2)

    watcher = Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - began
    watcher.join()
    assert code == 0
    report = json.loads(out.with_suffix(".report.json").read_text())
    return Conversion(seconds, max(peaks), report["content_hash"])


def row(what: str, ours: str, twin: str, ratio: str) -> None:
    print(f"{what:44} {ours:>18} {twin:>18} {ratio:>14}", flush=True)


def main(source: Path, files: int, twin_files: int, all_files: int, scratch: Path) -> None:
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

    disk = scratch / "originals"
    disk.mkdir()
    for number, (data, _) in enumerate(contents):
        (disk / str(number)).write_bytes(data)
    folder, archive = scratch / "raw", scratch / "raw.zip"
    paths = link(disk, folder, files)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        for path in paths:
            members.write(path, f"nturgb+d_skeletons/{path.name}")

    # In turns, so that what else the machine does meets both.
    twins, runs = [], {folder: [], archive: []}
    for turn in range(TURNS):
        share = paths[turn :: max(1, len(paths) * TURNS // twin_files)]
        began = time.perf_counter()
        for path in share:
            naive.isc_pipeline(path.read_bytes())
        twins.append((time.perf_counter() - began) / len(share))
        for given, results in runs.items():
            results.append(convert(given, scratch / "out.h5", 1))
    assert len({result.content_hash for results in runs.values() for result in results}) == 1
    twin = min(twins)
    for given, results in runs.items():
        each = min(result.seconds for result in results) / files
        row(
            f"convert {files} files, {'folder' if given == folder else 'zip'}, one worker",
            f"{each * 1e3:.2f} ms a file",
            f"{twin * 1e3:.1f} ms a file",
            f"{twin / each:.1f} times",
        )

    link(disk, scratch / "all", all_files)
    ones, twos = [], []
    for _ in range(LONG_TURNS):
        ones.append(convert(scratch / "all", scratch / "out.h5", 1))
        twos.append(convert(scratch / "all", scratch / "out.h5", 2))
    one, two = (min(result.seconds for result in results) for results in (ones, twos))
    row(
        f"convert {all_files} files, two workers and one",
        f"{two:.1f} s",
        f"{one:.1f} s",
        f"{one / two:.2f} times",
    )
    for what, results in (
        ("folder, one worker", ones),
        ("folder, two workers", twos),
        ("zip", runs[archive]),
    ):
        row(f"peak memory, {what}", f"{max(result.peak for result in results) / 2**20:.0f} MiB", "", "")

    def help_() -> None:
        subprocess.run([*SKELKIT, "--help"], check=True, stdout=subprocess.DEVNULL)

    row("skelkit --help", f"{best(help_)[0]:.2f} s", "", "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--files", type=int, default=10_000, help="that ours converts")
    parser.add_argument("--twin", type=int, default=2000, help="of them that the twin does")
    parser.add_argument("--all", type=int, default=56_880, help="that two workers and one convert")
    parser.add_argument("--scratch", type=Path, help="where the copies go; a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        main(given.source, given.files, given.twin, given.all, Path(scratch))
