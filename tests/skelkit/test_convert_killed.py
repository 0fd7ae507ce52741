"""convert: real signals to a real process, from one file to many, and what is left to go on with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import naive
import numpy as np
import pytest
from conversions import run

from skelkit.store import verify


def many_files(path: Path) -> None:
    """800 of them, enough to be stopped midway."""
    joints = np.random.default_rng(0).normal(0, 1, (30, 25, 3)).round(6).tolist()
    data = naive.skeleton_text([[(1, pose)] for pose in joints])
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(800):
            archive.writestr(f"S001C{number % 3 + 1:03}P001R{number // 3 + 1:03}A001.skeleton", data)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_is_one_line(tmp_path: Path, workers: int) -> None:
    many_files(tmp_path / "raw.zip")
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "skelkit", "convert", str(tmp_path / "raw.zip"), "--dataset", "ntu60"]
    command += ["-o", str(out), "--workers", str(workers)]
    # A terminal sends it to the whole group, workers included.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = tmp_path / "a.h5.part" / "journal"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
        assert process.poll() is None, "finished before it could be interrupted"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert re.search(r"\ninterrupted, \d+ of 800 files done; the same command goes on", errors)
    assert not out.exists()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_midway_and_started_again(tmp_path: Path, workers: int) -> None:
    many_files(tmp_path / "raw.zip")
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "skelkit", "convert", str(tmp_path / "raw.zip"), "--dataset", "ntu60"]
    command += ["-o", str(out), "--json", "--workers"]
    log = tmp_path / "a.h5.part" / "journal"
    deadline = time.monotonic() + 120
    for many in (2, 5, 9):
        # Its own group, to see that no worker outlives the kill.
        process = subprocess.Popen(
            [*command, str(workers)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not (log.exists() and log.read_bytes().count(b"\n") > many) and time.monotonic() < deadline:
            assert process.poll() is None, "finished before it could be killed"
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        while _lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _lives(process.pid)
        assert not out.exists()
    lines = log.read_bytes().count(b"\n")
    done = subprocess.run([*command, "1"], capture_output=True, text=True, timeout=60, check=True)
    report = json.loads(done.stdout)
    assert lines > 9
    assert f"{32 * (lines - 1)}/800" in done.stderr, "took up where it was"
    assert verify(out) == []
    assert report["content_hash"] == run(tmp_path / "raw.zip", tmp_path / "b.h5").content_hash
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.h5", "a.report.json"]
