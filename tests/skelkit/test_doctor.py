"""doctor: what is bad is said with what to do, and decides the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from commands import skelkit
from numba import njit

from skelkit import cli, doctor
from skelkit.cli.base import Voice
from skelkit.doctor import Finding, examine


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.state for finding in findings}


def test_here_all_that_skelkit_needs_is_good(tmp_path: Path) -> None:
    found = {finding.what: finding for finding in examine(tmp_path)}
    assert found["numpy"].found == metadata.version("numpy")
    assert {found[name].state for name in ("Python", "numba", "h5py", "HDF5", "disk")} == {"ok"}
    assert all(finding.advice for finding in found.values() if finding.state != "ok")


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_compilation_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    for voice, told in ((Voice(), 1), (Voice(quiet=True), 0)):
        with voice.compiling():
            for one in (1, 1.0):
                njit(lambda x: x + 1)(one)
        said = capsys.readouterr()
        assert said.err.count("compiling kernels, some seconds; they are kept") == told
        assert said.out == ""


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("torch", "scipy"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    found = {finding.what: finding for finding in examine(tmp_path)}
    assert (found["torch"].state, found["scipy"].state) == ("missing", "bad")
    assert found["torch"].advice == "pip install 'skelkit[train]'"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert states(examine(tmp_path / "absent"))["disk"] == "bad"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ENOUGH_DISK", 1 << 60)
    assert states(examine(tmp_path))["disk"] == "bad"


def test_without_compiled_kernels_it_is_bad_and_ends_with_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "skelkit", "doctor", "--json"],
        env={"NUMBA_DISABLE_JIT": "1", "PATH": "", "PYTHONPATH": str(Path(cli.__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["good"]) == (1, False)
    assert {f["what"]: f["state"] for f in facts["findings"]}["kernels"] == "bad"


@pytest.mark.parametrize(
    ("module", "error", "bad"),
    [
        ("numpy", "ImportError('gone')", "kernels"),
        ("h5py", "ValueError('numpy.dtype size changed')", "HDF5"),
        ("numba", "AttributeError('no such thing')", "kernels"),
    ],
)
def test_broken_packages_are_findings(tmp_path: Path, module: str, error: str, bad: str) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise {error}")
    done = subprocess.run(
        [sys.executable, "-m", "skelkit", "doctor", "--json"],
        env={"PATH": "", "PYTHONPATH": f"{tmp_path}:{Path(cli.__file__).parents[2]}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    found = {finding["what"]: finding["state"] for finding in json.loads(done.stdout)["findings"]}
    assert found[bad] == "bad"


def test_the_command_prints_a_line_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = skelkit("doctor")
    findings = examine(tmp_path)
    assert result.exit_code == (1 if "bad" in states(findings).values() else 0)
    assert all(any(finding.what in line for line in result.stdout.splitlines()) for finding in findings)
    assert "\x1b" not in result.stdout
