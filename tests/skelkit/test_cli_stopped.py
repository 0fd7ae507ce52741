"""cli: Ctrl-C and SIGTERM end a command with one line, and leave nothing half-written."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from commands import fails, skelkit
from interrupts import interrupted


def test_interrupted_by_the_keyboard(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skelkit import conversion

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "convert_block", interrupt)
    command = ["convert", raw, "--dataset", "ntu60", "-o", tmp_path / "a.h5", "--workers", 1]
    result = skelkit(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(r"interrupted, 0 of \d+ files done; the same command goes on where it was", last)
    told = json.loads(skelkit(*command, "--fresh", "--json").stdout)
    assert told == {"error": last, "exit_code": 1, "stopped": True}
    monkeypatch.undo()
    fails(skelkit(*command, "--recipe", "raw"), "an interrupted conversion with other recipe; --fresh")
    assert skelkit(*command, "--recipe", "raw", "--fresh").exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("skelkit.conversion:convert_block", "convert raw --dataset ntu60 --workers 1 -o a.h5"),
        ("skelkit.conversion:write_store", "convert raw --dataset ntu60 --workers 2 -o a.h5"),
        ("skelkit.inputs:list_files", "convert raw --dataset ntu60 --workers 1 -o a.h5"),
        ("skelkit.merging:write_store", "merge s.h5 -o a.h5"),
        ("skelkit.store.verify:content_digest", "verify s.h5"),
        ("skelkit.store.verify:content_digest", "diff s.h5 s.h5"),
        ("skelkit.interchange.npz:write_rows", "export s.h5 --to npz -o a.npz"),
        ("skelkit.preview:set_stage", "augment preview s.h5 --sample S001C001P001R001A001 -o a.html"),
    ],
)
def test_it_is_one_line(where: str, words: str, number: int, store: Path) -> None:
    done = interrupted("skelkit", words.split(), where, store.parent, number)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert re.search(r"^interrupted(, 0 of \d+ files done; .*)?$", done.stderr, re.MULTILINE)
    assert "Error" not in done.stderr, "it was asked for"
    assert "Traceback" not in done.stderr
    left = {path.name for path in store.parent.glob("a.*")}
    assert left <= {"a.h5.part"}  # what a conversion goes on with


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sigterm_alone_stops_what_runs_in_a_scripts_background(
    workers: int, number: int, store: Path
) -> None:
    words = f"convert raw --dataset ntu60 --workers {workers} -o a.h5".split()
    where = "skelkit.conversion:write_store"
    done = interrupted("skelkit", words, where, store.parent, number, background=True)
    stopped = number == signal.SIGTERM
    assert done.returncode == stopped, done.stderr
    assert done.stderr.count("interrupted, 0 of 40 files done") == stopped
    assert (store.parent / "a.h5").exists() != stopped
    assert (store.parent / "a.h5.part").exists() == stopped
